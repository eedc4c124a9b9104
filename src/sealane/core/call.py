"""One call as a generator of effects: it decides, a shell does and sends back what came of it.

1. Room in Kraken's counters is waited for before the turn (``room.py``), and a refusal of a limit is waited out.
2. What happens in a turn is told in ``turn.py``.
3. A read without a usable answer leaves the turn, waits and is sent again under a new nonce, within
   ``READ_RETRY_S``, unless its caller wants one try. A write never is: its doubt goes to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from sealane.core import events
from sealane.core.effects import Caller, Exchange, Flow, Now, Sleep, Tell
from sealane.core.methods import Method, method_named
from sealane.core.nonce import NS_PER_S
from sealane.core.recovery import LOCKOUT_S
from sealane.core.room import Booking
from sealane.core.signing import Request
from sealane.core.transaction import transaction
from sealane.core.turn import Turn, take_turn
from sealane.core.verdict import Advice, Outcome, Verdict, judge
from sealane.errors import Fenced, InDoubt, Refused, SealaneError, Unavailable

NOTHING: Mapping[str, object] = MappingProxyType({})
LOOK = "OpenOrders"
"""The call that tells how many orders are open."""
READ_RETRY_S = 2.0
"""Reads in doubt are repeated until this long after the first of them failed."""
FENCED_MAX = 3
"""A call whose host lost the lane under it waits for its turn again, so often."""
READ_PAUSES_S = (0.1, 0.2, 0.4, 0.8)
"""Waits before each repeat of a read."""


def private_call(caller: Caller, method: str, params: Mapping[str, object] = NOTHING) -> Flow[object]:
    """Make one private call; returns Kraken's ``result``, raises what ``sealane.errors`` describes."""
    verdict = yield from answered_call(caller, method, params)
    if verdict.outcome is Outcome.REFUSED:
        raise refused(method_named(method), verdict, (yield Now()))
    return verdict.result


def answered_call(caller: Caller, method: str, params: Mapping[str, object] = NOTHING) -> Flow[Verdict]:
    """As ``private_call``, for who passes Kraken's answer on: the verdict of a yes or a no, with the answer's bytes."""
    row, drafted = method_named(method), caller.draft(method, params)
    booking = Booking(caller, transaction(method, params))
    failed_ns = 0
    pauses_s, again = iter(READ_PAUSES_S), iter(range(FENCED_MAX))
    while True:
        try:
            nonce, verdict = yield from booked_turn(caller, row, booking, lambda turn: turn.send_once(row, drafted))
        except Fenced:  # what was sent in that turn was refused, so nothing of it can execute
            if next(again, None) is None:
                raise
            continue
        if verdict.outcome is Outcome.ACCEPTED:
            return verdict
        now_ns = yield Now()
        if booking.may_wait(verdict):
            yield from booking.contradicted(refused(row, verdict, now_ns), verdict.detail)
            continue
        if verdict.outcome is Outcome.REFUSED:
            return verdict
        failed_ns = failed_ns or now_ns
        is_over = row.write or not caller.repeats or now_ns - failed_ns > READ_RETRY_S * NS_PER_S
        pause_s = None if is_over else next(pauses_s, None)
        if pause_s is None:
            raise error_of(row, nonce, verdict, now_ns)
        yield Tell(events.CallRepeated(caller.account, method, pause_s, verdict.detail))
        yield Sleep(pause_s)


def probing_call(caller: Caller, method: str) -> Flow[tuple[int, Verdict]]:
    """One attempt at a private call, for who examines: its nonce and what came of it; nothing is recovered from."""
    row, drafted = method_named(method), caller.draft(method, NOTHING)
    booking = Booking(caller, transaction(method, NOTHING))
    return (yield from booked_turn(caller, row, booking, lambda turn: turn.try_once(row, drafted)))


def booked_turn(
    caller: Caller, row: Method, booking: Booking, work: Callable[[Turn], Flow[tuple[int, Verdict]]]
) -> Flow[tuple[int, Verdict]]:
    """Wait for room, do ``work`` in a turn, settle with the counters; again where the room was gone in the meantime."""
    while True:
        yield from wait_for_room(caller, booking)
        try:
            done = yield from take_turn(caller, row, booking, work)
        finally:
            yield from booking.settle()
        if done is not None:
            return done


def wait_for_room(caller: Caller, booking: Booking) -> Flow[None]:
    """Room in the call's counters. Where a pair seems full, its open orders are looked at before anybody waits."""
    while (yield from booking.take()):
        patience_s = yield from booking.left_s()
        try:
            yield from private_call(replace(caller, patience_s=patience_s), LOOK)
        except Refused:
            yield from booking.open_orders_unknown()
        except Unavailable:  # the next who asks looks again
            continue


def public_call(request: Request, method: str) -> Flow[object]:
    """Make one public call: no lane, no nonce; repeated like a read."""
    failed_ns = 0
    for pause_s in (*READ_PAUSES_S, None):
        verdict = judge((yield Exchange(request)))
        if verdict.outcome is Outcome.ACCEPTED:
            return verdict.result
        now_ns = yield Now()
        failed_ns = failed_ns or now_ns
        if pause_s is None or verdict.outcome is Outcome.REFUSED or now_ns - failed_ns > READ_RETRY_S * NS_PER_S:
            break
        yield Sleep(pause_s)
    raise error_of(Method(method, 0, False, ""), 0, verdict, now_ns)


def error_of(row: Method, nonce: int, verdict: Verdict, now_ns: int) -> SealaneError:
    """The error for a call that was not accepted."""
    if verdict.outcome is Outcome.REFUSED:
        return refused(row, verdict, now_ns)
    if verdict.outcome is Outcome.IN_DOUBT and row.write:
        return InDoubt(row.name, nonce, verdict.detail)
    reason = "could not be sent" if verdict.outcome is Outcome.NOT_SENT else "had no usable answer"
    return Unavailable(f"{row.name} {reason}: {verdict.detail}")


def refused(row: Method, verdict: Verdict, now_ns: int) -> Refused:
    """The error for what Kraken refused."""
    wait_s = None
    if verdict.until_s is not None:
        wait_s = max(0.0, verdict.until_s - now_ns / NS_PER_S)
    elif verdict.advice is Advice.LOCKOUT:
        wait_s = float(LOCKOUT_S)
    return Refused(row.name, verdict.errors, wait_s=wait_s)
