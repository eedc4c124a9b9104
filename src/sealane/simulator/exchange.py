"""The exchange: one call from its arrival to its answer.

A private call is numbered in the journal, may meet a fault, passes the checks (`checks.py`), the state of the system
and the counters, and is carried out, all in one go under one lock. Only then the answer waits out the latency. So the
order of arrival is the order in which nonces are judged, and two calls of one key in flight do overlap, as on the
real way. What is due by the exchange's clock (calls that come late, orders that end by their time, prices that move)
is done before anything else is looked at, in the order of its times.

It needs no socket: `private(request, name)` and `public(request, name)` give the `Answer`, or a `Later` that is
answered when the clock gets there (`pass_time`). `sealane.simulator.probe.Direct` is a client for that.
"""

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sealane.simulator import audit, auth
from sealane.simulator.accounts import Account, SimAccount, open_account
from sealane.simulator.checks import Call, check
from sealane.simulator.clock import NS_PER_S, Clock, Timetable
from sealane.simulator.context import Context
from sealane.simulator.facts import INVALID_NONCE, PRIVATE_METHODS, UNKNOWN_METHOD, Refused, Switches
from sealane.simulator.faults import Fault, FaultRules, FaultState
from sealane.simulator.http import Answer, Delivery, Later, Request, unheard
from sealane.simulator.journal import Journal, Ticket
from sealane.simulator.limits import TIERS, Limits
from sealane.simulator.market import Market
from sealane.simulator.methods import Result
from sealane.simulator.mishaps import damaged
from sealane.simulator.orders import Order
from sealane.simulator.params import Params, parse_body, parse_query
from sealane.simulator.public import PUBLIC
from sealane.simulator.switching import are_right
from sealane.simulator.system import SystemState
from sealane.simulator.touches import touches
from sealane.simulator.venue import Venue

NOTES_KEPT = 10_000  # after so many the audit follows them, so that a long run stays within memory


@dataclass
class State:
    """Everything that a run changes and a snapshot keeps; the journal is not among it."""

    accounts: dict[str, Account]
    market: Market
    venue: Venue
    ids: random.Random
    answers: int
    limits: Limits
    replay: audit.Replay
    system: SystemState
    faults: FaultState
    frozen_ns: int | None
    ahead_ns: int

    def is_whole(self) -> bool:
        """Whether every part is what it should be: it may come from a file that somebody has edited."""
        accounts = isinstance(self.accounts, dict) and all(isinstance(a, Account) for a in self.accounts.values())
        whole = (self.market, self.venue, self.ids, self.limits, self.replay, self.system, self.faults)
        parts = (*whole, self.answers, self.ahead_ns)
        kinds = (Market, Venue, random.Random, Limits, audit.Replay, SystemState, FaultState, int, int)
        right = all(isinstance(part, kind) for part, kind in zip(parts, kinds, strict=True))
        return accounts and right and isinstance(self.frozen_ns, int | None) and are_right(self.limits.switches)


