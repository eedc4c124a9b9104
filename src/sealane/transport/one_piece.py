"""Connections of httpcore2 that send a request in one piece.

The library writes a request's head and its body apart: two system calls, two packets, and the other end reads the one
before the other is there. Here what is written waits until an answer is asked for.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any

from httpcore2 import AnyIOBackend, AsyncNetworkStream

HELD_BYTES_MAX = 65_536
"""More than this is not held back; no request of Sealane's is as large."""


class OnePieceStream(AsyncNetworkStream):
    """A connection over another. Errors in writing come from ``read``, where they mean the same: it may have left."""

    def __init__(self, inner: AsyncNetworkStream) -> None:
        self._inner, self._held = inner, b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Keep it for the next ``read``."""
        self._held += buffer
        if len(self._held) > HELD_BYTES_MAX:
            await self._send(timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Send what was kept, and wait for what comes."""
        if self._held:
            await self._send(timeout)
        return await self._inner.read(max_bytes, timeout)

    async def _send(self, timeout: float | None) -> None:
        held, self._held = self._held, b""
        await self._inner.write(held, timeout)

    async def aclose(self) -> None:
        """Close the connection; what was kept is not sent."""
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> AsyncNetworkStream:
        """The same over TLS."""
        return OnePieceStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What the connection tells of itself."""
        return self._inner.get_extra_info(info)


class OnePieceBackend(AnyIOBackend):
    """Makes such connections."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        """See ``httpcore2.AsyncNetworkBackend``."""
        return OnePieceStream(await super().connect_tcp(host, port, timeout, local_address, socket_options))
