"""The facts of trading as constants: error texts, why an order ended, bounds, the made-up market (`trading.toml`)."""

from decimal import Decimal

from sealane.simulator.facts import FACTS, names, text, whole

# --- error strings -------------------------------------------------------------------------------------------
UNKNOWN_POSITION = text("UNKNOWN_POSITION")
TRIGGER_MET = text("TRIGGER_MET")
UNKNOWN_TRADE = text("UNKNOWN_TRADE")
UNKNOWN_LEDGER = text("UNKNOWN_LEDGER")

# --- why an order ended: `reason` in ClosedOrders --------------------------------------------------------------
USER_REQUESTED = text("USER_REQUESTED")
REPLACED = text("REPLACED")
NOT_AT_ONCE = text("NOT_AT_ONCE")
POST_ONLY_LATE = text("POST_ONLY_LATE")
NO_LIQUIDITY = text("NO_LIQUIDITY")
PRICE_PROTECTION = text("PRICE_PROTECTION")
SELF_TRADE = text("SELF_TRADE")
OUT_OF_FUNDS = text("OUT_OF_FUNDS")
TIMED_OUT = text("TIMED_OUT")
NOTHING_LEFT = text("NOTHING_LEFT")

# --- orders --------------------------------------------------------------------------------------------------
ORDER_TYPES = names("ORDER_TYPES")
TIMES_IN_FORCE = names("TIMES_IN_FORCE")
SELF_TRADE_TYPES = names("SELF_TRADE_TYPES")
ORDER_FLAGS = frozenset(names("ORDER_FLAGS"))
DISPLAY_PARTS_MAX = whole("DISPLAY_PARTS_MAX")
EXPIRE_MIN_S = whole("EXPIRE_MIN_S")
PRICE_PROTECTION_BAND = Decimal(text("PRICE_PROTECTION_BAND"))
BATCH_MIN = whole("BATCH_MIN")
BATCH_MAX = whole("BATCH_MAX")
CANCEL_BATCH_MAX = whole("CANCEL_BATCH_MAX")
CANCEL_AFTER_MAX_S = whole("CANCEL_AFTER_MAX_S")

# --- pages ---------------------------------------------------------------------------------------------------
HISTORY_PAGE = whole("HISTORY_PAGE")
QUERY_IDS_MAX = whole("QUERY_IDS_MAX")
DEPTH_DEFAULT = whole("DEPTH_DEFAULT")
DEPTH_MAX = whole("DEPTH_MAX")
TRADES_MAX = whole("TRADES_MAX")
SPREADS_SHOWN = whole("SPREADS_SHOWN")
OHLC_ROWS = whole("OHLC_ROWS")
OHLC_MINUTES = tuple(int(number) for number in FACTS["OHLC_MINUTES"].value)
VOLUME_DAYS = whole("VOLUME_DAYS")

# --- the made-up market: all chosen --------------------------------------------------------------------------
HALF_SPREAD_TICKS = whole("HALF_SPREAD_TICKS")
LADDER_LEVELS = whole("LADDER_LEVELS")
LEVEL_GAP_TICKS_MAX = whole("LEVEL_GAP_TICKS_MAX")
LEVEL_USD = (int(FACTS["LEVEL_USD"].value[0]), int(FACTS["LEVEL_USD"].value[1]))
LEVEL_GROWTH = whole("LEVEL_GROWTH")
PATH_OCTAVES = whole("PATH_OCTAVES")
PATH_REACH = float(FACTS["PATH_REACH"].value)
TAPE_STEP_S = whole("TAPE_STEP_S")
OHLC_SAMPLES = whole("OHLC_SAMPLES")
