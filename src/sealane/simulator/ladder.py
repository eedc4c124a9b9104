"""The made-up orders around a pair's price: what there is to trade with when no account's order stands there.

The steps away from the price and the volumes are drawn once from the seed; the whole ladder moves with the price. It is
whole again for every order that arrives and at every move of the price: taking from it leaves no lasting mark.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from sealane.simulator.facts.trading import (
    HALF_SPREAD_TICKS,
    LADDER_LEVELS,
    LEVEL_GAP_TICKS_MAX,
    LEVEL_GROWTH,
    LEVEL_USD,
)
from sealane.simulator.pairs import Pair


@dataclass(frozen=True)
class Level:
    """A made-up order: `away` whole ticks from the price, `volume` in base."""

    away: int
    volume: Decimal


class Ladder:
    """Both sides of one pair; `sell` is what a buyer meets."""

    def __init__(self, pair: Pair, seed: int) -> None:
        self._tick = pair.tick_size
        self._sides = {side: _draw(pair, random.Random(f"ladder {seed} {pair.name} {side}")) for side in _SIDES}

    def offers(self, side: str, last: Decimal) -> Iterator[tuple[Decimal, Decimal]]:
        """(price, volume), best first, of the made-up orders that `buy` or `sell` when the price is `last`."""
        direction = 1 if side == "sell" else -1
        for level in self._sides[side]:
            price = last + direction * level.away * self._tick
            if price > 0:
                yield price, level.volume


_SIDES = ("buy", "sell")


def _draw(pair: Pair, rng: random.Random) -> list[Level]:
    levels: list[Level] = []
    away = HALF_SPREAD_TICKS
    for number in range(LADDER_LEVELS):
        worth = Decimal(rng.randrange(*LEVEL_USD)) * (LEVEL_GROWTH + number) / LEVEL_GROWTH
        lot = Decimal(1).scaleb(-min(3, pair.lot_decimals))
        levels.append(Level(away, max(lot, (worth / pair.usual_price).quantize(lot))))
        away += rng.randint(1, LEVEL_GAP_TICKS_MAX)
    return levels
