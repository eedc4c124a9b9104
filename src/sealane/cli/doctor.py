"""``sealane doctor``: everything that can be wrong, found by one look and told with its remedy.

Exit codes: 0 sound, 10 warnings, 11 faults.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from sealane.cli.output import JsonFlag, console, print_json

if TYPE_CHECKING:
    from sealane.doctor import Finding

EXIT_CODES = {"sound": 0, "warnings": 10, "faults": 11}
_COLOURS = {"fault": "red", "warning": "yellow", "skipped": "dim", "ok": "green"}
_ENDS = {
    "sound": "[green]sound[/]: nothing to do",
    "warnings": "[yellow]warnings[/]: it works, and will bite",
    "faults": "[red]faults[/]: mend these first",
}


def doctor(
    account: Annotated[
        str | None, typer.Option("--account", "-a", help="This account's key alone; by default all.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask Kraken nothing.")] = False,
    folder: Annotated[Path, typer.Option("--folder", help="Where deploy files are looked for.")] = Path(),
    as_json: JsonFlag = False,
) -> None:
    """Find every known trouble and tell the remedy; exit code 0 sound, 10 warnings, 11 faults."""
    from sealane.doctor import Visit, examine, verdict, worst_first  # heavy beside the other commands

    logging.getLogger("sealane").addHandler(logging.NullHandler())  # what is logged is told as a finding here
    found = worst_first(examine(Visit(dict(os.environ), account, offline, folder)))
    said = verdict(found)
    if as_json:
        print_json({"verdict": said, "findings": [finding.document() for finding in found]})
    else:
        _show(found)
        console.print(_ENDS[said])
    sys.exit(EXIT_CODES[said])


def _show(found: list[Finding]) -> None:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=False)
    for title in ("", "check", "what is the case, and what to do"):
        table.add_column(title, overflow="fold", no_wrap=title != "what is the case, and what to do")
    for finding in found:
        colour = _COLOURS[finding.level.value]
        told = f"[bold]{escape(finding.subject)}[/]: {escape(finding.message)}"
        if finding.remedy:
            told += f"\n[cyan]→ {escape(finding.remedy)}[/]"
        table.add_row(f"[{colour}]{finding.level.value}[/]", finding.check, told)
    console.print(table)
