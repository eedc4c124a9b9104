"""A virtual key's share of its account's REST counter, so that one program cannot spend what all live on.

A counter of the key's own, as Kraken's is but smaller: it may reach its share of the maximum, and drains at its share
of the rate. What would overrun it is refused as Kraken would refuse it. What the gateway asks of Kraken in a call's
place (CancelAll of a key's own orders is OpenOrders and batches) counts as what it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from sealane.core.counter import Limit
from sealane.core.methods import method_named
from sealane.core.nonce import NS_PER_S

LOOK = "QueryOrders"
LOOKS_SHARE = 0.25
"""Of an account's counter, for one key's cancels of orders that the gateway has to look up."""


class Shares:
    """The counters of the virtual keys that have a share; ``limit`` is of the account's own counter."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._levels: dict[str, tuple[float, int]] = {}

    def takes(self, key: str, share: Decimal, method: str, now_ns: int) -> bool:
        """Whether the key may make this call now; counts it where it may. What costs nothing it always may."""
        return self._takes(key, float(share), method_named(method).cost, now_ns)

    def may_look(self, key: str, now_ns: int) -> bool:
        """Whether the gateway may look an order up for the key, which costs it nothing at Kraken; counts it."""
        return self._takes(f"{key} {LOOK}", LOOKS_SHARE, method_named(LOOK).cost, now_ns)

    def spends(self, key: str, share: Decimal, method: str, made: Iterable[str], now_ns: int) -> None:
        """Count what a call became that was counted as ``method``: it was made already, so it may go beyond."""
        cost = sum(method_named(one).cost for one in made) - method_named(method).cost
        level = self._level(key, float(share), now_ns)
        self._levels[key] = level + max(0, cost), now_ns

    def _takes(self, key: str, part: float, cost: int, now_ns: int) -> bool:
        level = self._level(key, part, now_ns)
        is_room = not cost or level + cost <= max(self._limit.maximum * part, cost)
        self._levels[key] = (level + cost if is_room else level), now_ns
        return is_room

    def _level(self, key: str, part: float, now_ns: int) -> float:
        level, since_ns = self._levels.get(key, (0.0, now_ns))
        drained = max(0, now_ns - since_ns) / NS_PER_S * self._limit.decay_per_s * part
        return max(0.0, level - drained)
