"""One private call of a program, from the bytes that came in to the answer: the order of its checks is here.

1. Key, signature, nonce: in Kraken's order, and with its errors. Of a call whose key is not known the body is not read,
   and a signature is checked all the same: what it costs, and what is kept of it, does not grow with what it says.
2. What the key may do. What is denied is never sent.
3. Room: too many calls at once are told so at once.
4. The decision is written down before an order leaves or what moves funds, and every call's end after; an order that
   cannot be written down is refused. A call that breaks off is counted and written down like any.
5. The call takes its turn on its account's lane. Just before a write leaves, its key is looked at again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sealane.client.forwarder import TIMING, Forwarder
from sealane.core.methods import HARMLESS
from sealane.core.nonce import NS_PER_S
from sealane.core.secret import Secret
from sealane.errors import NotDurable, SealaneError
from sealane.gateway.api import envelope
from sealane.gateway.api.cancels import Cancels, insist
from sealane.gateway.api.envelope import RATE_LIMIT, Answer, of_error, of_verdict, refusal, throttled
from sealane.gateway.api.key_info import key_info
from sealane.gateway.api.market import Market
from sealane.gateway.api.orders import ORDERS, Denied, OrderDesk, is_only_checked
from sealane.gateway.api.request import Head, Signed, Unreadable
from sealane.gateway.api.shares import Shares
from sealane.gateway.api.strangers import STRANGER, Strangers
from sealane.gateway.api.waiting import Crowded, Waiting
from sealane.gateway.api.way import LooksSpent, Way
from sealane.gateway.audit import Audit, masked_secrets
from sealane.gateway.keys.key_file import Held, KeyRing
from sealane.gateway.keys.ledger import Ledger
from sealane.gateway.keys.pairs import Pair
from sealane.gateway.keys.policy import method_class
from sealane.gateway.keys.policy import refusal as policy_refusal
from sealane.gateway.keys.replay_guard import ReplayGuards
from sealane.gateway.traffic import Passed, Traffic
from sealane.runtime.clock import Clock

CANCELS, FUNDS = "cancel", "fund"
_NOBODY = Secret(bytes(64))
"""What a signature of an unknown key is checked with, so that it takes as long."""

logger = logging.getLogger("sealane.gateway")


@dataclass(frozen=True)
class Account:
    """One account that is served: its forwarder, and the name of its lane."""

    forwarder: Forwarder
    lane: str


@dataclass(frozen=True)
class Calls:
    """Everything that a private call meets on its way."""

    ring: KeyRing
    accounts: Mapping[str, Account]
    replays: ReplayGuards
    orders: OrderDesk
    cancels: Cancels
    ledger: Ledger
    market: Market
    shares: Shares
    waiting: Waiting
    traffic: Traffic
    audit: Audit
    clock: Clock
    strangers: Strangers = field(default_factory=Strangers)

    async def answer(self, head: Head, body: bytes) -> Answer:
        """The answer to one private call. Of a key that is not known the body is not read."""
        begun_ns, now_s = self.clock.boot_ns(), self.clock.wall_ns() / NS_PER_S
        held = self.ring.find(head.api_key, now_s)
        try:
            signed = head.signed(body) if held is not None else head.unread(body)
        except Unreadable as trouble:
            return self._turned_away(head, held, refusal(trouble.error, detail=trouble.detail))
        known = self._admitted(signed, held)
        if isinstance(known, Answer):
            return self._turned_away(head, held, known)
        if known.is_expired(now_s):
            return self._ended(
                signed, known, refusal(envelope.INVALID_KEY, detail="the key has expired"), begun_ns, None
            )
        return await self._answered(signed, known, begun_ns)

    # --- who it is ------------------------------------------------------------------------------------------------

    def _admitted(self, signed: Signed, held: Held | None) -> Held | Answer:
        """Whose call it is, where key and signature are right."""
        is_signed = signed.is_signed_with((held.secret if held else _NOBODY).reveal())
        if self.ring.trouble:
            return refusal(envelope.UNAVAILABLE, "unavailable", detail="the virtual keys cannot be read")
        if held is None:
            return refusal(envelope.INVALID_KEY)
        return held if is_signed else refusal(envelope.INVALID_SIGNATURE)

    def _repeated(self, signed: Signed, held: Held) -> Answer | None:
        """The answer to a call whose nonce cannot be taken, None where it was."""
        is_new = self.replays.accept(held.fingerprint, signed.nonce)
        return None if is_new else refusal(envelope.INVALID_NONCE, detail="the nonce was used, or is too far back")

    # --- what becomes of it ---------------------------------------------------------------------------------------

    async def _answered(self, signed: Signed, held: Held, begun_ns: int) -> Answer:
        """Whatever happens on its way is written down and counted."""
        way = Way(
            method=signed.method,
            forbids=lambda: self._forbidden(held),
            may_look=lambda: self.shares.may_look(held.name, self.clock.boot_ns()),
        )
        TIMING.set(way)
        self.traffic.waiting(held.name, 1)
        try:
            answer = await self._decided(signed, held, way)
        except asyncio.CancelledError:
            self._ended(signed, held, _broken_off(way), begun_ns, way)
            raise
        except Exception:
            logger.exception("a call of %s broke off: %s", held.name, signed.method)
            answer = _broken_off(way)
        finally:
            self.traffic.waiting(held.name, -1)
        return self._ended(signed, held, answer, begun_ns, way)

    def _forbidden(self, held: Held) -> str:
        """Why the key may not make its call any more, "" where it may: it may have waited for its turn for long."""
        now_s = self.clock.wall_ns() / NS_PER_S
        now = self.ring.find(held.key, now_s)
        if self.ring.trouble:
            return "the virtual keys cannot be read any more"
        if now is None or now.is_expired(now_s):
            return "the key was revoked, or has expired, while the call waited for its turn"
        return "the key was paused while the call waited for its turn" if now.paused else ""

    async def _decided(self, signed: Signed, held: Held, way: Way) -> Answer:
        try:
            answer = self._repeated(signed, held) or await self._allowed(signed, held)
            return refusal(envelope.DENIED, detail=way.stopped) if way.stopped and answer.errors else answer
        except Denied as why:
            return refusal(envelope.DENIED, detail=str(why))
        except Unreadable as trouble:
            return refusal(trouble.error, detail=trouble.detail)
        except Crowded:
            now_s = self.clock.wall_ns() / NS_PER_S
            return throttled(now_s, "too many calls are under way: wait for their answers")
        except LooksSpent:
            return refusal(RATE_LIMIT, "throttled", detail="too many cancels of orders that the key does not know")
        except SealaneError as error:
            return refusal(envelope.DENIED, detail=way.stopped) if way.stopped else of_error(error)

    async def _allowed(self, signed: Signed, held: Held) -> Answer:
        method, params, policy = signed.method, signed.params, held.policy
        if held.paused:
            raise Denied("the key is paused: 'sealane keys resume' lets it go on")
        account = self.accounts.get(held.account)
        if account is None:
            raise Denied(f"no account {held.account} is served here")
        needs_pairs = policy.pairs is not None and method in ORDERS
        canonical = await self.market.canonical() if needs_pairs else _no_pairs
        if why := policy_refusal(policy, method, params, canonical):
            raise Denied(why)
        if policy.share and not self.shares.takes(held.name, policy.share, method, self.clock.boot_ns()):
            return refusal(RATE_LIMIT, "throttled", detail="the key's share of the account's budget is used up")
        if method == HARMLESS:
            return key_info(signed, held)
        kind = method_class(method, params)
        with self.waiting.room(held.name, kind):
            async with self.orders.in_turn(held, method):
                await self.orders.judge(account.forwarder, held, method, params)
                return await self._sent(signed, held, account.forwarder, kind)

    async def _sent(self, signed: Signed, held: Held, forwarder: Forwarder, kind: str) -> Answer:
        method, params = signed.method, signed.params
        now_s = self.clock.wall_ns() / NS_PER_S
        if method in ORDERS:
            if not is_only_checked(signed):
                self._write_down("order asked", signed, held)
            return await self.orders.send(forwarder, held, signed, now_s)
        if kind == FUNDS:
            self._write_down("funds asked", signed, held)
        if kind == CANCELS and held.policy.own_orders:
            return await self.cancels.cancel(forwarder, held.name, method, params, now_s)
        if kind == CANCELS:
            return await insist(forwarder, method, params)
        return of_verdict(await forwarder.forward(method, params))

    # --- what is told of it ---------------------------------------------------------------------------------------

    def _write_down(self, event: str, signed: Signed, held: Held) -> None:
        """Before an order leaves, or what moves funds; raises NotDurable, and nothing leaves."""
        self.audit.note(event=event, **_asked(signed, held.name, held.account))

    def _turned_away(self, head: Head, held: Held | None, answer: Answer) -> Answer:
        """It may be anybody's call, so little of it is kept: not what it says, and whose only where its key is one."""
        key = held.name if held else STRANGER
        unwritten = self.strangers.unwritten(self.clock.boot_ns())
        passed = Passed(key, held.account if held else STRANGER, head.method, answer.outcome, answer.errors)
        self.traffic.settled(passed, is_told=unwritten is not None)
        if unwritten is not None:
            self._note(answer, key=key, method=head.method, **({"unwritten_before": unwritten} if unwritten else {}))
        return answer

    def _ended(self, signed: Signed, held: Held, answer: Answer, begun_ns: int, way: Way | None) -> Answer:
        """Count it and write it down; returns the answer with what is told in its headers."""
        ended_ns = self.clock.boot_ns()
        sent_ns = (way.sent_ns if way else 0) or ended_ns
        wait_s, took_s = (sent_ns - begun_ns) / NS_PER_S, (ended_ns - begun_ns) / NS_PER_S
        made = way.made if way else []
        if made and held.policy.share:
            self.shares.spends(held.name, held.policy.share, signed.method, made, ended_ns)
        self.traffic.settled(
            Passed(held.name, held.account, signed.method, answer.outcome, answer.errors, wait_s, took_s)
        )
        told: dict[str, object] = {"made": made} if made else {}
        asked = _asked(signed, held.name, held.account)
        self._note(answer, **asked, **told, wait_s=round(wait_s, 6), took_s=round(took_s, 6))
        return replace(answer, headers={**answer.headers, **self._told(held, wait_s)})

    def _note(self, answer: Answer, **fields: object) -> None:
        """After the call: what cannot be written down now was decided all the same, and the next order is refused."""
        told = {
            "outcome": answer.outcome,
            "errors": list(answer.errors),
            "why": answer.headers.get("x-sealane-why", ""),
        }
        try:
            self.audit.note(event="call", **fields, **told)
        except NotDurable as error:
            logger.error("a decision was not written down: %s", error)

    def _told(self, held: Held, wait_s: float) -> dict[str, str]:
        account = self.accounts.get(held.account)
        headers = {"x-sealane-wait": f"{wait_s:.6f}"}
        if account is not None:
            headers["x-sealane-lane"] = account.lane
            if counters := account.forwarder.counters():
                headers["x-sealane-headroom"] = f"{max(0.0, counters[0].limit - counters[0].level):.2f}"
        return headers


