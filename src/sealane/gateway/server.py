"""The service as a running process: it listens, tells where, and ends cleanly within ``STOP_LIMIT_S``.

At SIGTERM or SIGINT it accepts nothing more, answers what it was asked, begins no call, and lets calls under way come
to their end: at most ``HTTP_STOP_S`` for the one, for the other ``END_S`` (``api/gateway.py``), and ``CALLS_STOP_S``
(``service.py``) for the watcher's own. A program whose call is not over by then hears that it is in doubt. The rest is
told in the log and left: a kill is a normal way to stop, and the store is sound at any moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from sealane.errors import SettingsError
from sealane.gateway.api.gateway import END_S, Gateway
from sealane.gateway.app import make_app
from sealane.gateway.fleet import Fleet
from sealane.gateway.notify import ALIVE, READY, STOPPING, Manager
from sealane.gateway.service import CALLS_STOP_S, Service
from sealane.gateway.settings import ServeSettings
from sealane.gateway.traffic import Traffic
from sealane.gateway.wire import Impatient, Listener

HTTP_STOP_S = 3
STOP_LIMIT_S = HTTP_STOP_S + END_S + CALLS_STOP_S
KEEP_ALIVE_S = 15
"""An idle connection is kept for so long: longer than most probes' interval."""
HEAD_BYTES_MAX = 16_384
BACKLOG = 32
"""Connections that the system keeps until they are taken; so many are taken at once."""
PROBE_S = 1.0
SIMULATED = ("x-sealane-simulator", "true")
ANY = ("0.0.0.0", "::")  # noqa: S104 - named to be recognised, not to be bound

logger = logging.getLogger("sealane.gateway")


def listen(host: str, port: int) -> Listener:
    """A listening socket; raises SettingsError that names the remedy. ``::`` takes IPv4 as well where it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        made = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        reason = error.strerror or error
        raise SettingsError(f"cannot listen on {host} port {port}: {reason}; choose another --port or --host") from None
    listener = Listener(fileno=made.detach())
    # Connections inherit it. Without, an answer's second half waits 40 ms for the first to be acknowledged; asyncio
    # sets it by itself only on sockets that it made.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def listen_on_path(path: str) -> Listener:
    """A listening unix socket for its owner alone, in place of one that a dead server left; raises SettingsError."""
    listener = Listener(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear(path)
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise SettingsError(f"cannot listen on {path}: {error.strerror or error}; choose another path") from None
    return listener


def _clear(path: str) -> None:
    """Remove a socket on which nobody listens; raises OSError where somebody does, or where it is something else."""
    if not stat.S_ISSOCK(_mode(path)):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_S)
        if probe.connect_ex(path) == 0:
            raise OSError(errno.EADDRINUSE, "somebody listens there")
    Path(path).unlink(missing_ok=True)


def _mode(path: str) -> int:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return 0


def url_of(listener: socket.socket, *, secure: bool = False) -> str:
    """Where a browser on this machine finds it; of a unix socket its path."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    shown = "127.0.0.1" if host in ANY else f"[{host}]" if ":" in host else host
    return f"{'https' if secure else 'http'}://{shown}:{port}"


@dataclass(frozen=True)
class Told:
    """What is said beside the answers: in a header that the exchange is ``simulated``, to the ``manager`` of services
    that it begins, ends, and is alive while ``is_well`` says so. ``tls`` are the files of a certificate and its key."""

    simulated: bool = False
    manager: Manager = field(default_factory=Manager)
    is_well: Callable[[], bool] = lambda: True
    tls: tuple[str, str] | None = None


class _Server(uvicorn.Server):
    """A server whose signals are its caller's, and that says when it is ready."""

    def __init__(self, app: ASGIApp, listener: Listener, ready: Callable[[], None], told: Told) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=partial(Impatient, greeted=listener.greeted),  # type: ignore[arg-type]
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                backlog=BACKLOG,
                headers=[SIMULATED] if told.simulated else [],
                callback_notify=self._say_alive if told.manager.alive_every_s else None,
                timeout_notify=told.manager.alive_every_s,  # type: ignore[arg-type]
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=HTTP_STOP_S,
                h11_max_incomplete_event_size=HEAD_BYTES_MAX,
                ssl_certfile=told.tls[0] if told.tls else None,
                ssl_keyfile=told.tls[1] if told.tls else None,
            )
        )
        self._ready, self._told = ready, told

    async def _say_alive(self) -> None:
        if self._told.is_well():
            self._told.manager.tell(ALIVE)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone: they are heard already, and the library would raise them once more at the end."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self._ready()
        self._told.manager.tell(READY)

    def leave(self) -> None:
        """End soon."""
        self._told.manager.tell(STOPPING)
        self.should_exit = True


async def answer(
    app: ASGIApp,
    listener: Listener,
    ready: Callable[[], None],
    stop: asyncio.Event | None = None,
    told: Told | None = None,
) -> None:
    """Serve until SIGINT, SIGTERM or ``stop``; signals are heard in the main thread only."""
    server, loop = _Server(app, listener, ready, told or Told()), asyncio.get_running_loop()
    if stop is None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.leave)
        await server.serve(sockets=[listener])
        return
    task = loop.create_task(server.serve(sockets=[listener]))
    await stop.wait()
    server.leave()
    await task


def serve(
    fleet: Fleet,
    settings: ServeSettings,
    *,
    folder: Path,
    simulation: str,
    before_asking: Callable[[], None],
    ready: Callable[[str], None],
) -> None:
    """Run in the main thread until SIGINT or SIGTERM; ``ready`` is told the URL. Raises SettingsError.

    ``folder`` is where virtual keys and the gateway's records lie; ``simulation`` and ``before_asking`` are as for
    ``Service``.
    """
    service = Service(fleet, watch_s=settings.watch_s, simulation=simulation, before_asking=before_asking)
    tls = (settings.tls_cert, settings.tls_key) if settings.tls_cert else None
    told = Told(bool(simulation), Manager.from_env(os.environ), service.is_well, tls)
    lanes = {one.member.account: one.member.lane for one in fleet.served}
    limits, traffic = fleet.settings.limits(), Traffic(fleet.clock)
    with _listening(settings) as listener, service:

        async def run() -> None:
            async with Gateway(folder, lanes, limits, traffic, clock=fleet.clock) as gateway:
                service.gateway_trouble = gateway.told_trouble
                app = make_app(
                    service.state,
                    allowed_hosts=settings.allowed_hosts,
                    gateway=gateway,
                    show_amounts=settings.show_amounts,
                )
                await answer(app, listener, lambda: ready(url_of(listener, secure=tls is not None)), told=told)

        asyncio.run(run())
        logger.info("stopping; calls under way come to their end")


@contextlib.contextmanager
def _listening(settings: ServeSettings) -> Iterator[Listener]:
    """Where the settings say; a unix socket is removed at the end."""
    path = settings.unix_socket
    with listen_on_path(path) if path else listen(settings.host, settings.port) as listener:
        try:
            yield listener
        finally:
            if path:
                Path(path).unlink(missing_ok=True)
