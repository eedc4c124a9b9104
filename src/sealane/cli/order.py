"""``sealane order buy|sell PAIR VOLUME [PRICE]``: one order that ends as placed or not placed."""

from __future__ import annotations

import sys
import uuid
from dataclasses import asdict
from typing import Annotated

import typer

from sealane.cli.output import AccountOption, JsonFlag, print_result, told_errors
from sealane.cli.words import fields_in
from sealane.client import Kraken
from sealane.client.accounts import MASTER
from sealane.client.orders import DEADLINE_S, TIMEOUT_S
from sealane.core.order import VALIDATED, NotPlaced, Placed
from sealane.errors import InDoubt, SettingsError

REFUSED, NOT_SENT = 3, 4
_PLACES = ("pair", "volume", "price")
_OPTIONS = ("side", "type", "order_type", "client_order_id", "deadline_s", "timeout_s", "validate")

Side = Annotated[str, typer.Argument(help="buy or sell")]
Words = Annotated[list[str] | None, typer.Argument(help="PAIR VOLUME [PRICE], and fields of AddOrder as name=value")]
Place = Annotated[str | None, typer.Option(help="The same by name.", show_default=False)]


def order(  # noqa: PLR0917 - typer gives every option by name
    side: Side,
    words: Words = None,
    pair: Place = None,
    volume: Place = None,
    price: Place = None,
    account: AccountOption = MASTER,
    order_type: Annotated[str, typer.Option("--type", help="Kraken's ordertype; market where no price is given.")] = "",
    client_order_id: Annotated[
        str | None, typer.Option("--id", "--client-order-id", help="A client order id of your own.")
    ] = None,
    deadline_s: Annotated[float, typer.Option(help="Not executed later than this after now.")] = DEADLINE_S,
    timeout_s: Annotated[float, typer.Option(help="How long to find out what became of it.")] = TIMEOUT_S,
    validate: Annotated[bool, typer.Option("--validate", help="Let Kraken check it only; nothing is placed.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Place an order, exactly once or not at all; exit code 5 while it is in doubt."""
    with told_errors(as_json):
        fields = _fields([*(words or []), *_as_words(pair=pair, volume=volume, price=price)])
        kind = order_type or str(fields.pop("ordertype", "")) or ("limit" if "price" in fields else "market")
        with Kraken.from_env(account) as kraken:
            end = _place(
                kraken,
                side=side,
                order_type=kind,
                client_order_id=client_order_id or str(uuid.uuid4()),
                deadline_s=deadline_s,
                timeout_s=timeout_s,
                validate=validate,
                **fields,
            )
    print_result(document_of(end), as_json)
    sys.exit(code_of(end))


def _as_words(**options: str | None) -> list[str]:
    return [f"{name}={value}" for name, value in options.items() if value is not None]


def _place(kraken: Kraken, **order: object) -> Placed | NotPlaced:
    """Place it; where that is interrupted, say that its end is unknown."""
    try:
        return kraken.place_order(**order)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        raise InDoubt(
            "AddOrder",
            kraken.statistics().last_nonce,
            "interrupted while it was under way; 'sealane orders --resolve' finds out",
            client_order_id=str(order["client_order_id"]),
        ) from None


def _fields(words: list[str]) -> dict[str, str]:
    named = fields_in(word for word in words if "=" in word)
    bare = [word for word in words if "=" not in word]
    if len(bare) > len(_PLACES):
        raise SettingsError(f"{bare[len(_PLACES)]!r} is one word too many: give PAIR VOLUME [PRICE] and name=value")
    twice = next((name for name in (*_OPTIONS, *_PLACES[: len(bare)]) if name in named), None)
    if twice:
        raise SettingsError(f"{twice}= is said otherwise here: see sealane order --help")
    fields = dict(zip(_PLACES, bare, strict=False)) | named
    for name in ("pair", "volume"):
        if not fields.get(name):
            raise SettingsError(f"{name} is missing: give PAIR VOLUME [PRICE]")
    return fields


def document_of(end: Placed | NotPlaced) -> dict[str, object]:
    """An end as plain values."""
    return {"placed": isinstance(end, Placed), **asdict(end)}


def code_of(end: Placed | NotPlaced) -> int:
    """The exit code that an end has."""
    if isinstance(end, Placed) or end.reason == VALIDATED:
        return 0
    return REFUSED if end.kraken_error else NOT_SENT
