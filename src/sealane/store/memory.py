"""Lanes in this process only: for tests, and for keys that are used for the length of one run.

Nothing survives the process, so the first nonce of a lane comes from the clock alone.
"""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from sealane.core.nonce import MAX_NONCE, ClockGuard, next_nonce
from sealane.errors import SettingsError
from sealane.store.intents import SETTLED_KEPT, Intents, intent_of
from sealane.store.port import LaneContents, LaneView, awaited

NOTES_MAX = 100_000
"""How many orders are remembered."""
T = TypeVar("T")

_numbers = itertools.count()


class MemoryStore:
    """The lanes of one object; two stores never share any."""

    def __init__(self) -> None:
        self.identity = f"memory:{next(_numbers)}"
        self._lanes: dict[str, MemoryLane] = {}
        self._books = _Books()
        self._intents = MemoryIntents()

    def lane(self, name: str, unit_ns: int = 1) -> MemoryLane:
        """See ``port.Store``."""
        if name not in self._lanes:
            # Like the file store: a new lane starts above all there are, but for those of a finer unit.
            floor = max((lane.last() for lane in self._lanes.values() if lane.unit_ns >= unit_ns), default=0)
            self._lanes[name] = MemoryLane(name, unit_ns, self._books, floor)
        return self._lanes[name]

    def intents(self) -> MemoryIntents:
        """See ``port.Store``."""
        return self._intents

    def lanes(self) -> list[str]:
        """See ``port.Store``."""
        return sorted(name for name, lane in self._lanes.items() if lane.last())

    def contents(self, name: str) -> LaneContents:
        """See ``port.Store``."""
        lane = self._lanes.get(name)
        if lane is None:
            return LaneContents(0, {}, {}, {})
        return LaneContents(lane.last(), lane.keys(), dict(self._books.rates), lane.read_turn())


class MemoryIntents:
    """The log of intents in a dict; see ``port.IntentLog``."""

    def __init__(self) -> None:
        self._intents = Intents()
        self.after_fork()

    def write(self, intent_id: str, document: Mapping[str, object], *, sync: bool) -> None:
        """See ``port.IntentLog``."""
        intent = intent_of(intent_id, document)
        with self._mutex:
            self._intents.note(intent)
            if len(self._intents) - self._intents.unsettled_count > 2 * SETTLED_KEPT:
                self._intents = self._intents.kept(SETTLED_KEPT)

    def read(self, intent_id: str) -> Mapping[str, object] | None:
        """See ``port.IntentLog``."""
        with self._mutex:
            return self._intents.read(intent_id)

    def unsettled(self) -> dict[str, Mapping[str, object]]:
        """See ``port.IntentLog``."""
        with self._mutex:
            return self._intents.unsettled()

    def recent(self, limit: int) -> list[tuple[str, Mapping[str, object]]]:
        """See ``port.IntentLog``."""
        with self._mutex:
            return self._intents.recent(limit)

    def owner(self) -> str:
        """See ``port.IntentLog``."""
        return self._token

    def is_alive(self, owner: str) -> bool:
        """See ``port.IntentLog``. There is no other process."""
        return owner == self._token

    def close(self) -> None:
        """See ``port.IntentLog``."""

    def after_fork(self) -> None:
        """See ``port.IntentLog``. The parent's orders are for the parent to settle: a child starts with none."""
        self._mutex = threading.Lock()
        self._intents = Intents()
        self._token = secrets.token_hex(12)


class _Books:
    """What the lanes of one store share: the accounts' counters, and notes of their orders."""

    def __init__(self) -> None:
        self.rates: dict[str, Mapping[str, object]] = {}
        self.notes: dict[tuple[str, str], str] = {}
        self.mutex = threading.Lock()


