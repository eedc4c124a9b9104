"""Which writes buy, for the switch that turns buying off (``HARD_BUY_OFF``).

1. What is not plainly a sell counts as a buy, and what is not plainly a check (``validate``) counts as real.
2. A sell that brings an order of its own once it fills (``close``) buys too: that order is on the other side.
3. Amending and editing name an order, not its side: they are not judged here.
"""

from __future__ import annotations

from collections.abc import Mapping

BUYS_OFF = "HARD_BUY_OFF blocks buys"
BATCH_BUYS_OFF = "HARD_BUY_OFF blocks buys, and the batch has one: nothing of it was sent"


def buys(order: Mapping[str, object]) -> bool:
    """Whether one order, in Kraken's names, is a buy or may become one."""
    closes = any(name.startswith("close") and value is not None for name, value in order.items())
    return closes or str(order.get("type")).strip().lower() != "sell"


def call_buys(method: str, params: Mapping[str, object]) -> bool:
    """Whether a call places a buy. Of a method's name capitals say nothing: who knows what Kraken takes."""
    if str(params.get("validate")).strip().lower() == "true":
        return False
    match method.lower():
        case "addorder":
            return buys(params)
        case "addorderbatch":
            orders = params.get("orders")
            rows = orders if isinstance(orders, (list, tuple)) else [orders]
            return not all(isinstance(row, Mapping) and not buys(row) for row in rows)
    return False
