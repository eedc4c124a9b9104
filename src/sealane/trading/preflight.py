"""The order that a preflight has checked: the smallest that Kraken takes, at a price at which nobody would trade."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from sealane.errors import SettingsError
from sealane.trading.limits import HardLimits, worth_in
from sealane.trading.rounds import Decide
from sealane.trading.strategy import Signal
from sealane.trading.views import AccountView, MarketView, PairRules, Quote

FAR_BELOW, FAR_ABOVE = Decimal("0.8"), Decimal("1.2")
"""Parts of the market's price at which a buy or a sell does not fill, should it ever be placed."""


def probe(limits: HardLimits) -> Decide:
    """What decides in a preflight: an order of the first pair in dollars, or a sell where buys are blocked."""

    def decide(market: MarketView, account: AccountView) -> Sequence[Signal]:
        if not market.quotes:
            raise SettingsError("there is no pair to check an order of")
        pair = min(market.quotes, key=lambda pair: not market.rules[pair].in_usd)
        buy = smallest("buy", market.rules[pair], market.quotes[pair])
        if not limits.buys_off and account.free - worth_in(market, buy) >= limits.min_capital_usd:
            return [buy]

        def rank(pair: str) -> tuple[bool, bool]:
            rules = market.rules[pair]
            return not rules.in_usd, not account.amounts.get(rules.base)

        pair = min(market.quotes, key=rank)
        return [smallest("sell", market.rules[pair], market.quotes[pair])]

    return decide


def smallest(side: str, rules: PairRules, quote: Quote) -> Signal:
    """The smallest limit order of a pair, far from the market."""
    if side == "buy":
        price = _ticks(quote.bid * FAR_BELOW, rules.tick_size, ROUND_FLOOR)
    else:
        price = _ticks(quote.ask * FAR_ABOVE, rules.tick_size, ROUND_CEILING)
    least = max(rules.ordermin, rules.costmin / price)
    volume = least.quantize(Decimal(1).scaleb(-rules.lot_decimals), ROUND_CEILING)
    return Signal(rules.pair, side, volume, price, reason="preflight: the smallest order, to be checked only")


def _ticks(price: Decimal, tick_size: Decimal, rounding: str) -> Decimal:
    return max((price / tick_size).to_integral_value(rounding), Decimal(1)) * tick_size
