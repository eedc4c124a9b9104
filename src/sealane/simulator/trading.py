"""AddOrder and CancelOrder: check, hold, fill.

Prices stand still, so an order is either filled whole the moment it arrives (a market order, or a limit order at or
through the other side's price) or it rests until it is cancelled. A fill costs the taker fee, in quote currency. A
resting order holds what it would spend: a buy its cost and the maker fee, a sell its volume.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from sealane.simulator.context import Context
from sealane.simulator.facts import (
    CLIENT_ID_CHARS,
    COST_MINIMUM,
    DEADLINE_ELAPSED,
    DEADLINE_MAX_S,
    INSUFFICIENT_FUNDS,
    INVALID_ARGUMENTS,
    INVALID_PRICE,
    MAKER_FEE,
    ORDER_MINIMUM,
    POST_ONLY,
    REDUCE_ONLY,
    TAKER_FEE,
    TICK_SIZE,
    UNKNOWN_ORDER,
    Refused,
    bad_argument,
)
from sealane.simulator.market import Market, Pair
from sealane.simulator.orders import Order, new_id
from sealane.simulator.params import Params

UUID = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
ORDER_TYPES = ("market", "limit")
TIMES_IN_FORCE = ("GTC", "IOC", "GTD", "FOK")
# Arguments whose effect this version lacks: refused, because an order that ignores them would be another order.
NOT_SUPPORTED = ("price2", "displayvol", "close[ordertype]", "close")


def add_order(context: Context, params: Params) -> dict[str, Any]:
    """`{"descr": {"order": …}, "txid": ["O…"]}`; with `validate` no txid and nothing happens."""
    order = _read_order(context, params)
    _check_deadline(context, params)
    _check_minimums(order, context.market)
    _check_client_id(context, order)
    fill_price = _fill_price(order, context.market)
    _check_flags(order, params, fill_price)
    _check_funds(context, order, fill_price)
    answer: dict[str, Any] = {"descr": {"order": order.describe()}}
    if params.flag("validate"):
        return answer
    order.txid = new_id(context.ids, "O")
    _apply(context, order, fill_price)
    return answer | {"txid": [order.txid]}


def cancel_order(context: Context, params: Params) -> dict[str, Any]:
    """`{"count": n}`. `txid` names an order or a userref, `cl_ord_id` an order; unknown or closed ones are refused."""
    orders = _orders_to_cancel(context, params)
    if not orders:
        raise Refused(UNKNOWN_ORDER)
    for order in orders:
        order.close("canceled", context.now_ns, "User requested")
        context.account.unrest(order)
    return {"count": len(orders)}


def _orders_to_cancel(context: Context, params: Params) -> list[Order]:
    account = context.account
    cl_ord_id, txid = params.text("cl_ord_id"), params.text("txid")
    if cl_ord_id is not None:
        found = account.open_client_ids.get(cl_ord_id)
        return [account.open[found]] if found else []
    if txid is not None and txid in account.open:
        return [account.open[txid]]
    userref = params.integer("userref")
    if userref is None and txid is not None and txid.removeprefix("-").isdecimal():
        userref = params.integer("txid")
    if userref is None and txid is None:
        raise bad_argument("txid")
    return [order for order in account.open.values() if userref is not None and order.userref == userref]


def _read_order(context: Context, params: Params) -> Order:
    for name in NOT_SUPPORTED:
        if params.text(name) is not None:
            raise bad_argument(name)
    pair = context.market.pair(params.required("pair"))
    ordertype = _one_of(params, "ordertype", ORDER_TYPES)
    order = Order(
        txid="",
        pair=pair,
        side=_one_of(params, "type", ("buy", "sell")),
        ordertype=ordertype,
        volume=_volume(params, pair),
        limit=_limit(params, pair) if ordertype == "limit" else None,
        opened_ns=context.now_ns,
        userref=_userref(params),
        cl_ord_id=_client_id(params),
        timeinforce=_one_of(params, "timeinforce", TIMES_IN_FORCE, "GTC"),
        expiretm=params.integer("expiretm") or 0,
    )
    _check_margin(params)
    order.oflags = ",".join(params.names("oflags")) or "fciq"
    return order


def _one_of(params: Params, name: str, allowed: tuple[str, ...], default: str | None = None) -> str:
    value = params.text(name) or default
    if value is None or value not in allowed:
        raise bad_argument(name)
    return value


def _volume(params: Params, pair: Pair) -> Decimal:
    volume = params.amount("volume")
    if volume is None or _decimals(volume) > pair.lot_decimals:
        raise bad_argument("volume")
    return volume


def _limit(params: Params, pair: Pair) -> Decimal:
    price = params.amount("price")
    if price is None:
        raise bad_argument("price")
    if _decimals(price) > pair.pair_decimals:
        limit = f"{pair.altname} price can only be specified up to {pair.pair_decimals} decimals."
        raise Refused(f"{INVALID_PRICE}:{limit}")
    if price % pair.tick_size:
        raise Refused(TICK_SIZE)
    return price


def _decimals(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _userref(params: Params) -> int | None:
    userref = params.integer("userref")
    if userref is not None and not -(2**31) <= userref < 2**31:
        raise bad_argument("userref")
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


def _check_margin(params: Params) -> None:
    if (params.text("leverage") or "none") != "none":
        raise bad_argument("leverage")
    if (params.text("starttm") or "0") != "0":
        raise bad_argument("starttm")
    if params.flag("reduce_only"):
        raise Refused(REDUCE_ONLY)


def _check_deadline(context: Context, params: Params) -> None:
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


def _check_minimums(order: Order, market: Market) -> None:
    if order.volume < order.pair.ordermin:
        raise Refused(ORDER_MINIMUM)
    price = order.limit or market.quotes[order.pair.name].last
    if order.volume * price < order.pair.costmin:
        raise Refused(COST_MINIMUM)


def _check_client_id(context: Context, order: Order) -> None:
    if order.cl_ord_id is not None and order.cl_ord_id in context.account.open_client_ids:
        raise Refused(context.switches.duplicate_client_id_error)


def _fill_price(order: Order, market: Market) -> Decimal | None:
    """The price at which the order is filled at once; None when it would rest."""
    quote = market.quotes[order.pair.name]
    price, sign = (quote.ask, 1) if order.side == "buy" else (quote.bid, -1)
    if order.limit is None or sign * (order.limit - price) >= 0:
        return price
    return None


def _check_flags(order: Order, params: Params, fill_price: Decimal | None) -> None:
    flags = params.names("oflags")
    if "viqc" in flags or "fcib" in flags:
        raise bad_argument("viqc" if "viqc" in flags else "oflags")
    if "post" in flags and fill_price is not None:
        raise Refused(POST_ONLY)


@dataclass(frozen=True)
class _Bill:
    """What an order costs in quote currency, rounded to the digits in which balances are kept."""

    cost: Decimal
    fee: Decimal


def _bill(market: Market, order: Order, price: Decimal, rate: Decimal) -> _Bill:
    digit = Decimal(1).scaleb(-market.assets[order.pair.quote].decimals)
    cost = (order.volume * price).quantize(digit, ROUND_HALF_EVEN)
    return _Bill(cost, (cost * rate).quantize(digit, ROUND_HALF_EVEN))


def _check_funds(context: Context, order: Order, fill_price: Decimal | None) -> None:
    order.hold_asset, order.hold = _needs(context.market, order, fill_price)
    if order.hold > context.account.available(order.hold_asset):
        raise Refused(INSUFFICIENT_FUNDS)


def _needs(market: Market, order: Order, fill_price: Decimal | None) -> tuple[str, Decimal]:
    if order.side == "sell":
        return order.pair.base, order.volume
    rate = TAKER_FEE if fill_price is not None else MAKER_FEE
    bill = _bill(market, order, fill_price or order.limit or Decimal(0), rate)
    return order.pair.quote, bill.cost + bill.fee


def _apply(context: Context, order: Order, fill_price: Decimal | None) -> None:
    if fill_price is not None:
        _fill(context, order, fill_price)
    elif order.timeinforce in ("IOC", "FOK"):
        order.close("canceled", context.now_ns, "Order would not fill at once")
        context.account.remember(order)
    else:
        context.account.rest(order)


def _fill(context: Context, order: Order, price: Decimal) -> None:
    account, bill = context.account, _bill(context.market, order, price, TAKER_FEE)
    sign = 1 if order.side == "buy" else -1
    account.move(order.pair.base, sign * order.volume)
    account.move(order.pair.quote, -sign * bill.cost - bill.fee)
    order.filled, order.average, order.cost, order.fee = order.volume, price, bill.cost, bill.fee
    order.trades.append(new_id(context.ids, "T"))
    order.close("closed", context.now_ns, None)
    account.remember(order)
