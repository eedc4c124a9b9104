"""The fields of an order, read and checked against its type and its pair's row in `AssetPairs`.

Prices may be relative to the last price: `+5`, `-5`, `#5` (the direction follows from type and side), each also in
percent (`+0.5%`). A trailing stop's price is always the distance `+…` to the best price since, and the limit of a
trailing-stop-limit the distance `+…` or `-…` to the trigger. What the simulator cannot do (margin, conditional close)
is refused, never ignored: an order without it would be another order.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sealane.simulator.clock import NS_PER_S
from sealane.simulator.context import Context
from sealane.simulator.facts import (
    CLIENT_ID_CHARS,
    COST_MINIMUM,
    DEADLINE_ELAPSED,
    DEADLINE_MAX_S,
    INVALID_ARGUMENTS,
    INVALID_PRICE,
    ORDER_MINIMUM,
    REDUCE_ONLY,
    TICK_SIZE,
    Refused,
    bad_argument,
)
from sealane.simulator.facts.trading import (
    DISPLAY_PARTS_MAX,
    EXPIRE_MIN_S,
    ORDER_FLAGS,
    ORDER_TYPES,
    SELF_TRADE_TYPES,
    TIMES_IN_FORCE,
    UNKNOWN_POSITION,
)
from sealane.simulator.orders import Offset, Order
from sealane.simulator.pairs import Pair
from sealane.simulator.params import NUMBER_CHARS_MAX, Params
from sealane.simulator.triggers import follow, for_a_rise

UUID = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
RELATIVE = re.compile(r"([+\-#])([0-9]{1,20}(?:\.[0-9]{1,20})?)(%?)")
LATER = re.compile(r"\+([0-9]{1,9})")


@dataclass(frozen=True)
class Kind:
    """What an order type means by `price` (limit, trigger, trail or nothing), and whether it has a `price2`."""

    price: str | None
    price2: bool = False

    @property
    def triggered(self) -> bool:
        """Whether it waits for a trigger."""
        return self.price in ("trigger", "trail")


KINDS = {
    "market": Kind(None),
    "limit": Kind("limit"),
    "iceberg": Kind("limit"),
    "stop-loss": Kind("trigger"),
    "take-profit": Kind("trigger"),
    "stop-loss-limit": Kind("trigger", price2=True),
    "take-profit-limit": Kind("trigger", price2=True),
    "trailing-stop": Kind("trail"),
    "trailing-stop-limit": Kind("trail", price2=True),
}


def read_order(context: Context, params: Params, pair: Pair) -> Order:
    """The order that the fields describe, complete but for its id; Refused by its first bad field."""
    _refuse_other(params)
    ordertype = one_of(params, "ordertype", ORDER_TYPES)
    if ordertype not in KINDS:
        raise Refused(UNKNOWN_POSITION)
    kind = KINDS[ordertype]
    order = Order(
        txid="",
        pair=pair,
        side=one_of(params, "type", ("buy", "sell")),
        ordertype=ordertype,
        volume=required_volume(params, "volume", pair),
        limit=None,
        opened_ns=context.now_ns,
        owner=context.account.name,
        userref=read_userref(params, "userref"),
        cl_ord_id=_client_id(params),
        timeinforce=one_of(params, "timeinforce", TIMES_IN_FORCE, "GTC"),
        starttm=_moment(context, params, "starttm"),
        expiretm=_moment(context, params, "expiretm", least_s=EXPIRE_MIN_S),
        self_trade=one_of(params, "stptype", SELF_TRADE_TYPES, "cancel-newest"),
    )
    _read_prices(order, kind, params, context.market.books[pair.name].last)
    _read_trigger_by(order, kind, params)
    order.display = read_display(params, "displayvol", order)
    order.oflags = _read_flags(order, params)
    _check_time_in_force(order, kind)
    return order


def _refuse_other(params: Params) -> None:
    for name in params.fields:
        if name.startswith("close") and params.fields[name] not in (None, "", {}):
            raise bad_argument("close[ordertype]" if name == "close" else name)
    if (params.text("leverage") or "none") != "none":
        raise bad_argument("leverage")
    if params.flag("reduce_only"):
        raise Refused(REDUCE_ONLY)


def one_of(params: Params, name: str, allowed: tuple[str, ...], default: str | None = None) -> str:
    """A field out of a list of words."""
    value = params.text(name) or default
    if value is None or value not in allowed:
        raise bad_argument(name)
    return value


# --- amounts and prices ---


def read_volume(params: Params, name: str, pair: Pair) -> Decimal | None:
    """A volume with no more decimals than the pair's lots have."""
    volume = params.amount(name)
    if volume is not None and decimals(volume) > pair.lot_decimals:
        raise bad_argument(name)
    return volume


def required_volume(params: Params, name: str, pair: Pair) -> Decimal:
    """The same, refused when missing."""
    volume = read_volume(params, name, pair)
    if volume is None:
        raise bad_argument(name)
    return volume


def read_display(params: Params, name: str, order: Order) -> Decimal | None:
    """What an iceberg shows: at least 1/15 of the rest, at most all of it; refused for other types."""
    shown = read_volume(params, name, order.pair)
    if order.ordertype != "iceberg":
        if shown is not None:
            raise bad_argument(name)
        return None
    if shown is None or not order.left / DISPLAY_PARTS_MAX <= shown <= order.left:
        raise bad_argument(name)
    return shown


