"""``L.<engine>.lease``: what a host's processes share of a lane's lease, and the lock under which one asks the engine.

1. The record is read without a lock, before every nonce and every request; so it is parsed only when it changed.
2. It is written under the lock, by who asked the engine; and ended under the draw lock as well, so that no nonce is
   drawn after its host let go.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from sealane.core.hold import Hold
from sealane.store.disk import Disk
from sealane.store.nonce_file import not_durable
from sealane.store.slots import read_slots, write_slots

SLOT = 512


class LeaseFile:
    """The record and its lock; safe from any thread."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk, self.path = disk, path
        self._start()

    def _start(self) -> None:
        self._fd: int | None = None
        self._lock_fd: int | None = None
        self._raw, self._sequence, self.known = b"", 0, Hold()
        self._mutex = threading.Lock()
        self._opening = threading.Lock()

    def read(self) -> Hold:
        """The record as it stands; ``known`` is what this process read or wrote last."""
        try:
            raw = self._disk.read(self._opened(), 2 * SLOT, 0)
        except OSError as error:
            raise not_durable(error, self.path) from error
        if raw != self._raw:
            sequence, stored = read_slots(raw, SLOT)
            self.known, self._sequence, self._raw = Hold.loaded(stored), sequence, raw
        return self.known

    def write(self, hold: Hold) -> None:
        """Lock held: replace the record."""
        try:
            self.read()
            self._sequence = write_slots(self._disk, self._opened(), hold.stored(), self._sequence, SLOT)
            self.known = hold
        except OSError as error:
            raise not_durable(error, self.path) from error

    @contextlib.contextmanager
    def locked(self, wait: Callable[[], None]) -> Iterator[None]:
        """One thread of one process of the host at a time.

        Another may have the lock for as long as it waits for the engine, or was stopped. So ``wait`` is called between
        tries: it pauses, or raises.
        """
        while not self._mutex.acquire(blocking=False):
            wait()
        try:
            fd = self._locked(wait)
            try:
                yield
            finally:
                self._disk.unlock(fd)
        finally:
            self._mutex.release()

    def _locked(self, wait: Callable[[], None]) -> int:
        try:
            fd = self._opened()
            while not self._disk.try_lock(fd):
                wait()
        except OSError as error:
            raise not_durable(error, self.path) from error
        return fd

    def _opened(self) -> int:
        with self._opening:
            if self._fd is None:
                self._disk.sync_folder(self.path.parent)
                self._fd = self._disk.open(self.path)
            return self._fd

    def close(self) -> None:
        """Let go of the file, unless somebody asks the engine just now."""
        if self._mutex.acquire(blocking=False):
            try:
                fd, self._fd = self._fd, None
                if fd is not None:
                    self._disk.close(fd)
            finally:
                self._mutex.release()

    def after_fork(self) -> None:
        """In a forked child: close the copy, which releases nothing of the parent's."""
        fd = self._fd
        self._start()
        if fd is not None:
            self._disk.close(fd)
