"""What a benchmark hands back, and how it is shown: a table for people, one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

LATEST = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True)
class Figure:
    """One number. ``low`` and ``high`` are what single rounds gave, where there were several.

    A target is a least or a most value; a figure with neither is shown for what it is.
    """

    name: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None where there is none."""
        if self.at_least is None and self.at_most is None:
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    @property
    def target(self) -> str:
        """The target as people read it, "" for none."""
        bounds = (("≥", self.at_least), ("≤", self.at_most))
        return ", ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)

    def document(self) -> dict[str, object]:
        """The figure as plain JSON values."""
        return {
            "name": self.name,
            "value": round(self.value, 4),
            "unit": self.unit,
            "low": None if self.low is None else round(self.low, 4),
            "high": None if self.high is None else round(self.high, 4),
            "at_least": self.at_least,
            "at_most": self.at_most,
            "met": self.met,
        }


@dataclass(frozen=True)
class Result:
    """One benchmark's figures and remarks; ``error`` is set where it could not be taken to its end."""

    name: str
    title: str
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    took_s: float = 0.0
    error: str = ""

    @property
    def missed(self) -> tuple[Figure, ...]:
        """The figures whose target was not met."""
        return tuple(figure for figure in self.figures if figure.met is False)

    @property
    def passed(self) -> bool:
        """Whether it ended, with every target met."""
        return not self.error and not self.missed

    def document(self) -> dict[str, object]:
        """The result as plain JSON values."""
        return {
            "name": self.name,
            "title": self.title,
            "passed": self.passed,
            "took_s": round(self.took_s, 1),
            "error": self.error or None,
            "figures": [figure.document() for figure in self.figures],
            "notes": list(self.notes),
        }


def report_document(results: Sequence[Result], about: dict[str, object]) -> dict[str, object]:
    """The whole run as plain JSON values; ``about`` says where and when it was taken."""
    missed = [f"{result.name}: {figure.name}" for result in results for figure in result.missed]
    missed += [f"{result.name}: {result.error}" for result in results if result.error]
    return {
        **about,
        "passed": all(result.passed for result in results),
        "missed": missed,
        "benchmarks": [result.document() for result in results],
    }


def one_line(document: dict[str, object]) -> str:
    """The document as JSON on one line."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def save(document: dict[str, object], path: Path = LATEST) -> None:
    """Keep the document where the next reader looks for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def shown(value: float) -> str:
    """A number with as many digits as mean something."""
    if float(value).is_integer():
        return f"{value:,.0f}"
    size = abs(value)
    places = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 else 3
    return f"{value:,.{places}f}"


def show(results: Sequence[Result], out: TextIO) -> None:
    """The tables for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console(file=out, highlight=False, width=None if out.isatty() else 120)
    for result in results:
        table = Table(title=f"{result.name}: {result.title}", title_justify="left", title_style="bold")
        table.add_column("figure")
        for heading in ("value", "single rounds", "target"):
            table.add_column(heading, justify="right")
        table.add_column("")
        for figure in result.figures:
            table.add_row(*_cells(figure))
        console.print(table)
        for note in result.notes:
            console.print(f"  {note}", markup=False)
        if result.error:
            console.print(f"  FAILED: {result.error}", style="bold red", markup=False)
        console.print()


def _cells(figure: Figure) -> tuple[str, ...]:
    spread = ""
    if figure.low is not None and figure.high is not None:
        spread = f"{shown(figure.low)} – {shown(figure.high)}"
    mark = {True: "[green]met[/]", False: "[bold red]missed[/]", None: ""}[figure.met]
    return figure.name, f"{shown(figure.value)} {figure.unit}", spread, figure.target, mark
