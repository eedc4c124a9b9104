"""One private call as a generator of effects: it decides, a shell does and sends back what came of it.

The invariant: between ``Enter`` and ``Leave`` at most one request is on the wire, and each carries a nonce drawn
after the one before it was settled.

1. A turn is entered before a nonce is drawn and left after the verdict, whatever happens between.
2. A write's record stands in the store before its bytes leave, and is cleared after its end, or the doubt about it,
   is in the key's state (in this order: a death between the two is seen as an unfinished turn). So whoever takes the
   turn after a death sees what was under way.
3. A read without a usable answer leaves the turn, waits and is sent again under a new nonce, within
   ``READ_RETRY_S``. A write never is: its doubt goes to the caller.
4. While a key's ``fence_due`` stands, its next write is preceded by a harmless call: once that is accepted, nothing
   sent before it can execute.

5. Room in Kraken's counters is waited for before the turn (``room.py``), and a refusal of a limit is waited out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sealane.core import events
from sealane.core.effects import (
    Caller,
    ConfirmClock,
    Draw,
    Enter,
    Entered,
    Exchange,
    Flow,
    LastNonce,
    Leave,
    LoadKey,
    Now,
    RaiseFloor,
    Record,
    SaveKey,
    Sleep,
    Tell,
    TurnRecord,
)
from sealane.core.methods import HARMLESS, Method, method_named
from sealane.core.nonce import NS_PER_S
from sealane.core.rates import LOOK_AGAIN_S
from sealane.core.recovery import LOCKOUT_S, Again, Jump, KeyState, recover
from sealane.core.room import Booking
from sealane.core.signing import Request, public_request
from sealane.core.transaction import Transaction, transaction
from sealane.core.verdict import Advice, Outcome, Verdict, judge
from sealane.errors import InDoubt, NotDurable, Quarantined, Refused, SealaneError, Unavailable

LOOK = "OpenOrders"
"""The call that tells how many orders are open."""
READ_RETRY_S = 2.0
"""Reads in doubt are repeated until this long after the first of them failed."""
READ_PAUSES_S = (0.1, 0.2, 0.4, 0.8)
"""Waits before each repeat of a read."""

_NONCE_TAKEN = (Advice.BUSINESS, Advice.PAIR_COUNTER, Advice.GATE)
"""Refusals that Kraken gives only after it took the nonce."""


def private_call(caller: Caller, method: str, doing: Transaction | None = None) -> Flow[object]:
    """Make one private call; returns Kraken's ``result``, raises what ``sealane.errors`` describes.

    ``doing`` is what the call means for Kraken's counters, where its parameters have a say in that.
    """
    row = method_named(method)
    booking = Booking(caller, doing or transaction(method, {}))
    failed_ns = 0
    pauses_s = iter(READ_PAUSES_S)
    while True:
        nonce, verdict = yield from _booked_turn(caller, row, booking)
        if verdict.outcome is Outcome.ACCEPTED:
            return verdict.result
        now_ns = yield Now()
        if booking.may_wait(verdict):
            yield from booking.contradicted(_refused(row, verdict, now_ns), verdict.detail)
            continue
        failed_ns = failed_ns or now_ns
        pause_s = None if row.write or now_ns - failed_ns > READ_RETRY_S * NS_PER_S else next(pauses_s, None)
        if pause_s is None or verdict.outcome is Outcome.REFUSED:
            raise _error(row, nonce, verdict, now_ns)
        yield Tell(events.CallRepeated(caller.account, method, pause_s, verdict.detail))
        yield Sleep(pause_s)


def _booked_turn(caller: Caller, row: Method, booking: Booking) -> Flow[tuple[int, Verdict]]:
    """Wait for room, take one turn, settle with the counters."""
    yield from _room(caller, booking)
    try:
        return (yield from _turn(caller, row, booking))
    finally:
        yield from booking.settle()


def _room(caller: Caller, booking: Booking) -> Flow[None]:
    """Room in the call's counters. Where a pair seems full, its open orders are looked at before anybody waits."""
    while pair := (yield from booking.take()):
        yield from private_call(caller, LOOK)
        if (yield from booking.take()):
            yield from booking.wait(LOOK_AGAIN_S, f"open {pair}")
        else:
            return


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
    raise _error(Method(method, 0, False, ""), 0, verdict, now_ns)


