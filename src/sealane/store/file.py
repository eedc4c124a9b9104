"""Lanes in a folder of one machine: plain files, kernel locks, nothing to install.

A lane ``L`` is four files: ``L.txt`` holds the last nonce issued and ``L.mark`` the high-water mark (``nonce_file.py``,
``mark.py``); ``L.turn`` is the turn lock and the record of the write under way, ``L.next`` the lock of whoever is
next (``turn_file.py``). Keys' states lie in ``keys/``, accounts' counters in ``rates/`` (``rate_file.py``), the intents
of orders in ``orders/`` (``intent_file.py``).

1. Two locks exclude everybody: the *draw* lock (on ``L.txt``, held for microseconds) and the *turn* lock (on
   ``L.turn``, held from nonce to outcome). Both are ``flock``: the kernel drops them when their holder dies.
2. flock does not tell threads on one descriptor apart, and a fork shares it: a mutex stands before the draw lock, the
   runtime's queue before the turn lock, and a forked child closes its copies (which releases nothing) and opens anew.
3. A lock file is never removed. Where somebody else removed or replaced a file, that is seen at the next turn, and
   by bare draws within ``RECHECK_NS``; the lane is opened anew, above all it ever issued.
4. A number is written before it is returned; what raises was not issued.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping
from pathlib import Path

from sealane.store.contents import KEY_SUFFIX, contents_in, keys_in, lanes_in
from sealane.store.disk import Disk, OsDisk
from sealane.store.floors import Floors
from sealane.store.intent_file import IntentFile
from sealane.store.nonce_file import NonceFile, content_of, not_durable
from sealane.store.port import LaneContents, LaneView
from sealane.store.rate_file import RateFiles
from sealane.store.slots import SLOT_BYTES, read_slots, write_slots
from sealane.store.turn_file import TurnFile

_FILES_MAX = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
OPEN_LANES_MAX = max(64, _FILES_MAX // 8 if _FILES_MAX > 0 else 4096)  # the limit may be none, which is -1
"""Lanes whose files (three each) are kept open; the least recently opened idle ones are closed beyond."""


class FileStore:
    """The lanes of one folder. ``env_floor`` is ``KRAKEN_LAST_NONCE``, 0 for none."""

    def __init__(self, folder: Path, *, env_floor: int = 0, disk: Disk | None = None) -> None:
        self.folder = folder.absolute()
        self.identity = f"file:{self.folder.resolve()}"
        self._env_floor = env_floor
        self.disk = self._disk = disk or OsDisk()
        self._open: dict[str, FileLane] = {}
        self._intents = IntentFile(self._disk, self.folder)

    def lane(self, name: str, unit_ns: int = 1) -> FileLane:
        """See ``port.Store``. Nothing is touched on disk before the lane's first verb."""
        return FileLane(self, name, self._disk, Floors(self._disk, self.folder, name, self._env_floor, unit_ns))

    def intents(self) -> IntentFile:
        """See ``port.Store``. It keeps two files open at most, beside those of the lanes."""
        return self._intents

    def lanes(self) -> list[str]:
        """See ``port.Store``."""
        return lanes_in(self._disk, self.folder)

    def contents(self, name: str) -> LaneContents:
        """See ``port.Store``."""
        return contents_in(self._disk, self.folder, name)

    def opened(self, lane: FileLane) -> None:
        """Note that a lane opened files, and close idle lanes beyond the limit.

        Each step is one operation on a dict, so threads need no lock here, and a fork finds none held.
        """
        self._open.pop(lane.name, None)
        self._open[lane.name] = lane
        spare = max(0, len(self._open) - OPEN_LANES_MAX)
        for other in list(self._open.values())[:spare]:
            if other.idle and other is not lane:
                self._open.pop(other.name, None)
                other.close_if_idle()


