"""Requests to Kraken over HTTP, by httpcore2.

1. One fixed base URL; redirects are not followed (a 3xx is an answer that says nothing).
2. Every wait has a limit: connecting, each read, and the whole exchange, so that a slow drip ends too.
3. Only a failure to connect is "not sent". From the first byte on, anything else is unknown.
4. Nothing is ever sent twice here: repeating is a decision, and decisions are made in ``core``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpcore2

from sealane.core.signing import Request
from sealane.core.verdict import Failure, Reply
from sealane.errors import SettingsError

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
"""Kraken answers in well under a second; under load its matching engine has been seen to take tens."""
BODY_LIMIT = 32 * 1024 * 1024
KEEPALIVE_S = 20.0
"""Below the idle time after which servers and balancers on the way close: a request must not race that."""
CONNECTIONS_MAX = 32
USER_AGENT = b"sealane"

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NOT_SENT = (
    httpcore2.ConnectError,
    httpcore2.ConnectTimeout,
    httpcore2.PoolTimeout,
    httpcore2.ConnectionNotAvailable,
    httpcore2.UnsupportedProtocol,
)
_TROUBLE = (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError)

_parents: list[object] = []  # a forked child keeps its parent's connections here, so that nothing ever closes them


@dataclass(frozen=True)
class Timeouts:
    """Limits in seconds: to connect, and from the first byte sent to the last byte received."""

    connect_s: float = CONNECT_TIMEOUT_S
    read_s: float = READ_TIMEOUT_S


def checked_url(url: str, name: str = "KRAKEN_SPOT_URL") -> str:
    """The base URL without a trailing slash; raises SettingsError for one that keys must not be sent to."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{name} is {url!r}: give a URL such as https://api.kraken.com")
    if parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/"):
        raise SettingsError(f"{name} must be scheme, host and port alone: paths such as /0/private are added")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise SettingsError(f"{name} is plain http to {parts.hostname}: only loopback may be; use https")
    return url.rstrip("/")


class _Wire:
    """What both colours share: the URL, the limits, and how an httpcore2 request is made."""

    def __init__(self, url: str, timeouts: Timeouts) -> None:
        self.url = checked_url(url)
        self.timeouts = timeouts
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else str(parts.hostname)
        self._base = (parts.scheme.encode(), str(parts.hostname).encode(), parts.port)
        self._common = ((b"Host", f"{host}{port}".encode()), (b"User-Agent", USER_AGENT))

    def request(self, request: Request) -> httpcore2.Request:
        scheme, host, port = self._base
        limit_s = self.timeouts.read_s
        length = ((b"Content-Length", str(len(request.body)).encode()),) if request.verb == "POST" else ()
        return httpcore2.Request(
            request.verb,
            httpcore2.URL(scheme=scheme, host=host, port=port, target=request.target.encode()),
            headers=[*self._common, *length, *request.headers],
            content=request.body,
            extensions={
                "timeout": {"connect": self.timeouts.connect_s, "read": limit_s, "write": limit_s, "pool": limit_s}
            },
        )


class HttpTransport(_Wire):
    """Blocking HTTP to one base URL; safe to use from any thread."""

    def __init__(self, url: str, timeouts: Timeouts = Timeouts()) -> None:
        super().__init__(url, timeouts)
        self._pool = self._new_pool()

    def _new_pool(self) -> httpcore2.ConnectionPool:
        return httpcore2.ConnectionPool(max_connections=CONNECTIONS_MAX, keepalive_expiry=KEEPALIVE_S)

    def send(self, request: Request) -> Reply | Failure:
        """See ``port.Transport``."""
        ends = time.monotonic() + self.timeouts.connect_s + self.timeouts.read_s
        try:
            response = self._pool.handle_request(self.request(request))
            try:
                body = _Body()
                for chunk in _chunks(response):
                    if not body.takes(chunk) or time.monotonic() > ends:
                        return body.broken()
            finally:
                response.close()
        except _NOT_SENT as error:
            return _failure(False, error)
        except _TROUBLE as error:
            return _failure(True, error)
        return body.reply(response)

    def close(self) -> None:
        """See ``port.Transport``."""
        self._pool.close()

    def after_fork(self) -> None:
        """See ``port.Transport``."""
        _parents.append(self._pool)
        self._pool = self._new_pool()


class AsyncHttpTransport(_Wire):
    """HTTP for asyncio to one base URL."""

    def __init__(self, url: str, timeouts: Timeouts = Timeouts()) -> None:
        super().__init__(url, timeouts)
        self._pool = self._new_pool()

    def _new_pool(self) -> httpcore2.AsyncConnectionPool:
        return httpcore2.AsyncConnectionPool(max_connections=CONNECTIONS_MAX, keepalive_expiry=KEEPALIVE_S)

    async def send(self, request: Request) -> Reply | Failure:
        """See ``port.AsyncTransport``."""
        body = _Body()
        try:
            async with asyncio.timeout(self.timeouts.connect_s + self.timeouts.read_s):
                response = await self._pool.handle_async_request(self.request(request))
                try:
                    async for chunk in response.aiter_stream():
                        if not body.takes(chunk):
                            return body.broken()
                finally:
                    await response.aclose()
        except _NOT_SENT as error:
            return _failure(False, error)
        except (*_TROUBLE, TimeoutError) as error:
            return _failure(True, error)
        return body.reply(response)

    async def close(self) -> None:
        """See ``port.AsyncTransport``."""
        await self._pool.aclose()

    def after_fork(self) -> None:
        """See ``port.AsyncTransport``."""
        _parents.append(self._pool)
        self._pool = self._new_pool()


class _Body:
    """An answer's body as it comes in, up to a limit."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def takes(self, chunk: bytes) -> bool:
        self._parts.append(chunk)
        self._size += len(chunk)
        return self._size <= BODY_LIMIT

    def broken(self) -> Failure:
        return Failure(True, f"the answer was too slow or too large ({self._size} bytes so far)")

    def reply(self, response: httpcore2.Response) -> Reply:
        trace = next((value for name, value in response.headers if name.lower() == b"x-trace-id"), b"")
        return Reply(response.status, b"".join(self._parts), trace.decode("latin-1"))


def _chunks(response: httpcore2.Response) -> Iterable[bytes]:
    yield from response.iter_stream()


def _failure(sent: bool, error: BaseException) -> Failure:
    return Failure(sent, f"{type(error).__name__}: {error}".rstrip(": "))
