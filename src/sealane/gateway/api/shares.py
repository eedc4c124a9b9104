"""A virtual key's share of its account's REST counter, so that one program cannot spend what all live on.

A counter of the key's own, as Kraken's is but smaller: it may reach its share of the maximum, and drains at its share
of the rate. What would overrun it is refused as Kraken would refuse it.
"""

from __future__ import annotations

from decimal import Decimal

from sealane.core.counter import Limit
from sealane.core.methods import method_named
from sealane.core.nonce import NS_PER_S


class Shares:
    """The counters of the virtual keys that have a share; ``limit`` is of the account's own counter."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._levels: dict[str, tuple[float, int]] = {}

    def takes(self, key: str, share: Decimal, method: str, now_ns: int) -> bool:
        """Whether the key may make this call now; counts it where it may."""
        part, cost = float(share), method_named(method).cost
        level, since_ns = self._levels.get(key, (0.0, now_ns))
        drained = max(0, now_ns - since_ns) / NS_PER_S * self._limit.decay_per_s * part
        level = max(0.0, level - drained)
        is_room = level + cost <= max(self._limit.maximum * part, cost)
        self._levels[key] = (level + cost if is_room else level), now_ns
        return is_room
