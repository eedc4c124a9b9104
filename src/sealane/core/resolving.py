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
from sealane.core.effects import Caller, Flow, LastNonce, Now, OtherOrders, RaiseFloor, ReadIntent, Sleep, Tell
from sealane.core.methods import HARMLESS
from sealane.core.nonce import NS_PER_S
from sealane.core.order import FOUND, Amended, End, Intent, Placed, same_id
from sealane.core.placing import Order, ends_of, failed, not_sent, note_intent
from sealane.core.verdict import Outcome
from sealane.errors import (
    Fenced,
    InDoubt,
    NameTaken,
    NotDurable,
    Quarantined,
    Refused,
    SealaneError,
    SettingsError,
    Unavailable,
)

LOOK_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Waits between looks; the last one between all further ones."""
RETRY_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Waits while Kraken cannot be asked."""
_PARTS = {"OpenOrders": "open", "ClosedOrders": "closed"}
"""Under which name an answer has its orders."""
AMEND_WINDOW_S = 30
AMEND_AMOUNTS = ("order_qty", "display_qty", "limit_price", "trigger_price")
DENIED = "permission denied"
CLOCKS_DIFFER_S = 300
"""An order of the same client order id that is this much older than the intent is another one."""
CLOCKS_AGREE_S = 2.0
"""So far this machine's clock is taken to be from Kraken's, where that decides which of two orders is meant."""
NOT_FOUND = "it did not reach Kraken before its key was fenced"


def exactly_once(order: Order, lag_s: float, until_ns: int) -> Flow[Mapping[str, End]]:
    """Send an order and see it to its ends, by client order id; InDoubt where they are not known by ``until_ns``.

    Raises Quarantined and NotDurable where nothing was sent, and SettingsError for a client order id that another
    order has had.
    """
    try:
        verdict = yield from order.place()
    except SealaneError as error:
        if order.doubtful:  # no other error may say that nothing was sent
            raise _in_doubt(order.intent, error) from error
        if isinstance(error, (Unavailable, Refused, Fenced)):
            return (yield from _not_sent(order, error, lag_s, until_ns))
        if order.intent.nonce:  # every attempt so far was refused
            yield from _ended(order, failed(order.intent, str(error)))
        raise
    if order.known is not None:
        return (yield from _again(order, order.known, lag_s, until_ns))
    if verdict.outcome is not Outcome.IN_DOUBT:
        ends = yield from _ended(order, ends_of(order, verdict))
        if order.intent.settled:
            order.answer = verdict.body
            return ends
    try:
        return (yield from resolve(order.caller, order.intent, lag_s, until_ns, is_own=True)).ends
    except SettingsError as error:  # the client was closed meanwhile
        raise _in_doubt(order.intent, error) from error


def held_back(order: Order, reason: str, lag_s: float, until_ns: int) -> Flow[Mapping[str, End]]:
    """The ends of an order that is not to be sent: not placed, for ``reason``, unless it was sent under its id before.

    Takes no turn where it was not.
    """
    return (yield from _not_sent(order, Unavailable(reason), lag_s, until_ns))


def _in_doubt(intent: Intent, error: SealaneError) -> InDoubt:
    return InDoubt(intent.method, intent.nonce, str(error), client_order_id=intent.id)


def _not_sent(order: Order, error: SealaneError, lag_s: float, until_ns: int) -> Flow[Mapping[str, End]]:
    """Nothing was sent this time; what was sent under its id before has an end of its own."""
    known: Intent | None = None if order.intent.nonce or order.fresh else (yield from order.asked_before())
    if known is not None:
        order.known = known
        return (yield from _again(order, known, lag_s, until_ns))
    return (yield from _ended(order, not_sent(order, error)))


def _ended(order: Order, ends: Mapping[str, End]) -> Flow[Mapping[str, End]]:
    order.intent = order.intent.with_ends(ends)
    if order.intent.nonce:
        yield from note_intent(order.intent)
    return order.intent.ends


def _again(order: Order, known: Intent, lag_s: float, until_ns: int) -> Flow[Mapping[str, End]]:
    """The same order was asked for before: it has one end."""
    if (known.fingerprint, known.digest) != (order.intent.fingerprint, order.intent.digest):
        raise NameTaken(
            f"client_order_id {known.id} belongs to another order that was sent before, of {known.account}: "
            "give each order of each account one of its own"
        )
    if not known.settled:
        try:
            known = yield from resolve(order.caller, known, lag_s, until_ns)
        except SettingsError as error:  # the client was closed meanwhile
            raise _in_doubt(known, error) from error
    return known.ends


