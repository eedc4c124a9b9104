"""Taking things side by side: short rounds in turns, and the median of each round's own ratio.

A shared machine is faster now and slower then. Two rates taken a moment apart share that weather, so their ratio says
more than either of them, and the median passes over the rounds in which somebody else took the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from bench.report import Figure


class Rates:
    """What each way gave in each round; every way has the same number of rounds."""

    def __init__(self, by_name: Mapping[str, Sequence[float]]) -> None:
        self._by_name = by_name

    def of(self, name: str) -> Sequence[float]:
        """One way's values, in the order of the rounds."""
        return self._by_name[name]

    def figure(self, label: str, name: str, unit: str) -> Figure:
        """The median of one way."""
        values = self.of(name)
        return Figure(label, median(values), unit, min(values), max(values))

    def ratio(
        self, label: str, over: str, under: str, *, at_least: float | None = None, at_most: float | None = None
    ) -> Figure:
        """How many times the one way is the other: the median of the rounds' ratios."""
        ratios = [a / b for a, b in zip(self.of(over), self.of(under), strict=True)]
        return Figure(label, median(ratios), "×", min(ratios), max(ratios), at_least=at_least, at_most=at_most)

    def difference(self, label: str, of: str, beyond: str, unit: str) -> Figure:
        """What the one way takes beyond the other: the median of the rounds' differences."""
        differences = [a - b for a, b in zip(self.of(of), self.of(beyond), strict=True)]
        return Figure(label, median(differences), unit, min(differences), max(differences))


def in_turns(ways: Mapping[str, Callable[[], float]], rounds: int) -> Rates:
    """Measure every way once a round; each round starts with another of them, so that none always comes first."""
    names = list(ways)
    values: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            values[name].append(ways[name]())
    return Rates(values)


def per_second(
    batch: Callable[[int], None], size: int, seconds: float, check: Callable[[], None] | None = None
) -> float:
    """Run batches for about ``seconds``; returns runs a second. ``check`` looks at each batch, off the clock."""
    done, spent = 0, 0.0
    while spent < seconds:
        started = time.perf_counter()
        batch(size)
        spent += time.perf_counter() - started
        done += size
        if check is not None:
            check()
    return done / spent


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 … 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def jain(shares: Sequence[float]) -> float:
    """Jain's index of fairness: 1 where all have the same, 1/n where one has all."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0
