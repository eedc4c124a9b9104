"""The simulated disk and clock: whether they are as bad as they should be, and not worse."""

import random
from pathlib import Path

import pytest

from sealane.store.disk import Disk
from sealane.testing import FakeClock, Killed, NonceOrder, OutOfOrder, SimDisk, SimVolume, WouldBlock

FILE = Path("/data/file")
OTHER = Path("/data/other")


def after_loss(prepare: str, runs: int = 200) -> set[bytes | None]:
    """All that power loss left of the file, over many seeds, after the steps named."""
    found = set()
    for seed in range(runs):
        volume = SimVolume()
        disk: Disk = SimDisk(volume)
        fd = disk.open(FILE)
        for step in prepare.split():
            if step == "sync":
                disk.sync(fd)
            elif step == "names":
                disk.sync_folder(FILE.parent)
            elif step.startswith("cut"):
                disk.cut(fd, int(step[3:]))
            else:
                disk.write(fd, step.encode())
        volume.power_loss(random.Random(seed))
        found.add(volume.content(FILE))
    return found


def test_a_synced_file_of_a_synced_name_is_kept() -> None:
    assert after_loss("names aaa sync") == {b"aaa"}


def test_a_name_is_kept_or_not_until_its_folder_is_synced() -> None:
    assert after_loss("aaa sync") == {b"aaa", None}


def test_a_write_is_kept_or_not_until_it_is_synced() -> None:
    assert after_loss("names aaa sync bbb") == {b"aaa", b"bbb"}
    assert after_loss("names aaa sync bbb ccc") == {b"aaa", b"bbb", b"ccc"}


def test_a_file_that_grew_may_be_short_or_filled_with_nul() -> None:
    assert after_loss("names aaa") == {b"", b"\0\0\0", b"aaa"}
    assert after_loss("names aaa sync bbbbb") == {b"aaa", b"bbb", b"aaa\0\0", b"bbbbb"}


def test_a_file_that_was_cut_may_be_any_of_both() -> None:
    assert after_loss("names aaa sync cut0 bbb") >= {b"aaa", b"", b"bbb", b"\0\0\0"}


def test_sectors_are_kept_one_by_one_and_never_torn() -> None:
    old, new = "a" * 1024, "b" * 1024
    found = after_loss(f"names {old} sync {new}")
    a, b = b"a" * 512, b"b" * 512
    assert found == {a + a, a + b, b + a, b + b}


def test_a_failed_sync_loses_what_it_should_have_kept_also_for_the_next_one() -> None:
    volume = SimVolume()
    disk = SimDisk(volume)
    fd = disk.open(FILE)
    disk.sync_folder(FILE.parent)
    disk.write(fd, b"old")
    disk.sync(fd)
    disk.write(fd, b"new")
    volume.sync_fails = True
    with pytest.raises(OSError, match="Input/output"):
        disk.sync(fd)
    volume.sync_fails = False
    disk.sync(fd)
    assert disk.read(fd, 10) == b"new", "the page cache has it still"
    volume.power_loss(random.Random(0))
    assert volume.content(FILE) == b"old"


def test_a_kill_takes_locks_and_descriptors_and_leaves_the_page_cache() -> None:
    volume = SimVolume()
    one, other = SimDisk(volume), SimDisk(volume)
    fd, theirs = one.open(FILE), other.open(FILE)
    one.write(fd, b"unsynced")
    assert one.try_lock(fd)
    assert one.try_lock(fd), "its own lock is no hindrance"
    assert not other.try_lock(theirs)
    with pytest.raises(WouldBlock):
        other.lock(theirs)
    one.kill()
    assert other.try_lock(theirs)
    assert other.read(theirs, 100) == b"unsynced"
    for verb in (one.boot_id, lambda: one.close(fd), lambda: one.open(FILE)):
        with pytest.raises(Killed):
            verb()


def test_a_lock_belongs_to_its_descriptor() -> None:
    disk = SimDisk(SimVolume())
    one, other = disk.open(FILE), disk.open(FILE)
    assert disk.try_lock(one)
    assert not disk.try_lock(other)
    disk.unlock(other)
    assert not disk.try_lock(other), "somebody else's lock was released"
    disk.close(one)
    assert disk.try_lock(other)
    with pytest.raises(OSError, match="Bad file descriptor"):
        disk.read(one, 1)


def test_boot_and_mount_tell_what_happened() -> None:
    volume = SimVolume()

    def era() -> tuple[str, str]:
        disk = SimDisk(volume)
        return disk.boot_id(), disk.mount_id(disk.open(FILE))

    first = era()
    assert era() == first
    volume.remount()
    second = era()
    assert second[0] == first[0]
    assert second[1] != first[1]
    volume.power_loss(random.Random(0))
    third = era()
    assert third[0] != second[0]
    assert third[1] != second[1]
    volume.tells_era = False
    assert era() == ("", "")


