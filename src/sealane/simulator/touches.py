"""Which orders a call is about to touch: a pure look at its arguments and at the account's open orders.

Kraken charges the trading counter by what a call does to which pair and how young the orders are that it touches. The
fixed part is charged even when the call then fails, so this must be known before it runs. A call whose pair, or whose
order and pair, cannot be found touches nothing; running it will say what is wrong.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sealane.simulator.clock import NS_PER_S
from sealane.simulator.context import Context
from sealane.simulator.facts import Refused
from sealane.simulator.orders import Order
from sealane.simulator.params import Params


@dataclass(frozen=True)
class Touch:
    """One thing done to a pair: `what` is add, amend, edit, cancel, batch_add, batch_cancel or cancel_all.

    `age_s` is the seconds since the order was placed or last amended (0 for a new one, infinite for one that is not
    there), `count` is how many orders.
    """

    pair: str
    what: str
    age_s: float
    count: int


def touches(method: str, context: Context, params: Params) -> list[Touch]:
    """What a call of `method` would touch; empty for methods that touch no order and for arguments that are wrong."""
    look = TOUCHES.get(method)
    try:
        return look(context, params) if look else []
    except Refused:
        return []


def _add(context: Context, params: Params) -> list[Touch]:
    return [Touch(context.market.pair(params.required("pair")).name, "add", 0, 1)]


def _add_batch(context: Context, params: Params) -> list[Touch]:
    count = len(_listed(params, "orders"))
    return [Touch(context.market.pair(params.required("pair")).name, "batch_add", 0, count)] if count else []


def _amend(context: Context, params: Params) -> list[Touch]:
    return [_touch(context, order, "amend") for order in _named(context, params)]


def _edit(context: Context, params: Params) -> list[Touch]:
    found = [_touch(context, order, "edit") for order in _named(context, params)]
    return found or [Touch(context.market.pair(params.required("pair")).name, "edit", math.inf, 1)]


def _cancel(context: Context, params: Params) -> list[Touch]:
    return [_touch(context, order, "cancel") for order in _named(context, params)]


def _cancel_batch(context: Context, params: Params) -> list[Touch]:
    names = [_name(item) for item in _listed(params, "orders")]
    client_ids = [_name(item) for item in _listed(params, "cl_ord_ids")]
    found = [order for name in names for order in _by_name(context, name)]
    found += [order for name in client_ids for order in _by_client_id(context, name)]
    return [_touch(context, order, "batch_cancel") for order in _once(found)]


def _cancel_all(context: Context, _params: Params) -> list[Touch]:
    return [_touch(context, order, "cancel_all") for order in context.account.open.values()]


def _touch(context: Context, order: Order, what: str) -> Touch:
    since_ns = getattr(order, "amended_ns", None) or order.opened_ns
    return Touch(order.pair.name, what, max(0, context.now_ns - since_ns) / NS_PER_S, 1)


def _named(context: Context, params: Params) -> list[Order]:
    """The open orders that `cl_ord_id`, `txid` (an order's id or a userref) or `userref` names."""
    client_id, txid, userref = params.text("cl_ord_id"), params.text("txid"), params.text("userref")
    if client_id is not None:
        return _by_client_id(context, client_id)
    name = txid if txid is not None else userref
    return [] if name is None else _by_name(context, name)


def _by_client_id(context: Context, client_id: str) -> list[Order]:
    txid = context.account.open_client_ids.get(client_id)
    return [context.account.open[txid]] if txid else []


def _by_name(context: Context, name: str) -> list[Order]:
    orders = context.account.open
    if name in orders:
        return [orders[name]]
    return [order for order in orders.values() if order.userref is not None and str(order.userref) == name]


def _listed(params: Params, name: str) -> list[Any]:
    value = params.fields.get(name)
    return value if isinstance(value, list) else params.names(name)


def _name(item: Any) -> str:
    """An entry of a batch: an id, a userref, or an object that holds one of them."""
    if isinstance(item, dict):
        item = next((item[key] for key in ("txid", "cl_ord_id", "userref") if key in item), "")
    return str(item)


def _once(orders: Iterable[Order]) -> list[Order]:
    return list({order.txid: order for order in orders}.values())


TOUCHES: dict[str, Callable[[Context, Params], list[Touch]]] = {
    "AddOrder": _add,
    "AddOrderBatch": _add_batch,
    "AmendOrder": _amend,
    "EditOrder": _edit,
    "CancelOrder": _cancel,
    "CancelOrderBatch": _cancel_batch,
    "CancelAll": _cancel_all,
}
