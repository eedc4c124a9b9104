"""``sealane store copy``: take what one store keeps into another, for a move from one to the other."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from sealane.cli.output import JsonFlag, console, print_json, told_errors
from sealane.client.copying import Copied, copy_store
from sealane.client.settings import Settings
from sealane.core.nonce import unit_ns
from sealane.errors import SettingsError
from sealane.store.open import opened_apart

FROM_VARIABLE = "env:"
NOT_COPIED = (
    "notes of when single orders were placed (without one an order counts as new, which costs room alone)",
    "claims of calls that are running",
)

app = typer.Typer(help="Move between stores.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """One command so far, and it has a name."""


@app.command("copy")
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="As in SEALANE_STORE, or env:NAME of a variable.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The same.")],
    as_json: JsonFlag = False,
) -> None:
    """Copy floors, keys' states, counters and records of orders; floors are only ever raised. May be repeated."""
    with told_errors(as_json):
        unit = unit_ns(Settings.from_env(os.environ).nonce_unit)
        with opened_apart(_named(source, "FROM")) as one, opened_apart(_named(target, "TO")) as other:
            places = [store.identity.partition(" on ")[0] for store in (one, other)]
            try:
                copied = copy_store(one, other, unit)
            finally:
                for store in (one, other):
                    store.intents().close()
        if as_json:
            document = {"from": places[0], "to": places[1], **asdict(copied), "not_copied": list(NOT_COPIED)}
            print_json(document)
        else:
            _show(places[0], places[1], copied)


def _named(given: str, what: str) -> str:
    """The URL itself, or what a variable holds: a command line is shown to every process of the machine."""
    if not given.startswith(FROM_VARIABLE):
        url = given.strip()
    else:
        name = given.removeprefix(FROM_VARIABLE)
        url = os.environ.get(name, "").strip()
        if not url:
            raise SettingsError(f"{what} is {given}, and the variable {name} is not set")
    if url.startswith("memory:") or not url:
        raise SettingsError(
            f"{what} is no place that another process can read: name a file:, redis: or postgresql: URL"
        )
    return url


def _show(source: str, target: str, copied: Copied) -> None:
    lines = [f"[bold]{escape(source)}[/] → [bold]{escape(target)}[/]"]
    for lane in copied.lanes:
        floor = (
            f"raised to {lane.stands}" if lane.raised else f"stays at {lane.stands}, which is not below {lane.floor}"
        )
        lines.append(f"lane {escape(lane.lane)}: floor {floor}")
        lines.append(f"  keys copied {len(lane.keys)}, known already {len(lane.kept)}; accounts {len(lane.accounts)}")
        lines += [f"  [yellow]key {key} is quarantined in FROM, and not in TO: left so[/]" for key in lane.stopped]
    orders = copied.orders
    lines.append(f"orders: {orders.written} copied, {orders.known} known already")
    if orders.under_way:
        lines.append(f"  [yellow]{orders.under_way} belong to running programs: copy again once these have stopped[/]")
    lines.append(f"not copied: {escape('; '.join(NOT_COPIED))}")
    for line in lines:
        console.print(line, soft_wrap=True)
