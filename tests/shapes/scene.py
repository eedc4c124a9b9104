"""An account in which every answer has something in it, and the call that shows each method's answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sealane.simulator import Probe, Simulator
from sealane.simulator.methods import PRIVATE
from sealane.simulator.public import PUBLIC

FAR_BELOW = "25000.1"
"""A price in USD at which a buy of bitcoin rests, whatever the seed and the minute."""
RESTING = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": FAR_BELOW}
MARKET = {"pair": "XBTUSD", "type": "sell", "ordertype": "market", "volume": "0.01"}
Fields = dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """A resting, a cancelled and a filled order of one account; `trade` and `ledger` are "" where they are unknown."""

    probe: Probe
    resting: str
    cancelled: str
    filled: str
    trade: str
    ledger: str


def result(probe: Probe, method: str, **fields: Any) -> Any:
    """A private call's result; an error ends the test."""
    answer = probe.private(method, **fields)
    assert answer["error"] == [], f"{method}: {answer['error']}"
    return answer["result"]


def play(simulator: Simulator, probe: Probe) -> Scene:
    """Rest, cancel and fill. The probe counts its nonces from 1, so any client may take over after it."""
    (resting,) = result(probe, "AddOrder", **RESTING, cl_ord_id="the-resting-one")["txid"]
    (cancelled,) = result(probe, "AddOrder", **RESTING, userref=7)["txid"]
    result(probe, "CancelOrder", txid=cancelled)
    (filled,) = result(probe, "AddOrder", **MARKET)["txid"]
    if "AmendOrder" in PRIVATE:
        result(probe, "AmendOrder", txid=resting, order_qty="0.02")
    trades = result(probe, "QueryOrders", txid=filled, trades="true")[filled]["trades"]
    ledgers = result(probe, "Ledgers")["ledger"] if "Ledgers" in PRIVATE else {}
    simulator.clear_journal()
    return Scene(probe, resting, cancelled, filled, trades[0], next(iter(ledgers), ""))


def another(scene: Scene) -> str:
    """One more resting order, without a client's id: Kraken edits no order that has one. Before any client calls."""
    (txid,) = result(scene.probe, "AddOrder", **RESTING)["txid"]
    return str(txid)


ASKED: dict[str, Callable[[Scene], Fields]] = {
    "Balance": lambda _: {},
    "BalanceEx": lambda _: {},
    "TradeBalance": lambda _: {"asset": "ZUSD"},
    "OpenOrders": lambda _: {},
    "ClosedOrders": lambda _: {"trades": "true"},
    "QueryOrders": lambda at: {"txid": f"{at.resting},{at.filled}", "trades": "true"},
    "OrderAmends": lambda at: {"order_id": at.resting},
    "TradesHistory": lambda _: {"ledgers": "true"},
    "QueryTrades": lambda at: {"txid": at.trade},
    "OpenPositions": lambda _: {},
    "Ledgers": lambda _: {},
    "QueryLedgers": lambda at: {"id": at.ledger},
    "TradeVolume": lambda _: {"pair": "XXBTZUSD"},
    "GetApiKeyInfo": lambda _: {},
    "GetWebSocketsToken": lambda _: {},
    "AddOrder": lambda _: RESTING,
    "AddOrderBatch": lambda _: {"pair": "XBTUSD", "orders": [_without_pair(RESTING), _without_pair(RESTING)]},
    "AmendOrder": lambda at: {"txid": at.resting, "limit_price": "25000.2"},
    "EditOrder": lambda at: {"txid": another(at), "pair": "XBTUSD", "volume": "0.03", "price": "25000.3"},
    "CancelOrder": lambda at: {"txid": at.resting},
    "CancelOrderBatch": lambda at: {"orders": [at.resting]},
    "CancelAll": lambda _: {},
    "CancelAllOrdersAfter": lambda _: {"timeout": 60},
}
"""What each private method is asked."""
AS_JSON = frozenset({"AddOrderBatch", "CancelOrderBatch"})
"""Methods whose lists only JSON can carry."""

ASKED_PUBLICLY: dict[str, Fields] = {
    "Time": {},
    "SystemStatus": {},
    "Assets": {},
    "AssetPairs": {},
    "Ticker": {},
    "Depth": {"pair": "XBTUSD", "count": 10},
    "OHLC": {"pair": "XBTUSD", "interval": 1},
    "Trades": {"pair": "XBTUSD"},
    "Spread": {"pair": "XBTUSD"},
}
"""What each public method is asked."""


def _without_pair(order: Fields) -> Fields:
    return {name: value for name, value in order.items() if name != "pair"}


def unknown(method: str) -> str | None:
    """Why a method is passed over: the simulator does not have it. None where it does."""
    return None if method in PRIVATE or method in PUBLIC else f"the simulator does not know {method}"
