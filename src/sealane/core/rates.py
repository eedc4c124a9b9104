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

from sealane.core.counter import CLAIMED, Counter, Limit
from sealane.core.methods import HARMLESS
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
COUNTERS_MAX = 300
"""Counters that are kept: more pairs than anybody trades at once, and what fits a store's slot."""
_REST, _PAIR = "key ", "pair "
OPEN = "open "
THROTTLE = "throttle"

Cost = tuple[tuple[str, float], ...]
"""Counters by name, and how much of each."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one caller holds: ``costs`` since ``at_ns``, to lapse at ``until_ns``."""

    costs: Cost = ()
    at_ns: int = 0
    until_ns: int = 0


@dataclass(frozen=True)
class Rates:
    """The document.

    Attributes:
        counters: by name.
        open: how many orders a pair has, as far as that is known.
        looked_ns: when somebody last set out to look at a pair's open orders.
        blocked_ns: until when Kraken throttles a key.
    """

    counters: Mapping[str, Counter] = field(default_factory=dict)
    open: Mapping[str, int] = field(default_factory=dict)
    looked_ns: Mapping[str, int] = field(default_factory=dict)
    blocked_ns: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def loaded(cls, stored: Mapping[str, object]) -> Rates:
        """The document that a store kept."""
        counters = {name: Counter.loaded(row) for name, row in _mapping(stored, "counters").items()}
        return cls(counters, *(_whole_numbers(stored, name) for name in ("open", "looked_ns", "blocked_ns")))

    def stored(self) -> dict[str, object]:
        """The document as plain JSON values, without what is idle; beyond COUNTERS_MAX without the least busy."""
        busy = [(name, counter) for name, counter in self.counters.items() if not counter.is_idle]
        busy.sort(key=lambda item: (not _is_pair(item[0]), bool(item[1].held), item[1].level))
        return {
            "counters": {name: counter.stored() for name, counter in busy[-COUNTERS_MAX:]},
            "open": {pair: count for pair, count in self.open.items() if count > 0},
            "looked_ns": {pair: at_ns for pair, at_ns in self.looked_ns.items() if self.open.get(pair)},
            "blocked_ns": dict(self.blocked_ns),
        }


