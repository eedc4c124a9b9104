"""Saving and loading: the codec on its own, and a run that is broken off and gone on with."""

import itertools
import json
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sealane.simulator import ControlError, Direct, Simulator, Switches, snapshot
from sealane.simulator.http import Delivery
from sealane.simulator.orders import Order

NS = 10**9


@dataclass
class Node:
    name: str
    next: Any = None
    parts: Any = field(default_factory=list)


class Plain:
    """No data class: what it holds is what was set on it."""


Node.__module__ = Plain.__module__ = "sealane.simulator.orders"  # as if it were of the package


@pytest.fixture(autouse=True)
def _classes_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    import sealane.simulator.orders as home

    monkeypatch.setattr(home, "Node", Node, raising=False)
    monkeypatch.setattr(home, "Plain", Plain, raising=False)


def again(value: Any) -> Any:
    return snapshot.load(json.loads(json.dumps(snapshot.dump(value))))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        9223372036854775807,
        0.1,
        "ü",
        Decimal("0.10"),
        b"\x00\xff",
        [1, [2, []]],
        (1, (Decimal(2), "x")),
        {"a": 1, "b": {"c": None}},
        {("MASTER", "XXBTZUSD"): 1, 7: "int", "7": "text"},
        {"!set": "a key that looks like a tag"},
        {1, 2},
        frozenset({"a"}),
        Delivery.HALF,
        Node("a", parts=[Node("b"), (1, 2)]),
    ],
)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert again(value) == value
    assert type(again(value)) is type(value)
    assert str(again(value)) == str(value)


def test_a_deque_keeps_its_bound_and_counts_and_dice_their_place() -> None:
    kept = again(deque([1, 2], maxlen=2))
    kept.append(3)
    assert list(kept) == [2, 3]
    numbers = itertools.count(7)
    next(numbers)
    assert next(again(numbers)) == next(numbers) == 8
    assert next(again(itertools.count(3, -2))) == 3
    dice = random.Random(5)
    dice.random()
    dice.gauss(0, 1)
    assert again(dice).random() == dice.random()


@pytest.mark.parametrize("box", [list, lambda parts: {"a": parts[0], "b": parts[1]}, tuple, deque])
def test_what_is_in_two_places_is_one_thing_again(box: Callable[[list[Any]], Any]) -> None:
    for shared in (Node("x"), [1], {"k": 1}, {1}, deque([1]), random.Random(1), {(1,): 2}):
        kept = again(box([shared, shared]))
        first, second = kept.values() if isinstance(kept, dict) else kept
        assert first is second
    inner = [1]
    pair = (inner,)
    kept = again([pair, pair])
    assert kept[0][0] is kept[1][0]


def test_a_cycle_and_what_was_set_on_an_object() -> None:
    node = Node("a")
    node.next, node.parts = node, [node]
    node.extra = 5  # type: ignore[attr-defined]
    kept = again(node)
    assert kept.next is kept is kept.parts[0]
    assert kept.extra == 5
    plain = Plain()
    plain.orders = {"x": [plain]}  # type: ignore[attr-defined]
    kept = again(plain)
    assert kept.orders["x"][0] is kept


@pytest.mark.parametrize("value", [object(), lambda: None, [random], {"a": Path()}, Node(len)])  # type: ignore[arg-type]
def test_what_cannot_be_written_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"snapshot: a .* cannot be written"):
        snapshot.dump(value)


def of(state: Any) -> dict[str, Any]:
    return {"sealane_simulator": 1, "state": state}


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"sealane_simulator": 2, "state": 1},
        {"sealane_simulator": 1},
        of({"!object": "os:system", "fields": {}}),
        of({"!object": "orders:new_id", "fields": {}}),
        of({"!object": "orders:Decimal", "fields": {}}),
        of({"!object": "../../x:Y", "fields": {}}),
        of({"!object": "nowhere:Y", "fields": {}}),
        of({"!object": "orders:Order", "fields": {"txid": "x"}}),
        of({"!object": "orders:Order"}),
        of({"!Decimal": "many"}),
        of({"!bytes": "*"}),
        of({"!same": 1}),
        of({"!lock": 1}),
    ],
)
def test_what_is_no_snapshot_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="snapshot"):
        snapshot.load(document)


# --- a run, broken off ---

LIMIT = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.0001", "price": "25000"}
MARKET = {"pair": "ETHUSD", "type": "sell", "ordertype": "market", "volume": "0.01"}


def first_half(client: Direct) -> list[Any]:
    client.control("POST", "/sim/accounts/user1", {"otp": "x", "nonce_window": 5, "balances": {"ZUSD": "0.10"}})
    client.control("POST", "/sim/faults", {"kind": "error", "error": "EService:Busy", "probability": 0.3})
    client.control("POST", "/sim/faults", {"kind": "hidden", "hidden_s": 9, "after_calls": 3, "count": 2})
    client.control("POST", "/sim/status", {"pairs": {"SOLUSD": "post_only"}})
    return some_calls(client)


