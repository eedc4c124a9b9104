"""What is known about Kraken's answers, and what is not.

Every error string and number that the simulator shows stands here, once, with its source and how sure it is:

- `docs`: Kraken's own reference or support pages.
- `seen`: read in the source or the issues of several clients that live off the real exchange.
- `chosen`: nobody documents it. The simulator had to pick something; where the choice can matter to a client it is
  a field of `Switches`, so that a test can run under both answers.
"""

from dataclasses import dataclass
from decimal import Decimal

# --- error strings -------------------------------------------------------------------------------------------
INVALID_KEY = "EAPI:Invalid key"  # docs
INVALID_SIGNATURE = "EAPI:Invalid signature"  # docs
INVALID_NONCE = "EAPI:Invalid nonce"  # docs
PERMISSION_DENIED = "EGeneral:Permission denied"  # docs
UNKNOWN_METHOD = "EGeneral:Unknown method"  # docs
INVALID_ARGUMENTS = "EGeneral:Invalid arguments"  # docs; an argument's name follows after a colon
INTERNAL_ERROR = "EGeneral:Internal error"  # docs
DEADLINE_ELAPSED = "EService:Deadline elapsed"  # docs
UNKNOWN_ASSET = "EQuery:Unknown asset"  # docs
UNKNOWN_PAIR = "EQuery:Unknown asset pair"  # docs
UNKNOWN_ORDER = "EOrder:Unknown order"  # docs
INSUFFICIENT_FUNDS = "EOrder:Insufficient funds"  # docs
ORDER_MINIMUM = "EOrder:Order minimum not met"  # docs
COST_MINIMUM = "EOrder:Cost minimum not met"  # docs
TICK_SIZE = "EOrder:Tick size check failed"  # docs
INVALID_PRICE = "EOrder:Invalid price"  # seen; a sentence that names the pair and its decimals follows
POST_ONLY = "EOrder:Post only order"  # docs
REDUCE_ONLY = "EOrder:Reduce only:No position exists"  # seen

# --- numbers -------------------------------------------------------------------------------------------------
NONCE_LIMIT = 2**63  # docs: the prose says unsigned 64 bits, the schema int64; the smaller one is enforced
QUERY_ORDERS_MAX = 50  # docs
CLOSED_ORDERS_PAGE = 50  # docs
DEADLINE_MAX_S = 60  # docs: now + 2 s to now + 60 s; a deadline nearer than 2 s is let through (chosen)
TOKEN_EXPIRES_S = 900  # docs
CLIENT_ID_CHARS = 18  # docs: free text up to 18 ASCII characters, or a UUID with or without dashes
TAKER_FEE = Decimal("0.0040")  # docs: lowest volume tier
MAKER_FEE = Decimal("0.0025")  # docs
TAKER_TIERS = ((0, 0.4), (10000, 0.35), (50000, 0.24), (100000, 0.22), (250000, 0.2), (500000, 0.18))  # docs
MAKER_TIERS = ((0, 0.25), (10000, 0.2), (50000, 0.14), (100000, 0.12), (250000, 0.08), (500000, 0.06))  # docs

# --- permissions ---------------------------------------------------------------------------------------------
ALL_PERMISSIONS = (  # docs: the schema of GetApiKeyInfo
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
)
DEFAULT_PERMISSIONS = tuple(name for name in ALL_PERMISSIONS if name != "withdraw-funds")

# docs: every private method that Kraken has. Fault rules may name any of them; those without code are unknown methods.
_NAMES = """
    Balance BalanceEx CreditLines TradeBalance OpenOrders ClosedOrders QueryOrders OrderAmends TradesHistory
    QueryTrades OpenPositions Ledgers QueryLedgers TradeVolume AddExport ExportStatus RetrieveExport RemoveExport
    GetApiKeyInfo AddOrder AddOrderBatch AmendOrder EditOrder CancelOrder CancelOrderBatch CancelAll
    CancelAllOrdersAfter GetWebSocketsToken DepositMethods DepositAddresses DepositStatus WithdrawMethods
    WithdrawAddresses WithdrawInfo Withdraw WithdrawStatus WithdrawCancel WalletTransfer Earn/Allocate
    Earn/Deallocate Earn/AllocateStatus Earn/DeallocateStatus Earn/Strategies Earn/Allocations CreateSubaccount
    AccountTransfer
"""
PRIVATE_METHODS = frozenset(_NAMES.split())


@dataclass(frozen=True)
class Switches:
    """The answers that nobody documents, each settable.

    The defaults are what is likelier, or where both are as likely, what is harder on a client.

    - `bad_signature_consumes_nonce`: a call refused for its signature has used up its nonce.
    - `otp_refusal_consumes_nonce`, `permission_refusal_consumes_nonce`: the same for those refusals.
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
    """

    bad_signature_consumes_nonce: bool = False
    otp_refusal_consumes_nonce: bool = True
    permission_refusal_consumes_nonce: bool = True
    window_allows_replay: bool = True
    key_info_counts_itself: bool = True
    empty_balance_has_result: bool = True
    empty_trade_balance_fails: bool = False
    otp_error: str = INVALID_SIGNATURE
    duplicate_client_id_error: str = "EOrder:Duplicate cl_ord_id"
    met_trigger_goes_off: bool = True
    cancel_batch_of_unknown_fails: bool = True
    edit_volume_counts_filled: bool = True


class Refused(Exception):
    """Kraken says no: carries the one error string of the envelope."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


def bad_argument(name: str) -> Refused:
    """The refusal of one argument: `EGeneral:Invalid arguments:<name>` (docs, with the name as seen)."""
    return Refused(f"{INVALID_ARGUMENTS}:{name}")
