"""An order's way to Kraken: sent under a stored intent, sent again only where that can execute at most once.

1. The intent stands in the store, synced, before the bytes leave.
2. *Replay*: where no answer came, the identical signed bytes go again, in the same turn, while no later nonce of the
   lane was used and the order's deadline less a margin has not come. Kraken takes a nonce once, so at most one copy
   executes. ``Invalid nonce`` on a replay means that an earlier copy had arrived; a business refusal means that none
   had, because only a copy whose nonce was taken gets that far.
3. With a nonce window above 0 on the key a nonce may be taken twice: nothing is replayed then.
4. What is left in doubt is fenced in the same turn where Kraken can be reached, and looked for after it
   (``resolving.py``).
5. Nothing leaves after the deadline less a margin, whatever it waited for.
6. Where the host loses the lane before anything left, the order waits for its turn again. What others found out about
   it meanwhile stands: they may have taken this process for dead.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sealane.core import events
from sealane.core.call import FENCED_MAX, booked_turn
from sealane.core.effects import (
    Caller,
    Drafted,
    Draw,
    Exchange,
    Flow,
    KeepIntent,
    LastNonce,
    Now,
    ReadIntent,
    Sleep,
    Tell,
)
from sealane.core.methods import method_named
from sealane.core.nonce import NS_PER_S
from sealane.core.order import ANSWERED, REPLAYED, Amended, End, Intent, NotAmended, NotPlaced, Placed
from sealane.core.room import Booking
from sealane.core.transaction import transaction
from sealane.core.turn import Turn
from sealane.core.verdict import Advice, Outcome, Verdict, judge
from sealane.errors import Fenced, NotDurable, Refused, SealaneError

MARGIN_S = 1.0
"""Nothing is sent, and nothing replayed, so short before the deadline: clocks differ, and the way takes time."""
LEAD_S = 2.0
"""Kraken takes no deadline that is nearer than this."""
ANSWER_MIN_S = 1.0
REPLAY_FOR_S = 10.0
REPLAY_PAUSES_S = (0.05, 0.1, 0.2, 0.4)
"""Waits before replays; the last one before all further ones."""

_COPY_JUDGED = (Advice.BUSINESS,)
"""Refusals of a copy that prove that its nonce was taken: only the matching engine gives them."""
_NO_MORE = (Advice.LOOK, Advice.LOCKOUT, Advice.THROTTLED, Advice.COUNTER, Advice.STOP)
"""Answers to a copy after which the next one would do harm, or no good."""
_ARRIVED = "an earlier copy had arrived"
KNOWN = "its client order id was used before"
TOO_LATE = "its deadline had come before it could be sent"


@dataclass(slots=True)
class Order:
    """One write under an intent, on its way. ``params`` are in Kraken's names, deadline and ids included.

    ``fresh``: its id was drawn for it, so nobody can have used it before. ``repeat_s``: asked for again so long after
    its end it is another order. ``anew``: asked for again it may go again, where nothing came of it before. ``answer``
    is what Kraken answered to this very call, where that was the end.
    """

    caller: Caller
    intent: Intent
    params: Mapping[str, object]
    sync: bool = True
    fresh: bool = False
    repeat_s: float = math.inf
    anew: bool = False
    how: str = ANSWERED
    answer: bytes = b""
    known: Intent | None = None
    doubtful: bool = False
    fenced: int = 0

    def place(self) -> Flow[Verdict]:
        """Send it; an outcome of IN_DOUBT is to be resolved, every other one is the end."""
        intent = self.intent
        row, drafted = method_named(intent.method), self.caller.draft(intent.method, self.params)
        booking = Booking(self.caller, transaction(intent.method, self.params), asks_window=True)
        while True:
            left_s = (intent.deadline_ns - (yield Now())) / NS_PER_S - LEAD_S
            booking.caller = caller = replace(self.caller, patience_s=max(0.0, min(self.caller.patience_s, left_s)))
            try:
                _, verdict = yield from booked_turn(caller, row, booking, lambda turn: self._in_turn(turn, drafted))
            except Fenced:
                self.fenced += 1
                if self.doubtful or self.fenced > FENCED_MAX:
                    raise
                continue
            if not booking.may_wait(verdict):
                return verdict
            yield from booking.contradicted(Refused(row.name, verdict.errors), verdict.detail)

    # --- in the turn ----------------------------------------------------------------------------------------------

    def _in_turn(self, turn: Turn, drafted: Drafted) -> Flow[tuple[int, Verdict]]:
        if not turn.key.window_is_known((yield Now())):  # whether this key's nonces guard against a second copy
            nonce, verdict = yield from turn.fence()
            if turn.booking.may_wait(verdict):
                return nonce, verdict
        if turn.key.nonce_window:
            yield Tell(events.NonceWindowOpen(turn.caller.account, turn.key.nonce_window))
        nonce, verdict = yield from turn.send(method_named(self.intent.method), lambda: self._attempt(turn, drafted))
        if verdict.outcome is Outcome.IN_DOUBT:
            self.doubtful = True
            yield from self._fence(turn, verdict)
        return nonce, verdict

    def _attempt(self, turn: Turn, drafted: Drafted) -> Flow[tuple[int, Verdict]]:
        """One nonce, under an intent; a refusal of the limits or of the nonce may bring another."""
        yield from turn.pace.keep()
        if self.fenced or not (self.intent.nonce or self.fresh):
            # Here, because one turn at a time looks: of two callers with one id the second finds the first's intent.
            known = yield from self.asked_before()
            if known is not None and (known.settled or not self.intent.nonce):
                self.known = known
                return 0, Verdict(Outcome.NOT_SENT, Advice.STOP, detail=KNOWN)
        now_ns = yield Now()
        if self.intent.deadline_ns - now_ns < LEAD_S * NS_PER_S:
            return 0, Verdict(Outcome.NOT_SENT, Advice.STOP, detail=TOO_LATE)
        nonce = yield Draw()
        unguarded = bool(turn.key.nonce_window) or not turn.key.window_is_known(now_ns)
        self.intent = self.intent.sent(nonce, now_ns, unguarded=unguarded)
        wire = self._wire(turn, drafted, nonce)
        return nonce, (yield from turn.attempt(method_named(self.intent.method), nonce, wire, self.intent.id))

    def asked_before(self) -> Flow[Intent | None]:
        """The intent of the same order, where it was asked for before."""
        known: Intent | None = yield ReadIntent(self.intent.names)
        if known is None or not known.settled:
            return known
        if self.anew and not self.fenced and known.came_to_nothing:  # fenced: it may be the end of this very one
            return None
        if math.isinf(self.repeat_s):
            return known
        return known if (yield Now()) - known.sent_ns <= self.repeat_s * NS_PER_S else None

    def _wire(self, turn: Turn, drafted: Drafted, nonce: int) -> Flow[Verdict]:
        """Send the bytes under the stored intent, and the same bytes again where that is safe."""
        yield KeepIntent(self.intent, self.sync)
        request, doubt = drafted.signed(nonce), None
        for copy in itertools.count():
            left_s = self._left_s((yield Now()))
            if left_s <= 0 and doubt is None:
                return Verdict(Outcome.NOT_SENT, Advice.STOP, detail=TOO_LATE)
            try:
                verdict = judge((yield Exchange(replace(request, limit_s=max(ANSWER_MIN_S, left_s / 2)))))
            except Fenced:
                if doubt is None:
                    raise
                break  # the copy stays here
            if doubt is None and verdict.outcome in (Outcome.ACCEPTED, Outcome.REFUSED):
                return verdict
            if doubt is not None and (end := self._judged_copy(verdict)) is not None:
                return end
            if verdict.outcome is not Outcome.NOT_SENT:
                doubt, self.doubtful = doubt or verdict, True
            pause_s = REPLAY_PAUSES_S[min(copy, len(REPLAY_PAUSES_S) - 1)]
            again = doubt is None or not self.intent.unguarded
            left_s = min(self._left_s((yield Now())), self._replays_for_s((yield Now())))
            if not again or verdict.advice in _NO_MORE or left_s < pause_s:
                break
            yield Sleep(pause_s)
            if doubt is not None and (yield from _overtaken(nonce)):
                break  # a bare draw may have been used with this key: the copy would prove nothing
        return doubt or verdict

    def _judged_copy(self, verdict: Verdict) -> Verdict | None:
        """What a replay's answer says about all copies; None where it says nothing."""
        if verdict.outcome is Outcome.ACCEPTED or verdict.advice in _COPY_JUDGED:
            self.how, self.doubtful = REPLAYED, False
            return verdict
        if verdict.advice is Advice.NONCE:
            return Verdict(Outcome.IN_DOUBT, Advice.LOOK, errors=verdict.errors, detail=_ARRIVED, fenced=True)
        return None

    def _left_s(self, now_ns: int) -> float:
        return (self.intent.deadline_ns - now_ns) / NS_PER_S - MARGIN_S

    def _replays_for_s(self, now_ns: int) -> float:
        """How much longer copies may go in this turn: the lane is kept from all others meanwhile."""
        return REPLAY_FOR_S - (now_ns - self.intent.sent_ns) / NS_PER_S

    def _fence(self, turn: Turn, verdict: Verdict) -> Flow[None]:
        """Nothing of the order executes any more once this is accepted."""
        fenced = verdict.fenced
        if not fenced:
            try:
                _, answer = yield from turn.fence()
            except SealaneError:  # it is fenced later, or not at all: the order is in doubt either way
                return
            fenced = answer.outcome is Outcome.ACCEPTED
        if fenced:
            self.intent = replace(self.intent, fenced_ns=(yield Now()))
            yield from note_intent(self.intent)