def resolve(
    caller: Caller, intent: Intent, lag_s: float, until_ns: int | None, *, is_own: bool = False
) -> Flow[Intent]:
    """Find out what became of an order in doubt; the intent with all its ends, stored.

    ``lag_s`` is how long Kraken may take to show an order. ``is_own``: whoever sent it has handed it over; else it may
    still be about to send it, and only its deadline says that it will not. Raises InDoubt where the end is not known by
    ``until_ns``.
    """
    if caller.fingerprint != intent.fingerprint:
        raise SettingsError(f"order {intent.id} is of {intent.account} and its key: ask with a client of that key")
    if not intent.fenced_ns:
        yield from _go_above(intent, until_ns)
        yield from _ask(caller, intent, HARMLESS, {}, until_ns)
        intent = replace(intent, fenced_ns=(yield Now()))
        yield from note_intent(intent)
    waited_s = 0.0  # in this process: a clock that leaps is no time that passed
    for looks in itertools.count(1):
        asked_ns = yield Now()
        guarded = is_own and not intent.unguarded
        over_ns = asked_ns - max(intent.fenced_ns, 0 if guarded else intent.deadline_ns)
        is_last = over_ns > lag_s * NS_PER_S and waited_s >= lag_s
        intent = intent.with_ends((yield from _look(caller, intent, until_ns, each=is_last)))
        if is_last:
            intent = intent.with_ends(failed(intent, NOT_FOUND))
        if not is_own and (other := (yield from _other_word(intent))) is not None:
            return (yield from resolve(caller, other, lag_s, until_ns)) if not other.settled else other
        if intent.settled:
            other = (yield from _other_word(intent)) if is_own else None
            if other is None or other.nonce == intent.nonce:  # else it was asked for anew, and the record is of that
                yield from note_intent(intent)
            yield Tell(events.DoubtResolved(intent.account, intent.method, intent.id, looks))
            break
        pause_s = _nth(LOOK_PAUSES_S, looks - 1)
        yield from _wait(intent, pause_s, (yield Now()), until_ns, "not seen yet")
        waited_s += pause_s
    return intent


def _go_above(intent: Intent, until_ns: int | None) -> Flow[None]:
    """See that the harmless call's nonce will be above the order's: a store that lost steps may have forgotten it."""
    for tries in itertools.count():
        try:
            if (yield LastNonce()) < intent.nonce:
                yield RaiseFloor(intent.nonce)
            return
        except (Unavailable, NotDurable, Fenced) as error:
            trouble = str(error)
        yield from _wait(intent, _nth(RETRY_PAUSES_S, tries), (yield Now()), until_ns, trouble)


def _other_word(intent: Intent) -> Flow[Intent | None]:
    """What its sender stored about it meanwhile: its end, or another attempt. None where nothing changed."""
    known: Intent | None = yield ReadIntent((intent.id,))
    changed = known is not None and (known.settled or known.nonce != intent.nonce)
    return known if changed else None


def _nth(pauses_s: tuple[float, ...], number: int) -> float:
    return pauses_s[min(number, len(pauses_s) - 1)]


def _look(caller: Caller, intent: Intent, until_ns: int | None, *, each: bool) -> Flow[dict[str, End]]:
    """One look for every order whose end is not known; those of a batch together, but for the last look."""
    if intent.changes:
        return (yield from _look_at_amends(caller, intent, until_ns))
    missing = [name for name in intent.order_ids if name not in intent.ends]
    asked = [missing] if len(missing) > 1 and not each else [[name] for name in missing]
    found: dict[str, End] = {}
    for names in asked:
        filters = {intent.found_by: names[0]} if len(names) == 1 else {}
        for method in ("ClosedOrders", "OpenOrders") if intent.market else ("OpenOrders", "ClosedOrders"):
            rows = yield from _ask(caller, intent, method, filters, until_ns)
            found |= yield from _own(intent, names, rows)
            if set(found) >= set(names):
                break
    return found


def _own(intent: Intent, names: list[str], rows: Mapping[str, object]) -> Flow[dict[str, End]]:
    """Which of these orders a list shows, among those that are not known to be others."""
    if not _placed(intent, names, rows):
        return {}
    others: frozenset[str] = (yield OtherOrders(intent.id, tuple(names))) | {intent.replaces}
    return _placed(intent, names, {txid: row for txid, row in rows.items() if txid not in others})


def _placed(intent: Intent, names: list[str], rows: Mapping[str, object]) -> dict[str, End]:
    """Which of these orders a list shows."""
    found: dict[str, End] = {}
    for txid, row in rows.items():
        if not isinstance(row, Mapping) or _is_older(intent, row):
            continue
        told = row.get("descr")
        parts = told if isinstance(told, Mapping) else {}
        descr = described(row)
        shown = str(row.get(intent.found_by))
        is_new = _is_opened_since(intent, row)
        mine = [name for name in names if same_id(shown, name) and (is_new or _shows({**row, **parts}, intent, name))]
        found |= {name: Placed(txid, name, descr, FOUND) for name in mine}
    return found


