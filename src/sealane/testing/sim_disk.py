"""The ``sealane.store.disk.Disk`` of one simulated process, over a ``SimVolume`` that it shares with others.

Nothing here waits: what would block raises ``WouldBlock``, for one thread plays every process. A fuse
(``SimDisk.trip``) lets anything happen in the middle of a verb of the store: the death of this process, a power
loss, or another process that comes in between.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable
from pathlib import Path

from sealane.store.disk import UNLOCK
from sealane.testing.sim_volume import SimFile, SimVolume

_fds = itertools.count(3)


class Killed(BaseException):
    """The simulated process is no more. Not an Exception: nothing in a store may catch it and go on."""


class WouldBlock(OSError):
    """A simulated process would have had to wait for another."""

    def __init__(self) -> None:
        super().__init__(errno.EDEADLK, "would wait for another simulated process")


class SimDisk:
    """One process's descriptors on a volume. flock belongs to the descriptor: its close or the kill ends it."""

    def __init__(self, volume: SimVolume) -> None:
        self.volume = volume
        self.calls = 0
        self.alive = True
        self._open: dict[int, SimFile] = {}
        self._fuse: tuple[int, Callable[[], None]] | None = None
        volume.on_stop.append(self.kill)

    # --- what happens to the process ------------------------------------------------------------------------------

    def kill(self) -> None:
        """End the process: descriptors and locks are gone, what it wrote is in the page cache."""
        self.alive = False
        for fd in tuple(self._open):
            self._let_go(fd)
        if self.kill in self.volume.on_stop:
            self.volume.on_stop.remove(self.kill)

    def trip(self, calls: int, happens: Callable[[], None]) -> None:
        """Have something happen just before the ``calls``-th call from now."""
        self._fuse = self.calls + calls, happens

    def disarm(self) -> bool:
        """Take the fuse out again; False when it has blown."""
        fuse, self._fuse = self._fuse, None
        return fuse is not None

    def _called(self) -> None:
        self.calls += 1
        if self._fuse is not None and self.calls >= self._fuse[0]:
            happens = self._fuse[1]
            self._fuse = None
            happens()
        if not self.alive:
            raise Killed

    # --- Disk -----------------------------------------------------------------------------------------------------

    def open(self, path: Path) -> int:
        """See Disk."""
        self._called()
        self.volume.check_writable()
        file = self.volume.make(path)
        fd = next(_fds)
        self._open[fd] = file
        return fd

    def close(self, fd: int) -> None:
        """See Disk."""
        self._called()
        self._file(fd)
        self._let_go(fd)

    def read(self, fd: int, size: int, offset: int = 0, /) -> bytes:
        """See Disk."""
        self._called()
        return self._file(fd).content[offset : offset + size]

    def write(self, fd: int, content: bytes, offset: int = 0, /) -> int:
        """See Disk."""
        self._called()
        file = self._file(fd)
        self.volume.check_writable()
        self.volume.check_room(file, offset + len(content))
        file.write(content, offset)
        file.written_ns = self.volume.now_ns()
        return len(content)

    def cut(self, fd: int, size: int) -> None:
        """See Disk."""
        self._called()
        self.volume.check_writable()
        self._file(fd).cut(size)

    def sync(self, fd: int) -> None:
        """See Disk."""
        self._called()
        self.volume.sync(self._file(fd))

    def sync_folder(self, folder: Path) -> None:
        """See Disk. Folders themselves are taken to be there: only names within them can be lost."""
        self._called()
        self.volume.sync_names(folder)

    def flock(self, fd: int, operation: int, /) -> None:
        """See Disk."""
        if operation == UNLOCK:
            self.unlock(fd)
        elif not self.try_lock(fd):
            raise BlockingIOError

    def lock(self, fd: int) -> None:
        """See Disk. Raises WouldBlock where another descriptor has it."""
        if not self.try_lock(fd):
            raise WouldBlock

    def try_lock(self, fd: int) -> bool:
        """See Disk."""
        self._called()
        file = self._file(fd)
        if file.locked_by not in (None, fd):
            return False
        file.locked_by = fd
        return True

    def unlock(self, fd: int) -> None:
        """See Disk."""
        self._called()
        file = self._file(fd)
        if file.locked_by == fd:
            file.locked_by = None

    def is_locked(self, path: Path) -> bool:
        """See Disk."""
        self._called()
        file = self.volume.names.get(path)
        return file is not None and file.locked_by is not None

    def rename(self, path: Path, new: Path) -> None:
        """See Disk."""
        self._called()
        self.volume.check_writable()
        self.volume.rename(path, new)

    def unlink(self, path: Path) -> None:
        """See Disk."""
        self._called()
        self.volume.check_writable()
        self.volume.remove(path)

    def is_gone(self, fd: int, path: Path) -> bool:
        """See Disk."""
        self._called()
        return self.volume.names.get(path) is not self._file(fd)

    def content(self, path: Path, size: int) -> bytes | None:
        """See Disk."""
        self._called()
        content = self.volume.content(path)
        return None if content is None else content[:size]

    def names(self, folder: Path) -> list[str]:
        """See Disk."""
        self._called()
        return [path.name for path in self.volume.names if path.parent == folder]

    def age_s(self, path: Path, wall_ns: int) -> float | None:
        """See Disk."""
        self._called()
        file = self.volume.names.get(path)
        return None if file is None else max(0, wall_ns - file.written_ns) / 1e9

    def boot_id(self) -> str:
        """See Disk."""
        self._called()
        return self.volume.boot_id()

    def mount_id(self, fd: int) -> str:
        """See Disk."""
        self._called()
        self._file(fd)
        return self.volume.mount_id()

    def pause(self, seconds: float) -> None:
        """See Disk. Whoever holds the lock will not let go while this process waits."""
        self._called()
        raise WouldBlock

    def _file(self, fd: int) -> SimFile:
        try:
            return self._open[fd]
        except KeyError:
            raise OSError(errno.EBADF, "Bad file descriptor (simulated)") from None

    def _let_go(self, fd: int) -> None:
        file = self._open.pop(fd)
        if file.locked_by == fd:
            file.locked_by = None
