"""A broker's balance a second beside the client that it stands on: the same key, lane and connection, in turns.

The broker asks every time (``balance_cache_s=0``) and so makes the same private calls; what it adds is the reading of
the amounts, their sum, and its standing. The line with the cache shows what callers pay who come within its seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.fast_server import SECRET, FastServer, fast_server
from bench.report import Figure, Result
from bench.rounds import in_turns, per_second
from sealane.broker import KrakenBroker
from sealane.client import Kraken

TITLE = "balances a second through the broker, one key, one thread, a fast server on loopback"
ROUNDS = 60
ROUND_S = 0.07
BATCH = 20
"""Many short rounds: what is compared is close, and the machine's weather changes by the second."""


def run(folder: Path) -> Result:
    """See the head of this file."""
    with (
        fast_server() as server,
        Kraken(api_key="bench-key-of-broker", api_secret=SECRET, url=server.url, store=folder) as kraken,
        KrakenBroker(client=kraken, balance_cache_s=0) as asking,
        KrakenBroker(client=kraken, balance_cache_s=3_600) as caching,
    ):
        ways: dict[str, Callable[[], object]] = {
            "private": lambda: kraken.private("Balance"),
            "balance": kraken.balance,
            "broker": asking.get_account_balance,
        }
        for call in ways.values():
            _reaches(call, server)
        rates = in_turns({name: partial(_rate, call) for name, call in ways.items()}, ROUNDS)
        before = server.counts().accepted
        cached = in_turns({"cached": partial(_rate, caching.get_account_balance)}, 3)
        asked = server.counts().accepted - before
    figures = (
        rates.figure("private('Balance')", "private", "calls/s"),
        rates.figure("balance()", "balance", "calls/s"),
        rates.figure("get_account_balance(), no cache", "broker", "calls/s"),
        rates.ratio("broker : bare client", "broker", "private", at_least=0.9),
        rates.ratio("broker : balance()", "broker", "balance"),
        cached.figure("get_account_balance(), cached", "cached", "calls/s"),
        Figure("of these asked the server", asked, "", at_most=1),
    )
    return Result("broker", TITLE, figures)


def _rate(call: Callable[[], object]) -> float:
    def batch(count: int) -> None:
        for _ in range(count):
            call()

    return per_second(batch, BATCH, ROUND_S)


def _reaches(call: Callable[[], object], server: FastServer) -> None:
    """One call off the clock: a private call each, or the comparison is none."""
    before = server.counts().accepted
    call()
    if server.counts().accepted != before + 1:
        raise RuntimeError("a way to the balance did not make exactly one private call")
