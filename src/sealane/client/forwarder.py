"""A client for another program's calls: they go in Kraken's own words, and the answers come back as they were given."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Self

from sealane.client.async_kraken import AsyncKraken
from sealane.client.forwarding import Forwarded, Prepared
from sealane.client.orders import DEADLINE_S, TIMEOUT_S, Limits
from sealane.client.settings import Settings
from sealane.client.statistics import CounterFigures
from sealane.core.cancelling import Cancellation
from sealane.core.signing import Request
from sealane.core.verdict import Failure, Reply, Verdict
from sealane.runtime import tasks
from sealane.runtime.clock import SYSTEM_CLOCK
from sealane.transport.http import AsyncHttpTransport


@dataclass(slots=True)
class Timing:
    """One call's way: when its first byte left (nanoseconds since boot; 0 while none has), and what was asked for it.

    A subclass may raise: in ``asks`` anything, and that call is not made; in ``leaves`` an error of Sealane's, and that
    request is not sent.
    """

    sent_ns: int = 0
    asked: list[str] = field(default_factory=list)

    def asks(self, method: str) -> None:
        """A private call is about to be made."""
        self.asked.append(method)

    def leaves(self, target: str, now_ns: int) -> None:
        """A request is about to be sent, of any kind: repeats, fences and public calls too."""
        self.sent_ns = self.sent_ns or now_ns

    def stayed(self) -> None:
        """The request that was to leave last did not: nothing of it can have arrived."""


TIMING: ContextVar[Timing | None] = ContextVar("sealane_timing", default=None)
"""Set by who wants to know what becomes of what it calls."""


def _asks(method: str) -> None:
    if (timing := TIMING.get()) is not None:
        timing.asks(method)


class TimedTransport(AsyncHttpTransport):
    """Tells a call's ``Timing`` what is sent for it."""

    async def send(self, request: Request) -> Reply | Failure:
        """See ``port.AsyncTransport``."""
        if (timing := TIMING.get()) is not None:
            timing.leaves(request.target, SYSTEM_CLOCK.boot_ns())
        answer = await super().send(request)
        if timing is not None and isinstance(answer, Failure) and not answer.sent:
            timing.stayed()
        return answer


class Forwarder(AsyncKraken):
    """``AsyncKraken`` for other programs' calls. Errors are those of ``AsyncKraken.private`` and ``place_order``."""

    @classmethod
    def for_account(cls, account: str, *, turn_wait_s: float) -> Self:
        """The forwarder of an account of this process's environment."""
        transport = TimedTransport(Settings.from_env(os.environ).url)
        return cls.from_env(account, turn_wait_s=turn_wait_s, transport=transport)

    async def forward(self, method: str, params: Mapping[str, object]) -> Verdict:
        """A private call that is no order, or an order that is only checked; accepted, or refused by Kraken."""
        _asks(method)
        flow, desk = self._session.answered(method, params)
        self._bind()
        return await tasks.run(flow, desk, self._transport, self._session.turn_wait_s)

    async def forward_order(
        self, order: Prepared, *, deadline_s: float = DEADLINE_S, timeout_s: float = TIMEOUT_S
    ) -> Forwarded:
        """An order, exactly once or not at all; raises NameTaken where its id is another order's."""
        _asks(order.method)
        return await self._run(self._session.orders.forward(order, Limits(deadline_s, timeout_s)))

    async def is_known(self, order: Prepared) -> bool:
        """Whether the store remembers that this very order, or another of its names, was asked for before."""
        return await asyncio.to_thread(self._session.orders.is_known, (order.name, *order.aliases))

    async def cancel_again(self, order: Mapping[str, str], *, timeout_s: float) -> Cancellation:
        """A cancel whose answer was lost, of the order that ``txid`` or ``cl_ord_id`` names, or of all for none."""
        _asks("CancelOrder" if order else "CancelAll")
        orders = self._session.orders
        if not order:
            return await self._run(orders.cancel_everything(timeout_s, doubted=True))
        return await self._run(orders.cancel(order, timeout_s, doubted=True))

    async def cancel_orders(self, txids: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> dict[str, Cancellation]:
        """See ``Kraken.cancel_orders``."""
        _asks("CancelOrderBatch")
        return await super().cancel_orders(txids, timeout_s=timeout_s)

    async def fetch(self, target: str) -> Reply | Failure:
        """A public GET, answered as it came; it waits for no lane and is tried once."""
        self._bind()
        return await self._transport.send(Request("GET", target, (), b""))

    @property
    def lag_s(self) -> float:
        """How long Kraken may take to show an order."""
        return self._session.lag_s

    def counters(self) -> tuple[CounterFigures, ...]:
        """Kraken's counters as they are kept for this key, the REST one first; () where no limits are kept."""
        return self._session.counters()
