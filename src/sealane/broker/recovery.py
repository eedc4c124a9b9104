"""Recovery in the background: one thread an account tries again, less and less often, until a fetch succeeds.

1. There is no thread before the first failure and none after a success, whoever had it.
2. The n-th wait is ``FIRST_S`` doubled n times, at most ``LONGEST_S``; longer only where the failure itself says so.
3. No wait is shorter than the try before it took: what hangs takes half of the lane's time at most.
4. The thread is a daemon, ends at ``close()``, and does not exist in a forked child: there the next failure begins it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from sealane.core.nonce import NS_PER_S
from sealane.runtime.clock import Clock
from sealane.runtime.lanes import rebuilt_after_fork

FIRST_S = 1.0
LONGEST_S = 60.0
DOUBLINGS_MAX = 10

logger = logging.getLogger("sealane.broker")

Attempt = Callable[[], float | None]
"""Tries once; returns None where there is nothing to recover any more, else the seconds to wait at least."""


@dataclass(frozen=True)
class RecoveryFigures:
    """Recovery at one moment.

    Attributes:
        attempts: tries in the background since the trouble began.
        waiting: the background is between two tries.
        next_try_in_s: seconds until the next, None where none is planned.
        backoff_s: the wait that it is in, 0 where it is in none.
    """

    attempts: int = 0
    waiting: bool = False
    next_try_in_s: float | None = None
    backoff_s: float = 0.0


def backoff_s(attempts: int, at_least_s: float = 0.0) -> float:
    """How long to wait after so many tries."""
    return max(at_least_s, min(LONGEST_S, FIRST_S * 2.0 ** min(attempts, DOUBLINGS_MAX)))


def pause(stop: threading.Event, seconds: float) -> bool:
    """Wait, at most until ``stop``; True where it was that."""
    return stop.wait(seconds)


class Recovery:
    """One account's recovery; see the rules at the head of this file."""

    def __init__(self, attempt: Attempt, clock: Clock) -> None:
        self._attempt, self._clock = attempt, clock
        self.after_fork()
        rebuilt_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child, which has no thread of the parent's."""
        self._mutex = threading.Lock()
        self._stop: threading.Event | None = None
        self._attempts, self._backoff_s, self._due_ns = 0, 0.0, 0

    def begin(self, at_least_s: float = 0.0) -> str:
        """Try again in the background from now on, where that is not done already; why it cannot be, "" where it is."""
        with self._mutex:
            if self._stop is not None:
                return ""
            stop = self._stop = threading.Event()
            self._attempts = 0
            self._plan(at_least_s)
        try:
            threading.Thread(target=self._run, args=(stop,), name="sealane-broker", daemon=True).start()
        except RuntimeError as error:  # the interpreter ends, or the system has no thread left
            self._over(stop)
            return str(error)
        return ""

    def end(self) -> None:
        """There is nothing to recover any more."""
        stop = self._stop
        if stop is not None:
            self._over(stop)

    def _over(self, stop: threading.Event) -> None:
        stop.set()
        with self._mutex:
            if self._stop is stop:
                self._stop, self._backoff_s = None, 0.0

    def _plan(self, at_least_s: float) -> None:
        self._backoff_s = backoff_s(self._attempts, at_least_s)
        self._due_ns = self._clock.boot_ns() + int(self._backoff_s * NS_PER_S)

    def _run(self, stop: threading.Event) -> None:
        while not pause(stop, self._backoff_s):
            with self._mutex:
                self._attempts += 1
            begun_ns = self._clock.boot_ns()
            at_least_s = self._tried()
            if at_least_s is None or stop.is_set():
                self._over(stop)
                return
            took_s = (self._clock.boot_ns() - begun_ns) / NS_PER_S
            with self._mutex:
                self._plan(max(at_least_s, took_s))

    def _tried(self) -> float | None:
        try:
            return self._attempt()
        except Exception:
            logger.exception("recovery in the background failed, and goes on")
            return 0.0

    def figures(self) -> RecoveryFigures:
        """A frozen snapshot."""
        with self._mutex:
            if self._stop is None:
                return RecoveryFigures(self._attempts)
            left_s = max(0, self._due_ns - self._clock.boot_ns()) / NS_PER_S
            return RecoveryFigures(self._attempts, True, left_s, self._backoff_s)
