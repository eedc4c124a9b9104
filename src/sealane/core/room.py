"""One call's dealings with the counters: room is claimed before its turn, and settled after it.

1. ``take`` waits, outside any turn, until there is room in all of the call's counters, and claims it.
2. ``note`` is told of every request that the turn made, fences and repeats included.
3. ``settle`` gives the claim back and charges what was sent. It runs whatever happened in between.
4. A call waits for room no longer than its caller's patience; a wait that would be longer is not begun.

Without limits (tier off) nothing of this happens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sealane.core import events, rates
from sealane.core.effects import Caller, Flow, Now, Recall, Remember, Revise, Sleep, Tell
from sealane.core.methods import Method
from sealane.core.nonce import NS_PER_S
from sealane.core.rates import Asker, Claim, Rates, Room
from sealane.core.tiers import AMEND, CANCEL, Tier
from sealane.core.transaction import Note, Notes, Transaction, open_orders, opened, placed_names
from sealane.core.verdict import Advice, Outcome, Verdict
from sealane.errors import NotDurable, Refused, Unavailable

LIMITS = (Advice.COUNTER, Advice.PAIR_COUNTER, Advice.THROTTLED)
"""The refusals that a counter explains."""
ORDERS_LIMIT = "orders limit"
PAUSE_S = 0.5
"""The least that a call waits after Kraken contradicted a counter."""
CLAIM_SLACK_S = 60.0
"""A claim is held for its caller's patience, and so long more for the answer."""


@dataclass(slots=True)
class Booking:
    """One call's claim over its attempts. ``refusal`` is Kraken's last word where it contradicted a counter."""

    caller: Caller
    call: Transaction
    refusal: Refused | None = None
    _contradictions: int = 0
    _until_ns: int = 0
    _notes: Notes = field(default_factory=dict)
    _claim: Claim = ()
    _sent: list[tuple[Transaction, Verdict, int]] = field(default_factory=list)

    @property
    def tier(self) -> Tier | None:
        """The limits that are kept."""
        return self.caller.tier

    def _asker(self, tier: Tier) -> Asker:
        return Asker(self.caller.fingerprint, tier, self.caller.patience_s + CLAIM_SLACK_S, self._notes)

    def may_wait(self, verdict: Verdict) -> bool:
        """Whether a refusal is of a limit, so that the call waits for its counter and goes again."""
        return self.tier is not None and verdict.advice in LIMITS

    # --- before the turn ------------------------------------------------------------------------------------------

    def take(self) -> Flow[str]:
        """Wait for room and claim it; returns "", or the pair that is to be looked at because it seems full."""
        if self.tier is None:
            return ""
        if self.call.touches:
            self._notes = yield Recall(self.caller.account, self.call.touches)
        asker = self._asker(self.tier)
        promised: Claim = ()
        try:
            while True:
                room = yield from self._ask(asker, promised)
                promised = room.claim if room.wait_s else ()
                if room.full_pair:
                    return room.full_pair
                if not room.wait_s:
                    self._claim = room.claim
                    return ""
                yield from self.wait(room.wait_s, room.counter)
        finally:
            if promised:
                yield from self._forget(asker, promised)

    def _ask(self, asker: Asker, promised: Claim) -> Flow[Room]:
        now_ns = yield Now()
        self._until_ns = self._until_ns or now_ns + int(self.caller.patience_s * NS_PER_S)

        def change(before: Rates) -> tuple[Rates, Room]:
            return rates.ask(before, asker, self.call, now_ns, promised)

        room: Room = yield Revise(self.caller.account, change)
        return room

    def _forget(self, asker: Asker, promised: Claim) -> Flow[None]:
        now_ns = yield Now()
        rank = self.call.rank
        yield Revise(self.caller.account, lambda before: (rates.forget(before, asker, rank, promised, now_ns), None))

    def contradicted(self, refusal: Refused, detail: str) -> Flow[None]:
        """Kraken refused the call for a limit: pause, twice as long every time."""
        self.refusal, self._contradictions = refusal, self._contradictions + 1
        yield Tell(events.CounterContradicted(self.caller.account, self.call.method, detail))
        yield from self.wait(PAUSE_S * 2 ** (self._contradictions - 1), "")

    def wait(self, wait_s: float, counter: str) -> Flow[None]:
        """Wait so long, or say at once that it is longer than the caller's patience."""
        left_s = (self._until_ns - (yield Now())) / NS_PER_S
        if wait_s > left_s:
            raise self.refusal or Unavailable(
                f"{self.call.method} was not sent: {self._shown(counter)} has no room for it in the next "
                f"{max(0.0, left_s):.0f} s (it would take {wait_s:.0f} s)"
            )
        yield Tell(events.RoomAwaited(self.caller.account, self.call.method, wait_s, counter))
        yield Sleep(wait_s)

    def _shown(self, counter: str) -> str:
        kind, _, name = counter.partition(" ")
        if kind == "pair":
            return f"the trading counter of {name} for {self.caller.account}"
        if kind == "open":
            return f"the list of open orders of {name} for {self.caller.account}"
        return f"the REST counter of the key of {self.caller.account}"

    # --- after the turn -------------------------------------------------------------------------------------------

    def note(self, row: Method, verdict: Verdict, sent_ns: int) -> None:
        """A request was made and judged."""
        done = self.call if row.name == self.call.method else Transaction(row.name)
        self._sent.append((done, verdict, sent_ns))

    def settle(self) -> Flow[None]:
        """Give the claim back, charge what was sent, and heed what Kraken said about its counters."""
        tier, sent, claim = self.tier, self._sent, self._claim
        self._sent, self._claim = [], ()
        if tier is None or not (sent or claim):
            return
        asker, now_ns = self._asker(tier), (yield Now())

        def change(before: Rates) -> tuple[Rates, None]:
            return _settled(before, asker, claim, sent, now_ns), None

        try:
            yield Revise(self.caller.account, change)
            for done, verdict, _ in sent:
                if verdict.outcome is Outcome.ACCEPTED:
                    yield from self._remember(done, verdict, now_ns)
        except NotDurable as error:  # the call's own end matters more; what was claimed counts as sent in the end
            yield Tell(events.EndNotNoted(self.caller.account, self.call.method, str(error)))

    def _remember(self, done: Transaction, verdict: Verdict, now_ns: int) -> Flow[None]:
        found = {}
        for name in placed_names(done, verdict.result):
            known = self._notes.get(name)
            pair = known.pair if done.what == AMEND and known else done.pair
            if pair:
                found[name] = Note(pair, now_ns)
        if found:
            yield Remember(self.caller.account, found)


