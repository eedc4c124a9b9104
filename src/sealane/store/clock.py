"""The clocks of this machine, for the store and for all that stand above it."""

from __future__ import annotations

import time
from typing import Protocol

# Linux counts suspended time in BOOTTIME; on macOS MONOTONIC does.
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Both clocks in nanoseconds."""

    def wall_ns(self) -> int:
        """Unix time; may step."""

    def boot_ns(self) -> int:
        """Time since boot, sleep included; never steps."""


class WaitingClock(Clock, Protocol):
    """One by which a thread in the background may wait."""

    def pause(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The real clocks."""

    wall_ns = staticmethod(time.time_ns)
    pause = staticmethod(time.sleep)

    def boot_ns(self) -> int:
        """See Clock."""
        return time.clock_gettime_ns(_BOOT_CLOCK)


SYSTEM_CLOCK = SystemClock()
