"""Fields of deploy files that their platform does not know, with what they were probably meant to be."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sealane.doctor.finding import Finding, fault, warning

FACTS = Path(__file__).with_name("deploy_fields.toml")
EXTENSION = "x-"
Place = tuple[str, ...]


@cache
def known_fields(kind: str) -> dict[Place, tuple[str, ...]]:
    """The fields of one kind of file, by the way to the mapping that holds them."""
    with FACTS.open("rb") as file:
        rows: dict[str, list[str]] = tomllib.load(file)[kind]["fields"]
    return {tuple(path.split(".")) if path else (): tuple(names) for path, names in rows.items()}


def unknown_fields(kind: str, document: object, place: Place = ()) -> Iterator[tuple[str, str]]:
    """Every field that is not known where it stands, as its whole name and the nearest that is ("" for none)."""
    if isinstance(document, Mapping):
        known = _known_at(kind, place)
        for name, value in document.items():
            if known and str(name) not in known and not str(name).startswith(EXTENSION):
                yield ".".join((*place, str(name))), nearest(str(name), known)
            yield from unknown_fields(kind, value, (*place, str(name)))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from unknown_fields(kind, value, (*place, str(number)))


def _known_at(kind: str, place: Place) -> tuple[str, ...]:
    for path, names in known_fields(kind).items():
        if len(path) == len(place) and all(part in ("*", at) for part, at in zip(path, place, strict=True)):
            return names
    return ()


def nearest(name: str, known: tuple[str, ...]) -> str:
    """The known name that is most like another, whatever the case of its letters; "" for none near."""
    folded = {one.casefold(): one for one in known}
    found = difflib.get_close_matches(name.casefold(), folded, 1, 0.6)
    return folded[found[0]] if found else ""


def judge_fields(path: Path, kind: str, document: Any) -> Iterator[Finding]:
    """A finding for each field that the platform passes over."""
    for name, meant in unknown_fields(kind, document):
        if meant:
            message = f"{name} is no field that the platform knows: it passes it over, and what was meant does not hold"
            yield fault("deploy-field", path, message, f"write {meant}")
        else:
            message = (
                f"{name} is no field that was known here in 2026-11: if the platform does not know it, it has no effect"
            )
            yield warning("deploy-field", path, message, "look the field up in the platform's reference, or remove it")