class MemoryLane:
    """One lane; see ``port.LaneStore``."""

    def __init__(self, name: str, unit_ns: int, books: _Books, floor: int = 0) -> None:
        self.name = name
        self._books = books
        self.loaded_from = "clock"
        self.reserve_due = False
        self.unit_ns = unit_ns
        self._last = floor
        self._stored_ns = 0
        self._turn: Mapping[str, object] = {}
        self._keys: dict[str, Mapping[str, object]] = {}
        self._guard = ClockGuard()
        self._doubted = False
        self.after_fork()

    def try_enter(self) -> bool:
        """See ``port.LaneStore``."""
        return self._turn_lock.acquire(blocking=False)

    def wait_enter(self, is_awaited: Callable[[], bool] = awaited) -> bool:
        """See ``port.LaneStore``."""
        return self._turn_lock.acquire()

    def leave(self) -> None:
        """See ``port.LaneStore``."""
        self._turn_lock.release()

    def check(self) -> None:
        """See ``port.LaneStore``. The turn is lost by leaving only."""

    def is_contended(self) -> bool:
        """See ``port.LaneStore``. There is no other process."""
        return False

    def draw(self, wall_ns: int, boot_ns: int) -> int:
        """See ``port.LaneStore``."""
        with self._mutex:
            self._doubted = not self._guard.follows(wall_ns, boot_ns)
            self._last = next_nonce(self._last, 0 if self._doubted else wall_ns // self.unit_ns)
            self._stored_ns = wall_ns
            return self._last

    def must_sync(self, wall_ns: int) -> bool:
        """See ``port.LaneStore``."""
        return False

    def reserve(self, wall_ns: int) -> None:
        """See ``port.LaneStore``."""

    def last(self) -> int:
        """See ``port.LaneStore``."""
        return self._last

    def raise_floor(self, floor: int) -> int:
        """See ``port.LaneStore``."""
        if floor >= MAX_NONCE:
            raise SettingsError(f"a floor of {floor} leaves no nonce: the largest that Kraken takes is {MAX_NONCE}")
        with self._mutex:
            self._last = max(self._last, floor)
            return self._last

    def clock_doubted(self) -> bool:
        """See ``port.LaneStore``."""
        return self._doubted

    def confirm_clock(self, server_ns: int, wall_ns: int, boot_ns: int) -> bool:
        """See ``port.LaneStore``."""
        with self._mutex:
            if self._guard.confirm(server_ns, wall_ns, boot_ns):
                self._doubted = False
            return not self._doubted

    def read_turn(self) -> Mapping[str, object]:
        """See ``port.LaneStore``."""
        return self._turn

    def write_turn(self, record: Mapping[str, object]) -> None:
        """See ``port.LaneStore``."""
        self._turn = dict(record)

    def read_key(self, fingerprint: str) -> Mapping[str, object]:
        """See ``port.LaneStore``."""
        return self._keys.get(fingerprint, {})

    def write_key(self, fingerprint: str, state: Mapping[str, object]) -> None:
        """See ``port.LaneStore``."""
        self._keys[fingerprint] = dict(state)

    def keys(self) -> dict[str, Mapping[str, object]]:
        """Every key's state."""
        return dict(self._keys)

    def rates(self, account: str) -> Mapping[str, object]:
        """See ``port.LaneStore``."""
        return self._books.rates.get(account, {})

    def revise_rates(self, account: str, change: Callable[[Mapping[str, object]], tuple[Mapping[str, object], T]]) -> T:
        """See ``port.LaneStore``."""
        with self._books.mutex:
            self._books.rates[account], answer = change(self.rates(account))
            return answer

    def note(self, account: str, name: str, text: str) -> None:
        """See ``port.LaneStore``."""
        with self._books.mutex:
            notes = self._books.notes
            notes.pop((account, name), None)
            notes[account, name] = text
            if len(notes) > NOTES_MAX:
                del notes[next(iter(notes))]

    def noted(self, account: str, name: str) -> str | None:
        """See ``port.LaneStore``."""
        return self._books.notes.get((account, name))

    def view(self, wall_ns: int, *, asking_s: float = 0.0) -> LaneView:
        """See ``port.LaneStore``."""
        return LaneView(
            name=self.name,
            last_nonce=self._last,
            mark=0,
            stored_age_s=max(0, wall_ns - self._stored_ns) / 1e9 if self._stored_ns else None,
            clock_doubted=self._doubted,
            turn=self._turn or None,
            where="this process's memory",
        )

    def close(self) -> None:
        """See ``port.LaneStore``."""

    def after_fork(self) -> None:
        """See ``port.LaneStore``. A child has numbers of its own from here on: two processes need the file store."""
        self._mutex = threading.Lock()
        self._turn_lock = threading.Lock()
        self._books.mutex = threading.Lock()
