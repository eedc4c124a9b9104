"""What each call is about to touch, found without touching anything."""

import copy
import math
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from sealane.simulator.accounts import make_accounts, open_account
from sealane.simulator.facts import PRIVATE_METHODS
from sealane.simulator.market import Market
from sealane.simulator.orders import Order
from sealane.simulator.params import Params
from sealane.simulator.touches import TOUCHES, Touch, touches

NS = 10**9
NOW_S = 1000


def context() -> Any:
    """Open orders: A (10 s old, userref 7) and B (20 s, `mine`) on XBTUSD, E (30 s, userref 7) on ETHUSD."""
    market = Market(0)
    account = open_account(make_accounts(1, 0)[0], 0, 0)
    rows = [("A", "XXBTZUSD", 10, 7, None), ("B", "XXBTZUSD", 20, None, "mine"), ("E", "XETHZUSD", 30, 7, None)]
    for txid, pair, age_s, userref, client_id in rows:
        account.open[txid] = Order(
            txid=txid,
            pair=market.pairs[pair],
            side="buy",
            ordertype="limit",
            volume=Decimal(1),
            limit=Decimal(1),
            opened_ns=(NOW_S - age_s) * NS,
            userref=userref,
            cl_ord_id=client_id,
        )
    account.open_client_ids["mine"] = "B"
    return SimpleNamespace(account=account, market=market, now_ns=NOW_S * NS)


def looked_at(account: Any) -> list[Any]:
    orders = [vars(order) for order in account.open.values()]
    return [account.balances, account.held, account.open_client_ids, list(account.open), orders]


A, B, E = ("XXBTZUSD", 10.0), ("XXBTZUSD", 20.0), ("XETHZUSD", 30.0)


@pytest.mark.parametrize(
    ("method", "fields", "found"),
    [
        ("AddOrder", {"pair": "BTCUSD"}, [("XXBTZUSD", "add", 0, 1)]),
        ("AddOrder", {"pair": "NOPE"}, []),
        ("AddOrder", {}, []),
        ("AddOrderBatch", {"pair": "ETHUSD", "orders": [{}, {}, {}]}, [("XETHZUSD", "batch_add", 0, 3)]),
        ("AddOrderBatch", {"pair": "ETHUSD", "orders": []}, []),
        ("AmendOrder", {"txid": "A"}, [(*A[:1], "amend", A[1], 1)]),
        ("AmendOrder", {"cl_ord_id": "mine"}, [(*B[:1], "amend", B[1], 1)]),
        ("EditOrder", {"txid": "E", "pair": "ETHUSD"}, [(*E[:1], "edit", E[1], 1)]),
        ("EditOrder", {"txid": "gone", "pair": "ETHUSD"}, [("XETHZUSD", "edit", math.inf, 1)]),
        ("EditOrder", {"txid": "gone"}, []),
        ("CancelOrder", {"txid": "A"}, [(*A[:1], "cancel", A[1], 1)]),
        ("CancelOrder", {"cl_ord_id": "mine"}, [(*B[:1], "cancel", B[1], 1)]),
        ("CancelOrder", {"cl_ord_id": "other"}, []),
        ("CancelOrder", {"txid": "7"}, [(*A[:1], "cancel", A[1], 1), (*E[:1], "cancel", E[1], 1)]),
        ("CancelOrder", {"userref": 7}, [(*A[:1], "cancel", A[1], 1), (*E[:1], "cancel", E[1], 1)]),
        ("CancelOrder", {"txid": ["A"]}, []),
        ("CancelOrder", {}, []),
        (
            "CancelOrderBatch",
            {"orders": ["A", {"txid": "E"}, 7], "cl_ord_ids": ["mine"]},
            [(*A[:1], "batch_cancel", A[1], 1), (*E[:1], "batch_cancel", E[1], 1), (*B[:1], "batch_cancel", B[1], 1)],
        ),
        ("CancelAll", {}, [(pair, "cancel_all", age_s, 1) for pair, age_s in (A, B, E)]),
        ("Balance", {"pair": "XBTUSD"}, []),
    ],
)
def test_what_a_call_touches(method: str, fields: dict[str, Any], found: list[tuple[str, str, float, int]]) -> None:
    where = context()
    before = copy.deepcopy(looked_at(where.account))
    assert touches(method, where, Params(fields)) == [Touch(*row) for row in found]
    assert str(looked_at(where.account)) == str(before)


def test_the_age_counts_from_the_last_amend() -> None:
    where = context()
    setattr(where.account.open["A"], "amended_ns", (NOW_S - 3) * NS)  # noqa: B010
    assert touches("CancelOrder", where, Params({"txid": "A"})) == [Touch("XXBTZUSD", "cancel", 3.0, 1)]


def test_only_methods_of_kraken_are_named() -> None:
    assert TOUCHES.keys() <= PRIVATE_METHODS
