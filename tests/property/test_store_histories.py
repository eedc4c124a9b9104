"""Thousands of histories of the file store over a disk and a clock that obey. See ``sealane.testing.file_histories``.

SEALANE_SEED=n plays one history alone; SEALANE_SOAK=1 plays a hundred thousand. The broken stores below are there to
show that the judge would find a store that is broken; each differs from one that passes in one line.
"""

import contextlib
import logging
import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from sealane.store.file import FileStore
from sealane.testing import SimDisk
from sealane.testing.file_histories import history, play, shortest
from sealane.testing.file_world import FOLDER, MakeStore

HISTORIES = 100_000 if os.environ.get("SEALANE_SOAK") else 6_000
ONE_SEED = os.environ.get("SEALANE_SEED")
CHECKED = 500
"""Histories in which a broken store has to be found, and its sound twin has to pass."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def find_failure(make_store: MakeStore, seeds: range, among: Sequence[str] | None = None) -> str | None:
    """The story of the first history that goes wrong, at its shortest."""
    for seed in seeds:
        try:
            play(seed, history(seed, among), make_store)
        except AssertionError as error:
            steps, story = shortest(seed, history(seed, among), make_store)
            return f"{story or error}\n{len(steps)} steps; all of them: SEALANE_SEED={seed}"
    return None


def file_store(disk: SimDisk) -> FileStore:
    return FileStore(FOLDER, disk=disk)


def test_no_history_breaks_the_order() -> None:
    first = int(ONE_SEED) if ONE_SEED else random.randrange(10**9)
    story = find_failure(file_store, range(first, first + (1 if ONE_SEED else HISTORIES)))
    assert story is None, story


def test_a_seed_tells_the_same_story_twice() -> None:
    for seed in range(30):
        assert play(seed, history(seed), file_store).log == play(seed, history(seed), file_store).log


# --- broken stores ----------------------------------------------------------------------------------------------------

DRAWS = ("draw", "draw and reserve", "turn", "floor", "time passes", "clock set")
KILLS = (*DRAWS, "kill", "killed in the midst")
LOSSES = (*KILLS, "power lost", "power lost in the midst")
MEETINGS = (*DRAWS, "another in the midst")


def never_synced(disk: SimDisk) -> FileStore:
    disk.sync = lambda fd: None
    return file_store(disk)


def names_never_synced(disk: SimDisk) -> FileStore:
    disk.sync_folder = lambda folder: None
    return file_store(disk)


def trusts_the_file_after_a_reboot(disk: SimDisk) -> FileStore:
    disk.boot_id = lambda: "always the same"
    disk.mount_id = lambda fd: "always the same"
    return file_store(disk)


def goes_on_after_a_failed_sync(disk: SimDisk) -> FileStore:
    sync = disk.sync

    def careless(fd: int) -> None:
        with contextlib.suppress(OSError):
            sync(fd)

    disk.sync = careless
    return file_store(disk)


def without_its_mark(disk: SimDisk) -> FileStore:
    """Sound as long as power lasts and nobody touches the file."""
    content = disk.content
    disk.content = lambda path, size: None if path.suffix == ".mark" else content(path, size)
    return file_store(disk)


def truncates_first(disk: SimDisk) -> FileStore:
    write = disk.write

    def truncating(fd: int, content: bytes, offset: int = 0) -> int:
        if content.isdigit():
            disk.cut(fd, 0)
        return write(fd, content, offset)

    disk.write = truncating
    return without_its_mark(disk)


def without_draw_locks(disk: SimDisk) -> FileStore:
    open_file, try_lock, draw_fds = disk.open, disk.try_lock, set()

    def opening(path: Path) -> int:
        fd = open_file(path)
        if path.suffix == ".txt":
            draw_fds.add(fd)
        return fd

    disk.open = opening
    disk.try_lock = lambda fd: fd in draw_fds or try_lock(fd)
    return file_store(disk)


@pytest.mark.parametrize(
    ("broken", "sound", "among"),
    [
        (never_synced, file_store, LOSSES),
        (names_never_synced, file_store, LOSSES),
        (trusts_the_file_after_a_reboot, file_store, LOSSES),
        (goes_on_after_a_failed_sync, file_store, (*LOSSES, "disk trouble")),
        (truncates_first, without_its_mark, KILLS),
        (without_draw_locks, file_store, MEETINGS),
    ],
    ids=lambda value: value.__name__ if isinstance(value, Callable) else "",
)
def test_the_judge_finds_a_store_that_is(broken: MakeStore, sound: MakeStore, among: Sequence[str]) -> None:
    assert find_failure(broken, range(CHECKED), among) is not None
    story = find_failure(sound, range(CHECKED), among)
    assert story is None, story
