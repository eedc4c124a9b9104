"""The simulator as a running server: on a thread for tests, or in the foreground for a terminal."""

import asyncio
import contextlib
import errno
import json
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from sealane.simulator.accounts import SimAccount, make_accounts
from sealane.simulator.audit import AuditFailed
from sealane.simulator.clock import NS_PER_S, Clock, clock_of
from sealane.simulator.control import Control
from sealane.simulator.exchange import Exchange
from sealane.simulator.facts import UNKNOWN_METHOD, Switches
from sealane.simulator.fault_fields import ControlError
from sealane.simulator.http import Answer, Connection, Later, Request
from sealane.simulator.probe import Direct
from sealane.simulator.switching import changed

START_LIMIT_S = 10.0
STOP_LIMIT_S = 5.0
CLOSING_ROUNDS = 5  # of the loop: accepting a connection, and closing its socket, take two each
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
        if request.path == "/sim" or request.path.startswith("/sim/"):
            return self.control.handle(request)
        return Answer(json.dumps({"error": [UNKNOWN_METHOD]}).encode(), 404)


class Alarm:
    """Wakes the exchange on the server's loop when something is due by a clock that goes by itself."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange, self._loop = exchange, asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        exchange.timetable.changed = self.set
        self.set()

    def set(self) -> None:
        """Look at the timetable again; from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._arm)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._exchange.lock:
            due_ns, clock = self._exchange.timetable.next_ns, self._exchange.clock
            if due_ns is not None and clock.mode != "frozen":
                wait_s = max(0, due_ns - clock.now_ns()) / NS_PER_S
                self._timer = self._loop.call_later(wait_s, self._ring)

    def _ring(self) -> None:
        self._exchange.settle()
        self._arm()

    def stop(self) -> None:
        """The server ends: nothing wakes the exchange any more."""
        self._exchange.timetable.changed = lambda: None
        if self._timer is not None:
            self._timer.cancel()


