"""Limits, clock and snapshots together with the order book and every way to trade."""

import http.client
import random
from typing import Any

import pytest

from sealane.simulator import Clock, Direct, Simulator, touches
from sealane.simulator.context import Context
from sealane.simulator.params import Params

NS = 10**9
START = Clock(frozen_ns=1_800_000_000 * NS)
PRICES = {"XBTUSD": (25000, 100000), "ETHUSD": (1000, 9000)}
VOLUMES = {"XBTUSD": "0.001", "ETHUSD": "0.02"}


def simulated(**settings: Any) -> Simulator:
    return Simulator(seed=5, volatility=0.002, clock=Clock(frozen_ns=1_800_000_000 * NS), **settings)


def order(dice: random.Random) -> dict[str, Any]:
    pair, side = dice.choice(["XBTUSD", "ETHUSD"]), dice.choice(["buy", "sell"])
    low, high = PRICES[pair]
    fields = {"pair": pair, "type": side, "volume": VOLUMES[pair], "userref": dice.randrange(1, 4)}
    price = str(low if side == "buy" else high)
    kinds = [
        {"ordertype": "market"},
        {"ordertype": "limit", "price": price},
        {"ordertype": "limit", "price": price, "expiretm": "+30"},
        {"ordertype": "stop-loss", "price": "+1%" if side == "buy" else "-1%"},
        {"ordertype": "trailing-stop", "price": "+2%"},
    ]
    return fields | dice.choice(kinds)


def call(client: Direct, dice: random.Random) -> Any:
    """One call of some kind, by the dice and what the account has open."""
    account = client_account(client)
    txids = list(account.open) or ["OGONE0-AAAAA-BBBBBB"]
    txid = dice.choice(txids)
    pair = account.open[txid].pair.altname if txid in account.open else "XBTUSD"
    low = PRICES[pair][0]
    rows = [{"ordertype": "limit", "type": "buy", "volume": VOLUMES[pair], "price": str(low)}] * 3
    calls: list[tuple[str, dict[str, Any]]] = [
        *[("AddOrder", order(dice))] * 8,
        ("AddOrderBatch", {"pair": pair, "orders": rows, "as_json": True}),
        ("AmendOrder", {"txid": txid, "order_qty": str(2 * float(VOLUMES[pair]))}),
        ("EditOrder", {"txid": txid, "pair": pair, "volume": str(3 * float(VOLUMES[pair]))}),
        ("CancelOrder", {"txid": txid}),
        ("CancelOrder", {"txid": "2"}),
        ("CancelOrderBatch", {"orders": txids[:2], "as_json": True}),
        ("CancelAll", {}),
        ("CancelAllOrdersAfter", {"timeout": 7}),
        *[(name, {}) for name in ("OpenOrders", "ClosedOrders", "TradesHistory", "Ledgers", "BalanceEx")],
    ]
    name, fields = dice.choice(calls)
    try:
        return client.private(name, **fields)
    except (http.client.HTTPException, OSError) as error:
        return repr(error)


_EXCHANGES: dict[int, Any] = {}


def client_account(client: Direct) -> Any:
    return _EXCHANGES[id(client)].exchange.accounts["MASTER"]


def run(simulator: Simulator, client: Direct, seed: int, calls: int) -> list[Any]:
    _EXCHANGES[id(client)] = simulator
    dice, answers = random.Random(seed), []
    for _ in range(calls):
        answers.append(call(client, dice))
        simulator.advance(dice.choice([0, 0.3, 2, 8]))
    return answers


@pytest.mark.parametrize("tier", ["off", "starter", "pro"])
def test_a_run_over_every_way_to_trade_is_sound(tier: str) -> None:
    simulator = simulated(tier=tier)
    simulator.add_fault("late", late_s=3.0, probability=0.05)
    simulator.add_fault("hidden", hidden_s=9.0, probability=0.1)
    answers = run(simulator, simulator.direct(), 1, 300)
    errors = {str(answer.get("error")) for answer in answers if isinstance(answer, dict)}
    assert len(errors) > 1
    simulator.audit()


def test_what_was_foreseen_is_what_was_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, Context]] = []
    real = touches.touches

    def watched(method: str, context: Context, params: Params) -> Any:
        found = real(method, context, params)
        seen.append(([(t.pair, t.what, t.count) for t in found], context))
        return found

    monkeypatch.setattr("sealane.simulator.exchange.touches", watched)
    simulator = simulated()
    run(simulator, simulator.direct(), 2, 400)
    kinds = set()
    for foreseen, context in seen:
        touched = [(t.pair, t.what, t.count) for t in context.touched]
        assert [(p, w.replace("cancel_all", "batch_cancel"), n) for p, w, n in foreseen] == touched
        kinds |= {what for _, what, _ in foreseen}
    assert kinds == {"add", "batch_add", "amend", "edit", "cancel", "batch_cancel", "cancel_all"}


@pytest.mark.parametrize("seed", range(4))
def test_a_run_broken_off_goes_on_the_same(seed: int) -> None:
    whole = simulated(tier="pro")
    client = whole.direct()
    first = run(whole, client, seed, 120)
    middle = whole.control.snapshot()
    rest = run(whole, client, seed + 100, 120)

    broken = simulated(tier="pro")
    before = broken.direct()
    assert run(broken, before, seed, 120) == first
    other = Simulator(seed=99)
    other.control.restore(middle)
    after = other.direct()
    after.next_nonce = before.next_nonce
    assert run(other, after, seed + 100, 120) == rest
    assert other.state() == whole.state()
    other.audit()


def test_a_hidden_order_is_not_shown_until_its_time() -> None:
    simulator = simulated()
    client = simulator.direct()
    simulator.add_fault("hidden", hidden_s=30.0)
    fields = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.001", "price": "25000"}
    txid = client.private("AddOrder", **fields)["result"]["txid"][0]
    assert client.private("OpenOrders")["result"]["open"] == {}
    simulator.advance(30)
    assert list(client.private("OpenOrders")["result"]["open"]) == [txid]
