"""HTTP/1.1 for one connection, over h11, with the faults that no web framework can show.

The protocol reads a request whole, hands it to the application and does with the answer what the answer says: send
it, send half of it, say nothing, hang up. One request at a time on a connection; a pipelined one waits its turn.

Closing always goes through `shutdown` first. A test process that forked after the server started still holds a copy
of the socket, and a bare `close` would then tell the client nothing.
"""

import asyncio
import contextlib
import enum
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Protocol, cast

import h11

from sealane.simulator.facts import INVALID_ARGUMENTS

HEADER_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 1024 * 1024
CONTROL_BODY_BYTES_MAX = 256 * 1024 * 1024  # a snapshot of a long run is large
SLOW_PIECES = 10
NO_LINGERING = struct.pack("ii", 1, 0)  # closing then sends a reset
JSON = b"application/json; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"
HTML = b"text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """A request, read to its end. `path` is as sent, without the query; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    body: bytes

    def header(self, name: bytes) -> str:
        """A header's text, empty when missing."""
        return self.headers.get(name, b"").decode("latin-1")


class Delivery(enum.Enum):
    """How an answer reaches the client: whole, in pieces, half of its body, or never; then it is hung up on, its
    connection is torn down, or nothing happens for long.
    """

    WHOLE = "whole"
    SLOW = "slow"
    HALF = "half"
    DROP = "drop"
    RESET = "reset"
    HANG = "hang"


def unheard(_answered: bool) -> None:
    """For calls whose end nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send after `wait_s`; a slow body takes `spread_s` more. A hang ends after `wait_s`, by hanging up.

    `ended(answered)` is called once, when the call is over for the client: answered, dropped, or its client gone.
    """

    body: bytes = b""
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    wait_s: float = 0.0
    spread_s: float = 0.0
    delivery: Delivery = Delivery.WHOLE
    ended: Callable[[bool], None] = unheard


@dataclass(slots=True)
class Later:
    """The request is looked at later, even if its client has left by then; `ended` as for an Answer.

    Who gave it calls `answered` once, from any thread; who wants the answer sets `listener`, before or after.
    """

    ended: Callable[[bool], None] = unheard
    answer: Answer | None = None
    listener: Callable[[Answer], None] | None = None

    def answered(self, answer: Answer) -> None:
        """The answer is there."""
        self.answer = answer
        if self.listener is not None:
            self.listener(answer)

    def listen(self, listener: Callable[[Answer], None]) -> None:
        """Be told the answer, at once if it is there already."""
        self.listener = listener
        if self.answer is not None:
            listener(self.answer)


class Application(Protocol):
    """What the connection asks."""

    def handle(self, request: Request) -> Answer | Later:
        """Decide about a request. Runs on the server's event loop, so it must not block."""
        ...


