"""Any state of the simulator as JSON and back, without code for each class.

1. What JSON has is written as it is: text, numbers, true, false, null, lists, objects with text keys. All else is an
   object whose first key begins with `!` and names its type: `{"!Decimal": "0.1"}`, `{"!tuple": [1, 2]}`.
2. An object of a class of this package is `{"!object": "orders:Order", "fields": {…}}`. Only such classes are made,
   without calling any code of theirs: a file can fill in fields, nothing else.
3. What is reached twice is written once, with a number (`"#": 7`), and referred to later (`{"!same": 7}`). So an order
   that is in two places is one order again, and cycles are no matter.
4. What cannot be written (a lock, a function) is a TypeError: a snapshot is whole or it is none.
"""

import base64
import importlib
import itertools
import re
from collections import deque
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from random import Random
from typing import Any

PACKAGE = "sealane.simulator."
FORMAT = 1
VALUES = (tuple, frozenset)
LEAVES = (Random, itertools.count)
CLASS_NAME = re.compile(r"[a-z_]+(\.[a-z_]+)*:[A-Za-z_]\w*")


def dump(state: object) -> dict[str, Any]:
    """A document that `json.dumps` writes; TypeError names what cannot be written."""
    writer = _Writer()
    writer.count(state)
    return {"sealane_simulator": FORMAT, "state": writer.write(state)}


def load(document: Any) -> Any:
    """The state that was dumped; ValueError when the document is none of this format."""
    if not isinstance(document, dict) or document.get("sealane_simulator") != FORMAT:
        raise ValueError(f"snapshot: not of a simulator, or not of format {FORMAT}")
    try:
        return _Reader().read(document["state"])
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, ImportError) as error:
        raise ValueError(f"snapshot: cannot be read: {type(error).__name__}: {error}") from error


def _is_atom(value: object) -> bool:
    return value is None or type(value) in (bool, int, float, str, Decimal, bytes) or isinstance(value, Enum)


def _attributes(thing: object) -> dict[str, Any]:
    """What an object holds: a data class's fields, and whatever else was set on it."""
    if not type(thing).__module__.startswith(PACKAGE):
        raise TypeError(f"snapshot: a {type(thing).__module__}.{type(thing).__qualname__} cannot be written")
    named = {field.name: getattr(thing, field.name) for field in fields(thing)} if is_dataclass(thing) else {}
    return named | getattr(thing, "__dict__", {})


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return list(value)
    return [] if isinstance(value, LEAVES) else list(_attributes(value).values())


def _class_name(cls: type) -> str:
    return f"{cls.__module__.removeprefix(PACKAGE)}:{cls.__qualname__}"


def _class(name: str) -> type:
    if not CLASS_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no class of the simulator")
    module, _, own = name.partition(":")
    found = getattr(importlib.import_module(PACKAGE + module), own)
    if not isinstance(found, type) or found.__module__ != PACKAGE + module:
        raise ValueError(f"{name!r} is no class of the simulator")
    return found


class _Writer:
    def __init__(self) -> None:
        self._times: dict[int, int] = {}
        self._numbers: dict[int, int] = {}

    def count(self, value: Any) -> None:
        """First pass: how often is each thing reached?"""
        if _is_atom(value):
            return
        seen = self._times[id(value)] = self._times.get(id(value), 0) + 1
        if seen == 1 or isinstance(value, VALUES):  # a value is written wherever it stands, so its parts count again
            for part in _parts(value):
                self.count(part)

    def write(self, value: Any) -> Any:
        """Second pass."""
        if _is_atom(value):
            return _write_atom(value)
        if id(value) in self._numbers:
            return {"!same": self._numbers[id(value)]}
        if self._times[id(value)] == 1 or isinstance(value, VALUES):
            return self._body(value)
        number = self._numbers[id(value)] = len(self._numbers) + 1
        written = self._tagged(value) if isinstance(value, (list, dict)) else self._body(value)
        return written | {"#": number}

    def _tagged(self, value: Any) -> dict[str, Any]:
        """A list or an object in the long form, which can carry a number."""
        if isinstance(value, dict):
            return {"!dict": [[self.write(key), self.write(part)] for key, part in value.items()]}
        return {"!list": [self.write(part) for part in value]}

    def _body(self, value: Any) -> Any:
        if isinstance(value, dict):
            plain = all(isinstance(key, str) and not key.startswith(("!", "#")) for key in value)
            return {key: self.write(part) for key, part in value.items()} if plain else self._tagged(value)
        if isinstance(value, list):
            return [self.write(part) for part in value]
        if isinstance(value, deque):
            return {"!deque": [self.write(part) for part in value], "maxlen": value.maxlen}
        if isinstance(value, (tuple, set, frozenset)):
            return {f"!{type(value).__name__}": [self.write(part) for part in value]}
        if isinstance(value, LEAVES):
            return _write_leaf(value)
        written = {name: self.write(part) for name, part in _attributes(value).items()}
        return {"!object": _class_name(type(value)), "fields": written}


