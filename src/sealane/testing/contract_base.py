"""What the parts of the store contract share: opening lanes, closing them again, and threads that end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple
from unittest import SkipTest

from sealane.store.port import IntentLog, LaneStore, Store
from sealane.testing.clock import FakeClock

LANE = "kraken_global_nonce"
PATIENCE_S = 30.0
"""How long a test waits for something that should come at once, before it says that it did not."""


class Draw(NamedTuple):
    """One number, and the span of a clock common to all in which it was drawn."""

    began_ns: int
    nonce: int
    ended_ns: int


class ContractBase:
    """Flags say what the store can do; ``make_store`` opens it."""

    survives_restart = True
    """A second store on the same place knows what the first one did."""
    between_processes = True
    """Processes share a place. ``make_store`` is then called in fresh processes too, on an instance of its own."""
    keeps_durable = True
    """It stores elsewhere than in memory, so that storing can fail: see ``make_broken_store``."""

    def make_store(self, place: Path) -> Store:
        """Open the store. The same ``place`` is the same store, as far as it survives its object."""
        raise NotImplementedError

    def make_broken_store(self, place: Path) -> Store:
        """Open a store that cannot keep anything, such as one on a folder that cannot be made."""
        raise NotImplementedError

    # --- for the tests --------------------------------------------------------------------------------------------

    _opened: list[LaneStore | IntentLog]
    _store: Store | None = None

    def setup_method(self) -> None:
        """Start with nothing open, and both clocks standing."""
        self._opened = []
        self._store = None
        self.clock = FakeClock()

    def teardown_method(self) -> None:
        """Leave nothing open."""
        for handle in self._opened:
            handle.close()

    def open_lane(self, place: Path, name: str = LANE, unit_ns: int = 1) -> LaneStore:
        """A handle on a lane as another process would have it: from a store of its own where that is possible."""
        lane = self._open_store(place).lane(name, unit_ns)
        self._opened.append(lane)
        return lane

    def open_intents(self, place: Path) -> IntentLog:
        """A handle on the log of intents, likewise."""
        log = self._open_store(place).intents()
        self._opened.append(log)
        return log

    def _open_store(self, place: Path) -> Store:
        if self._store is None or self.survives_restart:
            self._store = self.make_store(place)
        return self._store

    def draw(self, lane: LaneStore) -> int:
        """A number at the test's own time."""
        return lane.draw(self.clock.wall_ns(), self.clock.boot_ns())

    def enter(self, lane: LaneStore) -> bool:
        """Take a turn that nobody holds."""
        return lane.try_enter()

    def needs(self, capability: bool, reason: str) -> None:
        """Skip the test, and say why, where the store does not claim to be able to."""
        if not capability:
            raise SkipTest(f"{type(self).__name__}: {reason}")


def run_threads(works: Iterable[Callable[[], None]]) -> None:
    """Run each on a thread, all let go at once; the first error of any is raised here."""
    threads, errors = [], []
    works = list(works)
    start = threading.Barrier(len(works))

    def run(work: Callable[[], None]) -> None:
        try:
            start.wait(PATIENCE_S)
            work()
        except BaseException as error:
            errors.append(error)

    for work in works:
        threads.append(threading.Thread(target=run, args=(work,), daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join(PATIENCE_S)
        if thread.is_alive():
            raise AssertionError(f"a thread was not done within {PATIENCE_S:.0f} s")
    if errors:
        raise errors[0]


def check_order(draws: Iterable[Draw]) -> None:
    """Each number is given out once, and is above every number whose draw had ended before its own began."""
    by_begin = sorted(draws)
    by_end = sorted(by_begin, key=lambda draw: draw.ended_ns)
    nonces = [draw.nonce for draw in by_begin]
    if len(set(nonces)) != len(nonces):
        repeated = sorted({nonce for nonce in nonces if nonces.count(nonce) > 1})
        raise AssertionError(f"{len(repeated)} numbers were given out more than once, such as {repeated[0]}")
    highest = done = 0
    for draw in by_begin:
        while by_end[done].ended_ns < draw.began_ns:
            highest = max(highest, by_end[done].nonce)
            done += 1
        if draw.nonce <= highest:
            raise AssertionError(f"{draw.nonce} was given out after {highest}")