def described(row: Mapping[str, object]) -> str:
    """Kraken's sentence about an order, from its row."""
    told = row.get("descr")
    return str(told.get("order", "")) if isinstance(told, Mapping) else ""


def _is_opened_since(intent: Intent, row: Mapping[str, object]) -> bool:
    """Whether an order was opened when this one was on its way: it may have been changed since."""
    opened_s = row.get("opentm")
    return isinstance(opened_s, (int, float)) and opened_s > intent.sent_ns / NS_PER_S - CLOCKS_AGREE_S


def _shows(row: Mapping[str, object], intent: Intent, name: str) -> bool:
    """Whether a row has the words and amounts that were asked for."""
    return all(_is_same(str(row.get(field)), text) for field, text in intent.shows.get(name, {}).items())


def _is_same(shown: str, wanted: str) -> bool:
    try:
        return Decimal(shown) == Decimal(wanted)
    except InvalidOperation:
        return shown == wanted


def _is_older(intent: Intent, row: Mapping[str, object]) -> bool:
    opened_s = row.get("opentm")
    return isinstance(opened_s, (int, float)) and opened_s < intent.sent_ns / NS_PER_S - CLOCKS_DIFFER_S


def _look_at_amends(caller: Caller, intent: Intent, until_ns: int | None) -> Flow[dict[str, End]]:
    """Whether the order's list of amendments shows this one."""
    order = txid = intent.changes["order"]
    if intent.changes["by"] != "txid":
        for method in ("OpenOrders", "ClosedOrders"):
            rows = yield from _ask(caller, intent, method, {"cl_ord_id": order}, until_ns)
            txid = next(iter(rows), txid)
            if rows:
                break
    amends = yield from _ask(caller, intent, "OrderAmends", {"order_id": txid}, until_ns)
    listed = amends.get("amends")
    made = [row for row in listed if isinstance(row, Mapping)] if isinstance(listed, list) else []
    if any(_is_this_amend(intent, row) for row in made):
        return {name: Amended(order, FOUND) for name in intent.order_ids}
    return {}


def _is_this_amend(intent: Intent, row: Mapping[str, object]) -> bool:
    """Made by a user about when this one was sent, with the same amounts; what is relative shows only by its time."""
    at_ns = row.get("timestamp")
    if row.get("amend_type") == "original" or not isinstance(at_ns, int):
        return False
    if not intent.sent_ns - AMEND_WINDOW_S * NS_PER_S <= at_ns <= intent.deadline_ns + AMEND_WINDOW_S * NS_PER_S:
        return False
    return all(_agrees(row.get(name), intent.changes[name]) for name in AMEND_AMOUNTS if name in intent.changes)


def _agrees(shown: object, asked: str) -> bool:
    try:
        wanted = Decimal(asked)
    except InvalidOperation:
        return True
    relative = asked.startswith(("+", "-", "#"))
    try:
        return relative or Decimal(str(shown)) == wanted
    except InvalidOperation:
        return False


def _ask(
    caller: Caller, intent: Intent, method: str, params: Mapping[str, object], until_ns: int | None
) -> Flow[Mapping[str, object]]:
    """What a call answers, repeated while Kraken cannot be asked; of a list of orders the list itself."""
    tries = 0
    while True:
        try:
            result = yield from private_call(caller, method, params)
            rows = result.get(_PARTS[method]) if method in _PARTS and isinstance(result, Mapping) else result
            if isinstance(rows, Mapping):
                return rows
            trouble = f"{method} answered without what it was asked for"
        except Refused as refusal:
            if UNKNOWN in str(refusal).casefold():
                return {}
            denied = DENIED in str(refusal).casefold()
            trouble = (
                f"{refusal}. Give the key the permissions to query open and closed orders" if denied else str(refusal)
            )
        except (Unavailable, Quarantined, NotDurable, Fenced) as error:
            trouble = str(error)
        yield from _wait(intent, _nth(RETRY_PAUSES_S, tries), (yield Now()), until_ns, trouble)
        tries += 1


def _wait(intent: Intent, pause_s: float, now_ns: int, until_ns: int | None, detail: str) -> Flow[None]:
    if until_ns is not None and now_ns + pause_s * NS_PER_S > until_ns:
        raise InDoubt(intent.method, intent.nonce, detail, client_order_id=intent.id)
    yield Sleep(pause_s)
