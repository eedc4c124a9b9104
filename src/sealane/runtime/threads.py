"""The blocking shell: one thread drives a call from its first effect to its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from typing import TypeVar

from sealane.core import call
from sealane.core.lane import Ticket
from sealane.runtime.effects import Desk, PublicDesk
from sealane.runtime.lanes import Lane, busy
from sealane.transport.port import Transport

T = TypeVar("T")


def enter(lane: Lane, owner: Hashable, limit_s: float) -> None:
    """Take the lane's turn; raises Unavailable where it does not come within ``limit_s``."""
    gate = threading.Lock()
    gate.acquire()
    ticket = Ticket(owner, gate.release)
    if lane.enter(ticket):
        return
    try:
        woken = gate.acquire(timeout=limit_s)
    except BaseException:
        if not lane.withdraw(ticket):
            lane.leave(owner)
        raise
    if ticket.error is not None:
        raise ticket.error
    if not woken and lane.withdraw(ticket):
        raise busy(lane, limit_s)


def run(flow: call.Flow[T], desk: Desk | PublicDesk, transport: Transport, turn_wait_s: float) -> T:
    """Drive a call to its end; returns its result or raises its error."""
    answer: object = None
    trouble: BaseException | None = None
    while True:
        try:
            effect = flow.send(answer) if trouble is None else flow.throw(trouble)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        try:
            answer, trouble = _perform(effect, desk, transport, turn_wait_s), None
        except BaseException as error:
            trouble = error


def _perform(effect: call.Effect, desk: Desk | PublicDesk, transport: Transport, turn_wait_s: float) -> object:
    if isinstance(effect, call.Exchange):
        return transport.send(effect.request)
    if isinstance(effect, call.Sleep):
        return time.sleep(effect.seconds)
    if isinstance(effect, call.Enter) and isinstance(desk, Desk):
        enter(desk.lane, desk.owner, turn_wait_s)
        return desk.entered()
    return desk.perform(effect)
