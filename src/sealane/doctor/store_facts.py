"""What stands in the data folder, read without a lock and without changing anything.

A file that is written meanwhile is read whole: its number in one read, its documents by their checksums.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sealane.core.nonce import NONCE_BYTES, next_nonce, parse_nonce
from sealane.core.recovery import KeyState
from sealane.doctor.folder import shown
from sealane.errors import NotDurable
from sealane.store.disk import OsDisk
from sealane.store.floors import GLOBAL_LANE, LANE_FILE, OLDER_FILE, Floors, Start
from sealane.store.intent_file import intent_of_line
from sealane.store.intents import Intent, Intents
from sealane.store.mark import Era, Mark, load_mark
from sealane.store.owner_file import OwnerFile
from sealane.store.rate_file import RATES_SLOT_BYTES
from sealane.store.slots import SLOT_BYTES, read_slots

LOG_BYTES_MAX = 256 << 20
"""More than a log ever holds: what is longer is not read."""


@dataclass(frozen=True)
class NumberFile:
    """One file that holds a nonce: ``content`` is None where it is missing, ``error`` why it cannot be read."""

    path: Path
    content: bytes | None
    error: str = ""
    age_s: float | None = None

    @property
    def number(self) -> int:
        """The nonce, 0 where there is none."""
        try:
            return parse_nonce(self.content or b"")
        except ValueError:
            return 0


@dataclass(frozen=True)
class LaneFacts:
    """One lane as its files show it.

    Attributes:
        name, unit_ns: the lane, and the length of its unit.
        file: its nonce file.
        mark, mark_is_bad: its high-water mark, and whether that file holds something that is none.
        era: of the folder now: boot and mount.
        start: where a program that opened it now would begin, and what decides that.
        turn: the record of a write under way.
        error: why a program could not open it, where another file that it looks at cannot be read.
    """

    name: str
    unit_ns: int
    file: NumberFile
    mark: Mark
    mark_is_bad: bool
    era: Era
    start: Start
    turn: Mapping[str, object]
    error: str = ""

    def upcoming(self, wall_ns: int) -> int:
        """The nonce that it would issue next, at that time."""
        return next_nonce(self.start.floor, wall_ns // self.unit_ns)


@dataclass(frozen=True)
class StateFile:
    """A small document of the store: ``is_bad`` where the file holds none, ``error`` why it cannot be read."""

    path: Path
    document: Mapping[str, object]
    is_bad: bool = False
    error: str = ""

    def key(self) -> KeyState | None:
        """The state of a key, None where it is not one."""
        if self.is_bad or self.error:
            return None
        key = KeyState.loaded(self.document)
        fresh = KeyState()
        whole = all(type(value) is type(getattr(fresh, name)) for name, value in vars(key).items())
        return key if whole else None


@dataclass(frozen=True)
class OrderFacts:
    """The log of orders: what is unsettled, whose owner lives, and how many lines are none."""

    path: Path
    unsettled: tuple[Intent, ...] = ()
    alive: frozenset[str] = frozenset()
    highest: Mapping[str, int] = field(default_factory=dict)
    bad_lines: int = 0
    error: str = ""


@dataclass(frozen=True)
class StoreFacts:
    """Everything in one data folder."""

    folder: Path
    lanes: tuple[LaneFacts, ...]
    older: tuple[NumberFile, ...]
    keys: Mapping[str, StateFile]
    rates: tuple[StateFile, ...]
    orders: OrderFacts


def read_store(folder: Path, *, env_floor: int, unit_ns: int, wall_ns: int) -> StoreFacts:
    """Read it all; ``unit_ns`` is of keys' own lanes.

    Numbers are read last: a nonce is in its file before anything else tells of it, so that a program that goes on
    meanwhile does not make the file look rewound.
    """
    disk, path = OsDisk(), folder.absolute()
    names = sorted(disk.names(path))
    lanes = {match[1] for name in names if (match := LANE_FILE.fullmatch(name))} | {GLOBAL_LANE}
    era = _era(disk, path)

    def lane(name: str) -> LaneFacts:
        unit = 1 if name == GLOBAL_LANE else unit_ns
        return _lane(disk, Floors(disk, path, name, env_floor, unit), era, wall_ns)

    keys = {found.stem: _state(disk, found, SLOT_BYTES) for found in sorted((path / "keys").glob("*.state"))}
    rates = tuple(_state(disk, found, RATES_SLOT_BYTES) for found in sorted((path / "rates").glob("*.state")))
    orders = _orders(disk, path / "orders" / "intents.log")
    older = tuple(_number(disk, path / name, wall_ns) for name in names if OLDER_FILE.fullmatch(name))
    return StoreFacts(path, tuple(lane(name) for name in sorted(lanes)), older, keys, rates, orders)


def _era(disk: OsDisk, folder: Path) -> Era:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return Era(disk.boot_id(), disk.mount_id(fd))
    finally:
        disk.close(fd)


def _number(disk: OsDisk, path: Path, wall_ns: int) -> NumberFile:
    try:
        return NumberFile(path, disk.content(path, NONCE_BYTES + 1), age_s=disk.age_s(path, wall_ns))
    except OSError as error:
        return NumberFile(path, None, shown(error))


def _lane(disk: OsDisk, floors: Floors, era: Era, wall_ns: int) -> LaneFacts:
    file = _number(disk, floors.folder / f"{floors.name}.txt", wall_ns)
    marked = _state(disk, file.path.with_suffix(".mark"), SLOT_BYTES)
    mark = load_mark(disk.content(marked.path, 2 * SLOT_BYTES)) if not marked.error else Mark(0, "", "", None)
    start, error = _start(floors, file, mark, era)
    turn = _state(disk, file.path.with_suffix(".turn"), SLOT_BYTES).document
    return LaneFacts(floors.name, floors.unit_ns, file, mark, marked.is_bad, era, start, turn, error or marked.error)


def _start(floors: Floors, file: NumberFile, mark: Mark, era: Era) -> tuple[Start, str]:
    try:
        return floors.start(file.content or b"", mark, era, new=file.content is None), ""
    except OSError as error:
        return Start(0, "clock"), shown(error)


def _state(disk: OsDisk, path: Path, slot_bytes: int) -> StateFile:
    try:
        content = disk.content(path, 2 * slot_bytes) or b""
    except OSError as error:
        return StateFile(path, {}, error=shown(error))
    sequence, document = read_slots(content, slot_bytes)
    return StateFile(path, document, is_bad=bool(content.strip(b"\0")) and not sequence)


def _orders(disk: OsDisk, path: Path) -> OrderFacts:
    try:
        content = disk.content(path, LOG_BYTES_MAX) or b""
    except OSError as error:
        return OrderFacts(path, error=shown(error))
    lines = [line for line in content.split(b"\n") if line]
    known, highest = Intents(), dict[str, int]()
    whole = [intent for line in lines if (intent := intent_of_line(line)) is not None]
    for intent in whole:
        known.note(intent)
        document = intent.document()
        key, nonce = str(document.get("fingerprint", "")), document.get("nonce")
        highest[key] = max(highest.get(key, 0), nonce if isinstance(nonce, int) else 0)
    unsettled = tuple(intent for intent in known if not intent.settled)
    owners = {str(intent.document().get("owner", "")) for intent in unsettled}
    alive = frozenset(owner for owner in owners if owner and _is_alive(disk, path.parent, owner))
    return OrderFacts(path, unsettled, alive, highest, len(lines) - len(whole))


def _is_alive(disk: OsDisk, folder: Path, owner: str) -> bool:
    try:
        return OwnerFile(disk, folder).is_alive(owner)
    except (OSError, NotDurable):
        return False
