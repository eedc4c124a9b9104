"""The file log of intents, case by case: what stands in it, what spoils it, and what a disk that fails does to it."""

import errno
import fcntl
import os
import random
import stat
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sealane.errors import NotDurable
from sealane.store.disk import OsDisk
from sealane.store.file import FileStore
from sealane.store.intent_file import LINES_FACTOR, IntentFile
from sealane.testing import SimDisk, SimVolume
from sealane.testing.contract_base import run_threads

FOLDER = Path("/data")
LOG = FOLDER / "orders" / "intents.log"
KEPT = 5
SENT = {"state": "sent"}
PLACED = {"state": "placed", "settled": True}


@pytest.fixture
def volume() -> SimVolume:
    return SimVolume()


def process(volume: SimVolume) -> IntentFile:
    return IntentFile(SimDisk(volume), FOLDER, settled_kept=KEPT)


def settle_many(log: IntentFile, count: int, name: str = "order") -> None:
    for number in range(count):
        log.write(f"{name}-{number}", {"n": number, "settled": True}, sync=False)


# --- what stands there ------------------------------------------------------------------------------------------------


def test_a_line_is_a_checksum_and_a_document(tmp_path: Path) -> None:
    log = FileStore(tmp_path).intents()
    log.write("order-1", SENT, sync=True)
    log.write('or"der', {"ż": [1.5, None]}, sync=False)
    log.close()
    texts = [b'["order-1",{"state":"sent"}]', b'["or\\"der",{"\\u017c":[1.5,null]}]']
    expected = b"".join(b"\n%08x %s\n" % (zlib.crc32(text), text) for text in texts)
    assert (tmp_path / "orders" / "intents.log").read_bytes() == expected


def test_files_of_orders_are_for_their_owner_only(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        log = IntentFile(OsDisk(), tmp_path, settled_kept=KEPT)
        token = log.owner()
        settle_many(log, 100)  # written anew, which makes a new file
    finally:
        os.umask(umask)
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "orders").iterdir()}
    assert files == {"intents.log": 0o600, f"{token}.lock": 0o600}
    log.close()


