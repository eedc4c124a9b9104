"""How long something may still take, by a clock of this machine that never steps."""

from __future__ import annotations

import time


class Limit:
    """Ends ``limit_s`` after it is made; None never does."""

    def __init__(self, limit_s: float | None) -> None:
        self._ends_s = float("inf") if limit_s is None else time.monotonic() + limit_s

    def left_s(self) -> float:
        """Seconds until it ends, 0 once it has."""
        return max(0.0, self._ends_s - time.monotonic())

    def within(self, limit_s: float) -> Limit:
        """The sooner of this and one of ``limit_s``."""
        return Limit(min(self.left_s(), limit_s))
