"""The blocking shell: one thread drives a call from its first effect to its end."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Hashable
from typing import TypeVar

from sealane.core import effects
from sealane.core.counter import ORDERS
from sealane.core.lane import Ticket
from sealane.runtime.desk import Desk, PublicDesk
from sealane.runtime.lanes import Lane, busy
from sealane.transport.port import Transport

T = TypeVar("T")


def enter(lane: Lane, owner: Hashable, limit_s: float, rank: int = ORDERS) -> None:
    """Take the lane's turn; raises Unavailable where it does not come within ``limit_s``."""
    gate = threading.Lock()
    gate.acquire()
    ticket = Ticket(owner, gate.release, rank)
    try:
        if lane.enter(ticket):
            return
        woken = gate.acquire(timeout=limit_s)
    except BaseException:
        if not lane.withdraw(ticket):
            lane.leave(owner)
        raise
    if ticket.error is not None:
        raise ticket.error
    if not woken and lane.withdraw(ticket):
        raise busy(lane, limit_s)


def run(flow: effects.Flow[T], desk: Desk | PublicDesk, transport: Transport, turn_wait_s: float) -> T:
    """Drive a call to its end; returns its result or raises its error.

    An interrupt (Ctrl-C, a signal's exception) may come between any two steps: it is thrown into the call, and whatever
    became of that, the lane is left as it was found.
    """
    depth = desk.depth()
    try:
        return _drive(flow, desk, transport, turn_wait_s)
    finally:
        desk.leave_down_to(depth)


def _drive(flow: effects.Flow[T], desk: Desk | PublicDesk, transport: Transport, turn_wait_s: float) -> T:
    answer: object = None
    trouble: BaseException | None = None
    while True:
        try:
            effect = flow.send(answer) if trouble is None else flow.throw(trouble)
            answer, trouble = None, None
            answer = _perform(effect, desk, transport, turn_wait_s)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except BaseException as error:
            if inspect.getgeneratorstate(flow) == inspect.GEN_CLOSED:  # the call is over, and this is how it ended
                raise
            trouble = error


def _perform(effect: effects.Effect, desk: Desk | PublicDesk, transport: Transport, turn_wait_s: float) -> object:
    if isinstance(effect, effects.Exchange):
        desk.check()
        return transport.send(effect.request)
    if isinstance(effect, effects.Sleep):
        return time.sleep(effect.seconds)
    if isinstance(effect, effects.Enter) and isinstance(desk, Desk):
        enter(desk.lane, desk.owner, min(turn_wait_s, effect.limit_s), effect.rank)
        return desk.entered()
    return desk.perform(effect)