def _overtaken(nonce: int) -> Flow[bool]:
    """Whether a later number was drawn; where that cannot be read, it may have been."""
    try:
        last: int = yield LastNonce()
    except NotDurable:
        return True
    return last > nonce


def note_intent(intent: Intent) -> Flow[None]:
    """Keep what became known. Where that fails the caller still hears it, and it will be found out once more."""
    try:
        yield KeepIntent(intent, False)
    except NotDurable as error:
        yield Tell(events.EndNotNoted(intent.account, intent.method, str(error)))


def ends_of(order: Order, verdict: Verdict) -> Mapping[str, End]:
    """The ends that a verdict other than IN_DOUBT tells, by client order id."""
    ids, changes = order.intent.order_ids, order.intent.changes
    if verdict.outcome is not Outcome.ACCEPTED:
        reason = "Kraken refused it" if verdict.outcome is Outcome.REFUSED else verdict.detail
        return failed(order.intent, reason, ", ".join(verdict.errors) or None)
    if changes:
        return {name: Amended(changes["order"], order.how) for name in ids}
    result = verdict.result if isinstance(verdict.result, Mapping) else {}
    rows = result.get("orders")
    parts = rows if isinstance(rows, list) else [result]
    return {name: end for name, row in zip(ids, parts, strict=False) if (end := _end_of(order, name, row)) is not None}


def _end_of(order: Order, name: str, row: object) -> End | None:
    """One order's end by its part of the answer; None where the answer does not say."""
    part = row if isinstance(row, Mapping) else {}
    described = part.get("descr")
    descr = str(described.get("order", "")) if isinstance(described, Mapping) else str(described or "")
    txid = part.get("txid")
    txid = txid[0] if isinstance(txid, list) and txid else txid
    if isinstance(txid, str) and txid:
        return Placed(txid, name, descr, order.how)
    if part.get("error"):
        return NotPlaced("Kraken refused it", str(part["error"]), name)
    return None


def not_sent(order: Order, error: SealaneError) -> Mapping[str, End]:
    """The ends where there was no room, no turn, no open key or no lane before the deadline."""
    return failed(order.intent, str(error), ", ".join(error.errors) if isinstance(error, Refused) else None)


def failed(intent: Intent, reason: str, kraken_error: str | None = None) -> dict[str, End]:
    """The ends of everything in an intent that has none yet: it was not done, and will not be."""
    missing = [name for name in intent.order_ids if name not in intent.ends]
    if intent.changes:
        return {name: NotAmended(reason, kraken_error) for name in missing}
    return {name: NotPlaced(reason, kraken_error, name) for name in missing}
