"""The few things the file store asks of the operating system, in one place so that a test can stand in for them."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sealane.errors import SettingsError
from sealane.store.lock_holders import LockHeld

try:
    import fcntl
except ImportError as missing:  # pragma: no cover - not a POSIX system
    raise SettingsError(
        "the file store needs POSIX file locks, which this system lacks: set SEALANE_STORE to memory: for one process"
    ) from missing


LOCK_NOW = fcntl.LOCK_EX | fcntl.LOCK_NB
UNLOCK = fcntl.LOCK_UN


LOCK_SPINS = 64
"""Tries for a lock that is held for microseconds, before pausing between them."""
LOCK_PAUSE_S = 0.0005
LOCK_WAIT_S = 5.0
"""A brief lock held longer than this means a stopped process: an error is better than hanging with it."""


def lock_briefly(disk: Disk, fd: int) -> None:
    """Take a lock that is only ever held for a moment, with a limit for the case that its holder was stopped."""
    for tried in range(LOCK_SPINS + int(LOCK_WAIT_S / LOCK_PAUSE_S)):
        if disk.try_lock(fd):
            return
        if tried >= LOCK_SPINS:
            disk.pause(LOCK_PAUSE_S)
    raise LockHeld(f"another process has held its lock for {LOCK_WAIT_S:.0f} s, as one that was stopped (SIGSTOP) does")


def write_all(disk: Disk, fd: int, content: bytes, offset: int = 0) -> None:
    """Write all of it, or raise OSError."""
    if disk.write(fd, content, offset) != len(content):
        raise OSError(f"only a part of {len(content)} bytes was written")


class Disk(Protocol):
    """Files by descriptor. Every verb raises OSError as the operating system does."""

    def open(self, path: Path) -> int:
        """Open for reading and writing, made private (0600) where it is missing."""

    def close(self, fd: int) -> None:
        """Close; a lock held through the descriptor ends with its last copy."""

    def read(self, fd: int, size: int, offset: int, /) -> bytes:
        """Up to ``size`` bytes from ``offset``."""

    def write(self, fd: int, content: bytes, offset: int, /) -> int:
        """Write in place; returns how many bytes were written."""

    def cut(self, fd: int, size: int) -> None:
        """Drop what lies behind ``size`` bytes."""

    def sync(self, fd: int) -> None:
        """Make the content survive power loss."""

    def sync_folder(self, folder: Path) -> None:
        """Make the folder's names survive power loss, creating the folder where it is missing."""

    def flock(self, fd: int, operation: int, /) -> None:
        """The kernel's own verb, for the hot path: LOCK_EX | LOCK_NB (BlockingIOError where it is taken) or LOCK_UN."""

    def lock(self, fd: int) -> None:
        """Wait for the exclusive lock."""

    def try_lock(self, fd: int) -> bool:
        """Take the exclusive lock if it is free."""

    def unlock(self, fd: int) -> None:
        """Release the lock."""

    def is_locked(self, path: Path) -> bool:
        """Whether somebody holds the lock of a file that need not exist. Asking takes nothing from anybody."""

    def is_gone(self, fd: int, path: Path) -> bool:
        """Whether the path no longer names this file: it was removed or replaced."""

    def rename(self, path: Path, new: Path) -> None:
        """Put the file in the place of another of the same folder, at once."""

    def unlink(self, path: Path) -> None:
        """Take away a name that need not exist."""

    def content(self, path: Path, size: int) -> bytes | None:
        """Up to ``size`` bytes of a file that need not exist."""

    def names(self, folder: Path) -> list[str]:
        """The names in a folder."""

    def age_s(self, path: Path, wall_ns: int) -> float | None:
        """Seconds since the file was last written."""

    def boot_id(self) -> str:
        """Changes with every boot; "" where the system does not tell."""

    def mount_id(self, fd: int) -> str:
        """Changes with every mount of the file's volume; "" where the system does not tell."""

    def pause(self, seconds: float) -> None:
        """Wait a moment for a lock that is held for microseconds."""


class OsDisk:
    """The real one. The hot verbs are the operating system's own functions, bound once."""

    close: Callable[[int], None] = staticmethod(os.close)
    read: Callable[[int, int, int], bytes] = staticmethod(os.pread)
    write: Callable[[int, bytes, int], int] = staticmethod(os.pwrite)
    flock: Callable[[int, int], None] = staticmethod(fcntl.flock)
    pause: Callable[[float], None] = staticmethod(time.sleep)

    def open(self, path: Path) -> int:
        """See Disk."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def cut(self, fd: int, size: int) -> None:
        """See Disk."""
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        """See Disk."""
        if sys.platform == "darwin":  # pragma: no cover - fsync there leaves the drive's cache out
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fdatasync(fd)

    def sync_folder(self, folder: Path) -> None:
        """See Disk."""
        if not folder.is_dir():
            self.sync_folder(folder.parent)
            with contextlib.suppress(FileExistsError):  # another process was faster; or it is a file, told below
                folder.mkdir()
            self.sync_folder(folder.parent)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def lock(self, fd: int) -> None:
        """See Disk."""
        fcntl.flock(fd, fcntl.LOCK_EX)

    def try_lock(self, fd: int) -> bool:
        """See Disk."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self, fd: int) -> None:
        """See Disk."""
        fcntl.flock(fd, fcntl.LOCK_UN)

    def is_locked(self, path: Path) -> bool:
        """See Disk. A shared lock: those who ask at the same time do not take each other for the holder."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(fd, UNLOCK)  # closing alone would leave it to a child that was forked meanwhile
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def rename(self, path: Path, new: Path) -> None:
        """See Disk."""
        path.rename(new)

    def unlink(self, path: Path) -> None:
        """See Disk."""
        path.unlink(missing_ok=True)

    def is_gone(self, fd: int, path: Path) -> bool:
        """See Disk."""
        try:
            return not os.path.samestat(os.fstat(fd), path.stat())
        except FileNotFoundError:
            return True

    def content(self, path: Path, size: int) -> bytes | None:
        """See Disk."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return os.pread(fd, size, 0)
        finally:
            os.close(fd)

    def names(self, folder: Path) -> list[str]:
        """See Disk."""
        return os.listdir(folder)  # noqa: PTH208 - a folder of many lanes is listed for each new one

    def age_s(self, path: Path, wall_ns: int) -> float | None:
        """See Disk."""
        try:
            return max(0, wall_ns - path.stat().st_mtime_ns) / 1e9
        except (FileNotFoundError, NotADirectoryError):
            return None

    def boot_id(self) -> str:
        """See Disk."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return ""

    def mount_id(self, fd: int) -> str:
        """See Disk."""
        try:
            lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
        except OSError:
            return ""
        return next((line.split()[1] for line in lines if line.startswith("mnt_id:")), "")
