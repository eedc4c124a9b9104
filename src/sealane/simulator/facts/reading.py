"""Reads the fact files beside it.

A fact is a table of a TOML file with exactly four fields: `text` (an error text, a name) or `value` (all else),
`source` (which document), `date` (when it was read, `2026-11`) and `confidence`:

- `documented`: Kraken's own reference or support pages say so.
- `seen`: read in the source or the issues of clients that live off the real exchange.
- `chosen`: nobody documents it; the simulator had to pick something.
"""

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

FILES = ("errors.toml", "numbers.toml", "limits.toml", "names.toml", "trading.toml")
CONFIDENCES = ("documented", "seen", "chosen")


@dataclass(frozen=True)
class Fact:
    """One fact: `value` is the text or the value of its table."""

    name: str
    value: Any
    source: str
    date: str
    confidence: str


def read(file: str, source: str) -> dict[str, Fact]:
    """The facts in the TOML text `source` by name; ValueError names the file and the entry that is not right."""
    return {name: _fact(f"{file}: {name}", name, dict(table)) for name, table in tomllib.loads(source).items()}


def _fact(where: str, name: str, table: dict[str, Any]) -> Fact:
    fields = {field: table.pop(field, None) for field in ("source", "date", "confidence")}
    if not all(isinstance(field, str) and field for field in fields.values()):
        raise ValueError(f"{where}: give source, date and confidence as text")
    if fields["confidence"] not in CONFIDENCES:
        raise ValueError(f"{where}: confidence is one of {', '.join(CONFIDENCES)}")
    if len(table) != 1 or not table.keys() <= {"text", "value"}:
        raise ValueError(f"{where}: give either text or value, and nothing else")
    return Fact(name, *table.values(), **fields)


def read_all() -> dict[str, Fact]:
    """All facts by name; ValueError when a name stands in two files."""
    facts: dict[str, Fact] = {}
    for file in FILES:
        found = read(file, resources.files(__package__).joinpath(file).read_text(encoding="utf-8"))
        twice = sorted(facts.keys() & found.keys())
        if twice:
            raise ValueError(f"{file}: {twice[0]} stands in another file too")
        facts |= found
    return facts
