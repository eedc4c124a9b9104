"""The exchange: one call from its arrival to its answer.

A private call is numbered in the journal, may meet a fault, passes the checks (key, signature, nonce, second factor,
permission) and is carried out, all in one go under one lock. Only then the answer waits out the latency. So the order
of arrival is the order in which nonces are judged, and two calls of one key in flight do overlap, as on the real way.
"""

import contextlib
import json
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sealane.simulator import auth
from sealane.simulator.accounts import Account, SimAccount, open_account
from sealane.simulator.clock import Clock
from sealane.simulator.context import Context
from sealane.simulator.facts import (
    INVALID_KEY,
    INVALID_NONCE,
    PRIVATE_METHODS,
    UNKNOWN_METHOD,
    Refused,
    Switches,
)
from sealane.simulator.faults import Fault, FaultRules
from sealane.simulator.http import HTML, TEXT, Answer, Delivery, Later, Request, unheard
from sealane.simulator.journal import Journal, Ticket
from sealane.simulator.market import Market
from sealane.simulator.methods import PRIVATE
from sealane.simulator.params import Params, parse_body, parse_query
from sealane.simulator.public import PUBLIC
from sealane.simulator.venue import Venue

HTML_PAGE = "<!DOCTYPE html>\n<html><head><title>{0} Bad gateway</title></head><body><h1>{0}</h1></body></html>\n"


@dataclass(slots=True)
class Call:
    """One private call on its way through the checks. `account` is None for a missing or unknown key."""

    request: Request
    name: str
    fields: dict[str, Any]
    account: Account | None
    ticket: Ticket