@dataclass(eq=False)
class Connection(asyncio.Protocol):
    """One client's connection. `open_connections` is where the server keeps track of them."""

    application: Application
    open_connections: set["Connection"]
    wire: h11.Connection = field(default_factory=lambda: h11.Connection(h11.SERVER, HEADER_BYTES_MAX))

    def __post_init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._head: h11.Request | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._busy = False
        self._reading = False
        self._left = False
        self._ended: Callable[[bool], None] = unheard
        self._timer: asyncio.TimerHandle | None = None

    # --- asyncio's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection; small answers must not wait for more to send."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open_connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Feed what came in and go on as far as it reaches."""
        self.wire.receive_data(data)
        self._read()

    def eof_received(self) -> bool:
        """The client closed its side: it is gone, whatever it asked is over for it."""
        self._client_left()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, from either side."""
        self._client_left()
        self.open_connections.discard(self)

    def _client_left(self) -> None:
        self._left = True
        if self._timer is not None:
            self._timer.cancel()  # nothing is left to do but to answer; a hang would keep this object for an hour
        self._end(answered=False)

    def _end(self, *, answered: bool) -> None:
        ended, self._ended = self._ended, unheard
        ended(answered)

    # --- reading ---

    def _read(self) -> None:
        if self._reading:
            return  # an answer was sent from within the loop below, which goes on by itself
        self._reading = True
        try:
            while not self._busy and not self._left and self._read_event():
                pass
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint)
        finally:
            self._reading = False

    def _read_event(self) -> bool:
        """Take one event; False when there is none before more comes in."""
        event = self.wire.next_event()
        if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
            self._continue_if_asked()
            return False
        self._take(event)
        return True

    def _continue_if_asked(self) -> None:
        if self.wire.they_are_waiting_for_100_continue:
            self._write(self.wire.send(h11.InformationalResponse(status_code=100, headers=[])))

    def _take(self, event: object) -> None:
        if isinstance(event, h11.Request):
            self._head, self._chunks, self._size = event, [], 0
        elif isinstance(event, h11.Data):
            self._size += len(event.data)
            self._chunks.append(bytes(event.data))
            if self._size > self._body_bytes_max():
                self._refuse(413)
        elif isinstance(event, h11.EndOfMessage) and self._head is not None:
            self._busy = True
            self._serve(self._head)

    def _body_bytes_max(self) -> int:
        control = self._head is not None and self._head.target.startswith(b"/sim/")
        return CONTROL_BODY_BYTES_MAX if control else BODY_BYTES_MAX

    def _refuse(self, status: int) -> None:
        """The request is no HTTP, or too large: say so and hang up."""
        self._busy = True
        if self.wire.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._send(
                Answer(f'{{"error":["{INVALID_ARGUMENTS}"]}}'.encode(), status, headers=((b"connection", b"close"),))
            )
        self._hang_up()

    def _serve(self, head: h11.Request) -> None:
        path, _, query = head.target.decode("latin-1").partition("?")
        body = b"".join(self._chunks)
        self._follow(self.application.handle(Request(head.method.decode(), path, query, dict(head.headers), body)))

    # --- answering ---

    def _follow(self, step: Answer | Later) -> None:
        self._ended = step.ended
        if isinstance(step, Later):
            step.listen(partial(self._resume, asyncio.get_running_loop()))
        elif step.wait_s > 0:
            self._after(step.wait_s, lambda: self._deliver(step))
        else:
            self._deliver(step)

    def _after(self, wait_s: float, then: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_s, then)

    def _resume(self, loop: asyncio.AbstractEventLoop, answer: Answer) -> None:
        """A delayed request has its answer, from whatever thread. Its client may have left: then nobody is told."""
        with contextlib.suppress(RuntimeError):  # the server was stopped meanwhile
            loop.call_soon_threadsafe(lambda: None if self._left else self._follow(answer))

    def _deliver(self, answer: Answer) -> None:
        if self._left:
            return
        if answer.delivery in (Delivery.DROP, Delivery.HANG):
            self._hang_up()
        elif answer.delivery is Delivery.RESET:
            self._tear_down()
        elif answer.delivery is Delivery.HALF:
            self._send_half(answer)
        elif answer.delivery is Delivery.SLOW:
            self._write(self._start(answer))
            self._trickle(_pieces(answer.body), answer.spread_s / SLOW_PIECES)
        else:
            self._send(answer)
            self._finished()

    def _trickle(self, pieces: list[bytes], pause_s: float) -> None:
        """Write one piece after each pause, then the end."""
        if self._left:
            return
        if pieces:
            self._after(pause_s, lambda: self._trickle_on(pieces, pause_s))
        else:
            self._write(self._finish())
            self._finished()

    def _trickle_on(self, pieces: list[bytes], pause_s: float) -> None:
        self._write(self._part(pieces[0]))
        self._trickle(pieces[1:], pause_s)

    def _finished(self) -> None:
        self._end(answered=True)
        self._next()

    def _next(self) -> None:
        """Get ready for the next request, or close when one side wants to."""
        if self.wire.our_state is h11.DONE and self.wire.their_state is h11.DONE:
            self.wire.start_next_cycle()
            self._busy = False
            self._read()
        else:
            self._hang_up()

    def _send(self, answer: Answer) -> None:
        self._write(b"".join((self._start(answer), self._part(answer.body), self._finish())))

    def _send_half(self, answer: Answer) -> None:
        self._write(self._start(answer) + self._part(answer.body[: len(answer.body) // 2]))
        self._hang_up()

    def _start(self, answer: Answer) -> bytes:
        headers = [(b"content-type", answer.content_type), (b"content-length", str(len(answer.body)).encode())]
        response = h11.Response(
            status_code=answer.status, reason=_reason(answer.status), headers=[*headers, *answer.headers]
        )
        return self.wire.send(response) or b""

    def _part(self, data: bytes) -> bytes:
        if self._head is not None and self._head.method == b"HEAD":
            return b""
        return self.wire.send(h11.Data(data=data)) or b""

    def _finish(self) -> bytes:
        return self.wire.send(h11.EndOfMessage()) or b""

    def _write(self, data: bytes | None) -> None:
        if self.transport is not None and data:
            self.transport.write(data)

    def _hang_up(self) -> None:
        """Close from our side once what was written is out."""
        self._left = True
        if self.transport is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self.transport.write_eof()
            self.transport.close()
        self._end(answered=False)

    def _tear_down(self) -> None:
        """Close so that the client hears a reset."""
        self._left = True
        if self.transport is not None:
            with contextlib.suppress(OSError):
                wire = self.transport.get_extra_info("socket")
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
            self.transport.abort()
        self._end(answered=False)

    def abort(self) -> None:
        """The server stops: cancel what is waiting, close at once."""
        if self._timer is not None:
            self._timer.cancel()
        if self.transport is not None:
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            self.transport.abort()


def _pieces(body: bytes) -> list[bytes]:
    """The body in so many pieces, some of them empty when it is short."""
    size = -(-len(body) // SLOW_PIECES)
    return [body[n * size : (n + 1) * size] for n in range(SLOW_PIECES)]


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"  # 520 and its like, which proxies have made up
