"""One call's dealings with the counters: room is claimed before its turn, and settled after it.

1. ``take`` waits, outside any turn, until there is room in all of the call's counters, and claims it. Where a pair
   seems full, one caller looks at its open orders, and the others wait for what it finds.
2. ``note`` is told of every request that the turn made, fences and repeats included.
3. ``settle`` gives the claim back and charges what was sent. It runs whatever happened in between.
4. A claim that Kraken contradicted before its turn came (``is_outdated``) is given back, and room is taken anew.
5. A call waits for room no longer than its caller's patience; a wait that would be longer is not begun.

Without limits (tier off) nothing of this happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sealane.core import events, rates
from sealane.core.counter import CLAIMED
from sealane.core.effects import Caller, Flow, LoadKey, LoadRates, Now, Recall, Remember, Revise, Sleep, Tell
from sealane.core.methods import Method, method_named
from sealane.core.nonce import NS_PER_S
from sealane.core.rates import OPEN, THROTTLE, Asker, Claim, Rates, Room
from sealane.core.tiers import ADD, CANCEL, Tier
from sealane.core.transaction import Notes, Transaction, cancelled, notes_after, open_orders, opened
from sealane.core.verdict import Advice, Outcome, Verdict
from sealane.errors import NotDurable, Refused, Unavailable

LIMITS = (Advice.COUNTER, Advice.PAIR_COUNTER, Advice.THROTTLED)
"""The refusals that a counter explains."""
ORDERS_LIMIT = "orders limit"
PAUSE_S = 0.5
"""The least that a call waits after Kraken contradicted a counter."""
CLAIM_SLACK_S = 60.0
"""A claim is held for its caller's patience, and so long more for the answer."""

NOTHING = Claim()
Sent = list[tuple[Transaction, Verdict, int]]
"""The requests of a turn: what each meant, what came of it, and when it was sent."""


@dataclass(slots=True)
class Booking:
    """One call's claim over its attempts.

    ``refusal`` is Kraken's last word where it contradicted a counter. ``asks_window``: an order, before which the key's
    nonce window is asked for where nobody knows it.
    """

    caller: Caller
    call: Transaction
    asks_window: bool = False
    refusal: Refused | None = None
    _contradictions: int = 0
    _until_ns: int = 0
    _notes: Notes = field(default_factory=dict)
    _fences: int = 0
    _claim: Claim = NOTHING
    _sent: Sent = field(default_factory=list)

    @property
    def tier(self) -> Tier | None:
        """The limits that are kept."""
        return self.caller.tier

    def _asker(self, tier: Tier) -> Asker:
        claim_s = self.caller.patience_s + CLAIM_SLACK_S
        return Asker(self.caller.fingerprint, tier, claim_s, self._notes, self._fences)

    def _revise(self, change: Callable[[Rates, int], Rates]) -> Flow[None]:
        yield Revise(self.caller.account, lambda before, now_ns: (change(before, now_ns), None))

    def may_wait(self, verdict: Verdict) -> bool:
        """Whether a refusal is of a limit, so that the call waits for its counter and goes again."""
        return self.tier is not None and verdict.advice in LIMITS

    # --- before the turn ------------------------------------------------------------------------------------------

    def take(self) -> Flow[str]:
        """Wait for room and claim it; returns "", or the pair whose open orders this caller is to look at."""
        if self.tier is None:
            return ""
        yield from self._inform()
        asker, rank = self._asker(self.tier), self.call.rank
        promised = Claim()
        try:
            while True:
                room = yield from self._ask(asker, promised)
                promised = room.claim if room.wait_s else Claim()
                if room.look:
                    return room.counter.removeprefix(OPEN)
                if not room.wait_s:
                    self._claim = room.claim
                    return ""
                yield from self.wait(room.wait_s, room.counter)
        finally:
            if promised.costs:
                gone = promised
                yield from self._revise(lambda before, now_ns: rates.forget(before, asker, rank, gone, now_ns))

    def _inform(self) -> Flow[None]:
        """What decides the call's cost: the orders it touches, and the harmless calls that will go before it."""
        if self.call.recalls:
            self._notes = yield Recall(self.caller.account, self.call.recalls)
        if method_named(self.call.method).write:
            key = yield LoadKey(self.caller.fingerprint)
            asks = self.asks_window and not key.window_is_known((yield Now()))
            self._fences = int(key.fence_due or asks)
        now_ns = yield Now()
        self._until_ns = self._until_ns or now_ns + int(self.caller.patience_s * NS_PER_S)

    def _ask(self, asker: Asker, promised: Claim) -> Flow[Room]:
        def change(before: Rates, now_ns: int) -> tuple[Rates, Room]:
            return rates.ask(before, asker, self.call, now_ns, promised)

        room: Room = yield Revise(self.caller.account, change)
        return room

    def is_outdated(self) -> Flow[bool]:
        """Turn held: whether Kraken contradicted the claim while it waited for its turn."""
        if self.tier is None:
            return False
        known: Rates = yield LoadRates(self.caller.account)
        return rates.is_outdated(known, self._asker(self.tier), self._claim, (yield Now()))

    def left_s(self) -> Flow[float]:
        """What is left of the caller's patience."""
        now_ns: int = yield Now()
        return max(0.0, (self._until_ns - now_ns) / NS_PER_S)

    def contradicted(self, refusal: Refused, detail: str) -> Flow[None]:
        """Kraken refused the call for a limit: pause, twice as long every time."""
        self.refusal, self._contradictions = refusal, self._contradictions + 1
        yield Tell(events.CounterContradicted(self.caller.account, self.call.method, detail))
        yield from self.wait(PAUSE_S * 2 ** (self._contradictions - 1), "")

    def wait(self, wait_s: float, counter: str) -> Flow[None]:
        """Wait so long, or say at once that it is longer than the caller's patience."""
        left_s = yield from self.left_s()
        if wait_s > left_s:
            raise self.refusal or Unavailable(
                f"{self.call.method} was not sent: {self._shown(counter)} for {wait_s:.0f} s, longer than this call "
                "may still wait. Send less, or give it more time (turn_wait_s); SEALANE_TIER is "
                f"{self.tier.name if self.tier else 'off'}"
            )
        yield Tell(events.RoomAwaited(self.caller.account, self.call.method, wait_s, counter))
        yield Sleep(wait_s)

    def _shown(self, counter: str) -> str:
        kind, _, name = counter.partition(" ")
        account = self.caller.account
        if counter == THROTTLE:
            return f"Kraken takes nothing more of the key of {account}"
        if kind == "pair":
            return f"the trading counter of {name} for {account} has no room"
        if kind == OPEN.strip():
            return f"{account} has as many open orders of {name} as its tier allows, looked at again"
        return f"the REST counter of the key of {account} has no room"

    # --- after the turn -------------------------------------------------------------------------------------------

    def note(self, row: Method, verdict: Verdict, sent_ns: int) -> None:
        """A request was made and judged."""
        done = self.call if row.name == self.call.method else Transaction(row.name)
        self._sent.append((done, verdict, sent_ns))

    def settle(self) -> Flow[None]:
        """Give the claim back, charge what was sent, and heed what Kraken said about its counters."""
        tier, sent, claim = self.tier, self._sent, self._claim
        self._sent, self._claim = [], Claim()
        if tier is None or not (sent or claim.costs):
            return
        asker = self._asker(tier)
        try:
            yield from self._revise(lambda before, now_ns: _settled(before, asker, claim, sent, now_ns))
            for done, verdict, _ in sent:
                if verdict.outcome is Outcome.ACCEPTED and done.what:
                    texts = notes_after(done, verdict.result, self._notes, (yield Now()))
                    yield Remember(self.caller.account, texts)
        except NotDurable as error:  # the call's own end matters more; what was claimed counts as sent in the end
            yield Tell(events.EndNotNoted(self.caller.account, self.call.method, str(error)))

    def open_orders_unknown(self) -> Flow[None]:
        """Nobody may look at the open orders with this key: Kraken is left to judge."""
        pair = self.call.pair
        yield from self._revise(lambda before, _: rates.with_open(before, {pair: -before.open.get(pair, 0)}))


