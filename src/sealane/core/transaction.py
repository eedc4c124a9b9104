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
PAIR_CHARS_MAX = 32
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
    """What is remembered of an order: its pair, and when it was made or last amended.

    ``name`` is the one under which the note is kept, whatever it was asked for by. Of a userref's orders, which share
    it, ``count`` is how many were made, and ``at_ns`` is the youngest's.
    """

    pair: str
    at_ns: int
    name: str = ""
    count: int = 1

    @classmethod
    def read(cls, name: str, text: str) -> Note | None:
        """The note that a store kept under a name; None for what is no note."""
        pair, at_ns, count, *_ = (*text.split(" "), "", "", "")
        if not (pair and at_ns.isdecimal() and count.isdecimal()):
            return None
        return cls(pair, int(at_ns), name, int(count))

    def __str__(self) -> str:
        return f"{self.pair} {self.at_ns} {self.count}"


ALIAS = "= "
"""A note that begins so says under which other name the order is kept."""


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
        adds: the client order id and the userref of each order that it adds, "" for none.
        rests: whether what it adds may stay on the book.
        is_everything: an OpenOrders that shows all open orders.
    """

    method: str
    rank: int = QUERIES
    what: str = ""
    pair: str = ""
    count: int = 1
    touches: tuple[str, ...] = ()
    adds: tuple[tuple[str, str], ...] = ()
    rests: bool = False
    is_everything: bool = False

    @property
    def recalls(self) -> tuple[str, ...]:
        """The names whose notes matter: of the orders that it touches, and of the userrefs that it adds to."""
        return (*self.touches, *(userref for _, userref in self.adds if userref))

    def costs(self, notes: Notes, now_ns: int, count: int = 0) -> Costs:
        """What it adds to the pairs' trading counters; unknown orders' under FULLEST.

        ``count`` is how many orders Kraken said it cancelled, where it names one userref.
        """
        if self.what == ADD:
            return {self.pair or FULLEST: fixed_cost(ADD) if self.method == "AddOrder" else BATCH_ADD_COST * self.count}
        costs: Costs = {}
        for pair, age_s, orders in self._ages(notes, now_ns):
            times = max(orders, count) if len(self.touches) == 1 else orders
            costs[pair] = costs.get(pair, 0.0) + times * (fixed_cost(self.what) + penalty(self.what, age_s))
        return costs

    def fixed_costs(self, notes: Notes, now_ns: int) -> Costs:
        """What it adds where Kraken refused it."""
        if self.what == ADD:
            return self.costs(notes, now_ns)
        costs: Costs = {}
        for pair, _, orders in self._ages(notes, now_ns):
            costs[pair] = costs.get(pair, 0.0) + orders * fixed_cost(self.what)
        return costs

    def next_step_s(self, notes: Notes, now_ns: int) -> float | None:
        """Seconds until one of its orders gets old enough to cost less."""
        if self.what in ("", ADD):
            return None
        steps = (next_step_s(self.what, age_s) for _, age_s, _ in self._ages(notes, now_ns))
        return min((step for step in steps if step is not None), default=None)

    def _ages(self, notes: Notes, now_ns: int) -> Iterator[tuple[str, float, int]]:
        for name in self.touches:
            note = notes.get(name)
            if note is None:
                yield self.pair or FULLEST, 0.0, 1
            else:
                yield note.pair, max(0, now_ns - note.at_ns) / NS_PER_S, note.count


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
    resting = not tried and any(_may_rest(order) for order in orders or [{}])
    adds = tuple((_text(order, "cl_ord_id"), _text(order, "userref")) for order in orders)
    return replace(found, count=count, adds=adds, rests=resting)


def _may_rest(order: Mapping[str, object]) -> bool:
    return _text(order, "ordertype") != "market" and _text(order, "timeinforce").upper() not in ("IOC", "FOK")


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
    """One name for all spellings of a pair: ``XXBTZUSD``, ``XBT/USD`` and ``btcusd`` give ``XBTUSD``.

    What is too long to be a pair is none: Kraken will say so.
    """
    name = spelling.upper().replace("/", "")
    if len(name) > PAIR_CHARS_MAX:
        return ""
    if len(name) == 8 and name[0] in "XZ" and name[4] in "XZ":
        name = name[1:4] + name[5:]
    for other, own in _OTHER_NAMES:
        name = own + name[len(other) :] if name.startswith(other) else name
        name = name[: -len(other)] + own if name.endswith(other) else name
    return name


def notes_after(done: Transaction, result: object, notes: Notes, now_ns: int) -> dict[str, str]:
    """What to remember after an accepted call, by name: the orders that it made or changed are as old as its answer."""
    if done.what == AMEND:
        found = [notes[name] for name in done.touches if name in notes]
        return {note.name: str(replace(note, at_ns=now_ns)) for note in found}
    if done.what not in (ADD, EDIT) or not isinstance(result, Mapping):
        return {}
    listed = result.get("orders")
    rows = listed if isinstance(listed, list) else [result]
    texts: dict[str, str] = {}
    counts = {name: note.count for name, note in notes.items()}
    for row, (client_id, userref) in zip(rows, done.adds or (("", ""),), strict=False):
        for txid in _txids(row):
            texts[txid] = str(Note(done.pair, now_ns))
            if client_id:
                texts[client_id] = ALIAS + txid
            if userref:
                counts[userref] = counts.get(userref, 0) + 1
                texts[userref] = str(Note(done.pair, now_ns, count=counts[userref]))
    return texts if done.pair else {}


def _txids(row: object) -> Iterable[str]:
    found = row.get("txid") if isinstance(row, Mapping) else None
    return [txid for txid in (found if isinstance(found, list) else [found]) if isinstance(txid, str)]


def cancelled(result: object) -> int:
    """How many orders Kraken said that a call cancelled."""
    count = result.get("count") if isinstance(result, Mapping) else None
    return count if isinstance(count, int) else 0


def opened(done: Transaction, result: object, notes: Notes) -> dict[str, int]:
    """How many more orders an accepted call left open, by pair."""
    if done.what == CANCEL:
        gone: dict[str, int] = {}
        for name in done.touches:
            if (note := notes.get(name)) is not None:
                count = max(note.count, cancelled(result)) if len(done.touches) == 1 else note.count
                gone[note.pair] = gone.get(note.pair, 0) - count
        return gone
    if done.what != ADD or not done.rests or not isinstance(result, Mapping):
        return {}
    listed = result.get("orders")
    return {done.pair: sum(bool(_txids(order)) for order in (listed if isinstance(listed, list) else [result]))}


def open_orders(result: object) -> dict[str, int]:
    """How many orders an OpenOrders answer shows, by pair."""
    rows = result.get("open") if isinstance(result, Mapping) else None
    counts: dict[str, int] = {}
    for row in rows.values() if isinstance(rows, Mapping) else ():
        description = row.get("descr") if isinstance(row, Mapping) else None
        pair = pair_name(str(description.get("pair", ""))) if isinstance(description, Mapping) else ""
        counts[pair] = counts.get(pair, 0) + 1
    return counts