class Simulator:
    """A simulated Kraken on a thread of its own. Use it as a context manager, or `start()` and `stop()` it.

    `accounts` is how many there are (MASTER, user1, …), `seed` decides keys, prices and order ids, `latency_ms` is
    waited before each answer, `volatility` is the typical relative change of a price in one second (0: prices stand
    still; at most 1), `port` 0 takes a free one. `tier` (off, starter, intermediate, pro) is what every account
    starts with, `clock` is `real`, `frozen` or a `Clock`; a frozen one stands at `start` (RFC 3339 or `now`), without
    it at 2026-01-01T00:00:00Z, so that a run can be repeated to the letter. `url` is known once it is started.
    Stopped and started again it has the same address and remembers everything: an outage. All methods may be called
    from any thread; those that change something raise ControlError (a ValueError) when they are asked for what cannot
    be.
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
        tier: str = "off",
        clock: str | Clock = "real",
        start: str | None = None,
    ) -> None:
        if latency_ms < 0:
            raise ValueError("latency_ms must be 0 or more")
        if isinstance(clock, Clock) and start is not None:
            raise ValueError("start is for clock='frozen' only: a Clock has its own time")
        self.exchange = Exchange(
            make_accounts(accounts, seed),
            seed=seed,
            latency_ms=latency_ms,
            volatility=volatility,
            switches=switches,
            clock=clock if isinstance(clock, Clock) else clock_of(clock, start),
            tier=tier,
        )
        self.host, self.port = host, port
        self.control = Control(self.exchange, lambda: self.url)
        self.site = Site(self.exchange, self.control)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def __repr__(self) -> str:
        running = self.url if self._thread else "stopped"
        return f"<Simulator {running}, {len(self.accounts)} accounts>"

    @property
    def accounts(self) -> tuple[SimAccount, ...]:
        """The accounts: MASTER, user1, …"""
        return self.exchange.public_accounts

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
        async with _serving(self.site, listener):
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
        """Add a fault rule, as `POST /sim/faults` does.

        Fields besides `methods`: account, pair, count or probability, nth, after_calls, when, and what the kind takes.
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
        """Orders, balances, nonces, settings, switches, faults and journal as at the start; the keys stay."""
        self.control.reset()

    def update_account(self, name: str, **changes: Any) -> dict[str, Any]:
        """Change nonce, nonce_window, permissions, otp, balances or tier of one account; gives its state."""
        return self.control.update_account(name, changes)

    def set_status(self, status: str | None = None, **pairs: str) -> dict[str, Any]:
        """Put the exchange or pairs into a state: `set_status("cancel_only")`, `set_status(XBTUSD="post_only")`."""
        return self.control.set_status({"status": status, "pairs": pairs})

    def switches(self) -> Switches:
        """The switches in force."""
        return self.exchange.switches

    def set_switches(self, **changes: Any) -> Switches:
        """Change switches, all or none: `set_switches(history_cost=2)`; gives those in force."""
        self.control.set_switches(changes)
        return self.exchange.switches

    def freeze(self) -> dict[str, Any]:
        """Stop the exchange's clock where it is; gives the clock, as the next two do."""
        return self.control.set_time({"freeze": True})

    def advance(self, seconds: float) -> dict[str, Any]:
        """Move the exchange's clock forward, and let happen what is due by then."""
        return self.control.set_time({"advance_s": seconds})

    def real_time(self) -> dict[str, Any]:
        """Let the exchange's clock show the system's time again."""
        return self.control.set_time({"real": True})

    def direct(self, account: int | SimAccount = 0) -> Direct:
        """A client without a socket, also of a simulator that was not started: an account, or its place.

        Its nonces count from one above the highest that the key has used by now.
        """
        used_by = self.accounts[account] if isinstance(account, int) else account
        known = self.exchange.accounts.get(used_by.name)
        return Direct(self.site.handle, used_by, first_nonce=1 if known is None else known.highest_nonce + 1)

    def audit(self) -> None:
        """Judge the simulator itself: AuditFailed (an AssertionError) lists what it did wrong by its own rules."""
        found = self.control.audit()["findings"]
        if found:
            raise AuditFailed("the simulator is wrong about itself:\n" + "\n".join(found))

    def save(self, path: str | Path) -> None:
        """Write accounts, orders, nonces, counters, clock, switches, faults and dice to a file, whole or not at all."""
        target = Path(path)
        unfinished = target.with_name(target.name + ".new")
        unfinished.write_text(json.dumps(self.control.snapshot()), encoding="utf-8")
        unfinished.replace(target)

    def load(self, path: str | Path) -> None:
        """Go on from a file that `save` wrote, with its keys, clock and switches; the journal starts anew."""
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError:
            raise ControlError(f"snapshot: {path} is not JSON") from None
        self.control.restore(document)


def serve(
    *,
    port: int,
    accounts: int,
    seed: int,
    latency_ms: float,
    volatility: float = 0,
    host: str = "127.0.0.1",
    out: TextIO | None = None,
    tier: str = "off",
    state: str | Path | None = None,
    clock: str = "real",
    start: str | None = None,
    switches: Mapping[str, Any] | None = None,
) -> None:
    """Run in the foreground until SIGINT or SIGTERM, then return.

    `state` is a file to go on from, if it is there, and to save to at the end; its keys, clock and switches then
    count; of `switches`, which are changes by name, those that are given.

    The first line on `out` (default: stdout) is one JSON document:
    `{"url", "accounts": [{"name", "api_key", "api_secret"}, …]}`.
    OSError when the port is taken or the file cannot be used, ValueError when a number or the file makes no sense.
    To be called from the main thread.
    """
    simulator = Simulator(
        port=port,
        accounts=accounts,
        seed=seed,
        latency_ms=latency_ms,
        volatility=volatility,
        host=host,
        tier=tier,
        clock=clock,
        start=start,
        switches=changed(Switches(), switches or {}),
    )
    if state is not None and Path(state).exists():
        simulator.load(state)
        simulator.set_switches(**(switches or {}))
    listener = _listen(host, port)
    simulator.port = listener.getsockname()[1]
    asyncio.run(_serve_until_signal(simulator, listener, out or sys.stdout))
    if state is not None:
        simulator.save(state)


async def _serve_until_signal(simulator: Simulator, listener: socket.socket, out: TextIO) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with _serving(simulator.site, listener):
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
    alarm = Alarm(site.exchange)
    try:
        yield
    finally:
        alarm.stop()
        server.close()
        for _ in range(CLOSING_ROUNDS):  # one that was just being accepted shows only in the next round
            for connection in list(connections):
                connection.abort()
            await asyncio.sleep(0)