def _settled(before: Rates, asker: Asker, claim: Claim, sent: Sent, now_ns: int) -> Rates:
    """What one turn's requests leave behind."""
    after = rates.forget(before, asker, CLAIMED, claim, now_ns)
    for done, verdict, sent_ns in sent:
        if verdict.outcome is Outcome.NOT_SENT:
            continue
        if verdict.advice in LIMITS:
            after = _contradicted(after, asker, done, verdict, claim.at_ns, now_ns)
            continue
        count = cancelled(verdict.result) if done.what == CANCEL else 0
        refused = verdict.outcome is Outcome.REFUSED
        costs = done.fixed_costs(asker.notes, sent_ns) if refused else done.costs(asker.notes, sent_ns, count)
        after = rates.charge(after, asker, rates.costs_of(after, asker, done, costs), now_ns)
        if verdict.outcome is Outcome.ACCEPTED:
            after = _opened(after, done, verdict.result, asker.notes)
    return after


def _contradicted(  # noqa: PLR0917 - what is known of one refusal
    before: Rates, asker: Asker, done: Transaction, verdict: Verdict, claimed_ns: int, now_ns: int
) -> Rates:
    """Kraken refused a request for a limit: the counter that it means is full."""
    if verdict.advice is Advice.THROTTLED:
        named_s = now_ns / NS_PER_S + rates.THROTTLE_S if verdict.until_s is None else verdict.until_s
        return rates.throttled(before, asker, int(named_s * NS_PER_S), now_ns)
    if verdict.advice is Advice.COUNTER:
        return rates.contradicted(before, asker, (rates.rest_counter(asker.fingerprint),), claimed_ns, now_ns)
    after = rates.charge(before, asker, rates.costs_of(before, asker, done, {}), now_ns)
    if ORDERS_LIMIT in verdict.detail.casefold() and done.what == ADD:
        return rates.with_open(after, {done.pair: asker.tier.open_orders})
    names = rates.pairs_of(after, done.costs(asker.notes, now_ns))
    return rates.contradicted(after, asker, names, claimed_ns, now_ns)


def _opened(before: Rates, done: Transaction, result: object, notes: Notes) -> Rates:
    """What is known of open orders after an accepted call."""
    if done.is_everything:
        return replace(before, open=open_orders(result))
    if done.method == "CancelAll":
        return replace(before, open={})
    return rates.with_open(before, opened(done, result, notes))
