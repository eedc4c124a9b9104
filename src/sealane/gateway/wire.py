"""HTTP/1.1 as the server library speaks it, with limits.

1. A client has so long to say what it wants, and so long to take what piled up for it, and is hung up on if it takes
   longer.
2. There are so many connections at once, well below the descriptors that this process may have. One more puts out the
   one that has rested longest, or has said nothing whole yet, so that a probe is answered however many others were
   left open.
3. Over TLS a connection is the server library's only once hands were shaken; until then it is the ``Listener``'s, with
   the same limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from sealane.gateway.descriptors import connections_max

ENDLESS = "sealane.endless"
"""What an answer without an end of its own sets in its scope: it is broken off when the service ends."""
REQUEST_LIMIT_S = 10.0
"""From the connection, or from the first byte of a later request, to its last: who takes longer is hung up on."""
TAKE_LIMIT_S = 10.0
"""How long an answer may be stuck because its reader takes nothing."""
HANDSHAKES_MAX = 64
"""Connections that have not shaken hands yet, more than are taken at once; one more puts out the one that is at it for
longest."""


class Listener(socket.socket):
    """A listening socket that knows the connections that nothing was heard of yet; used on one event loop."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._silent: dict[int, tuple[socket.socket, asyncio.TimerHandle]] = {}

    def accept(self) -> tuple[socket.socket, Any]:
        """As any socket's; from here on its hands are due."""
        connection, address = super().accept()
        number = connection.fileno()
        self.greeted(number)  # an earlier one of this number is gone
        limit = asyncio.get_running_loop().call_later(REQUEST_LIMIT_S, self._hang_up, number)
        self._silent[number] = connection, limit
        if len(self._silent) > HANDSHAKES_MAX:
            self._hang_up(next(iter(self._silent)))
        return connection, address

    def greeted(self, number: int) -> None:
        """Hands were shaken with the connection of this descriptor: its limits are the server's now."""
        if (silent := self._silent.pop(number, None)) is not None:
            silent[1].cancel()

    def close(self) -> None:
        """Wait for nobody's hands any more."""
        for number in list(self._silent):
            self.greeted(number)
        super().close()

    def _hang_up(self, number: int) -> None:
        """Let the other side go: the event loop, whose socket it is, then hears its end and closes it."""
        connection, _ = self._silent[number]
        self.greeted(number)
        with contextlib.suppress(OSError):  # it is gone already
            connection.shutdown(socket.SHUT_RDWR)


class OnePiece(asyncio.Transport):
    """A connection on which what is written in one turn of the loop leaves in one piece: an answer's head and body."""

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._inner, self._loop = inner, loop
        self._held: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it until the loop turns."""
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(bytes(data))

    def _send(self) -> None:
        held, self._held = self._held, []
        if held:
            self._inner.write(b"".join(held))

    def close(self) -> None:
        """Send what was kept, then close."""
        self._send()
        self._inner.close()

    def abort(self) -> None:
        """Hang up; what was kept is lost."""
        self._held = []
        self._inner.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or being closed."""
        return self._inner.is_closing()

    def pause_reading(self) -> None:
        """Take nothing more for now."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Take more."""
        self._inner.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the connection tells of itself."""
        return self._inner.get_extra_info(name, default)


class Impatient(H11Protocol):
    """One connection. Between two requests the library's own limit for idle connections holds."""

    _limit: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None
    _heard_s = 0.0

    def __init__(self, *args: Any, greeted: Callable[[int], None] = lambda number: None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._greeted = greeted

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request is due."""
        super().connection_made(OnePiece(transport, self.loop))
        self._greeted(transport.get_extra_info("socket").fileno())
        self._heard_s = self.loop.time()
        self._expect()
        self._make_room()

    def _make_room(self) -> None:
        if len(self.connections) <= connections_max():
            return
        resting = [one for one in self.connections if isinstance(one, Impatient) and one.is_resting]
        longest = min(resting, key=lambda one: one._heard_s, default=self)
        longest.transport.abort()

    @property
    def is_resting(self) -> bool:
        """Whether no answer is being made on it, as none is before a request is whole, nor is it hung up on already."""
        is_idle = self.cycle is None or self.cycle.response_complete or self.conn.their_state is h11.SEND_BODY
        return is_idle and not self.transport.is_closing()

    def data_received(self, data: bytes) -> None:
        """A part of a request; more bytes do not put its end off."""
        self._heard_s = self.loop.time()
        self._expect()
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._expect_nothing()

    def shutdown(self) -> None:
        """The service ends: an answer that has no end is broken off, every other comes to its own."""
        super().shutdown()
        if self.scope is not None and self.scope.get(ENDLESS):
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """For what is no HTTP; the application never hears of it."""
        headers = [*self.server_state.default_headers, (b"content-type", b"text/plain"), (b"connection", b"close")]
        answer: tuple[h11.Event, ...] = (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=msg.encode("ascii")),
            h11.EndOfMessage(),
        )
        self.transport.write(b"".join(self.conn.send(part) or b"" for part in answer))
        self.transport.close()

    def on_response_complete(self) -> None:
        """What came of the next request meanwhile begins it; from now on it rests."""
        super().on_response_complete()
        self._heard_s = self.loop.time()
        if self.timeout_keep_alive_task is not None:
            self._expect_nothing()

    def pause_writing(self) -> None:
        """The reader does not keep up."""
        super().pause_writing()
        if self._taking is None:
            self._taking = self.loop.call_later(TAKE_LIMIT_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It took what had piled up."""
        super().resume_writing()
        self._stop_taking()

    def _stop_taking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due any more."""
        self._expect_nothing()
        self._stop_taking()
        super().connection_lost(exc)

    def _expect(self) -> None:
        if self._limit is None:
            self._limit = self.loop.call_later(REQUEST_LIMIT_S, self._hang_up)

    def _expect_nothing(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _hang_up(self) -> None:
        self._limit = None
        self.transport.abort()
