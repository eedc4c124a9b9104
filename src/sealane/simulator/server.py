"""The simulator as a running server: on a thread for tests, or in the foreground for a terminal."""

import asyncio
import contextlib
import errno
import json
import signal
import socket
import sys
import threading
from types import TracebackType
from typing import Any, Self, TextIO

from sealane.simulator.accounts import SimAccount, make_accounts
from sealane.simulator.control import Control
from sealane.simulator.exchange import Exchange
from sealane.simulator.facts import UNKNOWN_METHOD, Switches
from sealane.simulator.http import Answer, Connection, Later, Request

START_LIMIT_S = 10.0
STOP_LIMIT_S = 5.0
BACKLOG = 1024


class Site:
    """Which path goes where."""

    def __init__(self, exchange: Exchange, control: Control) -> None:
        self.exchange, self.control = exchange, control

    def handle(self, request: Request) -> Answer | Later:
        """`/0/private/`, `/0/public/`, `/sim/`; all else is a 404 that says it in Kraken's form."""
        if request.path.startswith("/0/private/"):
            return self.exchange.private(request, request.path.removeprefix("/0/private/"))
        if request.path.startswith("/0/public/"):
            return self.exchange.public(request, request.path.removeprefix("/0/public/"))
        if request.path.startswith("/sim/"):
            return self.control.handle(request)
        return Answer(json.dumps({"error": [UNKNOWN_METHOD]}).encode(), 404)


class Simulator:
    """A simulated Kraken on a thread of its own. Use it as a context manager, or `start()` and `stop()` it.

    `accounts` is how many there are (MASTER, user1, …), `seed` decides keys, prices and order ids, `latency_ms` is
    waited before each answer, `volatility` is the typical relative change of a price in one second (0: prices stand
    still), `port` 0 takes a free one. `url` is known once it is started. Stopped and started
    again it has the same address and remembers everything: an outage. All methods may be called from any thread.
    """

    def __init__(
        self,
        *,
        accounts: int = 1,
        seed: int = 0,
        latency_ms: float = 0,
        volatility: float = 0,
        port: int = 0,
        host: str = "127.0.0.1",
        switches: Switches | None = None,
    ) -> None:
        if latency_ms < 0:
            raise ValueError("latency_ms must be 0 or more")
        self.accounts: tuple[SimAccount, ...] = make_accounts(accounts, seed)
        self.exchange = Exchange(
            self.accounts, seed=seed, latency_ms=latency_ms, volatility=volatility, switches=switches
        )
        self.host, self.port = host, port
        self.control = Control(self.exchange, lambda: self.url)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def __repr__(self) -> str:
        running = self.url if self._thread else "stopped"
        return f"<Simulator {running}, {len(self.accounts)} accounts>"

    @property
    def url(self) -> str:
        """The base address without a path, `http://127.0.0.1:54321`."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> Self:
        """Begin to listen. OSError when the port is taken, RuntimeError when it runs already."""
        if self._thread is not None:
            raise RuntimeError("this simulator is running; stop() it first")
        listener = _listen(self.host, self.port)
        self.port = listener.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listener, ready)), name="sealane-simulator", daemon=True
        )
        self._thread.start()
        if not ready.wait(START_LIMIT_S):
            raise TimeoutError(f"the simulator did not start within {START_LIMIT_S:.0f} s")
        return self

    async def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with _serving(Site(self.exchange, self.control), listener):
            ready.set()
            await self._stop.wait()

    def stop(self) -> None:
        """Hang up on every client and end; does nothing when not running."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stop is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._stop.set)
        thread.join(STOP_LIMIT_S)
        if thread.is_alive():
            raise TimeoutError(f"the simulator did not stop within {STOP_LIMIT_S:.0f} s")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    # --- control ---

    def add_fault(self, kind: str, *, methods: list[str] | None = None, **fields: Any) -> dict[str, Any]:
        """Add a fault rule, as `POST /sim/faults` does; ControlError (a ValueError) when it is not right.

        Fields besides `methods`: account, count or probability, and what the kind takes.
        """
        return self.control.add_fault({"kind": kind, "methods": methods, **fields})

    def faults(self) -> list[dict[str, Any]]:
        """The rules in force and what remains of them."""
        rules: list[dict[str, Any]] = self.control.faults()["faults"]
        return rules

    def clear_faults(self) -> None:
        """Drop all rules."""
        self.control.clear_faults()

    def journal(self, *, limit: int | None = None, account: str | None = None) -> dict[str, Any]:
        """The same document as `GET /sim/journal`: `{"summary": {…}, "entries": [{…}, …]}`."""
        return self.control.journal(limit=limit, account=account)

    def clear_journal(self) -> None:
        """Forget the journal."""
        self.control.clear_journal()

    def state(self) -> dict[str, Any]:
        """The same document as `GET /sim/state`."""
        return self.control.state()

    def reset(self) -> None:
        """Orders, balances, nonces, settings, faults and journal as at the start; the keys stay."""
        self.control.reset()

    def update_account(self, name: str, **changes: Any) -> dict[str, Any]:
        """Change nonce, nonce_window, permissions, otp or balances of one account; gives its state."""
        return self.control.update_account(name, changes)


def serve(
    *,
    port: int,
    accounts: int,
    seed: int,
    latency_ms: float,
    volatility: float = 0,
    host: str = "127.0.0.1",
    out: TextIO | None = None,
) -> None:
    """Run in the foreground until SIGINT or SIGTERM, then return.

    The first line on `out` (default: stdout) is one JSON document:
    `{"url", "accounts": [{"name", "api_key", "api_secret"}, …]}`.
    OSError when the port is taken, ValueError when a number makes no sense. To be called from the main thread.
    """
    simulator = Simulator(
        port=port, accounts=accounts, seed=seed, latency_ms=latency_ms, volatility=volatility, host=host
    )
    listener = _listen(host, port)
    simulator.port = listener.getsockname()[1]
    asyncio.run(_serve_until_signal(simulator, listener, out or sys.stdout))


async def _serve_until_signal(simulator: Simulator, listener: socket.socket, out: TextIO) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with _serving(Site(simulator.exchange, simulator.control), listener):
        out.write(json.dumps(simulator.control.accounts()) + "\n")
        out.flush()
        await stop.wait()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"port {port} on {host} is taken by another program; choose another one, or 0 for any free one"
            raise OSError(errno.EADDRINUSE, text) from error
        raise


@contextlib.asynccontextmanager
async def _serving(site: Site, listener: socket.socket) -> Any:
    """Accept connections while the block runs; afterwards none is left."""
    connections: set[Connection] = set()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(site, connections), sock=listener)
    try:
        yield
    finally:
        server.close()
        for connection in list(connections):
            connection.abort()
        await asyncio.sleep(0)  # lets the transports close their sockets before the loop ends
