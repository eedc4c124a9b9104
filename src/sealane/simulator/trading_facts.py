"""What is known of Kraken's trading, and what was chosen: error strings, reasons, numbers of the order book.

The words `docs`, `seen` and `chosen` mean what they mean in `sealane.simulator.facts`.
"""

from decimal import Decimal

# --- error strings -------------------------------------------------------------------------------------------
UNKNOWN_POSITION = "EOrder:Unknown position"  # docs; that settle-position without a position says it is chosen
TRIGGER_MET = "EOrder:Invalid price:Trigger price is met already"  # chosen: only by switch
UNKNOWN_TRADE = "EQuery:Unknown trade"  # chosen
UNKNOWN_LEDGER = "EQuery:Unknown ledger"  # chosen

# --- why an order ended: `reason` in ClosedOrders --------------------------------------------------------------
USER_REQUESTED = "User requested"  # docs
REPLACED = "Order replaced"  # seen
NOT_AT_ONCE = "Order would not fill at once"  # chosen: IOC and FOK
POST_ONLY_LATE = "Post only order"  # chosen: a post-only order that starts later and would take
NO_LIQUIDITY = "Insufficient liquidity"  # chosen
PRICE_PROTECTION = "Market price protection"  # chosen
SELF_TRADE = "Self trade prevention"  # chosen
OUT_OF_FUNDS = "Insufficient funds"  # chosen: a triggered or scheduled order that can no longer be paid
TIMED_OUT = "Cancel all orders after timeout"  # chosen
NOTHING_LEFT = "Amended below the filled quantity"  # chosen

# --- orders --------------------------------------------------------------------------------------------------
ORDER_TYPES = (  # docs
    "market",
    "limit",
    "iceberg",
    "stop-loss",
    "take-profit",
    "stop-loss-limit",
    "take-profit-limit",
    "trailing-stop",
    "trailing-stop-limit",
    "settle-position",
)
TIMES_IN_FORCE = ("GTC", "IOC", "GTD", "FOK")  # docs
SELF_TRADE_TYPES = ("cancel-newest", "cancel-oldest", "cancel-both")  # docs
ORDER_FLAGS = frozenset({"post", "fcib", "fciq", "nompp", "viqc"})  # docs
DISPLAY_PARTS_MAX = 15  # docs: an iceberg shows at least 1/15 of its volume
EXPIRE_MIN_S = 5  # docs: the least `+n` of expiretm
PRICE_PROTECTION_BAND = Decimal("0.01")  # chosen: a market order does not take beyond 1 % from the best price
BATCH_MIN, BATCH_MAX = 2, 15  # docs
CANCEL_BATCH_MAX = 50  # docs
CANCEL_AFTER_MAX_S = 86_400  # docs: below one day

# --- pages ---------------------------------------------------------------------------------------------------
HISTORY_PAGE = 50  # docs: TradesHistory, Ledgers
QUERY_IDS_MAX = 20  # docs: QueryTrades, QueryLedgers
DEPTH_DEFAULT, DEPTH_MAX = 100, 500  # docs
TRADES_MAX = 1_000  # docs
SPREADS_SHOWN = 200  # chosen
OHLC_ROWS = 720  # docs
OHLC_MINUTES = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)  # docs
VOLUME_DAYS = 30  # docs: TradeVolume looks back 30 days

# --- the made-up market: all chosen --------------------------------------------------------------------------
HALF_SPREAD_TICKS = 5
LADDER_LEVELS = 500
LEVEL_GAP_TICKS_MAX = 3
LEVEL_USD = (30_000, 60_000)  # worth of the best level, about
LEVEL_GROWTH = 40  # a level is larger by one part in so many than the one before
PATH_OCTAVES = 18  # waves of 1 s to 2**17 s (36 hours)
PATH_REACH = 0.5  # a price stays within this part of where it started
TAPE_STEP_S = 5  # one made-up trade in so many seconds
OHLC_SAMPLES = 6
