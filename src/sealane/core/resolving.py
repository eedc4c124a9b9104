"""Fence, then look: how an order whose answer was lost ends for certain, also after a death.

1. A harmless call with the same key and a later nonce: from then on the order can never begin to execute.
2. Its client order id is looked for among open orders, then closed ones, until it is found, or Kraken's visibility lag
   has passed since the fence. Found: placed. Not found: not placed.
3. Nobody waits for this but the order's own caller: each step is a turn of its own.
4. Where Kraken cannot be asked, the question stays open: ``InDoubt``, never a guess.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from sealane.core import events
from sealane.core.call import private_call
from sealane.core.cancelling import UNKNOWN
from sealane.core.effects import Caller, Flow, Now, ReadIntent, Sleep, Tell
from sealane.core.methods import HARMLESS
from sealane.core.nonce import NS_PER_S
from sealane.core.order import FOUND, Amended, End, Intent, Placed
from sealane.core.placing import Order, ends_of, failed, not_sent, note_intent
from sealane.core.verdict import Outcome
from sealane.errors import InDoubt, NotDurable, Quarantined, Refused, SealaneError, SettingsError, Unavailable

LOOK_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Waits between looks; the last one between all further ones."""
RETRY_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Waits while Kraken cannot be asked."""
CLOCKS_DIFFER_S = 300
"""An order of the same client order id that is this much older than the intent is another one."""
NOT_FOUND = "it did not reach Kraken before its key was fenced"


def exactly_once(order: Order, lag_s: float, until_ns: int) -> Flow[Mapping[str, End]]:
    """Send an order and see it to its ends, by client order id; InDoubt where they are not known by ``until_ns``.

    Raises Quarantined and NotDurable where nothing was sent, and SettingsError for a client order id that another
    order has had.
    """
    try:
        verdict = yield from order.place()
    except (Unavailable, Refused) as error:
        if order.doubtful:
            raise
        return (yield from _not_sent(order, error, lag_s, until_ns))
    except SealaneError as error:
        if order.intent.nonce and not order.doubtful:  # every attempt so far was refused
            yield from _ended(order, failed(order.intent, str(error)))
        raise
    if order.known is not None:
        return (yield from _again(order, order.known, lag_s, until_ns))
    if verdict.outcome is not Outcome.IN_DOUBT:
        ends = yield from _ended(order, ends_of(order, verdict))
        if order.intent.settled:
            return ends
    return (yield from resolve(order.caller, order.intent, lag_s, until_ns)).ends


def _not_sent(order: Order, error: Unavailable | Refused, lag_s: float, until_ns: int) -> Flow[Mapping[str, End]]:
    """Nothing was sent this time; what was sent under its id before has an end of its own."""
    known: Intent | None = None if order.intent.nonce or order.fresh else (yield ReadIntent(order.intent.id))
    if known is not None:
        return (yield from _again(order, known, lag_s, until_ns))
    return (yield from _ended(order, not_sent(order, error)))


def _ended(order: Order, ends: Mapping[str, End]) -> Flow[Mapping[str, End]]:
    order.intent = order.intent.with_ends(ends)
    if order.intent.nonce:
        yield from note_intent(order.intent)
    return order.intent.ends


def _again(order: Order, known: Intent, lag_s: float, until_ns: int) -> Flow[Mapping[str, End]]:
    """The same order was asked for before: it has one end."""
    if known.digest != order.intent.digest:
        raise SettingsError(
            f"client_order_id {known.id} belongs to another order that was sent before: give each order one of its own"
        )
    if not known.settled:
        known = yield from resolve(order.caller, known, lag_s, until_ns)
    return known.ends


def resolve(caller: Caller, intent: Intent, lag_s: float, until_ns: int | None) -> Flow[Intent]:
    """Find out what became of an order in doubt; the intent with all its ends, stored.

    ``lag_s`` is how long Kraken may take to show an order. Raises InDoubt where that is not known by ``until_ns``.
    """
    if not intent.fenced_ns:
        yield from _ask(caller, intent, HARMLESS, {}, until_ns)
        intent = replace(intent, fenced_ns=(yield Now()))
        yield from note_intent(intent)
    for looks in itertools.count(1):
        asked_ns = yield Now()
        intent = intent.with_ends((yield from _look(caller, intent, until_ns)))
        ended_ns = max(intent.fenced_ns, intent.deadline_ns if intent.unguarded else 0)
        if asked_ns - ended_ns > lag_s * NS_PER_S:
            intent = intent.with_ends(failed(intent, NOT_FOUND))
        if intent.settled:
            yield from note_intent(intent)
            yield Tell(events.DoubtResolved(intent.account, intent.method, intent.id, looks))
            break
        yield from _wait(intent, _nth(LOOK_PAUSES_S, looks - 1), (yield Now()), until_ns, "not seen yet")
    return intent


def _nth(pauses_s: tuple[float, ...], number: int) -> float:
    return pauses_s[min(number, len(pauses_s) - 1)]


def _look(caller: Caller, intent: Intent, until_ns: int | None) -> Flow[dict[str, End]]:
    """One look for every order whose end is not known."""
    found: dict[str, End] = {}
    for name in intent.order_ids:
        if name in intent.ends:
            continue
        for method, params, part in _questions(intent, name):
            result = yield from _ask(caller, intent, method, params, until_ns)
            if (end := _found(intent, name, result, part)) is not None:
                found[name] = end
                break
    return found


def _questions(intent: Intent, name: str) -> tuple[tuple[str, Mapping[str, object], str], ...]:
    """What to ask, with which parameters, and under which name the answer has its orders ("" for all of it)."""
    by, sought = intent.changes.get("by", intent.found_by), intent.changes.get("order", name)
    if by == "txid":
        return (("QueryOrders", {by: sought}, ""),)
    among_open, among_closed = ("OpenOrders", {by: sought}, "open"), ("ClosedOrders", {by: sought}, "closed")
    return (among_closed, among_open) if intent.market else (among_open, among_closed)


def _found(intent: Intent, name: str, result: object, part: str) -> End | None:
    """The end that a list of orders shows, None where it does not show the order."""
    rows = result.get(part) if part and isinstance(result, Mapping) else result
    for txid, row in rows.items() if isinstance(rows, Mapping) else ():
        if not isinstance(row, Mapping):
            continue
        if intent.changes:
            if _is_amended(intent.changes, txid, row):
                return Amended(intent.changes["order"], FOUND)
        elif str(row.get(intent.found_by)) == name and not _is_older(intent, row):
            described = row.get("descr")
            return Placed(txid, name, str(described.get("order", "")) if isinstance(described, Mapping) else "", FOUND)
    return None


def _is_amended(changes: Mapping[str, str], txid: str, row: Mapping[str, object]) -> bool:
    """Whether it is the order, and shows what was asked for."""
    if changes["order"] not in (txid, row.get("cl_ord_id")):
        return False
    described = row.get("descr")
    price = described.get("price") if isinstance(described, Mapping) else None
    shown = {"order_qty": row.get("vol"), "limit_price": price}
    return all(_same(shown[name], text) for name, text in changes.items() if name in shown)


def _same(shown: object, asked: str) -> bool:
    try:
        return Decimal(str(shown)) == Decimal(asked)
    except InvalidOperation:
        return False


def _is_older(intent: Intent, row: Mapping[str, object]) -> bool:
    opened_s = row.get("opentm")
    return isinstance(opened_s, (int, float)) and opened_s < intent.sent_ns / NS_PER_S - CLOCKS_DIFFER_S


def _ask(
    caller: Caller, intent: Intent, method: str, params: Mapping[str, object], until_ns: int | None
) -> Flow[object]:
    """A call that is repeated while Kraken cannot be asked, until ``until_ns``."""
    tries = 0
    while True:
        try:
            return (yield from private_call(caller, method, params))
        except (Unavailable, Refused, Quarantined, NotDurable) as error:
            if isinstance(error, Refused) and UNKNOWN in str(error).casefold():
                return None
            yield from _wait(intent, _nth(RETRY_PAUSES_S, tries), (yield Now()), until_ns, str(error))
        tries += 1


def _wait(intent: Intent, pause_s: float, now_ns: int, until_ns: int | None, detail: str) -> Flow[None]:
    if until_ns is not None and now_ns + pause_s * NS_PER_S > until_ns:
        raise InDoubt(intent.method, intent.nonce, detail, client_order_id=intent.id)
    yield Sleep(pause_s)
