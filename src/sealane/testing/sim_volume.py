"""A volume in memory that forgets what a real one may forget: what was written, and not synced, when power fails.

1. A file has a content that every process sees (the page cache) and one that is on the disk. ``sync`` makes the
   second equal to the first; on its own the system may write any part of it back at any time.
2. So after power loss each sector that was written since the last sync holds any of the values it had since then,
   whatever its neighbours hold, and the length likewise. A sector that the length covers, but no written value, is NUL.
3. A name made, moved or removed since the last sync of its folder is kept, or not.
4. A sync that fails drops what it should have written: a later one, which succeeds, does not bring it back.

Two real file systems are kinder than this; none that a store may meet is worse.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

SECTOR_BYTES = 512
BLOCK_BYTES = 4096
VERSIONS_MAX = 8
"""Values of one sector that are remembered between two syncs: the newest, any of which power loss may leave."""

T = TypeVar("T")


class SimFile:
    """One file: its content, what of it is on disk, and what of it is on the way there."""

    def __init__(self) -> None:
        self.content = b""
        self.durable = b""
        self.locked_by: int | None = None
        self.written_ns = 0
        self.allocated = 0
        self._sectors: dict[int, list[bytes]] = {}
        self._sizes: list[int] = []

    def write(self, content: bytes, offset: int) -> None:
        """Write in place."""
        old = self.content.ljust(offset, b"\0")
        self._replace(old[:offset] + content + old[offset + len(content) :], offset, offset + len(content))

    def cut(self, size: int) -> None:
        """Set the length."""
        self._replace(self.content[:size].ljust(size, b"\0"), size, max(size, len(self.content)))

    def _replace(self, content: bytes, start: int, end: int) -> None:
        if len(content) != len(self.content):
            _remember(self._sizes, len(content))
        self.content = content
        self.allocated = max(self.allocated, -(-len(content) // BLOCK_BYTES) * BLOCK_BYTES)
        for sector in range(start // SECTOR_BYTES, -(-end // SECTOR_BYTES)):
            _remember(self._sectors.setdefault(sector, []), _sector(content, sector))

    def sync(self) -> None:
        """Put everything that is on its way onto the disk."""
        self._settle(lambda versions: versions[-1])

    def forget(self) -> None:
        """A failed sync: what was on its way will not arrive."""
        self._sectors.clear()
        self._sizes.clear()

    def lose_power(self, rng: random.Random) -> None:
        """What was on its way is on the disk in part, and the disk is all there is."""
        self._settle(lambda versions: rng.choice(versions[-VERSIONS_MAX:]), rng)
        self.content = self.durable
        self.locked_by = None

    def _settle(self, choose: Callable[[list[bytes]], bytes], rng: random.Random | None = None) -> None:
        """Make the disk hold a chosen version of every sector under way; with ``rng`` of the length as well."""
        old = self.durable
        size = len(self.content) if rng is None else rng.choice([len(old), *self._sizes])
        disk = bytearray(old[:size].ljust(size, b"\0"))
        for sector, versions in self._sectors.items():
            start = sector * SECTOR_BYTES
            known = versions if rng is None else [old[start : start + SECTOR_BYTES], *versions]
            part = choose(known)[: max(0, size - start)]
            disk[start : start + SECTOR_BYTES] = part.ljust(min(SECTOR_BYTES, max(0, size - start)), b"\0")
        self.durable = bytes(disk)
        self.forget()


class SimVolume:
    """The files of one folder tree, and the machine they are mounted on. Flags make its verbs fail.

    ``sync_fails``, ``name_sync_fails`` (a folder's), ``full`` and ``read_only`` raise what the system would.
    ``tells_era`` False stands for a system that tells neither boot nor mount. ``now_ns`` gives the time of writing.
    """

    def __init__(self, now_ns: Callable[[], int] = lambda: 0) -> None:
        self.sync_fails = self.name_sync_fails = self.full = self.read_only = False
        self.tells_era = True
        self.now_ns = now_ns
        self.names: dict[Path, SimFile] = {}
        self._durable_names: dict[Path, SimFile] = {}
        self._boots = self._mounts = 1
        self.on_stop: list[Callable[[], None]] = []

    def boot_id(self) -> str:
        """The id of this boot."""
        return f"boot-{self._boots}" if self.tells_era else ""

    def mount_id(self) -> str:
        """The id of this mount."""
        return f"mount-{self._mounts}" if self.tells_era else ""

    def make(self, path: Path) -> SimFile:
        """The file of that name, made where it is missing."""
        if path not in self.names:
            self.check_writable()
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device (simulated)")
            self.names[path] = SimFile()
        return self.names[path]

    def rename(self, path: Path, new: Path) -> None:
        """Move a file's name over another; whoever has the other open keeps it."""
        self.names[new] = self.names.pop(path)

    def check_writable(self) -> None:
        """Raise what a volume mounted read-only raises."""
        if self.read_only:
            raise OSError(errno.EROFS, "Read-only file system (simulated)")

    def check_room(self, file: SimFile, end: int) -> None:
        """Raise what a full volume raises for a write that needs a new block."""
        if self.full and end > file.allocated:
            raise OSError(errno.ENOSPC, "No space left on device (simulated)")

    def sync(self, file: SimFile) -> None:
        """Make the content of a file survive power loss, or fail for good."""
        if self.sync_fails:
            file.forget()
            raise OSError(errno.EIO, "Input/output error (simulated)")
        file.sync()

    def sync_names(self, folder: Path) -> None:
        """Make the names in a folder survive power loss."""
        if self.name_sync_fails:
            raise OSError(errno.EIO, "Input/output error (simulated)")
        kept = {path: file for path, file in self._durable_names.items() if path.parent != folder}
        self._durable_names = kept | {path: file for path, file in self.names.items() if path.parent == folder}

    # --- what happens to a machine --------------------------------------------------------------------------------

    def power_loss(self, rng: random.Random) -> None:
        """Every process is gone, and of the unsynced an arbitrary part; the machine boots anew."""
        self._lose(rng)
        self._boots += 1
        self._mounts += 1

    def remount(self, rng: random.Random | None = None) -> None:
        """Every process is gone and the volume mounted anew, in order, or with ``rng`` after it was torn out."""
        if rng is not None:
            self._lose(rng)
        self._stop()
        for file in self.names.values():
            file.sync()
        self._durable_names = dict(self.names)
        self._mounts += 1

    def _lose(self, rng: random.Random) -> None:
        self._stop()
        known = sorted(self.names.keys() | self._durable_names.keys())
        chosen = {path: rng.choice((self.names, self._durable_names)).get(path) for path in known}
        self.names = {path: file for path, file in chosen.items() if file is not None}
        self._durable_names = dict(self.names)
        for path in sorted(self.names):
            self.names[path].lose_power(rng)

    def _stop(self) -> None:
        for stop in self.on_stop[:]:
            stop()

    # --- what somebody does to the files --------------------------------------------------------------------------

    def content(self, path: Path) -> bytes | None:
        """What the file holds, None where there is none."""
        file = self.names.get(path)
        return None if file is None else file.content

    def overwrite(self, path: Path, content: bytes) -> None:
        """Another program writes the file anew, in place."""
        file = self.make(path)
        file.cut(0)
        file.write(content, 0)

    def replace(self, path: Path, content: bytes) -> None:
        """Another program puts a new file in its place."""
        file = SimFile()
        file.write(content, 0)
        self.names[path] = file

    def remove(self, path: Path) -> None:
        """Another program removes the file."""
        self.names.pop(path, None)


def _sector(content: bytes, sector: int) -> bytes:
    return content[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES]


def _remember(versions: list[T], version: T) -> None:
    versions.append(version)
    if len(versions) > 4 * VERSIONS_MAX:
        del versions[:-VERSIONS_MAX]
