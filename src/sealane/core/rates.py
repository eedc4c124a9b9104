"""An account's counters together: the document that all its processes share.

1. There is one REST counter a key and one trading counter a pair. A call claims from all of its counters or from none.
2. ``ask`` and ``settle`` are steps from one document to the next: a store makes each while nobody else can.
3. How many orders are open is counted from what was placed and cancelled here, and known after every OpenOrders. What
   is filled meanwhile is not seen, so a pair that seems full is looked at before anybody is refused.
4. An order that is not known is taken to be on the account's fullest pair.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from sealane.core.counter import Counter, Limit
from sealane.core.nonce import NS_PER_S
from sealane.core.tiers import ADD, Tier
from sealane.core.transaction import FULLEST, Costs, Notes, Transaction

THROTTLE_MAX_S = 300.0
"""A throttle that names a later time is taken for a clock that is wrong."""
THROTTLE_S = 5.0
"""How long a throttle that names no time lasts."""
PROMISE_SLACK_S = 5.0
"""So long after its time a promise is kept for who waits."""
WAIT_MIN_S = 0.001
"""Nobody asks again sooner: floats and clocks are not exact."""
LOOK_AGAIN_S = 5.0
"""A pair with as many open orders as it may have is looked at again after this."""
_REST, _PAIR = "key ", "pair "

Claim = tuple[tuple[str, float], ...]
"""Counters by name, and how much of each."""


@dataclass(frozen=True)
class Rates:
    """The document; ``blocked_ns`` is until when Kraken throttles a key, ``open`` how many orders a pair has."""

    counters: Mapping[str, Counter] = field(default_factory=dict)
    open: Mapping[str, int] = field(default_factory=dict)
    blocked_ns: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def loaded(cls, stored: Mapping[str, object]) -> Rates:
        """The document that a store kept."""
        return cls(
            {name: Counter.loaded(row) for name, row in _mapping(stored, "counters").items()},
            {pair: count for pair, count in _mapping(stored, "open").items() if isinstance(count, int)},
            {key: at_ns for key, at_ns in _mapping(stored, "blocked_ns").items() if isinstance(at_ns, int)},
        )

    def stored(self) -> dict[str, object]:
        """The document as plain JSON values, without what is idle."""
        return {
            "counters": {name: counter.stored() for name, counter in self.counters.items() if not counter.is_idle},
            "open": {pair: count for pair, count in self.open.items() if count > 0},
            "blocked_ns": dict(self.blocked_ns),
        }


@dataclass(frozen=True, slots=True)
class Room:
    """The answer to ``ask``.

    Attributes:
        wait_s: 0 where the call may go, and ``claim`` is what it claimed; else how long until it should ask again.
        claim: what is claimed, or promised to one who waits.
        counter: which counter has no room, "" for none.
        full_pair: the pair that seems to have as many open orders as it may.
    """

    wait_s: float
    claim: Claim
    counter: str = ""
    full_pair: str = ""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for room: the key, its tier, for how long a claim may be out, and the notes of the orders concerned."""

    fingerprint: str
    tier: Tier
    claim_s: float
    notes: Notes = field(default_factory=dict)

    def limit(self, counter: str) -> Limit:
        """The limit of a counter by its name."""
        return self.tier.rest if counter.startswith(_REST) else self.tier.trading


def costs_of(rates: Rates, asker: Asker, call: Transaction, costs: Costs) -> Claim:
    """A call's costs by counter: the key's, and the pairs' with the unknown ones on the fullest."""
    named: dict[str, float] = {rest_counter(asker.fingerprint): asker.tier.rest_cost(call.method)}
    for pair, cost in costs.items():
        name = _fullest(rates) if pair == FULLEST else pair_counter(pair)
        named[name] = named.get(name, 0.0) + cost
    return tuple((name, cost) for name, cost in named.items() if cost)


def pairs_of(rates: Rates, costs: Costs) -> tuple[str, ...]:
    """The trading counters that a transaction with these costs goes to."""
    return tuple(_fullest(rates) if pair == FULLEST else pair_counter(pair) for pair in costs or (FULLEST,))


def rest_counter(fingerprint: str) -> str:
    """The name of a key's REST counter."""
    return _REST + fingerprint


def pair_counter(pair: str) -> str:
    """The name of a pair's trading counter."""
    return _PAIR + pair


def pair_of(counter: str) -> str:
    """The pair of a trading counter, "" for the other kind."""
    return counter.removeprefix(_PAIR) if _is_pair(counter) else ""


def _fullest(rates: Rates) -> str:
    pairs = {name: counter.level + counter.claimed for name, counter in rates.counters.items() if _is_pair(name)}
    return max(pairs, key=lambda name: pairs[name], default=pair_counter(FULLEST))


