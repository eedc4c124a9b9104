"""The private methods' answers, from Kraken's REST reference (Account Data, Trading), as their `result`."""

from shapes.forms import (
    ANY_ID,
    ASSET,
    DECIMAL,
    LEDGER_ID,
    NANOSECONDS,
    NUMBER,
    ORDER_ID,
    PAIR,
    SECONDS,
    SECONDS_OR_0,
    SECONDS_TEXT,
    SIDE,
    TEXT,
    TIME,
    TRADE_ID,
    WHOLE,
    WHOLE_TEXT,
    YES_NO,
    Fields,
    Keyed,
    ListOf,
    Maybe,
    Shape,
    matching,
    one_of,
    or_null,
)

STATUSES = ("pending", "open", "closed", "canceled", "expired")
DESCRIPTION = matching("an order in words", r"(buy|sell) \d+\.\d+ \S+ @ .+")

DESCR = Fields(
    {
        "pair": PAIR,
        "aclass": Maybe(TEXT),
        "type": SIDE,
        "ordertype": TEXT,
        "price": TEXT,  # a number, or a relative one such as +5%
        "price2": TEXT,
        "leverage": TEXT,
        "order": DESCRIPTION,
        "close": TEXT,
    }
)

_ORDER: dict[str, Shape | Maybe] = {
    "refid": or_null(TEXT),
    "userref": or_null(WHOLE),
    "cl_ord_id": Maybe(or_null(TEXT)),
    "status": one_of(*STATUSES),
    "opentm": SECONDS,
    "starttm": SECONDS_OR_0,
    "expiretm": SECONDS_OR_0,
    "descr": DESCR,
    "vol": DECIMAL,
    "vol_exec": DECIMAL,
    "cost": DECIMAL,
    "fee": DECIMAL,
    "price": DECIMAL,
    "stopprice": DECIMAL,
    "limitprice": DECIMAL,
    "trigger": Maybe(one_of("last", "index")),
    "margin": Maybe(YES_NO),
    "misc": TEXT,
    "oflags": TEXT,
    "trades": Maybe(ListOf(TRADE_ID)),
    "sender_sub_id": Maybe(or_null(TEXT)),
    "time_in_force": Maybe(TEXT),
    "amended": Maybe(YES_NO),
}
_ENDED: dict[str, Shape | Maybe] = {"closetm": SECONDS, "reason": or_null(TEXT)}

OPEN_ORDER = Fields(_ORDER)
CLOSED_ORDER = Fields(_ORDER | _ENDED)
ANY_ORDER = Fields(_ORDER | {name: Maybe(shape) for name, shape in _ENDED.items() if isinstance(shape, Shape)})

TRADE = Fields(
    {
        "ordertxid": ORDER_ID,
        "postxid": TEXT,
        "pair": PAIR,
        "aclass": Maybe(TEXT),
        "time": SECONDS,
        "type": SIDE,
        "ordertype": TEXT,
        "price": DECIMAL,
        "cost": DECIMAL,
        "fee": DECIMAL,
        "vol": DECIMAL,
        "margin": DECIMAL,
        "leverage": Maybe(DECIMAL),
        "misc": TEXT,
        "ledgers": Maybe(ListOf(LEDGER_ID)),
        "trade_id": WHOLE,
        "maker": YES_NO,
    }
)

LEDGER = Fields(
    {
        "refid": TEXT,
        "time": SECONDS,
        "type": TEXT,
        "subtype": TEXT,
        "aclass": one_of("currency"),
        "asset": ASSET,
        "amount": DECIMAL,
        "fee": DECIMAL,
        "balance": DECIMAL,
    }
)

FEE = Fields(
    {
        "fee": DECIMAL,
        "minfee": DECIMAL,
        "maxfee": DECIMAL,
        "nextfee": or_null(DECIMAL),
        "nextvolume": or_null(DECIMAL),
        "tiervolume": or_null(DECIMAL),
        "nextfuturesvolume": Maybe(or_null(DECIMAL)),
        "tierfuturesvolume": Maybe(or_null(DECIMAL)),
        "volumeoffset": Maybe(or_null(DECIMAL)),
    }
)

AMEND = Fields(
    {
        "amend_id": ANY_ID,
        "amend_type": one_of("original", "user", "restated"),
        "order_qty": DECIMAL,
        "display_qty": Maybe(DECIMAL),
        "remaining_qty": DECIMAL,
        "limit_price": Maybe(DECIMAL),
        "trigger_price": Maybe(DECIMAL),
        "reason": Maybe(TEXT),
        "post_only": Maybe(YES_NO),
        "timestamp": NANOSECONDS,
    }
)