def _turn(caller: Caller, row: Method, booking: Booking) -> Flow[tuple[int, Verdict]]:
    """One turn on the lane: at most one accepted request of this call."""
    entered = yield Enter(booking.call.rank)
    try:
        yield from _tidy(entered)
        key = yield LoadKey(caller.fingerprint)
        _must_be_open(caller, key, (yield Now()))
        pace = Pace(caller.min_interval_ns, entered.last_ended_ns)
        if row.write and key.fence_due:
            fence = method_named(HARMLESS)
            nonce, verdict = yield from _send(caller, fence, key, pace, booking)
            if booking.may_wait(verdict):
                return nonce, verdict
            if verdict.outcome is not Outcome.ACCEPTED:
                raise _fence_failed(row, verdict)
            key = yield LoadKey(caller.fingerprint)
        return (yield from _send(caller, row, key, pace, booking))
    finally:
        yield Leave()


def _tidy(entered: Entered) -> Flow[None]:
    """Take over what the last holder left: its write in doubt, a clock in doubt."""
    left = entered.unfinished
    if left is not None:
        key = yield LoadKey(left.fingerprint)
        yield SaveKey(left.fingerprint, replace(key, fence_due=True))
        yield Record(None)
        yield Tell(events.UnfinishedTurnFound(left.fingerprint, left.method, left.nonce))
    if entered.clock_doubted:
        verdict = judge((yield Exchange(public_request("Time", {}))))
        server_s = verdict.result.get("unixtime") if isinstance(verdict.result, dict) else None
        if isinstance(server_s, int):
            yield ConfirmClock(server_s * NS_PER_S)


def _must_be_open(caller: Caller, key: KeyState, now_ns: int) -> None:
    if key.quarantined_ns:
        raise Quarantined(caller.account, key.diagnosis)
    # A lockout is minutes: one that seems longer is a clock that stepped back since, and is not waited out.
    left_s = (key.locked_until_ns - now_ns) / NS_PER_S
    if 0 < left_s <= LOCKOUT_S:
        raise Unavailable(f"Kraken locked the key of {caller.account} out; nothing is sent for another {left_s:.0f} s")


def rest_s(interval_ns: int, ended_ns: int, now_ns: int) -> float:
    """Seconds left of an interval since a call's end; 0 after it. A clock that stepped back is not waited for."""
    rest_ns = ended_ns + interval_ns - now_ns
    return rest_ns / NS_PER_S if 0 < rest_ns <= interval_ns else 0.0


@dataclass(slots=True)
class Pace:
    """The documents' fixed spacing: so long from the end of a lane's private call to the start of its next."""

    interval_ns: int
    ended_ns: int

    def keep(self) -> Flow[None]:
        """Wait for what is left of the interval."""
        if self.interval_ns and (left_s := rest_s(self.interval_ns, self.ended_ns, (yield Now()))):
            yield Sleep(left_s)

    def mark(self) -> Flow[int]:
        """A call ended; answers with the time to store, 0 where none is kept."""
        if self.interval_ns:
            self.ended_ns = yield Now()
        return self.ended_ns


def _send(caller: Caller, row: Method, key: KeyState, pace: Pace, booking: Booking) -> Flow[tuple[int, Verdict]]:
    """Draw, send, judge; a refused nonce is recovered from inside the same turn, so nobody else pays for it."""
    may_repeat = True
    while True:
        sent_ns = (yield Now()) if booking.tier else 0
        nonce, verdict = yield from _exchange(caller, row, key, pace)
        booking.note(row, verdict, sent_ns)
        yield Tell(events.CallSettled(caller.account, row.name, nonce, verdict.outcome, verdict.detail))
        if verdict.advice is not Advice.NONCE:
            return nonce, verdict
        step = recover(
            key,
            refused=nonce,
            last=(yield LastNonce()),
            now_ns=(yield Now()),
            unit_ns=caller.unit_ns,
            may_repeat=may_repeat,
        )
        yield Tell(events.NonceRefused(caller.account, nonce, type(step).__name__.lower()))
        if isinstance(step, Again):
            may_repeat = False
            continue
        key = step.key
        yield SaveKey(caller.fingerprint, key)
        if not isinstance(step, Jump):
            yield Tell(events.KeyQuarantined(caller.account, key.diagnosis))
            raise Quarantined(caller.account, key.diagnosis)
        yield RaiseFloor(step.floor)
        yield Tell(events.LaneJumped(caller.account, nonce, step.floor))


