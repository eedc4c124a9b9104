"""The gateway as an ASGI application for ``/0/…``, and what it opens and closes.

1. Paths, sizes and verbs are looked at before anything is read: no more than ``BODY_BYTES_MAX`` is kept of a body.
2. One gateway works on a data folder: whoever comes second waits for the first to end, and answers busy meanwhile.
   Replay guards and the ledger are one process's.
3. Every answer under ``/0/`` is Kraken's envelope, whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from starlette.types import Receive, Scope, Send

from sealane.client.forwarder import Forwarder
from sealane.core.nonce import NS_PER_S
from sealane.core.signing import PRIVATE, PUBLIC
from sealane.core.tiers import STARTER, TIERS, Tier
from sealane.core.verdict import Failure
from sealane.errors import NotDurable, SealaneError
from sealane.gateway.api import envelope
from sealane.gateway.api.calls import Account, Calls
from sealane.gateway.api.cancels import Cancels
from sealane.gateway.api.envelope import Answer, refusal, throttled
from sealane.gateway.api.market import Market
from sealane.gateway.api.orders import OrderDesk
from sealane.gateway.api.own_orders import OwnOrders
from sealane.gateway.api.request import BODY_BYTES_MAX, Unreadable, private_head, public_target
from sealane.gateway.api.shares import Shares
from sealane.gateway.api.switches import Switches
from sealane.gateway.api.waiting import HOLD_S, Crowded, Waiting
from sealane.gateway.audit import Audit
from sealane.gateway.keys.key_file import KeyRing
from sealane.gateway.keys.ledger import Ledger
from sealane.gateway.keys.private_files import DISK, make_folder
from sealane.gateway.keys.replay_guard import ReplayGuards
from sealane.gateway.keys.virtual_key import VirtualKey
from sealane.gateway.traffic import Traffic
from sealane.runtime.clock import SYSTEM_CLOCK, Clock

LOCK = "gateway.lock"
KEPT_S = 400 * 86_400.0
"""Whose an order was is known for so long: no order stays open for longer."""
LOCK_PAUSE_S = 0.05
END_S = 7.0
"""How long calls on the wire are waited for at the end."""
JSON = (b"content-type", b"application/json; charset=utf-8")

logger = logging.getLogger("sealane.gateway")


class TooLarge(Exception):
    """A body beyond the limit."""


class Gone(Exception):
    """Whoever asked hung up before the request was whole: there is nobody to answer."""


class Gateway:
    """Kraken's protocol in front of the accounts of this environment; open it inside the event loop it serves on.

    ``lanes`` are the accounts' lanes by the names under which they are shown. ``trouble`` says why no virtual key is
    answered, "" where they are.
    """

    def __init__(
        self,
        folder: Path,
        lanes: Mapping[str, str],
        tier: Tier | None,
        traffic: Traffic,
        *,
        make_forwarder: Callable[[str], Forwarder] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._folder, self._lanes, self._tier, self._clock = folder, lanes, tier, clock
        self._make = make_forwarder or (lambda account: Forwarder.for_account(account, turn_wait_s=HOLD_S))
        self.traffic = traffic
        self.trouble = ""
        self._accounts: Mapping[str, Account] = {}
        self._calls: Calls | None = None
        self._waiting = Waiting()
        self._lock: int | None = None
        self._switches = Switches(self._opened, clock)

    # --- opening and closing --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._accounts = {name: Account(self._make(name), lane) for name, lane in self._lanes.items()}
        self._opened()
        self._switches.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let calls under way come to their end, and everything go: each, whatever becomes of the others."""
        accounts, self._accounts = self._accounts, {}
        calls, self._calls = self._calls, None
        lock, self._lock = self._lock, None
        async with contextlib.AsyncExitStack() as last_first:
            if lock is not None:
                last_first.callback(os.close, lock)
            if calls is not None:
                for part in (calls.audit, calls.ledger, calls.ring, calls.replays):
                    last_first.callback(part.close)
            last_first.push_async_callback(_end_calls, [account.forwarder for account in accounts.values()])
            last_first.push_async_callback(self._switches.close)

    def _opened(self) -> Calls | None:
        """What answers calls, once the folder is this gateway's; None while it is another's, or cannot be used."""
        if self._calls is None and self._accounts:
            try:
                if self._is_ours():
                    self._calls = self._open()
            except (OSError, NotDurable) as error:
                if str(error) != self.trouble:
                    logger.error("no virtual key is answered until this is mended: %s", error)
                self.trouble = str(error)
                return None
            self.trouble = ""
        return self._calls

    def _is_ours(self) -> bool:
        if self._lock is None:
            make_folder(self._folder)
            lock = DISK.open(self._folder / LOCK)
            if not DISK.try_lock(lock):
                os.close(lock)
                return False
            self._lock = lock
        return True

    def _open(self) -> Calls:
        market = Market(next(iter(self._accounts.values())).forwarder.fetch, self._clock)
        ledger = Ledger(self._folder / "orders.db", market.pair_name)
        ledger.forget_before(self._clock.wall_ns() / NS_PER_S - KEPT_S)
        own = OwnOrders(ledger, market)
        return Calls(
            ring=KeyRing(self._folder),
            accounts=self._accounts,
            replays=ReplayGuards(self._folder / "nonces"),
            orders=OrderDesk(own, market),
            cancels=Cancels(own),
            ledger=ledger,
            market=market,
            shares=Shares((self._tier or TIERS[STARTER]).rest),
            waiting=self._waiting,
            traffic=self.traffic,
            audit=Audit(self._folder, self._clock),
            clock=self._clock,
        )

    async def _ready(self) -> Calls | None:
        """What answers calls; another gateway's end is waited for, within ``HOLD_S``."""
        for _ in range(int(HOLD_S / LOCK_PAUSE_S)):
            calls = self._opened()
            if calls is not None or self.trouble or not self._accounts:
                return calls
            await asyncio.sleep(LOCK_PAUSE_S)
        return None

    def told_trouble(self) -> str:
        """What keeps virtual keys or orders from being answered, for whoever is on call; "" for nothing."""
        calls = self._calls
        if calls is None:
            return self.trouble or (
                f"another gateway works on {self._folder}: it alone answers" if self._accounts else ""
            )
        if calls.ring.trouble:
            return f"no virtual key is answered: {calls.ring.trouble}"
        return "" if calls.audit.is_well else f"no order is answered: {calls.audit.path} cannot be written"

    def virtual_keys(self) -> tuple[VirtualKey, ...]:
        """The virtual keys that there are, for whoever shows them."""
        return self._calls.ring.all() if self._calls else ()

    # --- requests -------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request under ``/0/``."""
        try:
            answer = await self._answer(scope, receive)
        except Unreadable as trouble:
            answer = refusal(trouble.error, detail=trouble.detail)
        except TooLarge:
            answer = refusal(envelope.INVALID_ARGUMENTS, detail="the body is too large", status=413)
        except SealaneError as error:
            answer = envelope.of_error(error)
        except Gone:
            return
        except asyncio.CancelledError:  # the service ends first; what is on the wire comes to its end behind this
            answer = refusal(envelope.IN_DOUBT, "in_doubt", detail="the service ended before the answer came")
        except Exception:
            logger.exception("a request could not be answered")
            answer = refusal(envelope.UNAVAILABLE, "unavailable", status=500)
        await _send(send, answer)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path, verb, query = scope.get("raw_path") or scope["path"].encode(), scope["method"], scope["query_string"]
        if path.startswith(PUBLIC.encode()) and verb in ("GET", "POST"):
            body = await _body(receive)
            return await self._public(public_target(path, query or body))
        if not path.startswith(PRIVATE.encode()) or verb != "POST":
            raise Unreadable(envelope.UNKNOWN_METHOD, "there is /0/private/… by POST, and /0/public/… by GET")
        head = private_head(path, query, scope["headers"])
        body = await _body(receive)
        calls = self._calls or await self._ready()
        if calls is None and self.trouble:
            return refusal(envelope.UNAVAILABLE, "unavailable", detail="the gateway's data folder cannot be used")
        if calls is None:
            return refusal(envelope.BUSY, "unavailable", detail="another gateway works on this data folder")
        return await calls.answer(head, body)

    async def _public(self, target: str) -> Answer:
        if not self._accounts:
            return refusal(envelope.BUSY, "unavailable", detail="the service ends")
        try:
            with self._waiting.room("", "public"):
                reply = await next(iter(self._accounts.values())).forwarder.fetch(target)
        except Crowded:
            now_s = self._clock.wall_ns() / NS_PER_S
            return throttled(now_s, "too many public calls are under way: wait for their answers")
        if isinstance(reply, Failure) or reply.status != 200 or not _is_envelope(reply.body):
            detail = reply.detail if isinstance(reply, Failure) else f"HTTP status {reply.status}"
            return refusal(envelope.UNAVAILABLE, "unavailable", detail=detail)
        return Answer(reply.body)


async def _end_calls(forwarders: Sequence[Forwarder]) -> None:
    """Wait for what is on the wire, of all at once, no longer than ``END_S``; raises the first one's error."""
    try:
        async with asyncio.timeout(END_S):
            closed = await asyncio.gather(*(one.close() for one in forwarders), return_exceptions=True)
    except TimeoutError:
        logger.warning("calls were still under way after %g s, and are left", END_S)
        return
    for error in closed:
        if isinstance(error, BaseException):
            raise error


async def _body(receive: Receive) -> bytes:
    """The body, whole; raises TooLarge as soon as it is, and Gone."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise TooLarge
        if not message.get("more_body"):
            return b"".join(parts)


def _is_envelope(body: bytes) -> bool:
    if body.startswith(b'{"error":['):  # as Kraken begins: what is long is not read twice
        return True
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and isinstance(document.get("error"), list)


async def _send(send: Send, answer: Answer) -> None:
    told = [(name.encode(), value.encode("latin-1", "replace")) for name, value in answer.headers.items()]
    length = (b"content-length", str(len(answer.body)).encode())
    await send({"type": "http.response.start", "status": answer.status, "headers": [JSON, length, *told]})
    await send({"type": "http.response.body", "body": answer.body})