def test_nothing_is_made_for_a_look(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    log = FileStore(folder).intents()
    assert (log.read("order-1"), log.unsettled(), log.recent(5)) == (None, {}, [])
    assert not log.is_alive("0" * 24)
    log.close()
    assert not folder.exists()


def test_a_folder_of_orders_that_was_made_has_its_name_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = set()
    fsync = os.fsync

    def noting(fd: int) -> None:
        synced.add(os.fstat(fd).st_ino)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    (tmp_path / "data" / "orders").mkdir(parents=True)  # by a process that died before it could sync anything
    log = FileStore(tmp_path / "data").intents()
    log.write("order-1", SENT, sync=True)
    log.close()
    assert {(tmp_path / "data").stat().st_ino, (tmp_path / "data" / "orders").stat().st_ino} <= synced


class CountingDisk(OsDisk):
    """Counts what is read and synced; a sync can be held up."""

    def __init__(self) -> None:
        self.bytes_read = self.syncs = 0
        self.go_on: Callable[[], None] = lambda: None

    def read(self, fd: int, size: int, offset: int, /) -> bytes:
        found = os.pread(fd, size, offset)
        self.bytes_read += len(found)
        return found

    def sync(self, fd: int) -> None:
        self.syncs += 1
        self.go_on()
        super().sync(fd)


def test_only_what_was_added_is_read(tmp_path: Path) -> None:
    disk = CountingDisk()
    reader, writer = IntentFile(disk, tmp_path), IntentFile(OsDisk(), tmp_path)
    for number in range(200):
        writer.write(f"order-{number}", SENT, sync=False)
    assert len(reader.unsettled()) == 200
    so_far = disk.bytes_read
    assert so_far == writer.path.stat().st_size
    for number in range(20):
        reader.read("order-1")
        reader.write(f"own-{number}", SENT, sync=False)
    assert disk.bytes_read == so_far, "it read again what it knew, or had written itself"
    before = writer.path.stat().st_size
    writer.write("order-new", SENT, sync=False)
    assert reader.read("order-new") == SENT
    assert disk.bytes_read - so_far == writer.path.stat().st_size - before
    reader.close()
    writer.close()


def test_threads_that_wait_share_one_sync(tmp_path: Path) -> None:
    disk = CountingDisk()
    log = IntentFile(disk, tmp_path)
    log.write("first", SENT, sync=True)
    assert disk.syncs == 1
    others = [lambda n=n: log.write(f"order-{n}", SENT, sync=True) for n in range(9)]
    waiting = threading.Event()

    def held_up() -> None:
        disk.go_on = lambda: None
        assert waiting.wait(10)

    def watch() -> None:
        while len(log._pending) < len(others):
            time.sleep(0)
        waiting.set()

    def lead() -> None:
        disk.go_on = held_up
        log.write("leader", SENT, sync=True)

    def follow(write: Callable[[], None]) -> None:
        while disk.syncs < 2:
            time.sleep(0)
        write()

    run_threads([lead, watch, *(lambda write=write: follow(write) for write in others)])
    assert disk.syncs == 3, "one for the leader, one for all who waited meanwhile"
    assert len(FileStore(tmp_path).intents().unsettled()) == 2 + len(others)
    log.close()


@pytest.mark.parametrize(("first", "second", "syncs"), [(False, True, 1), (True, False, 1), (False, False, 0)])
def test_what_is_stored_together_is_synced_if_any_of_it_is_to_be(
    tmp_path: Path, first: bool, second: bool, syncs: int
) -> None:
    disk = CountingDisk()
    log = IntentFile(disk, tmp_path)
    threads = [
        threading.Thread(target=log.write, args=(f"order-{n}", SENT), kwargs={"sync": sync})
        for n, sync in enumerate((first, second), start=1)
    ]
    with log._mutex:
        for waiting, thread in enumerate(threads, start=1):
            thread.start()
            while len(log._pending) < waiting:
                time.sleep(0)
    for thread in threads:
        thread.join(10)
    assert list(log.unsettled()) == ["order-1", "order-2"]
    assert disk.syncs == syncs
    log.close()


def test_a_forked_child_leaves_to_its_parent_what_other_threads_were_about_to_write(volume: SimVolume) -> None:
    log = process(volume)
    refused = threading.Event()

    def write() -> None:
        with pytest.raises(NotDurable):  # here parent and child are one, so the thread wakes up with nothing stored
            log.write("theirs", SENT, sync=True)
        refused.set()

    with log._mutex:
        thread = threading.Thread(target=write)
        thread.start()
        while not log._pending:
            time.sleep(0)
        log.after_fork()
        log.write("own", SENT, sync=True)
    thread.join(10)
    assert refused.is_set()
    assert list(process(volume).unsettled()) == ["own"]


# --- bounded ----------------------------------------------------------------------------------------------------------


def test_the_log_is_bounded_and_the_unsettled_stay(volume: SimVolume) -> None:
    log, other = process(volume), process(volume)
    log.write("held", SENT, sync=False)
    longest = 0
    for number in range(300):
        (log, other)[number % 2].write(f"order-{number}", {"n": number, "settled": True}, sync=False)
        longest = max(longest, (volume.content(LOG) or b"").count(b"order-"))
    assert longest <= LINES_FACTOR * (KEPT + 1)
    for seen in (log, other, process(volume)):
        assert list(seen.unsettled()) == ["held"]
        assert [name for name, _ in seen.recent(KEPT)] == [f"order-{299 - n}" for n in range(KEPT)]
    assert set(volume.names) == {LOG}


def test_an_order_that_is_written_again_and_again_fills_nothing(volume: SimVolume) -> None:
    log = process(volume)
    for number in range(500):
        log.write("order", {"n": number}, sync=False)
    assert len(volume.content(LOG) or b"") < 40 * LINES_FACTOR * (KEPT + 2)
    assert process(volume).unsettled() == {"order": {"n": 499}}


def test_places_are_kept_when_the_log_is_written_anew(volume: SimVolume) -> None:
    log = process(volume)
    for name in "cab":
        log.write(name, SENT, sync=False)
    log.write("c", {"n": 2}, sync=False)
    settle_many(log, 100)
    assert list(log.unsettled()) == list(process(volume).unsettled()) == ["c", "a", "b"]


def test_a_rename_that_power_loss_tore_is_no_trap(volume: SimVolume) -> None:
    log = process(volume)
    log.write("held", SENT, sync=True)
    volume.names[LOG.with_suffix(".new")] = volume.names[LOG]  # both names, one file
    settle_many(log, 100)
    assert process(volume).unsettled() == {"held": SENT}


# --- spoiled ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "junk",
    [
        b"\n",
        b"\0" * 700,
        b"\n0123",
        b"\n00000000 [",
        b'\n00000000 ["order-1",{}]\n',
        b"x" * 70_000,
        b'\n%08x ["order-1"]\n' % zlib.crc32(b'["order-1"]'),
        b'\n%08x ["order-1",1]\n' % zlib.crc32(b'["order-1",1]'),
        b"\n%08x 1\n" % zlib.crc32(b"1"),
        b"\n-1 1\n",
    ],
    ids=lambda junk: repr(junk[:12]),
)
def test_what_is_no_record_spoils_nothing_but_itself(volume: SimVolume, junk: bytes) -> None:
    log = process(volume)
    log.write("order-1", SENT, sync=True)
    volume.overwrite(LOG, (volume.content(LOG) or b"") + junk)
    heir = process(volume)
    assert heir.unsettled() == {"order-1": SENT}
    heir.write("order-2", SENT, sync=True)
    for seen in (log, heir, process(volume)):
        assert seen.unsettled() == {"order-1": SENT, "order-2": SENT}


