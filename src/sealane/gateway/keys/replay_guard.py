"""A bot's nonces, each taken once: a request that was overheard and sent again is refused.

1. A nonce is taken when it was not taken before and, once WINDOW were taken, is above the smallest of the last WINDOW
   that are kept. So a bot may send in parallel and in any unit, and one odd number far ahead does not shut it out.
2. It is written to its slot before ``accept`` says yes: a gateway that was killed knows it still. There is no sync at
   every call: power loss may forget the last moments' numbers.
3. The file is locked by whoever has it open, so what is in memory is what is in the file: two gateways on one folder
   cannot take a nonce twice. At most OPEN_MAX files are open; whose turn comes again is read again, 2 KB.
4. A file that is not what was written here (another size, a number twice, one that is none) fails closed: to begin
   anew would let everything pass again that was ever sent. Giving the bot a new key (rotate) gives it a new file.
"""

from __future__ import annotations

import heapq
import os
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from sealane.core.nonce import MAX_NONCE
from sealane.errors import NotDurable
from sealane.gateway.keys.private_files import DISK, make_folder
from sealane.store.disk import write_all

WINDOW = 256
OPEN_MAX = 128
_SLOT = struct.Struct("<Q")
_ALL = struct.Struct(f"<{WINDOW}Q")


class ReplayGuard:
    """The nonces of one key text; used by one thread. Nothing is touched on disk before the first nonce.

    ``write`` stands in for ``os.pwrite`` in tests.
    """

    def __init__(self, path: Path, *, write: Callable[[int, bytes, int], int] = os.pwrite) -> None:
        self.path = path
        self._write = write
        self._fd: int | None = None
        self._taken: dict[int, int] = {}  # the slot of each
        self._smallest: list[int] = []  # a heap of the same

    def accept(self, nonce: int) -> bool:
        """Take it, if it may be; raises NotDurable where that cannot be stored or known: then it was not taken."""
        if not 0 < nonce <= MAX_NONCE:
            return False
        try:
            fd = self._open() if self._fd is None else self._fd
            return self._take(fd, nonce)
        except OSError as error:
            self.close()  # what came of the write is in the file alone
            raise NotDurable(f"Could not keep a bot's nonce: {self.path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Let go of the file and its lock; the next nonce opens it again."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    @property
    def is_open(self) -> bool:
        """Whether it has a file open."""
        return self._fd is not None

    def _take(self, fd: int, nonce: int) -> bool:
        if nonce in self._taken:
            return False
        slot, evicted = len(self._taken), None
        if slot == WINDOW:
            evicted = self._smallest[0]
            if nonce < evicted:
                return False
            slot = self._taken[evicted]
        if self._write(fd, _SLOT.pack(nonce), slot * _SLOT.size) != _SLOT.size:
            raise OSError("only a part of it was written")
        self._taken[nonce] = slot
        if evicted is None:
            heapq.heappush(self._smallest, nonce)
        else:
            del self._taken[evicted]
            heapq.heapreplace(self._smallest, nonce)
        return True

    def _open(self) -> int:
        make_folder(self.path.parent)
        fd = DISK.open(self.path)
        try:
            if not DISK.try_lock(fd):
                raise OSError("another gateway on this data folder uses the same key: end one of them")
            if not os.fstat(fd).st_size:
                self._begin(fd)
            self._taken = _read(fd)
            self._smallest = sorted(self._taken)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return fd

    def _begin(self, fd: int) -> None:
        """Give a new file its size, for good: one that lost its content later must not look new."""
        write_all(DISK, fd, bytes(_ALL.size))
        DISK.sync(fd)
        DISK.sync_folder(self.path.parent)


def _read(fd: int) -> dict[int, int]:
    """The numbers of a file with their slots; raises OSError for one that was not written here."""
    content = os.pread(fd, _ALL.size + 1, 0)
    numbers = _ALL.unpack(content) if len(content) == _ALL.size else ()
    count = numbers.index(0) if 0 in numbers else len(numbers)
    taken = {number: slot for slot, number in enumerate(numbers[:count])}
    if not numbers or any(numbers[count:]) or len(taken) < count or max(taken, default=0) > MAX_NONCE:
        raise OSError("it is damaged, and what was sent before cannot be told: give its bot a new key (keys rotate)")
    return taken


class ReplayGuards:
    """The guards of a folder by the fingerprints of their keys, with at most ``open_max`` files open."""

    def __init__(self, folder: Path, *, open_max: int = OPEN_MAX) -> None:
        self._folder, self._open_max = folder, open_max
        self._guards: OrderedDict[str, ReplayGuard] = OrderedDict()

    def accept(self, fingerprint: str, nonce: int) -> bool:
        """See ``ReplayGuard.accept``."""
        guard = self._guards.get(fingerprint)
        if guard is None:
            guard = self._guards[fingerprint] = ReplayGuard(self._folder / f"{fingerprint}.nonces")
            while len(self._guards) > self._open_max:
                self._guards.popitem(last=False)[1].close()
        self._guards.move_to_end(fingerprint)
        return guard.accept(nonce)

    def close(self) -> None:
        """Let go of all files."""
        for guard in self._guards.values():
            guard.close()
        self._guards.clear()