def test_a_remount_in_order_keeps_everything() -> None:
    volume = SimVolume()
    disk = SimDisk(volume)
    disk.write(disk.open(FILE), b"unsynced")
    volume.remount()
    assert not disk.alive
    volume.power_loss(random.Random(0))
    assert volume.content(FILE) == b"unsynced"


def test_a_file_removed_or_replaced_is_gone_for_those_who_have_it_open() -> None:
    volume = SimVolume()
    disk = SimDisk(volume)
    fd = disk.open(FILE)
    assert not disk.is_gone(fd, FILE)
    volume.overwrite(FILE, b"in place")
    assert not disk.is_gone(fd, FILE)
    volume.replace(FILE, b"another")
    assert disk.is_gone(fd, FILE)
    assert disk.read(fd, 100) == b"in place"
    volume.remove(FILE)
    assert disk.is_gone(fd, FILE)
    assert disk.content(FILE, 10) is None
    assert disk.names(FILE.parent) == []


def test_a_rename_is_kept_or_not_until_the_folder_is_synced() -> None:
    found = set()
    for seed in range(100):
        volume = SimVolume()
        disk = SimDisk(volume)
        old, new = disk.open(FILE), disk.open(OTHER)
        for fd, content in ((old, b"old"), (new, b"new")):
            disk.write(fd, content)
            disk.sync(fd)
        disk.sync_folder(FILE.parent)
        disk.rename(OTHER, FILE)
        assert (disk.content(FILE, 10), disk.content(OTHER, 10)) == (b"new", None)
        assert disk.is_gone(old, FILE)
        assert not disk.is_gone(new, FILE)
        if seed % 2:
            disk.sync_folder(FILE.parent)
        volume.power_loss(random.Random(seed))
        found.add((seed % 2, volume.content(FILE)))
    assert found == {(0, b"old"), (0, b"new"), (1, b"new")}


def test_a_name_taken_away() -> None:
    disk = SimDisk(SimVolume())
    fd = disk.open(FILE)
    disk.unlink(FILE)
    disk.unlink(FILE)
    assert disk.is_gone(fd, FILE)


def test_whether_a_file_is_locked() -> None:
    volume = SimVolume()
    one, other = SimDisk(volume), SimDisk(volume)
    assert not other.is_locked(FILE)
    fd = one.open(FILE)
    assert not other.is_locked(FILE)
    assert one.try_lock(fd)
    assert other.is_locked(FILE)
    assert one.is_locked(FILE)
    one.kill()
    assert not other.is_locked(FILE)


@pytest.mark.parametrize(("flag", "said"), [("full", "No space left"), ("read_only", "Read-only")])
def test_a_volume_that_takes_nothing_more(flag: str, said: str) -> None:
    volume = SimVolume()
    disk = SimDisk(volume)
    fd = disk.open(FILE)
    disk.write(fd, b"x")
    setattr(volume, flag, True)
    for verb in (lambda: disk.open(OTHER), lambda: disk.write(fd, b"x" * 5000)):
        with pytest.raises(OSError, match=said):
            verb()
    assert disk.read(fd, 10) == b"x"
    if flag == "full":
        disk.write(fd, b"y")  # there is a block for it already


def test_a_fuse_blows_once_before_the_call_it_was_set_for() -> None:
    disk = SimDisk(SimVolume())
    fd = disk.open(FILE)
    blown: list[int] = []
    disk.trip(2, lambda: blown.append(disk.calls))
    disk.write(fd, b"1")
    assert not blown
    disk.write(fd, b"2")
    disk.write(fd, b"3")
    assert len(blown) == 1
    assert not disk.disarm()
    disk.trip(1, disk.kill)
    assert disk.disarm()
    disk.write(fd, b"4")


def test_the_clock() -> None:
    clock = FakeClock(wall_ns=100, boot_ns=10)
    clock.advance(1)
    assert (clock.wall_ns(), clock.boot_ns()) == (10**9 + 100, 10**9 + 10)
    clock.step(-0.5)
    assert (clock.wall_ns(), clock.boot_ns()) == (5 * 10**8 + 100, 10**9 + 10)
    with pytest.raises(ValueError, match="step"):
        clock.advance(-1)
    clock.reboot()
    assert clock.boot_ns() == 10 * 10**9


def test_the_judge() -> None:
    judge = NonceOrder()
    judge.issued(5)
    judge.issued(6)
    judge.promised(8)
    judge.promised(7)
    for nonce in (6, 3, 7, 8):
        with pytest.raises(OutOfOrder):
            judge.issued(nonce, "somebody")
    judge.issued(9)
    assert judge.count == 3
