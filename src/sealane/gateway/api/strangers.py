"""Calls that are refused before it is known whose they are. Whoever can reach the gateway can make them, so they may
fill neither the audit nor the list of the last errors: some lines a second, without a word of the asker's, and a count.
"""

from __future__ import annotations

from sealane.core.nonce import NS_PER_S

LINES_PER_S, LINES_MAX = 1.0, 20.0
"""So many lines at once, and so many a second for good: nine files of the audit then last for a month."""
STRANGER = "(not known)"


class Strangers:
    """Which of them are written down."""

    def __init__(self) -> None:
        self._lines, self._at_ns, self._unwritten = LINES_MAX, 0, 0

    def unwritten(self, now_ns: int) -> int | None:
        """How many were not written down before this one, which is to be; None where this one is not either."""
        passed_s = max(0, now_ns - self._at_ns) / NS_PER_S
        self._lines, self._at_ns = min(LINES_MAX, self._lines + passed_s * LINES_PER_S), now_ns
        if self._lines < 1:
            self._unwritten += 1
            return None
        self._lines -= 1
        unwritten, self._unwritten = self._unwritten, 0
        return unwritten
