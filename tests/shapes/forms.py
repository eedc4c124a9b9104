"""What a value may look like, and where an answer looks otherwise.

A `Difference` never holds the value that it is about, only its kind ("text", "number"): answers hold what accounts own,
and differences are written into reports. For the same reason the names in a map (assets, order ids) show as `*`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

FIELD_NAME = re.compile(r"[a-z][a-zA-Z_]*2?|rfc1123|\*")
KINDS = {str: "text", bool: "true or false", int: "whole number", float: "number", list: "list", dict: "object"}


@dataclass(frozen=True, order=True)
class Difference:
    """A field that is not as documented. `what` is missing, unexpected or mistyped; `path` is as in `*.descr.order`."""

    path: str
    what: str
    expected: str = ""
    got: str = ""

    def __str__(self) -> str:
        told = f": {self.expected or 'nothing'} expected, {self.got} there" if self.got else ""
        return f"{self.path or 'the answer'} is {self.what}{told}"


@dataclass
class Findings:
    """What a check found, and the paths of all fields that it has seen."""

    differences: list[Difference] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)


class Shape(ABC):
    """What a value may look like."""

    name: str

    @abstractmethod
    def look(self, value: Any, path: str, found: Findings) -> None:
        """Compare a value, noting what was seen and what differs."""

    def leaves(self, path: str = "") -> Iterator[str]:
        """The paths of all documented fields that are always there."""
        yield path


def kind(value: Any) -> str:
    """What a value is, without saying it."""
    return "null" if value is None else KINDS.get(type(value), type(value).__name__)


def below(path: str, name: str) -> str:
    """The path of a field. A name that does not look like one is data, an asset or an id, and shows as `*`."""
    shown = name if FIELD_NAME.fullmatch(name) else "*"
    return f"{path}.{shown}" if path else shown


def mistyped(shape: Shape, value: Any, path: str, found: Findings) -> None:
    found.differences.append(Difference(path, "mistyped", shape.name, kind(value)))


@dataclass(frozen=True)
class Form(Shape):
    """A single value; `fits` decides."""

    name: str
    fits: Callable[[Any], bool]

    def look(self, value: Any, path: str, found: Findings) -> None:
        found.seen.add(path)
        if not self.fits(value):
            mistyped(self, value, path, found)


@dataclass(frozen=True)
class Maybe:
    """A field that may be missing."""

    shape: Shape


@dataclass(frozen=True)
class Fields(Shape):
    """An object with these fields and no others."""

    fields: Mapping[str, Shape | Maybe]
    name: str = "object"

    def look(self, value: Any, path: str, found: Findings) -> None:
        if not isinstance(value, dict):
            mistyped(self, value, path, found)
            return
        for name, shape in self.fields.items():
            if name in value:
                (shape.shape if isinstance(shape, Maybe) else shape).look(value[name], below(path, name), found)
            elif isinstance(shape, Shape):
                found.differences.append(Difference(below(path, name), "missing", shape.name))
        for name in value.keys() - self.fields.keys():
            found.differences.append(Difference(below(path, str(name)), "unexpected", "", kind(value[name])))

    def leaves(self, path: str = "") -> Iterator[str]:
        for name, shape in self.fields.items():
            if isinstance(shape, Shape):
                yield from shape.leaves(below(path, name))


@dataclass(frozen=True)
class Keyed(Shape):
    """An object whose names are data: asset → amount, order id → order. `others` are names with their own meaning."""

    key: Form
    value: Shape
    others: Mapping[str, Shape] = field(default_factory=dict)
    name: str = "object"

    def look(self, value: Any, path: str, found: Findings) -> None:
        if not isinstance(value, dict):
            mistyped(self, value, path, found)
            return
        rows = {name: row for name, row in value.items() if name not in self.others}
        if not all(self.key.fits(name) for name in rows):
            found.differences.append(Difference(below(path, "*"), "mistyped", f"{self.key.name} as its name", "text"))
        for row in rows.values():
            self.value.look(row, below(path, "*"), found)
        Fields(self.others).look({name: value[name] for name in self.others if name in value}, path, found)

    def leaves(self, path: str = "") -> Iterator[str]:
        yield from self.value.leaves(below(path, "*"))
        yield from Fields(self.others).leaves(path)


@dataclass(frozen=True)
class ListOf(Shape):
    """A list of any number of these."""

    item: Shape
    name: str = "list"

    def look(self, value: Any, path: str, found: Findings) -> None:
        if not isinstance(value, list):
            mistyped(self, value, path, found)
            return
        for item in value:
            self.item.look(item, f"{path}[]", found)

    def leaves(self, path: str = "") -> Iterator[str]:
        yield from self.item.leaves(f"{path}[]")


@dataclass(frozen=True)
class Row(Shape):
    """A list with a place for each value, as in a Ticker or an OHLC row."""

    items: tuple[Shape, ...]

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"list of {len(self.items)}"

    def look(self, value: Any, path: str, found: Findings) -> None:
        if not isinstance(value, list) or len(value) != len(self.items):
            mistyped(self, value, path, found)
            return
        for number, (item, shape) in enumerate(zip(value, self.items, strict=True)):
            shape.look(item, f"{path}[{number}]", found)

    def leaves(self, path: str = "") -> Iterator[str]:
        for number, shape in enumerate(self.items):
            yield from shape.leaves(f"{path}[{number}]")


def check(shape: Shape, answer: Any) -> Findings:
    """Compare an answer's `result`; each difference is told once, however many rows have it."""
    found = Findings()
    shape.look(answer, "", found)
    found.differences = sorted(set(found.differences))
    return found


