"""The public methods' answers, from Kraken's REST reference (Market Data), as their `result`."""

from shapes.forms import (
    ASSET,
    DECIMAL,
    NANOSECONDS_TEXT,
    NUMBER,
    PAIR,
    SECONDS,
    TEXT,
    TIME,
    WHOLE,
    Fields,
    Keyed,
    ListOf,
    Maybe,
    Row,
    Shape,
    matching,
    one_of,
)

BOTH_SPANS = Row((DECIMAL, DECIMAL))  # today, the last 24 hours
LEVEL = Row((DECIMAL, DECIMAL, SECONDS))  # price, volume, when
TIERS = ListOf(Row((NUMBER, NUMBER)))  # 30-day volume in the fee currency, percent
PAIR_STATUS = one_of("online", "cancel_only", "post_only", "limit_only", "reduce_only")

ASSET_ROW = Fields(
    {
        "aclass": one_of("currency"),
        "altname": TEXT,
        "decimals": WHOLE,
        "display_decimals": WHOLE,
        "collateral_value": Maybe(NUMBER),
        "margin_rate": Maybe(NUMBER),
        "status": one_of("enabled", "deposit_only", "withdrawal_only", "funding_temporarily_disabled"),
    }
)

PAIR_ROW = Fields(
    {
        "altname": TEXT,
        "wsname": Maybe(matching("name with a slash", r".+/.+")),
        "aclass_base": one_of("currency"),
        "base": ASSET,
        "aclass_quote": one_of("currency"),
        "quote": ASSET,
        "lot": one_of("unit"),
        "cost_decimals": WHOLE,
        "pair_decimals": WHOLE,
        "lot_decimals": WHOLE,
        "lot_multiplier": WHOLE,
        "leverage_buy": ListOf(WHOLE),
        "leverage_sell": ListOf(WHOLE),
        "fees": TIERS,
        "fees_maker": Maybe(TIERS),
        "fee_volume_currency": ASSET,
        "margin_call": WHOLE,
        "margin_stop": WHOLE,
        "ordermin": DECIMAL,
        "costmin": DECIMAL,
        "tick_size": DECIMAL,
        "status": PAIR_STATUS,
        "execution_venue": Maybe(TEXT),
        "long_position_limit": Maybe(WHOLE),
        "short_position_limit": Maybe(WHOLE),
    }
)

TICKER_ROW = Fields(
    {
        "a": Row((DECIMAL, DECIMAL, DECIMAL)),  # price, whole lots, lots
        "b": Row((DECIMAL, DECIMAL, DECIMAL)),
        "c": Row((DECIMAL, DECIMAL)),  # price, lots
        "v": BOTH_SPANS,
        "p": BOTH_SPANS,
        "t": Row((WHOLE, WHOLE)),
        "l": BOTH_SPANS,
        "h": BOTH_SPANS,
        "o": DECIMAL,
    }
)

CANDLE = Row((SECONDS, DECIMAL, DECIMAL, DECIMAL, DECIMAL, DECIMAL, DECIMAL, WHOLE))  # time o h l c vwap volume count
TRADE_ROW = Row((DECIMAL, DECIMAL, SECONDS, one_of("b", "s"), one_of("m", "l"), TEXT, WHOLE))
SPREAD_ROW = Row((SECONDS, DECIMAL, DECIMAL))  # time, bid, ask

PUBLIC_ANSWERS: dict[str, Shape] = {
    "Time": Fields(
        {"unixtime": SECONDS, "rfc1123": matching("RFC 1123 date", r"\w{3}, \d\d \w{3} \d\d \d\d:\d\d:\d\d \+0000")}
    ),
    "SystemStatus": Fields({"status": one_of("online", "maintenance", "cancel_only", "post_only"), "timestamp": TIME}),
    "Assets": Keyed(ASSET, ASSET_ROW),
    "AssetPairs": Keyed(PAIR, PAIR_ROW),
    "Ticker": Keyed(PAIR, TICKER_ROW),
    "Depth": Keyed(PAIR, Fields({"asks": ListOf(LEVEL), "bids": ListOf(LEVEL)})),
    "OHLC": Keyed(PAIR, ListOf(CANDLE), {"last": SECONDS}),
    "Trades": Keyed(PAIR, ListOf(TRADE_ROW), {"last": NANOSECONDS_TEXT}),
    "Spread": Keyed(PAIR, ListOf(SPREAD_ROW), {"last": SECONDS}),
}
