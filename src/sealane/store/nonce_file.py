"""The nonce file of one lane: the last nonce issued, as one plain decimal integer, always.

1. It is written in place for every issue, under its flock, and never truncated first: a kill at any instant leaves a
   whole number. What a longer, older content leaves behind it is cut off afterwards.
2. The number is written before the mark (``mark.py``) is extended and before it is returned. Only a number that both
   cover is issued; where either fails it is burned, and NotDurable raised.
3. A content that is no number is never a reason to go lower: the mark, and all that this process knows, stand below.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from sealane.core.nonce import MAX_NONCE, NONCE_BYTES, ClockGuard, next_nonce, parse_nonce
from sealane.errors import NotDurable, SettingsError
from sealane.store.disk import LOCK_NOW, UNLOCK, Disk, lock_briefly
from sealane.store.floors import Floors
from sealane.store.lock_holders import LockHeld, told_remedy
from sealane.store.mark import Era, extend_mark, load_mark
from sealane.store.slots import SLOT_BYTES

RECHECK_NS = 50_000_000
"""How often a draw looks whether the file was removed or replaced."""

T = TypeVar("T")
MEND_FOLDER = "Make the folder exist, writable and with free space, or name another in DATA_DIR"

logger = logging.getLogger("sealane.store")


def not_durable(error: OSError, path: Path) -> NotDurable:
    """The error for a file that could not be kept or read, with the remedy; it is logged as well."""
    remedy = told_remedy(path) if isinstance(error, LockHeld) else MEND_FOLDER
    trouble = NotDurable(
        f"Could not persist nonce to disk: {path}: {error.strerror or error}. Nothing was issued or sent. {remedy}"
    )
    logger.error("%s", trouble)
    return trouble


def content_of(disk: Disk, path: Path, size: int) -> bytes:
    """A file's content, b"" where it is missing; NotDurable where it cannot be read."""
    try:
        return disk.content(path, size) or b""
    except OSError as error:
        raise not_durable(error, path) from error


@dataclass(frozen=True)
class _Open:
    """The descriptor and the era it was opened in."""

    fd: int
    era: Era


