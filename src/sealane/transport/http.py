"""Requests to Kraken over HTTP/1.1: blocking on a socket with http.client's parser, for asyncio by httpcore2.

1. One fixed base URL; redirects are not followed (a 3xx is an answer that says nothing).
2. Every wait has a limit: connecting, each read, and the whole answer, so that a slow drip ends too.
3. Only a failure to connect is "not sent". From the first byte on, anything else is unknown.
4. Nothing is ever sent twice here: repeating is a decision, and decisions are made in ``core``.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import select
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sealane.core.signing import Request
from sealane.core.verdict import Failure, Reply
from sealane.errors import SettingsError

if TYPE_CHECKING:
    import httpcore2

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
"""Kraken answers in well under a second; under load its matching engine has been seen to take tens."""
TIMEOUT_MAX_S = 600.0
BODY_LIMIT = 32 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
KEEPALIVE_S = 20.0
"""Below the idle time after which servers and balancers on the way close: a request must not race that."""
CONNECTIONS_MAX = 32
USER_AGENT = b"sealane"

_LOOPBACK = ("127.0.0.1", "::1", "localhost")

_parents: list[object] = []  # a forked child keeps its parent's connections here, so that nothing ever closes them


@dataclass(frozen=True)
class Timeouts:
    """Limits in seconds: to connect, and from the first byte sent to the last byte received."""

    connect_s: float = CONNECT_TIMEOUT_S
    read_s: float = READ_TIMEOUT_S


def limits(timeout_s: float) -> Timeouts:
    """The limits for a caller's ``timeout_s``; raises SettingsError for one that is none."""
    if not 0 < timeout_s <= TIMEOUT_MAX_S:
        raise SettingsError(f"timeout_s is {timeout_s}: give more than 0 and at most {TIMEOUT_MAX_S:.0f} seconds")
    return Timeouts(min(CONNECT_TIMEOUT_S, timeout_s), timeout_s)


def is_loopback(url: str) -> bool:
    """Whether the URL is one of this machine's own: a simulator or a gateway, not Kraken."""
    return urlsplit(url).hostname in _LOOPBACK


