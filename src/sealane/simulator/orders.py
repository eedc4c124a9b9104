"""One order: its life, and how Kraken writes it down."""

import random
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sealane.simulator.clock import NS_PER_S, seconds
from sealane.simulator.market import Pair

ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
ORDER_DIGITS = 5  # decimals of the prices in an order row


@dataclass
class Order:
    """An order as placed. `status` is `open`, `closed` (filled) or `canceled`; amounts are Decimal.

    Look-ups do not see it before `visible_ns`.
    """

    txid: str
    pair: Pair
    side: str
    ordertype: str
    volume: Decimal
    limit: Decimal | None
    opened_ns: int
    userref: int | None = None
    cl_ord_id: str | None = None
    oflags: str = "fciq"
    timeinforce: str = "GTC"
    expiretm: int = 0
    hold_asset: str = ""
    hold: Decimal = Decimal(0)
    status: str = "open"
    reason: str | None = None
    closed_ns: int | None = None
    filled: Decimal = Decimal(0)
    average: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)
    trades: list[str] = field(default_factory=list)
    visible_ns: int = 0

    def visible(self, now_ns: int) -> bool:
        """Whether look-ups see it."""
        return now_ns >= self.visible_ns

    def describe(self) -> str:
        """The sentence that clients parse: `buy 0.10000000 XBTUSD @ limit 25000.1`."""
        head = f"{self.side} {self.volume:.{self.pair.lot_decimals}f} {self.pair.altname} @ {self.ordertype}"
        return head if self.limit is None else f"{head} {self._price_text()}"

    def _price_text(self) -> str:
        return "0" if self.limit is None else f"{self.limit:.{self.pair.pair_decimals}f}"

    def description(self) -> dict[str, str]:
        """The `descr` part of an order row."""
        return {
            "pair": self.pair.altname,
            "type": self.side,
            "ordertype": self.ordertype,
            "price": self._price_text(),
            "price2": "0",
            "leverage": "none",
            "order": self.describe(),
            "close": "",
            "aclass": "forex",
        }

    def document(self, *, trades: bool = False) -> dict[str, Any]:
        """The order as OpenOrders, ClosedOrders and QueryOrders show it; its trade ids on request."""
        row: dict[str, Any] = {
            "refid": None,
            "userref": self.userref,
            "status": self.status,
            "opentm": seconds(self.opened_ns),
            "starttm": 0,
            "expiretm": self.expiretm,
            "descr": self.description(),
            **self._amounts(),
            "misc": "",
            "oflags": self.oflags,
        }
        if self.cl_ord_id is not None:
            row["cl_ord_id"] = self.cl_ord_id
        if self.closed_ns is not None:
            row |= {"closetm": seconds(self.closed_ns), "reason": self.reason}
        if trades and self.trades:
            row["trades"] = list(self.trades)
        return row

    def _amounts(self) -> dict[str, str]:
        lots, money = self.pair.lot_decimals, self.pair.cost_decimals
        return {
            "vol": f"{self.volume:.{lots}f}",
            "vol_exec": f"{self.filled:.{lots}f}",
            "cost": f"{self.cost:.{money}f}",
            "fee": f"{self.fee:.{money}f}",
            "price": f"{self.average:.{max(ORDER_DIGITS, self.pair.pair_decimals)}f}",
            "stopprice": f"{Decimal(0):.{ORDER_DIGITS}f}",
            "limitprice": f"{Decimal(0):.{ORDER_DIGITS}f}",
        }

    def close(self, status: str, now_ns: int, reason: str | None) -> None:
        """End the order; only an open one can end."""
        if self.status != "open":
            raise ValueError(f"order {self.txid} is {self.status} already")
        self.status, self.closed_ns, self.reason = status, now_ns, reason

    def matches(self, *, userref: int | None, cl_ord_id: str | None) -> bool:
        """Whether the order passes the two filters; a filter that is None passes all."""
        return userref in (None, self.userref) and cl_ord_id in (None, self.cl_ord_id)

    def within(self, start_s: float | None, end_s: float | None, *, by: str) -> bool:
        """Whether a time of the order lies after `start_s` and not after `end_s`; `by` is open, close or both."""
        stamps = ((self.opened_ns, by != "close"), (self.closed_ns, by != "open"))
        times = [stamp / NS_PER_S for stamp, counts in stamps if stamp is not None and counts]
        return any((start_s is None or at > start_s) and (end_s is None or at <= end_s) for at in times)


def new_id(rng: random.Random, letter: str) -> str:
    """An id in Kraken's form: `O` for orders, `T` for trades, then 5, 5 and 6 letters: `OUF4EM-FRGI2-MQMWZD`."""
    drawn = "".join(rng.choices(ID_LETTERS, k=16))
    return f"{letter}{drawn[:5]}-{drawn[5:10]}-{drawn[10:]}"
