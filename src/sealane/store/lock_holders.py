"""Who holds a file's kernel lock, as the system tells it: for pages and examinations, never to decide anything by."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Holder:
    """A process that may be told of: its id and the name that it goes by, never its arguments."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.pid} ({self.name})" if self.name else str(self.pid)


def lock_holders(path: Path, proc: Path = PROC) -> Iterator[Holder]:
    """Who holds the lock of ``path``; those of other containers and hosts are not seen, and nobody without a /proc."""
    try:
        facts, lines = path.stat(), (proc / "locks").read_text().splitlines()
    except OSError:
        return
    place = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    for line in lines:
        fields = line.split()
        if place in fields and "->" not in fields and (pid := int(fields[fields.index(place) - 1])) > 0:
            yield Holder(pid, _name(proc, pid))


def _name(proc: Path, pid: int) -> str:
    with suppress(OSError):
        return (proc / str(pid) / "comm").read_text(errors="replace").strip()
    return ""
