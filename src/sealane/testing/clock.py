"""A clock that goes only when it is told to."""

from __future__ import annotations

NS_PER_S = 1_000_000_000
START_NS = 1_800_000_000 * NS_PER_S


class FakeClock:
    """Stands in for ``sealane.runtime.clock.SystemClock``: call it, move it, compare.

    ``advance`` lets time pass, which both clocks of a machine show. ``step`` is somebody setting the wall clock, which
    the time since boot does not show. ``reboot`` starts the time since boot anew.
    """

    def __init__(self, wall_ns: int = START_NS, boot_ns: int = 1_000 * NS_PER_S) -> None:
        self._wall_ns, self._boot_ns = wall_ns, boot_ns

    def wall_ns(self) -> int:
        """Unix time in nanoseconds."""
        return self._wall_ns

    def boot_ns(self) -> int:
        """Nanoseconds since boot."""
        return self._boot_ns

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        if seconds < 0:
            raise ValueError("time only passes forward: use step() to set the wall clock back")
        passed = round(seconds * NS_PER_S)
        self._wall_ns += passed
        self._boot_ns += passed

    def pause(self, seconds: float) -> None:
        """Wait: time passes."""
        self.advance(seconds)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back with a negative number."""
        self._wall_ns += round(seconds * NS_PER_S)

    def reboot(self) -> None:
        """Start the time since boot anew."""
        self._boot_ns = 10 * NS_PER_S
