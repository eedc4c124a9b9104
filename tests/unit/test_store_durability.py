"""What power loss leaves, each case by itself. The random histories look for the cases that nobody thought of."""

import contextlib
import itertools
import random
from pathlib import Path

import pytest

from sealane.errors import NotDurable
from sealane.store.file import FileLane, FileStore
from sealane.store.slots import read_slots
from sealane.testing import FakeClock, Killed, SimDisk, SimVolume

FOLDER = Path("/data")
LANE = "kraken_global_nonce"
SEEDS = range(60)


class Machine:
    """A clock, a volume, and lanes opened by ever new processes."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)
        self.clock = FakeClock()
        self.volume = SimVolume(self.clock.wall_ns)
        self.disk = SimDisk(self.volume)

    def process(self, name: str = LANE, unit_ns: int = 1) -> FileLane:
        self.disk = SimDisk(self.volume)
        return FileStore(FOLDER, disk=self.disk).lane(name, unit_ns)

    def draw(self, lane: FileLane) -> int:
        return lane.draw(self.clock.wall_ns(), self.clock.boot_ns())

    def lose_power(self, step_s: float = 0) -> None:
        self.volume.power_loss(self.rng)
        self.clock.reboot()
        self.clock.step(step_s)


def test_the_first_nonce_of_all_survives_power_loss() -> None:
    for seed in SEEDS:
        machine = Machine(seed)
        nonce = machine.draw(machine.process())
        machine.lose_power(-3600)
        lane = machine.process()
        assert machine.draw(lane) > nonce


def test_a_floor_survives_power_loss() -> None:
    for seed in SEEDS:
        machine = Machine(seed)
        floor = machine.process().raise_floor(machine.clock.wall_ns() + 10**15)
        machine.lose_power(-3600)
        assert machine.draw(machine.process()) > floor


def test_a_floor_that_stands_in_the_file_already_survives_power_loss() -> None:
    for seed in SEEDS:
        machine = Machine(seed)
        nonce = machine.clock.wall_ns()
        lane = machine.process()
        machine.volume.sync_fails = True  # the number reaches the file, and no mark covers it: it is burned
        with pytest.raises(NotDurable):
            machine.draw(lane)
        machine.volume.sync_fails = False
        machine.disk.kill()
        assert machine.process().raise_floor(nonce) == nonce
        machine.lose_power(-3600)
        assert machine.draw(machine.process()) > nonce


def test_a_floor_below_what_one_process_starts_from_holds_for_the_others() -> None:
    machine = Machine()
    machine.volume.tells_era = False  # every start counts the mark
    one = machine.process()
    first = machine.draw(one)
    floor = machine.process().raise_floor(first + 1000)
    assert floor >= first + 1000
    assert machine.draw(one) > floor


def test_the_state_of_a_key_survives_power_loss() -> None:
    for seed in SEEDS:
        machine = Machine(seed)
        lane = machine.process()
        assert lane.try_enter()
        for jumps in range(1, 2 + seed % 3):
            lane.write_key("a1b2", {"jumps": jumps})
        machine.lose_power()
        assert machine.process().read_key("a1b2") == {"jumps": jumps}


def test_a_new_lane_starts_above_what_another_issued_before_the_power_went() -> None:
    for seed in SEEDS:
        machine = Machine(seed)
        old = machine.process("kraken_global_nonce")
        old.raise_floor(machine.clock.wall_ns() + 10**13)
        nonce = machine.draw(old)
        machine.lose_power()
        assert machine.draw(machine.process("kraken_key_0a")) > nonce


def test_a_new_lane_starts_above_another_whose_file_is_gone() -> None:
    machine = Machine()
    old = machine.process("kraken_global_nonce")
    old.raise_floor(machine.clock.wall_ns() + 10**13)
    nonce = machine.draw(old)
    machine.volume.remove(FOLDER / "kraken_global_nonce.txt")
    assert machine.draw(machine.process("kraken_key_0a")) > nonce


def test_reserving_without_a_draw_does_not_vouch_for_a_file_of_before_the_boot() -> None:
    machine = Machine()
    lane = machine.process()
    lane.raise_floor(machine.clock.wall_ns())
    machine.volume.remount()  # in order: all of this is on disk
    lane = machine.process()
    lane.raise_floor(machine.clock.wall_ns() + 10**13)
    nonce = machine.draw(lane)
    stale = str(machine.clock.wall_ns()).encode()
    machine.lose_power(-60)
    machine.volume.overwrite(FOLDER / f"{LANE}.txt", stale)  # of what power loss may leave, the worst

    lane = machine.process()
    write = machine.disk.write
    machine.disk.write = failing  # type: ignore[method-assign]
    with pytest.raises(NotDurable):
        machine.draw(lane)  # opened, and not written
    machine.disk.write = write  # type: ignore[method-assign]
    lane.reserve(machine.clock.wall_ns())
    machine.disk.kill()
    assert machine.draw(machine.process()) > nonce


def failing(fd: int, content: bytes, offset: int = 0) -> None:
    raise OSError("Input/output error")


# --- no more than needed ----------------------------------------------------------------------------------------------


def test_a_mere_restart_leaves_no_gap() -> None:
    machine = Machine()
    last = machine.draw(machine.process())
    for _ in range(100):
        machine.disk.kill()
        nonce = machine.draw(machine.process())
        assert nonce == last + 1
        last = nonce


def test_a_reboot_starts_above_the_mark_and_within_its_window_of_the_clock() -> None:
    machine = Machine()
    nonce = machine.draw(machine.process())
    machine.lose_power()
    lane = machine.process()
    assert nonce < machine.draw(lane) <= machine.clock.wall_ns() + 4 * 10**9
    assert lane.loaded_from == "mark"
    machine.clock.advance(5)
    assert machine.draw(lane) == machine.clock.wall_ns(), "the clock is followed again"


@pytest.mark.parametrize("unit_ns", [1, 1_000, 1_000_000], ids=["ns", "us", "ms"])
@pytest.mark.parametrize("way", ["mounted anew", "power lost", "system tells no boot"])
def test_a_thousand_restarts_do_not_drift_from_the_clock(unit_ns: int, way: str) -> None:
    machine = Machine()
    machine.volume.tells_era = way != "system tells no boot"
    for _ in range(1_000):
        lane = machine.process("kraken_key_0a", unit_ns)
        nonces = [machine.draw(lane) for _ in range(3)]
        assert nonces == sorted(set(nonces))
        machine.clock.advance(1)
        if way == "mounted anew":
            machine.volume.remount()
        elif way == "power lost":
            machine.lose_power()
        else:
            machine.disk.kill()
    ahead_s = (nonces[-1] * unit_ns - machine.clock.wall_ns()) / 1e9
    assert ahead_s < 10


def test_a_busy_lane_syncs_once_in_a_while() -> None:
    machine = Machine()
    syncs = []
    lane = machine.process()
    sync = machine.disk.sync
    machine.disk.sync = lambda fd: (syncs.append(fd), sync(fd))[1]  # type: ignore[method-assign]
    for _ in range(10_000):  # ten seconds of 1,000 a second
        machine.clock.advance(0.001)
        machine.draw(lane)
        if lane.reserve_due:
            lane.reserve(machine.clock.wall_ns())
    assert 3 <= len(syncs) <= 10


def test_a_number_ahead_of_the_clock_does_not_cost_a_sync_each() -> None:
    for unit_ns in (1, 1_000, 1_000_000):
        machine = Machine()
        lane = machine.process("kraken_key_0a", unit_ns)
        lane.raise_floor(machine.clock.wall_ns() // unit_ns + 10**9)
        syncs = []
        sync = machine.disk.sync
        machine.disk.sync = lambda fd, syncs=syncs, sync=sync: (syncs.append(fd), sync(fd))[1]  # type: ignore[misc]
        for _ in range(2_000):
            machine.draw(lane)
            if lane.reserve_due:
                lane.reserve(machine.clock.wall_ns())
        assert len(syncs) <= 45, f"unit {unit_ns}"


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["sync_fails", "name_sync_fails", "full", "read_only"])
def test_what_cannot_be_stored_is_not_issued_and_the_lane_recovers(flag: str) -> None:
    machine = Machine()
    lane = machine.process()
    setattr(machine.volume, flag, True)
    for _ in range(3):
        with pytest.raises(NotDurable, match=r"simulated.*DATA_DIR"):
            machine.draw(lane)
    setattr(machine.volume, flag, False)
    assert machine.draw(lane) >= machine.clock.wall_ns()
    assert machine.draw(lane) < machine.clock.wall_ns() + 100


def test_a_failed_sync_burns_the_number() -> None:
    machine = Machine()
    lane = machine.process()
    first = machine.draw(lane)
    machine.clock.advance(60)
    machine.volume.sync_fails = True
    with pytest.raises(NotDurable):
        machine.draw(lane)
    machine.volume.sync_fails = False
    machine.lose_power(-3600)
    assert machine.draw(machine.process()) > first


@pytest.mark.parametrize("verb", ["sync", "sync_folder"])
@pytest.mark.parametrize("failing_call", range(1, 5))
def test_what_failed_at_first_is_made_up_for(verb: str, failing_call: int) -> None:
    """Both names and both contents, whichever of the first syncs it was that failed."""
    for seed in SEEDS:
        machine = Machine(seed)
        lane = machine.process()
        fail_at(machine, verb, failing_call)
        issued = []
        for _ in range(3):
            with contextlib.suppress(NotDurable):
                issued.append(machine.draw(lane))
        assert issued
        machine.lose_power(-3600)
        assert machine.draw(machine.process()) > issued[-1]


def fail_at(machine: Machine, verb: str, call: int) -> None:
    """Have one call of a verb of the disk fail."""
    real, calls = getattr(machine.disk, verb), itertools.count(1)

    def verb_that_fails_once(subject: object) -> None:
        failing = next(calls) == call
        if verb == "sync":
            machine.volume.sync_fails = failing
        else:
            machine.volume.name_sync_fails = failing
        try:
            real(subject)
        finally:
            machine.volume.sync_fails = machine.volume.name_sync_fails = False

    setattr(machine.disk, verb, verb_that_fails_once)


def test_a_reserve_that_fails_is_told_and_the_next_draw_waits_for_the_disk(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    lane = machine.process()
    machine.draw(lane)
    machine.volume.sync_fails = True
    machine.clock.advance(10)
    lane.reserve(machine.clock.wall_ns())
    assert "Could not persist nonce to disk" in caplog.text
    assert lane.must_sync(machine.clock.wall_ns())
    with pytest.raises(NotDurable):
        machine.draw(lane)


def test_a_draw_lock_that_is_never_freed_is_an_error_not_a_hang() -> None:
    machine = Machine()
    machine.draw(machine.process())
    stopped = SimDisk(machine.volume)
    assert stopped.try_lock(stopped.open(FOLDER / f"{LANE}.txt"))
    with pytest.raises(NotDurable, match="would wait"):
        machine.draw(machine.process())


@pytest.mark.parametrize("calls", range(1, 40))
def test_a_kill_at_any_call_of_the_first_draws_leaves_a_lane_that_goes_on(calls: int) -> None:
    machine = Machine()
    lane = machine.process()
    machine.disk.trip(calls, machine.disk.kill)
    issued = []
    try:
        for _ in range(6):
            issued.append(machine.draw(lane))
    except Killed:
        pass
    machine.clock.step(-3600)
    heir = machine.process()
    assert machine.draw(heir) > max(issued, default=0)
    assert heir.try_enter()


# --- the clock over a restart -----------------------------------------------------------------------------------------


def test_a_leap_is_doubted_by_the_next_process_too_and_by_the_next_boot_not() -> None:
    machine = Machine()
    first = machine.draw(machine.process())
    machine.clock.step(7200)
    lane = machine.process()
    assert first < machine.draw(lane) < first + 10**9
    assert lane.clock_doubted()
    machine.lose_power()
    lane = machine.process()
    assert machine.draw(lane) == machine.clock.wall_ns()


def test_the_mark_tells_where_it_stands() -> None:
    machine = Machine()
    lane = machine.process()
    nonce = machine.draw(lane)
    stored = read_slots(machine.volume.content(FOLDER / f"{LANE}.mark") or b"")[1]
    assert stored["boot"] == "boot-1"
    assert stored["mount"] == "mount-1"
    assert stored["mark"] == lane.view(machine.clock.wall_ns()).mark >= nonce


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_file_that_is_spoiled_as_before_is_not_the_file_of_before(content: bytes) -> None:
    machine = Machine()
    path = FOLDER / f"{LANE}.txt"
    machine.volume.overwrite(path, content)
    lane = machine.process()
    machine.volume.sync_fails = True
    with pytest.raises(NotDurable):
        lane.raise_floor(1)  # the spoiled file was read, and what to do about it failed
    machine.volume.sync_fails = False
    machine.volume.overwrite(path, content)
    last = machine.process().raise_floor(machine.clock.wall_ns() + 10**13)
    machine.volume.overwrite(path, content)
    assert machine.draw(lane) > last


def test_a_file_emptied_before_a_process_first_read_it_is_no_new_file() -> None:
    machine = Machine()
    first = machine.draw(machine.process())
    holder = SimDisk(machine.volume)
    held = holder.open(FOLDER / f"{LANE}.txt")
    assert holder.try_lock(held)
    lane = machine.process()
    with pytest.raises(NotDurable):
        machine.draw(lane)  # opened, and not read: another has the lock
    holder.unlock(held)
    machine.clock.step(-60)
    last = machine.process().raise_floor(first + 10**13)
    machine.volume.overwrite(FOLDER / f"{LANE}.txt", b"")
    assert machine.draw(lane) > last
