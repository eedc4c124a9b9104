"""The three Python clients on one key, bare and guarded: what Kraken's side refuses, side by side.

Two processes with four threads each make fifty private calls a thread, once with the client as it is and once under
``guard``. Who was refused is read from the simulator's own journal, never from what a client says.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.report import Figure, Result
from bench.workers import spawned
from sealane.plugins import guard
from sealane.simulator import Simulator

PROCESSES, THREADS, CALLS = 2, 4, 50
TOTAL = PROCESSES * THREADS * CALLS
TITLE = f"{PROCESSES} processes × {THREADS} threads × {CALLS} private calls (Balance) on one key: nonces refused"
LATENCY_MS = 2
"""Long enough that calls of several threads are on the way at once, as they are to a real exchange."""
ANSWER_LIMIT_S = 60.0

Call = Callable[[], Any]
"""One private call; raises where the client does."""
Put = Callable[[Any], Any]
"""What is done to a client before it is used: ``guard``, or nothing."""


@dataclass(frozen=True)
class Way:
    """Where the calls go, and as whom."""

    url: str
    api_key: str
    api_secret: str


def ccxt_call(way: Way, put: Put) -> Call:
    import ccxt

    exchange = ccxt.kraken({"apiKey": way.api_key, "secret": way.api_secret, "enableRateLimit": False})
    exchange.urls["api"]["private"] = way.url
    call: Call = put(exchange).privatePostBalance
    return call


def krakenex_call(way: Way, put: Put) -> Call:
    """krakenex hands errors over instead of raising them."""
    import krakenex

    api = krakenex.API(way.api_key, way.api_secret)
    api.uri = way.url
    put(api)

    def call() -> None:
        errors = api.query_private("Balance")["error"]
        if errors:
            raise RuntimeError(errors)

    return call


def python_kraken_sdk_call(way: Way, put: Put) -> Call:
    from kraken.spot import User

    call: Call = put(User(key=way.api_key, secret=way.api_secret, url=way.url)).get_account_balance
    return call


CLIENTS = {"ccxt": ccxt_call, "krakenex": krakenex_call, "python-kraken-sdk": python_kraken_sdk_call}


# --- the workers' side ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """What one process is to do: all its threads share one client."""

    client: str
    guarded: bool
    way: Way


def worker(orders: Connection) -> None:
    """One process: carries out orders until there are no more."""
    for make in CLIENTS.values():  # imports are not to be a head start for whoever has them already
        make(Way("http://127.0.0.1:9", "key", "c2VjcmV0"), lambda client: client)
    orders.send(Counter())  # ready
    while (order := _next_order(orders)) is not None:
        orders.send(_carry_out(order))


def _next_order(orders: Connection) -> Order | None:
    """None once the parent is done, or gone."""
    try:
        order = orders.recv()
    except EOFError:
        return None
    return order if isinstance(order, Order) else None


def _carry_out(order: Order) -> Counter[str]:
    call = CLIENTS[order.client](order.way, guard if order.guarded else lambda client: client)
    start = threading.Barrier(THREADS)
    with ThreadPoolExecutor(THREADS) as pool:
        rows = [pool.submit(_call_on, call, start) for _ in range(THREADS)]
        return sum((row.result() for row in rows), Counter())


def _call_on(call: Call, start: threading.Barrier) -> Counter[str]:
    """A refused call is counted and the next one made, as a bot in a loop does."""
    ends: Counter[str] = Counter()
    start.wait()
    for _ in range(CALLS):
        ends["made"] += 1
        try:
            call()
            ends["answered"] += 1
        except Exception as error:
            ends[f"failed: {type(error).__name__}"] += 1
    return ends


# --- the parent's side ------------------------------------------------------------------------------------------------


@contextmanager
def crew() -> Iterator[Sequence[Connection]]:
    """Workers that are ready to call; ended with the block."""
    with spawned(PROCESSES, worker) as workers:
        for ours in workers:
            _received(ours)
        yield workers


def _received(orders: Connection) -> Counter[str]:
    if not orders.poll(ANSWER_LIMIT_S):
        raise TimeoutError("a process of the benchmark gave no answer")
    answer = orders.recv()
    assert isinstance(answer, Counter)
    return answer


@dataclass(frozen=True)
class Outcome:
    """One run by the journal; ``made`` and ``answered`` by the callers, so that no call is missing from either."""

    made: int
    answered: int
    requests: int
    accepted: int
    refused: int
    rose: bool
    overlap: int


def judged(simulator: Simulator, workers: Sequence[Connection], client: str, *, guarded: bool) -> Outcome:
    """Reset the exchange, let all workers call at once, and read its journal."""
    simulator.reset()
    account = simulator.accounts[0]
    order = Order(client, guarded, Way(simulator.url, account.api_key, account.api_secret))
    for orders in workers:
        orders.send(order)
    ends: Counter[str] = sum((_received(orders) for orders in workers), Counter())
    summary = simulator.journal(limit=0)["summary"]
    return Outcome(
        ends["made"],
        ends["answered"],
        summary["requests"],
        summary["accepted"],
        summary["refused_nonce"],
        summary["nonces_rose"],
        summary["max_overlap"],
    )


def run(folder: Path) -> Result:
    """See the head of this file."""
    os.environ["DATA_DIR"] = str(folder)  # one store for all guarded processes
    os.environ["SEALANE_TIER"] = "off"  # nonces are on trial here: calls are not spaced out for Kraken's rate limits
    figures: list[Figure] = []
    with Simulator(latency_ms=LATENCY_MS, seed=1) as simulator, crew() as workers:
        for client in CLIENTS:
            bare = judged(simulator, workers, client, guarded=False)
            figures += _figures(client, bare, judged(simulator, workers, client, guarded=True))
    return Result("guarded", TITLE, tuple(figures))


def _figures(client: str, bare: Outcome, guarded: Outcome) -> list[Figure]:
    for name, count in (("bare calls made", bare.made), ("guarded", guarded.made), ("seen", guarded.requests)):
        if count != TOTAL:
            raise RuntimeError(f"{client}: {name}: {count}, not {TOTAL}")
    in_order = guarded.accepted if guarded.rose else 0
    return [
        Figure(f"{client} bare, refused", bare.refused, f"of {TOTAL}"),
        Figure(f"{client} guarded, refused", guarded.refused, f"of {TOTAL}", at_most=0),
        Figure(f"{client} bare, answered", bare.answered, f"of {TOTAL}"),
        Figure(f"{client} guarded, answered", guarded.answered, f"of {TOTAL}", at_least=TOTAL),
        Figure(f"{client} guarded, accepted in rising order", in_order, f"of {TOTAL}", at_least=TOTAL),
        Figure(f"{client} bare, in flight at once", bare.overlap, "calls"),
        Figure(f"{client} guarded, in flight at once", guarded.overlap, "call", at_most=1),
    ]
