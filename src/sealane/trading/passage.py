"""The passage through which an account's orders go, one at a time: open until the run is over.

Whether an order may start and whether one is under way are decided under one mutex: once the passage is shut, what was
under way then is all there will be.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Passage:
    """One account's. ``is_busy`` may be read from any thread and from a signal handler."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._is_shut = False
        self.is_busy = False

    @contextmanager
    def order(self) -> Iterator[bool]:
        """Whether an order may go; then it is under way while the block lasts."""
        with self._mutex:
            self.is_busy = not self._is_shut
        try:
            yield self.is_busy
        finally:
            self.is_busy = False

    def shut(self) -> bool:
        """Let no further order start; returns whether one is under way."""
        with self._mutex:
            self._is_shut = True
            return self.is_busy
