"""Hard limits: what no strategy can make the executor do, and why an order is kept back.

1. With nothing set, no order is worth more than ``MAX_ORDER_USD``, and no pair is allowed.
2. What cannot be valued in dollars is kept back, not guessed: an unknown or old price, a pair in another currency.
3. ``HARD_BUY_OFF`` and too little capital keep buys back and leave sells possible: who is in a coin can always get out.
4. No buy takes the free capital below the least, whatever was bought before it in the round. Fees come on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from sealane.client.settings import buys_are_off
from sealane.errors import SettingsError
from sealane.trading.strategy import Signal
from sealane.trading.views import MarketView, Quote, compact, plain

MAX_ORDER_USD = Decimal(10)
MIN_CAPITAL_USD = Decimal(10)
QUOTE_AGE_MAX_S = 30.0
"""An order is not valued by prices that are older."""

D = TypeVar("D")


@dataclass(frozen=True)
class HardLimits:
    """What an executor never goes beyond.

    Attributes:
        max_order_usd: the largest order (``SEALANE_MAX_ORDER_USD``); None is ``MAX_ORDER_USD``, and not enough for a
            live run.
        min_capital_usd: what stays free of USD and USDT together, whatever is bought (``SEALANE_MIN_CAPITAL_USD``).
        allowed_pairs: the only pairs that are traded (``SEALANE_ALLOWED_PAIRS``); none where it is empty.
        buys_off: nothing is bought (``HARD_BUY_OFF``).
    """

    max_order_usd: Decimal | None = None
    min_capital_usd: Decimal = MIN_CAPITAL_USD
    allowed_pairs: tuple[str, ...] = ()
    buys_off: bool = False

    def __post_init__(self) -> None:
        for name, value in (("max_order_usd", self.largest_order_usd), ("min_capital_usd", self.min_capital_usd)):
            if not (isinstance(value, Decimal) and value.is_finite() and value >= 0):
                raise SettingsError(f"{name} is {value!r}: give a Decimal of 0 or more")
        pairs: object = self.allowed_pairs
        if not isinstance(pairs, tuple):
            raise SettingsError(f"allowed_pairs is {pairs!r}: give a tuple, such as ('XBTUSD',)")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> HardLimits:
        """Read and check; raises SettingsError that names the variable and the remedy."""
        found = {name: value.strip() for name, value in environ.items() if value.strip()}
        return cls(
            max_order_usd=_dollars(found, "SEALANE_MAX_ORDER_USD", None),
            min_capital_usd=_dollars(found, "SEALANE_MIN_CAPITAL_USD", MIN_CAPITAL_USD),
            allowed_pairs=_pairs(found.get("SEALANE_ALLOWED_PAIRS", "").replace(",", " ").split()),
            buys_off=buys_are_off(environ),
        )

    @property
    def largest_order_usd(self) -> Decimal:
        """What no order is worth more than."""
        return MAX_ORDER_USD if self.max_order_usd is None else self.max_order_usd

    def only(self, pairs: Sequence[str]) -> HardLimits:
        """With these pairs alone. Where the environment names pairs they must be among them: nothing is widened."""
        wanted = _pairs(pairs)
        beyond = [pair for pair in wanted if self.allowed_pairs and pair not in self.allowed_pairs]
        if beyond:
            raise SettingsError(
                f"pair {beyond[0]} is not in SEALANE_ALLOWED_PAIRS={','.join(self.allowed_pairs)}: add it there"
            )
        return replace(self, allowed_pairs=wanted) if wanted else self

    def check_for_live(self) -> None:
        """Raise SettingsError unless somebody has said how large an order may be, and of which pairs."""
        missing = ["SEALANE_MAX_ORDER_USD"] if self.max_order_usd is None else []
        missing += [] if self.allowed_pairs else ["SEALANE_ALLOWED_PAIRS"]
        if missing:
            raise SettingsError(f"a live run needs its limits said: set {' and '.join(missing)}")


def why_blocked(signal: Signal, limits: HardLimits, market: MarketView, free: Decimal, now_ns: int) -> str:
    """Why an order is kept back, "" where it is not; ``free`` is what can be spent now, in dollars."""
    if signal.side == "buy" and limits.buys_off:
        return "HARD_BUY_OFF blocks buys"
    if market.named(signal.pair) not in {market.named(allowed) for allowed in limits.allowed_pairs}:
        return f"{signal.pair} is not among the allowed pairs: {', '.join(limits.allowed_pairs) or 'none'}"
    too_large = _why_too_large(signal, limits, market, now_ns)
    return too_large or _why_too_little_is_left(signal, limits, market, free)


def _why_too_little_is_left(signal: Signal, limits: HardLimits, market: MarketView, free: Decimal) -> str:
    """Why a buy whose worth is known takes too much of what is free, "" where it does not."""
    least = limits.min_capital_usd
    if signal.side != "buy" or free - worth_in(market, signal) >= least:
        return ""
    if free < least:
        return f"capital of {plain(free)} USD is below the least of {plain(least)} USD"
    left = free - worth_in(market, signal)
    return f"of {plain(free)} USD it would leave {left:.2f} USD, which is below the least of {plain(least)} USD"


def _why_too_large(signal: Signal, limits: HardLimits, market: MarketView, now_ns: int) -> str:
    """Why it is not known to be small enough, "" where it is."""
    pair = market.named(signal.pair)
    quote, rules = market.quotes.get(pair), market.rules.get(pair)
    if quote is None or rules is None:
        return f"the price of {pair} is not known: {market.left_out.get(pair, 'it was not asked for')}"
    if not rules.in_usd:
        return f"{pair} is priced in {rules.quote}: only orders in USD can be valued"
    if quote.age_s(now_ns) > QUOTE_AGE_MAX_S:
        return f"the price of {pair} is {quote.age_s(now_ns):.0f} s old, which is above {QUOTE_AGE_MAX_S:.0f} s"
    worth = worth_usd(signal, quote)
    if worth > limits.largest_order_usd:
        return f"it is worth {worth:.2f} USD, which is above the largest order of {plain(limits.largest_order_usd)} USD"
    return ""


def worth_usd(signal: Signal, quote: Quote) -> Decimal:
    """What an order is worth at most, in the pair's quote currency.

    A market order by the ask; a limit buy by its price, above which it never pays; a limit sell by its price or the
    bid, whichever is higher.
    """
    if signal.price is None:
        price = quote.ask
    elif signal.side == "buy":
        price = signal.price
    else:
        price = max(signal.price, quote.bid)
    return signal.volume * price


def worth_in(market: MarketView, signal: Signal) -> Decimal:
    """``worth_usd`` of an order whose pair has a price there; raises KeyError for another."""
    return worth_usd(signal, market.quotes[market.named(signal.pair)])


def _dollars(found: Mapping[str, str], name: str, default: D) -> Decimal | D:
    if name not in found:
        return default
    try:
        amount = Decimal(found[name])
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise SettingsError(f"{name} is {found[name]!r}: give an amount in dollars, such as 25")
    return amount


def _pairs(texts: Sequence[str]) -> tuple[str, ...]:
    """Each once, in the order in which they are named."""
    names = [compact(text) for text in texts]
    wrong = next((text for text, name in zip(texts, names, strict=True) if not (name.isascii() and _plain(name))), None)
    if wrong is not None:
        raise SettingsError(f"SEALANE_ALLOWED_PAIRS has {wrong!r}: give pairs such as XBTUSD,ETHUSD")
    return tuple(dict.fromkeys(names))


def _plain(name: str) -> bool:
    return name.replace(".", "").isalnum()