class Exchange:
    """Accounts, market, limits, fault rules and journal, behind one lock.

    `accounts` are the keys it knows, `latency_ms` is the time between carrying out and answering, `tier` is every
    account's at the start, `volatility` the typical relative change of a price in one second (0: prices stand still).
    Safe to use from any thread; the server's loop uses it the same way.
    """

    def __init__(
        self,
        accounts: tuple[SimAccount, ...],
        *,
        seed: int = 0,
        latency_ms: float = 0.0,
        volatility: float = 0.0,
        switches: Switches | None = None,
        clock: Clock | None = None,
        tier: str = "off",
    ) -> None:
        if tier not in TIERS:
            raise ValueError(f"tier must be one of {', '.join(TIERS)}")
        self.lock = threading.RLock()
        self.public_accounts, self.tier = accounts, tier
        self.seed, self.latency_s = seed, latency_ms / 1000
        self.switches, self.clock = switches or Switches(), clock or Clock()
        self._first_switches = self.switches
        self.volatility = volatility
        self.timetable = Timetable(self.clock)
        self.journal = Journal()
        self.faults = self._rules()
        self.reset()

    def _rules(self) -> FaultRules:
        names = [account.name for account in self.public_accounts]
        return FaultRules(self.seed, PRIVATE_METHODS | PUBLIC.keys(), names, self.pair_name)

    def reset(self) -> None:
        """Orders, balances, prices, nonces, settings, switches, limits, state, faults and journal as at the start;
        keys and the clock stay. Calls that were still to come are dropped.
        """
        with self.lock:
            now_ns = self.clock.now_ns()
            self.timetable.clear()
            opened = [open_account(account, index, now_ns) for index, account in enumerate(self.public_accounts)]
            self._take_accounts({account.name: account for account in opened})
            self._ids = random.Random(f"ids {self.seed}")
            self.market = Market(self.seed, volatility=self.volatility, start_ns=now_ns)
            self.venue = Venue(self.market, self.accounts, self._ids)
            self._answers = 0
            self.switches = self._first_switches
            self.limits, self.replay, self.system = Limits(self.switches), audit.Replay(), SystemState()
            for name in self.accounts:
                self.limits.set_tier(name, self.tier, now_ns)
            self.faults.reset()
            self.journal.clear()

    def _take_accounts(self, accounts: dict[str, Account]) -> None:
        self.accounts = accounts
        self._by_key = {account.public.api_key: account for account in accounts.values()}

    def pair_name(self, spelling: str) -> str | None:
        """A pair's internal name for any spelling of it; None when it is not here."""
        with suppress(Refused):
            return self.market.pair(spelling).name
        return None

    # --- state and time ---

    def state(self) -> State:
        """What a snapshot keeps. The parts are the live ones: to be written down under the lock."""
        audit.wrong_counters(self.limits, self.replay, self.clock.now_ns())
        return State(
            self.accounts, self.market, self.venue, self._ids, self._answers, self.limits, self.replay, self.system,
            self.faults.state, self.clock.frozen_ns, self.clock.ahead_ns,
        )  # fmt: skip

    def restore(self, state: State) -> None:
        """Go on from a state, with its keys, clock and switches; the journal starts anew, late calls are dropped."""
        with self.lock:
            self.timetable.clear()
            self.public_accounts = tuple(account.public for account in state.accounts.values())
            self._take_accounts(state.accounts)
            self.market, self.venue, self._ids, self._answers = state.market, state.venue, state.ids, state.answers
            self.volatility = state.market.volatility
            self.limits, self.replay, self.system = state.limits, state.replay, state.system
            self.switches = state.limits.switches
            self.faults = self._rules()
            self.faults.state = state.faults
            self.clock.frozen_ns, self.clock.ahead_ns = state.frozen_ns, state.ahead_ns
            self.journal.clear()
            self.timetable.changed()

    def set_switches(self, switches: Switches) -> None:
        """Go by other switches from now on; what was charged so far is judged by the old ones."""
        with self.lock:
            audit.wrong_counters(self.limits, self.replay, self.clock.now_ns())
            self.switches = self.limits.switches = switches

    def settle(self) -> None:
        """Let happen what is due by now, in the order of time: calls that come late, and at the time of each and at
        last now, what prices and orders do by themselves.
        """
        with self.lock, self.clock.moment(self.clock.now_ns()):
            self.timetable.run()
            self._move_market()

    def _move_market(self) -> int:
        """Let prices and orders come up to the present, and nothing else; gives its time."""
        now_ns = self.clock.now_ns()
        self.venue.advance(now_ns)
        return now_ns

    @contextmanager
    def _moment(self) -> Iterator[None]:
        """Nobody else comes in, no time passes, and all that was due has happened."""
        with self.lock, self.clock.moment(self.clock.now_ns()):
            self.settle()
            yield

    def pass_time(self, seconds: float) -> None:
        """Move the clock forward, and do on the way what is due. ValueError for a step back."""
        if seconds < 0:
            raise ValueError("advance_s: time only passes forward; give 0 or more")
        with self.lock:
            self.timetable.advance(round(seconds * NS_PER_S))
            self.settle()

    def summary(self) -> dict[str, Any]:
        """The journal's figures, and what the limits add: `counters_right` and every account's `limits`."""
        now_ns = self.clock.now_ns()
        wrong = audit.wrong_counters(self.limits, self.replay, now_ns)
        shown = {name: self.limits.document(name, now_ns) for name in self.accounts}
        return self.journal.summary() | {"counters_right": not wrong, "limits": shown}

    # --- the two faces ---

    def public(self, request: Request, name: str) -> Answer | Later:
        """A public call, `GET /0/public/<name>`. Public calls are not in the journal."""
        with self._moment():
            run = partial(self._carry_out_public, request, name)
            fault = self.faults.pick(name, None, private=False, now_ns=self.clock.now_ns())
            if fault is None:
                return self._dress(Answer(run(None)))
            if fault.kind == "delay":
                return self._later(fault.wait_s, lambda: self._dress(Answer(run(None))), unheard)
            return self._dress(damaged(fault, run(fault.error) if fault.applied or fault.error else b""))

    def private(self, request: Request, name: str) -> Answer | Later:
        """A private call, `POST /0/private/<name>`."""
        with self._moment():
            call = self._arrive(request, name)
            ended = partial(self._ended, call.ticket)
            fault = self._pick(call)
            if fault is None:
                return self._dress(Answer(self._carry_out(call)), ended)
            call.ticket.entry.fault = fault.kind
            if fault.kind == "delay":
                return self._later(fault.wait_s, lambda: self._dress(Answer(self._carry_out(call)), ended), ended)
            if fault.kind == "late":
                call.ticket.unseen = True
                due_ns = self.clock.now_ns() + int(fault.wait_s * NS_PER_S)
                self.timetable.add(due_ns, partial(self._carry_out_unseen, call))
                return self._dress(damaged(fault, b""), ended)
            return self._dress(damaged(fault, self._carry_out_faulty(call, fault)), ended)

    def _later(self, wait_s: float, then: Callable[[], Answer], ended: Callable[[bool], None]) -> Later:
        """The call is looked at when the exchange's clock is `wait_s` further."""
        later = Later(ended)
        due_ns = self.clock.now_ns() + int(wait_s * NS_PER_S)
        dropped = Answer(delivery=Delivery.DROP, ended=ended)
        self.timetable.add(due_ns, lambda: later.answered(then()), lambda: later.answered(dropped))
        return later

    def _pick(self, call: Call) -> Fault | None:
        spelling, account = call.fields.get("pair"), call.account
        pair = self.pair_name(spelling) if isinstance(spelling, str) else None
        name = account.name if account else None
        return self.faults.pick(call.name, name, private=True, pair=pair, now_ns=self.clock.now_ns())

    def _dress(self, answer: Answer, ended: Callable[[bool], None] = unheard) -> Answer:
        """Add what every answer has: the latency, the trace id, and who wants to know when it is over."""
        self._answers += 1
        trace = f"{self.seed & 0xFFFFFFFF:08x}{self._answers:024x}".encode()
        wait_s = answer.wait_s or self.latency_s
        return replace(answer, wait_s=wait_s, headers=((b"x-trace-id", trace),), ended=ended)

    def _arrive(self, request: Request, name: str) -> Call:
        fields = parse_body(request.body, request.header(b"content-type"))
        account = self._by_key.get(request.header(b"api-key"))
        ticket = self.journal.arrive(
            account.name if account else None, name, auth.nonce_text(fields), self.clock.now_ns()
        )
        return Call(request, name, fields, account, ticket)

    def _ended(self, ticket: Ticket, answered: bool) -> None:
        with self.lock:
            ticket.end(self.clock.now_ns() if answered else None)

    # --- carrying out ---

    def _carry_out_unseen(self, call: Call) -> None:
        self._carry_out(call)

    def _carry_out_faulty(self, call: Call, fault: Fault) -> bytes:
        """Do as much of the call as the fault lets through; the answer's body, empty when the call was not seen."""
        if fault.kind == "error":
            return self._carry_out(call, instead=fault.error, unchecked=not fault.consume_nonce)
        if fault.kind == "hidden":
            return self._carry_out_hidden(call, fault.wait_s)
        if fault.applied:
            return self._carry_out(call, warning=fault.warning if fault.kind == "warning" else None)
        call.ticket.drop()
        return b""

    def _carry_out_hidden(self, call: Call, hidden_s: float) -> bytes:
        """Carry the call out, and keep the orders that it made from look-ups for a while."""
        before = set(_orders(call.account))
        body = self._carry_out(call)
        visible_ns = self.clock.now_ns() + int(hidden_s * NS_PER_S)
        for txid, order in _orders(call.account).items():
            if txid not in before:
                order.visible_ns = visible_ns
        return body

    def _carry_out(
        self, call: Call, *, instead: str | None = None, unchecked: bool = False, warning: str | None = None
    ) -> bytes:
        """Check and run a call; `instead` is an error that takes the place of running it, `unchecked` of both."""
        try:
            if unchecked and instead is not None:
                raise Refused(instead)
            return _envelope(self._run(call, instead), warning)
        except Refused as refused:
            call.ticket.refuse(refused.error, nonce_refused=refused.error == INVALID_NONCE)
            return _error(refused.error)

    def _run(self, call: Call, instead: str | None) -> Result:
        now_ns = self._move_market()
        if len(self.limits.notes) > NOTES_KEPT:
            audit.wrong_counters(self.limits, self.replay, now_ns)
        passed = check(call, self.limits, now_ns)
        if instead is not None:
            raise Refused(instead)
        account, params = passed.account, Params(call.fields)
        context = Context(account, self.market, self.switches, now_ns, self._ids, passed.previous_nonce, self.venue)
        touched = touches(call.name, context, params)
        self.system.check(call.name, context, params, touched)
        if self.switches.validate_counts or not params.flag("validate"):
            self.limits.charge_touches(account.name, touched, account.open_in, now_ns)
        return passed.method.run(context, params)

    def _carry_out_public(self, request: Request, name: str, instead: str | None) -> bytes:
        try:
            method = PUBLIC.get(name)
            if method is None or request.method != "GET":
                raise Refused(UNKNOWN_METHOD)
            if instead:
                raise Refused(instead)
            result = method(self.market, self._move_market(), Params(parse_query(request.query)))
            return _envelope(self.system.stamp(name, result))
        except Refused as refused:
            return _error(refused.error)


def _orders(account: Account | None) -> dict[str, Order]:
    return {} if account is None else account.open | account.closed


def _envelope(result: Result, warning: str | None = None) -> bytes:
    document: dict[str, Any] = {"error": [] if warning is None else [warning]}
    if result is not None:
        document["result"] = result
    return json.dumps(document, separators=(",", ":")).encode()


def _error(error: str) -> bytes:
    return json.dumps({"error": [error]}, separators=(",", ":")).encode()
