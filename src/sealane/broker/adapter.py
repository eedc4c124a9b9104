"""A broker for callers that want dicts and no exceptions: the second module of the documents.

1. Every answer is a dict with ``error``: None, or why the rest is stale or missing. What is not known is None, never 0
   and never an empty list.
2. What the exchange or the network did is in the dict, and a wrong argument too: nothing was sent then. What nobody
   thought of leaves an order in doubt.
3. An order whose end is not known is ``"in_doubt"``, with the id by which it goes on being resolved: it is never
   "failed", because who reads that would send it again.
"""

from __future__ import annotations

import logging
import uuid
from decimal import Decimal
from typing import Any, TypedDict

from sealane.broker.kraken_broker import KrakenBroker
from sealane.broker.port import DetailedBalance
from sealane.client import NotPlaced, Placed
from sealane.errors import InDoubt, SealaneError

_OURS = {"pair": "symbol", "volume": "quantity", "ordertype": "order_type", "type": "side"}

logger = logging.getLogger("sealane.broker")


class AdapterBalance(DetailedBalance):
    """A detailed balance; ``balance`` is ``total`` once more, in ``currency``."""

    balance: Decimal | None
    currency: str


class AdapterPositions(TypedDict):
    """``positions`` as ``get_positions`` gives them, None where they are not known."""

    positions: list[dict[str, Any]] | None
    error: str | None


class AdapterOrder(TypedDict):
    """How an order ended.

    ``status`` is ``"placed"``, ``"not_placed"`` (for certain), ``"in_doubt"`` (being resolved: do not send it again) or
    ``"not_sent"``. ``order_id`` is Kraken's, None unless placed; ``client_order_id`` ours, where one was given out.
    """

    status: str
    order_id: str | None
    client_order_id: str | None
    error: str | None


class KrakenBrokerAdapter:
    """Wraps a ``KrakenBroker``; ``broker`` is the one for MASTER where none is given."""

    def __init__(self, broker: KrakenBroker | None = None) -> None:
        self.broker = broker or KrakenBroker()

    def connect(self) -> bool:
        """See ``KrakenBroker.connect``."""
        return self.broker.connect()

    def get_account_balance(self) -> AdapterBalance:
        """The balance with its error flags."""
        found = self.broker.get_account_balance_detailed()
        return AdapterBalance(**found, balance=found["total"], currency="USD")

    def get_positions(self) -> AdapterPositions:
        """What is held besides USD and USDT."""
        try:
            return AdapterPositions(positions=self.broker.get_positions(), error=None)
        except SealaneError as error:
            return AdapterPositions(positions=None, error=str(error))

    def place_order(
        self,
        symbol: str,
        side: str,
        quantity: Decimal | str,
        order_type: str | None = None,
        price: Decimal | str | None = None,
        **kraken_fields: Any,
    ) -> AdapterOrder:
        """Place one order, once or not at all: ``quantity`` of ``symbol`` (a pair such as ``"XBTUSD"``).

        ``order_type`` is ``"limit"`` where a price is given, else ``"market"``.
        """
        twice = [f"{name} cannot be given: use {ours}" for name, ours in _OURS.items() if name in kraken_fields]
        if twice:
            return _not_sent("; ".join(twice))
        kind = order_type or ("market" if price is None else "limit")
        order = {"pair": symbol, "side": side, "volume": quantity, "order_type": kind, "price": price, **kraken_fields}
        name = str(order.get("client_order_id") or uuid.uuid4())
        try:
            return _ended(self.broker.place_order(**order | {"client_order_id": name}))
        except InDoubt as error:
            return _in_doubt(str(error), error.client_order_id or name)
        except SealaneError as error:
            return _not_sent(str(error))
        except Exception as error:  # it may be on its way: "not sent" would have it sent again
            logger.exception("order %s failed unexpectedly", name)
            return _in_doubt(f"{type(error).__name__}: {error}", name)

    def is_available(self) -> bool:
        """See ``KrakenBroker.is_available``."""
        return self.broker.is_available()

    def get_error_count(self) -> int:
        """See ``KrakenBroker.get_error_count``."""
        return self.broker.get_error_count()

    def close(self) -> None:
        """Close the broker."""
        self.broker.close()


def _not_sent(why: str) -> AdapterOrder:
    return AdapterOrder(status="not_sent", order_id=None, client_order_id=None, error=why)


def _in_doubt(why: str, client_order_id: str) -> AdapterOrder:
    return AdapterOrder(status="in_doubt", order_id=None, client_order_id=client_order_id, error=why)


def _ended(end: Placed | NotPlaced) -> AdapterOrder:
    if isinstance(end, Placed):
        return AdapterOrder(status="placed", order_id=end.txid, client_order_id=end.client_order_id, error=None)
    told = f"{end.reason}: {end.kraken_error}" if end.kraken_error else end.reason
    return AdapterOrder(status="not_placed", order_id=None, client_order_id=end.client_order_id or None, error=told)
