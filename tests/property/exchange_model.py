"""What an exchange should answer: a small model of one key and one account, written without a look at the simulator's.

1. A nonce is accepted where it is above the highest accepted one less the key's window; the highest only rises.
2. Whether a refusal uses up its nonce is a switch. A signature is checked before the nonce, a permission after it.
3. An order is open, canceled or closed (filled). An open one holds what it may spend: a buy its cost and the maker's
   fee, a sell its volume. Only open orders own their `cl_ord_id`.
4. A fill moves the volume one way, cost the other way, and takes the taker's fee in quote currency.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

BASE, QUOTE = "XXBT", "ZUSD"
MAKER_FEE, TAKER_FEE = Decimal("0.0025"), Decimal("0.0040")
ALL_PERMISSIONS = frozenset(
    {"query-funds", "query-open-trades", "query-closed-trades", "modify-trades", "close-trades"}
)
NEEDS: dict[str, frozenset[str]] = {
    "Balance": frozenset({"query-funds"}),
    "BalanceEx": frozenset({"query-funds"}),
    "OpenOrders": frozenset({"query-open-trades"}),
    "ClosedOrders": frozenset({"query-closed-trades"}),
    "QueryOrders": frozenset({"query-open-trades", "query-closed-trades"}),
    "AddOrder": frozenset({"modify-trades"}),
    "CancelOrder": frozenset({"modify-trades", "close-trades"}),
    "GetApiKeyInfo": frozenset(),
}
INVALID_NONCE = "EAPI:Invalid nonce"
INVALID_SIGNATURE = "EAPI:Invalid signature"
PERMISSION_DENIED = "EGeneral:Permission denied"
INSUFFICIENT_FUNDS = "EOrder:Insufficient funds"
UNKNOWN_ORDER = "EOrder:Unknown order"
INVALID_ARGUMENTS = "EGeneral:Invalid arguments"
DUPLICATE = "EOrder:Duplicate cl_ord_id"


@dataclass(frozen=True)
class Rules:
    """What nobody documents, as the simulator's switches of the same names."""

    bad_signature_consumes_nonce: bool = False
    permission_refusal_consumes_nonce: bool = True
    window_allows_replay: bool = True
    key_info_counts_itself: bool = True


@dataclass
class Placed:
    """An order as its owner knows it."""

    txid: str
    side: str
    volume: Decimal
    limit: Decimal | None
    userref: int | None
    cl_ord_id: str | None
    status: str = "open"

    @property
    def hold(self) -> tuple[str, Decimal]:
        """The asset that it holds while it is open, and how much of it."""
        return holding(self.side, self.volume, self.limit or Decimal(0))


def holding(side: str, volume: Decimal, limit: Decimal) -> tuple[str, Decimal]:
    return (BASE, volume) if side == "sell" else (QUOTE, volume * limit * (1 + MAKER_FEE))


@dataclass
class Model:
    """One key, one account."""

    rules: Rules
    balances: dict[str, Decimal]
    highest: int = 0
    window: int = 0
    used: set[int] = field(default_factory=set)
    permissions: frozenset[str] = ALL_PERMISSIONS
    orders: list[Placed] = field(default_factory=list)

    # --- who may call ---

    def set_window(self, window: int) -> None:
        self.window = window
        self.used.clear()

    def nonce_passes(self, nonce: int) -> bool:
        replayed = not self.rules.window_allows_replay and nonce in self.used
        return nonce > self.highest - self.window and not replayed

    def accept(self, nonce: int) -> None:
        self.highest = max(self.highest, nonce)
        if self.window:
            self.used.add(nonce)

    def call(self, method: str, nonce: int) -> str | None:
        """Take up a well-signed call: the error it meets before it is carried out, or None."""
        if not self.nonce_passes(nonce):
            return INVALID_NONCE
        allowed = not NEEDS[method] or bool(NEEDS[method] & self.permissions)
        if allowed or self.rules.permission_refusal_consumes_nonce:
            self.accept(nonce)
        return None if allowed else PERMISSION_DENIED

    def badly_signed(self, nonce: int) -> str:
        if self.rules.bad_signature_consumes_nonce and self.nonce_passes(nonce):
            self.accept(nonce)
        return INVALID_SIGNATURE

    # --- orders and money ---

    def of(self, *statuses: str, userref: int | None = None, cl_ord_id: str | None = None) -> list[Placed]:
        found = [order for order in self.orders if order.status in statuses]
        return [order for order in found if userref in (None, order.userref) and cl_ord_id in (None, order.cl_ord_id)]

    def held(self, asset: str) -> Decimal:
        return sum((amount for order in self.of("open") for name, amount in [order.hold] if name == asset), Decimal(0))

    def available(self, asset: str) -> Decimal:
        return self.balances.get(asset, Decimal(0)) - self.held(asset)

    def refusals(self, asset: str, amount: Decimal, cl_ord_id: str | None, userref: int | None) -> set[str]:
        """Every reason to refuse an order that would spend `amount`; Kraken names one of them."""
        reasons = set()
        if cl_ord_id is not None and userref is not None:
            reasons.add(INVALID_ARGUMENTS)
        if cl_ord_id is not None and self.of("open", cl_ord_id=cl_ord_id):
            reasons.add(DUPLICATE)
        if amount > self.available(asset):
            reasons.add(INSUFFICIENT_FUNDS)
        return reasons

    def cancel(self, orders: Iterable[Placed]) -> int:
        chosen = list(orders)
        for order in chosen:
            order.status = "canceled"
        return len(chosen)

    def fill(self, order: Placed, cost: Decimal, fee: Decimal) -> None:
        sign = 1 if order.side == "buy" else -1
        self.balances[BASE] += sign * order.volume
        self.balances[QUOTE] -= sign * cost + fee
        order.status = "closed"
