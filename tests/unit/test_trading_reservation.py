"""One live run an account: who waits, who gets on, and that a lock is as good as its holder's life."""

import os
import threading

import pytest

from sealane.errors import NotDurable
from sealane.store.disk import OsDisk
from sealane.trading.reservation import Reservation

PATIENCE_S = 20


def reservation(folder, *accounts, **more):
    return Reservation(folder, accounts or ["MASTER"], look_s=0.01, **more)


def waiting(one, told):
    """Its wait on a thread; ``join`` gives what it returned."""
    found = []
    thread = threading.Thread(target=lambda: found.append(one.wait(told)), daemon=True)
    thread.start()

    def join():
        thread.join(PATIENCE_S)
        assert found, "it waits on"
        return found[0]

    return join


class Told(list):
    """What is told, and a wait for the first."""

    def __init__(self):
        super().__init__()
        self.first = threading.Event()

    def __call__(self, said):
        self.append(said)
        self.first.set()


def test_the_lock_is_private_says_who_holds_it_and_stays(tmp_path):
    path = tmp_path / "runs" / "MASTER.lock"
    with reservation(tmp_path) as one:
        assert one.wait()
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_text().startswith(f"pid {os.getpid()} on ")
        assert OsDisk().is_locked(path)
    assert path.exists()
    assert not OsDisk().is_locked(path)


def test_a_second_waits_says_so_once_and_goes_on(tmp_path, caplog):
    caplog.set_level("INFO", "sealane.trading")
    told = Told()
    with reservation(tmp_path) as first, reservation(tmp_path) as second:
        assert first.wait(told)
        assert told == []
        join = waiting(second, told)
        assert told.first.wait(PATIENCE_S)
        first.close()
        assert join() is True
        assert [said.partition(":")[0] for said in told] == ["standby", "the accounts are free"]
        assert f"MASTER is traded by another live run (pid {os.getpid()} on " in told[0]
        assert [record.getMessage() for record in caplog.records] == told
        assert OsDisk().is_locked(tmp_path / "runs" / "MASTER.lock")


def test_a_stop_ends_the_wait(tmp_path):
    told = Told()
    with reservation(tmp_path) as first, Reservation(tmp_path, ["MASTER"], look_s=3_600) as second:
        assert first.wait()
        join = waiting(second, told)
        assert told.first.wait(PATIENCE_S)
        second.stop()
        assert join() is False


def test_who_waits_for_one_account_keeps_nobody_from_the_others(tmp_path):
    told = Told()
    with reservation(tmp_path, "zoe") as zoe, reservation(tmp_path, "zoe", "ann") as both:
        assert zoe.wait()
        join = waiting(both, told)
        assert told.first.wait(PATIENCE_S)
        both.stop()
        assert join() is False
        with reservation(tmp_path, "ann") as ann:
            assert waiting(ann, told)() is True


def test_accounts_are_apart_and_a_name_cannot_leave_the_folder(tmp_path):
    with reservation(tmp_path, "ann", "../bob") as one, reservation(tmp_path, "MASTER") as other:
        assert one.wait()
        assert other.wait()
        assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
            "..%2Fbob.lock",
            "MASTER.lock",
            "ann.lock",
        ]


def test_without_a_folder_there_is_nothing_to_share(tmp_path):
    with reservation(None) as one, reservation(None) as other:
        assert one.wait()
        assert other.wait()


def test_a_file_that_was_replaced_meanwhile_is_not_taken_for_the_lock(tmp_path):
    class Replaces(OsDisk):
        """The first lock is of a file that somebody removes just then."""

        times = 0

        def try_lock(self, fd):
            self.times += 1
            if self.times == 1:
                (tmp_path / "runs" / "MASTER.lock").unlink()
            return super().try_lock(fd)

    disk = Replaces()
    with reservation(tmp_path, disk=disk) as one:
        assert one.wait()
        assert disk.times == 2
        assert OsDisk().is_locked(tmp_path / "runs" / "MASTER.lock")


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "runs").write_text("in the way")
    with reservation(tmp_path) as one, pytest.raises(NotDurable, match="MASTER cannot be reserved"):
        one.wait()
