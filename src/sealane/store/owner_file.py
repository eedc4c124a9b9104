"""Which processes of a place live: a file for each, whose lock the process holds until its end.

1. The kernel drops the lock when the process dies, however it dies, and not while it is merely stopped. So there are
   no time-outs, and no process ids, which are given out again and differ between containers.
2. A token is made up at random, and its file locked before anybody hears of it. A file that is free is a dead one's.
3. Files are made and removed under the log's lock, so that nobody takes one for dead between its making and locking.
4. A forked child closes its copy, which releases nothing, and makes a token of its own.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from sealane.store.disk import Disk

_TOKEN = re.compile(r"[0-9a-f]{24}")
_SUFFIX = ".lock"


class OwnerFile:
    """This process's token, and a look at others'. Every verb raises OSError as the disk does."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk, self._folder = disk, folder
        self._token = ""
        self._own_path = folder
        self._fd: int | None = None

    def standing(self) -> str:
        """The token while its file is there and locked; else "", and ``make`` is due."""
        stands = self._fd is not None and not self._disk.is_gone(self._fd, self._own_path)
        return self._token if stands else ""

    def make(self) -> str:
        """Log's lock held: the token, with its file made, or made again where somebody removed it."""
        if self.standing():
            return self._token
        self.forget()
        token = self._token or secrets.token_hex(12)
        fd = self._disk.open(self._path(token))
        if not self._disk.try_lock(fd):
            self._disk.close(fd)
            raise OSError(f"somebody else holds the lock of {self._path(token)}")
        self._token, self._own_path, self._fd = token, self._path(token), fd
        return token

    def is_alive(self, token: str) -> bool:
        """Whether the token's process lives. What is no token was nobody's."""
        return _TOKEN.fullmatch(token) is not None and self._disk.is_locked(self._path(token))

    def sweep(self) -> None:
        """Log's lock held: remove the files of the dead."""
        for name in self._disk.names(self._folder):
            path = self._folder / name
            if path.suffix == _SUFFIX and not self.is_alive(path.stem):
                self._disk.unlink(path)

    def forget(self) -> None:
        """Close the file, and so end its lock; in a forked child the parent's copy keeps it."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._disk.close(fd)

    def after_fork(self) -> None:
        """In a forked child: the token is the parent's."""
        self._token = ""
        self.forget()

    def _path(self, token: str) -> Path:
        return self._folder / f"{token}{_SUFFIX}"
