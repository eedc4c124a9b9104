"""What a data folder keeps of its lanes, read for another place: no lock is taken, and no file made."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from sealane.core.nonce import NONCE_BYTES, parse_nonce
from sealane.store.disk import Disk
from sealane.store.floors import LANE_FILE
from sealane.store.mark import load_mark
from sealane.store.nonce_file import content_of, not_durable
from sealane.store.port import LaneContents
from sealane.store.rate_file import RateFiles
from sealane.store.slots import SLOT_BYTES, read_slots

KEY_SUFFIX = ".state"


def lanes_in(disk: Disk, folder: Path) -> list[str]:
    """The lanes that have a nonce file or a mark."""
    matches = (LANE_FILE.fullmatch(name) for name in _names(disk, folder))
    return sorted({match[1] for match in matches if match})


def keys_in(disk: Disk, folder: Path) -> list[str]:
    """The keys that have a state, in order."""
    names = _names(disk, folder / "keys")
    return sorted(name.removesuffix(KEY_SUFFIX) for name in names if name.endswith(KEY_SUFFIX))


def contents_in(disk: Disk, folder: Path, name: str) -> LaneContents:
    """A lane's floor and turn, with every key and account of the folder: it keeps these for all its lanes."""
    mark = load_mark(content_of(disk, folder / f"{name}.mark", 2 * SLOT_BYTES)).number
    rates = RateFiles(disk, folder)
    return LaneContents(
        floor=max(mark, _number(content_of(disk, folder / f"{name}.txt", NONCE_BYTES + 1))),
        keys={key: _document(disk, folder / "keys" / f"{key}{KEY_SUFFIX}") for key in keys_in(disk, folder)},
        rates={account: rates.read(account) for account in sorted(rates.accounts(0, math.inf))},
        turn=_document(disk, folder / f"{name}.turn"),
    )


def _names(disk: Disk, folder: Path) -> Iterable[str]:
    try:
        return disk.names(folder)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise not_durable(error, folder) from error


def _number(content: bytes) -> int:
    """The number in a nonce file; 0 where it is bad: then the mark has the last word."""
    try:
        return parse_nonce(content)
    except ValueError:
        return 0


def _document(disk: Disk, path: Path) -> dict[str, object]:
    return read_slots(content_of(disk, path, 2 * SLOT_BYTES))[1]
