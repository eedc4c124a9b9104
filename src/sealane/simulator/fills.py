"""What an arriving order would take, and what a fill costs.

A fee is in quote currency, or in base where the order says `fcib`. Costs and fees are rounded to the digits in which
balances are kept, over the sum of an order's fills: so the parts of an order cost what the whole would, and a hold is
used up to the last digit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

from sealane.simulator.book import OTHER_SIDE, Book
from sealane.simulator.facts import MAKER_FEE, TAKER_FEE
from sealane.simulator.facts.trading import (
    NO_LIQUIDITY,
    NOT_AT_ONCE,
    PRICE_PROTECTION,
    PRICE_PROTECTION_BAND,
    SELF_TRADE,
)
from sealane.simulator.orders import ZERO, Order, Tally
from sealane.simulator.pairs import Asset


@dataclass(frozen=True)
class Match:
    """One fill to be: at a price, in base; `maker` is the account's order it takes, None for the ladder."""

    price: Decimal
    volume: Decimal
    maker: Order | None


@dataclass
class Plan:
    """What an order takes now. `left` is the rest, in the order's unit; `ended` says why the rest may not stay.

    `evicted` are orders of the same account that make way (`cancel-oldest`).
    """

    left: Decimal
    matches: list[Match] = field(default_factory=list)
    evicted: list[Order] = field(default_factory=list)
    ended: str | None = None

    @property
    def exact_cost(self) -> Decimal:
        """What the matches cost, not rounded."""
        return sum((match.price * match.volume for match in self.matches), ZERO)

    @property
    def volume(self) -> Decimal:
        """What the matches come to, in base."""
        return sum((match.volume for match in self.matches), ZERO)


@dataclass(frozen=True)
class Bill:
    """`cost` in quote; one of the fees is zero."""

    cost: Decimal
    quote_fee: Decimal
    base_fee: Decimal

    @property
    def fee(self) -> Decimal:
        """The fee, in the currency in which this order pays it."""
        return self.quote_fee + self.base_fee


def plan(book: Book, order: Order) -> Plan:
    """Walk the other side of the book as the order would; nothing changes."""
    made = Plan(order.left)
    band: Decimal | None = None
    for offer in book.offers(OTHER_SIDE[order.side]):
        if made.left <= 0 or (order.limit is not None and beyond(order.side, offer.price, order.limit)):
            break
        band = _band(order, offer.price) if band is None else band
        if order.limit is None and "nompp" not in order.flags and beyond(order.side, offer.price, band):
            made.ended = PRICE_PROTECTION
            break
        if offer.order is not None and offer.order.owner == order.owner:
            if not _make_way(made, order, offer.order):
                break
            continue
        _take(made, order, Match(offer.price, offer.volume, offer.order))
    return _judged(made, order)


def beyond(side: str, price: Decimal, limit: Decimal) -> bool:
    """Whether a price is worse than the limit of an order of that side."""
    return price > limit if side == "buy" else price < limit


def _band(order: Order, best: Decimal) -> Decimal:
    return best * (1 + (PRICE_PROTECTION_BAND if order.side == "buy" else -PRICE_PROTECTION_BAND))


def _make_way(made: Plan, order: Order, own: Order) -> bool:
    """Deal with an order of the same account in the way; whether the walk goes on."""
    if order.self_trade != "cancel-newest" and own not in made.evicted:
        made.evicted.append(own)
    if order.self_trade != "cancel-oldest":
        made.ended = SELF_TRADE
    return order.self_trade == "cancel-oldest"


def _take(made: Plan, order: Order, offered: Match) -> None:
    if not order.in_quote:
        volume = min(made.left, offered.volume)
        made.left -= volume
    else:
        lot = Decimal(1).scaleb(-order.pair.lot_decimals)
        affordable = (made.left / offered.price).quantize(lot, ROUND_DOWN)
        volume = min(affordable, offered.volume)
        made.left = ZERO if volume == affordable else made.left - volume * offered.price
    if volume > 0:
        made.matches.append(Match(offered.price, volume, offered.maker))


def _judged(made: Plan, order: Order) -> Plan:
    """Say why the rest may not stay, and let FOK take all or nothing."""
    if order.timeinforce == "FOK" and made.left > 0:
        return Plan(order.left, ended=NOT_AT_ONCE)
    if made.left > 0 and made.ended is None:
        if order.timeinforce == "IOC":
            made.ended = NOT_AT_ONCE
        elif order.limit is None:
            made.ended = NO_LIQUIDITY
    return made


# --- money ---


def bill(
    assets: Mapping[str, Asset], order: Order, tally: Tally, *, volume: Decimal, price: Decimal, rate: Decimal
) -> Bill:
    """What a fill adds to what `tally` has cost so far; the tally goes on."""
    before = _rounded(assets, order, tally, rate)
    tally.volume, tally.cost = tally.volume + volume, tally.cost + volume * price
    after = _rounded(assets, order, tally, rate)
    return Bill(
        after.cost - before.cost,
        after.quote_fee - before.quote_fee,
        after.base_fee - before.base_fee,
    )


def _rounded(assets: Mapping[str, Asset], order: Order, tally: Tally, rate: Decimal) -> Bill:
    cost = _digits(tally.cost, assets[order.pair.quote])
    if "fcib" in order.flags:
        return Bill(cost, ZERO, _digits(tally.volume * rate, assets[order.pair.base]))
    return Bill(cost, _digits(cost * rate, assets[order.pair.quote]), ZERO)


def _digits(amount: Decimal, asset: Asset) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-asset.decimals), ROUND_HALF_EVEN)


def spent_asset(order: Order) -> str:
    """The asset that the order pays with, and holds while it rests."""
    return order.pair.quote if order.side == "buy" else order.pair.base


def spent(order: Order, charged: Bill, volume: Decimal) -> Decimal:
    """What a fill of `volume` takes of the asset that the order pays with."""
    return charged.cost + charged.quote_fee if order.side == "buy" else volume + charged.base_fee


def needs(assets: Mapping[str, Asset], order: Order, volume: Decimal, price: Decimal, rate: Decimal) -> Decimal:
    """What `volume` at `price` would take of the asset that the order pays with."""
    return spent(order, bill(assets, order, Tally(), volume=volume, price=price, rate=rate), volume)


def plan_needs(assets: Mapping[str, Asset], order: Order, made: Plan) -> Decimal:
    """What the plan takes now and, where the rest stays, what it will hold."""
    whole = _rounded(assets, order, Tally(made.volume, made.exact_cost), TAKER_FEE)
    now = spent(order, whole, made.volume)
    if made.left <= 0 or made.ended is not None or order.limit is None:
        return now
    return now + needs(assets, order, made.left, order.limit, MAKER_FEE)


def waiting_needs(assets: Mapping[str, Asset], order: Order, last: Decimal) -> Decimal:
    """What an order holds that has not come to the book yet: at its limit, its trigger, or the last price."""
    price = order.limit or order.trigger or last
    volume = order.volume / price if order.in_quote else order.volume
    return needs(assets, order, volume, price, TAKER_FEE)
