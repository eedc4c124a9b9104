"""``sealane run module:Strategy``: the five gates on a clock, for MASTER and every user side by side.

Progress goes to stderr, the summary to stdout. SIGTERM and SIGINT start nothing more and let an order under way end; a
second one ends the process at once. Exit codes: 0 ended or stopped in order, 2 settings, 4 in all the rounds no account
passed all gates, 5 an order is in doubt or under way.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn, Protocol

import typer
from rich.markup import escape
from rich.table import Table

from sealane.cli.output import JsonFlag, console, diagnostics, print_json, told_errors
from sealane.cli.preflight import PairOption
from sealane.client import Kraken
from sealane.client.settings import Settings
from sealane.store import open_store
from sealane.trading.executor import End
from sealane.trading.limits import HardLimits
from sealane.trading.look import CALL_LIMIT_S
from sealane.trading.rounds import AccountRound, document_of
from sealane.trading.runner import INTERVAL_S, AccountSummary, Plan, Runner, Summary
from sealane.trading.seats import Seat, accounts_named, kraken_seats
from sealane.trading.strategy import Strategy, load_strategy
from sealane.trading.views import plain

NOTHING_PASSED = 4
IN_DOUBT = 5
_STOPPING = b"stopping: nothing more is started, an order under way ends first; a second signal ends at once\n"
_AT_ONCE = b"ended at once\n"
_AT_ONCE_IN_AN_ORDER = b"ended at once, in an order: the next process on the data folder finds out what became of it\n"


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
    with told_errors(as_json), _stop_signals() as stops:
        limits = HardLimits.from_env(os.environ).only(pair or [])
        plan = Plan(limits, live=live, interval_s=interval_s, rounds=rounds)
        accounts = accounts_named(os.environ, account or ())
        make = load_strategy(strategy)
        with _reserved(accounts if live else (), stops) as is_ours:
            summary, doubtful = (
                _ran(strategy, make, plan, accounts, stops) if is_ours else (_not_begun(accounts), False)
            )
        _print(summary, strategy, plan, as_json)
    for name in summary.unfinished:
        said = "in an order: what became of it is found out" if name in summary.placing else "no order was under way"
        diagnostics.print(f"[red]{escape(name)}[/]: its round was left before its end, {said}", soft_wrap=True)
    sys.exit(_exit_code(summary, doubtful=doubtful))


def _ran(
    strategy: str, make: Callable[[], Strategy], plan: Plan, accounts: Sequence[str], stops: _Stops
) -> tuple[Summary, bool]:
    """The run, and whether an order is in doubt after it."""
    with Kraken(timeout_s=CALL_LIMIT_S) as market, kraken_seats(accounts) as seats:
        runner = Runner(seats, make, market.public, plan, told=_tell)
        stops.add(runner, runner.placing)
        _announce(strategy, plan, seats, market.statistics().url)
        return runner.run(), _in_doubt(seats)


@contextmanager
def _reserved(accounts: Sequence[str], stops: _Stops) -> Iterator[bool]:
    """These accounts for this process alone, once no other live run has one; False where it was stopped before."""
    folder = _data_folder() if accounts else None
    if folder is None:
        yield True
        return
    from sealane.trading.reservation import Reservation  # needs the file locks that a folder needs

    with Reservation(folder, accounts) as reservation:
        stops.add(reservation)
        yield reservation.wait(lambda said: diagnostics.print(f"[yellow]{escape(said)}[/]", soft_wrap=True))


def _data_folder() -> Path | None:
    """The folder of the store, None for one that is none and so belongs to this process alone."""
    settings = Settings.from_env(os.environ)
    folder = getattr(open_store(settings.store, env_floor=settings.last_nonce), "folder", None)
    return folder if isinstance(folder, Path) else None


def _not_begun(accounts: Sequence[str]) -> Summary:
    return Summary(0, True, tuple(AccountSummary(account) for account in accounts))


def _exit_code(summary: Summary, *, doubtful: bool) -> int:
    if doubtful or summary.placing:
        return IN_DOUBT
    passed = any(account.passed for account in summary.accounts)
    return 0 if summary.stopped or (passed and not summary.unfinished) else NOTHING_PASSED


class _Stoppable(Protocol):
    def stop(self) -> None: ...


class _Stops:
    """What a signal stops. Its verbs wait for no lock: a signal handler runs them."""

    def __init__(self) -> None:
        self._running: list[_Stoppable] = []
        self._placing: Callable[[], Sequence[str]] = tuple
        self._is_asked = False

    def add(self, one: _Stoppable, placing: Callable[[], Sequence[str]] = tuple) -> None:
        """From now on this is stopped; at once where a signal came before. ``placing``: who is in an order."""
        self._placing = placing
        self._running.append(one)
        if self._is_asked:
            one.stop()

    def hear(self, number: int, frame: object) -> None:
        """A signal: the first asks, the second ends the process; so does the first where nothing runs yet."""
        if self._is_asked:
            self._end()
        self._is_asked = True
        os.write(2, _STOPPING)
        for one in self._running:
            one.stop()
        if not self._running:
            sys.exit(0)

    def _end(self) -> NoReturn:
        is_placing = bool(self._placing())
        os.write(2, _AT_ONCE_IN_AN_ORDER if is_placing else _AT_ONCE)
        os._exit(IN_DOUBT if is_placing else 0)


@contextmanager
def _stop_signals() -> Iterator[_Stops]:
    """SIGTERM and SIGINT stop what is added to this."""
    stops = _Stops()
    before = {number: signal.signal(number, stops.hear) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stops
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
