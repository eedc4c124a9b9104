"""One order: its life, and how Kraken writes it down.

pending ──▶ open ──▶ closed (filled whole) · canceled · expired
(starttm)    │
             └ a triggered type waits until its trigger is met, then goes on as a market or limit order
"""

import random
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from sealane.simulator.clock import NS_PER_S, seconds
from sealane.simulator.pairs import Pair

ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
ORDER_DIGITS = 5  # decimals of the prices in an order row
ZERO = Decimal(0)


@dataclass(frozen=True)
class Offset:
    """A relative price as written: `+5`, `-0.5%`, `#10`."""

    sign: str
    amount: Decimal
    percent: bool

    def __str__(self) -> str:
        return f"{self.sign}{self.amount}{'%' if self.percent else ''}"

    def written(self, digits: int) -> str:
        """As Kraken shows it: percent with four decimals, `+5.0000%`; else with `digits`."""
        return f"{self.sign}{self.amount:.4f}%" if self.percent else f"{self.sign}{self.amount:.{digits}f}"

    def distance(self, base: Decimal) -> Decimal:
        """How far it is from `base`, without direction, in quote currency."""
        return base * self.amount / 100 if self.percent else self.amount

    def of(self, base: Decimal, automatic: int, tick: Decimal) -> Decimal:
        """The price so far from `base`, in whole ticks; `automatic` is the direction (1 or -1) that `#` stands for."""
        direction = {"+": 1, "-": -1}.get(self.sign, automatic)
        return whole_ticks(base + direction * self.distance(base), tick)


def whole_ticks(price: Decimal, tick: Decimal) -> Decimal:
    """The price rounded to whole ticks."""
    return (price / tick).quantize(Decimal(1), ROUND_HALF_EVEN) * tick


@dataclass
class Tally:
    """What was filled since the hold was set, exact: what is paid is rounded over the sum, so parts add up."""

    volume: Decimal = ZERO
    cost: Decimal = ZERO


@dataclass(frozen=True)
class Amend:
    """One entry of OrderAmends: the order as it was from `time_ns` on."""

    amend_id: str
    kind: str
    time_ns: int
    values: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """The row; `timestamp` is in nanoseconds."""
        return {"amend_id": self.amend_id, "amend_type": self.kind, **self.values, "timestamp": self.time_ns}


