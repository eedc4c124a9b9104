"""``sealane cancel TXID… | --id ID | --all``: cancels that are sent until Kraken answers."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from sealane.cli.output import AccountOption, JsonFlag, print_result, told_errors
from sealane.client import Kraken
from sealane.client.accounts import MASTER
from sealane.client.orders import TIMEOUT_S
from sealane.core.cancelling import Cancellation, Cancelled
from sealane.errors import SettingsError

REFUSED, NOT_SENT = 3, 4


def cancel(  # noqa: PLR0917 - typer gives every option by name
    txids: Annotated[list[str] | None, typer.Argument(help="Kraken's ids of the orders.")] = None,
    account: AccountOption = MASTER,
    client_order_id: Annotated[
        str | None, typer.Option("--id", "--client-order-id", help="The order's client order id.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All open orders of the account.")] = False,
    timeout_s: Annotated[float, typer.Option(help="How long to insist.")] = TIMEOUT_S,
    as_json: JsonFlag = False,
) -> None:
    """Cancel orders; exit code 5 where no answer was to be had."""
    with told_errors(as_json):
        if sum((bool(txids), client_order_id is not None, everything)) != 1:
            raise SettingsError("give txids, or --id, or --all: one of the three")
        with Kraken.from_env(account) as kraken:
            ends = _cancelled(kraken, txids or [], client_order_id, timeout_s)
    documents = {name: {"cancelled": isinstance(end, Cancelled), **asdict(end)} for name, end in ends.items()}
    print_result(next(iter(documents.values())) if len(documents) == 1 else documents, as_json)
    sys.exit(max(code_of(end) for end in ends.values()))


def _cancelled(
    kraken: Kraken, txids: list[str], client_order_id: str | None, timeout_s: float
) -> dict[str, Cancellation]:
    if client_order_id is not None:
        return {client_order_id: kraken.cancel_order(client_order_id=client_order_id, timeout_s=timeout_s)}
    if len(txids) == 1:
        return {txids[0]: kraken.cancel_order(txid=txids[0], timeout_s=timeout_s)}
    if txids:
        return kraken.cancel_orders(txids, timeout_s=timeout_s)
    return {"all": kraken.cancel_all(timeout_s=timeout_s)}


def code_of(end: Cancellation) -> int:
    """The exit code that an end has."""
    if isinstance(end, Cancelled):
        return 0
    return REFUSED if end.kraken_error else NOT_SENT