def some_calls(client: Direct) -> list[Any]:
    answers = []
    for n in range(12):
        answers.append(client.private("AddOrder", **(LIMIT if n % 3 else MARKET)))
        answers.append(client.private(("Balance", "ClosedOrders", "OpenOrders")[n % 3]))
        txids = answers[-2].get("result", {}).get("txid")
        answers.append(client.private("CancelOrder", txid=txids[0]) if txids and n % 2 else None)
        client.control("POST", "/sim/time", {"advance_s": 0.75})
    answers.append(client.control("GET", "/sim/state"))
    answers.append(client.public("AssetPairs", pair="SOLUSD"))
    return answers


def fresh(seed: int) -> Simulator:
    from sealane.simulator import Clock

    return Simulator(accounts=2, seed=seed, tier="starter", clock=Clock(frozen_ns=1_800_000_000 * NS))


@pytest.mark.parametrize("way", ["file", "http"])
def test_a_run_goes_on_as_if_it_had_not_been_broken_off(tmp_path: Path, way: str) -> None:
    whole = fresh(seed=3)
    first = first_half(whole.direct())
    rest = some_calls(whole_client := _at(whole, 1000))
    assert any("EService:Busy" in str(answer) for answer in first)
    assert any("EAPI:Rate limit exceeded" in str(answer) for answer in (*first, *rest))

    broken = fresh(seed=3)
    assert first_half(broken.direct()) == first
    other = Simulator(accounts=1, seed=99)
    if way == "file":
        broken.save(tmp_path / "state.json")
        other.load(tmp_path / "state.json")
        assert [path.name for path in tmp_path.iterdir()] == ["state.json"]
    else:
        document = broken.direct().control("GET", "/sim/snapshot")[1]
        assert other.direct().control("POST", "/sim/snapshot", document)[0] == 200
    assert other.accounts == whole.accounts
    assert some_calls(_at(other, 1000)) == rest
    assert whole_client.control("GET", "/sim/faults") == other.direct().control("GET", "/sim/faults")
    other.audit()
    whole.audit()


def _at(simulator: Simulator, nonce: int) -> Direct:
    client = simulator.direct()
    client.next_nonce = nonce
    return client


def test_an_order_is_one_thing_after_loading() -> None:
    simulator = Simulator()
    client = simulator.direct()
    client.private("AddOrder", cl_ord_id="mine", **LIMIT)
    loaded = Simulator()
    loaded.control.restore(simulator.control.snapshot())
    account = loaded.exchange.accounts["MASTER"]
    order = next(iter(account.open.values()))
    assert isinstance(order, Order)
    assert order.pair is loaded.exchange.market.pairs["XXBTZUSD"]
    assert loaded.exchange._by_key[loaded.accounts[0].api_key] is account
    answer = _at(loaded, 50).private("CancelOrder", cl_ord_id="mine")
    assert answer["result"] == {"count": 1}
    assert simulator.state()["accounts"]["MASTER"]["open_orders"] == 1


def test_the_switches_are_those_that_were_saved() -> None:
    saved = Simulator(tier="pro", clock="frozen", switches=Switches(history_cost=2))
    saved.set_switches(empty_balance_has_result=False)
    loaded = Simulator(switches=Switches(window_allows_replay=False))
    loaded.control.restore(json.loads(json.dumps(saved.control.snapshot())))
    assert loaded.switches() == Switches(history_cost=2, empty_balance_has_result=False)
    loaded.update_account("MASTER", balances={})
    assert "result" not in loaded.direct().private("Balance")
    loaded.direct().private("ClosedOrders", nonce=5)
    assert loaded.state()["accounts"]["MASTER"]["limits"]["rest"]["level"] == "3"


def test_a_snapshot_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    simulator = Simulator()
    before, client = simulator.state(), simulator.direct()
    document = simulator.control.snapshot()
    damaged = json.loads(json.dumps(document))
    damaged["state"]["fields"]["market"] = 5
    switched = json.loads(json.dumps(document))
    switched["state"]["fields"]["limits"]["fields"]["switches"]["fields"]["lockout_s"] = "long"
    for wrong in ({}, document | {"sealane_simulator": 9}, of(5), damaged, switched):
        assert client.control("POST", "/sim/snapshot", wrong)[0] == 400
    (tmp_path / "x").write_text("{")
    with pytest.raises(ControlError, match="is not JSON"):
        simulator.load(tmp_path / "x")
    assert simulator.state() == before
