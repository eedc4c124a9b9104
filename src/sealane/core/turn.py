"""One turn on a lane: from taking it to leaving it, with everything that holds for any call in between.

The invariant: between ``Enter`` and ``Leave`` at most one request is on the wire, and each carries a nonce drawn
after the one before it was settled.

1. A turn is entered before a nonce is drawn and left after the verdict, whatever happens between.
2. A write's record stands in the store before its bytes leave, and is cleared after its end, or the doubt about it,
   is in the key's state (in this order: a death between the two is seen as an unfinished turn). So whoever takes the
   turn after a death sees what was under way.
3. While a key's ``fence_due`` stands, its next write is preceded by a harmless call: once that is accepted, nothing
   sent before it can execute.
4. A refused nonce is recovered from inside the same turn, so nobody else pays for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from sealane.core import events
from sealane.core.effects import (
    Caller,
    ConfirmClock,
    Drafted,
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
from sealane.core.recovery import LOCKOUT_S, Again, Jump, KeyState, recover
from sealane.core.room import Booking
from sealane.core.signing import Request, public_request
from sealane.core.verdict import Advice, Outcome, Verdict, judge
from sealane.errors import Fenced, NotDurable, Quarantined, Refused, SealaneError, Unavailable

NONCE_TAKEN = (Advice.BUSINESS, Advice.PAIR_COUNTER, Advice.GATE)
"""Refusals that Kraken gives only after it took the nonce."""

T = TypeVar("T")


@dataclass(slots=True)
class Turn:
    """A turn that is held: whose it is, what is known of the key, and the lane's pace."""

    caller: Caller
    booking: Booking
    key: KeyState
    pace: Pace

    def send(self, row: Method, exchange: Callable[[], Flow[tuple[int, Verdict]]]) -> Flow[tuple[int, Verdict]]:
        """Make attempts, each with a nonce of its own, until Kraken does not refuse the nonce."""
        may_repeat = True
        while True:
            sent_ns = (yield Now()) if self.booking.tier else 0
            nonce, verdict = yield from exchange()
            self.booking.note(row, verdict, sent_ns)
            if nonce:
                yield Tell(events.CallSettled(self.caller.account, row.name, nonce, verdict.outcome, verdict.detail))
            if verdict.advice is not Advice.NONCE:
                return nonce, verdict
            may_repeat = yield from self._recover(nonce, may_repeat)

    def _recover(self, nonce: int, may_repeat: bool) -> Flow[bool]:
        """After a refused nonce: make way for the next one, or stop the key. Whether a plain repeat is left."""
        caller = self.caller
        step = recover(
            self.key,
            refused=nonce,
            last=(yield LastNonce()),
            now_ns=(yield Now()),
            unit_ns=caller.unit_ns,
            may_repeat=may_repeat,
        )
        yield Tell(events.NonceRefused(caller.account, nonce, type(step).__name__.lower()))
        if isinstance(step, Again):
            return False
        self.key = step.key
        yield SaveKey(caller.fingerprint, self.key)
        if not isinstance(step, Jump):
            yield Tell(events.KeyQuarantined(caller.account, self.key.diagnosis))
            raise Quarantined(caller.account, self.key.diagnosis)
        yield RaiseFloor(step.floor)
        yield Tell(events.LaneJumped(caller.account, nonce, step.floor))
        return may_repeat

    def send_once(self, row: Method, drafted: Drafted) -> Flow[tuple[int, Verdict]]:
        """Send a call; an answer that does not come leaves it in doubt."""

        def exchange() -> Flow[tuple[int, Verdict]]:
            yield from self.pace.keep()
            nonce = yield Draw()
            return nonce, (yield from self.attempt(row, nonce, _once(drafted.signed(nonce))))

        return (yield from self.send(row, exchange))

    def try_once(self, row: Method, drafted: Drafted) -> Flow[tuple[int, Verdict]]:
        """Send a call and take what comes of it: a refused nonce is not recovered from, so nothing jumps or stops."""
        yield from self.pace.keep()
        sent_ns, nonce = (yield Now()), (yield Draw())
        verdict = yield from self.attempt(row, nonce, _once(drafted.signed(nonce)))
        self.booking.note(row, verdict, sent_ns if self.booking.tier else 0)
        yield Tell(events.CallSettled(self.caller.account, row.name, nonce, verdict.outcome, verdict.detail))
        return nonce, verdict

    def fence(self) -> Flow[tuple[int, Verdict]]:
        """The harmless call: once it is accepted, nothing that was sent with the key before can execute."""
        return (yield from self.send_once(method_named(HARMLESS), self.caller.draft(HARMLESS, {})))

    def attempt(self, row: Method, nonce: int, wire: Flow[Verdict], intent: str = "") -> Flow[Verdict]:
        """What ``wire`` does with one nonce, with the record of a write around it."""
        if row.write:
            yield Record(TurnRecord(self.caller.fingerprint, row.name, nonce, intent), self.pace.ended_ns)
        after = replace(self.key, fence_due=True) if row.write else self.key
        try:
            verdict = yield from wire
            after = yield from _after(row, self.key, verdict)
        finally:  # where the caller was interrupted with the request on the wire, a write stays in doubt
            changed = after != self.key
            self.key = after
            yield from self._close_record(row, changed)
        return verdict

    def _close_record(self, row: Method, changed: bool) -> Flow[None]:
        """Where the end cannot be noted, the caller still hears it, and the standing record fences the next write.

        Nor where the lane was lost meanwhile: whoever has it now fences every key before its next write.
        """
        try:
            if changed:
                yield SaveKey(self.caller.fingerprint, self.key)
            ended_ns = yield from self.pace.mark()
            if row.write or self.pace.interval_ns:
                yield Record(None, ended_ns)
        except (NotDurable, Fenced) as error:
            yield Tell(events.EndNotNoted(self.caller.account, row.name, str(error)))


