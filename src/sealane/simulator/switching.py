"""Switches as they come from outside: by name, checked by type, all of them or none.

A truth is `true` or `false`, a number lies from 0 to `NUMBER_MAX`, an error text is not empty. In a command line a
switch is `name=value`, where the value is written as in JSON, a text without quotes.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from sealane.simulator.facts import Switches
from sealane.simulator.fault_fields import ControlError

NUMBER_MAX = 10**9
TEXT_CHARS_MAX = 500
KINDS: dict[str, Any] = {field.name: field.type for field in fields(Switches)}
WANTED = {
    bool: "true or false",
    int: f"a whole number from 0 to {NUMBER_MAX}",
    float: f"a number from 0 to {NUMBER_MAX}",
    str: f"a text of 1 to {TEXT_CHARS_MAX} characters",
}


def changed(switches: Switches, changes: Mapping[str, Any]) -> Switches:
    """The switches with these changes; ControlError for a name that is none, or a value of another type."""
    for name, value in changes.items():
        _must_be_known(name)
        if not _fits(KINDS[name], value):
            raise ControlError(f"{name}: {value!r} is not right; give {WANTED[KINDS[name]]}")
    return replace(switches, **changes)


def read_words(words: Iterable[str]) -> dict[str, Any]:
    """The changes in words such as `history_cost=2`, checked; the last of one name counts. ControlError as above."""
    changes: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        _must_be_known(name)
        if not equals:
            raise ControlError(f"{name}: has no value; write {name}=value, with {WANTED[KINDS[name]]}")
        changes[name] = _read(KINDS[name], text)
    changed(Switches(), changes)
    return changes


def are_right(switches: object) -> bool:
    """Whether they are switches that could have been set: they may come from a file that somebody has edited."""
    if not isinstance(switches, Switches):
        return False
    return all(_fits(KINDS[name], value) for name, value in asdict(switches).items())


def _must_be_known(name: str) -> None:
    if name not in KINDS:
        raise ControlError(f"switch: {name!r} is none; use one of {', '.join(KINDS)}")


def _fits(kind: type, value: Any) -> bool:
    if kind is str:
        return isinstance(value, str) and 0 < len(value) <= TEXT_CHARS_MAX
    if kind is bool or isinstance(value, bool):
        return kind is type(value)
    number = (int,) if kind is int else (int, float)
    return isinstance(value, number) and math.isfinite(value) and 0 <= value <= NUMBER_MAX


def _read(kind: type, text: str) -> Any:
    """The value that a text stands for; the text itself, which then is refused, when it stands for none."""
    if kind is bool:
        return {"true": True, "false": False}.get(text, text)
    if kind is str or not text.isascii() or len(text) > TEXT_CHARS_MAX:
        return text
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text
