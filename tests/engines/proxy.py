"""A wire that fails when it is told to: a TCP proxy on loopback that cuts, halves, holds back or swallows what passes.

``Proxy(port)`` forwards to a port of this machine. ``trouble`` is asked for each piece of data that passes, and says
what becomes of it. Nothing here knows the protocol spoken.
"""

import contextlib
import selectors
import socket
import threading

PASS, CUT, HALVE, SWALLOW = "pass", "cut", "halve", "swallow"
ASKED, ANSWERED = "asked", "answered"
PIECE_BYTES = 65_536


class Proxy:
    """Each connection is served by a thread of its own; ``close`` ends them all.

    Attributes:
        trouble: from the direction (``ASKED``, ``ANSWERED``) and a piece's bytes to PASS, to CUT (both sides are reset
            before it passes), HALVE (its first half passes, then both are reset), or SWALLOW (it never passes, nor does
            anything after it on that connection: the line is silent, and open).
        delay_s: for how long each piece is held back, in either direction: half a round trip.
        connected: how many connections were made.
    """

    def __init__(self, port):
        self.trouble = lambda direction, piece: PASS
        self.delay_s = 0.0
        self.connected = 0
        self._target = ("127.0.0.1", port)
        self._open, self._threads, self._ended = set(), [], False
        self._held = threading.Event()
        self._mutex = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)

    def once(self, action, direction=ANSWERED, when=lambda piece: True):
        """Do this to the next such piece, and let all others pass."""
        left = [action]

        def trouble(at, piece):
            return left.pop() if left and at == direction and when(piece) else PASS

        self.trouble = trouble

    def cut_all(self):
        """Reset every connection there is now."""
        with self._mutex:
            ends = tuple(self._open)
        for end in ends:
            _reset(end)

    def close(self):
        self._ended = True
        self._held.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self, work, *arguments):
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while not self._ended:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connected += 1
            self._start(self._serve, client)

    def _serve(self, client):
        try:
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        with self._mutex:
            self._open |= {client, server}
        try:
            if not self._ended:
                self._forward(client, server)
        finally:
            with self._mutex:
                self._open -= {client, server}
            client.close()
            server.close()

    def _forward(self, client, server):
        silent = False
        with selectors.DefaultSelector() as selector, contextlib.suppress(OSError, ValueError):
            selector.register(client, selectors.EVENT_READ, (server, ASKED))
            selector.register(server, selectors.EVENT_READ, (client, ANSWERED))
            while True:
                for key, _ in selector.select():
                    onto, direction = key.data
                    piece = key.fileobj.recv(PIECE_BYTES)
                    if not piece:
                        return
                    self._held.wait(self.delay_s)
                    action = self.trouble(direction, piece)
                    silent = silent or action == SWALLOW
                    if silent:
                        continue
                    if action == PASS:
                        onto.sendall(piece)
                        continue
                    if action == HALVE:
                        onto.sendall(piece[: len(piece) // 2])
                    _reset(client)
                    _reset(server)
                    return


def _reset(end):
    """Close it as a middlebox does: with a reset, or at least for good."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
