"""The table of private methods: what runs, and which permission it wants."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sealane.simulator import amendments, look_ups, private, trading
from sealane.simulator.context import Context
from sealane.simulator.params import Params

Result = dict[str, Any] | list[Any] | None


@dataclass(frozen=True)
class Method:
    """`run` gives the `result` (None: the answer has none); the key needs any one of `needs`, if there are any."""

    run: Callable[[Context, Params], Result]
    needs: frozenset[str] = frozenset()

    def allowed(self, permissions: frozenset[str]) -> bool:
        """Whether a key with these permissions may call it."""
        return not self.needs or bool(self.needs & permissions)


def _needs(*names: str) -> frozenset[str]:
    return frozenset(names)


PRIVATE: dict[str, Method] = {  # permissions: docs, on each method's page
    "Balance": Method(private.balance, _needs("query-funds")),
    "BalanceEx": Method(private.balance_ex, _needs("query-funds")),
    "TradeBalance": Method(private.trade_balance, _needs("query-open-trades")),
    "OpenOrders": Method(look_ups.open_orders, _needs("query-open-trades")),
    "ClosedOrders": Method(look_ups.closed_orders, _needs("query-closed-trades")),
    "QueryOrders": Method(look_ups.query_orders, _needs("query-open-trades", "query-closed-trades")),
    "OrderAmends": Method(amendments.order_amends, _needs("query-open-trades", "query-closed-trades")),
    "TradesHistory": Method(look_ups.trades_history, _needs("query-closed-trades")),
    "QueryTrades": Method(look_ups.query_trades, _needs("query-closed-trades")),
    "OpenPositions": Method(private.open_positions, _needs("query-open-trades")),
    "Ledgers": Method(look_ups.ledgers, _needs("query-ledger")),
    "QueryLedgers": Method(look_ups.query_ledgers, _needs("query-ledger")),
    "TradeVolume": Method(look_ups.trade_volume, _needs("query-funds")),
    "GetApiKeyInfo": Method(private.api_key_info),
    "GetWebSocketsToken": Method(private.websockets_token, _needs("create-ws-token")),
    "AddOrder": Method(trading.add_order, _needs("modify-trades")),
    "AddOrderBatch": Method(trading.add_order_batch, _needs("modify-trades")),
    "AmendOrder": Method(amendments.amend_order, _needs("modify-trades", "close-trades")),
    "EditOrder": Method(amendments.edit_order, _needs("modify-trades")),
    "CancelOrder": Method(trading.cancel_order, _needs("modify-trades", "close-trades")),
    "CancelOrderBatch": Method(trading.cancel_order_batch, _needs("modify-trades", "close-trades")),
    "CancelAll": Method(trading.cancel_all, _needs("modify-trades", "close-trades")),
    "CancelAllOrdersAfter": Method(trading.cancel_all_after, _needs("modify-trades", "close-trades")),
}
