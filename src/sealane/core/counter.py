"""One of Kraken's counters, as seen from this side of the wire: what it stands at, and who may add to it when.

Kraken raises a counter when a call arrives and lowers it steadily; a call that would lift it above its maximum is
refused. Here a call first *claims* its cost, and the claim is *settled* after the answer. The invariant:

    level + claimed, here  >=  the counter at Kraken

1. A claim does not decay: nobody knows when the call will arrive. What is settled decays from the moment of the answer.
2. Who finds no room is told how long to wait, and its cost is *promised* under its rank: later callers of the same
   rank wait behind it, those of a higher rank pass.
3. Claims and promises are *held* until a time after which they can only be a dead process's. Each lapses by itself: a
   claim then counts as settled, a promise as nothing.
4. Where Kraken says that the counter is full, it is: each contradiction of a call that claimed later than the last one
   doubles the wait, up to ``STRIKES_MAX`` times.

Times are Unix nanoseconds. While a clock steps back nothing decays; from its new time on everything does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sealane.core.nonce import NS_PER_S

RANKS = 3
CANCELS, ORDERS, QUERIES = range(RANKS)
"""Who goes first where there is not room for all."""
CLAIMED = RANKS
"""Beside the ranks: what is held for calls that may go, or are on their way."""
STRIKES_MAX = 5
PENALTY_MAX_S = 30.0
"""What contradictions add to a wait at most."""
HOLD_NS = 10 * NS_PER_S
"""Holds that end within the same span are kept as one."""
DECAY_TRUST = 0.999
"""The part of Kraken's decay that is counted on: two clocks never run alike."""
_EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Limit:
    """A counter's maximum, and by how much it falls in a second."""

    maximum: float
    decay_per_s: float

    def trusted(self) -> Limit:
        """The limit that a client should keep: the same maximum, a slightly slower decay."""
        return replace(self, decay_per_s=self.decay_per_s * DECAY_TRUST)


Hold = tuple[int, int]
"""What is held (a rank, or CLAIMED), and the span in which it lapses."""


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter; see the rules at the head of this file.

    Attributes:
        level: what is settled, as of ``at_ns``.
        held: the cost of claims and promises.
        strikes, full_ns: how often in a row Kraken contradicted, and when it did last.
    """

    level: float = 0.0
    at_ns: int = 0
    strikes: int = 0
    full_ns: int = 0
    held: Mapping[Hold, float] = field(default_factory=dict)

    @classmethod
    def loaded(cls, row: object) -> Counter:
        """The counter that a store kept; an empty one where that cannot be read."""
        match row:
            case [int() | float() as level, int(at_ns), int(strikes), int(full_ns), list(holds)]:
                held = {(what, span): cost for what, span, cost in filter(_is_hold, holds)}
                return cls(level, at_ns, strikes, full_ns, held)
            case _:
                return cls()

    def stored(self) -> list[object]:
        """The counter as plain JSON values."""
        holds = [[what, span, cost] for (what, span), cost in self.held.items()]
        return [self.level, self.at_ns, self.strikes, self.full_ns, holds]

    @property
    def claimed(self) -> float:
        """The cost of calls that may go, or are on their way."""
        return self._held(CLAIMED)

    @property
    def promised(self) -> float:
        """The cost of all who wait."""
        return sum(self.held.values()) - self.claimed

    def _held(self, kind: int) -> float:
        return sum(cost for (what, _), cost in self.held.items() if what == kind)

    def at(self, limit: Limit, now_ns: int) -> Counter:
        """The counter as of now."""
        gone_s = max(0, now_ns - self.at_ns) / NS_PER_S
        level = max(0.0, self.level - gone_s * limit.decay_per_s)
        held = {hold: cost for hold, cost in self.held.items() if hold[1] * HOLD_NS > now_ns}
        lapsed = sum(cost for hold, cost in self.held.items() if hold[0] == CLAIMED and hold not in held)
        return replace(self, level=level + lapsed, at_ns=now_ns, held=held)

    def wait_s(self, limit: Limit, rank: int, cost: float, *, queued: bool) -> float:
        """Seconds until there is room for ``cost``; 0 for now. ``queued``: its own rank's promises go first."""
        ahead = sum(held for (what, _), held in self.held.items() if what < rank + queued)
        over = self.level + self.claimed + ahead + cost - limit.maximum
        return max(0.0, over) / limit.decay_per_s if over > _EPSILON else 0.0

    def hold(self, what: int, cost: float, until_ns: int) -> Counter:
        """Claim (``CLAIMED``) or promise (a rank) a cost until then; a negative one is given back."""
        hold = what, until_ns // HOLD_NS + 1
        left = self.held.get(hold, 0.0) + cost
        others = {other: held for other, held in self.held.items() if other != hold}
        return replace(self, held={**others, hold: left} if left > _EPSILON else others)

    def charge(self, cost: float) -> Counter:
        """A call was answered, and Kraken has added ``cost``."""
        return replace(self, level=self.level + cost, strikes=0)

    def contradicted(self, limit: Limit, claimed_ns: int, now_ns: int) -> Counter:
        """Kraken says that the counter is full, though a call that claimed then had found room here.

        Those who claimed before the last contradiction could not know of it: they are no further one.
        """
        strikes = min(self.strikes + (claimed_ns > self.full_ns), STRIKES_MAX)
        over = min(2.0**strikes - 2, PENALTY_MAX_S * limit.decay_per_s)
        level = max(self.level, limit.maximum + over)
        return replace(self, level=level, strikes=strikes, full_ns=now_ns)

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return not (self.level or self.held or self.strikes)


def _is_hold(row: object) -> bool:
    return isinstance(row, list) and len(row) == 3 and all(isinstance(part, (int, float)) for part in row)
