"""Threads that wait for the kernel so that callers need not: bounded, daemonic, made on demand.

A blocking kernel lock cannot be given up. So a caller with a limit never asks for one itself: a thread from here
does, and hands on what it got, to nobody if nobody is left (the lane then releases it).
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable

WAITERS_MAX = 64
"""Lanes whose turn can be awaited at the same time in one process; further ones queue for a thread."""
TIDIERS_MAX = 8

logger = logging.getLogger("sealane")


class WaiterPool:
    """Runs jobs on at most ``limit`` daemon threads."""

    def __init__(self, limit: int = WAITERS_MAX) -> None:
        self._limit = limit
        self._reset()

    def _reset(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._mutex = threading.Lock()
        self._threads = 0
        self._busy = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Run ``job`` soon; what it raises is logged."""
        with self._mutex:
            self._busy += 1
            grow = self._busy > self._threads and self._threads < self._limit
            self._threads += grow
        self._jobs.put(job)
        if grow:
            threading.Thread(target=self._work, name="sealane-waiter", daemon=True).start()

    def _work(self) -> None:
        jobs, mutex = self._jobs, self._mutex
        while True:
            job = jobs.get()
            try:
                job()
            except Exception:
                logger.exception("a waiting thread's job failed")
            with mutex:
                self._busy -= 1

    def after_fork(self) -> None:
        """In a forked child, which has none of the threads: start over."""
        self._reset()


WAITERS = WaiterPool()
TIDIERS = WaiterPool(TIDIERS_MAX)
"""For jobs that wait for the disk, and must not queue behind those that wait for others."""
GUARDS = WaiterPool(TIDIERS_MAX)
"""For jobs that sleep for a moment and then give a turn back: no disk may come before them."""
for _pool in (WAITERS, TIDIERS, GUARDS):
    os.register_at_fork(after_in_child=_pool.after_fork)
