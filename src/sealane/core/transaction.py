"""What one call means for the counters: read from its method and parameters before it is sent, and from its answer.

1. The pair of a trading counter is one name for all of Kraken's spellings: XXBTZUSD, XBT/USD and BTCUSD are XBTUSD.
2. Cancelling and amending name an order, not its pair or its age. Both are known from the *note* of the order that was
   made when it was placed. Without a note the worse case is assumed: an order just made, on the fullest counter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from sealane.core.counter import CANCELS, ORDERS, QUERIES
from sealane.core.methods import method_named
from sealane.core.nonce import NS_PER_S
from sealane.core.tiers import ADD, AMEND, BATCH_ADD_COST, CANCEL, EDIT, fixed_cost, next_step_s, penalty

BATCH_MAX = 15
"""How many orders an AddOrderBatch may have; taken where they cannot be counted."""
FULLEST = "?"
"""Stands for the pair of an order that is not known."""

_WHATS = {
    "AddOrder": ADD,
    "AddOrderBatch": ADD,
    "AmendOrder": AMEND,
    "EditOrder": EDIT,
    "CancelOrder": CANCEL,
    "CancelOrderBatch": CANCEL,
}
_CANCELS = ("CancelOrder", "CancelOrderBatch", "CancelAll", "CancelAllOrdersAfter")
_OTHER_NAMES = (("BTC", "XBT"), ("XDG", "DOGE"))


@dataclass(frozen=True, slots=True)
class Note:
    """What is remembered of an order: its pair, and when it was made or last amended."""

    pair: str
    at_ns: int

    @classmethod
    def read(cls, text: str | None) -> Note | None:
        """The note that a store kept, None for none."""
        pair, _, at_ns = (text or "").partition(" ")
        return cls(pair, int(at_ns)) if pair and at_ns.isdecimal() else None

    def __str__(self) -> str:
        return f"{self.pair} {self.at_ns}"


Notes = Mapping[str, Note]
Costs = dict[str, float]


@dataclass(frozen=True, slots=True)
class Transaction:
    """What one call does.

    Attributes:
        method, rank: Kraken's method, and who it goes before.
        what: add, amend, edit or cancel, "" for none of them.
        pair: the pair that the call names, "" where it names none.
        count: how many orders it adds.
        touches: the orders it names, by transaction id, client order id or userref.
        own_names: under which names each order that it adds will be known besides its transaction id.
        rests: whether what it adds may stay on the book.
        is_everything: an OpenOrders that shows all open orders.
    """

    method: str
    rank: int = QUERIES
    what: str = ""
    pair: str = ""
    count: int = 1
    touches: tuple[str, ...] = ()
    own_names: tuple[tuple[str, ...], ...] = ()
    rests: bool = False
    is_everything: bool = False

    def costs(self, notes: Notes, now_ns: int) -> Costs:
        """What it adds to the pairs' trading counters; unknown orders' under FULLEST."""
        if self.what == ADD:
            return {self.pair or FULLEST: fixed_cost(ADD) if self.method == "AddOrder" else BATCH_ADD_COST * self.count}
        costs: Costs = {}
        for pair, age_s in self._ages(notes, now_ns):
            costs[pair] = costs.get(pair, 0.0) + fixed_cost(self.what) + penalty(self.what, age_s)
        return costs

    def fixed_costs(self, notes: Notes, now_ns: int) -> Costs:
        """What it adds where Kraken refused it."""
        if self.what == ADD:
            return self.costs(notes, now_ns)
        costs: Costs = {}
        for pair, _ in self._ages(notes, now_ns):
            costs[pair] = costs.get(pair, 0.0) + fixed_cost(self.what)
        return costs

    def next_step_s(self, notes: Notes, now_ns: int) -> float | None:
        """Seconds until one of its orders gets old enough to cost less."""
        if self.what in ("", ADD):
            return None
        steps = (next_step_s(self.what, age_s) for _, age_s in self._ages(notes, now_ns))
        return min((step for step in steps if step is not None), default=None)

    def _ages(self, notes: Notes, now_ns: int) -> Iterator[tuple[str, float]]:
        for name in self.touches:
            note = notes.get(name)
            if note is None:
                yield self.pair or FULLEST, 0.0
            else:
                yield note.pair, max(0, now_ns - note.at_ns) / NS_PER_S


def transaction(method: str, params: Mapping[str, object]) -> Transaction:
    """What a call of ``method`` with ``params`` will do."""
    what = _WHATS.get(method, "")
    rank = CANCELS if method in _CANCELS else ORDERS if method_named(method).write else QUERIES
    found = Transaction(method, rank, what, pair_name(_text(params, "pair")))
    if what == ADD:
        return _adding(found, params)
    if what:
        return replace(found, touches=tuple(_touched(params)))
    plain = not (_text(params, "userref") or _text(params, "cl_ord_id"))
    return replace(found, is_everything=method == "OpenOrders" and plain)


def _adding(found: Transaction, params: Mapping[str, object]) -> Transaction:
    orders: list[Mapping[str, object]] = [params]
    count = 1
    if found.method == "AddOrderBatch":
        listed = params.get("orders")
        orders = [order for order in listed if isinstance(order, Mapping)] if isinstance(listed, list) else []
        count = len(orders) or BATCH_MAX
    tried = _text(params, "validate").lower() in ("true", "1", "yes")
    resting = not tried and any(_text(order, "ordertype") != "market" for order in orders or [{}])
    return replace(found, count=count, own_names=tuple(_own_names(order) for order in orders), rests=resting)


def _own_names(order: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(name for name in (_text(order, "cl_ord_id"), _text(order, "userref")) if name)


def _touched(params: Mapping[str, object]) -> Iterator[str]:
    for field in ("txid", "cl_ord_id", "userref", "orders", "cl_ord_ids"):
        value = params.get(field)
        for item in value if isinstance(value, (list, tuple)) else str(value or "").split(","):
            name = item if not isinstance(item, Mapping) else item.get("txid") or item.get("cl_ord_id") or ""
            if str(name).strip():
                yield str(name).strip()


def _text(params: Mapping[str, object], name: str) -> str:
    value = params.get(name)
    return "" if value is None else str(value).strip()


def pair_name(spelling: str) -> str:
    """One name for all spellings of a pair: ``XXBTZUSD``, ``XBT/USD`` and ``btcusd`` give ``XBTUSD``."""
    name = spelling.upper().replace("/", "")
    if len(name) == 8 and name[0] in "XZ" and name[4] in "XZ":
        name = name[1:4] + name[5:]
    for other, own in _OTHER_NAMES:
        name = own + name[len(other) :] if name.startswith(other) else name
        name = name[: -len(other)] + own if name.endswith(other) else name
    return name


def placed_names(done: Transaction, result: object) -> Iterator[str]:
    """The names of the orders that an accepted call made or changed: they are as old as its answer."""
    if done.what == AMEND:
        yield from done.touches
    elif done.what in (ADD, EDIT) and isinstance(result, Mapping):
        if isinstance(result.get("orders"), list):
            for order, names in zip(result["orders"], done.own_names, strict=False):
                txids = list(_txids(order))
                yield from (*txids, *names) if txids else ()
        else:
            txids = list(_txids(result))
            own = done.own_names[0] if done.own_names else ()
            yield from (*txids, *own) if txids else ()


def _txids(row: object) -> Iterable[str]:
    found = row.get("txid") if isinstance(row, Mapping) else None
    return [txid for txid in (found if isinstance(found, list) else [found]) if isinstance(txid, str)]


def opened(done: Transaction, result: object) -> int:
    """How many more orders of its pair an accepted call left on the book."""
    if done.what != ADD or not done.rests or not isinstance(result, Mapping):
        return 0
    listed = result.get("orders")
    return sum(bool(_txids(order)) for order in (listed if isinstance(listed, list) else [result]))


def open_orders(result: object) -> dict[str, int]:
    """How many orders an OpenOrders answer shows, by pair."""
    rows = result.get("open") if isinstance(result, Mapping) else None
    counts: dict[str, int] = {}
    for row in rows.values() if isinstance(rows, Mapping) else ():
        description = row.get("descr") if isinstance(row, Mapping) else None
        pair = pair_name(str(description.get("pair", ""))) if isinstance(description, Mapping) else ""
        counts[pair] = counts.get(pair, 0) + 1
    return counts
