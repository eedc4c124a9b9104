"""``python -m bench.orders``: ten thousand orders with every fault at every point, judged by the exchange's own book.

Three processes place orders on sixteen accounts, each account in a thread of its own in each process, and one of the
processes is killed every now and then. The simulator loses, delays, garbles and hides about every third order and every
eighth look. The same plan under the same seed goes through Sealane, ccxt and krakenex; the other two have every account
in one process only, because they cannot share a key.

Exit code 1 where an order of Sealane's ended in another way than its caller knows.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.order_callers import CLIENTS, NOT_PLACED, Told, told_of
from bench.order_crew import Crew, shared_out
from bench.order_exchange import Exchange, environment, exchange
from bench.order_judge import NEVER_SENT, Asked, Judgement, judge, whys
from bench.order_plan import Planned, fault_rules, planned
from bench.order_worker import Job
from bench.report import LATEST, save
from sealane.core.order import Intent
from sealane.store import open_store
from sealane.store.port import IntentLog

ORDERS = 10_000
ACCOUNTS, PROCESSES = 16, 3
KILL_EVERY_S = 0.3
SETTLE_S = 90.0
"""How long after the last order was asked for the last one may get its end."""
PROGRESS_S = 10.0
RESULTS = LATEST.with_name("orders.json")


@dataclass(frozen=True)
class Setting:
    """One run's size. The same setting makes the same orders, keys and chances of faults.

    Which order meets which fault, and when kills fall, is the machine's doing.
    """

    orders: int
    seed: int
    accounts: int = ACCOUNTS
    processes: int = PROCESSES
    kill_every_s: float = KILL_EVERY_S


@dataclass(frozen=True)
class Trial:
    """What one client made of it. ``faults`` counts what was done to calls, by kind; ``audit`` is its own."""

    client: str
    judgement: Judgement
    kills: int
    under_way_at_kills: int
    faults: Mapping[str, int]
    whys: Mapping[str, int]
    refused_nonce: int
    audit: Sequence[str]
    took_s: float

    def document(self) -> dict[str, object]:
        """The trial as plain JSON values."""
        return asdict(self)


# --- the dead's orders ------------------------------------------------------------------------------------------------


class FromStore:
    """Ends by what the living and the restarted wrote down; half of the orders are asked for once more instead."""

    def __init__(self, log: IntentLog, rng: random.Random) -> None:
        self._log, self._rng = log, rng

    def ask_again(self, order: Planned) -> bool:
        """See ``Afterlife``."""
        return self._rng.random() < 0.5

    def told(self, order: Planned) -> Told | None:
        """See ``Afterlife``."""
        stored = self._log.read(order.client_order_id)
        if stored is None:
            return Told(NOT_PLACED, why=NEVER_SENT)
        intent = Intent.loaded(stored)
        if not intent.settled:
            return None
        told = told_of(intent.ends[order.client_order_id])
        return Told(told.end, told.txid, f"from the store: {told.why}")


# --- one run ----------------------------------------------------------------------------------------------------------


def tried(client: str, setting: Setting, folder: Path, tell: Any = None) -> Trial:
    """Put one client to the trial."""
    started = time.monotonic()
    plan, rng = planned(setting.seed, setting.orders, setting.accounts), random.Random(f"kills {setting.seed}")
    with exchange(setting.accounts, setting.seed) as market:
        for rule in fault_rules():
            market.control("POST", "/sim/faults", rule)
        after, log = None, None
        if client == "sealane":
            log = open_store(f"file:{folder}").intents()
            after = FromStore(log, rng)
        with Crew(plan, after, rng, setting.kill_every_s) as crew:
            crew.start(_jobs(client, setting, plan, market, folder))
            crew.run(_progress(client, crew, setting, tell), SETTLE_S)
            unsettled = list(log.unsettled()) if log else []
        asked = [_asked(crew, order, unsettled) for order in plan]
        ours = client == "sealane"
        judgement = judge(asked, market.book(_name(ours)), by="client_order_id" if ours else "userref", deadlines=ours)
        journal = market.control("GET", "/sim/journal")
        return Trial(
            client=client,
            judgement=judgement,
            kills=crew.kills,
            under_way_at_kills=crew.under_way_at_kills,
            faults=dict(Counter(entry["fault"] for entry in journal["entries"] if entry["fault"])),
            whys=dict(whys(asked)),
            refused_nonce=journal["summary"]["refused_nonce"],
            audit=market.control("GET", "/sim/audit")["findings"],
            took_s=round(time.monotonic() - started, 1),
        )


def _name(ours: bool) -> str:
    return "cl_ord_id" if ours else "userref"


def _jobs(client: str, setting: Setting, plan: Sequence[Planned], market: Exchange, folder: Path) -> list[Job]:
    everybody = range(setting.processes)
    places = {
        account: list(everybody) if client == "sealane" else [account % setting.processes]
        for account in range(setting.accounts)
    }
    env = environment(market.accounts, folder)
    return [Job(client, env, market.accounts, orders) for orders in shared_out(plan, places)]


def _asked(crew: Crew, order: Planned, unsettled: Sequence[str]) -> Asked:
    told = crew.told.get(order.number)
    if order.client_order_id in unsettled and told is not None and told.end == NOT_PLACED:
        told = Told("in doubt", why=f"told {told.why}, and still unsettled in the store")
    return Asked(order, crew.begun_s[order.number], told)


def _progress(client: str, crew: Crew, setting: Setting, tell: Any) -> Any:
    shown_s = time.monotonic()

    def progress() -> None:
        nonlocal shown_s
        if tell is not None and time.monotonic() - shown_s >= PROGRESS_S:
            shown_s = time.monotonic()
            tell(f"{client}: {len(crew.told):,} of {setting.orders:,} orders have an end, {crew.kills} kills")

    return progress


# --- the face ---------------------------------------------------------------------------------------------------------

COLUMNS = (
    ("asked for", "asked"),
    ("placed once", "placed_once"),
    ("not placed, and told so", "not_placed"),
    ("doubled", "doubled"),
    ("lost", "lost"),
    ("left in doubt", "in_doubt"),
)


def show(trials: Sequence[Trial]) -> None:
    """The table, and what went wrong with Sealane's orders, if anything did."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    table = Table(title="orders, by the exchange's own book", title_justify="left", title_style="bold")
    table.add_column("")
    for trial in trials:
        table.add_column(trial.client, justify="right")
    for heading, name in COLUMNS:
        table.add_row(heading, *(f"{getattr(trial.judgement, name):,}" for trial in trials))
    table.add_row("executed after their deadline", *(_deadlines(trial) for trial in trials))
    table.add_section()
    table.add_row("kill -9", *(f"{trial.kills:,}" for trial in trials))
    table.add_row("orders under way at a kill", *(f"{trial.under_way_at_kills:,}" for trial in trials))
    table.add_row("faults met", *(f"{sum(trial.faults.values()):,}" for trial in trials))
    table.add_row("seconds", *(f"{trial.took_s:,.0f}" for trial in trials))
    console.print(table)
    for trial in trials:
        if trial.client == "sealane":
            ends = sorted(trial.whys.items(), key=lambda why: -why[1])
            console.print("how the ends of Sealane's orders became known:")
            for why, count in ends:
                console.print(f"  {count:>6,}  {why}", markup=False)
    for trial in trials:
        for text in [*trial.audit, *(trial.judgement.wrong if trial.client == "sealane" else ())]:
            console.print(f"  {trial.client}: {text}", markup=False)