def test_a_record_is_whole_or_none_wherever_its_append_was_cut_off(volume: SimVolume) -> None:
    log = process(volume)
    log.write("order-1", SENT, sync=True)
    before = volume.content(LOG) or b""
    log.write("order-1", PLACED, sync=True)
    after = volume.content(LOG) or b""
    for size in range(len(before), len(after)):
        volume.replace(LOG, after[:size])
        heir = process(volume)
        expected = PLACED if size == len(after) - 1 else SENT  # what lacks is the last newline alone
        assert heir.read("order-1") == expected
        heir.write("order-2", SENT, sync=True)
        assert process(volume).read("order-1") == expected
        assert process(volume).read("order-2") == SENT


# --- a disk that fails ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "said"),
    [("full", "No space left"), ("sync_fails", "Input/output error"), ("read_only", "Read-only file system")],
)
def test_what_cannot_be_stored_is_not_there_and_hurts_nobody(volume: SimVolume, flag: str, said: str) -> None:
    log, other = process(volume), process(volume)
    log.write("order-1", SENT, sync=True)
    log.owner()
    setattr(volume, flag, True)
    for _ in range(2):
        with pytest.raises(NotDurable, match=said) as caught:
            log.write("order-2", {"text": "x" * 5000}, sync=True)
        assert str(LOG) in str(caught.value)
        assert "DATA_DIR" in str(caught.value)
        assert log.unsettled() == {"order-1": SENT}
    setattr(volume, flag, False)
    assert other.unsettled() == {"order-1": SENT}
    log.write("order-3", SENT, sync=True)
    other.write("order-4", SENT, sync=True)
    for seed in range(20):
        volume.power_loss(random.Random(seed))
        assert list(process(volume).unsettled()) == ["order-1", "order-3", "order-4"]


def test_a_folder_whose_names_cannot_be_kept_takes_nothing(volume: SimVolume) -> None:
    volume.name_sync_fails = True
    log = process(volume)
    for sync in (True, False, True):
        with pytest.raises(NotDurable, match="Input/output error"):
            log.write("order-1", SENT, sync=sync)
    volume.name_sync_fails = False
    log.write("order-1", SENT, sync=True)
    volume.power_loss(random.Random(0))
    assert process(volume).unsettled() == {"order-1": SENT}


