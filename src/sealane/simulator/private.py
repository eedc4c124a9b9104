"""The private methods that read: balances, orders, the key's own facts."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from sealane.simulator.clock import NS_PER_S, seconds
from sealane.simulator.context import Context
from sealane.simulator.facts import (
    CLOSED_ORDERS_PAGE,
    INTERNAL_ERROR,
    INVALID_ARGUMENTS,
    QUERY_ORDERS_MAX,
    TOKEN_EXPIRES_S,
    UNKNOWN_ORDER,
    Refused,
    bad_argument,
)
from sealane.simulator.orders import ID_LETTERS, Order
from sealane.simulator.params import Params

TOKEN_CHARS = 43


def balance(context: Context, _params: Params) -> dict[str, Any] | None:
    """Asset to amount, for every asset that was ever touched; None (no `result`) by switch when there is none."""
    rows = {asset: _written(context, asset, amount) for asset, amount in context.account.balances.items()}
    return rows if rows or context.switches.empty_balance_has_result else None


def balance_ex(context: Context, _params: Params) -> dict[str, Any] | None:
    """Asset to `{"balance", "hold_trade"}`."""
    held = context.account.held
    rows = {
        asset: {
            "balance": _written(context, asset, amount),
            "hold_trade": _written(context, asset, held.get(asset, Decimal(0))),
        }
        for asset, amount in context.account.balances.items()
    }
    return rows if rows or context.switches.empty_balance_has_result else None


def _written(context: Context, asset: str, amount: Decimal) -> str:
    return f"{amount:.{context.market.assets[asset].decimals}f}"


def trade_balance(context: Context, params: Params) -> dict[str, Any]:
    """Equity and margin in `asset` (default ZUSD), four decimals. Without margin all but eb, tb, e, mf are zero."""
    balances = context.account.balances
    if not balances and context.switches.empty_trade_balance_fails:
        raise Refused(INTERNAL_ERROR)
    unit = context.market.asset(params.text("asset") or "ZUSD").name
    in_usd = sum((context.market.in_usd(asset, amount) for asset, amount in balances.items()), Decimal(0))
    equity = f"{in_usd / context.market.in_usd(unit, Decimal(1)):.4f}"
    zeros = dict.fromkeys(("m", "n", "c", "v", "uv"), "0.0000")
    return {"eb": equity, "tb": equity, **zeros, "e": equity, "mf": equity}


def open_orders(context: Context, params: Params) -> dict[str, Any]:
    """`{"open": {txid: order}}`, filtered by `userref` and `cl_ord_id`, newest first."""
    found = _filtered(context, reversed(context.account.open.values()), params)
    return {"open": _rows(found, params)}


def closed_orders(context: Context, params: Params) -> dict[str, Any]:
    """`{"closed": {txid: order}, "count": n}`: 50 from `ofs` on, newest first, `count` over all that match."""
    by = params.text("closetime") or "both"
    if by not in ("open", "close", "both"):
        raise bad_argument("closetime")
    start_s, end_s = _moment(params, "start"), _moment(params, "end")
    found = _filtered(context, reversed(context.account.closed.values()), params)
    matching = [order for order in found if order.within(start_s, end_s, by=by)]
    offset = max(0, params.integer("ofs") or 0)
    page = {"closed": _rows(matching[offset : offset + CLOSED_ORDERS_PAGE], params)}
    return page if params.flag("without_count") else page | {"count": len(matching)}


def _moment(params: Params, name: str) -> float | None:
    text = params.text(name)
    try:
        return None if text in (None, "0") else float(text or 0)
    except ValueError:
        raise bad_argument(name) from None  # an order id as a bound is not supported


def _filtered(context: Context, orders: Iterable[Order], params: Params) -> list[Order]:
    userref, cl_ord_id = params.integer("userref"), params.text("cl_ord_id")
    seen = (order for order in orders if order.visible(context.now_ns))
    return [order for order in seen if order.matches(userref=userref, cl_ord_id=cl_ord_id)]


def _rows(orders: Iterable[Order], params: Params) -> dict[str, Any]:
    trades = params.flag("trades")
    return {order.txid: order.document(trades=trades) for order in orders}


def query_orders(context: Context, params: Params) -> dict[str, Any]:
    """`{txid: order}` for up to 50 ids; refused when none of them is known."""
    wanted = params.names("txid")
    if not wanted or len(wanted) > QUERY_ORDERS_MAX:
        raise Refused(INVALID_ARGUMENTS)
    account = context.account
    known = [account.open.get(txid) or account.closed.get(txid) for txid in wanted]
    found = [order for order in known if order is not None and order.visible(context.now_ns)]
    if not found:
        raise Refused(UNKNOWN_ORDER)
    return _rows(_filtered(context, found, params), params)


def open_positions(_context: Context, _params: Params) -> dict[str, Any]:
    """Always empty: there is no margin here."""
    return {}


def websockets_token(context: Context, _params: Params) -> dict[str, Any]:
    """`{"token", "expires"}`; no WebSocket takes the token."""
    return {"token": "".join(context.ids.choices(ID_LETTERS, k=TOKEN_CHARS)), "expires": TOKEN_EXPIRES_S}


def api_key_info(context: Context, _params: Params) -> dict[str, Any]:
    """The key's own facts; times are unix seconds as text, `nonce` is text, `nonceWindow` is in nonce units."""
    account = context.account
    nonce = account.highest_nonce if context.switches.key_info_counts_itself else context.previous_nonce
    created = str(account.created_ns // NS_PER_S)
    return {
        "apiKeyName": account.name,
        "apiKey": account.public.api_key,
        "nonce": str(nonce),
        "nonceWindow": account.nonce_window,
        "permissions": sorted(account.permissions),
        "iban": "",
        "validUntil": "0",
        "queryFrom": "0",
        "queryTo": "0",
        "createdTime": created,
        "modifiedTime": created,
        "ipAllowlist": [],
        "lastUsed": str(int(seconds(account.last_used_ns))),
    }
