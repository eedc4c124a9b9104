"""``sealane preflight``: an account's way through the five gates, up to an order that Kraken checks and does not place.

Exit codes: 0 all gates passed, 4 one failed, 2 settings.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from sealane.cli.output import JsonFlag, console, print_json, told_errors
from sealane.client import Kraken
from sealane.client.accounts import MASTER
from sealane.errors import SettingsError
from sealane.runtime.clock import SYSTEM_CLOCK
from sealane.trading.limits import HardLimits
from sealane.trading.look import CALL_LIMIT_S, scan_within
from sealane.trading.preflight import probe
from sealane.trading.rounds import AccountRound, Rules, account_round, document_of
from sealane.trading.seats import accounts_named, kraken_seats

GATE_FAILED = 4
SIDE_BY_SIDE_MAX = 16

PairOption = Annotated[
    list[str] | None,
    typer.Option("--pair", help="An allowed pair, such as XBTUSD; repeatable. Within SEALANE_ALLOWED_PAIRS if set."),
]


def preflight(
    account: Annotated[
        str | None, typer.Option("--account", "-a", help="MASTER (the default), or a user's name.", show_default=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="MASTER and every user.")] = False,
    pair: PairOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Walk the five gates: balance, health, capital, market, and an order that is checked but not placed."""
    with told_errors(as_json):
        if account and every:
            raise SettingsError("give --account or --all, one of the two")
        limits = HardLimits.from_env(os.environ).only(pair or [])
        done = _walked(accounts_named(os.environ, () if every else (account or MASTER,)), limits)
    if as_json:
        print_json({"accounts": [document_of(one) for one in done]})
    else:
        for one in done:
            console.print(_table(one), "")
    sys.exit(0 if all(one.passed for one in done) else GATE_FAILED)


def _walked(accounts: tuple[str, ...], limits: HardLimits) -> list[AccountRound]:
    """Every account side by side, by one look at the market."""
    rules = Rules(limits, live=False, now_ns=SYSTEM_CLOCK.wall_ns)
    with (
        Kraken(timeout_s=CALL_LIMIT_S) as market,
        kraken_seats(accounts) as seats,
        ThreadPoolExecutor(SIDE_BY_SIDE_MAX) as pool,
    ):
        seen = scan_within(market.public, limits.allowed_pairs, SYSTEM_CLOCK.wall_ns)
        return list(pool.map(lambda seat: account_round(seat, seen, rules, probe(limits)), seats))


def _table(done: AccountRound) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), title_justify="left")
    table.title = f"[bold]{escape(done.account)}[/]: " + (
        "[green]all gates passed[/]" if done.passed else "[red]stopped[/]"
    )
    for gate in done.gates:
        table.add_row(str(gate.gate), gate.name, _VERDICTS[gate.passed], escape(gate.reason))
    return table


_VERDICTS = {True: "[green]passed[/]", False: "[red]FAILED[/]", None: "[dim]-[/]"}
