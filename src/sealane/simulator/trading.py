"""The methods that place and cancel: AddOrder, AddOrderBatch, CancelOrder, CancelOrderBatch, CancelAll and its timer.

A batch is checked whole first: one order with a bad field and none is placed (docs). Then its orders come one after
the other; what only shows then (funds, post only, a repeated `cl_ord_id`) refuses that order alone.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sealane.simulator.clock import NS_PER_S, iso
from sealane.simulator.context import Context
from sealane.simulator.facts import (
    INSUFFICIENT_FUNDS,
    POST_ONLY,
    UNKNOWN_ORDER,
    Refused,
    bad_argument,
)
from sealane.simulator.facts.trading import (
    BATCH_MAX,
    BATCH_MIN,
    CANCEL_AFTER_MAX_S,
    TRIGGER_MET,
    USER_REQUESTED,
)
from sealane.simulator.fills import spent_asset
from sealane.simulator.naming import batch_rows, batch_to_cancel, orders_to_cancel
from sealane.simulator.order_form import check_deadline, check_minimums, read_order
from sealane.simulator.orders import ZERO, Order, new_id
from sealane.simulator.pairs import Pair
from sealane.simulator.params import Params
from sealane.simulator.triggers import met
from sealane.simulator.venue import takes


def add_order(context: Context, params: Params) -> dict[str, Any]:
    """`{"descr": {"order": …}, "txid": ["O…"]}`; with `validate` no txid and nothing happens."""
    pair = context.market.pair(params.required("pair"))
    order = _checked(context, params, pair)
    check_deadline(context, params)
    check_entry(context, order)
    answer: dict[str, Any] = {"descr": {"order": order.describe()}}
    if params.flag("validate"):
        return answer
    return answer | {"txid": [enter(context, order)]}


def _checked(context: Context, params: Params, pair: Pair) -> Order:
    order = read_order(context, params, pair)
    check_minimums(order, context.market.books[pair.name].last)
    return order


def check_entry(context: Context, order: Order) -> None:
    """Refuse an order whose `cl_ord_id` is in use, which is post-only and would take, or cannot be paid."""
    if order.cl_ord_id is not None and order.cl_ord_id in context.account.open_client_ids:
        raise Refused(context.switches.duplicate_client_id_error)
    check_taking(context, order)


def check_taking(context: Context, order: Order, *, freed: Decimal = ZERO, post_only: bool = False) -> None:
    """Refuse an order that is post-only and would take, or needs more than is there with `freed` added."""
    if not context.switches.met_trigger_goes_off and _goes_off(context, order):
        raise Refused(TRIGGER_MET)
    made = context.venue.look(order, context.now_ns)
    if (post_only or "post" in order.flags) and takes(order, made):
        raise Refused(POST_ONLY)
    if context.venue.needs(order, made, context.now_ns) > context.account.available(spent_asset(order)) + freed:
        raise Refused(INSUFFICIENT_FUNDS)


def _goes_off(context: Context, order: Order) -> bool:
    """Whether the order waits for a trigger that is met already."""
    last = context.market.books[order.pair.name].last
    return order.trigger is not None and not order.triggered and met(order, last)


def enter(context: Context, order: Order) -> str:
    """Give a checked order its id, and place it."""
    order.txid = new_id(context.ids, "O")
    context.venue.place(order, context.now_ns)
    return order.txid


def add_order_batch(context: Context, params: Params) -> dict[str, Any]:
    """`{"orders": [{"txid", "descr"} | {"error"}, …]}` in the order of the request; with `validate` no txids."""
    pair = context.market.pair(params.required("pair"))
    rows = batch_rows(params)
    if not BATCH_MIN <= len(rows) <= BATCH_MAX:
        raise bad_argument("orders")
    check_deadline(context, params)
    orders = [_batched(context, row, pair) for row in rows]
    validate = params.flag("validate")
    return {"orders": [_one_of_batch(context, order, validate=validate) for order in orders]}


def _batched(context: Context, row: Mapping[str, Any], pair: Pair) -> Order:
    own = row.get("pair")
    if own is not None and context.market.pair(str(own)) is not pair:
        raise bad_argument("pair")
    return _checked(context, Params(row), pair)


def _one_of_batch(context: Context, order: Order, *, validate: bool) -> dict[str, Any]:
    try:
        check_entry(context, order)
    except Refused as refused:
        return {"error": refused.error}
    descr = {"descr": {"order": order.describe()}}
    return descr if validate else {"txid": enter(context, order), **descr}


def cancel_order(context: Context, params: Params) -> dict[str, Any]:
    """`{"count": n}`. `txid` names an order or a userref, `cl_ord_id` an order; unknown or ended ones are refused."""
    found = orders_to_cancel(context.account, params)
    if not found:
        raise Refused(UNKNOWN_ORDER)
    return _cancel(context, found)


def cancel_order_batch(context: Context, params: Params) -> dict[str, Any]:
    """`{"count": n}` for up to 50 txids, userrefs (`orders`) and client ids (`cl_ord_ids`), as JSON lists."""
    found = batch_to_cancel(context.account, params)
    if not found and context.switches.cancel_batch_of_unknown_fails:
        raise Refused(UNKNOWN_ORDER)
    return _cancel(context, found)


def cancel_all(context: Context, _params: Params) -> dict[str, Any]:
    """`{"count": n}`: every live order of the account, on all pairs; 0 is a good answer."""
    return _cancel(context, list(context.account.open.values()))


def _cancel(context: Context, orders: list[Order]) -> dict[str, Any]:
    return {"count": context.venue.cancel(orders, context.now_ns, USER_REQUESTED)}


def cancel_all_after(context: Context, params: Params) -> dict[str, Any]:
    """`{"currentTime", "triggerTime"}`: cancels everything after `timeout` seconds unless asked again; 0 ends it."""
    timeout_s = params.integer("timeout")
    if timeout_s is None or not 0 <= timeout_s < CANCEL_AFTER_MAX_S:
        raise bad_argument("timeout")
    at_ns = context.now_ns + timeout_s * NS_PER_S if timeout_s else None
    context.venue.cancel_all_at(context.account, at_ns)
    return {"currentTime": iso(context.now_ns), "triggerTime": "0" if at_ns is None else iso(at_ns)}
