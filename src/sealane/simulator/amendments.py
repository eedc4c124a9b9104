"""AmendOrder, EditOrder, OrderAmends.

An amend changes the order where it stands: same id, same fills, same place in the queue where it does not ask for more.
An edit is a cancel and a new order with a new id: the fills stay with the old one, the new one is for what is left.
What both refuse leaves the order as it was.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sealane.simulator.context import Context
from sealane.simulator.facts import INVALID_ARGUMENTS, ORDER_MINIMUM, UNKNOWN_ORDER, Refused, bad_argument
from sealane.simulator.facts.trading import REPLACED
from sealane.simulator.naming import order_to_amend, order_to_edit
from sealane.simulator.order_form import (
    KINDS,
    check_deadline,
    check_minimums,
    read_display,
    read_offset,
    read_order,
    read_price,
    read_userref,
    read_volume,
)
from sealane.simulator.orders import Amend, Order, Tally, new_id
from sealane.simulator.params import Params
from sealane.simulator.trading import check_taking, enter
from sealane.simulator.triggers import follow, for_a_rise

AMENDABLE = ("order_qty", "display_qty", "limit_price", "trigger_price")


def amend_order(context: Context, params: Params) -> dict[str, Any]:
    """`{"amend_id": "T…"}`. `order_qty` counts what is filled already; below that the order ends."""
    order = order_to_amend(context.account, params)
    if all(params.text(name) is None for name in AMENDABLE):
        raise Refused(INVALID_ARGUMENTS)
    changed = _amended(context, order, params)
    check_deadline(context, params)
    if changed.left > 0:
        check_minimums(changed, context.market.books[order.pair.name].last)
        check_taking(context, changed, freed=order.hold, post_only=params.flag("post_only"))
    _keep_original(context, order)
    context.venue.amend(order, _differences(order, changed), context.now_ns)
    amend = Amend(new_id(context.ids, "T"), "user", context.now_ns, _values(order, params.flag("post_only")))
    order.amends.append(amend)
    return {"amend_id": amend.amend_id}


def _amended(context: Context, order: Order, params: Params) -> Order:
    """A copy of the order as it would be; refused where its type does not have the field."""
    changed = replace(order, tally=Tally())
    volume = read_volume(params, "order_qty", order.pair)
    if volume is not None:
        if volume < order.pair.ordermin:
            raise Refused(ORDER_MINIMUM)
        changed.volume = max(volume, order.filled)
    _amend_trigger(context, changed, params)
    _amend_limit(context, changed, params)
    if params.text("display_qty") is not None:
        changed.display = read_display(params, "display_qty", changed)
    return changed


def _amend_trigger(context: Context, order: Order, params: Params) -> None:
    if params.text("trigger_price") is None:
        return
    if not KINDS[order.ordertype].triggered or order.triggered:
        raise bad_argument("trigger_price")
    last = context.market.books[order.pair.name].last
    if order.trail is None:
        order.trigger = read_price(params, "trigger_price", order.pair, last, 1 if for_a_rise(order) else -1)
    else:
        order.trail = read_offset(params, "trigger_price", "+")
        follow(order, last)


def _amend_limit(context: Context, order: Order, params: Params) -> None:
    if params.text("limit_price") is None:
        return
    if order.limit is None:
        raise bad_argument("limit_price")
    last = context.market.books[order.pair.name].last
    if order.limit_offset is None or order.triggered:
        order.limit = read_price(params, "limit_price", order.pair, last, -1 if order.side == "buy" else 1)
    else:
        order.limit_offset = read_offset(params, "limit_price", "+-")
        follow(order, last)
    if order.limit <= 0:
        raise bad_argument("limit_price")


def _differences(order: Order, changed: Order) -> dict[str, Any]:
    names = ("volume", "limit", "trigger", "trail", "limit_offset", "display")
    return {name: getattr(changed, name) for name in names if getattr(changed, name) != getattr(order, name)}


# --- the history of one order ---


def order_amends(context: Context, params: Params) -> dict[str, Any]:
    """`{"amends": […], "count": n}`, oldest first, the order as it was placed before all."""
    order = context.account.order(params.required("order_id"))
    if order is None or not order.visible(context.now_ns):
        raise Refused(UNKNOWN_ORDER)
    _keep_original(context, order)
    return {"amends": [amend.document() for amend in order.amends], "count": len(order.amends)}


def _keep_original(context: Context, order: Order) -> None:
    """Write down how the order was placed; while it was never amended, that is how it is."""
    if not order.amends:
        values = _values(order, "post" in order.flags) | {"remaining_qty": _lots(order, order.volume)}
        order.amends.append(Amend(new_id(context.ids, "T"), "original", order.opened_ns, values))


def _values(order: Order, post_only: bool) -> dict[str, Any]:
    values: dict[str, Any] = {
        "order_qty": _lots(order, order.volume),
        "remaining_qty": _lots(order, max(order.left, Decimal(0))),
    }
    if order.display is not None:
        values["display_qty"] = _lots(order, order.display)
    if order.limit is not None:
        values["limit_price"] = order.written(order.limit)
    if order.trigger is not None:
        values["trigger_price"] = order.written(order.trigger)
    return values | {"post_only": True} if post_only else values


def _lots(order: Order, volume: Decimal) -> str:
    return f"{volume:.{order.pair.lot_decimals}f}"


# --- cancel and new ---


def edit_order(context: Context, params: Params) -> dict[str, Any]:
    """`{"status": "ok", "txid", "originaltxid", "volume", "price", "orders_cancelled", "descr"}`.

    Fields that are left out stay as they are.
    """
    pair = context.market.pair(params.required("pair"))
    old = order_to_edit(context.account, pair, params)
    if old is None:
        raise Refused(UNKNOWN_ORDER)
    new = read_order(context, Params(_edited(context, old, params)), pair)
    check_deadline(context, params)
    check_minimums(new, context.market.books[pair.name].last)
    check_taking(context, new, freed=old.hold)
    if params.flag("validate"):
        return {"status": "ok", "descr": {"order": new.describe()}}
    context.venue.end(old, "canceled", REPLACED, context.now_ns)
    enter(context, new)
    return _edit_answer(old, new, params)


def _edited(context: Context, old: Order, params: Params) -> Mapping[str, Any]:
    """The fields of the new order: those given, else the old one's. Refused for what cannot be edited (docs)."""
    if old.cl_ord_id is not None or params.text("cl_ord_id") is not None:
        raise bad_argument("cl_ord_id")
    if old.triggered:
        raise bad_argument("txid")
    given = read_volume(params, "volume", old.pair)
    counted = given is None or context.switches.edit_volume_counts_filled
    left = (given or old.volume) - (old.filled if counted else 0)
    if (given or old.volume) <= old.filled:
        raise bad_argument("volume")
    if set(params.names("oflags")) - {"post"}:
        raise bad_argument("oflags")
    kind = KINDS[old.ordertype]
    kept = {
        "ordertype": old.ordertype,
        "type": old.side,
        "volume": f"{left:f}",
        "price": str(old.trail or old.first_price()) if kind.price else None,
        "price2": str(old.limit_offset or old.second_price()) if kind.price2 else None,
        "displayvol": None if old.display is None else f"{min(old.display, left):f}",
        "oflags": ",".join(sorted({*old.flags, *params.names("oflags")})),
        "userref": old.userref,
        "timeinforce": old.timeinforce,
        "starttm": old.starttm,
        "expiretm": old.expiretm,
        "stptype": old.self_trade,
        "trigger": old.trigger_by if kind.triggered else None,
    }
    changes = ("price", "price2", "displayvol", "userref", "leverage", "close", "reduce_only")
    return kept | {name: params.fields[name] for name in changes if params.fields.get(name) not in (None, "")}


def _edit_answer(old: Order, new: Order, params: Params) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "status": "ok",
        "txid": new.txid,
        "originaltxid": old.txid,
        "volume": _lots(new, new.volume),
        "price": new.first_price(),
        "orders_cancelled": 1,
        "descr": {"order": new.describe()},
    }
    if KINDS[new.ordertype].price2:
        answer["price2"] = new.second_price()
    if read_userref(params, "userref") is not None:
        answer |= {"newuserref": str(new.userref), "olduserref": str(old.userref or 0)}
    return answer
