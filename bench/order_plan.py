"""Which orders are asked for and what goes wrong with them: everything follows from one seed."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PAIR = "XBTUSD"
VISIBILITY_LAG_S = 2.0
"""What Sealane is told of how long Kraken may take to show an order; all that is hidden is hidden for less."""
HIDDEN_S = (0.3, 1.5)
PAST_TIMEOUT_S = 30.0
"""A hang that no client waits out."""
DEADLINES_S = (3.0, 4.0, 5.0)
VOLUME, VOLUME_TOO_LARGE = "0.001", "900000"
FAR_PRICE = "1000"
BALANCES = {"ZUSD": "50000000", "XXBT": "5000"}
"""What every account starts with: enough for all orders that are meant to be placed."""


@dataclass(frozen=True)
class Planned:
    """One order. ``account`` counts from 0; ``client_order_id`` and ``userref`` are its own alone."""

    number: int
    account: int
    client_order_id: str
    userref: int
    side: str
    order_type: str
    volume: str
    price: str | None
    deadline_s: float


def planned(seed: int, orders: int, accounts: int) -> list[Planned]:
    """The orders of a run: most rest far from the market, some fill at once, and some Kraken has to refuse."""
    rng = random.Random(f"orders {seed}")
    return [_planned(rng, number, accounts) for number in range(orders)]


def _planned(rng: random.Random, number: int, accounts: int) -> Planned:
    kind = rng.choices(("rests", "fills", "refused"), (70, 22, 8))[0]
    return Planned(
        number=number,
        account=rng.randrange(accounts),
        client_order_id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        userref=number + 1,
        side=rng.choice(("buy", "sell")) if kind == "fills" else "buy",
        order_type="market" if kind == "fills" else "limit",
        volume=VOLUME_TOO_LARGE if kind == "refused" else VOLUME,
        price=None if kind == "fills" else FAR_PRICE,
        deadline_s=rng.choice(DEADLINES_S),
    )


def fields_of(order: Planned) -> dict[str, Any]:
    """The order in Kraken's names, without any id."""
    fields = {"pair": PAIR, "type": order.side, "ordertype": order.order_type, "volume": order.volume}
    return fields if order.price is None else fields | {"price": order.price}


# --- faults -----------------------------------------------------------------------------------------------------------

_LOST_ANSWERS = ("drop", "http", "html", "hang")
_ORDER_FAULTS: Sequence[tuple[float, Mapping[str, Any]]] = (
    *((0.015, {"kind": kind, "reset": reset}) for kind in ("drop_before", "drop_after") for reset in (False, True)),
    (0.02, {"kind": "http_before", "status": 502}),
    (0.02, {"kind": "http_after", "status": 502}),
    (0.01, {"kind": "http_after", "status": 520}),
    (0.015, {"kind": "html", "applied": False}),
    (0.015, {"kind": "html", "applied": True}),
    (0.03, {"kind": "half"}),
    (0.003, {"kind": "hang", "hang_s": PAST_TIMEOUT_S, "applied": False}),
    (0.003, {"kind": "hang", "hang_s": PAST_TIMEOUT_S, "applied": True}),
    (0.01, {"kind": "delay", "delay_s": 0.2}),
    (0.003, {"kind": "delay", "delay_s": 4.0}),
    *((0.004, {"kind": "late", "late_s": late_s, "answer": "drop"}) for late_s in (0.03, 0.3, 1.5, 7.0)),
    *((0.002, {"kind": "late", "late_s": late_s, "answer": "http"}) for late_s in (0.03, 0.3, 1.5, 7.0)),
    (0.002, {"kind": "late", "late_s": 0.3, "answer": "html"}),
    (0.002, {"kind": "late", "late_s": 2.5, "answer": "hang", "hang_s": PAST_TIMEOUT_S}),
    *((0.004, {"kind": "hidden", "hidden_s": hidden_s, "answer": "normal"}) for hidden_s in HIDDEN_S),
    *(
        (0.004 if answer != "hang" else 0.001, {"kind": "hidden", "hidden_s": hidden_s, "answer": answer})
        for hidden_s in HIDDEN_S
        for answer in _LOST_ANSWERS
    ),
    (0.01, {"kind": "slow", "slow_s": 0.2}),
    (0.002, {"kind": "slow", "slow_s": 8.0}),
    (0.02, {"kind": "warning"}),
    (0.01, {"kind": "error", "error": "EService:Busy"}),
    (0.01, {"kind": "error", "error": "EService:Unavailable", "consume_nonce": False}),
    (0.005, {"kind": "error", "error": "EGeneral:Internal error"}),
    (0.003, {"kind": "error", "error": "EService:Deadline elapsed"}),
    (0.003, {"kind": "error", "error": "EOrder:Rate limit exceeded"}),
)
_LOOK_UPS = ["GetApiKeyInfo", "OpenOrders", "ClosedOrders"]
_LOOK_UP_FAULTS: Sequence[tuple[float, Mapping[str, Any]]] = (
    (0.02, {"kind": "drop_before"}),
    (0.02, {"kind": "drop_after"}),
    (0.02, {"kind": "http_before", "status": 502}),
    (0.01, {"kind": "html"}),
    (0.02, {"kind": "half"}),
    (0.01, {"kind": "late", "late_s": 0.1}),
    (0.01, {"kind": "delay", "delay_s": 0.1}),
    (0.01, {"kind": "error", "error": "EService:Busy"}),
)


def fault_rules() -> list[dict[str, Any]]:
    """What goes wrong: about every third order, and every eighth fence and look."""
    rules = [{**rule, "methods": ["AddOrder"], "probability": share} for share, rule in _ORDER_FAULTS]
    return rules + [{**rule, "methods": _LOOK_UPS, "probability": share} for share, rule in _LOOK_UP_FAULTS]
