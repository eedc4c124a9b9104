"""The log of intents of one folder, ``orders/intents.log``: a line for each document, appended.

1. A line is ``\n<crc32> <json of [id, document]>\n``. It opens with a newline too, so that what an append that was cut
   short, or a sync that failed, left before it spoils nothing but itself. A line whose checksum is wrong is none.
2. Everything happens under the flock of the file that the name stands for, also the sync: so nobody sees a line that
   may yet be taken back, nobody's sync stands for lines that another's failed sync has lost, and under it the end of
   the file is the end of what there is. Writing at that end is then as good as O_APPEND, and knows where it was.
3. What cannot be stored is cut off again. Threads that wait meanwhile are served by the next one together: one
   append, one sync.
4. Whoever opens the file syncs its folder before anything counts: its maker, or whoever renamed it to here, may have
   died before that.
5. When lines outnumber what is worth keeping, the log is written anew beside itself, synced, and renamed into place.
   Power loss leaves one or the other. Others see at their next verb that the file was replaced, and read it from the
   start; else each reads only what was added since it last looked.

The order of a place's processes is that of the lock; documents carry no number of their own.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from sealane.errors import NotDurable
from sealane.store.disk import Disk, lock_briefly, write_all
from sealane.store.intents import SETTLED_KEPT, Intent, Intents, intent_in, intent_of
from sealane.store.lock_holders import LockHeld, told_remedy
from sealane.store.nonce_file import MEND_FOLDER
from sealane.store.owner_file import OwnerFile

LINES_FACTOR = 4
"""The log is written anew when its lines are more than this many times what is kept: at most so long can it get."""
READ_BYTES = 65_536
_UNFINISHED = OSError("whoever was storing it was interrupted")

T = TypeVar("T")
logger = logging.getLogger("sealane.store")


class _Entry:
    """A document on its way into the log: ``trouble`` is None once it is there."""

    def __init__(self, intent: Intent, sync: bool) -> None:
        self.intent, self.sync = intent, sync
        self.taken = False
        self.trouble: OSError | None = _UNFINISHED


class IntentFile:
    """See ``port.IntentLog``. Nothing is touched on disk before the first verb, and nothing made for a look."""

    def __init__(self, disk: Disk, folder: Path, *, settled_kept: int = SETTLED_KEPT) -> None:
        self.path = folder / "orders" / "intents.log"
        self._disk, self._settled_kept = disk, settled_kept
        self._owner = OwnerFile(disk, self.path.parent)
        self._mutex = threading.Lock()
        self._pending: deque[_Entry] = deque()
        self._fd: int | None = None
        self._intents = Intents()
        self._end = self._lines = 0  # how far the file was read, and how many documents it held until there
        self._patience = 0  # lines up to which a rewrite that failed is not tried again

    def write(self, intent_id: str, document: Mapping[str, object], *, sync: bool) -> None:
        """See ``port.IntentLog``."""
        entry = _Entry(intent_of(intent_id, document), sync)
        self._pending.append(entry)
        with self._mutex:
            if not entry.taken:
                self._store_pending()
        if entry.trouble is not None:
            raise self._not_durable(entry.trouble) from entry.trouble

    def read(self, intent_id: str) -> Mapping[str, object] | None:
        """See ``port.IntentLog``."""
        return self._look(lambda intents: intents.read(intent_id))

    def unsettled(self) -> dict[str, Mapping[str, object]]:
        """See ``port.IntentLog``."""
        return self._look(Intents.unsettled)

    def recent(self, limit: int) -> list[tuple[str, Mapping[str, object]]]:
        """See ``port.IntentLog``."""
        return self._look(lambda intents: intents.recent(limit))

    def owner(self) -> str:
        """See ``port.IntentLog``."""
        with self._mutex:
            try:
                return self._owner.standing() or self._under_lock(lambda _: self._owner.make())
            except OSError as error:
                raise self._not_durable(error) from error

    def is_alive(self, owner: str) -> bool:
        """See ``port.IntentLog``."""
        try:
            return self._owner.is_alive(owner)
        except OSError as error:
            raise self._not_durable(error) from error

    def close(self) -> None:
        """See ``port.IntentLog``. The owner's file stays locked: the process lives."""
        with self._mutex:
            self._close()

    def after_fork(self) -> None:
        """See ``port.IntentLog``. Closing a copied descriptor leaves the parent's locks as they are."""
        self._mutex = threading.Lock()
        self._pending = deque()
        self._close()
        self._owner.after_fork()

    def _not_durable(self, error: OSError) -> NotDurable:
        trouble = NotDurable(
            f"Could not keep the record of an order: {self.path}: {error.strerror or error}. "
            f"{told_remedy(self.path) if isinstance(error, LockHeld) else MEND_FOLDER}"
        )
        logger.error("%s", trouble)
        return trouble

    # --- mutex held -----------------------------------------------------------------------------------------------

    def _store_pending(self) -> None:
        batch = []
        while self._pending:
            batch.append(self._pending.popleft())
            batch[-1].taken = True
        try:
            self._under_lock(lambda fd: self._store(fd, batch))
        except OSError as error:
            for entry in batch:
                entry.trouble = error

    def _look(self, ask: Callable[[Intents], T]) -> T:
        with self._mutex:
            try:
                if self._fd is None and self._disk.content(self.path, 1) is None:
                    return ask(Intents())
                self._under_lock(self._catch_up)
            except OSError as error:
                raise self._not_durable(error) from error
            return ask(self._intents)

    def _under_lock(self, act: Callable[[int], T]) -> T:
        """Do something with the file that the log's name stands for, its lock held."""
        fd = self._locked()
        try:
            return act(fd)
        finally:
            self._disk.unlock(fd)  # closing alone would leave the lock to a child that was forked meanwhile
            if fd != self._fd:
                self._disk.close(fd)

    def _locked(self) -> int:
        while True:
            fd = self._opened()
            lock_briefly(self._disk, fd)
            try:
                if not self._disk.is_gone(fd, self.path):
                    return fd
            except OSError:
                self._disk.unlock(fd)
                raise
            self._disk.unlock(fd)
            self._close()

    def _opened(self) -> int:
        if self._fd is None:
            folder = self.path.parent
            self._disk.sync_folder(folder)  # makes it where it is missing
            fd = self._disk.open(self.path)
            try:
                self._disk.sync_folder(folder)
                self._disk.sync_folder(folder.parent)
            except BaseException:
                self._disk.close(fd)
                raise
            self._fd, self._intents = fd, Intents()
            self._end = self._lines = 0
        return self._fd

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            self._disk.close(fd)

    # --- lock held ------------------------------------------------------------------------------------------------

    def _catch_up(self, fd: int) -> None:
        """Take in what was added since the last look; the rest of a line that has no end belongs to a dead writer."""
        end, chunks = self._end, []
        while chunk := self._disk.read(fd, READ_BYTES, end):
            chunks.append(chunk)
            end += len(chunk)
        for line in b"".join(chunks).split(b"\n") if chunks else ():
            intent = intent_of_line(line)
            if intent is not None:
                self._intents.note(intent)
                self._lines += 1
            elif line:
                logger.warning("passing over %d bytes in %s that are no whole record", len(line), self.path)
        self._end = end

    def _store(self, fd: int, batch: list[_Entry]) -> None:
        self._catch_up(fd)
        content = _lines(entry.intent for entry in batch)
        try:
            write_all(self._disk, fd, content, self._end)
            if any(entry.sync for entry in batch):
                self._disk.sync(fd)
        except OSError:
            with contextlib.suppress(OSError):
                self._disk.cut(fd, self._end)
            raise
        self._end += len(content)
        self._lines += len(batch)
        for entry in batch:
            self._intents.note(entry.intent)
            entry.trouble = None
        worth = self._settled_kept + self._intents.unsettled_count
        if self._lines > max(self._patience, LINES_FACTOR * worth):
            self._tidy()

    def _tidy(self) -> None:
        """Write the log anew. Where that fails the old one stands, longer than it need be."""
        try:
            self._rewrite(self._intents.kept(self._settled_kept))
            self._owner.sweep()
        except OSError as error:
            self._patience = 2 * self._lines
            logger.warning("could not tidy %s: %s", self.path, error)

    def _rewrite(self, kept: Intents) -> None:
        content = _lines(kept)
        fd = self._renewed(content)
        try:
            self._disk.sync_folder(self.path.parent)
        except BaseException:
            self._disk.close(fd)
            raise
        self._fd, self._intents = fd, kept
        self._end, self._lines, self._patience = len(content), len(kept), 0

    def _renewed(self, content: bytes) -> int:
        """Put a new file with this content in the log's place; its descriptor."""
        new_path = self.path.with_suffix(".new")
        self._disk.unlink(new_path)  # somebody died in the midst of this; where a rename was torn, it is the log itself
        fd = self._disk.open(new_path)
        try:
            write_all(self._disk, fd, content)
            self._disk.sync(fd)
            self._disk.rename(new_path, self.path)
        except BaseException:
            self._disk.close(fd)
            with contextlib.suppress(OSError):  # on a full disk it would only make things worse
                self._disk.unlink(new_path)
            raise
        return fd


def _lines(intents: Iterable[Intent]) -> bytes:
    """The intents as they stand in the file."""
    return b"".join(b"\n%08x %s\n" % (zlib.crc32(line), line) for line in (intent.line() for intent in intents))


def intent_of_line(line: bytes) -> Intent | None:
    """The intent of one line of the log, None where it is not whole."""
    checksum, _, text = line.partition(b" ")
    return intent_in(text) if checksum == b"%08x" % zlib.crc32(text) else None