def _read_prices(order: Order, kind: Kind, params: Params, last: Decimal) -> None:
    if params.text("price2") is not None and not kind.price2:
        raise bad_argument("price2")
    rises = 1 if for_a_rise(order) else -1
    aside = -1 if order.side == "buy" else 1
    if kind.price == "limit":
        order.limit = read_price(params, "price", order.pair, last, aside)
    elif kind.price == "trigger":
        order.trigger = read_price(params, "price", order.pair, last, rises)
        order.limit = read_price(params, "price2", order.pair, last, -aside) if kind.price2 else None
    elif kind.price == "trail":
        order.trail = read_offset(params, "price", "+")
        order.limit_offset = read_offset(params, "price2", "+-") if kind.price2 else None
        follow(order, last)
    if any(price is not None and price <= 0 for price in (order.limit, order.trigger)):
        raise bad_argument("price")


def read_price(params: Params, name: str, pair: Pair, last: Decimal, automatic: int) -> Decimal:
    """A price in whole ticks, plain or relative to the last one; `automatic` is the direction that `#` stands for."""
    text = params.required(name)
    if text[0] in "+-#":
        price = _offset(text, name).of(last, automatic, pair.tick_size)
        if price <= 0:
            raise bad_argument(name)
        return price
    plain = params.amount(name)
    if plain is None:
        raise bad_argument(name)
    check_price(pair, plain)
    return plain


def check_price(pair: Pair, price: Decimal) -> None:
    """Refuse a price with too many decimals, or between two ticks."""
    if decimals(price) > pair.pair_decimals:
        limit = f"{pair.altname} price can only be specified up to {pair.pair_decimals} decimals."
        raise Refused(f"{INVALID_PRICE}:{limit}")
    if price % pair.tick_size:
        raise Refused(TICK_SIZE)


def read_offset(params: Params, name: str, signs: str) -> Offset:
    """A distance, `+5` or `+0.5%`, with one of these signs."""
    offset = _offset(params.required(name), name)
    if offset.sign not in signs or (name == "price" and offset.amount == 0):
        raise bad_argument(name)
    return offset


def _offset(text: str, name: str) -> Offset:
    match = RELATIVE.fullmatch(text)
    if match is None or len(text) > NUMBER_CHARS_MAX:
        raise bad_argument(name)
    return Offset(match[1], Decimal(match[2]), bool(match[3]))


def decimals(number: Decimal) -> int:
    """Digits after the point that count."""
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


# --- the rest of the fields ---


def read_userref(params: Params, name: str) -> int | None:
    """A whole number of 32 bits."""
    userref = params.integer(name)
    if userref is not None and not -(2**31) <= userref < 2**31:
        raise bad_argument(name)
    return userref


def _client_id(params: Params) -> str | None:
    cl_ord_id = params.text("cl_ord_id")
    if cl_ord_id is None:
        return None
    if params.text("userref") is not None:
        raise Refused(INVALID_ARGUMENTS)
    short = len(cl_ord_id) <= CLIENT_ID_CHARS and cl_ord_id.isascii() and cl_ord_id.isprintable()
    if not short and not UUID.fullmatch(cl_ord_id):
        raise bad_argument("cl_ord_id")
    return cl_ord_id


def _moment(context: Context, params: Params, name: str, *, least_s: int = 0) -> int:
    """Unix seconds from `0` (none), `+n` or unix seconds. A time that has passed is refused but for `starttm`."""
    now_s = context.now_ns // NS_PER_S
    later = LATER.fullmatch(params.text(name) or "")
    at_s = now_s + int(later[1]) if later else params.integer(name) or 0
    if at_s < 0 or (later and int(later[1]) < least_s) or (least_s and 0 < at_s <= now_s):
        raise bad_argument(name)
    return at_s if at_s > now_s else 0


def _read_trigger_by(order: Order, kind: Kind, params: Params) -> None:
    if not kind.triggered and params.text("trigger") is not None:
        raise bad_argument("trigger")
    order.trigger_by = one_of(params, "trigger", ("last", "index"), "last")


def _read_flags(order: Order, params: Params) -> str:
    """The flags as order rows show them: which currency pays the fee comes first, quote if nothing is said."""
    flags = params.names("oflags")
    if not set(flags) <= ORDER_FLAGS or {"fcib", "fciq"} <= set(flags):
        raise bad_argument("oflags")
    if "viqc" in flags and (order.ordertype, order.side) != ("market", "buy"):
        raise bad_argument("viqc")
    if "post" in flags and order.ordertype not in ("limit", "iceberg"):
        raise bad_argument("oflags")
    paid_in = "fcib" if "fcib" in flags else "fciq"
    return ",".join([paid_in, *sorted(set(flags) - {"fcib", "fciq"})])


def _check_time_in_force(order: Order, kind: Kind) -> None:
    at_once = order.timeinforce in ("IOC", "FOK")
    if at_once and (kind.triggered or order.display is not None or "post" in order.flags):
        raise bad_argument("timeinforce")
    if order.timeinforce == "GTD" and not order.expiretm:
        raise bad_argument("expiretm")


def check_deadline(context: Context, params: Params) -> None:
    """Refuse a call whose `deadline` (RFC 3339) has passed, or is too far away."""
    text = params.text("deadline")
    if text is None:
        return
    try:
        deadline = datetime.fromisoformat(text)
    except ValueError:
        raise bad_argument("deadline") from None
    if deadline.tzinfo is None:
        raise bad_argument("deadline")
    left_s = deadline.timestamp() - context.now_ns / 1e9
    if left_s <= 0:
        raise Refused(DEADLINE_ELAPSED)
    if left_s > DEADLINE_MAX_S:
        raise bad_argument("deadline")


def check_minimums(order: Order, last: Decimal) -> None:
    """Refuse an order below the pair's least volume or cost."""
    price = order.limit or order.trigger or last
    cost = order.volume if order.in_quote else order.volume * price
    if cost / price < order.pair.ordermin:
        raise Refused(ORDER_MINIMUM)
    if cost < order.pair.costmin:
        raise Refused(COST_MINIMUM)
