"""The turn of one lane between processes: two kernel locks, and the record of the write under way.

1. Whoever holds the flock on ``L.turn`` has the turn.
2. The kernel gives a freed flock to whoever asks first, so a process with many callers could starve its neighbours.
   Hence ``L.next``: to ask for the turn one first holds that lock, and nobody overtakes the one who waits there.
3. The record in ``L.turn`` is read and written by the turn's holder. A holder that dies leaves it standing.

The runtime lets one caller a process come here at a time; the mutex is for another thread that closes idle lanes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from sealane.store.disk import Disk
from sealane.store.nonce_file import content_of, not_durable
from sealane.store.port import awaited
from sealane.store.slots import SLOT_BYTES, read_slots, write_slots


class TurnFile:
    """The locks and the record; ``on_open`` is called whenever files were opened, ``on_enter`` when a turn begins."""

    def __init__(self, disk: Disk, path: Path, on_open: Callable[[], None], on_enter: Callable[[], None]) -> None:
        self._disk, self.path, self._on_open, self._on_enter = disk, path, on_open, on_enter
        self._next_path = path.with_suffix(".next")
        self._sequence: int | None = None  # of the record, as read or written within this turn
        self._fds: tuple[int, int] | None = None
        self._mutex = threading.Lock()
        self.idle = True
        self._is_next = False

    def try_enter(self) -> bool:
        """See ``port.LaneStore``."""
        turn, upcoming = self._opened()
        if not self._disk.try_lock(upcoming):
            return False
        self._is_next = True
        return self._disk.try_lock(turn) and self._admitted(turn, upcoming)

    def enter_if_free(self) -> bool:
        """Nobody of this process asks for the turn: take it if it is free, and keep no place otherwise."""
        turn, upcoming = self._opened()
        if self._disk.try_lock(upcoming):
            if self._disk.try_lock(turn) and self._admitted(turn, upcoming):
                return True
            if self._fds is not None:
                self._disk.unlock(upcoming)
        self.idle = True
        return False

    def wait_enter(self, is_awaited: Callable[[], bool] = awaited) -> bool:
        """See ``port.LaneStore``."""
        while True:
            turn, upcoming = self._opened()
            if not self._is_next:
                self._disk.lock(upcoming)
                self._is_next = True
            self._disk.lock(turn)
            if self._admitted(turn, upcoming):
                return True

    def _admitted(self, turn: int, upcoming: int) -> bool:
        """The turn lock is held: let the next one come up, unless the file was replaced meanwhile."""
        if self._disk.is_gone(turn, self.path):
            self.close()
            self.idle = False
            return False
        self._is_next = False
        self._sequence = None
        self._disk.unlock(upcoming)
        self._on_enter()
        return True

    def leave(self) -> None:
        """See ``port.LaneStore``."""
        with self._mutex:  # so that nobody closes the descriptors, and they become others', before they are unlocked
            if self._fds is not None:
                self._disk.unlock(self._fds[0])
            self.idle = True

    def is_contended(self) -> bool:
        """See ``port.LaneStore``: whoever waits holds ``L.next``, or waits for it."""
        upcoming = self._opened()[1]
        if not self._disk.try_lock(upcoming):
            return True
        self._disk.unlock(upcoming)
        return False

    def is_held(self) -> bool:
        """Whether anybody has the turn, this process or another."""
        try:
            return self._disk.is_locked(self.path)
        except OSError as error:
            raise not_durable(error, self.path) from error

    def read(self) -> Mapping[str, object]:
        """See ``port.LaneStore``."""
        try:
            self._sequence, record = read_slots(self._disk.read(self._opened()[0], 2 * SLOT_BYTES, 0))
        except OSError as error:
            raise not_durable(error, self.path) from error
        return record

    def write(self, record: Mapping[str, object]) -> None:
        """See ``port.LaneStore``."""
        try:
            if self._sequence is None:
                self.read()
            self._sequence = write_slots(self._disk, self._opened()[0], record, self._sequence or 0)
        except OSError as error:
            raise not_durable(error, self.path) from error

    def shown(self) -> Mapping[str, object]:
        """The record as anybody may see it, without a lock."""
        return read_slots(content_of(self._disk, self.path, 2 * SLOT_BYTES))[1]

    def close(self) -> None:
        """Let go of both files, and so of the locks."""
        with self._mutex:
            self._close()

    def close_if_idle(self) -> None:
        """Let go of both files unless the turn is held or asked for."""
        with self._mutex:
            if self.idle:
                self._close()

    def after_fork(self) -> None:
        """In a forked child: the parent's turn is not ours."""
        self._mutex = threading.Lock()
        self._close()

    def _close(self) -> None:
        fds, self._fds = self._fds, None
        self.idle, self._is_next = True, False
        for fd in fds or ():
            self._disk.close(fd)

    def _opened(self) -> tuple[int, int]:
        with self._mutex:
            self.idle = False
            if self._fds is not None:
                return self._fds
            try:
                self._disk.sync_folder(self.path.parent)
                turn = self._disk.open(self.path)
                self._fds = turn, self._disk.open(self._next_path)
            except OSError as error:
                self._close()
                raise not_durable(error, self.path) from error
            fds = self._fds
        self._on_open()
        return fds
