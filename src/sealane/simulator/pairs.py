"""Assets and pairs.

The tables have the shape and the order of magnitude of Kraken's `Assets` and `AssetPairs` (docs, read in 2026).
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sealane.simulator.facts import MAKER_TIERS, TAKER_TIERS

OTHER_SPELLINGS = (("XBT", "BTC"), ("XDG", "DOGE"))  # docs: requests may use either


@dataclass(frozen=True)
class Asset:
    """One row of `Assets`; `decimals` is how balances are written."""

    name: str
    altname: str
    decimals: int
    display_decimals: int

    def document(self) -> dict[str, Any]:
        """The row as Kraken shows it."""
        return {
            "aclass": "currency",
            "altname": self.altname,
            "decimals": self.decimals,
            "display_decimals": self.display_decimals,
            "collateral_value": 1.0,
            "status": "enabled",
        }


@dataclass(frozen=True)
class Pair:
    """One row of `AssetPairs`. `ordermin` is in base, `costmin` and `tick_size` are in quote."""

    name: str
    altname: str
    wsname: str
    base: str
    quote: str
    pair_decimals: int
    ordermin: Decimal
    costmin: Decimal
    tick_size: Decimal
    usual_price: Decimal
    leverage: tuple[int, ...] = ()
    position_limit: int = 0
    lot_decimals: int = 8
    cost_decimals: int = 5

    def leverages(self) -> dict[str, Any]:
        """The part of the row that `info=leverage` asks for."""
        return {"leverage_buy": list(self.leverage), "leverage_sell": list(self.leverage)}

    def fees(self) -> dict[str, Any]:
        """The part of the row that `info=fees` asks for: [volume in USD, percent]."""
        return {
            "fees": [list(tier) for tier in TAKER_TIERS],
            "fees_maker": [list(tier) for tier in MAKER_TIERS],
            "fee_volume_currency": "ZUSD",
        }

    def margin(self) -> dict[str, Any]:
        """The part of the row that `info=margin` asks for, in percent."""
        return {"margin_call": 80, "margin_stop": 40}

    def document(self) -> dict[str, Any]:
        """The whole row as Kraken shows it."""
        return {
            "altname": self.altname,
            "wsname": self.wsname,
            "aclass_base": "currency",
            "base": self.base,
            "aclass_quote": "currency",
            "quote": self.quote,
            "lot": "unit",
            "cost_decimals": self.cost_decimals,
            "pair_decimals": self.pair_decimals,
            "lot_decimals": self.lot_decimals,
            "lot_multiplier": 1,
            **self.leverages(),
            **self.fees(),
            **self.margin(),
            "ordermin": f"{self.ordermin:f}",
            "costmin": f"{self.costmin:f}",
            "tick_size": f"{self.tick_size:f}",
            "status": "online",
            "execution_venue": "international",
            "long_position_limit": self.position_limit,
            "short_position_limit": self.position_limit,
        }


ASSETS = (
    Asset("ZUSD", "USD", 4, 2),
    Asset("ZEUR", "EUR", 4, 2),
    Asset("XXBT", "XBT", 10, 5),
    Asset("XETH", "ETH", 10, 5),
    Asset("USDT", "USDT", 8, 4),
    Asset("USDC", "USDC", 8, 4),
    Asset("SOL", "SOL", 10, 5),
    Asset("XXDG", "XDG", 8, 2),
)

_TEN = tuple(range(2, 11))
PAIRS = (
    Pair("XXBTZUSD", "XBTUSD", "XBT/USD", "XXBT", "ZUSD", 1, Decimal("0.00005"), Decimal("0.5"), Decimal("0.1"),
         Decimal(60000), _TEN, 350),
    Pair("XXBTZEUR", "XBTEUR", "XBT/EUR", "XXBT", "ZEUR", 1, Decimal("0.00005"), Decimal("0.45"), Decimal("0.1"),
         Decimal(55000), _TEN, 350),
    Pair("XETHZUSD", "ETHUSD", "ETH/USD", "XETH", "ZUSD", 2, Decimal("0.001"), Decimal("0.5"), Decimal("0.01"),
         Decimal(3000), _TEN, 5000),
    Pair("SOLUSD", "SOLUSD", "SOL/USD", "SOL", "ZUSD", 2, Decimal("0.02"), Decimal("0.5"), Decimal("0.01"),
         Decimal(150), _TEN, 50000),
    Pair("XDGUSD", "XDGUSD", "XDG/USD", "XXDG", "ZUSD", 7, Decimal(13), Decimal("0.5"), Decimal("0.0000001"),
         Decimal("0.15"), _TEN, 20000000),
    Pair("USDTZUSD", "USDTUSD", "USDT/USD", "USDT", "ZUSD", 5, Decimal(5), Decimal("0.5"), Decimal("0.00001"),
         Decimal(1), (2, 3), 3000000),
    Pair("USDCUSD", "USDCUSD", "USDC/USD", "USDC", "ZUSD", 4, Decimal(5), Decimal("0.5"), Decimal("0.0001"),
         Decimal(1), (2, 3), 3000000),
)  # fmt: skip


def asset_spellings() -> dict[str, str]:
    """Every spelling of an asset to its internal name."""
    names = {spelling: asset.name for asset in ASSETS for spelling in (asset.name, asset.altname)}
    for own, other in OTHER_SPELLINGS:
        names[other] = names[own]
    return names


def pair_spellings() -> dict[str, str]:
    """Every spelling of a pair to its internal name."""
    names = {spelling: pair.name for pair in PAIRS for spelling in (pair.name, pair.altname, pair.wsname)}
    for spelling, name in list(names.items()):
        for own, other in OTHER_SPELLINGS:
            if spelling.startswith(own):
                names[spelling.replace(own, other, 1)] = name
    return names
