"""The asyncio shell: one task drives a call, and a call on the wire outlives the task's cancellation.

Cancelled before sending, the turn is left and the nonce burned. Cancelled while on the wire, the turn stays until
the outcome is known: a task of the shell's own awaits it, and winds the call up without another request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any, TypeVar

from sealane.core import effects
from sealane.core.counter import ORDERS
from sealane.core.lane import Ticket
from sealane.core.verdict import Failure, Reply
from sealane.errors import SealaneError
from sealane.runtime.desk import Desk, PublicDesk
from sealane.runtime.lanes import Lane, busy
from sealane.transport.port import AsyncTransport

T = TypeVar("T")

_leftovers: dict[asyncio.Task[None], Hashable] = {}
"""Calls whose callers were cancelled, and the callers: the loop alone keeps no reference."""


async def enter(lane: Lane, owner: Hashable, limit_s: float, rank: int = ORDERS) -> None:
    """Take the lane's turn; raises Unavailable where it does not come within ``limit_s``.

    A caller that gave a call up (a time-out) and calls again would nest in what it gave up: it waits for its end first.
    """
    loop = asyncio.get_running_loop()
    given_up = [task for task, of in list(_leftovers.items()) if of == owner and task.get_loop() is loop]
    if given_up and (await asyncio.wait(given_up, timeout=limit_s))[1]:
        raise busy(lane, limit_s)
    arrived: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        loop.call_soon_threadsafe(_resolve, arrived)

    ticket = Ticket(owner, wake, rank)
    try:
        if lane.enter(ticket):
            return
        async with asyncio.timeout(limit_s):
            await arrived
    except TimeoutError:
        if lane.withdraw(ticket):
            raise busy(lane, limit_s) from None
    except BaseException:
        if not lane.withdraw(ticket):
            lane.leave(owner)
        raise
    if ticket.error is not None:
        raise ticket.error


def _resolve(arrived: asyncio.Future[None]) -> None:
    if not arrived.done():
        arrived.set_result(None)


async def run(flow: effects.Flow[T], desk: Desk | PublicDesk, transport: AsyncTransport, turn_wait_s: float) -> T:
    """Drive a call to its end; returns its result or raises its error."""
    answer: object = None
    trouble: BaseException | None = None
    while True:
        try:
            effect = flow.send(answer) if trouble is None else flow.throw(trouble)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        try:
            pending = _begun(effect, desk, transport)
        except SealaneError as error:
            trouble = error
            continue
        try:
            if pending is None:
                answer, trouble = await _perform(effect, desk, turn_wait_s), None
            else:
                answer, trouble = await asyncio.shield(pending), None
        except asyncio.CancelledError as error:
            if pending is not None and not pending.done():
                _leave_to_itself(flow, desk, pending)
                raise
            trouble = error
        except BaseException as error:
            trouble = error


def _begun(
    effect: effects.Effect, desk: Desk | PublicDesk, transport: AsyncTransport
) -> asyncio.Future[Reply | Failure] | asyncio.Future[object] | None:
    """What goes on though its caller is cancelled: a request on the wire, and a thread that waits for the disk."""
    if isinstance(effect, effects.Exchange):
        desk.check()
        return asyncio.ensure_future(transport.send(effect.request))
    if isinstance(desk, Desk) and _waits_for_disk(effect, desk):
        return asyncio.ensure_future(asyncio.to_thread(desk.perform, effect))
    return None


async def _perform(effect: effects.Effect, desk: Desk | PublicDesk, turn_wait_s: float) -> object:
    if isinstance(effect, effects.Sleep):
        return await asyncio.sleep(effect.seconds)
    if isinstance(effect, effects.Enter) and isinstance(desk, Desk):
        await enter(desk.lane, desk.owner, min(turn_wait_s, effect.limit_s), effect.rank)
        return desk.entered()
    return desk.perform(effect)


_ON_DISK = (
    effects.SaveKey,
    effects.RaiseFloor,
    effects.KeepIntent,
    effects.ReadIntent,
    effects.OtherOrders,
    effects.Revise,
    effects.Recall,
    effects.Remember,
)


def _waits_for_disk(effect: effects.Effect, desk: Desk) -> bool:
    if isinstance(effect, _ON_DISK):
        return True
    return isinstance(effect, effects.Draw) and desk.lane.must_sync()


def _leave_to_itself(flow: effects.Flow[T], desk: Desk | PublicDesk, pending: asyncio.Future[Any]) -> None:
    """The caller is gone and its request is on the wire: see it to its end in the background."""

    async def finish() -> None:
        try:
            answer: object = await pending
        except BaseException as error:
            _wind_up(flow, desk, None, error)
            raise
        _wind_up(flow, desk, answer, None)

    task = asyncio.get_running_loop().create_task(finish(), name="sealane-finish")
    _leftovers[task] = desk.owner if isinstance(desk, Desk) else None
    task.add_done_callback(_leftovers.pop)


def _wind_up(flow: effects.Flow[T], desk: Desk | PublicDesk, answer: object, trouble: BaseException | None) -> None:
    """Run a call to its end with what is at hand: whatever would wait or send again is cancelled instead."""
    while True:
        try:
            effect = flow.send(answer) if trouble is None else flow.throw(trouble)
        except (StopIteration, Exception, asyncio.CancelledError):
            return
        try:
            if isinstance(effect, (effects.Exchange, effects.Sleep, effects.Enter)):
                raise asyncio.CancelledError
            answer, trouble = desk.perform(effect), None
        except BaseException as error:
            trouble = error


async def finish_leftovers() -> None:
    """Wait for the calls of this loop whose callers were cancelled; each ends within its transport's limits."""
    loop = asyncio.get_running_loop()
    mine = [task for task in list(_leftovers) if task.get_loop() is loop]
    if mine:
        await asyncio.gather(*mine, return_exceptions=True)
