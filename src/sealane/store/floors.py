"""Where a lane starts: every number that its folder knows, and which of them count.

1. A good nonce file wins; other numbers can only raise it.
2. The high-water mark counts when the machine booted or the volume was mounted anew since it was written (then the
   file may have lost what was not synced), and when the file is bad or stands further below it than it can.
3. Files of older programs (``kraken_nonce.txt``, ``kraken_nonce_<user>.txt``) and the global lane always count: an
   account may have come from there. Every lane counts for a new lane, a bad file and the global lane. A lane counts by
   its file, and by its mark where that file is bad or of another boot or mount.
4. ``KRAKEN_LAST_NONCE`` counts only where there is no good file. With nothing at all the clock decides.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from sealane.core.nonce import NONCE_BYTES, NS_PER_S, parse_nonce
from sealane.store.disk import Disk
from sealane.store.mark import WINDOW_S, Era, Mark, load_mark
from sealane.store.slots import SLOT_BYTES

GLOBAL_LANE = "kraken_global_nonce"
LANE_FILE = re.compile(r"(kraken_global_nonce|kraken_key_[0-9a-f]+)\.(txt|mark)")
OLDER_FILE = re.compile(r"kraken_nonce(_.+)?\.txt")
_DIGITS = {1: 19, 1_000: 16, 1_000_000: 13}
_SPARE_DIGITS = 2

logger = logging.getLogger("sealane.store")


@dataclass(frozen=True)
class Start:
    """Where a lane starts: its floor, and the name of what set it."""

    floor: int
    source: str


def known_numbers(disk: Disk, folder: Path, pattern: re.Pattern[str]) -> list[int]:
    """The nonces in the folder's files whose names match; a bad one is told and passed over."""
    found = []
    for name in sorted(disk.names(folder)):
        content = disk.content(folder / name, NONCE_BYTES + 1) if pattern.fullmatch(name) else None
        if not content:
            continue
        try:
            found.append(parse_nonce(content))
        except ValueError as error:
            logger.warning("passing over %s: %s", folder / name, error)
    return found


@dataclass(frozen=True)
class Floors:
    """What may set the floor of one lane; ``env_floor`` is ``KRAKEN_LAST_NONCE``, 0 for none."""

    disk: Disk
    folder: Path
    name: str
    env_floor: int
    unit_ns: int

    def start(self, content: bytes, mark: Mark, era: Era, *, new: bool) -> Start:
        """Apply the rules at the head of this file to the lane's own content and mark; ``new`` is a file just made."""
        stored = self._own(content, quiet=new and not mark.number)
        found: list[Start] = []
        if stored:
            found.append(Start(stored, "file"))
        if not stored or not mark.is_of(era) or mark.number - stored > self._far_below:
            found.append(Start(mark.number, "mark"))
        found += [Start(number, "older file") for number in known_numbers(self.disk, self.folder, OLDER_FILE)]
        found += [Start(number, "another lane") for number in self._other_lanes(era, every=not stored)]
        if not stored:
            found.append(Start(self.env_floor, "KRAKEN_LAST_NONCE"))
        best = max(found, key=lambda start: start.floor)
        return best if best.floor else Start(0, "clock")

    @property
    def _far_below(self) -> int:
        """The mark never stands this far above a file that nobody touched: an old copy may have been put back."""
        return 2 * WINDOW_S * NS_PER_S // self.unit_ns

    def _own(self, content: bytes, *, quiet: bool) -> int:
        """The number in the lane's own file, 0 where it is missing or bad."""
        try:
            return parse_nonce(content)
        except ValueError as error:
            if not quiet:
                path = self.folder / f"{self.name}.txt"
                logger.warning("Could not load persisted nonce: %s holds %r (%s)", path, content[:24], error)
            return 0

    def _other_lanes(self, era: Era, *, every: bool) -> list[int]:
        """Numbers beyond this lane's size come from a finer unit and say nothing of a key kept to a coarser one."""
        lanes = {GLOBAL_LANE}
        if every or self.name == GLOBAL_LANE:
            matches = (LANE_FILE.fullmatch(name) for name in self.disk.names(self.folder))
            lanes = {match[1] for match in matches if match}
        largest = 10 ** (_DIGITS.get(self.unit_ns, _DIGITS[1]) + _SPARE_DIGITS)
        return [number for lane in lanes - {self.name} if 0 < (number := self._reached(lane, era)) < largest]

    def _reached(self, lane: str, era: Era) -> int:
        """The highest number that another lane may have issued."""
        mark = load_mark(self.disk.content(self.folder / f"{lane}.mark", 2 * SLOT_BYTES))
        try:
            stored = parse_nonce(self.disk.content(self.folder / f"{lane}.txt", NONCE_BYTES + 1) or b"")
        except ValueError:
            return mark.number
        return stored if mark.is_of(era) else max(stored, mark.number)
