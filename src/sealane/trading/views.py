"""What a strategy sees: the market and its account, as of one moment. Nothing in them can be changed.

1. Amounts and prices are ``Decimal``. Pairs go by Kraken's altname (``XBTUSD``), assets by Kraken's name (``XXBT``).
2. One market view is shared by every account of a round, so its mappings are read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from sealane.broker.kraken_assets import USD, USDT, is_cash, symbol
from sealane.core.nonce import NS_PER_S

_SPELLINGS = (("BTC", "XBT"), ("DOGE", "XDG"))
_HALF_A_KEY = 4


@dataclass(frozen=True)
class Quote:
    """The best prices of a pair, in its quote currency; ``asked_ns`` is the Unix time just before Kraken was asked."""

    pair: str
    bid: Decimal
    ask: Decimal
    last: Decimal
    asked_ns: int

    def age_s(self, now_ns: int) -> float:
        """Seconds since it was asked for. A clock that was set back makes it old rather than new."""
        return abs(now_ns - self.asked_ns) / NS_PER_S


@dataclass(frozen=True)
class PairRules:
    """What Kraken lets through of a pair.

    Attributes:
        pair: its altname, such as ``"XBTUSD"``. base, quote: its assets, such as ``"XXBT"`` and ``"ZUSD"``.
        status: ``"online"``, or why it is not.
        ordermin: the least volume, in base. costmin: the least worth, in quote. tick_size: of prices, in quote.
        lot_decimals: how many decimals a volume may have.
    """

    pair: str
    base: str
    quote: str
    status: str
    ordermin: Decimal
    costmin: Decimal
    tick_size: Decimal
    lot_decimals: int

    @property
    def in_usd(self) -> bool:
        """Whether prices are in US dollars."""
        return self.quote in USD


@dataclass(frozen=True)
class MarketView:
    """The pairs that can be traded now.

    Attributes:
        now_ns: Unix time of the view in nanoseconds.
        quotes, rules: by altname, of the pairs that are online and have prices.
        left_out: why each other pair that was asked for is not among them.
        spellings: the altname by every name that Kraken has for a pair.
    """

    now_ns: int
    quotes: Mapping[str, Quote]
    rules: Mapping[str, PairRules]
    left_out: Mapping[str, str] = field(default_factory=dict)
    spellings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("quotes", "rules", "left_out", "spellings"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def named(self, pair: str) -> str:
        """A pair's altname, from ``XBTUSD``, ``BTC/USD`` or ``XXBTZUSD``; as it was written where it is not known."""
        name = compact(pair)
        return self.spellings.get(name, name)


@dataclass(frozen=True)
class AccountView:
    """What an account holds.

    Attributes:
        account: ``"MASTER"`` or the user's name.
        usd, usdt, total: dollars; ``total`` is the sum, holds on open orders included.
        amounts: every asset by Kraken's name, such as ``{"XXBT": Decimal("0.5")}``; holds on open orders included.
        free: the dollars that can be spent now (``capital.py``): the account's capital.
    """

    account: str
    usd: Decimal
    usdt: Decimal
    total: Decimal
    amounts: Mapping[str, Decimal]
    free: Decimal

    def __post_init__(self) -> None:
        object.__setattr__(self, "amounts", MappingProxyType(dict(self.amounts)))

    @property
    def holdings(self) -> dict[str, Decimal]:
        """What it holds besides dollars."""
        return holdings(self.amounts)


def holdings(amounts: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """The assets above zero that do not count into the balance as dollars."""
    return {asset: amount for asset, amount in amounts.items() if amount > 0 and not is_cash(asset)}


def compact(pair: str) -> str:
    """A pair as Kraken writes its altnames: ``btc/usd`` and ``XXBTZUSD`` are ``XBTUSD``.

    Within a name (``WBTCUSD``) nothing changes.
    """
    name = pair.strip().upper().replace("/", "")
    base, quote = _of_key(name[:_HALF_A_KEY]), _of_key(name[_HALF_A_KEY:])
    if base and quote:
        return base + quote
    for other, own in _SPELLINGS:
        if name.startswith(other):
            name = own + name.removeprefix(other)
        if name.endswith(other):
            name = name.removesuffix(other) + own
    return name


def _of_key(half: str) -> str:
    """Half of a pair's old key as its altname has it: ``XXBT`` is ``XBT``; "" where it is none."""
    if half in USDT:
        return half
    is_old = len(half) == _HALF_A_KEY and "." not in half and symbol(half) != half
    return half[1:] if is_old else ""


def plain(amount: Decimal) -> str:
    """An amount for a person: exact, without zeros at its end."""
    return f"{amount.normalize():f}"