class Exchange:
    """Accounts, market, fault rules and journal, behind one lock.

    `accounts` are the keys it knows, `latency_ms` is the time between carrying out and answering, `volatility` the
    typical relative change of a price in one second (0: prices stand still). Safe to use from any thread; the
    server's loop uses it the same way.
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
    ) -> None:
        self.lock = threading.RLock()
        self.public_accounts = accounts
        self.seed, self.latency_s = seed, latency_ms / 1000
        self.switches, self.clock = switches or Switches(), clock or Clock()
        self.volatility = volatility
        self.faults = FaultRules(seed, PRIVATE_METHODS | PUBLIC.keys(), [account.name for account in accounts])
        self.journal = Journal()
        self.reset()

    def reset(self) -> None:
        """Orders, balances, prices, nonces, settings, faults and journal as at the start; keys stay."""
        with self.lock:
            now_ns = self.clock.now_ns()
            opened = [open_account(account, index, now_ns) for index, account in enumerate(self.public_accounts)]
            self.accounts = {account.name: account for account in opened}
            self._by_key = {account.public.api_key: account for account in opened}
            self._ids = random.Random(f"ids {self.seed}")
            self.market = Market(self.seed, volatility=self.volatility, start_ns=now_ns)
            self.venue = Venue(self.market, self.accounts, self._ids)
            self._answers = 0
            self.faults.reset()
            self.journal.clear()

    def advance(self) -> int:
        """Let orders and prices come up to the present; gives its time. To be called before anything is looked at."""
        with self.lock:
            now_ns = self.clock.now_ns()
            self.venue.advance(now_ns)
            return now_ns

    # --- the two faces ---

    def public(self, request: Request, name: str) -> Answer | Later:
        """A public call, `GET /0/public/<name>`. Public calls are not in the journal."""
        with self.lock:
            run = partial(self._carry_out_public, request, name)
            fault = self.faults.pick(name, None, private=False)
            if fault is None:
                return self._dress(Answer(run(None)))
            if fault.kind == "delay":
                return Later(fault.delay_s, lambda: self._dress(Answer(run(None))))
            return self._dress(_damaged(fault, run(fault.error) if fault.applied or fault.error else b""))

    def private(self, request: Request, name: str) -> Answer | Later:
        """A private call, `POST /0/private/<name>`."""
        with self.lock:
            call = self._arrive(request, name)
            ended = partial(self._ended, call.ticket)
            fault = self.faults.pick(name, call.account.name if call.account else None, private=True)
            if fault is None:
                return self._dress(Answer(self._carry_out(call)), ended)
            call.ticket.entry.fault = fault.kind
            if fault.kind == "delay":
                return Later(fault.delay_s, partial(self._carry_out_late, call), ended)
            return self._dress(_damaged(fault, self._carry_out_faulty(call, fault)), ended)

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

    def _carry_out_late(self, call: Call) -> Answer:
        with self.lock:
            return self._dress(Answer(self._carry_out(call)), partial(self._ended, call.ticket))

    def _carry_out_faulty(self, call: Call, fault: Fault) -> bytes:
        """Do as much of the call as the fault lets through; the answer's body, empty when the call was not seen."""
        if fault.kind == "error":
            return self._carry_out(call, instead=fault.error, unchecked=not fault.consume_nonce)
        if fault.applied:
            return self._carry_out(call)
        call.ticket.drop()
        return b""

    def _carry_out(self, call: Call, *, instead: str | None = None, unchecked: bool = False) -> bytes:
        """Check and run a call; `instead` is an error that takes the place of running it, `unchecked` of both."""
        try:
            if unchecked and instead is not None:
                raise Refused(instead)
            context = self._check(call)
            if instead is not None:
                raise Refused(instead)
            return _envelope(PRIVATE[call.name].run(context, Params(call.fields)))
        except Refused as refused:
            call.ticket.refuse(refused.error, nonce_refused=refused.error == INVALID_NONCE)
            return _error(refused.error)

    def _check(self, call: Call) -> Context:
        """Every check in Kraken's order; that the method's name comes first is chosen. Uses up the nonce."""
        account, method = call.account, PRIVATE.get(call.name)
        if method is None or call.request.method != "POST":
            raise Refused(UNKNOWN_METHOD)
        if account is None:
            raise Refused(INVALID_KEY)
        nonce, before = self._check_signature(call, account), account.highest_nonce
        auth.check_nonce(account, nonce, self.switches)
        if not self.switches.otp_refusal_consumes_nonce:
            auth.check_otp(account, call.fields, self.switches)
        if not self.switches.permission_refusal_consumes_nonce:
            auth.check_permission(account, method)
        self._use_up(call, account, nonce)
        auth.check_otp(account, call.fields, self.switches)
        auth.check_permission(account, method)
        return Context(account, self.market, self.switches, self.advance(), self._ids, before, self.venue)

    def _check_signature(self, call: Call, account: Account) -> int:
        text, request = auth.nonce_text(call.fields), call.request
        try:
            auth.check_signature(account, request.path, text, request.body, request.header(b"api-sign"))
        except Refused:
            if self.switches.bad_signature_consumes_nonce:
                self._use_up_quietly(call, account, text)
            raise
        return auth.read_nonce(text)

    def _use_up_quietly(self, call: Call, account: Account, text: str) -> None:
        with contextlib.suppress(Refused):
            nonce = auth.read_nonce(text)
            auth.check_nonce(account, nonce, self.switches)
            self._use_up(call, account, nonce)

    def _use_up(self, call: Call, account: Account, nonce: int) -> None:
        auth.accept_nonce(account, nonce)
        account.last_used_ns = self.clock.now_ns()
        call.ticket.accept(nonce)

    def _carry_out_public(self, request: Request, name: str, instead: str | None) -> bytes:
        try:
            method = PUBLIC.get(name)
            if method is None or request.method != "GET":
                raise Refused(UNKNOWN_METHOD)
            if instead:
                raise Refused(instead)
            return _envelope(method(self.market, self.advance(), Params(parse_query(request.query))))
        except Refused as refused:
            return _error(refused.error)


def _envelope(result: dict[str, Any] | None) -> bytes:
    document = {"error": []} if result is None else {"error": [], "result": result}
    return json.dumps(document, separators=(",", ":")).encode()


def _error(error: str) -> bytes:
    return json.dumps({"error": [error]}, separators=(",", ":")).encode()


def _damaged(fault: Fault, body: bytes) -> Answer:
    """The answer as the fault leaves it; `body` is what would have been sent."""
    if fault.kind in ("drop_before", "drop_after"):
        return Answer(delivery=Delivery.DROP)
    if fault.kind in ("http_before", "http_after"):
        return Answer(fault.body.encode(), fault.status, TEXT)
    if fault.kind == "html":
        return Answer(HTML_PAGE.format(fault.status).encode(), fault.status, HTML)
    if fault.kind == "hang":
        return Answer(delivery=Delivery.HANG, wait_s=fault.hang_s)
    return Answer(body, delivery=Delivery.HALF if fault.kind == "half" else Delivery.WHOLE)
