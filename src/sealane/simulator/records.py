"""What a fill leaves behind: a trade and its ledger entries, as Kraken writes them down."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sealane.simulator.clock import seconds
from sealane.simulator.pairs import Asset, Pair

PRICE_DIGITS = 5  # decimals of the prices in rows


@dataclass(frozen=True)
class Trade:
    """One fill of one order. `cost` is in quote; `fee` in quote, or in base when the order says `fcib`."""

    txid: str
    ordertxid: str
    pair: Pair
    time_ns: int
    side: str
    ordertype: str
    price: Decimal
    cost: Decimal
    fee: Decimal
    volume: Decimal
    maker: bool
    number: int
    ledgers: tuple[str, ...] = ()

    def document(self, *, ledgers: bool = False) -> dict[str, Any]:
        """The row of TradesHistory and QueryTrades; the ids of its ledger entries on request."""
        money = self.pair.cost_decimals
        row: dict[str, Any] = {
            "ordertxid": self.ordertxid,
            "postxid": "",
            "pair": self.pair.name,
            "aclass": "forex",
            "time": seconds(self.time_ns),
            "type": self.side,
            "ordertype": self.ordertype,
            "price": f"{self.price:.{max(PRICE_DIGITS, self.pair.pair_decimals)}f}",
            "cost": f"{self.cost:.{money}f}",
            "fee": f"{self.fee:.{money}f}",
            "vol": f"{self.volume:.{self.pair.lot_decimals}f}",
            "margin": f"{0:.{money}f}",
            "leverage": "0",
            "misc": "",
            "trade_id": self.number,
            "maker": self.maker,
        }
        return row | {"ledgers": list(self.ledgers)} if ledgers else row


@dataclass(frozen=True)
class LedgerEntry:
    """One move of one asset: the balance changed by `amount - fee` and was `balance` after it."""

    id: str
    refid: str
    time_ns: int
    type: str
    asset: Asset
    amount: Decimal
    fee: Decimal
    balance: Decimal

    def document(self) -> dict[str, Any]:
        """The row of Ledgers and QueryLedgers."""
        digits = self.asset.decimals
        return {
            "refid": self.refid,
            "time": seconds(self.time_ns),
            "type": self.type,
            "subtype": "",
            "aclass": "currency",
            "asset": self.asset.name,
            "amount": f"{self.amount:.{digits}f}",
            "fee": f"{self.fee:.{digits}f}",
            "balance": f"{self.balance:.{digits}f}",
        }
