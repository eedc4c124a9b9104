"""The Lua scripts, read from the files beside this one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Script:
    """A script and the digest that a server knows it by."""

    text: str
    digest: str


@cache
def script(name: str, *, of_lane: bool = False) -> Script:
    """The script of a file; a step of a lane follows ``lane.lua``."""
    folder = files(__package__ or "sealane.store.redis")
    names = ("lane", name) if of_lane else (name,)
    text = "".join((folder / f"{each}.lua").read_text(encoding="utf-8") for each in names)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
