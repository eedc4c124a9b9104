"""Kraken's counters: how many calls a key may make, how much trading an account may do, how many orders may rest.

1. A call is let through when level + cost <= maximum. It is then charged, also when it fails afterwards.
2. What has no room is refused and not charged, unless the switch `refused_calls_count` says otherwise.
3. A counter drains by the exchange's clock, never below 0. Its arithmetic is exact: Decimal, no float.
4. The REST counter belongs to a key, the trading counter to an account and a pair. An account has one key here.
5. The tier `off` knows no limits and counts nothing. Throttling and lockouts go by switches alone.

Every decision leaves a `Note`. The audit works the counters out anew from the notes alone.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sealane.simulator.clock import NS_PER_S
from sealane.simulator.facts import (
    AGE_PENALTIES,
    CALL_COST,
    FREE_CALLS,
    HISTORY_CALLS,
    INTERMEDIATE,
    LOCKOUT,
    ORDERS_LIMIT,
    OTHER_TRADING_CALLS,
    PRO,
    REST_RATE_LIMIT,
    STARTER,
    THROTTLED,
    TRADING_FIXED,
    TRADING_RATE_LIMIT,
    Refused,
    Switches,
    Tier,
)
from sealane.simulator.touches import Touch

TIERS: dict[str, Tier | None] = {"off": None, "starter": STARTER, "intermediate": INTERMEDIATE, "pro": PRO}
ZERO = Decimal(0)
REST = ""  # where a trading counter has its pair, the REST counter has this


def call_cost(method: str, switches: Switches) -> Decimal:
    """What a private call adds to the REST counter."""
    if method in FREE_CALLS:
        return ZERO
    if method in HISTORY_CALLS:
        return Decimal(switches.history_cost)
    return Decimal(switches.other_trading_call_cost if method in OTHER_TRADING_CALLS else CALL_COST)


def trading_cost(touch: Touch, switches: Switches) -> Decimal:
    """What touching orders adds to their pair's trading counter: a fixed part, and more for young orders."""
    if touch.what == "cancel_all":
        return Decimal(switches.cancel_all_cost * touch.count)
    steps = AGE_PENALTIES.get(touch.what, [])
    penalty = next((points for age_s, points in steps if touch.age_s < age_s), 0)
    return (TRADING_FIXED[touch.what] + penalty) * touch.count


@dataclass
class Counter:
    """A level that calls raise and time drains."""

    level: Decimal = ZERO
    at_ns: int = 0

    def at(self, now_ns: int, drain_per_s: Decimal) -> Decimal:
        """The level at that time, without changing anything."""
        return max(ZERO, self.level - drain_per_s * max(0, now_ns - self.at_ns) / NS_PER_S)

    def settle(self, now_ns: int, drain_per_s: Decimal) -> None:
        """Let the time up to now drain it."""
        self.level, self.at_ns = self.at(now_ns, drain_per_s), now_ns


@dataclass(frozen=True)
class Note:
    """One decision at one counter, or a change of tier (then `tier` is set): what the audit goes by."""

    account: str
    at_ns: int
    pair: str = REST
    method: str = ""
    touches: tuple[Touch, ...] = ()
    allowed: bool = True
    tier: str | None = None


@dataclass
class Strikes:
    """When a key was refused lately, for one reason, and until when it is locked out."""

    times_ns: list[int] = field(default_factory=list)

    def add(self, now_ns: int, window_s: float, limit: int) -> bool:
        """Count one more; whether there are `limit` of them within the window now."""
        since_ns = now_ns - int(window_s * NS_PER_S)
        self.times_ns = [at_ns for at_ns in self.times_ns if at_ns > since_ns] + [now_ns]
        if len(self.times_ns) < limit:
            return False
        self.times_ns = []
        return True