def _deadlines(trial: Trial) -> str:
    return f"{trial.judgement.after_deadline:,}" if trial.client == "sealane" else "no deadline"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, show, keep."""
    parser = argparse.ArgumentParser(prog="python -m bench.orders", description="Exactly once, under every fault.")
    parser.add_argument("--orders", type=int, default=ORDERS)
    parser.add_argument(
        "--seed", type=int, default=int(os.environ.get("SEALANE_SEED") or random.SystemRandom().getrandbits(32))
    )
    parser.add_argument("--clients", nargs="+", choices=list(CLIENTS), default=list(CLIENTS))
    parser.add_argument("--kill-every", type=float, default=KILL_EVERY_S, metavar="SECONDS")
    options = parser.parse_args(arguments)
    setting = Setting(options.orders, options.seed, kill_every_s=options.kill_every)
    _tell(f"SEALANE_SEED={setting.seed}")
    LATEST.parent.mkdir(parents=True, exist_ok=True)
    trials = []
    for client in options.clients:
        with tempfile.TemporaryDirectory(prefix="orders-", dir=LATEST.parent) as folder:
            trials.append(tried(client, setting, Path(folder), _tell))
    save({"seed": setting.seed, "trials": [trial.document() for trial in trials]}, RESULTS)
    show(trials)
    _tell(f"SEALANE_SEED={setting.seed}; all figures in {os.path.relpath(RESULTS)}")
    return 0 if all(trial.judgement.clean and not trial.audit for trial in trials if trial.client == "sealane") else 1


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
