"""Which orders a call names.

What a call is about to touch (`touches.py`) and what it then does (`trading.py`, `amendments.py`) both go by this, so
that the two cannot differ. Nothing is changed here.
"""

from typing import Any

from sealane.simulator.accounts import Account
from sealane.simulator.facts import INVALID_ARGUMENTS, UNKNOWN_ORDER, Refused, bad_argument
from sealane.simulator.facts.trading import CANCEL_BATCH_MAX
from sealane.simulator.orders import Order
from sealane.simulator.pairs import Pair
from sealane.simulator.params import Params


def named(account: Account, name: str) -> list[Order]:
    """The live orders that a txid or a userref stands for."""
    if name in account.open:
        return [account.open[name]]
    return [order for order in account.open.values() if order.userref is not None and str(order.userref) == name]


def order_to_amend(account: Account, params: Params) -> Order:
    """The live order of AmendOrder's `txid` or `cl_ord_id`, exactly one of them; refused when there is none."""
    txid, cl_ord_id = params.text("txid"), params.text("cl_ord_id")
    if (txid is None) == (cl_ord_id is None):
        raise Refused(INVALID_ARGUMENTS)
    order = account.open.get(txid or account.open_client_ids.get(cl_ord_id or "", ""))
    if order is None:
        raise Refused(UNKNOWN_ORDER)
    return order


def order_to_edit(account: Account, pair: Pair, params: Params) -> Order | None:
    """The live order of EditOrder's `txid` (an id or a userref); None unless it is one order, and of that pair."""
    found = named(account, params.required("txid"))
    return found[0] if len(found) == 1 and found[0].pair.name == pair.name else None


def orders_to_cancel(account: Account, params: Params) -> list[Order]:
    """The live orders that CancelOrder's `cl_ord_id`, `txid` (an id or a userref) or `userref` names."""
    cl_ord_id, txid = params.text("cl_ord_id"), params.text("txid")
    if cl_ord_id is not None:
        found = account.open_client_ids.get(cl_ord_id)
        return [account.open[found]] if found else []
    if txid is not None:
        return named(account, txid)
    userref = params.integer("userref")
    if userref is None:
        raise bad_argument("txid")
    return named(account, str(userref))


def batch_to_cancel(account: Account, params: Params) -> list[Order]:
    """The live orders, each once, of CancelOrderBatch's `orders` (ids and userrefs) and `cl_ord_ids`."""
    names, client_ids = _listed(params, "orders"), _listed(params, "cl_ord_ids")
    if not 1 <= len(names) + len(client_ids) <= CANCEL_BATCH_MAX:
        raise Refused(INVALID_ARGUMENTS)
    names += [account.open_client_ids[client_id] for client_id in client_ids if client_id in account.open_client_ids]
    return list({order.txid: order for name in names for order in named(account, name)}.values())


def _listed(params: Params, field: str) -> list[str]:
    rows = params.fields.get(field)
    if rows is None:
        return []
    if not isinstance(rows, list):
        raise bad_argument(field)
    names = [row.get("txid") if isinstance(row, dict) else row for row in rows]
    if not all(isinstance(name, (str, int)) for name in names):
        raise bad_argument(field)
    return [str(name) for name in names]


def batch_rows(params: Params) -> list[dict[str, Any]]:
    """The orders of AddOrderBatch, as they were sent; refused unless they are a list of objects."""
    rows = params.fields.get("orders")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise bad_argument("orders")
    return rows