@dataclass(eq=False)
class Order:
    """An order as placed; amounts are Decimal, times in nanoseconds but for `starttm` and `expiretm` (seconds).

    `limit` is the limit price in force, `trigger` the price that a waiting order waits for; `trail` and `limit_offset`
    are the distances of trailing types. `queue` is its place among orders of one price, `shown` what an iceberg still
    shows. Look-ups do not see it before `visible_ns`.
    """

    txid: str
    pair: Pair
    side: str
    ordertype: str
    volume: Decimal
    limit: Decimal | None
    opened_ns: int
    owner: str = ""
    userref: int | None = None
    cl_ord_id: str | None = None
    oflags: str = "fciq"
    timeinforce: str = "GTC"
    starttm: int = 0
    expiretm: int = 0
    trigger: Decimal | None = None
    trigger_by: str = "last"
    trail: Offset | None = None
    limit_offset: Offset | None = None
    display: Decimal | None = None
    self_trade: str = "cancel-newest"
    hold_asset: str = ""
    hold: Decimal = ZERO
    status: str = "open"
    reason: str | None = None
    closed_ns: int | None = None
    amended_ns: int = 0
    visible_ns: int = 0
    waiting: bool = False
    triggered: bool = False
    extreme: Decimal | None = None
    queue: int = 0
    shown: Decimal = ZERO
    filled: Decimal = ZERO
    paid: Decimal = ZERO
    cost: Decimal = ZERO
    fee: Decimal = ZERO
    tally: Tally = field(default_factory=Tally)
    trades: list[str] = field(default_factory=list)
    amends: list[Amend] = field(default_factory=list)

    @property
    def flags(self) -> frozenset[str]:
        """The order flags as a set."""
        return frozenset(self.oflags.split(","))

    @property
    def in_quote(self) -> bool:
        """Whether `volume` is in quote currency (`viqc`)."""
        return "viqc" in self.flags

    @property
    def live(self) -> bool:
        """Whether it has not ended: `pending` or `open`."""
        return self.closed_ns is None

    @property
    def left(self) -> Decimal:
        """What is not filled yet, in the unit of `volume`."""
        return self.volume - (self.paid if self.in_quote else self.filled)

    @property
    def average(self) -> Decimal:
        """The average price of what was filled; 0 without any."""
        return self.paid / self.filled if self.filled else ZERO

    def age_s(self, now_ns: int) -> float:
        """Seconds since it was placed or last amended: what Kraken's trading counter goes by."""
        return max(0.0, (now_ns - max(self.opened_ns, self.amended_ns)) / NS_PER_S)

    def visible(self, now_ns: int) -> bool:
        """Whether look-ups see it."""
        return now_ns >= self.visible_ns

    # --- in words ---

    def describe(self) -> str:
        """The sentence that clients parse: `buy 0.10000000 XBTUSD @ limit 25000.1`."""
        head = f"{self.side} {self.volume:.{self.pair.lot_decimals}f} {self.pair.altname} @ "
        if self.ordertype in ("market", "limit", "iceberg"):
            return head + (self.ordertype if self.limit is None else f"{self.ordertype} {self.first_price()}")
        kind = self.ordertype.removesuffix("-limit").replace("-", " ")
        tail = f" -> limit {self.second_price()}" if self.ordertype.endswith("-limit") else ""
        return f"{head}{kind} {self.first_price()}{tail}"

    def first_price(self) -> str:
        """`price` of the description: the trailing distance, the trigger, the limit, or 0."""
        if self.trail is not None:
            return self.trail.written(self.pair.pair_decimals)
        return self.written(self.limit if self.trigger is None else self.trigger)

    def second_price(self) -> str:
        """`price2` of the description: the limit of a triggered type, or 0."""
        if self.limit_offset is not None:
            return self.limit_offset.written(self.pair.pair_decimals)
        return self.written(None if self.trigger is None else self.limit)

    def written(self, price: Decimal | None) -> str:
        """A price with the pair's decimals; `0` for none."""
        return "0" if price is None else f"{price:.{self.pair.pair_decimals}f}"

    def description(self) -> dict[str, str]:
        """The `descr` part of an order row."""
        return {
            "pair": self.pair.altname,
            "type": self.side,
            "ordertype": self.ordertype,
            "price": self.first_price(),
            "price2": self.second_price(),
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
            "starttm": self.starttm,
            "expiretm": self.expiretm,
            "descr": self.description(),
            **self._amounts(),
            "misc": self._misc(),
            "oflags": self.oflags,
        }
        if self.cl_ord_id is not None:
            row["cl_ord_id"] = self.cl_ord_id
        if self.trigger is not None:
            row["trigger"] = self.trigger_by
        if self.display is not None:
            row["displayvol"] = f"{self.display:.{self.pair.lot_decimals}f}"
        if self.closed_ns is not None:
            row |= {"closetm": seconds(self.closed_ns), "reason": self.reason}
        if trades and self.trades:
            row["trades"] = list(self.trades)
        return row

    def _amounts(self) -> dict[str, str]:
        lots, money = self.pair.lot_decimals, self.pair.cost_decimals
        digits = max(ORDER_DIGITS, self.pair.pair_decimals)
        average = self.average.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
        triggered_limit = self.limit if self.triggered and self.limit is not None else ZERO
        return {
            "vol": f"{self.volume:.{lots}f}",
            "vol_exec": f"{self.filled:.{lots}f}",
            "cost": f"{self.cost:.{money}f}",
            "fee": f"{self.fee:.{money}f}",
            "price": f"{average:f}",
            "stopprice": f"{self.trigger or ZERO:.{digits}f}",
            "limitprice": f"{triggered_limit:.{digits}f}",
        }

    def _misc(self) -> str:
        met = "touched" if self.ordertype.startswith("take-profit") else "stopped"
        return ",".join([met] * self.triggered + ["amended"] * bool(self.amended_ns))

    # --- its life ---

    def close(self, status: str, now_ns: int, reason: str | None) -> None:
        """End the order; only a live one can end."""
        if not self.live:
            raise ValueError(f"order {self.txid} is {self.status} already")
        self.status, self.closed_ns, self.reason, self.waiting = status, now_ns, reason, False

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