@dataclass(frozen=True, slots=True)
class Room:
    """The answer to ``ask``.

    Attributes:
        wait_s: 0 where the call may go, and ``claim`` is what it claimed; else how long until it should ask again.
        claim: what is claimed, or promised to one who waits.
        counter: which counter has no room, THROTTLE, or "open" and the pair that has as many orders as it may.
        look: the caller should look at the open orders now; others wait for what it finds.
    """

    wait_s: float
    claim: Claim
    counter: str = ""
    look: bool = False


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for room: the key, its tier, for how long a claim may be out, and the notes of the orders concerned.

    ``fences`` is how many harmless calls will go before its own.
    """

    fingerprint: str
    tier: Tier
    claim_s: float
    notes: Notes = field(default_factory=dict)
    fences: int = 0

    def limit(self, counter: str) -> Limit:
        """The limit of a counter by its name."""
        return self.tier.rest if counter.startswith(_REST) else self.tier.trading


def costs_of(rates: Rates, asker: Asker, call: Transaction, costs: Costs) -> Cost:
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
    _hold(counters, call.rank, promised, -1)
    if _is_full(rates, asker, call):
        return _await_a_look(rates, call.pair, now_ns)
    costs = _wanted(rates, asker, call, now_ns)
    slowest, wait_s = _slowest(counters, asker, call.rank, costs, queued=not promised.costs)
    if (throttled_s := throttled_for_s(rates, asker.fingerprint, now_ns)) > wait_s:
        slowest, wait_s = THROTTLE, throttled_s
    if not wait_s:
        claim = Claim(costs, now_ns, now_ns + int(asker.claim_s * NS_PER_S))
        _hold(counters, CLAIMED, claim, +1)
        return rates, Room(0.0, claim)
    promise = Claim(costs, now_ns, now_ns + int((wait_s + PROMISE_SLACK_S) * NS_PER_S))
    _hold(counters, call.rank, promise, +1)
    # What an order costs falls with its age, so there may be room before the counter has drained.
    step_s = call.next_step_s(asker.notes, now_ns)
    wait_s = wait_s if step_s is None else min(wait_s, step_s)
    return rates, Room(max(WAIT_MIN_S, wait_s), promise, slowest)


def _wanted(rates: Rates, asker: Asker, call: Transaction, now_ns: int) -> Cost:
    """What the call claims: its costs and those of the fences before it.

    What is assumed of unknown orders may be more than a counter holds, and is then taken for all of it.
    """
    costs = dict(costs_of(rates, asker, call, call.costs(asker.notes, now_ns)))
    rest = rest_counter(asker.fingerprint)
    fence = asker.fences * asker.tier.rest_cost(HARMLESS)
    if fence:
        costs[rest] = costs.get(rest, 0.0) + fence
    if any(name not in asker.notes for name in call.touches):
        costs = {name: min(cost, asker.limit(name).maximum) for name, cost in costs.items()}
    return tuple(costs.items())


def _as_of(rates: Rates, asker: Asker, now_ns: int) -> defaultdict[str, Counter]:
    """The counters as of now, and an empty one for every other name."""
    known = {name: row.at(asker.limit(name), now_ns) for name, row in rates.counters.items()}
    return defaultdict(lambda: Counter(at_ns=now_ns), known)


def _slowest(
    counters: Mapping[str, Counter], asker: Asker, rank: int, costs: Cost, *, queued: bool
) -> tuple[str, float]:
    """The counter that makes the call wait longest, and how long."""
    waits = {name: counters[name].wait_s(asker.limit(name), rank, cost, queued=queued) for name, cost in costs}
    slowest = max(waits, key=lambda name: waits[name], default="")
    return slowest, waits.get(slowest, 0.0)


def _hold(counters: dict[str, Counter], what: int, claim: Claim, sign: int) -> None:
    for name, cost in claim.costs:
        counters[name] = counters[name].hold(what, sign * cost, claim.until_ns)


def _is_full(rates: Rates, asker: Asker, call: Transaction) -> bool:
    return call.what == ADD and call.rests and rates.open.get(call.pair, 0) + call.count > asker.tier.open_orders


def _await_a_look(rates: Rates, pair: str, now_ns: int) -> tuple[Rates, Room]:
    """One caller looks at the open orders of a pair that seems full, and the others wait for what it finds."""
    left_s = LOOK_AGAIN_S - max(0, now_ns - rates.looked_ns.get(pair, 0)) / NS_PER_S
    if left_s > 0:
        return rates, Room(max(WAIT_MIN_S, left_s), Claim(), OPEN + pair)
    looking = replace(rates, looked_ns={**rates.looked_ns, pair: now_ns})
    return looking, Room(WAIT_MIN_S, Claim(), OPEN + pair, look=True)


def throttled_for_s(rates: Rates, fingerprint: str, now_ns: int) -> float:
    """For how long Kraken takes nothing of a key."""
    left_s = (rates.blocked_ns.get(fingerprint, 0) - now_ns) / NS_PER_S
    return left_s if 0 < left_s <= THROTTLE_MAX_S else 0.0


def is_outdated(rates: Rates, asker: Asker, claim: Claim, now_ns: int) -> bool:
    """Whether Kraken said, after the claim was made, that a counter of it is full, or that it takes nothing now."""
    full = any(rates.counters.get(name, Counter()).full_ns > claim.at_ns for name, _ in claim.costs)
    return full or bool(throttled_for_s(rates, asker.fingerprint, now_ns))


def forget(rates: Rates, asker: Asker, what: int, claim: Claim, now_ns: int) -> Rates:
    """Give back what a caller was promised (its rank) or had claimed (CLAIMED)."""
    counters = _as_of(rates, asker, now_ns)
    _hold(counters, what, claim, -1)
    return replace(rates, counters=counters)


def charge(rates: Rates, asker: Asker, costs: Cost, now_ns: int) -> Rates:
    """A request was answered, and Kraken has charged it."""
    counters = _as_of(rates, asker, now_ns)
    for name, cost in costs:
        counters[name] = counters[name].charge(cost)
    return replace(rates, counters=counters)


def contradicted(rates: Rates, asker: Asker, names: Iterable[str], claimed_ns: int, now_ns: int) -> Rates:
    """Kraken says that these counters are full."""
    counters = _as_of(rates, asker, now_ns)
    for name in names:
        counters[name] = counters[name].contradicted(asker.limit(name), claimed_ns, now_ns)
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


def _whole_numbers(stored: Mapping[str, object], name: str) -> dict[str, int]:
    return {key: value for key, value in _mapping(stored, name).items() if isinstance(value, int)}
