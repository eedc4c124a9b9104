"""What is known about Kraken's answers, and what is not.

Every error text, number, permission and limit that the simulator shows stands once, in a data file of this package
(`errors.toml`, `numbers.toml`, `limits.toml`, `names.toml`, `trading.toml`), with the document it is from, when that
was read and how sure it is; `reading.py` says how. Here they become constants, those of trading in `trading.py`. Where
nobody knows and the choice can matter to a client, it is a field of `Switches`, so that a test can run under both
answers.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sealane.simulator.facts.reading import read_all

FACTS = read_all()


def text(name: str) -> str:
    """The text of a fact."""
    return str(FACTS[name].value)


def whole(name: str) -> int:
    """The whole number of a fact."""
    return int(FACTS[name].value)


def names(name: str) -> tuple[str, ...]:
    """The names that a fact lists."""
    return tuple(FACTS[name].value)


def _rows(name: str) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(row) for row in FACTS[name].value)


# --- error texts ---------------------------------------------------------------------------------------------
INVALID_KEY = text("INVALID_KEY")
INVALID_SIGNATURE = text("INVALID_SIGNATURE")
INVALID_NONCE = text("INVALID_NONCE")
PERMISSION_DENIED = text("PERMISSION_DENIED")
UNKNOWN_METHOD = text("UNKNOWN_METHOD")
INVALID_ARGUMENTS = text("INVALID_ARGUMENTS")  # an argument's name follows after a colon
INTERNAL_ERROR = text("INTERNAL_ERROR")
DEADLINE_ELAPSED = text("DEADLINE_ELAPSED")
UNKNOWN_ASSET = text("UNKNOWN_ASSET")
UNKNOWN_PAIR = text("UNKNOWN_PAIR")
UNKNOWN_ORDER = text("UNKNOWN_ORDER")
INSUFFICIENT_FUNDS = text("INSUFFICIENT_FUNDS")
ORDER_MINIMUM = text("ORDER_MINIMUM")
COST_MINIMUM = text("COST_MINIMUM")
TICK_SIZE = text("TICK_SIZE")
INVALID_PRICE = text("INVALID_PRICE")  # a sentence that names the pair and its decimals follows
POST_ONLY = text("POST_ONLY")
REDUCE_ONLY = text("REDUCE_ONLY")
DUPLICATE_CLIENT_ID = text("DUPLICATE_CLIENT_ID")
REST_RATE_LIMIT = text("REST_RATE_LIMIT")
TRADING_RATE_LIMIT = text("TRADING_RATE_LIMIT")
ORDERS_LIMIT = text("ORDERS_LIMIT")
THROTTLED = text("THROTTLED")  # with {until}
LOCKOUT = text("LOCKOUT")
UNAVAILABLE = text("UNAVAILABLE")
MARKET_IN_MODE = text("MARKET_IN_MODE")  # with {mode}
SIMULATED_WARNING = text("SIMULATED_WARNING")

# --- numbers -------------------------------------------------------------------------------------------------
NONCE_LIMIT = whole("NONCE_LIMIT")
QUERY_ORDERS_MAX = whole("QUERY_ORDERS_MAX")
CLOSED_ORDERS_PAGE = whole("CLOSED_ORDERS_PAGE")
DEADLINE_MAX_S = whole("DEADLINE_MAX_S")
TOKEN_EXPIRES_S = whole("TOKEN_EXPIRES_S")
CLIENT_ID_CHARS = whole("CLIENT_ID_CHARS")
TAKER_FEE = Decimal(text("TAKER_FEE"))
MAKER_FEE = Decimal(text("MAKER_FEE"))
TAKER_TIERS = _rows("TAKER_TIERS")
MAKER_TIERS = _rows("MAKER_TIERS")

# --- names ---------------------------------------------------------------------------------------------------
ALL_PERMISSIONS = names("ALL_PERMISSIONS")
NOT_GIVEN = names("NOT_GIVEN")
DEFAULT_PERMISSIONS = tuple(name for name in ALL_PERMISSIONS if name not in NOT_GIVEN)
# Fault rules may name any of them; those without code are unknown methods.
PRIVATE_METHODS = frozenset(names("PRIVATE_METHODS"))
WRITES = frozenset(names("WRITES"))
SYSTEM_STATES = names("SYSTEM_STATES")
PAIR_STATES = names("PAIR_STATES")


# --- limits --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Tier:
    """What a verification tier allows: how full its counters may be, points a second, open orders per pair."""

    rest_maximum: Decimal
    rest_drain_per_s: Decimal
    trading_maximum: Decimal
    trading_drain_per_s: Decimal
    open_orders: int


def _tier(name: str) -> Tier:
    row = FACTS[name].value
    decimals = {field: Decimal(value) for field, value in row.items() if field != "open_orders"}
    return Tier(**decimals, open_orders=row["open_orders"])


STARTER = _tier("STARTER")
INTERMEDIATE = _tier("INTERMEDIATE")
PRO = _tier("PRO")
CALL_COST = whole("CALL_COST")
FREE_CALLS = frozenset(names("FREE_CALLS"))
HISTORY_CALLS = frozenset(names("HISTORY_CALLS"))
HISTORY_COST = whole("HISTORY_COST")
OTHER_TRADING_CALLS = frozenset(names("OTHER_TRADING_CALLS"))
TRADING_FIXED = {what: Decimal(points) for what, points in FACTS["TRADING_FIXED"].value.items()}
AGE_PENALTIES: dict[str, list[list[int]]] = FACTS["AGE_PENALTIES"].value
LOCKOUT_STRIKES = whole("LOCKOUT_STRIKES")
LOCKOUT_WINDOW_S = whole("LOCKOUT_WINDOW_S")
LOCKOUT_S = whole("LOCKOUT_S")
THROTTLE_S = whole("THROTTLE_S")


@dataclass(frozen=True)
class Switches:
    """The answers that nobody documents, each settable.

    The defaults are what is likelier, or where both are as likely, what is harder on a client.

    - `bad_signature_consumes_nonce`: a call refused for its signature has used up its nonce.
    - `otp_refusal_consumes_nonce`, `permission_refusal_consumes_nonce`, `rate_refusal_consumes_nonce`: the same for
      those refusals.
    - `window_allows_replay`: with a nonce window above 0 the same nonce is accepted twice.
    - `key_info_counts_itself`: the `nonce` of GetApiKeyInfo includes the call that asks.
    - `empty_balance_has_result`: an account without balances answers `"result": {}`; else `result` is missing.
    - `empty_trade_balance_fails`: TradeBalance of an account without balances is an internal error.
    - `otp_error`: the error string for a missing or wrong `otp`.
    - `duplicate_client_id_error`: the error string for a `cl_ord_id` that an open order already has.
    - `met_trigger_goes_off`: an order whose trigger is met when it arrives goes off at once; else it is refused.
    - `cancel_batch_of_unknown_fails`: a CancelOrderBatch that finds no order is refused; else its count is 0.
    - `edit_volume_counts_filled`: the volume of EditOrder counts what the old order was filled with; else it is the new
      order's own.
    - `history_cost`: what Ledgers, TradesHistory and ClosedOrders add to the REST counter.
    - `other_trading_call_cost`: what amend, edit, batch and cancel-all calls add to the REST counter.
    - `cancel_all_cost`: what CancelAll adds to a pair's trading counter for each order of the pair.
    - `refused_calls_count`: a call refused by a counter is charged nevertheless.
    - `cancel_refused_over_limit`: a cancel for which the trading counter has no room is refused, as an add is.
    - `validate_counts`: AddOrder with `validate` is charged and checked like the real one.
    - `throttle_above`: so many private calls of one key may be under way at once, more are throttled; 0 is no limit.
    - `throttle_s`: how far ahead the time in the throttling error lies.
    - `lockout_after_rate`: so many refusals by the REST counter within `lockout_window_s` lock the key out; 0: never.
    - `lockout_after_nonces`: the same for invalid nonces.
    - `lockout_window_s`, `lockout_s`: the window of the two, and how long the key is locked out.
    - `lockout_before_nonce`: a key that is locked out or throttled is told so before its nonce is judged; else after.
    - `auth_refusal_costs`: a call refused for its signature or nonce is charged to the REST counter, if there is room.
    - `market_counts_as_open`: a market order counts as one more open order of its pair while it is checked.
    - `maintenance_refuses_reads`: in maintenance all private calls are refused; else only those that change something.
    - `limit_only_error`, `reduce_only_error`: the error strings for what those states of a pair do not let through.
    - `state_judges_changes`: a state judges an amend or edit as the order that comes of it; else lets it through.
    """

    bad_signature_consumes_nonce: bool = False
    otp_refusal_consumes_nonce: bool = True
    permission_refusal_consumes_nonce: bool = True
    rate_refusal_consumes_nonce: bool = True
    window_allows_replay: bool = True
    key_info_counts_itself: bool = True
    empty_balance_has_result: bool = True
    empty_trade_balance_fails: bool = False
    otp_error: str = INVALID_SIGNATURE
    duplicate_client_id_error: str = DUPLICATE_CLIENT_ID
    met_trigger_goes_off: bool = True
    cancel_batch_of_unknown_fails: bool = True
    edit_volume_counts_filled: bool = True
    history_cost: int = HISTORY_COST
    other_trading_call_cost: int = CALL_COST
    cancel_all_cost: int = 0
    refused_calls_count: bool = False
    cancel_refused_over_limit: bool = True
    validate_counts: bool = True
    throttle_above: int = 0
    throttle_s: int = THROTTLE_S
    lockout_after_rate: int = LOCKOUT_STRIKES
    lockout_after_nonces: int = 0
    lockout_window_s: float = LOCKOUT_WINDOW_S
    lockout_s: float = LOCKOUT_S
    lockout_before_nonce: bool = True
    auth_refusal_costs: bool = False
    market_counts_as_open: bool = True
    maintenance_refuses_reads: bool = True
    limit_only_error: str = MARKET_IN_MODE.format(mode="limit_only")
    reduce_only_error: str = MARKET_IN_MODE.format(mode="reduce_only")
    state_judges_changes: bool = True


class Refused(Exception):
    """Kraken says no: carries the one error string of the envelope."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


def bad_argument(name: str) -> Refused:
    """The refusal of one argument: `EGeneral:Invalid arguments:<name>`."""
    return Refused(f"{INVALID_ARGUMENTS}:{name}")