POSITION = Fields(
    {
        "ordertxid": ORDER_ID,
        "posstatus": one_of("open"),
        "pair": PAIR,
        "time": SECONDS,
        "type": SIDE,
        "ordertype": TEXT,
        "cost": DECIMAL,
        "fee": DECIMAL,
        "vol": DECIMAL,
        "vol_closed": DECIMAL,
        "margin": DECIMAL,
        "value": Maybe(DECIMAL),
        "net": Maybe(TEXT),
        "terms": TEXT,
        "rollovertm": WHOLE_TEXT,
        "misc": TEXT,
        "oflags": TEXT,
        "class": Maybe(TEXT),
    }
)

COUNT = Fields({"count": WHOLE, "pending": Maybe(YES_NO)})
PLACED_DESCR = Fields({"order": DESCRIPTION, "close": Maybe(TEXT)})

PRIVATE_ANSWERS: dict[str, Shape] = {
    "Balance": Keyed(ASSET, DECIMAL),
    "BalanceEx": Keyed(
        ASSET,
        Fields({"balance": DECIMAL, "hold_trade": DECIMAL, "credit": Maybe(DECIMAL), "credit_used": Maybe(DECIMAL)}),
    ),
    "TradeBalance": Fields(
        dict.fromkeys(("eb", "tb", "m", "n", "c", "v", "e", "mf"), DECIMAL)
        | {name: Maybe(DECIMAL) for name in ("uv", "ml", "mfo")}
    ),
    "OpenOrders": Fields({"open": Keyed(ORDER_ID, OPEN_ORDER)}),
    "ClosedOrders": Fields({"closed": Keyed(ORDER_ID, CLOSED_ORDER), "count": Maybe(WHOLE)}),
    "QueryOrders": Keyed(ORDER_ID, ANY_ORDER),
    "OrderAmends": Fields({"count": WHOLE, "amends": ListOf(AMEND)}),
    "TradesHistory": Fields({"trades": Keyed(TRADE_ID, TRADE), "count": Maybe(WHOLE)}),
    "QueryTrades": Keyed(TRADE_ID, TRADE),
    "OpenPositions": Keyed(TRADE_ID, POSITION),
    "Ledgers": Fields({"ledger": Keyed(LEDGER_ID, LEDGER), "count": Maybe(WHOLE)}),
    "QueryLedgers": Keyed(LEDGER_ID, LEDGER),
    "TradeVolume": Fields(
        {
            "currency": ASSET,
            "asset_class": Maybe(TEXT),
            "volume": DECIMAL,
            "fees": Keyed(PAIR, FEE),
            "fees_maker": Keyed(PAIR, FEE),
        }
    ),
    "GetApiKeyInfo": Fields(
        {
            "apiKeyName": TEXT,
            "apiKey": TEXT,
            "nonce": WHOLE_TEXT,
            "nonceWindow": WHOLE,
            "permissions": ListOf(matching("permission", r"[a-z]+(-[a-z]+)+")),
            "iban": Maybe(or_null(TEXT)),
            "validUntil": SECONDS_TEXT,
            "queryFrom": SECONDS_TEXT,
            "queryTo": SECONDS_TEXT,
            "createdTime": SECONDS_TEXT,
            "modifiedTime": SECONDS_TEXT,
            "ipAllowlist": Maybe(ListOf(TEXT)),
            "lastUsed": or_null(SECONDS_TEXT),
        }
    ),
    "GetWebSocketsToken": Fields({"token": TEXT, "expires": NUMBER}),
    "AddOrder": Fields({"descr": PLACED_DESCR, "txid": Maybe(ListOf(ORDER_ID))}),
    "AddOrderBatch": Fields(
        {
            "orders": ListOf(
                Fields({"descr": PLACED_DESCR, "txid": Maybe(ORDER_ID), "error": Maybe(TEXT), "close": Maybe(TEXT)})
            )
        }
    ),
    "AmendOrder": Fields({"amend_id": ANY_ID}),
    "EditOrder": Fields(
        {
            "status": one_of("ok", "err"),
            "txid": ORDER_ID,
            "originaltxid": ORDER_ID,
            "volume": DECIMAL,
            "price": DECIMAL,
            "price2": Maybe(DECIMAL),
            "orders_cancelled": WHOLE,
            "newuserref": Maybe(TEXT),
            "olduserref": Maybe(TEXT),
            "error_message": Maybe(TEXT),
            "descr": PLACED_DESCR,
        }
    ),
    "CancelOrder": COUNT,
    "CancelOrderBatch": COUNT,
    "CancelAll": COUNT,
    "CancelAllOrdersAfter": Fields({"currentTime": TIME, "triggerTime": TIME}),
}
