"""What a process does in the background for its leases, where some of it fails."""

import logging
import threading

import pytest

from sealane.errors import Unavailable
from sealane.store.engine_intents import BEAT_SPAN_MS
from sealane.store.host import Host
from sealane.store.keeper import Keeper
from sealane.testing import FakeClock, TableEngine

LIMIT_S = 10.0


class Lane:
    """Stands in for a lane: it notes each look, and fails while it is told to."""

    def __init__(self, name):
        self.name, self.looks, self.trouble = name, threading.Semaphore(0), None

    def tend(self, _now_ns):
        self.looks.release()
        if self.trouble is not None:
            raise self.trouble


class Intents:
    def __init__(self):
        self.beats = threading.Semaphore(0)

    def beat(self):
        self.beats.release()


@pytest.fixture
def intents():
    return Intents()


@pytest.fixture
def keeper(intents):
    made = Keeper(Host("host", "process", TableEngine(lambda: 0, lease_ms=40), FakeClock()), intents)
    yield made
    made.close()


def rounds(lane, count):
    assert all(lane.looks.acquire(timeout=LIMIT_S) for _ in range(count))


def test_one_lane_that_fails_keeps_neither_the_others_nor_the_sign_of_life(keeper, intents):
    lanes = [Lane("a"), Lane("b"), Lane("c")]
    lanes[1].trouble = Unavailable("the engine is away")
    for lane in lanes:
        keeper.keep(lane)
    for lane in lanes:
        rounds(lane, 5)
    assert intents.beats.acquire(timeout=LIMIT_S)


def test_trouble_is_told_once_and_its_end_too(keeper, caplog):
    caplog.set_level(logging.WARNING, "sealane")
    lane = Lane("a")
    lane.trouble = Unavailable("the engine is away")
    keeper.keep(lane)
    rounds(lane, 5)
    lane.trouble = None
    rounds(lane, 3)
    told = [record.getMessage() for record in caplog.records]
    assert told == ["the lease of a cannot be kept now: the engine is away", "the lease of a is kept again"]


def test_a_process_lives_for_others_however_long_its_leases_last(intents):
    engine = TableEngine(lambda: 0, lease_ms=60_000)
    woken = threading.Event()
    keeper = Keeper(Host("host", "process", engine, FakeClock()), intents)
    keeper._wake = Waits(woken)
    lane = Lane("a")
    keeper.keep(lane)
    assert woken.wait(LIMIT_S)
    keeper.close()
    assert keeper._wake.limit_s * 1_000 <= BEAT_SPAN_MS / 3


class Waits(threading.Event):
    """Notes for how long it was waited for, and ends the wait."""

    def __init__(self, woken):
        super().__init__()
        self.limit_s, self._woken = 0.0, woken

    def wait(self, timeout=None):
        self.limit_s = timeout
        self._woken.set()
        return super().wait(0.01)