class FileLane:
    """One lane: its nonce file, its turn file and its keys' states."""

    def __init__(self, store: FileStore, name: str, disk: Disk, floors: Floors) -> None:
        self.name = name
        self._disk, self._folder = disk, store.folder
        self.nonces = self._nonces = NonceFile(disk, store.folder / f"{name}.txt", floors, lambda: store.opened(self))
        self._turns = TurnFile(disk, store.folder / f"{name}.turn", lambda: store.opened(self), self._nonces.look_again)
        self.try_enter, self.wait_enter, self.leave = self._turns.try_enter, self._turns.wait_enter, self._turns.leave
        self.is_contended, self.enter_if_free = self._turns.is_contended, self._turns.enter_if_free
        self.read_turn, self.write_turn, self.turn_is_held = self._turns.read, self._turns.write, self._turns.is_held
        self.draw, self.must_sync, self.reserve = self._nonces.draw, self._nonces.must_sync, self._nonces.reserve
        self.last, self.raise_floor = self._nonces.last, self._nonces.raise_floor
        self.confirm_clock = self._nonces.confirm_clock
        self._rates = RateFiles(disk, store.folder)
        self.accounts = self._rates.accounts
        self.rates, self.revise_rates = self._rates.read, self._rates.revise
        self.note, self.noted = self._rates.note, self._rates.noted

    @property
    def loaded_from(self) -> str:
        """See ``port.LaneStore``."""
        return self._nonces.loaded_from

    @property
    def reserve_due(self) -> bool:
        """See ``port.LaneStore``."""
        return self._nonces.reserve_due

    def clock_doubted(self) -> bool:
        """See ``port.LaneStore``."""
        return self._nonces.clock_doubted

    def check(self) -> None:
        """See ``port.LaneStore``. The kernel's lock is lost by dying only."""

    def read_key(self, fingerprint: str) -> Mapping[str, object]:
        """See ``port.LaneStore``."""
        content = content_of(self._disk, self._key_path(fingerprint), 2 * SLOT_BYTES)
        return read_slots(content)[1] if content else {}

    def write_key(self, fingerprint: str, state: Mapping[str, object]) -> None:
        """See ``port.LaneStore``. Synced: it changes only when there was trouble."""
        path = self._key_path(fingerprint)
        try:
            self._disk.sync_folder(path.parent)
            fd = self._disk.open(path)
            try:
                sequence, _ = read_slots(self._disk.read(fd, 2 * SLOT_BYTES, 0))
                write_slots(self._disk, fd, state, sequence)
                self._disk.sync(fd)
                if not sequence:  # a new file: its name has to last too
                    self._disk.sync_folder(path.parent)
            finally:
                self._disk.close(fd)
        except OSError as error:
            raise not_durable(error, path) from error

    def known_keys(self) -> list[str]:
        """The keys of the folder that have a state, whatever their lanes."""
        return keys_in(self._disk, self._folder)

    def _key_path(self, fingerprint: str) -> Path:
        return self._folder / "keys" / f"{fingerprint}{KEY_SUFFIX}"

    def view(self, wall_ns: int, *, asking_s: float = 0.0) -> LaneView:
        """See ``port.LaneStore``."""
        return LaneView(
            name=self.name,
            last_nonce=self.last(),
            mark=self._nonces.stored_mark(),
            stored_age_s=self._disk.age_s(self._nonces.path, wall_ns),
            clock_doubted=self._nonces.clock_doubted,
            turn=self._turns.shown() or None,
            where=str(self._nonces.path),
        )

    # --- files ----------------------------------------------------------------------------------------------------

    @property
    def turn_path(self) -> Path:
        """The file whose lock is the turn."""
        return self._turns.path

    @property
    def idle(self) -> bool:
        """Whether nobody holds or awaits the turn."""
        return self._turns.idle

    def close(self) -> None:
        """See ``port.LaneStore``."""
        self._turns.close()
        self._nonces.close()

    def close_if_idle(self) -> None:
        """Let the files go for others; they are opened again when they are needed."""
        self._turns.close_if_idle()
        if self.idle:
            self._nonces.close_if_free()

    def after_fork(self) -> None:
        """See ``port.LaneStore``. Closing a copied descriptor leaves the parent's locks as they are."""
        self._turns.after_fork()
        self._nonces.after_fork()
        self._rates.after_fork()
