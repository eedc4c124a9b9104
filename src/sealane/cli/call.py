"""``sealane call METHOD k=v …``: one call to Kraken, on the account's lane."""

from __future__ import annotations

from typing import Annotated

import typer

from sealane.cli.output import AccountOption, JsonFlag, print_result, told_errors
from sealane.client import Kraken
from sealane.client.accounts import MASTER
from sealane.errors import SettingsError


def call(
    method: Annotated[str, typer.Argument(help="Kraken's name for it, such as Balance or Ticker.")],
    params: Annotated[list[str] | None, typer.Argument(help="Parameters as name=value.")] = None,
    account: AccountOption = MASTER,
    public: Annotated[bool, typer.Option("--public", help="A public method: no key, no lane.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make one call and print its result."""
    with told_errors(as_json):
        fields = dict(_pair(text) for text in params or ())
        if public:
            with Kraken() as kraken:
                result = kraken.public(method, **fields)
        else:
            with Kraken.from_env(account) as kraken:
                result = kraken.private(method, fields)
        print_result(result, as_json)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SettingsError(f"{text!r} is no parameter: write name=value, such as pair=XBTUSD")
    return name, value
