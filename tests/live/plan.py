"""What the live suite asks, and what it takes Kraken to answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Fields = dict[str, Any]
Answers = Mapping[str, Any]
"""The answers so far by method; those that were refused are missing."""

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.0001", "price": "25000.1"}
VALIDATED = ORDER | {"validate": True}

PUBLIC: dict[str, Fields] = {
    "Time": {},
    "SystemStatus": {},
    "Assets": {},
    "AssetPairs": {},
    "Ticker": {"pair": "XBTUSD"},
    "Depth": {"pair": "XBTUSD", "count": 10},
    "OHLC": {"pair": "XBTUSD", "interval": 60},
    "Trades": {"pair": "XBTUSD", "count": 10},
    "Spread": {"pair": "XBTUSD"},
}


def first(answers: Answers, method: str, *path: str) -> str | None:
    """The first name in a map of an earlier answer; None where there is none."""
    found: Any = answers.get(method, {})
    for name in path:
        found = found.get(name, {}) if isinstance(found, dict) else {}
    return next(iter(found), None) if isinstance(found, dict) else None


def _with(name: str, value: str | None, **more: Any) -> Fields | None:
    return None if value is None else {name: value, **more}


PRIVATE: dict[str, Callable[[Answers], Fields | None]] = {
    "GetApiKeyInfo": lambda _: {},
    "Balance": lambda _: {},
    "BalanceEx": lambda _: {},
    "TradeBalance": lambda _: {"asset": "ZUSD"},
    "OpenOrders": lambda _: {"trades": True},
    "ClosedOrders": lambda _: {"trades": True},
    "QueryOrders": lambda seen: _with(
        "txid", first(seen, "OpenOrders", "open") or first(seen, "ClosedOrders", "closed"), trades=True
    ),
    "OrderAmends": lambda seen: _with("order_id", first(seen, "OpenOrders", "open")),
    "TradesHistory": lambda _: {"ledgers": True},
    "QueryTrades": lambda seen: _with("txid", first(seen, "TradesHistory", "trades")),
    "OpenPositions": lambda _: {},
    "Ledgers": lambda _: {},
    "QueryLedgers": lambda seen: _with("id", first(seen, "Ledgers", "ledger")),
    "TradeVolume": lambda _: {"pair": "XXBTZUSD"},
    "AddOrder": lambda _: VALIDATED,
}
"""What each private method is asked, in this order; None where earlier answers gave no id to ask for."""


@dataclass(frozen=True)
class Refusal:
    """A question to which Kraken is expected to say no, in these words."""

    name: str
    method: str
    fields: Fields
    error: str
    public: bool = field(default=False)


REFUSALS = (
    Refusal("a pair that does not exist", "Ticker", {"pair": "NOSUCHPAIR"}, "EQuery:Unknown asset pair", True),
    Refusal("an asset that does not exist", "Assets", {"asset": "NOSUCHASSET"}, "EQuery:Unknown asset", True),
    Refusal("a method that does not exist", "NoSuchMethod", {}, "EGeneral:Unknown method", True),
    Refusal("an order of an unknown pair", "AddOrder", VALIDATED | {"pair": "NOSUCHPAIR"}, "EQuery:Unknown asset pair"),
    Refusal(
        "an order of an unknown type",
        "AddOrder",
        VALIDATED | {"ordertype": "nosuchtype"},
        "EGeneral:Invalid arguments:ordertype",
    ),
    Refusal(
        "an order with both references",
        "AddOrder",
        VALIDATED | {"userref": 1, "cl_ord_id": "live-suite"},
        "EGeneral:Invalid arguments",
    ),
    Refusal(
        "an order below the minimum", "AddOrder", VALIDATED | {"volume": "0.00000001"}, "EOrder:Order minimum not met"
    ),
    Refusal(
        "a price with too many digits",
        "AddOrder",
        VALIDATED | {"price": "25000.123456"},
        "EOrder:Invalid price:XBTUSD price can only be specified up to 1 decimals.",
    ),
    Refusal("an order beyond the funds", "AddOrder", VALIDATED | {"volume": "100000"}, "EOrder:Insufficient funds"),
    Refusal("a query for no order", "QueryOrders", {}, "EGeneral:Invalid arguments"),
    Refusal("a query for an unknown order", "QueryOrders", {"txid": "OAAAAA-AAAAA-AAAAAA"}, "EOrder:Unknown order"),
)

PERMISSIONS = frozenset(
    {
        "query-funds",
        "add-funds",
        "withdraw-funds",
        "earn-funds",
        "query-open-trades",
        "query-closed-trades",
        "modify-trades",
        "close-trades",
        "query-ledger",
        "export-data",
        "create-ws-token",
    }
)
"""The names that Kraken documents."""

COMPARED: dict[str, tuple[str, ...]] = {
    "Assets": ("altname", "aclass", "decimals", "display_decimals", "status"),
    "AssetPairs": (
        *("altname", "wsname", "base", "quote", "status"),
        *("cost_decimals", "pair_decimals", "lot_decimals", "lot_multiplier"),
        *("ordermin", "costmin", "tick_size"),
        *("fees", "fees_maker", "fee_volume_currency", "margin_call", "margin_stop"),
    ),
}
"""Public fields of the simulator's own rows that are compared with Kraken's."""