class ShortDisk(OsDisk):
    """Writes half, and says so, as a disk does that fills up meanwhile; it may fail to cut off that half, too."""

    short = cutting_fails = False

    def write(self, fd: int, content: bytes, offset: int, /) -> int:
        return os.pwrite(fd, content[: len(content) // 2] if self.short else content, offset)

    def cut(self, fd: int, size: int) -> None:
        if self.cutting_fails:
            raise OSError(errno.EIO, "Input/output error")
        super().cut(fd, size)


@pytest.mark.parametrize("cutting_fails", [False, True])
def test_half_a_record_is_taken_back_or_passed_over(tmp_path: Path, cutting_fails: bool) -> None:
    disk = ShortDisk()
    log, other = IntentFile(disk, tmp_path), IntentFile(OsDisk(), tmp_path)
    log.write("order-1", SENT, sync=True)
    size = log.path.stat().st_size
    disk.short, disk.cutting_fails = True, cutting_fails
    with pytest.raises(NotDurable, match="only a part"):
        log.write("order-1", PLACED, sync=True)
    assert (log.path.stat().st_size == size) is not cutting_fails
    disk.short = False
    assert log.read("order-1") == other.read("order-1") == SENT
    other.write("order-2", SENT, sync=True)
    log.write("order-3", SENT, sync=True)
    assert list(log.unsettled()) == list(other.unsettled()) == ["order-1", "order-2", "order-3"]
    log.close()
    other.close()


class FailingAnew(SimDisk):
    """One verb fails, and only while the log is written anew."""

    failing = ""
    tries = 0

    def open(self, path: Path) -> int:
        fd = super().open(path)
        if path.suffix == ".new":
            self.tries += 1
            self.new_fd = fd
            self._fail("open")
        return fd

    def write(self, fd: int, content: bytes, offset: int = 0, /) -> int:
        if fd == getattr(self, "new_fd", None):
            self._fail("write")
        return super().write(fd, content, offset)

    def sync(self, fd: int) -> None:
        if fd == getattr(self, "new_fd", None):
            self._fail("sync")
        super().sync(fd)

    def rename(self, path: Path, new: Path) -> None:
        self._fail("rename")
        super().rename(path, new)
        self._fail("names")

    def _fail(self, verb: str) -> None:
        if self.failing == verb != "names":
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.failing == verb:
            self.volume.name_sync_fails = True


@pytest.mark.parametrize("failing", ["open", "write", "sync", "rename"])
def test_a_log_that_cannot_be_written_anew_goes_on_as_it_is(volume: SimVolume, failing: str) -> None:
    disk = FailingAnew(volume)
    log = IntentFile(disk, FOLDER, settled_kept=KEPT)
    disk.failing = failing
    log.write("held", SENT, sync=True)
    settle_many(log, 100)
    assert 2 <= disk.tries <= 5, "neither given up, nor tried at every write"
    assert volume.content(LOG.with_suffix(".new")) is None or failing == "open"
    assert list(process(volume).unsettled()) == list(log.unsettled()) == ["held"]
    assert (volume.content(LOG) or b"").count(b"order-") == 100
    disk.failing = ""
    settle_many(log, 200)
    assert (volume.content(LOG) or b"").count(b"order-") <= LINES_FACTOR * (KEPT + 1)
    assert list(process(volume).unsettled()) == ["held"]


def test_a_new_log_whose_name_may_not_last_takes_nothing_more(volume: SimVolume) -> None:
    disk = FailingAnew(volume)
    log = IntentFile(disk, FOLDER, settled_kept=KEPT)
    disk.failing = "names"
    log.write("held", SENT, sync=True)
    with pytest.raises(NotDurable, match="Input/output error"):
        settle_many(log, 100)
    assert disk.tries == 1
    with pytest.raises(NotDurable, match="Input/output error"):
        process(volume).write("order-1", SENT, sync=True)
    volume.name_sync_fails, disk.failing = False, ""
    log.write("late", SENT, sync=True)
    for seed in range(20):
        volume.power_loss(random.Random(seed))
        assert list(process(volume).unsettled()) == ["held", "late"]


class StoppedNeighbour(OsDisk):
    """Somebody holds every lock, and does not let go."""

    paused_s = 0.0

    def try_lock(self, fd: int) -> bool:
        return False

    def pause(self, seconds: float) -> None:  # type: ignore[override]
        self.paused_s += seconds


def test_a_stopped_process_that_holds_the_lock_is_an_error_and_not_a_wait_without_end(tmp_path: Path) -> None:
    disk = StoppedNeighbour()
    log = IntentFile(disk, tmp_path)
    with pytest.raises(NotDurable, match="SIGSTOP"):
        log.write("order-1", SENT, sync=True)
    assert 4 < disk.paused_s < 10
    with pytest.raises(NotDurable, match="SIGSTOP"):
        log.unsettled()
    log.close()


def test_an_interrupted_sync_is_no_success_for_those_who_waited_for_it(volume: SimVolume) -> None:
    """Control-C hits the thread that stores for all: the others may not take that for stored."""
    disk = SimDisk(volume)
    log = IntentFile(disk, FOLDER)
    log.write("order-1", SENT, sync=True)
    follower: list[BaseException | None] = []

    def interrupted(fd: int) -> None:
        raise KeyboardInterrupt

    def follow() -> None:
        try:
            log.write("order-3", SENT, sync=True)
            follower.append(None)
        except BaseException as error:
            follower.append(error)

    thread = threading.Thread(target=follow)
    disk.sync = interrupted
    with log._mutex:
        thread.start()
        while not log._pending:
            time.sleep(0)
        with pytest.raises(KeyboardInterrupt):
            log._store_pending()
    thread.join(10)
    assert isinstance(follower[0], NotDurable)


# --- owners -----------------------------------------------------------------------------------------------------------


def test_files_of_the_dead_are_removed_when_the_log_is_written_anew(volume: SimVolume) -> None:
    dead, alive = [process(volume) for _ in range(3)], [process(volume) for _ in range(2)]
    tokens = [log.owner() for log in dead], [log.owner() for log in alive]
    for log in dead:
        log._disk.kill()
    settle_many(alive[0], 100)
    assert {path.stem for path in volume.names if path.suffix == ".lock"} == set(tokens[1])
    assert [alive[1].is_alive(token) for token in (*tokens[0], *tokens[1])] == [False] * 3 + [True] * 2


def test_a_living_owners_file_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    log, other = FileStore(tmp_path).intents(), FileStore(tmp_path).intents()
    token = log.owner()
    (tmp_path / "orders" / f"{token}.lock").unlink()
    assert not other.is_alive(token)
    assert log.owner() == token
    assert other.is_alive(token)


def test_those_who_ask_at_once_do_not_take_each_other_for_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "dead.lock"
    path.touch()
    with path.open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        assert not OsDisk().is_locked(path)
        fcntl.flock(asking, fcntl.LOCK_EX)
        assert OsDisk().is_locked(path)


def test_who_cannot_be_asked_after_is_not_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = FileStore(tmp_path).intents()
    token = log.owner()

    def no_more_files(path: Path, *rest: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", no_more_files)
    with pytest.raises(NotDurable, match="Too many open files"):
        log.is_alive(token)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list its descriptors there")
def test_a_place_keeps_two_files_open_at_most(tmp_path: Path) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_files()
    log = IntentFile(OsDisk(), tmp_path, settled_kept=KEPT)
    settle_many(log, 200)
    assert open_files() == before + 1
    token = log.owner()
    settle_many(log, 200)
    assert log.is_alive(token)
    assert open_files() == before + 2
    log.close()
    assert open_files() == before + 1, "the owner's lock is for life"
    log.write("order", SENT, sync=False)
    log.after_fork()  # in a child nothing of the parent's stays open: its locks would be shared
    assert open_files() == before


def test_a_store_has_one_log(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    assert store.intents() is store.intents()
