"""What an account holds, and how sure that is: unknown is never zero, and old always says so.

1. Amounts are Decimal, by Kraken's own names. An asset that Kraken leaves out was never touched.
2. ``"result": {}`` is an empty account. No result at all is not: BalanceEx is asked too, and where that has none
   either, the balance is unknown unless TradeBalance shows that all of it is worth zero.
3. Where a fresh balance cannot be had, the last known one is given, marked stale, with the reason and its age. Where
   none is known, the reason is raised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from sealane.core.call import private_call
from sealane.core.effects import Caller, Flow, Now
from sealane.core.nonce import NS_PER_S
from sealane.errors import Fenced, NotDurable, Quarantined, Refused, Unavailable


@dataclass(frozen=True)
class Balance:
    """An account's balance at one moment.

    Attributes:
        amounts: by Kraken's asset names, such as ``{"ZUSD": Decimal("12.5")}``; holds on open orders included.
        as_of: Unix time in seconds just before Kraken was asked for these amounts.
        age_s: seconds from ``as_of`` to the moment this object was given out.
        stale: Kraken could not be asked now; these are the last known amounts.
        error: why it is stale, None where it is not.
    """

    amounts: Mapping[str, Decimal]
    as_of: float
    age_s: float = 0.0
    stale: bool = False
    error: str | None = None


def balance_call(caller: Caller, known: Balance | None) -> Flow[Balance]:
    """Ask for the balance; ``known`` is the last one that was had. Raises what ``private_call`` does without it."""
    asked_ns = yield Now()
    try:
        amounts = yield from _amounts(caller)
    except (Refused, Unavailable, Quarantined, NotDurable, Fenced) as error:
        if known is None:
            raise
        age_s = max(0.0, (yield Now()) / NS_PER_S - known.as_of)
        return replace(known, age_s=age_s, stale=True, error=str(error))
    return Balance(amounts, asked_ns / NS_PER_S, max(0, (yield Now()) - asked_ns) / NS_PER_S)


def _amounts(caller: Caller) -> Flow[dict[str, Decimal]]:
    result = yield from private_call(caller, "Balance")
    if result is None:
        detailed = yield from private_call(caller, "BalanceEx")
        if detailed is None:
            return (yield from _shown_to_be_empty(caller))
        result = {asset: _mapping(row).get("balance") for asset, row in _mapping(detailed).items()}
    return {asset: _amount(asset, text) for asset, text in _mapping(result).items()}


def _shown_to_be_empty(caller: Caller) -> Flow[dict[str, Decimal]]:
    """Neither method had a result: only an equivalent balance of zero, over all currencies, shows an empty account."""
    trade = yield from private_call(caller, "TradeBalance")
    if trade is None or _amount("eb", _mapping(trade).get("eb")) != 0:
        raise Unavailable("Kraken answered Balance and BalanceEx without a result: unknown, which is not zero")
    return {}


def _mapping(result: object) -> Mapping[str, object]:
    if not isinstance(result, dict):
        raise Unavailable(f"Kraken answered with a {type(result).__name__}: the balance is unknown, which is not zero")
    return result


def _amount(asset: str, text: object) -> Decimal:
    try:
        amount = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite():
        raise Unavailable(f"Kraken gave the balance of {asset} as {text!r}: it is unknown, which is not zero")
    return amount