def checked_url(url: str, name: str = "KRAKEN_SPOT_URL") -> str:
    """The base URL without a trailing slash; raises SettingsError for one that keys must not be sent to."""
    try:
        parts = urlsplit(url)
        hostname, _ = parts.hostname or "", parts.port
        hostname.encode("idna")
    except (ValueError, TypeError, AttributeError) as error:
        raise SettingsError(f"{name} is {url!r}, which is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not hostname:
        raise SettingsError(f"{name} is {url!r}: give a URL such as https://api.kraken.com")
    if parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/"):
        raise SettingsError(f"{name} must be scheme, host and port alone: paths such as /0/private are added")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise SettingsError(f"{name} is plain http to {parts.hostname}: only loopback may be; use https")
    return url.rstrip("/")


class _Wire:
    """What both colours share: the URL, the limits, and the headers that every request has."""

    def __init__(self, url: str, timeouts: Timeouts) -> None:
        self.url = checked_url(url)
        self.timeouts = timeouts
        parts = urlsplit(self.url)
        self.secure = parts.scheme == "https"
        self.host, self.port = str(parts.hostname), parts.port
        name = f"[{self.host}]" if ":" in self.host else self.host
        shown = f"{name}:{self.port}" if self.port else name
        self._common = ((b"Host", shown.encode()), (b"User-Agent", USER_AGENT))

    def limit_s(self, request: Request) -> float:
        """How long this answer may take."""
        return min(self.timeouts.read_s, request.limit_s or self.timeouts.read_s)

    def headers(self, request: Request) -> list[tuple[bytes, bytes]]:
        length = [(b"Content-Length", str(len(request.body)).encode())] if request.verb == "POST" else []
        return [*self._common, *length, *request.headers]


class HttpTransport(_Wire):
    """Blocking HTTP to one base URL; safe to use from any thread."""

    def __init__(self, url: str, timeouts: Timeouts = Timeouts()) -> None:
        super().__init__(url, timeouts)
        self._context: ssl.SSLContext | None = None
        self._start()

    def _start(self) -> None:
        self._mutex = threading.Lock()
        self._idle: list[tuple[socket.socket, float]] = []
        self._closed = False

    def send(self, request: Request) -> Reply | Failure:
        """See ``port.Transport``."""
        try:
            wire = self._take() or self._connect()
        except (OSError, UnicodeError) as error:
            return _failure(False, error)
        reusable = False
        try:
            answer, reusable = self._exchange(wire, request)
        except (OSError, http.client.HTTPException) as error:
            answer = _failure(True, error)
        finally:
            if reusable:
                self._give_back(wire)
            else:
                wire.close()
        return answer

    def _exchange(self, wire: socket.socket, request: Request) -> tuple[Reply | Failure, bool]:
        """One request in one piece, and its answer; also whether the connection can be used again."""
        limit_s = self.limit_s(request)
        answer_in = _Within(wire, time.monotonic() + limit_s)
        wire.settimeout(limit_s)
        wire.sendall(self._bytes(request))
        response = http.client.HTTPResponse(answer_in, method=request.verb)  # type: ignore[arg-type]
        try:
            response.begin()
            body = _Body()
            while chunk := response.read(CHUNK_BYTES):
                if not body.takes(chunk):
                    return body.broken(), False
            if response.length:  # the connection ended before the answer did
                return body.broken(), False
            return body.reply(response.status, response.headers.get("x-trace-id", "")), not response.will_close
        finally:
            response.close()

    def _bytes(self, request: Request) -> bytes:
        head = b"".join(b"%b: %b\r\n" % header for header in self.headers(request))
        return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (request.verb.encode(), request.target.encode(), head, request.body)

    def _connect(self) -> socket.socket:
        address = self.host, self.port or (443 if self.secure else 80)
        wire = socket.create_connection(address, self.timeouts.connect_s)
        try:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.secure:
                self._context = self._context or _tls_context()
                wire = self._context.wrap_socket(wire, server_hostname=self.host)
        except BaseException:
            wire.close()
            raise
        return wire

    def _take(self) -> socket.socket | None:
        """An idle connection that the other end has not closed."""
        while True:
            with self._mutex:
                if not self._idle:
                    return None
                wire, since_s = self._idle.pop()
            if time.monotonic() - since_s < KEEPALIVE_S and not _readable(wire):
                return wire
            wire.close()

    def _give_back(self, wire: socket.socket) -> None:
        with self._mutex:
            keep = not self._closed and len(self._idle) < CONNECTIONS_MAX
            if keep:
                self._idle.append((wire, time.monotonic()))
        if not keep:
            wire.close()

    def close(self) -> None:
        """See ``port.Transport``."""
        with self._mutex:
            idle, self._idle = self._idle, []
            self._closed = True  # calls under way close theirs when they end
        for wire, _ in idle:
            wire.close()

    def after_fork(self) -> None:
        """See ``port.Transport``."""
        _parents.append(self._idle)
        self._start()


class _Within(io.RawIOBase):
    """A socket's incoming bytes up to a point in time: however slowly they drip, head and body end by then."""

    def __init__(self, wire: socket.socket, ends_s: float) -> None:
        self._wire, self._ends_s = wire, ends_s

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        left_s = self._ends_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the answer took too long")
        self._wire.settimeout(left_s)
        return self._wire.recv_into(buffer)


def within(wire: socket.socket, limit_s: float) -> io.RawIOBase:
    """What http.client reads one answer from, in place of the socket: whole within ``limit_s`` from now."""
    return _Within(wire, time.monotonic() + limit_s)


class AsyncHttpTransport(_Wire):
    """HTTP for asyncio to one base URL."""

    def __init__(self, url: str, timeouts: Timeouts = Timeouts()) -> None:
        import httpcore2

        super().__init__(url, timeouts)
        self._library = httpcore2
        self._not_sent = (
            httpcore2.ConnectError,
            httpcore2.ConnectTimeout,
            httpcore2.PoolTimeout,
            httpcore2.ConnectionNotAvailable,
        )
        self._trouble = (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, TimeoutError)
        self._start()

    def _start(self) -> None:
        from sealane.transport.one_piece import OnePieceBackend

        self._pool = self._library.AsyncConnectionPool(
            ssl_context=_tls_context() if self.secure else None,
            max_connections=CONNECTIONS_MAX,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=OnePieceBackend(),
        )
        self._sending = 0
        self._closed = False
        self._all_sent = asyncio.Event()
        self._all_sent.set()

    async def send(self, request: Request) -> Reply | Failure:
        """See ``port.AsyncTransport``."""
        self._sending += 1
        self._all_sent.clear()
        try:
            return await self._send(request)
        finally:
            self._sending -= 1
            if not self._sending:
                self._all_sent.set()
                if self._closed:  # a call that was waiting for its turn: its connection is not kept
                    await self._pool.aclose()

    async def _send(self, request: Request) -> Reply | Failure:
        body = _Body()
        try:
            async with asyncio.timeout(self.timeouts.connect_s + self.limit_s(request)):
                response = await self._pool.handle_async_request(self._built(request))
                try:
                    async for chunk in response.aiter_stream():
                        if not body.takes(chunk):
                            return body.broken()
                finally:
                    await response.aclose()
        except self._not_sent as error:
            return _failure(False, error)
        except self._trouble as error:
            return _failure(True, error)
        trace = next((value for name, value in response.headers if name.lower() == b"x-trace-id"), b"")
        return body.reply(response.status, trace.decode("latin-1"))

    def _built(self, request: Request) -> httpcore2.Request:
        limit_s = self.limit_s(request)
        return self._library.Request(
            request.verb,
            self._library.URL(
                scheme=b"https" if self.secure else b"http",
                host=self.host.encode(),
                port=self.port,
                target=request.target.encode(),
            ),
            headers=self.headers(request),
            content=request.body,
            extensions={
                "timeout": {"connect": self.timeouts.connect_s, "read": limit_s, "write": limit_s, "pool": limit_s}
            },
        )

    async def close(self) -> None:
        """See ``port.AsyncTransport``."""
        self._closed = True
        await self._all_sent.wait()  # each call under way ends within its limits
        await self._pool.aclose()

    def after_fork(self) -> None:
        """See ``port.AsyncTransport``."""
        _parents.append(self._pool)
        self._start()


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
        return Failure(True, f"the answer was cut short or too large ({self._size} bytes so far)")

    def reply(self, status: int, trace_id: str) -> Reply:
        return Reply(status, b"".join(self._parts), trace_id)


def _tls_context() -> ssl.SSLContext:
    """The system's own certificates, for both colours."""
    import httpcore2

    return httpcore2.default_ssl_context()


def _readable(wire: socket.socket) -> bool:
    """An idle connection on which something came in was closed, or is out of step: either way it is of no use."""
    poll = select.poll()
    poll.register(wire, select.POLLIN)
    return bool(poll.poll(0))


def _failure(sent: bool, error: BaseException) -> Failure:
    return Failure(sent, f"{type(error).__name__}: {error}".rstrip(": "))
