"""One live run an account: a kernel lock for each in the data folder, held for as long as the run goes on.

1. Who trades an account holds the lock of ``runs/<account>.lock``. The kernel frees it when that process dies, however
   it dies. What is written inside is for people.
2. A run takes all its accounts or none, so that one that waits keeps nobody out. They are tried in the order of their
   names: of two that could have them one gets them.
3. A lock file is never removed. A forked child closes its copies, which releases nothing.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import quote

from sealane.errors import NotDurable
from sealane.runtime.lanes import rebuilt_after_fork
from sealane.store.disk import Disk, OsDisk, write_all

STANDBY_LOOK_S = 0.5
"""How often a standby looks whether the accounts are free."""
_HOLDER_BYTES = 200

logger = logging.getLogger("sealane.trading")


class Reservation:
    """Some accounts of a data folder, for one run; a context that gives them back.

    Args:
        folder: the data folder; None where there is none, and nothing to share: then nothing is taken.
        accounts: their names.
        disk: the operating system's files.
        look_s: how often a standby looks.

    ``stop`` may be called from any thread and from a signal handler.
    """

    def __init__(
        self, folder: Path | None, accounts: Sequence[str], *, disk: Disk | None = None, look_s: float = STANDBY_LOOK_S
    ) -> None:
        self._folder = None if folder is None else folder / "runs"
        self._accounts = sorted(accounts) if folder is not None else []
        self._disk, self._look_s = disk or OsDisk(), look_s
        self._held: list[int] = []
        self._is_stopped = False
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()  # its put() is safe in a signal handler
        rebuilt_after_fork(self)

    def wait(self, told: Callable[[str], None] = lambda said: None) -> bool:
        """Take the accounts, as soon as no other run has one; False where ``stop`` came first.

        ``told`` hears once who has one, and once that the wait is over. Raises NotDurable where there can be no lock.
        """
        has_waited = False
        while not self._is_stopped:
            taken = self._take()
            if not taken:
                if has_waited:
                    self._tell(told, "the accounts are free: this run goes on with them")
                return True
            if not has_waited:
                self._tell(told, f"standby: {taken}. This run goes on when that one ends")
                has_waited = True
            self._pause()
        return False

    def stop(self) -> None:
        """Wait no longer."""
        self._is_stopped = True
        self._news.put(None)

    def close(self) -> None:
        """Give back what is held."""
        held, self._held = self._held, []
        for fd in held:
            self._disk.close(fd)

    after_fork = close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tell(self, told: Callable[[str], None], said: str) -> None:
        logger.info("%s", said)
        told(said)

    def _pause(self) -> None:
        try:
            self._news.get(timeout=self._look_s)
        except queue.Empty:
            return

    def _take(self) -> str:
        """Take all; else none, and say who has one."""
        for account in self._accounts:
            path = self._path(account)
            try:
                free = self._lock(path)
            except OSError as error:
                self.close()
                raise NotDurable(
                    f"{account} cannot be reserved for this run: {path}: {error.strerror or error}. Nothing was "
                    "started. Make the folder exist and writable, or name another in DATA_DIR"
                ) from error
            if not free:
                self.close()
                return f"{account} is traded by another live run ({self._holder(path)})"
        return ""

    def _lock(self, path: Path) -> bool:
        self._disk.sync_folder(path.parent)
        fd = self._disk.open(path)
        is_ours = False
        try:
            is_ours = self._disk.try_lock(fd) and not self._disk.is_gone(fd, path)
            if is_ours:
                self._disk.cut(fd, 0)
                write_all(self._disk, fd, f"pid {os.getpid()} on {socket.gethostname()}\n".encode())
                self._held.append(fd)
        finally:
            if fd not in self._held:
                self._disk.close(fd)
        return is_ours

    def _holder(self, path: Path) -> str:
        said = (self._disk.content(path, _HOLDER_BYTES) or b"").decode(errors="replace").strip()
        return said if said and said.isprintable() else "which did not say who it is"

    def _path(self, account: str) -> Path:
        return (self._folder or Path()) / f"{quote(account, safe='')}.lock"