class NonceFile:
    """See the rules at the head of this file; ``on_open`` is called whenever a descriptor was opened."""

    def __init__(self, disk: Disk, path: Path, floors: Floors, on_open: Callable[[], None]) -> None:
        self.path = path
        self.loaded_from = ""
        self.reserve_due = False
        self.clock_doubted = False
        self.permit: Callable[[int, int], None] | None = None
        """Called under the draw lock with a number, before it is written, and the time since boot. It may raise."""
        self._disk, self._floors, self._on_open, self._unit_ns = disk, floors, on_open, floors.unit_ns
        self._mark_path = path.with_suffix(".mark")
        self._guard = ClockGuard()
        self._last = 0  # the highest number the lane is known to have issued, or has to stay above
        self._raw: bytes | None = None  # what this process wrote last since it opened the file
        self._mark = self._due_at = 0
        self._check_at_ns = 0
        self._mutex = threading.Lock()
        self._open: _Open | None = None
        self._era: Era | None = None  # of the last opening

    def draw(self, wall_ns: int, boot_ns: int) -> int:
        """See ``port.LaneStore``. The hot path: one pass over the rules, with the rare cases called out."""
        with self._mutex:
            try:
                opened = self._locked(boot_ns)
                try:
                    raw = self._disk.read(opened.fd, NONCE_BYTES + 1, 0)
                    last = self._last if raw == self._raw else self._understood(raw)
                    now = wall_ns // self._unit_ns if self._follows(wall_ns, boot_ns) else 0
                    nonce = next_nonce(last, now)
                    if self.permit is not None:
                        self.permit(nonce, boot_ns)
                    self._put(opened, raw, nonce, now)
                finally:
                    self._disk.flock(opened.fd, UNLOCK)
            except OSError as error:
                raise not_durable(error, self.path) from error
            return nonce

    def raise_floor(self, floor: int) -> int:
        """See ``port.LaneStore``."""
        if floor >= MAX_NONCE:
            raise SettingsError(f"a floor of {floor} leaves no nonce: the largest that Kraken takes is {MAX_NONCE}")
        with self._mutex:
            try:
                opened = self._locked(None)
                try:
                    raw = self._disk.read(opened.fd, NONCE_BYTES + 1, 0)
                    stands = max(floor, self._last if raw == self._raw else self._understood(raw))
                    if stands:  # also where it stands already: it may have been burned before a mark covered it
                        self._put(opened, raw, stands, 0)
                finally:
                    self._disk.flock(opened.fd, UNLOCK)
            except OSError as error:
                raise not_durable(error, self.path) from error
            return stands

    def last_with(self, then: Callable[[int], T]) -> T:
        """Do something with the highest nonce issued while nobody can draw another."""
        with self._mutex:
            try:
                opened = self._locked(None)
                try:
                    raw = self._disk.read(opened.fd, NONCE_BYTES + 1, 0)
                    return then(self._last if raw == self._raw else self._understood(raw))
                finally:
                    self._disk.flock(opened.fd, UNLOCK)
            except OSError as error:
                raise not_durable(error, self.path) from error

    def must_sync(self, wall_ns: int) -> bool:
        """See ``port.LaneStore``."""
        return self._open is None or max(self._last + 1, wall_ns // self._unit_ns) > self._mark

    def reserve(self, wall_ns: int) -> None:
        """See ``port.LaneStore``. Runs beside draws: it holds neither of their locks while the disk works."""
        opened = self._open
        self.reserve_due = False
        if opened is None or self._raw is None:  # rule 3 of the mark: the file is written first
            return
        now = 0 if self.clock_doubted else wall_ns // self._unit_ns
        try:
            mark, due_at = self._extend(opened, self._last, now)
        except OSError as error:
            not_durable(error, self._mark_path)  # told in the log; the next draw waits for the disk itself, and raises
            return
        with self._mutex:
            if mark > self._mark and opened is self._open:
                self._mark, self._due_at = mark, due_at

    def last(self) -> int:
        """See ``port.LaneStore``."""
        try:
            return max(self._last, parse_nonce(content_of(self._disk, self.path, NONCE_BYTES + 1)))
        except ValueError:
            return self._last

    def stored_mark(self) -> int:
        """The durable high-water mark, 0 for none."""
        return load_mark(content_of(self._disk, self._mark_path, 2 * SLOT_BYTES)).number

    def confirm_clock(self, server_ns: int, wall_ns: int, boot_ns: int) -> bool:
        """See ``port.LaneStore``."""
        with self._mutex:
            if self._guard.confirm(server_ns, wall_ns, boot_ns):
                self.clock_doubted = False
                self._due_at = 0  # so that the new reference reaches the mark with the next draw
            return not self.clock_doubted

    def look_again(self) -> None:
        """Have the next draw look whether the file is still the one: a turn begins."""
        self._check_at_ns = 0

    def close(self) -> None:
        """Let go of the file; what is known of it stays."""
        with self._mutex:
            self._close()

    def close_if_free(self) -> None:
        """Let go of the file unless a draw is under way; never waits, since its caller may be in a draw of its own."""
        if self._mutex.acquire(blocking=False):
            try:
                self._close()
            finally:
                self._mutex.release()

    def after_fork(self) -> None:
        """In a forked child: let go of what is shared with the parent."""
        self._mutex = threading.Lock()
        self._close()

    # --- mutex held -----------------------------------------------------------------------------------------------

    def _follows(self, wall_ns: int, boot_ns: int) -> bool:
        follows = self._guard.follows(wall_ns, boot_ns)
        if follows is self.clock_doubted:
            self.clock_doubted = not follows
            if self.clock_doubted:
                logger.warning("the clock leaped forward; nonces in %s go on from the last one", self.path)
        return follows

    def _understood(self, raw: bytes) -> int:
        """Draw lock held: the highest number issued so far, by a content that this process did not write."""
        try:
            return max(parse_nonce(raw), self._last)
        except ValueError as error:
            floor = max(self._last, self.stored_mark())
            if self._raw is not None:
                logger.warning("%s was spoiled while in use (%s); going on above %d", self.path, error, floor)
            return floor

    def _put(self, opened: _Open, before: bytes, nonce: int, now: int) -> None:
        """Draw lock held: write the number, then see to the mark. An error here leaves the number burned."""
        text = b"%d" % nonce
        size = len(text)
        if self._disk.write(opened.fd, text, 0) != size:
            raise OSError(f"only a part of {size} bytes was written")
        if len(before) > size:
            self._disk.cut(opened.fd, size)
        self._last, self._raw = nonce, text
        if nonce > self._mark:
            self._mark, self._due_at = self._extend(opened, nonce, now)
        elif nonce >= self._due_at:
            self.reserve_due = True

    def _extend(self, opened: _Open, nonce: int, now: int) -> tuple[int, int]:
        return extend_mark(
            self._disk,
            self._mark_path,
            opened.era,
            nonce=nonce,
            now=now,
            unit_ns=self._unit_ns,
            offset_ns=self._guard.offset_ns,
            lock=partial(lock_briefly, self._disk),
            first=not self._mark,
        )

    def _locked(self, boot_ns: int | None) -> _Open:
        """Take the draw lock of the file that the lane's name stands for; looked up at least every RECHECK_NS."""
        while True:
            opened = self._open or self._opened()
            try:
                self._disk.flock(opened.fd, LOCK_NOW)
            except BlockingIOError:
                lock_briefly(self._disk, opened.fd)
            if boot_ns is not None and boot_ns < self._check_at_ns:
                return opened
            if not self._disk.is_gone(opened.fd, self.path):
                self._check_at_ns = (boot_ns or 0) + RECHECK_NS
                return opened
            logger.warning("%s was removed or replaced while in use; opening it anew", self.path)
            self._close()
            self._era = None

    def _opened(self) -> _Open:
        """Open the file; the first time, and where it may have lost something since, find the floor to start from."""
        new = False
        if self._era is None:
            self._disk.sync_folder(self.path.parent)  # makes it where it is missing
            new = self._disk.content(self.path, 1) is None
        fd = self._disk.open(self.path)
        try:
            era = Era(self._disk.boot_id(), self._disk.mount_id(fd))
            content = self._disk.read(fd, NONCE_BYTES + 1, 0)
            if era != self._era or not era.known or not content:
                self._find_floor(content, era, new=new)
        except BaseException:
            self._disk.close(fd)
            raise
        self._raw = None
        self._open, self._era = _Open(fd, era), era
        self._on_open()
        return self._open

    def _find_floor(self, content: bytes, era: Era, *, new: bool) -> None:
        self._disk.sync_folder(self.path.parent)  # an earlier process may have made the file and died before this
        mark = load_mark(self._disk.content(self._mark_path, 2 * SLOT_BYTES))
        start = self._floors.start(content, mark, era, new=new)
        if era.boot and mark.boot == era.boot and mark.offset_ns is not None:
            self._guard = ClockGuard((mark.offset_ns,))
        self.loaded_from = start.source
        self._last = max(self._last, start.floor)
        self._mark = self._due_at = 0  # the first draw makes sure of the mark, in this era

    def _close(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            self._disk.close(opened.fd)
