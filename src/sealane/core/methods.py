"""Kraken's private methods: what each costs, whether it writes, and which permission it asks.

Source: Kraken's Spot REST reference and its page on rate limits. A *write* may change money, orders or the
account; it is never repeated blindly. ``cost`` is what the method adds to the key's REST counter.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """One row of the table; ``permission`` is Kraken's name for it, or "" where none is needed."""

    name: str
    cost: int
    write: bool
    permission: str


HISTORY_COST = 4
"""What HISTORY costs: Kraken's reference says 2, a support page of August 2026 says 4, and the dearer one is safe."""

_READS = {
    "query-funds": "Balance BalanceEx CreditLines TradeBalance TradeVolume",
    "query-open-trades": "OpenOrders OpenPositions",
    "query-closed-trades": "QueryOrders OrderAmends QueryTrades",
    "query-ledger": "QueryLedgers",
    "export-data": "ExportStatus RetrieveExport",
    "create-ws-token": "GetWebSocketsToken",
    "add-funds": "DepositMethods DepositAddresses DepositStatus",
    "withdraw-funds": "WithdrawMethods WithdrawAddresses WithdrawInfo WithdrawStatus",
    "earn-funds": "Earn/AllocateStatus Earn/DeallocateStatus Earn/Strategies Earn/Allocations",
    "": "GetApiKeyInfo",
}
_HISTORY = {"query-closed-trades": "ClosedOrders TradesHistory", "query-ledger": "Ledgers"}
_FREE_WRITES = {"modify-trades": "AddOrder CancelOrder"}
_WRITES = {
    "modify-trades": "AddOrderBatch AmendOrder EditOrder CancelOrderBatch CancelAll CancelAllOrdersAfter",
    "export-data": "AddExport RemoveExport",
    "withdraw-funds": "Withdraw WithdrawCancel WalletTransfer",
    "earn-funds": "Earn/Allocate Earn/Deallocate",
    "account-transfer": "CreateSubaccount AccountTransfer",
}


def _rows(names: dict[str, str], cost: int, write: bool) -> dict[str, Method]:
    return {name: Method(name, cost, write, permission) for permission, line in names.items() for name in line.split()}


METHODS: dict[str, Method] = (
    _rows(_READS, 1, False)
    | _rows(_HISTORY, HISTORY_COST, False)
    | _rows(_FREE_WRITES, 0, True)
    | _rows(_WRITES, 1, True)
)

HISTORY = frozenset(name for line in _HISTORY.values() for name in line.split())
"""The methods that read through an account's past."""
HARMLESS = "GetApiKeyInfo"
"""A call that changes nothing and needs no permission: what a fence is made with."""


def method_named(name: str) -> Method:
    """The method's row. One that the table does not know is taken for a write: the worse case."""
    return METHODS.get(name) or Method(name, 1, True, "")
