"""What every command prints, and how it ends.

With ``--json`` stdout holds JSON alone: one document, on one line, last. Diagnostics go to stderr. Exit codes: 0 ok,
2 usage or settings, 3 refused by Kraken, 4 unavailable or not durable, 5 in doubt, 6 key quarantined or lane fenced.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sealane.errors import (
    Fenced,
    InDoubt,
    NotDurable,
    Quarantined,
    Refused,
    SealaneError,
    SettingsError,
    Unavailable,
)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document, on one line.")]
AccountOption = Annotated[str, typer.Option("--account", "-a", help="MASTER, or a user's name as in the environment.")]

EXIT_CODES: dict[type[SealaneError], int] = {
    SettingsError: 2,
    Refused: 3,
    Unavailable: 4,
    NotDurable: 4,
    InDoubt: 5,
    Quarantined: 6,
    Fenced: 6,
}

console = Console(highlight=False)
diagnostics = Console(stderr=True, highlight=False)


def print_json(document: object) -> None:
    """One document, on one line."""
    print(json.dumps(document, separators=(", ", ": ")), flush=True)


def print_result(result: object, as_json: bool) -> None:
    """A result for a program or for a person: flat mappings as a table, anything else as indented JSON."""
    if as_json:
        print_json(result)
    elif (
        isinstance(result, Mapping) and result and not any(isinstance(value, (dict, list)) for value in result.values())
    ):
        console.print(_table(result))
    else:
        print(json.dumps(result, indent=2))


def _table(result: Mapping[str, object]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in result.items():
        table.add_row(f"[bold]{escape(str(name))}[/]", "" if value is None else escape(str(value)))
    return table


@contextmanager
def told_errors(as_json: bool) -> Iterator[None]:
    """Turn Sealane's errors into a message and an exit code."""
    try:
        yield
    except SealaneError as error:
        if as_json:
            kind = next(kind.__name__ for kind in EXIT_CODES if isinstance(error, kind))
            document = {"kind": kind, "message": str(error)}
            if isinstance(error, Refused):
                document["errors"] = list(error.errors)  # type: ignore[assignment]
            if isinstance(error, InDoubt) and error.client_order_id:
                document["client_order_id"] = error.client_order_id
            print_json({"error": document})
        diagnostics.print(f"[red]{type(error).__name__}:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind)))
