"""One order through each client, and what its caller is told: placed, not placed, or neither.

The other clients are used as their users do: ccxt with its own retries, krakenex in the usual loop that tries again
after an exception. Neither has a client order id here, because nobody has to give one; a ``userref``, which guards
nothing, tells their orders apart in the book.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.order_plan import PAIR, Planned, fields_of

PLACED, NOT_PLACED, IN_DOUBT = "placed", "not placed", "in doubt"
RETRIES = 3
TIMEOUT_S = 2.0
"""How long the other clients wait for an answer: theirs by default is longer, and would only make the run longer."""


@dataclass(frozen=True)
class Told:
    """What a caller was told; ``why`` is how it became known, or what was said."""

    end: str
    txid: str = ""
    why: str = ""


@dataclass(frozen=True)
class Access:
    """One account of the exchange; ``name`` as Sealane has it."""

    name: str
    url: str
    api_key: str
    api_secret: str


Place = Callable[[Planned], Told]


def sealane_place(access: Access) -> Place:
    """Everything else stands in the environment."""
    from sealane import Kraken
    from sealane.core.order import NotPlaced, Placed
    from sealane.errors import InDoubt, SealaneError

    kraken = Kraken.from_env(access.name)

    def place(order: Planned) -> Told:
        try:
            end = kraken.place_order(
                pair=PAIR,
                side=order.side,
                volume=order.volume,
                order_type=order.order_type,
                price=order.price,
                client_order_id=order.client_order_id,
                deadline_s=order.deadline_s,
            )
        except InDoubt as error:
            return Told(IN_DOUBT, why=str(error))
        except SealaneError as error:
            return Told(NOT_PLACED, why=f"{type(error).__name__}: {error}")
        return told_of(end) if isinstance(end, (Placed, NotPlaced)) else Told(IN_DOUBT, why=repr(end))

    return place


def told_of(end: object) -> Told:
    """An end of Sealane's as what was told."""
    from sealane.core.order import NotPlaced, Placed

    if isinstance(end, Placed):
        return Told(PLACED, end.txid, end.how)
    assert isinstance(end, NotPlaced)
    return Told(NOT_PLACED, why=end.reason)


def ccxt_place(access: Access) -> Place:
    import ccxt

    options = {"maxRetriesOnFailure": RETRIES}
    keys = {"apiKey": access.api_key, "secret": access.api_secret}
    exchange = ccxt.kraken({**keys, "enableRateLimit": False, "timeout": TIMEOUT_S * 1000, "options": options})
    exchange.urls["api"]["private"] = access.url

    def place(order: Planned) -> Told:
        try:
            answer = exchange.privatePostAddOrder({**fields_of(order), "userref": order.userref})
        except ccxt.OperationFailed as error:
            return Told(IN_DOUBT, why=type(error).__name__)
        except ccxt.BaseError as error:
            return Told(NOT_PLACED, why=type(error).__name__)
        return _answered(answer)

    return place


def krakenex_place(access: Access) -> Place:
    import krakenex

    api = krakenex.API(access.api_key, access.api_secret)
    api.uri = access.url

    def place(order: Planned) -> Told:
        failure = ""
        for _ in range(1 + RETRIES):
            try:
                answer = api.query_private("AddOrder", {**fields_of(order), "userref": order.userref}, TIMEOUT_S)
            except Exception as error:
                failure = type(error).__name__
            else:
                return _answered(answer)
        return Told(IN_DOUBT, why=failure)

    return place


def _answered(answer: Any) -> Told:
    if answer["error"]:
        return Told(NOT_PLACED, why=", ".join(answer["error"]))
    return Told(PLACED, answer["result"]["txid"][0], "answered")


CLIENTS: dict[str, Callable[[Access], Place]] = {
    "sealane": sealane_place,
    "ccxt": ccxt_place,
    "krakenex": krakenex_place,
}