def _is_pair(name: str) -> bool:
    return name.startswith(_PAIR)


def ask(rates: Rates, asker: Asker, call: Transaction, now_ns: int, promised: Claim) -> tuple[Rates, Room]:
    """Claim room for a call, or learn how long to wait; ``promised`` is what the same caller was promised before."""
    counters = _as_of(rates, asker, now_ns)
    rates = replace(rates, counters=counters)
    _promise(counters, call.rank, promised, -1)
    full = _full_pair(rates, asker, call)
    if full:
        return rates, Room(LOOK_AGAIN_S, (), full_pair=full)
    claim = costs_of(rates, asker, call, call.costs(asker.notes, now_ns))
    slowest, wait_s = _slowest(counters, asker, call.rank, claim, queued=not promised)
    wait_s = max(wait_s, _throttled_s(rates, asker, now_ns))
    if not wait_s:
        for name, cost in claim:
            counters[name] = counters[name].claim(cost, now_ns + int(asker.claim_s * NS_PER_S))
        return rates, Room(0.0, claim)
    _promise(counters, call.rank, claim, +1, now_ns + int((wait_s + PROMISE_SLACK_S) * NS_PER_S))
    # What an order costs falls with its age, so there may be room before the counter has drained.
    step_s = call.next_step_s(asker.notes, now_ns)
    wait_s = wait_s if step_s is None else min(wait_s, step_s)
    return rates, Room(max(WAIT_MIN_S, wait_s), claim, slowest)


def _as_of(rates: Rates, asker: Asker, now_ns: int) -> defaultdict[str, Counter]:
    """The counters as of now, and an empty one for every other name."""
    known = {name: row.at(asker.limit(name), now_ns) for name, row in rates.counters.items()}
    return defaultdict(lambda: Counter(at_ns=now_ns), known)


def _slowest(
    counters: Mapping[str, Counter], asker: Asker, rank: int, claim: Claim, *, queued: bool
) -> tuple[str, float]:
    """The counter that makes the call wait longest, and how long."""
    waits = {name: counters[name].wait_s(asker.limit(name), rank, cost, queued=queued) for name, cost in claim}
    slowest = max(waits, key=lambda name: waits[name], default="")
    return slowest, waits.get(slowest, 0.0)


def _promise(counters: dict[str, Counter], rank: int, claim: Claim, sign: int, until_ns: int = 0) -> None:
    for name, cost in claim:
        counters[name] = counters[name].promise(rank, sign * cost, until_ns)


def _full_pair(rates: Rates, asker: Asker, call: Transaction) -> str:
    full = call.what == ADD and call.rests and rates.open.get(call.pair, 0) + call.count > asker.tier.open_orders
    return call.pair if full else ""


def _throttled_s(rates: Rates, asker: Asker, now_ns: int) -> float:
    left_s = (rates.blocked_ns.get(asker.fingerprint, 0) - now_ns) / NS_PER_S
    return left_s if 0 < left_s <= THROTTLE_MAX_S else 0.0


def forget(rates: Rates, asker: Asker, rank: int, promised: Claim, now_ns: int) -> Rates:
    """Who was promised room waits no longer."""
    counters = _as_of(rates, asker, now_ns)
    _promise(counters, rank, promised, -1)
    return replace(rates, counters=counters)


def settle(rates: Rates, asker: Asker, claim: Claim, charge: Claim, now_ns: int) -> Rates:
    """Give a claim back, and charge what a request cost."""
    counters = _as_of(rates, asker, now_ns)
    for name, cost in claim:
        counters[name] = counters[name].claim(-cost, 0)
    for name, cost in charge:
        counters[name] = counters[name].charge(cost)
    return replace(rates, counters=counters)


def contradicted(rates: Rates, asker: Asker, names: Iterable[str], now_ns: int) -> Rates:
    """Kraken says that these counters are full."""
    counters = _as_of(rates, asker, now_ns)
    for name in names:
        counters[name] = counters[name].contradicted(asker.limit(name))
    return replace(rates, counters=counters)


def throttled(rates: Rates, asker: Asker, until_ns: int, now_ns: int) -> Rates:
    """Kraken names a time before which it takes nothing more of this key."""
    others = {key: at_ns for key, at_ns in rates.blocked_ns.items() if at_ns > now_ns}
    return replace(rates, blocked_ns={**others, asker.fingerprint: until_ns})


def with_open(rates: Rates, changes: Mapping[str, int]) -> Rates:
    """So many more orders are open, by pair."""
    counts = dict(rates.open)
    for pair, more in changes.items():
        counts[pair] = max(0, counts.get(pair, 0) + more)
    return replace(rates, open=counts)


def _mapping(stored: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = stored.get(name)
    return value if isinstance(value, Mapping) else {}
