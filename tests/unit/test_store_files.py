"""The file store on a real folder: what the files hold, who may read them, what happens when they are taken away."""

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sealane.errors import NotDurable
from sealane.store import file
from sealane.store.disk import OsDisk
from sealane.store.file import FileLane, FileStore
from sealane.testing import FakeClock

LANE = "kraken_global_nonce"
FILES_A_LANE = 3


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def draw(lane: FileLane, clock: FakeClock) -> int:
    return lane.draw(clock.wall_ns(), clock.boot_ns())


def held(folder: Path) -> bytes:
    return (folder / f"{LANE}.txt").read_bytes()


# --- what stands there ------------------------------------------------------------------------------------------------


def test_the_file_holds_exactly_the_last_nonce_after_every_issue(tmp_path: Path, clock: FakeClock) -> None:
    one, other = FileStore(tmp_path).lane(LANE), FileStore(tmp_path).lane(LANE)
    for lane in (one, one, other, one, other, other):
        nonce = draw(lane, clock)
        assert held(tmp_path) == b"%d" % nonce
        clock.advance(0.4)
    floor = one.raise_floor(draw(one, clock) + 10**12)
    assert held(tmp_path) == b"%d" % floor
    one.close()
    other.close()


def test_it_also_does_where_numbers_gain_a_digit(tmp_path: Path) -> None:
    lane = FileStore(tmp_path).lane(LANE, 1_000_000)
    for wall_ns in range(9_990 * 10**6, 10_010 * 10**6, 10**6):
        nonce = lane.draw(wall_ns, wall_ns)
        assert held(tmp_path) == b"%d" % nonce
    assert nonce == 10_009
    lane.close()


@pytest.mark.parametrize("junk", [b"\n", b"?", b"\0" * 5000, b" " * 100, b" 17"])
def test_what_somebody_appends_is_gone_with_the_next_issue(tmp_path: Path, clock: FakeClock, junk: bytes) -> None:
    lane = FileStore(tmp_path).lane(LANE)
    before = draw(lane, clock)
    with (tmp_path / f"{LANE}.txt").open("ab") as file:
        file.write(junk)
    nonce = draw(lane, clock)
    assert nonce > before
    assert held(tmp_path) == b"%d" % nonce
    assert draw(lane, clock) == nonce + 1, "numbers run away"
    lane.close()


def test_a_reader_sees_one_integer_at_any_time(tmp_path: Path, clock: FakeClock) -> None:
    lane = FileStore(tmp_path).lane(LANE)
    last = draw(lane, clock)
    seen: list[bytes] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(held(tmp_path))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while len(seen) < 200 and reader.is_alive():
        for _ in range(500):
            clock.advance(1e-3)
            last = draw(lane, clock)
    done.set()
    reader.join()
    lane.close()
    assert [content for content in seen if not content.isdigit()] == []
    assert [int(content) for content in seen] == sorted(int(content) for content in seen)
    assert int(seen[-1]) <= last


# --- the folder and its rights ----------------------------------------------------------------------------------------


def test_files_are_for_their_owner_only(tmp_path: Path, clock: FakeClock) -> None:
    umask = os.umask(0)
    try:
        lane = FileStore(tmp_path).lane(LANE)
        draw(lane, clock)
        assert lane.try_enter()
        lane.write_key("a1b2", {"n": 1})
        lane.leave()
        lane.close()
    finally:
        os.umask(umask)
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    endings = ("txt", "mark", "turn", "next")
    assert files == {**{f"{LANE}.{ending}": 0o600 for ending in endings}, "a1b2.state": 0o600}


def test_a_missing_folder_is_made(tmp_path: Path, clock: FakeClock) -> None:
    folder = tmp_path / "some" / "where" / "else"
    lane = FileStore(folder).lane(LANE)
    assert not (tmp_path / "some").exists(), "nothing is touched before the first verb"
    nonce = draw(lane, clock)
    lane.close()
    assert held(folder) == b"%d" % nonce


