"""A client's figures: counted from its events, shown as one frozen snapshot."""

from __future__ import annotations

import collections
import threading
from dataclasses import dataclass, replace

from sealane.core import events
from sealane.core.counter import Counter, Limit
from sealane.core.rates import Rates, pair_counter, pair_of, rest_counter, throttled_for_s
from sealane.core.tiers import Tier
from sealane.core.verdict import Outcome


@dataclass(frozen=True)
class CounterFigures:
    """One of Kraken's counters at one moment, shared by every process of the store.

    Attributes:
        name: ``"rest"``, or the pair of a trading counter such as ``"XBTUSD"``.
        level, limit: where it stands, claims of calls under way included, and what it may reach. A level above the
            limit means that Kraken contradicted it: nothing goes before it has drained.
        drain_s: seconds until it is at zero if nothing is sent.
        waited_for: the cost of calls that wait for room.
        blocked_s: for how long Kraken has said that it takes nothing of this key.
        open_orders, open_orders_limit: of the pair, as far as they are known here; None for the REST counter.
    """

    name: str
    level: float
    limit: float
    drain_s: float
    waited_for: float
    blocked_s: float = 0.0
    open_orders: int | None = None
    open_orders_limit: int | None = None


@dataclass(frozen=True)
class Statistics:
    """One client at one moment. Counts are since the client was made; health, metrics and CLI all show these.

    Attributes:
        account, key, url, lane: whose client this is; the key as its last four characters.
        sent: private requests that came to an outcome, repeats and fences included.
        accepted, refused, not_sent, in_doubt: those by outcome.
        nonce_refusals: of the refused, those for their nonce.
        jumps: raised floors. repeated: reads sent again.
        quarantined: the diagnosis where the key is stopped, "" otherwise.
        last_nonce: the lane's highest nonce, by any process. nonces_issued: those by this process.
        clock_doubted: the clock leaped forward and is not followed.
        waiting: callers in this process that wait for the lane. busy: whether one holds it.
        counters: Kraken's counters as kept for this key and its account's pairs; empty with the tier off.
        uptime_s: seconds since the client was made.
    """

    account: str
    key: str
    url: str
    lane: str
    sent: int
    accepted: int
    refused: int
    not_sent: int
    in_doubt: int
    nonce_refusals: int
    jumps: int
    repeated: int
    quarantined: str
    last_nonce: int
    nonces_issued: int
    clock_doubted: bool
    waiting: int
    busy: bool
    counters: tuple[CounterFigures, ...]
    uptime_s: float


def counter_figures(rates: Rates, tier: Tier, fingerprint: str, now_ns: int) -> tuple[CounterFigures, ...]:
    """The REST counter of a key and the trading counters of its account's pairs, in the order of their names."""
    rest = replace(
        _figures("rest", rates.counters.get(rest_counter(fingerprint), Counter()), tier.rest, now_ns),
        blocked_s=round(throttled_for_s(rates, fingerprint, now_ns), 3),
    )
    pairs = sorted({pair_of(name) for name in rates.counters} - {""} | set(rates.open))
    return (
        rest,
        *(
            replace(
                _figures(pair, rates.counters.get(pair_counter(pair), Counter()), tier.trading, now_ns),
                open_orders=rates.open.get(pair, 0),
                open_orders_limit=tier.open_orders,
            )
            for pair in pairs
        ),
    )


def _figures(name: str, counter: Counter, limit: Limit, now_ns: int) -> CounterFigures:
    now = counter.at(limit, now_ns)
    level = now.level + now.claimed
    waited_for = round(now.promised, 3)
    return CounterFigures(name, round(level, 3), limit.maximum, round(level / limit.decay_per_s, 3), waited_for)


class Tally:
    """Counts events; safe from any thread."""

    def __init__(self) -> None:
        self._counts: collections.Counter[str] = collections.Counter()
        self.after_fork()

    def after_fork(self) -> None:
        """In a forked child: a thread of the parent may hold the mutex, and does not exist here."""
        self._mutex = threading.Lock()

    def hear(self, event: events.Event) -> None:
        """Count one event."""
        with self._mutex:
            match event:
                case events.CallSettled():
                    self._counts["sent"] += 1
                    self._counts[event.outcome.value] += 1
                case events.NonceRefused():
                    self._counts["nonce_refusals"] += 1
                case events.LaneJumped():
                    self._counts["jumps"] += 1
                case events.CallRepeated():
                    self._counts["repeated"] += 1

    def __getitem__(self, name: str | Outcome) -> int:
        with self._mutex:
            return self._counts[name.value if isinstance(name, Outcome) else name]
