"""The gateway beside a bare reverse proxy of the same libraries: calls a second over many keys, and what one adds.

Gateway, proxy, exchange and bots are processes of their own (``sealane serve``, ``bare_proxy``, ``fast_server``,
``gateway_load``). The bots are the same for both and so is what they ask; through the gateway each signs with a
virtual key. The gateway checks key, signature, nonce and policy, writes the call down, takes a turn on the account's
lane, draws a nonce and signs anew; the proxy forwards. Kraken's limits are off: with them, waiting would be measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from bench.fast_server import SECRET, FastServer, fast_server
from bench.gateway_load import Bot, Done, Shift, load
from bench.report import Figure, Result
from bench.rounds import in_turns, percentile
from bench.serve import keys, resident_bytes, variables
from bench.workers import spawned

TITLE = "sealane serve against a bare proxy (Starlette, uvicorn, httpcore2), processes apart, a fast server on loopback"
ACCOUNTS = 16
LOADERS = 2
ROUNDS, ORDER_ROUNDS = 7, 5
SHIFT_S, QUIET_SHIFT_S = 1.5, 0.6
LEAD_S = 0.1
START_LIMIT_S, ANSWER_LIMIT_S = 30.0, 30.0
TARGET = 0.6

Bots = Sequence[Bot]


@dataclass
class Loaders:
    """The processes of bots, and what went wrong in their calls."""

    orders: Sequence[Connection]
    wrong: list[bytes] = field(default_factory=list)

    def calls(self, bots: Bots, method: str, seconds: float) -> list[float]:
        """How long each call took that ended within the shift."""
        begins = time.monotonic() + LEAD_S
        shares = [bots[number :: len(self.orders)] for number in range(len(self.orders))]
        working = [(orders, tuple(share)) for orders, share in zip(self.orders, shares, strict=True) if share]
        for orders, share in working:
            orders.send(Shift(share, method, begins, begins + seconds))
        found = [_received(orders) for orders, _ in working]
        self.wrong += [one for done in found for one in done.wrong]
        return [one for done in found for one in done.seconds]

    def rate(self, bots: Bots, method: str) -> float:
        """Calls a second of all these bots at the same time."""
        return len(self.calls(bots, method, SHIFT_S)) / SHIFT_S

    def quiet_ms(self, bots: Bots) -> float:
        """The median call of one bot while no other calls."""
        return percentile(self.calls(bots[:1], "Balance", QUIET_SHIFT_S), 0.5) * 1000


def _received(orders: Connection) -> Done:
    if not orders.poll(ANSWER_LIMIT_S):
        raise TimeoutError("the bots of the benchmark gave no answer")
    done = orders.recv()
    assert isinstance(done, Done)
    return done


@contextmanager
def loaders() -> Iterator[Loaders]:
    """So many processes of bots, ended with the block."""
    with spawned(LOADERS, load) as workers:
        yield Loaders(workers)


# --- what is measured -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Service:
    """A running process that answers under ``url``."""

    url: str
    pid: int


@contextmanager
def running(module: Sequence[str], environ: dict[str, str] | None = None) -> Iterator[Service]:
    """A program whose first line tells its URL, bare or in JSON; ended with the block."""
    command = [sys.executable, "-m", *module]
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | (environ or {}),
        cwd=root,
    ) as process:
        try:
            yield Service(_first_url(process), process.pid)
        finally:
            process.terminate()


def _first_url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    stop = threading.Timer(START_LIMIT_S, process.kill)
    stop.start()
    try:
        line = process.stdout.readline().strip()
    finally:
        stop.cancel()
    if not line:
        raise RuntimeError(f"a process of the benchmark did not start: {process.args!r}")
    return str(json.loads(line)["url"]) if line.startswith("{") else line


def gateway_environment(server: FastServer, folder: Path) -> dict[str, str]:
    """Of ``sealane serve`` with its accounts, each on its key's own lane."""
    return variables(server.url, keys(ACCOUNTS, "gateway"), folder, "per-key")


def virtual_bots(folder: Path) -> list[tuple[str, str]]:
    """A virtual key for each account: its text and its secret."""
    from sealane.client.accounts import MASTER
    from sealane.gateway.keys import GATEWAY_FOLDER
    from sealane.gateway.keys.key_file import KeyFile
    from sealane.gateway.keys.policy import Policy

    file, made = KeyFile(folder / GATEWAY_FOLDER), []
    for number in range(ACCOUNTS):
        account = MASTER if number == 0 else f"user{number}"
        key, secret = file.create(f"bot{number}", account, Policy(), time.time())
        made.append((key.current.key, secret))
    return made


def run(folder: Path) -> Result:
    """See the head of this file."""
    with ExitStack() as stack:
        server, crew = stack.enter_context(fast_server()), stack.enter_context(loaders())
        virtual = virtual_bots(folder / "data")
        gateway = stack.enter_context(
            running(["sealane.cli", "serve", "--port", "0", "--json"], gateway_environment(server, folder / "data"))
        )
        proxy = stack.enter_context(running(["bench.bare_proxy", server.url]))
        ways = {
            "gateway": [Bot(gateway.url, key, secret) for key, secret in virtual],
            "proxy": [Bot(proxy.url, key, SECRET) for key, _ in keys(ACCOUNTS, "proxy")],
            "exchange": [Bot(server.url, key, SECRET) for key, _ in keys(ACCOUNTS, "exchange")],
        }
        figures = measured(crew, ways)
        memory = resident_bytes(gateway.pid), resident_bytes(proxy.pid)
        refused = server.counts().refused
    figures += [Figure(f"memory of the {name}", size / 2**20, "MiB") for name, size in zip(ways, memory, strict=False)]
    figures.append(Figure("nonces refused", refused, "", at_most=0))
    figures.append(Figure("answers that were no acceptance", len(crew.wrong), "", at_most=0))
    return Result("gateway", TITLE, tuple(figures), tuple(str(one) for one in crew.wrong[:3]))


def measured(crew: Loaders, ways: dict[str, list[Bot]]) -> list[Figure]:
    """Many bots at once, one bot alone, and many that place orders."""
    for bots in ways.values():  # lanes and connections are opened, off the clock
        crew.calls(bots, "Balance", QUIET_SHIFT_S)
    both = {name: ways[name] for name in ("gateway", "proxy")}
    many = in_turns({name: partial(crew.rate, bots, "Balance") for name, bots in both.items()}, ROUNDS)
    alone = in_turns({name: partial(crew.quiet_ms, bots) for name, bots in ways.items()}, ROUNDS)
    orders = in_turns({name: partial(crew.rate, bots, "AddOrder") for name, bots in both.items()}, ORDER_ROUNDS)
    return [
        *(many.figure(f"{ACCOUNTS} bots on {ACCOUNTS} accounts: {name}", name, "calls/s") for name in both),
        many.ratio("gateway : proxy", "gateway", "proxy", at_least=TARGET),
        *(alone.figure(f"one bot, one call at a time, p50: {name}", name, "ms") for name in ways),
        alone.ratio("the same, gateway : proxy", "gateway", "proxy"),
        alone.difference("added by the gateway beyond the proxy", "gateway", "proxy", "ms"),
        alone.difference("added by the proxy", "proxy", "exchange", "ms"),
        *(orders.figure(f"{ACCOUNTS} bots place orders: {name}", name, "calls/s") for name in both),
        orders.ratio("orders, gateway : proxy", "gateway", "proxy"),
    ]
