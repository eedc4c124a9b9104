"""``sealane run module:Strategy``: the five gates on a clock, for MASTER and every user side by side.

Progress goes to stderr, the summary to stdout. SIGTERM and SIGINT start nothing more and let what is in flight end.
Exit codes: 0 ended or stopped in order, 2 settings, 5 an order is in doubt or did not end in time.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from sealane.cli.output import JsonFlag, console, diagnostics, print_json, told_errors
from sealane.cli.preflight import PairOption
from sealane.client import Kraken
from sealane.trading.executor import End
from sealane.trading.limits import HardLimits
from sealane.trading.rounds import AccountRound, document_of
from sealane.trading.runner import INTERVAL_S, AccountSummary, Plan, Runner, Summary
from sealane.trading.seats import Seat, accounts_named, kraken_seats
from sealane.trading.strategy import load_strategy
from sealane.trading.views import plain

IN_DOUBT = 5
_STOPPING = b"stopping: nothing more is started, what is in flight ends first\n"


def run(
    strategy: Annotated[str, typer.Argument(help="module:Class, such as sealane.trading.example:Rebalance")],
    *,
    interval_s: Annotated[float, typer.Option(help="From the start of a round to the start of the next.")] = INTERVAL_S,
    rounds: Annotated[int, typer.Option(min=0, help="How many; 0: until it is stopped.")] = 0,
    account: Annotated[
        list[str] | None, typer.Option("--account", "-a", help="MASTER or a user; repeatable. All by default.")
    ] = None,
    pair: PairOption = None,
    live: Annotated[bool, typer.Option("--live", help="Place orders. Without it Kraken only checks them.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a strategy for every account, within hard limits; validate-only unless --live."""
    with told_errors(as_json), _stop_signals() as runners:
        limits = HardLimits.from_env(os.environ).only(pair or [])
        plan = Plan(limits, live=live, interval_s=interval_s, rounds=rounds)
        accounts = accounts_named(os.environ, account or ())
        make = load_strategy(strategy)
        with Kraken() as market, kraken_seats(accounts) as seats:
            runner = Runner(seats, make, market.public, plan, told=_tell)
            runners.append(runner)
            _announce(strategy, plan, seats, market.statistics().url)
            summary = runner.run()
            doubtful = _in_doubt(seats)
        _print(summary, strategy, plan, as_json)
    for name in summary.unfinished:
        diagnostics.print(f"[red]{escape(name)}[/]: its round did not end within {plan.stop_limit_s:.0f} s")
    sys.exit(IN_DOUBT if doubtful or summary.unfinished else 0)


@contextmanager
def _stop_signals() -> Iterator[list[Runner]]:
    """SIGTERM and SIGINT stop the runners that are put into this list; before there is one, the command ends."""
    runners: list[Runner] = []

    def stop(number: int, frame: object) -> None:
        os.write(2, _STOPPING)  # a handler must not wait for a lock
        for runner in runners:
            runner.stop()
        if not runners:
            sys.exit(0)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield runners
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _announce(strategy: str, plan: Plan, seats: Sequence[Seat], url: str) -> None:
    limits = plan.limits
    if plan.live:
        diagnostics.print(f"[bold white on red]LIVE[/]: orders are placed at {escape(url)}", soft_wrap=True)
    else:
        diagnostics.print("[bold black on yellow]VALIDATE-ONLY[/]: orders are checked, none is placed; --live places")
    said = [
        f"{escape(strategy)} for {', '.join(escape(seat.account) for seat in seats)}, every {plan.interval_s:g} s",
        f"largest order {plain(limits.largest_order_usd)} USD, least capital {plain(limits.min_capital_usd)} USD, "
        f"pairs {', '.join(limits.allowed_pairs) or 'none'}",
        *(["HARD_BUY_OFF: nothing is bought"] if limits.buys_off else []),
    ]
    for line in said:
        diagnostics.print(line, soft_wrap=True)


def _tell(number: int, done: AccountRound) -> None:
    """One line of progress."""
    failed = done.failed
    if failed is not None:
        said = f"gate {failed.gate} ({failed.name}) failed: {failed.reason}"
    else:
        said = ("all gates passed: " if done.passed else "") + done.gates[-1].reason
    diagnostics.print(f"round {number}  {escape(done.account)}  {escape(said)}", soft_wrap=True)


def _in_doubt(seats: Sequence[Seat]) -> bool:
    return any(seat.client.orders(in_doubt=True, limit=1) for seat in seats)


def _print(summary: Summary, strategy: str, plan: Plan, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "strategy": strategy,
                "live": plan.live,
                "rounds": summary.rounds,
                "stopped": summary.stopped,
                "accounts": [_document(account) for account in summary.accounts],
                "unfinished": list(summary.unfinished),
            }
        )
        return
    ends = [end for end in End if any(end in one.ends for one in summary.accounts)]
    table = Table("account", "rounds", "passed", *(end.value for end in ends), box=None, padding=(0, 2, 0, 0))
    for one in summary.accounts:
        counts = (str(one.ends.get(end, 0)) for end in ends)
        table.add_row(escape(one.account), str(one.rounds), str(one.passed), *counts)
    console.print(table)


def _document(account: AccountSummary) -> dict[str, object]:
    return {
        "account": account.account,
        "rounds": account.rounds,
        "passed": account.passed,
        "passed_over": account.passed_over,
        "signals": {end.value.replace(" ", "_"): account.ends.get(end, 0) for end in End},
        "last": None if account.last is None else document_of(account.last),
        "trouble": account.trouble or None,
    }