def unseen(shape: Shape, found: Findings) -> set[str]:
    """The documented fields that an answer gave no chance to check, because a list or map above them was empty."""
    return set(shape.leaves()) - found.seen


# --- forms ------------------------------------------------------------------------------------------------------------


def matching(name: str, pattern: str) -> Form:
    compiled = re.compile(pattern)
    return Form(name, lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None)


def one_of(*words: str) -> Form:
    return Form(" or ".join(words), lambda value: value in words)


def or_null(form: Form) -> Form:
    return Form(f"{form.name} or null", lambda value: value is None or form.fits(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


DECIMAL = matching("decimal text", r"-?\d+(\.\d+)?")
WHOLE_TEXT = matching("whole number as text", r"\d+")
TEXT = Form("text", lambda value: isinstance(value, str))
WHOLE = Form("whole number", lambda value: isinstance(value, int) and not isinstance(value, bool))
NUMBER = Form("number", _is_number)
YES_NO = Form("true or false", lambda value: isinstance(value, bool))
SECONDS = Form("unix seconds", lambda value: _is_number(value) and 1e9 < value < 1e10)
SECONDS_OR_0 = Form("unix seconds or 0", lambda value: value == 0 or SECONDS.fits(value))
NANOSECONDS = Form("unix nanoseconds", lambda value: WHOLE.fits(value) and 1e18 < value < 1e19)
NANOSECONDS_TEXT = matching("unix nanoseconds as text", r"\d{19}")
SECONDS_TEXT = matching("unix seconds as text", r"0|\d{10}")
TIME = matching("RFC 3339 time", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
ORDER_ID = matching("order id", r"O[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{6}")
TRADE_ID = matching("trade id", r"T[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{6}")
LEDGER_ID = matching("ledger id", r"L[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{6}")
ANY_ID = matching("id", r"[A-Z0-9]{6}-[A-Z0-9]{5}-[A-Z0-9]{6}")
ASSET = matching("asset", r"[A-Z0-9]{2,}(\.[A-Z]+)?")
PAIR = matching("pair", r"[A-Z0-9.]{5,}|[A-Z0-9.]+/[A-Z0-9.]+")
SIDE = one_of("buy", "sell")
