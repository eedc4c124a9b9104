"""What the processes of one machine share about an account's rate limits: its counters, and notes of its orders.

1. ``rates/<account>.state`` is a small document in two slots. It is read and replaced under the file's kernel lock, so
   a process that dies in between has changed nothing. It is never synced: after power loss Kraken's own counters have
   drained, or its refusal corrects these.
2. ``rates/<account>.notes`` is a table of fixed rows, sought by a hash of the order's name. Where the rows that a name
   may take are full, the oldest is written over: a note that is lost costs a longer wait, nothing else.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote

from sealane.store.disk import Disk, lock_briefly, write_all
from sealane.store.nonce_file import content_of, not_durable
from sealane.store.slots import read_slots, write_slots

RATES_SLOT_BYTES = 32_768
"""Room for some 500 pairs."""
ROW_BYTES = 128
ROWS_A_NAME = 4
PLACES = 16_384
_BUCKET_BYTES = ROW_BYTES * ROWS_A_NAME

T = TypeVar("T")


class RateFiles:
    """The accounts' documents and notes in a folder."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk, self._folder = disk, folder
        self._fd: int | None = None
        self._mutex = threading.Lock()

    def read(self, account: str) -> Mapping[str, object]:
        """See ``port.LaneStore.rates``."""
        content = content_of(self._disk, self._path(account, "state"), 2 * RATES_SLOT_BYTES)
        return read_slots(content, RATES_SLOT_BYTES)[1] if content else {}

    def revise(self, account: str, change: Callable[[Mapping[str, object]], tuple[Mapping[str, object], T]]) -> T:
        """See ``port.LaneStore.revise_rates``."""
        with self._locked(self._path(account, "state")) as fd:
            content = self._disk.read(fd, 2 * RATES_SLOT_BYTES, 0)
            sequence, document = read_slots(content, RATES_SLOT_BYTES)
            after, answer = change(document)
            write_slots(self._disk, fd, after, sequence, RATES_SLOT_BYTES)
        return answer

    def accounts(self, wall_ns: int, within_s: float) -> list[str]:
        """The accounts whose documents were written lately."""
        folder = self._folder / "rates"
        try:
            names = [name for name in self._disk.names(folder) if name.endswith(".state")]
        except FileNotFoundError:
            return []
        ages = {name: self._disk.age_s(folder / name, wall_ns) for name in names}
        return [unquote(name.removesuffix(".state")) for name, age_s in ages.items() if (age_s or 0.0) <= within_s]

    def note(self, account: str, name: str, text: str) -> None:
        """See ``port.LaneStore.note``."""
        with self._locked(self._path(account, "notes")) as fd:
            rows = _rows(self._disk.read(fd, _BUCKET_BYTES, _place(name)))
            sequence = 1 + max((row[0] for row in rows), default=0)
            mine = next((at for at, row in enumerate(rows) if row[1] == name), None)
            at = min(range(ROWS_A_NAME), key=lambda at: rows[at][0]) if mine is None else mine
            line = f"{sequence} {quote(name)} {text}\n".encode()
            if len(line) > ROW_BYTES:
                return  # no name of Kraken's is so long: the order is not known, which is safe
            write_all(self._disk, fd, line.ljust(ROW_BYTES, b"\0"), _place(name) + at * ROW_BYTES)

    def noted(self, account: str, name: str) -> str | None:
        """See ``port.LaneStore.noted``."""
        path = self._path(account, "notes")
        with self._locked(path) as fd:
            rows = _rows(self._disk.read(fd, _BUCKET_BYTES, _place(name)))
        return next((text for _, own, text in rows if own == name), None)

    def _path(self, account: str, suffix: str) -> Path:
        return self._folder / "rates" / f"{quote(account, safe='')}.{suffix}"

    @contextmanager
    def _locked(self, path: Path) -> Iterator[int]:
        """The file, open and locked by this thread alone; closing it releases the lock."""
        with self._mutex:
            try:
                self._fd = fd = self._open(path)
                try:
                    lock_briefly(self._disk, fd)
                    yield fd
                finally:
                    self._fd = None
                    self._disk.close(fd)
            except OSError as error:
                raise not_durable(error, path) from error

    def _open(self, path: Path) -> int:
        try:
            return self._disk.open(path)
        except FileNotFoundError:
            self._disk.sync_folder(path.parent)  # creates it
            return self._disk.open(path)

    def after_fork(self) -> None:
        """In a forked child: the parent's lock is not ours; closing the copy leaves it as it is."""
        self._mutex = threading.Lock()
        fd, self._fd = self._fd, None
        if fd is not None:
            self._disk.close(fd)


def _place(name: str) -> int:
    return zlib.crc32(name.encode()) % PLACES * _BUCKET_BYTES


def _rows(bucket: bytes) -> list[tuple[int, str, str]]:
    """The rows of a bucket as (sequence, name, text); an empty or torn one is (0, "", "")."""
    bucket = bucket.ljust(_BUCKET_BYTES, b"\0")
    return [_row(bucket[at : at + ROW_BYTES]) for at in range(0, _BUCKET_BYTES, ROW_BYTES)]


def _row(row: bytes) -> tuple[int, str, str]:
    line, newline, _ = row.partition(b"\n")
    sequence, _, rest = line.decode(errors="replace").partition(" ")
    name, _, text = rest.partition(" ")
    return (int(sequence), unquote(name), text) if newline and sequence.isdecimal() else (0, "", "")
