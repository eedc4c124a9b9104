"""The audit: a line of JSON for every private call and every decision, only ever added to.

1. A line is there, whole, before ``note`` returns; else NotDurable, and whoever asked sends nothing on it. What was
   written of a line that did not fit is cut off again, so every line can be parsed.
2. ``audit.jsonl`` is written to its end (O_APPEND, 0600). At SIZE_MAX it is renamed to ``audit.000001.jsonl`` and so
   on; the last FILES_KEPT of these stay. A file that was moved away or removed is made anew at the next line.
3. Whoever calls gives fields without a secret; what looks like one all the same (88 characters of base64, as secrets
   and signatures are, or what begins as a virtual secret does) is masked.
4. Each note tries anew, so it is well again as soon as the disk is. A line is in the kernel's hands, not synced: kill
   -9 loses none, power loss may lose the last moments.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from sealane.core.nonce import NS_PER_S
from sealane.errors import NotDurable
from sealane.gateway.keys.private_files import DISK, FILE_MODE, make_folder
from sealane.runtime.clock import Clock

AUDIT, LOCK = "audit.jsonl", "audit.lock"
SIZE_MAX = 64 * 1024 * 1024
FILES_KEPT = 8
TAIL_BYTES = 1024 * 1024
"""How far back the end of the last whole line is sought."""
_ROTATED = re.compile(r"audit\.([0-9]{6,})\.jsonl")
_SECRET = re.compile(r"SEALANE/[A-Za-z0-9+/]{16,}={0,2}|[A-Za-z0-9+/]{86}==")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

logger = logging.getLogger("sealane.gateway")


class Audit:
    """The audit of one folder; used by one thread. ``is_well`` is False from a line that failed to one that did not."""

    def __init__(self, folder: Path, clock: Clock, *, size_max: int = SIZE_MAX, files_kept: int = FILES_KEPT) -> None:
        self.path = folder / AUDIT
        self._clock, self._size_max, self._files_kept = clock, size_max, files_kept
        self._full = size_max  # the size at which it is rotated: more than the rule says where that failed
        self._fd: int | None = None
        self._identity: tuple[int, int] | None = None
        self.is_well = True

    def note(self, **fields: object) -> None:
        """Add a line: the time as ``at``, then the fields; raises NotDurable where it is not there, whole."""
        line = self._line(fields)
        try:
            self._append(line)
        except OSError as error:
            self._fail(error)
        if not self.is_well:
            logger.warning("the audit can be written again: %s", self.path)
            self.is_well = True

    def close(self) -> None:
        """Let go of the file; the next line opens it again."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _line(self, fields: dict[str, object]) -> bytes:
        at = _EPOCH + timedelta(microseconds=self._clock.wall_ns() // (NS_PER_S // 1_000_000))
        text = _told({"at": at.isoformat(timespec="microseconds"), **fields})
        return masked_secrets(text).encode() + b"\n"

    def _append(self, line: bytes) -> None:
        fd, size = self._current()
        if size + len(line) > self._full and size:
            self._rotate(size, len(line))
            fd, size = self._current()
        written = os.write(fd, line)
        if written != len(line):
            self._cut(fd, written)
            raise OSError("only a part of a line could be written")

    def _current(self) -> tuple[int, int]:
        """The file that the name stands for, and its size."""
        if self._fd is not None:
            with suppress(FileNotFoundError):
                facts = self.path.stat()
                if (facts.st_dev, facts.st_ino) == self._identity:
                    return self._fd, facts.st_size
            self.close()
        return self._open()

    def _open(self) -> tuple[int, int]:
        make_folder(self.path.parent)
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            if DISK.try_lock(fd):  # nobody else is writing
                _mend(fd)
            with suppress(BlockingIOError):  # another looks at its end at this very moment
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            facts = os.fstat(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._identity = fd, (facts.st_dev, facts.st_ino)
        return fd, facts.st_size

    def _cut(self, fd: int, written: int) -> None:
        """Take back a part of a line. Where that fails too, the next opening does it."""
        end = os.lseek(fd, 0, os.SEEK_CUR)
        with suppress(OSError):
            if os.fstat(fd).st_size == end:  # nobody else wrote since
                os.ftruncate(fd, end - written)
        self.close()

    def _rotate(self, size: int, wanted: int) -> None:
        """Put a file aside that has no room for so many bytes. Where that fails it grows: no line is lost for it."""
        try:
            self._put_aside_alone(wanted)
            self._full = self._size_max
        except OSError as error:
            self._full = size + self._size_max
            logger.warning("the audit grows past its size, for it could not be put aside: %s: %s", self.path, error)

    def _put_aside_alone(self, wanted: int) -> None:
        """Unless another process is at it."""
        fd = DISK.open(self.path.with_name(LOCK))
        try:
            if DISK.try_lock(fd):
                self._put_aside(wanted)
                DISK.unlock(fd)
        finally:
            DISK.close(fd)

    def _put_aside(self, wanted: int) -> None:
        if self._current()[1] + wanted <= self._size_max:
            return  # another process was faster
        aside = sorted(int(match[1]) for name in DISK.names(self.path.parent) if (match := _ROTATED.fullmatch(name)))
        self.path.rename(self._aside(max(aside, default=0) + 1))
        for number in aside[: max(0, len(aside) + 1 - self._files_kept)]:
            self._aside(number).unlink(missing_ok=True)

    def _aside(self, number: int) -> Path:
        return self.path.with_name(f"audit.{number:06d}.jsonl")

    def _fail(self, error: OSError) -> None:
        self.close()
        trouble = NotDurable(
            f"Could not keep the audit: {self.path}: {error.strerror or error}. No order passes until it can be "
            "written: free space, or make its folder writable"
        )
        if self.is_well:
            logger.error("%s", trouble)
            self.is_well = False
        raise trouble from error


def masked_secrets(text: str) -> str:
    """The text without what looks like a secret or a signature; of a virtual secret a part is enough."""
    return _SECRET.sub("***", text)


def _mend(fd: int) -> None:
    """Cut off the beginning of a line that nobody finished, as power loss may leave it."""
    size = os.fstat(fd).st_size
    tail = os.pread(fd, TAIL_BYTES, max(0, size - TAIL_BYTES))
    if tail and not tail.endswith(b"\n"):
        os.ftruncate(fd, size - len(tail) + tail.rfind(b"\n") + 1)


def _told(fields: dict[str, object]) -> str:
    """The fields as JSON; as one text those that JSON cannot say, for no content may keep a line out."""
    try:
        return _encode(fields)
    except (ValueError, TypeError):
        return _encode({"at": fields["at"], "fields": repr(fields)})


def _plain(value: object) -> object:
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    return str(value) if isinstance(value, Decimal) else repr(value)


_encode = json.JSONEncoder(separators=(",", ":"), default=_plain, allow_nan=False).encode
