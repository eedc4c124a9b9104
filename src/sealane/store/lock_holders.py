"""Who holds a file's kernel lock, as far as ``/proc/locks`` tells; the error for a brief lock that is not given back.

It is for people, and decides nothing. A holder in another container or on another host has no process id here, and is
left out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
LOCKS = "locks"


class LockHeld(OSError):
    """Another process keeps a lock that is only ever held for a moment: it was stopped, or hangs."""


@dataclass(frozen=True)
class Process:
    """A process that may be told of: its id and the name that it goes by, never its arguments."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.pid} ({self.name})" if self.name else str(self.pid)


def lock_holders(path: Path, proc: Path = PROC) -> tuple[Process, ...]:
    """Who holds an flock on a file; nobody where that is not known."""
    return tuple(process_of(pid, proc) for pid in holders_of(path, proc))


def process_of(pid: int, proc: Path = PROC) -> Process:
    """A process by its id, with its name where that can be seen."""
    try:
        return Process(pid, (proc / str(pid) / "comm").read_text(errors="replace").strip())
    except OSError:
        return Process(pid, "")


def holders_of(path: Path, proc: Path = PROC) -> list[int]:
    """The ids of the processes that hold an flock on a file; [] where that is not known."""
    try:
        facts, lines = path.stat(), (proc / LOCKS).read_text().splitlines()
    except OSError:
        return []
    place = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    rows = [line.split() for line in lines]
    found = [int(row[row.index(place) - 1]) for row in rows if place in row and "->" not in row]
    return [pid for pid in found if pid > 0]


def told_remedy(path: Path, proc: Path = PROC) -> str:
    """What to do about a lock that is not given back, with its holder where that is known."""
    pids = [str(pid) for pid in holders_of(path, proc) if pid != os.getpid()]
    if not pids:
        return (
            "Find the process that holds it (a stopped one shows state T in ps; it may be in another container that "
            "shares the folder), and let it go on (kill -CONT) or end it (kill -KILL)"
        )
    named = " ".join(pids)
    return f"Process {named} holds it: let it go on (kill -CONT {named}), or end it (kill -KILL {named})"