def test_a_folder_that_was_made_has_its_name_on_disk(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = set()
    fsync = os.fsync

    def noting(fd: int) -> None:
        synced.add(os.fstat(fd).st_ino)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    lane = FileStore(tmp_path / "some" / "where").lane(LANE)
    draw(lane, clock)
    lane.close()
    for folder in (tmp_path, tmp_path / "some", tmp_path / "some" / "where"):
        assert folder.stat().st_ino in synced, f"{folder} was not synced"


def test_a_folder_that_cannot_be_made_is_an_error_with_its_remedy(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "data"
    lane = FileStore(folder).lane(LANE)
    for verb in (
        lambda: draw(lane, clock),
        lambda: lane.raise_floor(17),
        lane.try_enter,
        lambda: lane.write_key("a1b2", {}),
    ):
        with pytest.raises(NotDurable, match="Could not persist nonce to disk") as caught:
            verb()
        assert str(folder) in str(caught.value)
        assert "DATA_DIR" in str(caught.value)
        assert "Not a directory" in str(caught.value)


def test_a_lane_that_cannot_be_kept_can_still_be_looked_at(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "file").write_text("")
    lane = FileStore(tmp_path / "file" / "data").lane(LANE)
    view = lane.view(clock.wall_ns())
    assert (view.last_nonce, view.mark, view.stored_age_s, view.turn) == (0, 0, None, None)
    assert lane.last() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("ending", ["txt", "mark"])
def test_a_full_disk_is_an_error_and_nothing_is_issued(tmp_path: Path, clock: FakeClock, ending: str) -> None:
    (tmp_path / f"{LANE}.{ending}").symlink_to("/dev/full")
    lane = FileStore(tmp_path).lane(LANE)
    for _ in range(2):
        with pytest.raises(NotDurable, match="No space left on device"):
            draw(lane, clock)
    lane.close()


def test_a_folder_where_the_file_should_be_is_an_error(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / f"{LANE}.txt").mkdir()
    with pytest.raises(NotDurable, match="Is a directory"):
        draw(FileStore(tmp_path).lane(LANE), clock)


# --- taken away while in use ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["removed", "replaced", "all removed"])
def test_a_file_that_goes_while_in_use_is_opened_anew_above_all(tmp_path: Path, clock: FakeClock, way: str) -> None:
    one, other = FileStore(tmp_path).lane(LANE), FileStore(tmp_path).lane(LANE)
    draw(one, clock)
    high = other.raise_floor(draw(other, clock) + 10**12)
    take_away(tmp_path, way)
    clock.advance(0.06)
    assert (nonce := draw(other, clock)) > high
    assert held(tmp_path) == b"%d" % nonce
    assert (after := draw(one, clock)) > nonce
    assert held(tmp_path) == b"%d" % after
    one.close()
    other.close()


@pytest.mark.parametrize("way", ["removed", "replaced"])
def test_the_next_turn_sees_it_at_once(tmp_path: Path, clock: FakeClock, way: str) -> None:
    one, other = FileStore(tmp_path).lane(LANE), FileStore(tmp_path).lane(LANE)
    draw(one, clock)
    take_away(tmp_path, way)
    high = draw(other, clock)
    assert one.try_enter()
    assert draw(one, clock) > high
    one.leave()
    one.close()
    other.close()


def take_away(folder: Path, way: str) -> None:
    if way == "replaced":
        (folder / "new").write_text("17")
        (folder / "new").rename(folder / f"{LANE}.txt")
    for path in folder.iterdir() if way != "replaced" else ():
        if way == "all removed" or path.suffix == ".txt":
            path.unlink()


def test_a_floor_goes_to_the_file_that_is_there_now(tmp_path: Path, clock: FakeClock) -> None:
    one, other = FileStore(tmp_path).lane(LANE), FileStore(tmp_path).lane(LANE)
    one.raise_floor(clock.wall_ns())
    take_away(tmp_path, "removed")
    draw(other, clock)
    floor = one.raise_floor(clock.wall_ns() + 10**12)
    assert draw(other, clock) > floor
    one.close()
    other.close()


@pytest.mark.parametrize("step", [-0.06, -3600.0])
def test_a_clock_that_steps_does_not_put_off_the_look(tmp_path: Path, clock: FakeClock, step: float) -> None:
    one, other = FileStore(tmp_path).lane(LANE), FileStore(tmp_path).lane(LANE)
    draw(one, clock)
    take_away(tmp_path, "removed")
    high = draw(other, clock)
    clock.step(step)
    clock.advance(0.06)
    assert draw(one, clock) > high
    one.close()
    other.close()


def test_a_turn_file_that_goes_does_not_stop_the_lane(tmp_path: Path) -> None:
    lane = FileStore(tmp_path).lane(LANE)
    assert lane.try_enter()
    lane.leave()
    for ending in ("turn", "next"):
        (tmp_path / f"{LANE}.{ending}").unlink()
    if not lane.try_enter():
        lane.wait_enter()
    other = FileStore(tmp_path).lane(LANE)
    assert not other.try_enter()
    lane.leave()
    other.wait_enter()
    other.leave()
    lane.close()
    other.close()


# --- many lanes -------------------------------------------------------------------------------------------------------


OPEN_LANES_MAX = 100


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list its descriptors there")
def test_600_lanes_keep_few_files_open(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    for sync in ("fsync", "fdatasync"):  # thousands of them, and nothing here depends on one
        monkeypatch.setattr(os, sync, lambda fd: None)
    monkeypatch.setattr(file, "OPEN_LANES_MAX", OPEN_LANES_MAX)
    store = FileStore(tmp_path)
    lanes = [store.lane(f"kraken_key_{number:x}") for number in range(600)]
    for lane in lanes:  # a new lane would look at all the others
        (tmp_path / f"{lane.name}.txt").write_text("17")
    before = open_files()
    busy, last = lanes[0], dict.fromkeys(lanes, 0)
    assert busy.try_enter()
    for count, lane in enumerate((*lanes, *lanes[:50])):
        nonce = draw(lane, clock)
        assert nonce > last[lane]
        last[lane] = nonce
        if lane is not busy:
            assert lane.try_enter()
            lane.leave()
        if count % 25 == 0:
            assert open_files() - before <= FILES_A_LANE * (OPEN_LANES_MAX + 1)
    assert open_files() - before > OPEN_LANES_MAX, "the count says nothing"
    other = FileStore(tmp_path).lane(busy.name)
    assert not other.try_enter(), "the one whose turn is held was closed"
    for lane in (*lanes, other):
        lane.close()
    assert open_files() == before


def test_a_closed_lane_leaves_no_file_open(tmp_path: Path, clock: FakeClock) -> None:
    before = open_files()
    for _ in range(20):
        lane = FileStore(tmp_path).lane(LANE)
        draw(lane, clock)
        assert lane.try_enter()
        lane.write_key("a1b2", {})
        lane.close()
    assert open_files() == before


def open_files() -> int:
    return len(list(Path("/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd").iterdir()))


class UnlockingSlowly(OsDisk):
    """Something else happens between the wish to unlock and the unlocking."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], None] | None = None

    def unlock(self, fd: int) -> None:
        if self.meanwhile:
            thread = threading.Thread(target=self.meanwhile)
            self.meanwhile = None
            thread.start()
            thread.join(0.2)  # it may have to wait for us: then it comes after
        super().unlock(fd)


def test_a_lane_closed_for_others_while_its_turn_is_left_unlocks_its_own_file_alone(tmp_path: Path) -> None:
    disk = UnlockingSlowly()
    store = FileStore(tmp_path, disk=disk)
    one, other = store.lane("kraken_key_aa"), store.lane("kraken_key_bb")
    assert one.try_enter()
    entered = threading.Event()

    def evict() -> None:
        one.close_if_idle()  # descriptors are needed
        assert other.try_enter()  # and this lane would get the numbers of that one's
        entered.set()

    disk.meanwhile = evict
    one.leave()
    assert entered.wait(10)
    assert not FileStore(tmp_path).lane("kraken_key_bb").try_enter(), "the other lane's turn was given away"
