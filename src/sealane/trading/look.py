"""A look at the market on a thread of its own, so that nobody waits longer for it than ``SCAN_LIMIT_S``.

A look that is left alone goes on until its calls' own limits end it; nobody sees what it sees.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from sealane.trading.market import PublicCalls, Scan, scan

SCAN_LIMIT_S = 10.0
"""How long a look at the market may take."""
CALL_LIMIT_S = 5.0
"""How long one of its calls may take, for the client that makes them."""
LOOKS_MAX = 4
"""How many looks that were left alone may still be going on."""


class Look:
    """One look; ``seen`` is there once it has ended, and then ``ended`` is called."""

    def __init__(self, scanned: Callable[[], Scan], ended: Callable[[], None]) -> None:
        self.seen: Scan | None = None
        self._scanned, self._ended = scanned, ended
        try:
            threading.Thread(target=self._look, name="look at the market", daemon=True).start()
        except (RuntimeError, MemoryError) as error:  # no thread to be had
            self.seen = Scan(error=f"{type(error).__name__}: {error}")

    def _look(self) -> None:
        try:
            self.seen = self._scanned()
        except Exception as error:  # whatever a program's own public calls raise
            self.seen = Scan(error=f"{type(error).__name__}: {error}")
        self._ended()


def too_late(limit_s: float) -> Scan:
    """What is seen where a look did not end within its limit."""
    return Scan(error=f"the look at the market did not end within {limit_s:g} s")


def scan_within(
    public: PublicCalls, pairs: Sequence[str], now_ns: Callable[[], int], limit_s: float = SCAN_LIMIT_S
) -> Scan:
    """``scan``, which ends within the limit."""
    ended: queue.SimpleQueue[None] = queue.SimpleQueue()
    look = Look(lambda: scan(public, pairs, now_ns), lambda: ended.put(None))
    if look.seen is None:
        try:
            ended.get(timeout=limit_s)
        except queue.Empty:
            return too_late(limit_s)
    return look.seen or too_late(limit_s)
