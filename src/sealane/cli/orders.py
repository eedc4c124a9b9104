"""``sealane orders``: what became of the orders that were placed from this data folder."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from sealane.cli.output import AccountOption, JsonFlag, console, print_json, told_errors
from sealane.client import Kraken
from sealane.client.accounts import MASTER
from sealane.client.orders import TIMEOUT_S
from sealane.core.nonce import NS_PER_S
from sealane.core.order import Amended, Intent, NotAmended, NotPlaced, Placed

IN_DOUBT = 5
LIMIT = 50


def orders(
    account: AccountOption = MASTER,
    in_doubt: Annotated[bool, typer.Option("--in-doubt", help="Only those whose end is not known.")] = False,
    resolve: Annotated[bool, typer.Option("--resolve", help="Find out what became of them, and wait for it.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = LIMIT,
    as_json: JsonFlag = False,
) -> None:
    """List orders and their ends; exit code 5 while one is in doubt."""
    with told_errors(as_json), Kraken.from_env(account) as kraken:
        if resolve:
            for intent in kraken.orders(in_doubt=True):
                kraken.await_order(intent.id, timeout_s=TIMEOUT_S)
        found = kraken.orders(in_doubt=in_doubt, limit=limit)
        doubtful = bool(kraken.orders(in_doubt=True, limit=1))
    rows = [row for intent in found for row in _rows(intent)]
    if as_json:
        print_json({"account": account, "orders": rows})
    else:
        _show(rows)
    sys.exit(IN_DOUBT if doubtful else 0)


def _rows(intent: Intent) -> list[dict[str, object]]:
    sent = (
        datetime.fromtimestamp(intent.sent_ns / NS_PER_S, UTC).isoformat(timespec="seconds") if intent.sent_ns else ""
    )
    return [
        {
            "client_order_id": name,
            "method": intent.method,
            "sent": sent,
            "state": _STATES[type(intent.ends.get(name))],
            **({} if name not in intent.ends else asdict(intent.ends[name])),
        }
        for name in intent.order_ids
    ]


_STATES: dict[type, str] = {
    type(None): "in doubt",
    Placed: "placed",
    NotPlaced: "not placed",
    Amended: "amended",
    NotAmended: "not amended",
}


def _show(rows: list[dict[str, object]]) -> None:
    if not rows:
        console.print("none")
        return
    for row in rows:
        what = row.get("descr") or row.get("kraken_error") or row.get("reason") or row.get("order") or row["method"]
        console.print(f"[bold]{row['state']:11}[/] {row['sent']}  {row['client_order_id']}", soft_wrap=True)
        console.print(f"            {row.get('txid', '')} {escape(str(what))}", soft_wrap=True)
