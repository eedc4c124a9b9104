"""The high-water mark: a number on disk, synced before any nonce up to it is used.

The nonce file is written for every issue but never synced, which a kill cannot hurt and power loss can. The mark
closes that gap at the price of one sync every second and a half of a busy lane:

1. No nonce above the durable mark is issued.
2. The mark only rises, and is written under its file's lock, on a descriptor opened for this one write: after a
   failed sync nothing is issued on its strength, and that descriptor is never used again.
3. It carries the boot and the mount under which it was written. It may say so only once the lane's own file stands
   above every mark of an earlier boot, so the file is written first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sealane.core.nonce import MAX_NONCE, NS_PER_S
from sealane.store.disk import Disk
from sealane.store.slots import SLOT_BYTES, read_slots, write_slots

WINDOW_S = 3
"""How far ahead of the clock the mark is set; half of it later it is due again."""
AHEAD_NS = 10_000_000
AHEAD_UNITS_MIN = 100
"""How far ahead of the nonce it is set while the nonce itself is ahead of the clock, where nonces rise by one."""


@dataclass(frozen=True)
class Era:
    """What a restart of the process leaves alone, and a loss of unsynced data does not."""

    boot: str
    mount: str

    @property
    def known(self) -> bool:
        """Whether the system tells both; where it does not, every start counts as a new era."""
        return bool(self.boot and self.mount)


@dataclass(frozen=True)
class Mark:
    """The mark as stored. ``offset_ns`` is the trusted wall minus boot time of that boot."""

    number: int
    boot: str
    mount: str
    offset_ns: int | None

    def is_of(self, era: Era) -> bool:
        """Whether it was written in this era, so that the lane's own file has lost nothing since."""
        return era.known and (self.boot, self.mount) == (era.boot, era.mount)


def load_mark(content: bytes | None) -> Mark:
    """The mark that the file's content holds; number 0 where there is none."""
    document = read_slots(content or b"")[1]
    number, offset = document.get("mark"), document.get("offset_ns")
    return Mark(
        number if isinstance(number, int) else 0,
        str(document.get("boot", "")),
        str(document.get("mount", "")),
        offset if isinstance(offset, int) else None,
    )


def extend_mark(
    disk: Disk,
    path: Path,
    era: Era,
    *,
    nonce: int,
    now: int,
    unit_ns: int,
    offset_ns: int | None,
    lock: Callable[[int], None],
    first: bool,
) -> tuple[int, int]:
    """Set the mark above ``nonce``, durably; returns the mark and the nonce at which it is due again.

    ``first`` is True until a process succeeded once. ``nonce`` and ``now`` are in units of ``unit_ns``. Raises OSError
    where it cannot be made durable.
    """
    window = WINDOW_S * NS_PER_S // unit_ns
    fd = disk.open(path)
    try:
        lock(fd)
        sequence, document = read_slots(disk.read(fd, 2 * SLOT_BYTES, 0))
        ahead = max(AHEAD_NS // unit_ns, AHEAD_UNITS_MIN)
        target = min(max(now + window, nonce + ahead, _number(document)), MAX_NONCE)
        text = {"mark": target, "boot": era.boot, "mount": era.mount, "offset_ns": offset_ns}
        write_slots(disk, fd, text, sequence)
        disk.sync(fd)
        if first or not sequence:  # the file may be new: its name has to last too
            disk.sync_folder(path.parent)
    finally:
        disk.unlock(fd)  # closing alone would leave the lock to a child that was forked meanwhile
        disk.close(fd)
    return target, target - (target - nonce) // 2


def _number(document: Mapping[str, object]) -> int:
    number = document.get("mark")
    return number if isinstance(number, int) else 0
