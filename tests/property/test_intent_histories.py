"""The log of intents over a disk that obeys: thousands of histories, and a crash at every verb of one.

SEALANE_SEED=n plays one history alone; SEALANE_SOAK=1 plays a hundred thousand. The broken logs below are there to
show that the judge would find a log that is broken; each differs from one that passes in one line.
"""

import contextlib
import logging
import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from sealane.store.intent_file import IntentFile
from sealane.testing import SimDisk
from sealane.testing.intent_histories import history, play
from sealane.testing.intent_world import FOLDER, SETTLED_KEPT, IntentWorld, MakeLog

HISTORIES = 100_000 if os.environ.get("SEALANE_SOAK") else 1_200
ONE_SEED = os.environ.get("SEALANE_SEED")
CHECKED = 100
"""Histories in which a broken log has to be found, and its sound twin has to pass."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def intent_file(disk: SimDisk) -> IntentFile:
    return IntentFile(disk, FOLDER, settled_kept=SETTLED_KEPT)


def find_failure(make_log: MakeLog, seeds: range, among: Sequence[str] | None = None) -> str | None:
    """The story of the first history that goes wrong."""
    for seed in seeds:
        try:
            play(history(seed, among), make_log)
        except AssertionError as error:
            return f"{error}\nSEALANE_SEED={seed}"
    return None


def test_no_history_loses_an_intent() -> None:
    first = int(ONE_SEED) if ONE_SEED else random.randrange(10**9)
    story = find_failure(intent_file, range(first, first + (1 if ONE_SEED else HISTORIES)))
    assert story is None, story


# --- a crash at every verb --------------------------------------------------------------------------------------------

ORDERS = 12


def live(world: IntentWorld) -> None:
    """A token, and orders that are written, some unsynced, and settled, until the log has been written anew twice."""
    process, other = world.new_process(), world.new_process()
    world.own(process)
    world.put(process, "held", settled=False, sync=True)
    for number in range(ORDERS):
        for settled in (False, True):
            if process.disk.alive:
                world.put(process, f"order {number}", settled=settled, sync=number % 3 > 0, padding=number * 60)
        if other.disk.alive:
            world.put(other, f"other {number}", settled=True, sync=number % 2 > 0)


@pytest.mark.parametrize("crash", ["kill", *range(5)])
def test_a_crash_at_every_verb(crash: str | int) -> None:
    calls, blown = 0, True
    while blown:
        calls += 1
        world = IntentWorld(intent_file)
        armed = crash_at(world, calls, crash)
        try:
            live(world)
            blown = not armed[0].disarm()
            world.finish()
        except AssertionError as error:
            raise AssertionError("\n".join([*world.log, f"{crash} at call {calls}: {error}"])) from error
    assert calls > 150


def test_in_that_story_the_log_is_written_anew_twice() -> None:
    world, renewals = IntentWorld(intent_file), []
    rename = world.volume.rename
    world.volume.rename = lambda path, new: renewals.append(rename(path, new))
    live(world)
    assert len(renewals) == 2


def crash_at(world: IntentWorld, calls: int, crash: str | int) -> list[SimDisk]:
    """Have the first process that starts meet its end at its n-th call; the list will hold its disk."""
    armed: list[SimDisk] = []
    new_process = world.new_process

    def starting():
        process = new_process()
        if not armed:
            armed.append(process.disk)
            happens = process.disk.kill if crash == "kill" else lambda: world.power_loss(random.Random(crash))
            process.disk.trip(calls, happens)
        return process

    world.new_process = starting
    return armed


# --- broken logs ------------------------------------------------------------------------------------------------------

KILLS = ("write", "look", "kill", "close", "killed in the midst")
LOSSES = (*KILLS, "power lost", "power lost in the midst")
MEETINGS = ("write", "look", "another in the midst")


def never_synced(disk: SimDisk) -> IntentFile:
    disk.sync = lambda fd: None
    return intent_file(disk)


def names_never_synced(disk: SimDisk) -> IntentFile:
    disk.sync_folder = lambda folder: None
    return intent_file(disk)


def renewed_without_a_sync(disk: SimDisk) -> IntentFile:
    open_file, sync, new_fds = disk.open, disk.sync, set()

    def opening(path: Path) -> int:
        fd = open_file(path)
        if path.suffix == ".new":
            new_fds.add(fd)
        return fd

    def syncing(fd: int) -> None:
        if fd not in new_fds:
            sync(fd)
        new_fds.discard(fd)

    disk.open, disk.sync = opening, syncing
    return intent_file(disk)


def renamed_without_a_sync_of_the_folder(disk: SimDisk) -> IntentFile:
    rename, sync_folder, skipped = disk.rename, disk.sync_folder, [False]

    def renaming(path: Path, new: Path) -> None:
        rename(path, new)
        skipped[0] = True

    def syncing(folder: Path) -> None:
        if not skipped[0]:
            sync_folder(folder)
        skipped[0] = False

    disk.rename, disk.sync_folder = renaming, syncing
    return intent_file(disk)


def written_anew_in_place(disk: SimDisk) -> IntentFile:
    """The new file is the old one, emptied."""
    open_file = disk.open

    def opening(path: Path) -> int:
        fd = open_file(path.with_suffix(".log") if path.suffix == ".new" else path)
        if path.suffix == ".new":
            disk.cut(fd, 0)
        return fd

    disk.open, disk.rename, disk.unlink = opening, lambda path, new: None, lambda path: None
    return intent_file(disk)


def goes_on_after_a_failed_sync(disk: SimDisk) -> IntentFile:
    sync = disk.sync

    def careless(fd: int) -> None:
        with contextlib.suppress(OSError):
            sync(fd)

    disk.sync = careless
    return intent_file(disk)


def joined_to_what_stands_before(disk: SimDisk) -> IntentFile:
    """A line does not open with a newline of its own."""
    write = disk.write
    disk.write = lambda fd, content, offset=0: write(fd, content[1:] + b"\n", offset)
    return intent_file(disk)


def unlocked(disk: SimDisk) -> IntentFile:
    disk.try_lock = lambda fd: True
    return intent_file(disk)


def blind_to_a_new_file(disk: SimDisk) -> IntentFile:
    disk.is_gone = lambda fd, path: False
    return intent_file(disk)


@pytest.mark.parametrize(
    ("broken", "among"),
    [
        (never_synced, LOSSES),
        (names_never_synced, LOSSES),
        (renewed_without_a_sync, LOSSES),
        (renamed_without_a_sync_of_the_folder, LOSSES),
        (written_anew_in_place, LOSSES),
        (goes_on_after_a_failed_sync, (*LOSSES, "disk trouble")),
        (joined_to_what_stands_before, LOSSES),
        (unlocked, MEETINGS),
        (blind_to_a_new_file, ("write", "look")),
    ],
    ids=lambda value: value.__name__ if isinstance(value, Callable) else "",
)
def test_the_judge_finds_a_log_that_is(broken: MakeLog, among: Sequence[str]) -> None:
    assert find_failure(broken, range(CHECKED), among) is not None
    story = find_failure(intent_file, range(CHECKED), among)
    assert story is None, story