def _exchange(caller: Caller, row: Method, key: KeyState, pace: Pace) -> Flow[tuple[int, Verdict]]:
    """One nonce, one request, one verdict, with the record of a write around it."""
    yield from pace.keep()
    nonce = yield Draw()
    request = caller.sign(row.name, nonce)
    if row.write:
        yield Record(TurnRecord(caller.fingerprint, row.name, nonce), pace.ended_ns)
    after = replace(key, fence_due=True) if row.write else key
    try:
        verdict = judge((yield Exchange(request)))
        after = yield from _after(row, key, verdict)
    finally:  # where the caller was interrupted with the request on the wire, a write stays in doubt
        yield from _close_record(caller, row, pace, after if after != key else None)
    return nonce, verdict


def _close_record(caller: Caller, row: Method, pace: Pace, changed: KeyState | None) -> Flow[None]:
    """Where the end cannot be noted, the caller still hears it, and the standing record fences the key's next write."""
    try:
        if changed is not None:
            yield SaveKey(caller.fingerprint, changed)
        ended_ns = yield from pace.mark()
        if row.write or pace.interval_ns:
            yield Record(None, ended_ns)
    except NotDurable as error:
        yield Tell(events.EndNotNoted(caller.account, row.name, str(error)))


def _after(row: Method, key: KeyState, verdict: Verdict) -> Flow[KeyState]:
    """The key's state after a verdict."""
    if verdict.outcome is Outcome.ACCEPTED:
        after = key.accepted()
        if row.name == HARMLESS and isinstance(verdict.result, dict):
            known = str(verdict.result.get("nonce", ""))
            if known.isdigit():
                after = replace(after, known_nonce=int(known), known_ns=(yield Now()))
        return after
    if verdict.advice in _NONCE_TAKEN:
        return key.accepted()
    if verdict.outcome is Outcome.IN_DOUBT and row.write:
        return replace(key, fence_due=True)
    if verdict.advice is Advice.LOCKOUT:
        return replace(key, locked_until_ns=(yield Now()) + LOCKOUT_S * NS_PER_S)
    return key


def _fence_failed(row: Method, verdict: Verdict) -> SealaneError:
    if verdict.outcome is Outcome.REFUSED:
        return Refused(f"{HARMLESS} before {row.name}", verdict.errors)
    return Unavailable(
        f"{row.name} was not sent: an earlier write of this key is in doubt and the harmless call that must go before "
        f"it had no answer ({verdict.detail})"
    )


def _error(row: Method, nonce: int, verdict: Verdict, now_ns: int) -> SealaneError:
    if verdict.outcome is Outcome.REFUSED:
        return _refused(row, verdict, now_ns)
    if verdict.outcome is Outcome.IN_DOUBT and row.write:
        return InDoubt(row.name, nonce, verdict.detail)
    reason = "could not be sent" if verdict.outcome is Outcome.NOT_SENT else "had no usable answer"
    return Unavailable(f"{row.name} {reason}: {verdict.detail}")


def _refused(row: Method, verdict: Verdict, now_ns: int) -> Refused:
    wait_s = None
    if verdict.until_s is not None:
        wait_s = max(0.0, verdict.until_s - now_ns / NS_PER_S)
    elif verdict.advice is Advice.LOCKOUT:
        wait_s = float(LOCKOUT_S)
    return Refused(row.name, verdict.errors, wait_s=wait_s)
