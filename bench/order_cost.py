"""What an order that ends as placed or not placed costs beyond the bare call, and what a lost answer costs.

The first in turns: ``place_order`` with its intents synced and not, and ``private("AddOrder")`` with the same fields,
client order id and deadline included. What an order adds is a constant, so its ratio is the smaller the longer an
answer takes: it is asked for beside the simulator, which answers in about a millisecond, and also shown beside a
server that answers as fast as Python can. The second against the simulator, whose journal counts: private requests
from the one whose answer was lost, without it, to the end.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.fast_server import SECRET, fast_server
from bench.order_exchange import exchange
from bench.report import Figure, Result
from bench.rounds import Rates, in_turns, per_second
from sealane import Kraken
from sealane.client.orders import DEADLINE_S, rfc3339
from sealane.core.nonce import NS_PER_S
from sealane.core.order import Placed
from sealane.simulator import Simulator

TITLE = "an order beside the bare call with the same fields; requests after a lost answer"
ROUNDS = 15
ROUND_S = 0.25
BATCH = 20
WAYS = ("bare", "off", "on")
OFF_AT_MOST = 1.2
ROUND_TRIPS_AT_MOST = 2
LOST: tuple[tuple[str, dict[str, Any]], ...] = (
    ("drop_before", {}),
    ("drop_after", {}),
    ("http_before", {"status": 502}),
    ("http_after", {"status": 502}),
    ("html", {"applied": True}),
    ("half", {}),
)
ORDERS_A_FAULT = 36

Call = Callable[[], Any]


def run(folder: Path) -> Result:
    """See the head of this file."""
    logging.getLogger("sealane").setLevel(logging.CRITICAL)
    return Result("order_cost", TITLE, (*_costs(folder), *_round_trips(folder)))


# --- undisturbed ------------------------------------------------------------------------------------------------------


def _costs(folder: Path) -> Iterator[Figure]:
    with exchange(accounts=3, seed=5) as kraken:
        ways = [(access.url, access.api_key, access.api_secret) for access in kraken.accounts]
        rates = _rates(folder / "simulator", ways)
        refused = kraken.control("GET", "/sim/journal?limit=0")["summary"]["refused_nonce"]
    yield rates.figure('private("AddOrder"), simulator', "bare", "calls/s")
    yield rates.ratio("order, sync off : bare call, simulator", "bare", "off", at_most=OFF_AT_MOST)
    yield rates.ratio("order, sync on : bare call, simulator", "bare", "on")
    with fast_server() as server:
        rates = _rates(folder / "fast", [(server.url, f"bench-key-{name}", SECRET) for name in WAYS])
        refused += server.counts().refused
    yield rates.figure('private("AddOrder"), fast server', "bare", "calls/s")
    yield rates.ratio("order, sync off : bare call, fast server", "bare", "off")
    yield rates.ratio("order, sync on : bare call, fast server", "bare", "on")
    yield Figure("nonces refused", refused, "", at_most=0)


def _rates(folder: Path, ways: Sequence[tuple[str, str, str]]) -> Rates:
    """Orders a second each way, in turns; every way has a key (URL, key, secret) and a folder of its own."""
    clients = {name: _client(folder / name, way, sync=name) for name, way in zip(WAYS, ways, strict=True)}
    calls: dict[str, Call] = {name: partial(_place, client) for name, client in clients.items()}
    calls["bare"] = _bare(clients["bare"])
    for name, call in calls.items():  # off the clock: connections, and what is kept of a key whose window is known
        clients[name].private("GetApiKeyInfo")
        call()
    return in_turns({name: partial(_rate, call) for name, call in calls.items()}, ROUNDS)


def _client(folder: Path, way: tuple[str, str, str], sync: str) -> Kraken:
    os.environ["SEALANE_SYNC_INTENTS"] = "off" if sync == "off" else "on"
    url, key, secret = way
    return Kraken(api_key=key, api_secret=secret, url=url, store=folder)


def _bare(kraken: Kraken) -> Call:
    fields = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.001", "price": "1000"}

    def call() -> Any:
        deadline = rfc3339(time.time_ns() + int(DEADLINE_S * NS_PER_S))
        return kraken.private("AddOrder", {**fields, "cl_ord_id": str(uuid.uuid4()), "deadline": deadline})

    return call


def _place(kraken: Kraken) -> Placed:
    end = kraken.place_order(pair="XBTUSD", side="buy", volume="0.001", price="1000")
    if not isinstance(end, Placed):
        raise RuntimeError(f"an order of the benchmark was not placed: {end}")
    return end


def _rate(call: Call) -> float:
    def batch(count: int) -> None:
        for _ in range(count):
            call()

    return per_second(batch, BATCH, ROUND_S)


# --- a lost answer ----------------------------------------------------------------------------------------------------


def _round_trips(folder: Path) -> Iterator[Figure]:
    os.environ["SEALANE_SYNC_INTENTS"] = "off"
    counts: dict[str, list[int]] = {}
    with Simulator(seed=5) as simulator:
        account = simulator.accounts[0]
        key, secret = account.api_key, account.api_secret
        with Kraken(api_key=key, api_secret=secret, url=simulator.url, store=folder / "lost") as kraken:
            _place(kraken)
            for kind, more in LOST * ORDERS_A_FAULT:
                counts.setdefault(kind, []).append(_requests_after(simulator, kraken, kind, more))
        simulator.audit()
    everything = [count for several in counts.values() for count in several]
    name = f"requests from a lost answer to Placed, median of {len(everything)}"
    low, high = min(everything), max(everything)
    yield Figure(name, median(everything), "", low, high, at_most=ROUND_TRIPS_AT_MOST)
    for kind, several in counts.items():
        yield Figure(f"· {kind}", median(several), "", min(several), max(several))


def _requests_after(simulator: Simulator, kraken: Kraken, kind: str, more: dict[str, Any]) -> int:
    """Private requests after the one that met the fault, until the order was known to be placed."""
    simulator.clear_journal()
    simulator.add_fault(kind, methods=["AddOrder"], **more)
    end = _place(kraken)
    entries = simulator.journal()["entries"]
    if [entry["fault"] for entry in entries if entry["fault"]] != [kind] or end.txid not in _book(simulator):
        raise RuntimeError(f"{kind}: the fault was not met, or the order is not in the book")
    return len(entries) - 1 - next(n for n, entry in enumerate(entries) if entry["fault"])


def _book(simulator: Simulator) -> dict[str, Any]:
    orders: dict[str, Any] = simulator.state()["accounts"]["MASTER"]["orders"]
    return orders
