"""Turns of awaited calls: the request outlives its caller, and the turn lives as long as the request.

1. The call runs in a task of its own, the *job*; its caller waits for it behind a shield. The turn is left when the
   job ends, by the loop, so that nobody has to be left who remembers.
2. Where the caller holds the turn already, the call nests in it. Else the turn is the call's alone: a caller who gave
   it up (a time-out) and calls again is another caller then, and queues behind what it gave up.
3. Where it does nest, the caller's next call waits for the one that was given up.
4. A job that calls again (a client's own override) nests in the turn that it is running in.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sealane.runtime import tasks
from sealane.runtime.lanes import Lane, current_owner

T = TypeVar("T")
Job = asyncio.Task[Any]

_owners: WeakKeyDictionary[Job, Hashable] = WeakKeyDictionary()
_left: dict[Job, Hashable] = {}
"""Jobs whose callers were cancelled, and the turns' owners; the loop alone keeps no reference."""


async def run(
    lane: Lane,
    limit_s: float,
    prepare: Callable[[], Coroutine[Any, Any, None]],
    call: Callable[[], Coroutine[Any, Any, T]],
) -> T:
    """Make a call in a turn; raises what it raises, and Unavailable where the turn does not come in ``limit_s``.

    ``prepare`` goes before the call, in the turn too; cancelled so far, the call is not made.
    """
    owner = _owner(lane)
    await _wait_for([job for job, of in list(_left.items()) if of == owner])
    await tasks.enter(lane, owner, limit_s)
    try:
        await prepare()
        job = asyncio.get_running_loop().create_task(call(), name="sealane-guarded")
    except BaseException:
        lane.leave(owner)
        raise
    _owners[job] = owner
    job.add_done_callback(lambda _: lane.leave(owner))
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        if not job.done():
            _left[job] = owner
            job.add_done_callback(_forget)
        raise


async def finish_leftovers() -> None:
    """Wait for this loop's calls whose callers were cancelled; each ends within its client's own limits."""
    await _wait_for(list(_left))


def close_after_leftovers(close: Callable[..., Awaitable[T]]) -> Callable[..., Coroutine[Any, Any, T]]:
    """A client's ``close`` that does not cut off a request which is being seen to its end."""

    @functools.wraps(close)
    async def closing(*args: Any, **more: Any) -> T:
        await finish_leftovers()
        return await close(*args, **more)

    return closing


def _owner(lane: Lane) -> Hashable:
    task = asyncio.current_task()
    within = _owners.get(task) if task is not None else None
    if within is not None and lane.depth(within):
        return within
    mine = current_owner()
    return mine if lane.depth(mine) else (mine, object())


async def _wait_for(jobs: list[Job]) -> None:
    loop, myself = asyncio.get_running_loop(), asyncio.current_task()
    mine = [job for job in jobs if job is not myself and job.get_loop() is loop]
    if mine:
        await asyncio.wait(mine)


def _forget(job: Job) -> None:
    _left.pop(job, None)
