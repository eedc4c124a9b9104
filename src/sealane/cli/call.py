"""``sealane call METHOD k=v …``: one call to Kraken, on the account's lane."""

from __future__ import annotations

from typing import Annotated

import typer

from sealane.cli.output import AccountOption, JsonFlag, print_result, told_errors
from sealane.cli.words import fields_in
from sealane.client import Kraken
from sealane.client.accounts import MASTER
from sealane.core.methods import method_named
from sealane.errors import InDoubt


def call(
    method: Annotated[str, typer.Argument(help="Kraken's name for it, such as Balance or Ticker.")],
    params: Annotated[list[str] | None, typer.Argument(help="Parameters as name=value.")] = None,
    account: AccountOption = MASTER,
    public: Annotated[bool, typer.Option("--public", help="A public method: no key, no lane.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make one call and print its result."""
    with told_errors(as_json):
        fields = fields_in(params or [])
        if public:
            with Kraken() as kraken:
                result = kraken.public(method, **fields)
        else:
            with Kraken.from_env(account) as kraken:
                result = _private(kraken, method, fields)
        print_result(result, as_json)


def _private(kraken: Kraken, method: str, fields: dict[str, str]) -> object:
    """One private call; a write that is interrupted says that its end is unknown."""
    try:
        return kraken.private(method, fields)
    except KeyboardInterrupt:
        if not method_named(method).write:
            raise
        raise InDoubt(method, kraken.statistics().last_nonce, "interrupted while it was under way") from None
