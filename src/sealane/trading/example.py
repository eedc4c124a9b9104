"""An example of a strategy, to read and to try things out with. It is no advice, and need not earn anything."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal

from sealane.trading.strategy import Signal
from sealane.trading.views import AccountView, MarketView, PairRules


class Rebalance:
    """Keeps a share of the money in one coin: buys a little below that share, sells a little above it.

    It remembers nothing: what it says follows from what it is shown. It looks at the first pair in dollars alone. Where
    a step is smaller than what Kraken takes, it says nothing.

    Args:
        share: of dollars and coin together, what is to be in the coin.
        band: how far the share may be off before anything is done.
        step_usd: what one order is worth.
    """

    def __init__(
        self,
        share: Decimal = Decimal("0.5"),
        band: Decimal = Decimal("0.05"),
        step_usd: Decimal = Decimal(5),
    ) -> None:
        self.share, self.band, self.step_usd = share, band, step_usd

    def decide(self, market: MarketView, account: AccountView) -> Sequence[Signal]:
        """At most one market order."""
        pair = next((pair for pair in market.quotes if market.rules[pair].in_usd), None)
        if pair is None:
            return []
        rules, quote = market.rules[pair], market.quotes[pair]
        coin = account.amounts.get(rules.base, Decimal(0)) * quote.bid
        money = coin + account.usd
        off = coin / money - self.share if money else Decimal(0)
        volume = self._volume(rules, quote.ask)
        if abs(off) <= self.band or volume < rules.ordermin or volume * quote.bid < rules.costmin:
            return []
        said = f"{coin / money:.1%} of the money is in {rules.base}, {self.share:.1%} is wanted"
        return [Signal(pair, "sell" if off > 0 else "buy", volume, reason=said)]

    def _volume(self, rules: PairRules, price: Decimal) -> Decimal:
        return (self.step_usd / price).quantize(Decimal(1).scaleb(-rules.lot_decimals), ROUND_DOWN)
