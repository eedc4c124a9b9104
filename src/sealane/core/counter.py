"""One of Kraken's counters, as seen from this side of the wire: what it stands at, and who may add to it when.

Kraken raises a counter when a call arrives and lowers it steadily; a call that would lift it above its maximum is
refused. Here a call first *claims* its cost, and the claim is *settled* after the answer. The invariant:

    level + claimed, here  >=  the counter at Kraken

1. A claim does not decay: nobody knows when the call will arrive. What is settled decays from the moment of the answer.
2. Who finds no room is told how long to wait, and its cost is *promised* under its rank: later callers of the same
   rank wait behind it, those of a higher rank pass.
3. Claims and promises carry a time after which they can only be a dead process's: the claims then count as settled.
4. Where Kraken says that the counter is full, it is: each contradiction in a row doubles the wait.

Times are Unix nanoseconds. While a clock steps back nothing decays; from its new time on everything does.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

from sealane.core.nonce import NS_PER_S

RANKS = 3
CANCELS, ORDERS, QUERIES = range(RANKS)
"""Who goes first where there is not room for all."""
STRIKES_MAX = 6
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


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter; see the rules at the head of this file.

    Attributes:
        level: what is settled, as of ``at_ns``.
        claimed: the cost of calls that may go, or are on their way.
        cancels, orders, queries: what is promised to those who wait, by rank.
        until_ns: after this, claims and promises are those of the dead.
        strikes: how often in a row Kraken contradicted.
    """

    level: float = 0.0
    at_ns: int = 0
    claimed: float = 0.0
    cancels: float = 0.0
    orders: float = 0.0
    queries: float = 0.0
    until_ns: int = 0
    strikes: int = 0

    @classmethod
    def loaded(cls, row: object) -> Counter:
        """The counter that a store kept; an empty one where that cannot be read."""
        numbers = row if isinstance(row, list) and all(isinstance(part, (int, float)) for part in row) else []
        return cls(*numbers) if len(numbers) == len(cls.__slots__) else cls()

    def stored(self) -> list[float]:
        """The counter as plain JSON values."""
        return list(astuple(self))

    def at(self, limit: Limit, now_ns: int) -> Counter:
        """The counter as of now."""
        gone_s = max(0, now_ns - self.at_ns) / NS_PER_S
        level = max(0.0, self.level - gone_s * limit.decay_per_s)
        if now_ns < self.until_ns or not (self.claimed or self.cancels or self.orders or self.queries):
            return replace(self, level=level, at_ns=now_ns)
        return Counter(level + self.claimed, now_ns, strikes=self.strikes)

    def wait_s(self, limit: Limit, rank: int, cost: float, *, queued: bool) -> float:
        """Seconds until there is room for ``cost``; 0 for now. ``queued``: its own rank's promises go first."""
        promised = (self.cancels, self.orders, self.queries)
        ahead = sum(promised[: rank + queued])
        over = self.level + self.claimed + ahead + cost - limit.maximum
        return max(0.0, over) / limit.decay_per_s if over > _EPSILON else 0.0

    def claim(self, cost: float, until_ns: int) -> Counter:
        """Room was found: ``cost`` is on its way. A negative one is a claim that was not used."""
        return replace(self, claimed=_rounded(max(0.0, self.claimed + cost)), until_ns=max(self.until_ns, until_ns))

    def promise(self, rank: int, cost: float, until_ns: int) -> Counter:
        """Somebody waits for ``cost``; a negative one waits no longer."""
        promised = [self.cancels, self.orders, self.queries]
        promised[rank] = _rounded(max(0.0, promised[rank] + cost))
        cancels, orders, queries = promised
        until_ns = max(self.until_ns, until_ns)
        return replace(self, until_ns=until_ns, cancels=cancels, orders=orders, queries=queries)

    def charge(self, cost: float) -> Counter:
        """A call was answered, and Kraken has added ``cost``."""
        return replace(self, level=self.level + cost, strikes=0)

    def contradicted(self, limit: Limit) -> Counter:
        """Kraken says that the counter is full, though there was room here."""
        strikes = min(self.strikes + 1, STRIKES_MAX)
        return replace(self, level=limit.maximum + 2.0**strikes - 2, strikes=strikes)

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return not (self.level or self.claimed or self.cancels or self.orders or self.queries or self.strikes)


def _rounded(amount: float) -> float:
    """Sums of floats that cancel out are to be zero."""
    return amount if amount > _EPSILON else 0.0
