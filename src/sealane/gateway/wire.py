"""HTTP/1.1 as the server library speaks it, with a limit on how long a client may take to say what it wants."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_LIMIT_S = 10.0
"""From the connection, or from the first byte of a later request, to its last: who takes longer is hung up on."""


class Impatient(H11Protocol):
    """One connection. Between two requests the library's own limit for idle connections holds."""

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request is due."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """A part of a request; more bytes do not put its end off."""
        self._expect()
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._expect_nothing()

    def on_response_complete(self) -> None:
        """What came of the next request meanwhile begins it."""
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:
            self._expect_nothing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due any more."""
        self._expect_nothing()
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
