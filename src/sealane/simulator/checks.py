"""The checks that a private call passes before it is carried out, in Kraken's order; each refuses with its own error.

Method and key, signature, lockout and throttling, nonce (the last two the other way round by switch); then second
factor, permission and the REST counter, before or after the nonce is used up as the switches say. That the method's
name comes first is chosen.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sealane.simulator import auth
from sealane.simulator.accounts import Account
from sealane.simulator.facts import INVALID_KEY, INVALID_NONCE, UNKNOWN_METHOD, Refused, Switches
from sealane.simulator.http import Request
from sealane.simulator.journal import Ticket
from sealane.simulator.limits import Limits
from sealane.simulator.methods import PRIVATE, Method


@dataclass(slots=True)
class Call:
    """One private call on its way through the checks. `account` is None for a missing or unknown key."""

    request: Request
    name: str
    fields: dict[str, Any]
    account: Account | None
    ticket: Ticket


@dataclass(frozen=True)
class Passed:
    """A call that passed every check: whose it is, what runs, and the key's highest nonce before it."""

    account: Account
    method: Method
    previous_nonce: int


def check(call: Call, limits: Limits, now_ns: int) -> Passed:
    """Refuse the call, or use up its nonce and charge its key."""
    account, method, switches = call.account, PRIVATE.get(call.name), limits.switches
    if method is None or call.request.method != "POST":
        raise Refused(UNKNOWN_METHOD)
    if account is None:
        raise Refused(INVALID_KEY)
    text = _check_signature(call, account, limits, now_ns)
    enter = partial(limits.enter, account.name, call.ticket.entry.in_flight_at_arrival, now_ns)
    _take([enter] * switches.lockout_before_nonce)
    nonce, before = _check_nonce(call, account, text, limits, now_ns), account.highest_nonce
    _take([enter] * (not switches.lockout_before_nonce))
    steps: tuple[tuple[bool, Callable[[], None]], ...] = (
        (switches.otp_refusal_consumes_nonce, partial(auth.check_otp, account, call.fields, switches)),
        (switches.permission_refusal_consumes_nonce, partial(auth.check_permission, account, method)),
        (switches.rate_refusal_consumes_nonce, partial(limits.charge_call, account.name, call.name, now_ns)),
    )
    _take([step for consumes, step in steps if not consumes])
    _use_up(call, account, nonce, now_ns)
    _take([step for consumes, step in steps if consumes])
    return Passed(account, method, before)


def _take(steps: list[Callable[[], None]]) -> None:
    for step in steps:
        step()


def _check_signature(call: Call, account: Account, limits: Limits, now_ns: int) -> str:
    """The nonce as text, once the signature is right."""
    text, request = auth.nonce_text(call.fields), call.request
    try:
        auth.check_signature(account, request.path, text, request.body, request.header(b"api-sign"))
    except Refused:
        limits.charge_unchecked(account.name, call.name, now_ns)
        if limits.switches.bad_signature_consumes_nonce:
            _use_up_quietly(call, account, text, limits.switches, now_ns)
        raise
    return text


def _check_nonce(call: Call, account: Account, text: str, limits: Limits, now_ns: int) -> int:
    try:
        nonce = auth.read_nonce(text)
        auth.check_nonce(account, nonce, limits.switches)
    except Refused as refused:
        limits.charge_unchecked(account.name, call.name, now_ns)
        if refused.error == INVALID_NONCE:
            limits.strike_nonce(account.name, now_ns)
        raise
    return nonce


def _use_up_quietly(call: Call, account: Account, text: str, switches: Switches, now_ns: int) -> None:
    with contextlib.suppress(Refused):
        nonce = auth.read_nonce(text)
        auth.check_nonce(account, nonce, switches)
        _use_up(call, account, nonce, now_ns)


def _use_up(call: Call, account: Account, nonce: int, now_ns: int) -> None:
    auth.accept_nonce(account, nonce)
    account.last_used_ns = now_ns
    call.ticket.accept(nonce)
