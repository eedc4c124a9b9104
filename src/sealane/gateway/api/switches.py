"""The dead-man switches of the keys that may touch their own orders alone: they are kept in the ledger, and fire here.

1. A switch fires within a second of its time, and after a restart as soon as the gateway is back. Each has a task of
   its own: an account that hangs keeps no other's switch waiting.
2. Only what was done ends a switch, and only the one that was due: what cannot be read, stored or reached leaves it
   set, and it is tried again. One that was set anew meanwhile stays.
3. A switch that fired and cannot be taken out of the ledger is remembered as done: it does not fire twice, at orders
   that were placed since.
4. A firing is written down in the audit. Where that cannot be, it fires all the same: it gets out of the market.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial

from sealane.client.forwarder import TIMING, Timing
from sealane.core.nonce import NS_PER_S
from sealane.errors import NotDurable, SealaneError
from sealane.gateway.api.calls import Account, Calls
from sealane.gateway.api.envelope import UNAVAILABLE, Answer, of_error, refusal
from sealane.runtime.clock import Clock

PAUSE_S = 0.5
"""How often the switches are looked at."""
RETRY_S = 5.0
"""How long after one that failed, or that may have missed an order under way, it is tried again."""

logger = logging.getLogger("sealane.gateway")


class Switches:
    """Fires what is due, from ``begin`` to ``close``; ``ready`` gives what answers calls, None while nothing does."""

    def __init__(self, ready: Callable[[], Calls | None], clock: Clock) -> None:
        self._ready, self._clock = ready, clock
        self._watch: asyncio.Task[None] | None = None
        self._firing: dict[str, asyncio.Task[None]] = {}
        self._accounts: dict[str, str] = {}
        self._done: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._retry_ns: dict[str, int] = {}

    def begin(self) -> None:
        """Look from now on."""
        self._watch = asyncio.get_running_loop().create_task(self._look(), name="sealane-dead-man")

    async def close(self) -> None:
        """Stop looking. A cancel that is on the wire comes to its end; its switch stays set, and fires again."""
        watch, self._watch = self._watch, None
        tasks = [*self._firing.values(), *([watch] if watch else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(PAUSE_S)
            try:
                self._fire_due()
            except Exception as error:  # whatever it is: the next look may fare better, and no look is the worst
                self._tell("", f"the dead-man switches cannot be looked at: {error}")

    def _fire_due(self) -> None:
        calls = self._ready()
        if calls is None:
            return
        now_s = self._clock.wall_ns() / NS_PER_S
        for one in calls.ring.all():  # none while they cannot be read: then it is as it was
            self._accounts[one.name] = one.account
        if calls.ring.trouble:
            calls.ring.find("", now_s)  # so that it tries to read them again though nobody calls
        for key, at_s in calls.ledger.due(now_s).items():
            if key not in self._firing and self._clock.boot_ns() >= self._retry_ns.get(key, 0):
                task = asyncio.get_running_loop().create_task(self._fire(calls, key, at_s), name=f"dead-man-{key}")
                self._firing[key] = task
                task.add_done_callback(partial(self._over, key))

    def _over(self, key: str, _: asyncio.Task[None]) -> None:
        del self._firing[key]

    async def _fire(self, calls: Calls, key: str, at_s: float) -> None:
        """One switch, to its end or until it is to be tried again."""
        try:
            if self._done.get(key) == at_s or await self._cancelled(calls, key):
                self._done[key] = at_s
                calls.ledger.fired(key, at_s)
                self._told.pop(key, None)
                return
        except Exception as error:
            self._tell(key, f"the dead-man switch of {key} could not be seen to its end, and will try again: {error}")
        self._retry_ns[key] = self._clock.boot_ns() + int(RETRY_S * NS_PER_S)

    async def _cancelled(self, calls: Calls, key: str) -> bool:
        """Whether no order of the key is open any more."""
        name = self._accounts.get(key, "")
        account = calls.accounts.get(name)
        if account is None:
            self._tell(key, f"the dead-man switch of {key} is due, and no account of it is known here: it stays set")
            return False
        timing = Timing()
        TIMING.set(timing)  # this task's own
        answer = await self._answer(calls, account, key)
        self._note(calls, key, name, answer)
        if answer.errors:
            why = answer.headers.get("x-sealane-why") or ", ".join(answer.errors)
            self._tell(key, f"the dead-man switch of {key} could not cancel, and will try again: {why}")
            return False
        logger.warning("the dead-man switch of %s cancelled %d orders", key, answer.count)
        return not answer.told and not calls.cancels.is_unclear(key, self._clock.wall_ns() / NS_PER_S)

    async def _answer(self, calls: Calls, account: Account, key: str) -> Answer:
        try:
            return await calls.cancels.cancel_all(account.forwarder, key, self._clock.wall_ns() / NS_PER_S)
        except SealaneError as error:
            return of_error(error)
        except Exception:
            logger.exception("the dead-man switch of %s broke off", key)
            return refusal(UNAVAILABLE, "unavailable", detail="the gateway's own fault: its log has it")

    def _note(self, calls: Calls, key: str, account: str, answer: Answer) -> None:
        told = {"outcome": answer.outcome, "errors": list(answer.errors), "count": answer.count}
        with contextlib.suppress(NotDurable):  # told in the log by the audit
            calls.audit.note(event="dead man", key=key, account=account, method="CancelAll", **told)

    def _tell(self, key: str, text: str) -> None:
        """Once for as long as it is the same."""
        if self._told.get(key) != text:
            self._told[key] = text
            logger.error("%s", text)
