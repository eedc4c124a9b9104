"""Nonces a second on one thread: the file store's own path beside a bare locked loop and the documents' way."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from functools import partial
from pathlib import Path

from bench.report import Result
from bench.rounds import in_turns, per_second
from sealane.runtime.clock import SYSTEM_CLOCK
from sealane.runtime.lanes import Lane
from sealane.store.file import FileStore

TITLE = "nonces a second, one thread, safe between processes"
ROUNDS = 11
ROUND_S = 0.2
BATCH = 500
DOCUMENTS_BATCH = 100


class BareLoop:
    """The least that is safe between processes: flock, pread, int, max, pwrite, unlock, and nothing around it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last = 1
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.pwrite(self._fd, b"1", 0)

    def draw(self, count: int) -> None:
        fd, nonce = self._fd, self.last
        flock, pread, pwrite, now = fcntl.flock, os.pread, os.pwrite, time.time_ns
        lock, unlock = fcntl.LOCK_EX, fcntl.LOCK_UN
        for _ in range(count):
            flock(fd, lock)
            nonce = max(int(pread(fd, 64, 0)) + 1, now())
            pwrite(fd, b"%d" % nonce, 0)
            flock(fd, unlock)
        self.last = nonce


class DocumentsWay:
    """A mutex in the process, and the file opened, truncated, written and closed for every nonce."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last = 0
        self._mutex = threading.Lock()

    def draw(self, count: int) -> None:
        for _ in range(count):
            with self._mutex:
                self.last = max(self.last + 1, time.time_ns())
                with open(self.path, "w") as file:  # noqa: PTH123 - as it stands in the documents
                    file.write(str(self.last))


class StorePath:
    """``FileLane.draw``, with the mark extended on another thread as the runtime does it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "kraken_key_0000000000000001.txt"
        self.last = 0
        self._lane = FileStore(folder).lane(self.path.stem)
        self._reserving: threading.Thread | None = None

    def draw(self, count: int) -> None:
        lane, nonce = self._lane, 0
        draw, wall_ns, boot_ns = lane.draw, SYSTEM_CLOCK.wall_ns, SYSTEM_CLOCK.boot_ns
        for _ in range(count):
            nonce = draw(wall_ns(), boot_ns())
            if lane.reserve_due:
                self._reserve()
        self.last = nonce

    def _reserve(self) -> None:
        if self._reserving is None or not self._reserving.is_alive():
            self._reserving = threading.Thread(target=lambda: self._lane.reserve(time.time_ns()), daemon=True)
            self._reserving.start()


class RuntimePath:
    """``Lane.draw``: the store's path as every call takes it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "kraken_key_0000000000000002.txt"
        self.last = 0
        self._lane = Lane(FileStore(folder).lane(self.path.stem))

    def draw(self, count: int) -> None:
        draw, nonce = self._lane.draw, 0
        for _ in range(count):
            nonce = draw()
        self.last = nonce


class GlobalFunction:
    """``get_global_kraken_nonce()``, the documents' function on Sealane's lane. Takes over DATA_DIR."""

    def __init__(self, folder: Path) -> None:
        os.environ["DATA_DIR"] = str(folder)
        from sealane.global_nonce import get_global_kraken_nonce

        self.path = folder / "kraken_global_nonce.txt"
        self.last = 0
        self._next = get_global_kraken_nonce

    def draw(self, count: int) -> None:
        following, nonce = self._next, 0
        for _ in range(count):
            nonce = following()
        self.last = nonce


Way = BareLoop | DocumentsWay | StorePath | RuntimePath | GlobalFunction


def run(folder: Path) -> Result:
    """See the head of this file."""
    ways: dict[str, Way] = {
        "bare": BareLoop(folder / "bare.txt"),
        "store": StorePath(folder / "store"),
        "runtime": RuntimePath(folder / "runtime"),
        "global": GlobalFunction(folder / "global"),
        "documents": DocumentsWay(folder / "documents.txt"),
    }
    rates = in_turns({name: partial(_rate, way) for name, way in ways.items()}, ROUNDS)
    figures = (
        rates.figure("bare loop: flock, pread, int, max, pwrite, unlock", "bare", "/s"),
        rates.figure("FileLane.draw", "store", "/s"),
        rates.figure("Lane.draw", "runtime", "/s"),
        rates.figure("get_global_kraken_nonce()", "global", "/s"),
        rates.figure("the documents' way: mutex, open, write, close", "documents", "/s"),
        rates.ratio("FileLane.draw : bare loop", "store", "bare", at_least=0.6),
        rates.ratio("Lane.draw : bare loop", "runtime", "bare"),
        rates.ratio("FileLane.draw : documents' way", "store", "documents", at_least=50),
        rates.ratio("Lane.draw : documents' way", "runtime", "documents"),
        rates.ratio("get_global_kraken_nonce() : documents' way", "global", "documents", at_least=20),
        rates.ratio("bare loop : documents' way", "bare", "documents"),
    )
    return Result("nonces", TITLE, figures, (_NOTE,))


_NOTE = "after every batch the file was read back: it held exactly the nonce issued last"


def _rate(way: Way) -> float:
    def check() -> None:
        stored = way.path.read_text()
        if stored != str(way.last):
            raise AssertionError(f"{type(way).__name__} issued {way.last}, its file holds {stored!r}")

    batch = DOCUMENTS_BATCH if isinstance(way, DocumentsWay) else BATCH
    return per_second(way.draw, batch, ROUND_S, check)
