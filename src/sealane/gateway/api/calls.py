"""One private call of a program, from the bytes that came in to the answer: the order of its checks is here.

1. Key, signature, nonce: in Kraken's order, and with its errors. A wrong key takes as long as a wrong signature.
2. What the key may do. What is denied is never sent.
3. Room: too many calls at once are told so at once.
4. The decision is written down before an order leaves, and its end after; an order that cannot be written down is
   refused.
5. The call takes its turn on its account's lane.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sealane.client.forwarder import TIMING, Forwarder, Timing
from sealane.core.methods import HARMLESS
from sealane.core.nonce import NS_PER_S
from sealane.core.secret import Secret
from sealane.errors import NotDurable, SealaneError
from sealane.gateway.api import envelope
from sealane.gateway.api.cancels import Cancels, insist
from sealane.gateway.api.envelope import Answer, of_error, of_verdict, refusal
from sealane.gateway.api.key_info import key_info
from sealane.gateway.api.market import Market
from sealane.gateway.api.orders import ORDERS, Denied, OrderDesk, is_only_checked
from sealane.gateway.api.request import Signed, Unreadable
from sealane.gateway.api.shares import Shares
from sealane.gateway.api.waiting import Crowded, Waiting
from sealane.gateway.audit import Audit
from sealane.gateway.keys.key_file import Held, KeyRing
from sealane.gateway.keys.ledger import Ledger
from sealane.gateway.keys.pairs import Pair
from sealane.gateway.keys.policy import method_class
from sealane.gateway.keys.policy import refusal as policy_refusal
from sealane.gateway.keys.replay_guard import ReplayGuards
from sealane.gateway.traffic import Passed, Traffic
from sealane.runtime.clock import Clock

CANCELS = "cancel"
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

    async def answer(self, signed: Signed) -> Answer:
        """The answer to one private call; raises nothing of Sealane's."""
        begun_ns, timing = self.clock.boot_ns(), Timing()
        held = self._admitted(signed)
        if isinstance(held, Answer):
            self._note(signed, "", "", held)
            return held
        if repeated := self._repeated(signed, held):
            self._settled(signed, held, repeated, 0.0, 0.0)
            return repeated
        TIMING.set(timing)
        self.traffic.waiting(held.name, 1)
        try:
            answer = await self._decided(signed, held)
        finally:
            self.traffic.waiting(held.name, -1)
        ended_ns = self.clock.boot_ns()
        wait_s = ((timing.sent_ns or ended_ns) - begun_ns) / NS_PER_S
        self._settled(signed, held, answer, wait_s, (ended_ns - begun_ns) / NS_PER_S)
        return replace(answer, headers={**answer.headers, **self._told(held, wait_s)})

    # --- who it is ------------------------------------------------------------------------------------------------

    def _admitted(self, signed: Signed) -> Held | Answer:
        """Whose call it is, where key and signature are right."""
        now_s = self.clock.wall_ns() / NS_PER_S
        held = self.ring.find(signed.api_key, now_s)
        is_signed = signed.is_signed_with((held.secret if held else _NOBODY).reveal())
        if self.ring.trouble:
            return refusal(envelope.UNAVAILABLE, "unavailable", detail="the virtual keys cannot be read")
        if held is None or held.is_expired(now_s):
            return refusal(envelope.INVALID_KEY)
        return held if is_signed else refusal(envelope.INVALID_SIGNATURE)

    def _repeated(self, signed: Signed, held: Held) -> Answer | None:
        """The answer to a call whose nonce cannot be taken, None where it was."""
        try:
            is_new = self.replays.accept(held.fingerprint, signed.nonce)
        except Unreadable as trouble:
            return refusal(trouble.error, detail=trouble.detail)
        except SealaneError as error:
            return of_error(error)
        return None if is_new else refusal(envelope.INVALID_NONCE, detail="the nonce was used, or is too far back")

    # --- what becomes of it ---------------------------------------------------------------------------------------

    async def _decided(self, signed: Signed, held: Held) -> Answer:
        try:
            return await self._allowed(signed, held)
        except Denied as why:
            return refusal(envelope.DENIED, detail=str(why))
        except Unreadable as trouble:
            return refusal(trouble.error, detail=trouble.detail)
        except Crowded:
            return envelope.throttled("too many calls are under way: wait for their answers")
        except SealaneError as error:
            return of_error(error)

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
            return envelope.throttled("the key's share of the account's budget is used up")
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
                self._write_down(signed, held)
            return await self.orders.send(forwarder, held, signed, now_s)
        if kind == CANCELS and held.policy.own_orders:
            return await self.cancels.cancel(forwarder, held.name, method, params, now_s)
        if kind == CANCELS:
            return await insist(forwarder, method, params)
        return of_verdict(await forwarder.forward(method, params))

    # --- what is told of it ---------------------------------------------------------------------------------------

    def _write_down(self, signed: Signed, held: Held) -> None:
        """Before an order leaves; raises NotDurable, and nothing leaves."""
        self.audit.note(event="order asked", **_asked(signed, held.name, held.account))

    def _settled(self, signed: Signed, held: Held, answer: Answer, wait_s: float, took_s: float) -> None:
        self.traffic.settled(
            Passed(held.name, held.account, signed.method, answer.outcome, answer.errors, wait_s, took_s)
        )
        self._note(signed, held.name, held.account, answer, wait_s=round(wait_s, 6), took_s=round(took_s, 6))

    def _note(self, signed: Signed, key: str, account: str, answer: Answer, **more: object) -> None:
        """After the call: what cannot be written down now was decided all the same, and the next order is refused."""
        told = {
            "outcome": answer.outcome,
            "errors": list(answer.errors),
            "why": answer.headers.get("x-sealane-why", ""),
        }
        try:
            self.audit.note(event="call", **_asked(signed, key, account), **told, **more)
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
    fields = {name: str(signed.params[name])[:FIELD_MAX] for name in _ORDER_FIELDS if name in signed.params}
    orders = signed.params.get("orders")
    if isinstance(orders, list):
        fields["orders"] = str(len(orders))
    if signed.repeat_key:
        fields["repeat_key"] = signed.repeat_key[:FIELD_MAX]
    return {"key": key, "account": account, "method": signed.method, "nonce": signed.nonce_text[:FIELD_MAX], **fields}


def _no_pairs(name: str) -> Pair:
    raise KeyError(name)