@dataclass
class Standing:
    """Where one account stands: its tier and its counters."""

    tier: str = "off"
    counters: dict[str, Counter] = field(default_factory=dict)
    strikes: dict[str, Strikes] = field(default_factory=dict)
    locked_until_ns: int = 0
    refused_rate: int = 0
    refused_orders: int = 0


@dataclass
class Limits:
    """The counters of all accounts. The exchange's lock guards it."""

    switches: Switches
    standings: dict[str, Standing] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def standing(self, account: str) -> Standing:
        """An account's standing, made when first asked for."""
        return self.standings.setdefault(account, Standing())

    def set_tier(self, account: str, tier: str, now_ns: int) -> None:
        """Change an account's tier; its counters keep their levels and drain by the new one from now on."""
        standing = self.standing(account)
        limits = TIERS[standing.tier]
        for pair, counter in standing.counters.items():
            if limits is not None:
                counter.settle(now_ns, _bounds(limits, pair)[1])
        if TIERS[tier] is None:
            standing.counters.clear()
        standing.tier = tier
        self.notes.append(Note(account, now_ns, tier=tier))

    # --- the gates, in the order in which a call passes them ---

    def enter(self, account: str, in_flight: int, now_ns: int) -> None:
        """Refuse a key that is locked out, or has too many calls under way (this one is among `in_flight`)."""
        standing, above = self.standing(account), self.switches.throttle_above
        if now_ns < standing.locked_until_ns:
            raise Refused(LOCKOUT)
        if above and in_flight > above:
            raise Refused(THROTTLED.format(until=now_ns // NS_PER_S + self.switches.throttle_s))

    def charge_call(self, account: str, method: str, now_ns: int) -> None:
        """Charge the REST counter, or refuse with `EAPI:Rate limit exceeded`."""
        standing = self.standing(account)
        limits = TIERS[standing.tier]
        if limits is None:
            return
        if not self._charge_rest(account, method, limits, now_ns):
            standing.refused_rate += 1
            self._strike(standing, "rate", self.switches.lockout_after_rate, now_ns)
            raise Refused(REST_RATE_LIMIT)

    def charge_unchecked(self, account: str, method: str, now_ns: int) -> None:
        """A call is refused for its signature or nonce: by switch it is charged, and refused for that all the same."""
        limits = TIERS[self.standing(account).tier]
        if limits is not None and self.switches.auth_refusal_costs:
            self._charge_rest(account, method, limits, now_ns)

    def charge_touches(
        self, account: str, touches: Iterable[Touch], resting: Callable[[str], int], now_ns: int
    ) -> None:
        """Charge the trading counters of all pairs that are touched, or refuse the call and charge none of them.

        `resting` says how many orders the account has open on a pair.
        """
        standing = self.standing(account)
        limits = TIERS[standing.tier]
        by_pair = _by_pair(touches)
        if limits is None:
            return
        for pair, of_pair in by_pair.items():
            new = sum(self._new_orders(touch) for touch in of_pair)
            if new and resting(pair) + new > limits.open_orders:
                standing.refused_orders += 1
                raise Refused(ORDERS_LIMIT)
        for pair, of_pair in by_pair.items():
            self._check_trading(account, pair, of_pair, now_ns)
        for pair, of_pair in by_pair.items():
            self._charge_pair(account, pair, of_pair, now_ns)

    def strike_nonce(self, account: str, now_ns: int) -> None:
        """An invalid nonce came in; by switch many of them lock the key out."""
        limit = self.switches.lockout_after_nonces
        self._strike(self.standing(account), "nonce", limit, now_ns)

    # --- how it is worked out ---

    def _charge_rest(self, account: str, method: str, limits: Tier, now_ns: int) -> bool:
        """Charge the REST counter; whether there was room."""
        standing, cost = self.standing(account), call_cost(method, self.switches)
        allowed = self._room(standing, REST, limits, now_ns) >= cost
        self.notes.append(Note(account, now_ns, method=method, allowed=allowed))
        if allowed or self.switches.refused_calls_count:
            standing.counters[REST].level += cost
        return allowed

    def _new_orders(self, touch: Touch) -> int:
        """How many more open orders the touch counts as."""
        if touch.what not in ("add", "batch_add"):
            return 0
        return touch.count if self.switches.market_counts_as_open else touch.count - touch.market

    def _room(self, standing: Standing, pair: str, limits: Tier, now_ns: int) -> Decimal:
        maximum, drain_per_s = _bounds(limits, pair)
        counter = standing.counters.setdefault(pair, Counter(at_ns=now_ns))
        counter.settle(now_ns, drain_per_s)
        return maximum - counter.level

    def _check_trading(self, account: str, pair: str, touches: list[Touch], now_ns: int) -> None:
        standing = self.standing(account)
        limits = TIERS[standing.tier]
        if limits is None or self._passes(touches):
            return
        if self._room(standing, pair, limits, now_ns) < self._cost(touches):
            if self.switches.refused_calls_count:
                standing.counters[pair].level += self._cost(touches)
            self.notes.append(Note(account, now_ns, pair, touches=tuple(touches), allowed=False))
            standing.refused_rate += 1
            raise Refused(TRADING_RATE_LIMIT)

    def _charge_pair(self, account: str, pair: str, touches: list[Touch], now_ns: int) -> None:
        standing = self.standing(account)
        limits = TIERS[standing.tier]
        if limits is not None:
            self._room(standing, pair, limits, now_ns)
            standing.counters[pair].level += self._cost(touches)
            self.notes.append(Note(account, now_ns, pair, touches=tuple(touches)))

    def _passes(self, touches: list[Touch]) -> bool:
        """Whether they are let through without room: cancels, when the switch says so."""
        only_cancels = all("cancel" in touch.what for touch in touches)
        return only_cancels and not self.switches.cancel_refused_over_limit

    def _cost(self, touches: list[Touch]) -> Decimal:
        return sum((trading_cost(touch, self.switches) for touch in touches), ZERO)

    def _strike(self, standing: Standing, reason: str, limit: int, now_ns: int) -> None:
        strikes = standing.strikes.setdefault(reason, Strikes())
        if limit and strikes.add(now_ns, self.switches.lockout_window_s, limit):
            standing.locked_until_ns = now_ns + int(self.switches.lockout_s * NS_PER_S)

    def document(self, account: str, now_ns: int) -> dict[str, Any]:
        """An account's standing as JSON: levels, maximum and drain as text, because they are exact."""
        standing = self.standing(account)
        limits = TIERS[standing.tier]
        shown = {
            "tier": standing.tier,
            "refused_rate": standing.refused_rate,
            "refused_orders": standing.refused_orders,
            "locked_out": now_ns < standing.locked_until_ns,
        }
        if limits is None:
            return shown
        counters = {pair: _shown(counter, limits, pair, now_ns) for pair, counter in standing.counters.items()}
        rest = counters.pop(REST, None) or _shown(Counter(), limits, REST, now_ns)
        return shown | {"rest": rest, "trading": counters, "open_orders_maximum": limits.open_orders}


def _bounds(limits: Tier, pair: str) -> tuple[Decimal, Decimal]:
    if pair == REST:
        return limits.rest_maximum, limits.rest_drain_per_s
    return limits.trading_maximum, limits.trading_drain_per_s


def _shown(counter: Counter, limits: Tier, pair: str, now_ns: int) -> dict[str, str]:
    maximum, drain_per_s = _bounds(limits, pair)
    level = counter.at(now_ns, drain_per_s).quantize(Decimal("0.001"))
    return {"level": f"{level.normalize():f}", "maximum": str(maximum), "drain_per_s": str(drain_per_s)}


def _by_pair(touches: Iterable[Touch]) -> dict[str, list[Touch]]:
    found: dict[str, list[Touch]] = {}
    for touch in touches:
        found.setdefault(touch.pair, []).append(touch)
    return found