_ORDER_FIELDS = ("pair", "type", "ordertype", "volume", "price", "txid", "cl_ord_id", "userref")
FIELD_MAX = 64


def _asked(signed: Signed, key: str, account: str) -> dict[str, object]:
    """What was asked, as it is written down; of an order, which."""
    fields = {name: _shown(signed.params[name]) for name in _ORDER_FIELDS if name in signed.params}
    orders = signed.params.get("orders")
    if isinstance(orders, list):
        fields["orders"] = str(len(orders))
    if signed.repeat_key:
        fields["repeat_key"] = _shown(signed.repeat_key)
    nonce = _shown(signed.nonce_text)
    return {"key": key, "account": account, "method": signed.method, "nonce": nonce, **fields}


def _shown(value: object) -> str:
    """Masked before it is cut: of a secret nothing may be left."""
    return masked_secrets(str(value))[:FIELD_MAX]


def _broken_off(way: Way) -> Answer:
    """The answer to a call that the gateway itself failed, or left; what it wrote may have been executed."""
    detail = "the gateway's own fault, or its end: its log has it"
    if way.wrote:
        return refusal(envelope.IN_DOUBT, "in_doubt", detail=detail, status=500)
    return refusal(envelope.UNAVAILABLE, "unavailable", detail=detail, status=500)


def _no_pairs(name: str) -> Pair:
    raise KeyError(name)
