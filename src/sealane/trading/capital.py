"""What an account can spend: USD and USDT that nothing holds. What is not known is an error, never zero.

1. An open order's hold is not free, nor is what stands apart by a suffix (``USD.F``, ``USD.HOLD``), nor credit.
2. A client that makes private calls is asked, once a round. A broker without one has only its balance to go by.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol, runtime_checkable

from sealane.broker.kraken_assets import USD, USDT
from sealane.errors import Unavailable


@runtime_checkable
class PrivateCalls(Protocol):
    """What asks Kraken in an account's name, such as ``Kraken``."""

    def private(self, method: str, /) -> Any:
        """The call's result; raises as ``Kraken.private`` does."""
        ...


def free_usd(client: object, total: Decimal) -> Decimal:
    """What can be spent now, asked for where ``client`` can ask; else ``total``, the broker's balance.

    Raises as ``Kraken.private`` does, and Unavailable where the answer cannot be read.
    """
    return free_cash(client.private("BalanceEx")) if isinstance(client, PrivateCalls) else total


def free_cash(rows: object) -> Decimal:
    """USD and USDT that no order holds, from BalanceEx's ``{asset: {"balance", "hold_trade", …}}``.

    Raises Unavailable where it is none. An asset that Kraken leaves out was never touched.
    """
    if not isinstance(rows, Mapping):
        raise Unavailable(f"Kraken answered BalanceEx with a {type(rows).__name__}: what is free is not known")
    found = [_free(asset, row) for asset, row in rows.items() if asset in USD or asset in USDT]
    return sum(found, Decimal(0))


def _free(asset: str, row: object) -> Decimal:
    if not isinstance(row, Mapping):
        raise Unavailable(f"Kraken gave {asset} as a {type(row).__name__}: what is free is not known")
    return _amount(asset, row, "balance") - _amount(asset, row, "hold_trade")


def _amount(asset: str, row: Mapping[str, object], name: str) -> Decimal:
    text = row.get(name)
    try:
        amount = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite():
        raise Unavailable(f"Kraken gave {name} of {asset} as {text!r}: what is free is not known")
    return amount