def _write_atom(value: Any) -> Any:
    if isinstance(value, Enum):
        return {"!enum": _class_name(type(value)), "name": value.name}
    if isinstance(value, Decimal):
        return {"!Decimal": str(value)}
    return {"!bytes": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _write_leaf(value: "Random | itertools.count[int]") -> dict[str, Any]:
    """Dice and counts, which have a place to go on from but no parts."""
    if isinstance(value, Random):
        return {"!Random": [list(part) if isinstance(part, tuple) else part for part in value.getstate()]}
    return {"!count": [int(number) for number in re.findall(r"-?\d+", repr(value))]}  # count(5), count(5, 2)


class _Reader:
    def __init__(self) -> None:
        self._known: dict[int, Any] = {}

    def read(self, written: Any) -> Any:
        """What stands there, made anew."""
        if isinstance(written, list):
            return [self.read(part) for part in written]
        if not isinstance(written, dict):
            return written
        tag = next(iter(written), "")
        if not tag.startswith("!"):
            return {key: self.read(part) for key, part in written.items()}
        return self._read_tagged(tag, written)

    def _read_tagged(self, tag: str, written: dict[str, Any]) -> Any:
        if tag == "!same":
            return self._known[written[tag]]
        if tag == "!object":
            return self._read_object(written)
        if tag in ("!list", "!set", "!dict", "!deque"):
            return self._read_container(tag, written)
        made = self._read_value(tag, written)
        return self._note(made, written)

    def _note(self, made: Any, written: dict[str, Any]) -> Any:
        if "#" in written:
            self._known[written["#"]] = made
        return made

    def _read_container(self, tag: str, written: dict[str, Any]) -> Any:
        empty: Any = {"!list": [], "!set": set(), "!dict": {}, "!deque": deque(maxlen=written.get("maxlen"))}[tag]
        made = self._note(empty, written)
        parts = [self.read(part) for part in written[tag]]
        if tag in ("!list", "!deque"):
            made.extend(parts)
        else:
            made.update(parts)
        return made

    def _read_value(self, tag: str, written: dict[str, Any]) -> Any:
        value = written[tag]
        if tag == "!Decimal":
            return Decimal(value)
        if tag == "!bytes":
            return base64.b64decode(value, validate=True)
        if tag in ("!tuple", "!frozenset"):
            return (tuple if tag == "!tuple" else frozenset)(self.read(part) for part in value)
        if tag == "!enum":
            return getattr(_class(value), written["name"])
        if tag == "!count":
            return itertools.count(*value)
        if tag == "!Random":
            made = Random()
            made.setstate(tuple(tuple(part) if isinstance(part, list) else part for part in value))
            return made
        raise ValueError(f"{tag!r} is unknown")

    def _read_object(self, written: dict[str, Any]) -> Any:
        cls = _class(written["!object"])
        made = self._note(object.__new__(cls), written)
        for name, part in written["fields"].items():
            object.__setattr__(made, name, self.read(part))
        missing = [field.name for field in fields(cls) if not hasattr(made, field.name)] if is_dataclass(cls) else []
        if missing:
            raise ValueError(f"{written['!object']} lacks {', '.join(missing)}")
        return made
