"""The price of a pair over time: a pure function of seed, pair and whole seconds since the start.

A path is a sum of waves. Each wave has a period (1 s, 2 s, 4 s, … 36 hours) and runs in straight lines between heights
that are drawn from the seed; a longer wave is higher by the square root of its period, which makes the sum look like a
random walk. So

- any second is worth the same few look-ups, past or future, and nothing has to be remembered;
- over any span the sum has bounds that cost no more. `first` uses them to skip weeks in which nothing happens.

Only additions, multiplications and square roots of floats are used: every machine gets the same ticks.
"""

import hashlib
from functools import lru_cache
from math import sqrt

from sealane.simulator.facts.trading import PATH_OCTAVES, PATH_REACH

NEVER_BELOW, NEVER_ABOVE = -1, 10**30  # thresholds that no price meets
_PERIODS_S = tuple(2**octave for octave in range(PATH_OCTAVES))
_KNOTS_EXACT = 4  # a wave with more knots than that in a span is bounded by its height


class PricePath:
    """Prices in whole ticks, `start_ticks` at second 0.

    `volatility` is the typical relative change in one second, 0 for a price that stands still.
    """

    def __init__(self, name: str, start_ticks: int, volatility: float) -> None:
        if not 0 <= volatility <= 1:
            raise ValueError("volatility must be 0 to 1: the typical relative change of a price in one second")
        self.name, self.start_ticks, self.volatility = name, start_ticks, volatility
        self._waves = [(period_s, volatility * sqrt(period_s)) for period_s in _PERIODS_S] if volatility else []
        self._origin = self._height(0)

    def ticks(self, at_s: int) -> int:
        """The price at a second, in ticks, 1 or more."""
        return self._in_ticks(self._height(at_s))

    def first(self, after_s: int, until_s: int, low: int, high: int) -> int | None:
        """The first second after `after_s`, up to `until_s`, with a price of `low` or less, or `high` or more."""
        if after_s >= until_s or not self._waves:
            return None
        least, most = self._bounds(after_s + 1, until_s)
        if least > low and most < high:
            return None
        if after_s + 1 == until_s:
            return until_s if not low < self.ticks(until_s) < high else None
        middle_s = (after_s + until_s) // 2
        found_s = self.first(after_s, middle_s, low, high)
        return self.first(middle_s, until_s, low, high) if found_s is None else found_s

    def _in_ticks(self, height: float) -> int:
        change = min(PATH_REACH, max(-PATH_REACH, height - self._origin))
        return max(1, self.start_ticks + round(self.start_ticks * change))

    def _height(self, at_s: int) -> float:
        return sum(height * self._wave(period_s, at_s) for period_s, height in self._waves)

    def _wave(self, period_s: int, at_s: int) -> float:
        knot, past_s = divmod(at_s, period_s)
        left = _knot(self.name, period_s, knot)
        return left + (_knot(self.name, period_s, knot + 1) - left) * (past_s / period_s) if past_s else left

    def _bounds(self, from_s: int, to_s: int) -> tuple[int, int]:
        """Ticks that no price in the span is below or above; a tick is added for what rounding may do."""
        ranges = [(height, *self._wave_range(period_s, from_s, to_s)) for period_s, height in self._waves]
        least = sum(height * low for height, low, _ in ranges)
        most = sum(height * high for height, _, high in ranges)
        return self._in_ticks(least) - 1, self._in_ticks(most) + 1

    def _wave_range(self, period_s: int, from_s: int, to_s: int) -> tuple[float, float]:
        first, last = from_s // period_s + 1, to_s // period_s
        if last - first >= _KNOTS_EXACT:
            return -1.0, 1.0
        heights = [_knot(self.name, period_s, knot) for knot in range(first, last + 1)]
        heights += [self._wave(period_s, from_s), self._wave(period_s, to_s)]
        return min(heights), max(heights)


@lru_cache(maxsize=200_000)
def _knot(name: str, period_s: int, knot: int) -> float:
    """The height of a wave at one of its knots, -1 to 1, from the seed in `name`."""
    digest = hashlib.blake2b(f"{name} {period_s} {knot}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**47 - 1
