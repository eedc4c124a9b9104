"""Files that nobody but their owner may read, in a folder of the same kind; every verb raises OSError."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sealane.store.disk import OsDisk, lock_briefly, write_all
from sealane.store.lock_holders import LockHeld, told_remedy

FOLDER_MODE, FILE_MODE = 0o700, 0o600
DISK = OsDisk()


def make_folder(folder: Path) -> None:
    """Make it, for its owner alone, where it is missing; the folders above it as they come."""
    if folder.is_dir():
        return
    DISK.sync_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(FOLDER_MODE)
    DISK.sync_folder(folder.parent)


def put(path: Path, content: bytes) -> None:
    """Put a whole new file in a file's place, at once; after power loss there is the one or the other."""
    new = path.with_name(path.name + ".new")
    DISK.unlink(new)  # somebody died in the midst of this
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        write_all(DISK, fd, content)
        DISK.sync(fd)
        DISK.rename(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            DISK.unlink(new)
        raise
    finally:
        DISK.close(fd)
    DISK.sync_folder(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among all processes, by the lock of this file; the wait is bounded (LOCK_WAIT_S), then LockHeld."""
    fd = DISK.open(path)
    try:
        lock_briefly(DISK, fd)
        try:
            yield
        finally:
            DISK.unlock(fd)
    finally:
        DISK.close(fd)


def told_trouble(error: OSError, path: Path, lock: Path) -> str:
    """What went wrong with a file, and the remedy."""
    remedy = told_remedy(lock) if isinstance(error, LockHeld) else "Make its folder writable, or free space, and repeat"
    return f"{path}: {error.strerror or error}. {remedy}"


def open_to_others(path: Path) -> bool:
    """Whether somebody else than the owner may read it."""
    try:
        return bool(path.stat().st_mode & 0o077)
    except OSError:
        return False
