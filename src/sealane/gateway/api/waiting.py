"""How many calls may wait at once, by class; what is over is told at once, in Kraken's own words.

1. Each virtual key has so many calls under way of each class, and the gateway so many in all. A call beyond is never
   kept: a program that hears so soon can do something about it.
2. The last part of the room in all is for cancels alone, so that what asks too much cannot keep others from getting
   out of the market.
3. Who goes before whom on a lane is the lane's business: cancels before orders before queries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

HOLD_S = 20.0
"""How long a call waits for its turn, while a lane is handed over for example."""
CLASS_MAX = {"read": 32, "trade": 32, "cancel": 64, "fund": 2, "public": 64}
ALL_MAX, FOR_CANCELS = 512, 128


class Crowded(Exception):
    """There is no room for one more call of this kind."""


class Waiting:
    """Counts the calls under way; used on one event loop."""

    def __init__(self) -> None:
        self._of_key: Counter[tuple[str, str]] = Counter()
        self.in_all = 0

    def under_way(self, key: str) -> int:
        """The calls of a virtual key."""
        return sum(count for (name, _), count in self._of_key.items() if name == key)

    @contextmanager
    def room(self, key: str, kind: str) -> Iterator[None]:
        """Room for one call of a class while the block runs; raises Crowded where there is none."""
        place = key, kind
        most = ALL_MAX if kind == "cancel" else ALL_MAX - FOR_CANCELS
        if self._of_key[place] >= CLASS_MAX.get(kind, CLASS_MAX["fund"]) or self.in_all >= most:
            raise Crowded
        self._of_key[place] += 1
        self.in_all += 1
        try:
            yield
        finally:
            self.in_all -= 1
            self._of_key[place] -= 1
            if not self._of_key[place]:
                del self._of_key[place]