def _settled(
    before: Rates, asker: Asker, claim: Claim, sent: list[tuple[Transaction, Verdict, int]], now_ns: int
) -> Rates:
    """What one turn's requests leave behind."""
    after = rates.settle(before, asker, claim, (), now_ns)
    for done, verdict, sent_ns in sent:
        if verdict.outcome is Outcome.NOT_SENT:
            continue
        if verdict.advice in LIMITS:
            after = _contradicted(after, asker, done, verdict, now_ns)
            continue
        refused = verdict.outcome is Outcome.REFUSED
        costs = done.fixed_costs(asker.notes, sent_ns) if refused else done.costs(asker.notes, sent_ns)
        after = rates.settle(after, asker, (), rates.costs_of(after, asker, done, costs), now_ns)
        if verdict.outcome is Outcome.ACCEPTED:
            after = _opened(after, done, verdict.result, asker.notes)
    return after


def _contradicted(before: Rates, asker: Asker, done: Transaction, verdict: Verdict, now_ns: int) -> Rates:
    """Kraken refused a request for a limit: the counter that it means is full."""
    if verdict.advice is Advice.THROTTLED:
        named_s = now_ns / NS_PER_S + rates.THROTTLE_S if verdict.until_s is None else verdict.until_s
        return rates.throttled(before, asker, int(named_s * NS_PER_S), now_ns)
    if verdict.advice is Advice.COUNTER:
        return rates.contradicted(before, asker, (rates.rest_counter(asker.fingerprint),), now_ns)
    after = rates.settle(before, asker, (), rates.costs_of(before, asker, done, {}), now_ns)
    if ORDERS_LIMIT in verdict.detail.casefold():
        return rates.with_open(after, {done.pair: asker.tier.open_orders})
    return rates.contradicted(after, asker, rates.pairs_of(after, done.costs(asker.notes, now_ns)), now_ns)


def _opened(before: Rates, done: Transaction, result: object, notes: Notes) -> Rates:
    """What is known of open orders after an accepted call."""
    if done.is_everything:
        return Rates(before.counters, open_orders(result), before.blocked_ns)
    if done.method == "CancelAll":
        return Rates(before.counters, {}, before.blocked_ns)
    if done.what == CANCEL:
        gone: dict[str, int] = {}
        for name in done.touches:
            if name in notes:
                gone[notes[name].pair] = gone.get(notes[name].pair, 0) - 1
        return rates.with_open(before, gone)
    more = opened(done, result)
    return rates.with_open(before, {done.pair: more}) if more else before
