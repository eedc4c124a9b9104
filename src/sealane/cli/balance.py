"""``sealane balance``: what an account holds."""

from __future__ import annotations

from datetime import UTC, datetime

from sealane.cli.output import AccountOption, JsonFlag, console, print_json, print_result, told_errors
from sealane.client import Kraken
from sealane.client.accounts import MASTER


def balance(account: AccountOption = MASTER, as_json: JsonFlag = False) -> None:
    """Show an account's balance; an error where it is unknown."""
    with told_errors(as_json), Kraken.from_env(account) as kraken:
        found = kraken.balance()
        amounts = {asset: str(amount) for asset, amount in found.amounts.items()}
        if as_json:
            print_json(
                {
                    "account": kraken.statistics().account,
                    "amounts": amounts,
                    "as_of": found.as_of,
                    "age_s": round(found.age_s, 3),
                    "stale": found.stale,
                    "error": found.error,
                }
            )
            return
        asked = datetime.fromtimestamp(found.as_of, UTC).isoformat(" ", "seconds")
        console.print(f"{kraken.statistics().account}, as of {asked}" + ("" if amounts else ": empty"))
        if amounts:
            print_result(amounts, as_json=False)
