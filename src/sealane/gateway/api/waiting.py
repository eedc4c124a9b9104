"""How many calls may wait at once, by class; what is over is told at once, in Kraken's own words.

1. Each virtual key has so many calls under way of each class, and the gateway so many in all. A call beyond is never
   kept: a program that hears so soon can do something about it.
2. A quarter of the room in all is for cancels alone, so that what asks too much cannot keep others from getting out of
   the market.
3. A key gets no more than as much as it leaves to all others together: few keys cannot take the whole, and the next
   one that comes finds as much room as each of them has.
4. Who goes before whom on a lane is the lane's business: cancels before orders before queries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sealane.gateway.descriptors import calls_max

HOLD_S = 20.0
"""How long a call waits for its turn, while a lane is handed over for example."""
CLASS_MAX = {"read": 32, "trade": 32, "cancel": 64, "fund": 2, "public": 64}
CANCEL = "cancel"


class Crowded(Exception):
    """There is no room for one more call of this kind."""


class Waiting:
    """Counts the calls under way; used on one event loop. ``all_max`` is the room in all."""

    def __init__(self, all_max: int | None = None) -> None:
        self.all_max = calls_max() if all_max is None else all_max
        self.for_cancels = self.all_max // 4
        self._of_class: Counter[tuple[str, str]] = Counter()
        self._of_key: Counter[tuple[str, bool]] = Counter()
        self._in_all: Counter[bool] = Counter()

    @contextmanager
    def room(self, key: str, kind: str) -> Iterator[None]:
        """Room for one call of a class while the block runs; raises Crowded where there is none."""
        is_full = self._of_class[key, kind] >= CLASS_MAX.get(kind, CLASS_MAX["fund"])
        if is_full or self._of_key[key, kind == CANCEL] >= self._left(kind):
            raise Crowded
        self._count(key, kind, 1)
        try:
            yield
        finally:
            self._count(key, kind, -1)

    def _count(self, key: str, kind: str, delta: int) -> None:
        self._of_class[key, kind] += delta
        self._of_key[key, kind == CANCEL] += delta
        self._in_all[kind == CANCEL] += delta
        if not self._of_class[key, kind]:
            del self._of_class[key, kind]
        if not self._of_key[key, kind == CANCEL]:
            del self._of_key[key, kind == CANCEL]

    def _left(self, kind: str) -> int:
        """How many more calls of a class there is room for in all."""
        left = self.all_max - self._in_all.total()
        return left if kind == CANCEL else min(left, self.all_max - self.for_cancels - self._in_all[False])
