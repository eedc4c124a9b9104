"""Who else writes: processes that have a lane's files open, and a number that moves without any of them.

What can be known here is little, and said as that: processes of other containers or hosts are not seen, and those of
other users only by root. For certain it is only that Sealane never lowers a number and never issues one above its mark.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sealane.core.nonce import NONCE_BYTES
from sealane.doctor.finding import Finding, fault, ok, warning
from sealane.doctor.store_facts import LaneFacts, NumberFile
from sealane.store.disk import OsDisk
from sealane.store.lock_holders import PROC, Process, lock_holders, process_of

WATCH_S = 0.25
"""How long a nonce file is watched: a few calls of a busy program."""


@dataclass(frozen=True)
class Watch:
    """A lane's file at two moments, and who had its files open.

    ``holders`` have its turn; ``stuck`` had the lock under which a nonce is drawn, which lasts microseconds, at both
    moments.
    """

    before: int
    after: int
    openers: tuple[Process, ...] = ()
    holders: tuple[Process, ...] = ()
    stuck: tuple[Process, ...] = ()
    watched_s: float = WATCH_S


# --- facts --------------------------------------------------------------------------------------------------------


def watch_lane(lane: LaneFacts, pause: Callable[[float], None], proc: Path = PROC) -> Watch:
    """Look at the number twice, and at who has the lane's files open in between."""
    disk, path = OsDisk(), lane.file.path
    openers = list(_openers(proc, path))
    before, drawing = _number(disk, path), lock_holders(path, proc)
    pause(WATCH_S)
    after = _number(disk, path)
    openers += [process for process in _openers(proc, path) if process not in openers]
    stuck = tuple(one for one in lock_holders(path, proc) if one in drawing and after == before)
    return Watch(before, after, tuple(openers), lock_holders(path.with_suffix(".turn"), proc), stuck)


def _number(disk: OsDisk, path: Path) -> int:
    with suppress(OSError):
        return NumberFile(path, disk.content(path, NONCE_BYTES + 1)).number
    return 0


def _openers(proc: Path, path: Path) -> Iterator[Process]:
    """Other processes that have the file open, as far as this user may see."""
    wanted = os.path.realpath(path)
    for entry in _entries(proc):
        if entry.name.isdigit() and int(entry.name) != os.getpid() and wanted in _open_files(entry / "fd"):
            yield process_of(int(entry.name), proc)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _open_files(folder: Path) -> Iterator[str]:
    for link in _entries(folder):
        with suppress(OSError):
            yield os.readlink(link)  # noqa: PTH115 - a Path would stumble over names such as "pipe:[1]"


# --- what they mean -----------------------------------------------------------------------------------------------


def judge_writers(lane: LaneFacts, watch: Watch) -> Iterator[Finding]:
    """What is known of who writes to a lane."""
    path = lane.file.path
    named = ", ".join(map(str, watch.openers))
    if watch.stuck:
        pids = " ".join(str(process.pid) for process in watch.stuck)
        yield fault(
            "other-writer",
            path,
            f"process {', '.join(map(str, watch.stuck))} keeps the lock under which nonces are drawn, which lasts "
            "microseconds: it was stopped (SIGSTOP, a debugger) or hangs, and nobody gets a nonce",
            f"let it go on (kill -CONT {pids}), or end it (kill -KILL {pids})",
        )
    elif watch.after < watch.before:
        yield fault(
            "other-writer",
            path,
            f"the number fell from {watch.before} to {watch.after} within {watch.watched_s:g} s: something that is not "
            f"Sealane writes the file{f' (open in {named})' if named else ''}",
            "stop the other program, or give it a data folder and a key of its own",
        )
    elif watch.after != watch.before and not watch.openers:
        yield warning(
            "other-writer",
            path,
            f"the number rose from {watch.before} to {watch.after} within {watch.watched_s:g} s, and no process that "
            "can be seen from here has the file open, as Sealane's do: another program, or a Sealane of another "
            "container, user or host",
            "make sure that what writes there is Sealane on this machine; give anything else its own folder and key",
        )
    else:
        yield ok("other-writer", path, _quiet(watch, named) + _under_way(lane))
    yield from _above_mark(lane)


def _quiet(watch: Watch, named: str) -> str:
    held = ", ".join(map(str, watch.holders))
    turn = f"; the turn's lock is held by {held}" if held else ""
    if named:
        return f"open in process {named}{turn}: right, if each is a Sealane, since they take turns"
    return f"nothing wrote there while it was watched, and no process that can be seen has it open{turn}"


def _under_way(lane: LaneFacts) -> str:
    if not lane.turn.get("method"):
        return ""
    return (
        f"; {lane.turn['method']} (nonce {lane.turn.get('nonce')}) is under way, or its process died: then a harmless "
        "call goes before that key's next write"
    )


def _above_mark(lane: LaneFacts) -> Iterator[Finding]:
    number, mark = lane.file.number, lane.mark
    if mark.number and mark.is_of(lane.era) and number > mark.number:
        yield warning(
            "nonce-above-mark",
            lane.file.path,
            f"holds {number}, above the high-water mark {mark.number}, up to which Sealane issues: consistent with "
            "another program that writes the file, or with a process that was killed in the midst of a draw",
            "harmless by itself, since nonces go on from there; if it comes back, find the other program",
        )