def _once(request: Request) -> Flow[Verdict]:
    return judge((yield Exchange(request)))


def take_turn(
    caller: Caller, row: Method, booking: Booking, work: Callable[[Turn], Flow[tuple[int, Verdict]]]
) -> Flow[tuple[int, Verdict] | None]:
    """Take the turn, tidy up, fence the key where that is due, do ``work``, leave.

    Returns None where Kraken took back the room that the call had found while it waited for its turn.
    """
    entered = yield Enter(booking.call.rank, caller.patience_s)
    try:
        yield from _tidy(entered)
        if (yield from booking.is_outdated()):
            return None
        key = yield LoadKey(caller.fingerprint)
        _must_be_open(caller, key, (yield Now()))
        turn = Turn(caller, booking, key, Pace(caller.min_interval_ns, entered.last_ended_ns))
        if row.write and key.fence_due:
            nonce, verdict = yield from turn.fence()
            if booking.may_wait(verdict):
                return nonce, verdict
            if verdict.outcome is not Outcome.ACCEPTED:
                raise _fence_failed(row, verdict)
        return (yield from work(turn))
    finally:
        yield Leave()


def _tidy(entered: Entered) -> Flow[None]:
    """Take over what the last holder left: its write in doubt, a clock in doubt."""
    left = entered.unfinished
    if left is not None:
        key = yield LoadKey(left.fingerprint)
        yield SaveKey(left.fingerprint, replace(key, fence_due=True))
        yield Record(None)
        yield Tell(events.UnfinishedTurnFound(left.fingerprint, left.method, left.nonce, left.intent))
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


def _after(row: Method, key: KeyState, verdict: Verdict) -> Flow[KeyState]:
    """The key's state after a verdict."""
    if verdict.outcome is Outcome.ACCEPTED:
        after = key.accepted()
        if row.name == HARMLESS and isinstance(verdict.result, dict):
            after = _told(after, verdict.result, (yield Now()))
        return after
    if verdict.advice in NONCE_TAKEN:
        return key.accepted()
    if verdict.outcome is Outcome.IN_DOUBT and row.write:
        return key.accepted() if verdict.fenced else replace(key, fence_due=True)
    if verdict.advice is Advice.LOCKOUT:
        return replace(key, locked_until_ns=(yield Now()) + LOCKOUT_S * NS_PER_S)
    return key


def _told(key: KeyState, info: Mapping[str, object], now_ns: int) -> KeyState:
    """What GetApiKeyInfo says of the key."""
    nonce, window = str(info.get("nonce", "")), str(info.get("nonceWindow", ""))
    if nonce.isdigit():
        key = replace(key, known_nonce=int(nonce), known_ns=now_ns)
    return replace(key, nonce_window=int(window), window_ns=now_ns) if window.isdigit() else key


def _fence_failed(row: Method, verdict: Verdict) -> SealaneError:
    if verdict.outcome is Outcome.REFUSED:
        return Refused(f"{HARMLESS} before {row.name}", verdict.errors)
    return Unavailable(
        f"{row.name} was not sent: an earlier write of this key is in doubt and the harmless call that must go before "
        f"it had no answer ({verdict.detail})"
    )
