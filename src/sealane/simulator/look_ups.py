"""The methods that look up what was: orders, trades, ledger entries, the traded volume.

Lists come in pages of 50, newest first. A bound of a list is a time in unix seconds or an id: `start` leaves out X
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from sealane.simulator.clock import NS_PER_S
from sealane.simulator.context import Context
from sealane.simulator.facts import (
    CLOSED_ORDERS_PAGE,
    INVALID_ARGUMENTS,
    MAKER_TIERS,
    QUERY_ORDERS_MAX,
    TAKER_TIERS,
    UNKNOWN_ORDER,
    Refused,
    bad_argument,
)
from sealane.simulator.facts.trading import HISTORY_PAGE, QUERY_IDS_MAX, UNKNOWN_LEDGER, UNKNOWN_TRADE, VOLUME_DAYS
from sealane.simulator.orders import Order
from sealane.simulator.params import Params
from sealane.simulator.records import LedgerEntry, Trade

Row = TypeVar("Row")
Within = Callable[[Row, float | None, float | None], bool]
EVERY_POSITION = ("all", "no position")
POSITION_KINDS = (*EVERY_POSITION, "any position", "closed position", "closing position")


# --- orders ---


def open_orders(context: Context, params: Params) -> dict[str, Any]:
    """`{"open": {txid: order}}`, filtered by `userref` and `cl_ord_id`, newest first."""
    found = _filtered(context, reversed(context.account.open.values()), params)
    return {"open": _order_rows(found, params)}


def closed_orders(context: Context, params: Params) -> dict[str, Any]:
    """`{"closed": {txid: order}, "count": n}`: 50 from `ofs` on, newest first, `count` over all that match."""
    by = params.text("closetime") or "both"
    if by not in ("open", "close", "both"):
        raise bad_argument("closetime")
    ended = _bounded(
        list(reversed(context.account.closed.values())),
        context.account.closed,
        params,
        lambda order, start_s, end_s: order.within(start_s, end_s, by=by),
    )
    found = _filtered(context, ended, params)
    return _counted("closed", _order_rows(_page(found, params, CLOSED_ORDERS_PAGE), params), len(found), params)


def query_orders(context: Context, params: Params) -> dict[str, Any]:
    """`{txid: order}` for up to 50 ids; refused when none of them is known."""
    wanted = params.names("txid")
    if not wanted or len(wanted) > QUERY_ORDERS_MAX:
        raise Refused(INVALID_ARGUMENTS)
    found = [order for order in map(context.account.order, wanted) if order is not None]
    if not any(order.visible(context.now_ns) for order in found):
        raise Refused(UNKNOWN_ORDER)
    return _order_rows(_filtered(context, found, params), params)


def _filtered(context: Context, orders: Iterable[Order], params: Params) -> list[Order]:
    userref, cl_ord_id = params.integer("userref"), params.text("cl_ord_id")
    seen = (order for order in orders if order.visible(context.now_ns))
    return [order for order in seen if order.matches(userref=userref, cl_ord_id=cl_ord_id)]


def _order_rows(orders: Iterable[Order], params: Params) -> dict[str, Any]:
    trades = params.flag("trades")
    return {order.txid: order.document(trades=trades) for order in orders}


# --- trades ---


def trades_history(context: Context, params: Params) -> dict[str, Any]:
    """`{"trades": {txid: trade}, "count": n}`. Without margin no trade has a position: those `type`s find none."""
    kind = params.text("type") or "all"
    if kind not in POSITION_KINDS:
        raise bad_argument("type")
    rows = [trade for trade in reversed(context.account.trades.values()) if _trade_visible(context, trade)]
    found = _bounded(rows if kind in EVERY_POSITION else [], context.account.trades, params, _in_time)
    page = _page(found, params, HISTORY_PAGE)
    return _counted("trades", _trade_rows(page, params), len(found), params)


def query_trades(context: Context, params: Params) -> dict[str, Any]:
    """`{txid: trade}` for up to 20 ids; refused when none of them is known."""
    found = _wanted(context.account.trades, params, "txid", UNKNOWN_TRADE)
    seen = [trade for trade in found if _trade_visible(context, trade)]
    if not seen:
        raise Refused(UNKNOWN_TRADE)
    return _trade_rows(seen, params)


def _trade_visible(context: Context, trade: Trade) -> bool:
    order = context.account.order(trade.ordertxid)
    return order is None or order.visible(context.now_ns)


def _trade_rows(trades: Iterable[Trade], params: Params) -> dict[str, Any]:
    ledgers = params.flag("ledgers")
    return {trade.txid: trade.document(ledgers=ledgers) for trade in trades}


# --- ledgers ---


def ledgers(context: Context, params: Params) -> dict[str, Any]:
    """`{"ledger": {id: entry}, "count": n}`, filtered by `asset` (a comma list) and `type`."""
    assets = {context.market.asset(name).name for name in params.names("asset") if name != "all"}
    kind = params.text("type") or "all"
    rows = [
        entry
        for entry in reversed(context.account.ledgers.values())
        if (not assets or entry.asset.name in assets) and kind in ("all", entry.type) and _entry_visible(context, entry)
    ]
    found = _bounded(rows, context.account.ledgers, params, _in_time)
    page = {entry.id: entry.document() for entry in _page(found, params, HISTORY_PAGE)}
    return _counted("ledger", page, len(found), params)


def query_ledgers(context: Context, params: Params) -> dict[str, Any]:
    """`{id: entry}` for up to 20 ids; refused when none of them is known."""
    found = _wanted(context.account.ledgers, params, "id", UNKNOWN_LEDGER)
    seen = [entry for entry in found if _entry_visible(context, entry)]
    if not seen:
        raise Refused(UNKNOWN_LEDGER)
    return {entry.id: entry.document() for entry in seen}


def _entry_visible(context: Context, entry: LedgerEntry) -> bool:
    trade = context.account.trades.get(entry.refid)
    return trade is None or _trade_visible(context, trade)


# --- volume ---


def trade_volume(context: Context, params: Params) -> dict[str, Any]:
    """`{"currency": "ZUSD", "volume", "fees", "fees_maker"}`: 30 days in USD; fees (percent) for the pairs asked for.

    Fees are those of the lowest tier whatever the volume: that is what fills cost here.
    """
    since_ns = context.now_ns - VOLUME_DAYS * 86_400 * NS_PER_S
    recent = [trade for trade in context.account.trades.values() if trade.time_ns > since_ns]
    volume = sum((context.market.in_usd(trade.pair.quote, trade.cost) for trade in recent), Decimal(0))
    answer: dict[str, Any] = {"currency": "ZUSD", "volume": f"{volume:.4f}"}
    pairs = [context.market.pair(name) for name in params.names("pair")]
    if not pairs:
        return answer
    fees = {name: {pair.name: _tier(tiers) for pair in pairs} for name, tiers in _TIERS.items()}
    return answer | fees


_TIERS = {"fees": TAKER_TIERS, "fees_maker": MAKER_TIERS}


def _tier(tiers: tuple[tuple[int, float], ...]) -> dict[str, str]:
    (start, fee), (next_start, next_fee) = tiers[0], tiers[1]
    return {
        "fee": f"{fee:.4f}",
        "minfee": f"{tiers[-1][1]:.4f}",
        "maxfee": f"{fee:.4f}",
        "nextfee": f"{next_fee:.4f}",
        "nextvolume": f"{next_start:.4f}",
        "tiervolume": f"{start:.4f}",
    }


# --- pages and bounds ---


def _bounded(rows: list[Row], known: Mapping[str, Row], params: Params, within: Within[Row]) -> list[Row]:
    """The rows (newest first) between the bounds `start` and `end`."""
    start, end = params.text("start"), params.text("end")
    start_s = None if start in known else _moment(start, "start")
    end_s = None if end in known else _moment(end, "end")
    found = [row for row in rows if within(row, start_s, end_s)]
    if start is not None and start in known:
        found = found[: _place(found, known[start])]
    if end is not None and end in known:
        found = found[_place(found, known[end]) :]
    return found


def _place(rows: list[Row], named: Row) -> int:
    return next((place for place, row in enumerate(rows) if row is named), 0)


def _moment(text: str | None, name: str) -> float | None:
    try:
        return None if text in (None, "0") else float(text or 0)
    except ValueError:
        raise bad_argument(name) from None


def _in_time(row: Trade | LedgerEntry, start_s: float | None, end_s: float | None) -> bool:
    at_s = row.time_ns / NS_PER_S
    return (start_s is None or at_s > start_s) and (end_s is None or at_s <= end_s)


def _page(rows: list[Row], params: Params, size: int) -> list[Row]:
    offset = max(0, params.integer("ofs") or 0)
    return rows[offset : offset + size]


def _counted(name: str, rows: dict[str, Any], count: int, params: Params) -> dict[str, Any]:
    return {name: rows} if params.flag("without_count") else {name: rows, "count": count}


def _wanted(known: Mapping[str, Row], params: Params, name: str, unknown: str) -> list[Row]:
    wanted = params.names(name)
    if not wanted or len(wanted) > QUERY_IDS_MAX:
        raise Refused(INVALID_ARGUMENTS)
    found = [known[row_id] for row_id in wanted if row_id in known]
    if not found:
        raise Refused(unknown)
    return found
