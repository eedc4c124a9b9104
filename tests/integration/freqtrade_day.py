"""A day's work of freqtrade's own exchange class; run by freqtrade's interpreter, with its configuration on stdin.

Prints one JSON document on its last line.
"""

import json
import sys

from freqtrade.enums import CandleType, RunMode
from freqtrade.exceptions import InsufficientFundsError
from freqtrade.exchange import Exchange
from freqtrade.resolvers import ExchangeResolver

PAIR = "BTC/USD"
LIMIT = {"pair": PAIR, "ordertype": "limit", "side": "buy", "rate": 25000.1, "leverage": 1.0}


def config_of(page):
    live = {"dry_run": False, "runmode": RunMode.LIVE, "trading_mode": "spot", "margin_mode": "", "timeframe": "5m"}
    prices = {"entry_pricing": {"price_side": "same", "use_order_book": False}, "exit_pricing": {"price_side": "same"}}
    rest = {"candle_type_def": CandleType.SPOT, "stake_currency": "USD", "stoploss": -0.1, "minimal_roi": {}}
    return {**live, **prices, **rest, "exchange": {**page["exchange"], "pair_whitelist": [PAIR]}}


def work(exchange):
    placed = exchange.create_order(**LIMIT, amount=0.01)
    seen = exchange.fetch_order(placed["id"], PAIR)
    exchange.cancel_order(placed["id"], PAIR)
    try:
        exchange.create_order(**LIMIT, amount=100)
        error = "nothing"
    except InsufficientFundsError as raised:
        error = type(raised).__name__
    stop = exchange.create_stoploss(
        pair=PAIR, amount=0.01, stop_price=20000, order_types={"stoploss": "market"}, side="sell", leverage=1.0
    )
    stopped = exchange.fetch_stoploss_order(stop["id"], PAIR)
    exchange.cancel_stoploss_order(stop["id"], PAIR)
    return {
        "btc": exchange.get_balances()["BTC"]["total"],
        "seen": seen["status"],
        "stop": stopped["status"],
        "tooMuch": error,
    }


made = ExchangeResolver.load_exchange(config_of(json.load(sys.stdin)), validate=True, load_leverage_tiers=False)
retried = [
    name
    for name in ("create_order", "cancel_order", "fetch_order", "get_balances")
    if hasattr(getattr(Exchange, name), "__wrapped__")
]
print(json.dumps(work(made) | {"retried": retried, "timeout": made._api.timeout}))
made.close()
