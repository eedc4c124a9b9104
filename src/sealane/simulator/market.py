"""The market: pairs, their prices at a moment, their books.

Prices are made up from the seed. With `volatility` 0, the default, they stand still, so that a test can compute every
fill; else they follow a path that the seed alone decides (`sealane.simulator.prices`), one step a second. The last
price and the index price are the same; an account's trades do not move either.
"""

import random
from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sealane.simulator.book import Book
from sealane.simulator.clock import NS_PER_S
from sealane.simulator.facts import UNKNOWN_ASSET, UNKNOWN_PAIR, Refused
from sealane.simulator.facts.trading import TRADES_MAX
from sealane.simulator.ladder import Ladder
from sealane.simulator.pairs import ASSETS, PAIRS, Asset, Pair, asset_spellings, pair_spellings
from sealane.simulator.prices import PricePath
from sealane.simulator.records import Trade

DAY_S = 86_400
HOUR_S = 3_600


@dataclass(frozen=True)
class Quote:
    """The prices of a pair at a moment, in quote currency, whole ticks."""

    bid: Decimal
    ask: Decimal
    last: Decimal
    day_volume: Decimal


class Market:
    """Tables, prices and books; the same seed gives the same prices at the same time since `start_ns`.

    `second` is how far prices have moved on, in whole seconds since the start.
    """

    def __init__(self, seed: int, *, volatility: float = 0.0, start_ns: int = 0) -> None:
        rng = random.Random(f"market {seed}")
        self.seed, self.volatility, self.start_ns, self.second = seed, volatility, start_ns, 0
        self.assets = {asset.name: asset for asset in ASSETS}
        self.pairs = {pair.name: pair for pair in PAIRS}
        self._day_volumes: dict[str, Decimal] = {}
        self.paths = {pair.name: self._draw_path(pair, rng, volatility) for pair in PAIRS}
        self.books = {pair.name: Book(pair, Ladder(pair, seed), self.price(pair, 0)) for pair in PAIRS}
        self.prints: dict[str, deque[Trade]] = {pair.name: deque(maxlen=TRADES_MAX) for pair in PAIRS}
        self._asset_names = asset_spellings()
        self._pair_names = pair_spellings()

    def _draw_path(self, pair: Pair, rng: random.Random, volatility: float) -> PricePath:
        drift = Decimal(rng.randrange(-200, 201)) / 10_000
        start_ticks = int(pair.usual_price * (1 + drift) / pair.tick_size)
        self._day_volumes[pair.name] = Decimal(rng.randrange(1_000, 9_000))
        return PricePath(f"path {self.seed} {pair.name}", start_ticks, volatility)

    # --- names ---

    def asset(self, spelling: str) -> Asset:
        """The asset for `XXBT`, `XBT` or `BTC`; refused with `EQuery:Unknown asset`."""
        name = self._asset_names.get(spelling)
        if name is None:
            raise Refused(UNKNOWN_ASSET)
        return self.assets[name]

    def pair(self, spelling: str) -> Pair:
        """The pair for `XXBTZUSD`, `XBTUSD`, `XBT/USD` or `BTCUSD`; refused with `EQuery:Unknown asset pair`."""
        name = self._pair_names.get(spelling)
        if name is None:
            raise Refused(UNKNOWN_PAIR)
        return self.pairs[name]

    # --- prices ---

    def second_at(self, now_ns: int) -> int:
        """The whole seconds from the start to a time."""
        return (now_ns - self.start_ns) // NS_PER_S

    def time_of(self, second: int) -> int:
        """The time at which a second since the start begins, in nanoseconds since 1970."""
        return self.start_ns + second * NS_PER_S

    def move_to(self, second: int) -> None:
        """Let prices be those of a second."""
        self.second = second
        for name, book in self.books.items():
            book.last = self.price(self.pairs[name], second)

    def price(self, pair: Pair, second: int) -> Decimal:
        """The price at any second, past or future."""
        return self.paths[pair.name].ticks(second) * pair.tick_size

    @property
    def quotes(self) -> dict[str, Quote]:
        """Every pair's quote at this second."""
        return {name: self.quote(pair) for name, pair in self.pairs.items()}

    def quote(self, pair: Pair) -> Quote:
        """The best prices of the book, and the last price."""
        book = self.books[pair.name]
        bid, ask = book.best("buy") or book.last, book.best("sell") or book.last
        return Quote(bid, ask, book.last, self._day_volumes[pair.name])

    def ticker(self, pair: Pair) -> dict[str, Any]:
        """One row of `Ticker`: [price, whole lots, lots] for `a` and `b`, [today, 24 hours] for `v p t l h`."""
        quote, digits = self.quote(pair), max(pair.pair_decimals, 5)
        today = [self.price(pair, second) for second in self._hours(self.second - self.second_of_day())]
        day = [self.price(pair, second) for second in self._hours(self.second - DAY_S)]
        return {
            "a": self._side(pair, "sell", digits),
            "b": self._side(pair, "buy", digits),
            "c": [f"{quote.last:.{digits}f}", "0.00100000"],
            "v": [f"{quote.day_volume / 2:.8f}", f"{quote.day_volume:.8f}"],
            "p": [f"{sum(prices) / len(prices):.{digits}f}" for prices in (today, day)],
            "t": [21000, 42000],
            "l": [f"{min(prices):.{digits}f}" for prices in (today, day)],
            "h": [f"{max(prices):.{digits}f}" for prices in (today, day)],
            "o": f"{today[0]:.{digits}f}",
        }

    def second_of_day(self) -> int:
        """Seconds since midnight UTC."""
        return self.time_of(self.second) // NS_PER_S % DAY_S

    def _hours(self, from_s: int) -> list[int]:
        return [*range(from_s, self.second, HOUR_S), self.second]

    def _side(self, pair: Pair, side: str, digits: int) -> list[str]:
        for price, volume in self.books[pair.name].depth(side, 1):
            return [f"{price:.{digits}f}", str(int(volume)), f"{volume:.3f}"]
        return [f"{0:.{digits}f}", "0", "0.000"]

    def in_usd(self, asset: str, amount: Decimal) -> Decimal:
        """The value of an amount in USD at the last price; the euro goes through the two bitcoin pairs."""
        if asset == "ZUSD":
            return amount
        if asset == "ZEUR":
            return amount * self.books["XXBTZUSD"].last / self.books["XXBTZEUR"].last
        pair = next(pair for pair in PAIRS if pair.base == asset and pair.quote == "ZUSD")
        return amount * self.books[pair.name].last
