"""Which orders a call is about to touch: a pure look at its arguments and at the account's live orders.

Kraken charges the trading counter by what a call does to which pair and how young the orders are that it touches. The
fixed part is charged even when the call then fails, so this must be known before it runs. A call whose pair, or whose
order and pair, cannot be found touches nothing; running it will say what is wrong.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sealane.simulator.context import Context
from sealane.simulator.facts import Refused
from sealane.simulator.naming import batch_rows, batch_to_cancel, order_to_amend, order_to_edit, orders_to_cancel
from sealane.simulator.orders import Order
from sealane.simulator.params import Params


@dataclass(frozen=True)
class Touch:
    """One thing done to a pair: `what` is add, amend, edit, cancel, batch_add, batch_cancel or cancel_all.

    `age_s` is the seconds since the order was placed or last amended (0 for a new one, infinite for one that is not
    there), `count` is how many orders, `market` how many of them are new market orders.
    """

    pair: str
    what: str
    age_s: float
    count: int
    market: int = 0


def touches(method: str, context: Context, params: Params) -> list[Touch]:
    """What a call of `method` would touch; empty for methods that touch no order and for arguments that are wrong."""
    look = TOUCHES.get(method)
    try:
        return look(context, params) if look else []
    except Refused:
        return []


def _add(context: Context, params: Params) -> list[Touch]:
    return [Touch(context.market.pair(params.required("pair")).name, "add", 0, 1, _market_orders([params.fields]))]


def _add_batch(context: Context, params: Params) -> list[Touch]:
    rows = batch_rows(params)
    name = context.market.pair(params.required("pair")).name
    return [Touch(name, "batch_add", 0, len(rows), _market_orders(rows))] if rows else []


def _market_orders(rows: Iterable[Mapping[str, Any]]) -> int:
    return sum(row.get("ordertype") == "market" for row in rows)


def _amend(context: Context, params: Params) -> list[Touch]:
    return [_touch(context, order_to_amend(context.account, params), "amend")]


def _edit(context: Context, params: Params) -> list[Touch]:
    pair = context.market.pair(params.required("pair"))
    order = order_to_edit(context.account, pair, params)
    return [Touch(pair.name, "edit", math.inf, 1) if order is None else _touch(context, order, "edit")]


def _cancel(context: Context, params: Params) -> list[Touch]:
    return [_touch(context, order, "cancel") for order in orders_to_cancel(context.account, params)]


def _cancel_batch(context: Context, params: Params) -> list[Touch]:
    return [_touch(context, order, "batch_cancel") for order in batch_to_cancel(context.account, params)]


def _cancel_all(context: Context, _params: Params) -> list[Touch]:
    return [_touch(context, order, "cancel_all") for order in context.account.open.values()]


def _touch(context: Context, order: Order, what: str) -> Touch:
    return Touch(order.pair.name, what, order.age_s(context.now_ns), 1)


TOUCHES: dict[str, Callable[[Context, Params], list[Touch]]] = {
    "AddOrder": _add,
    "AddOrderBatch": _add_batch,
    "AmendOrder": _amend,
    "EditOrder": _edit,
    "CancelOrder": _cancel,
    "CancelOrderBatch": _cancel_batch,
    "CancelAll": _cancel_all,
}
