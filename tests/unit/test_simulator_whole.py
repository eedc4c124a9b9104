"""Limits, clock, faults and snapshots together with the order book and every way to trade."""

import http.client
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sealane.simulator import Clock, Probe, Simulator, Switches
from sealane.simulator.touches import Touch, touches

NS = 10**9
PRICES = {"XBTUSD": (25000, 100000), "ETHUSD": (1000, 9000)}
VOLUMES = {"XBTUSD": "0.001", "ETHUSD": "0.02"}
LIMIT = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.001", "price": "25000"}
MARKET = {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.001"}
LOST = (http.client.HTTPException, OSError)


def simulated(seed: int = 5, **settings: Any) -> Simulator:
    return Simulator(seed=seed, volatility=0.002, clock=Clock(frozen_ns=1_800_000_000 * NS), accounts=2, **settings)


class Player:
    """Plays calls of every kind that the dice choose, by what the account has open."""

    def __init__(self, simulator: Simulator, account: int = 0) -> None:
        self.simulator, self.client = simulator, simulator.direct(account)
        self.name = simulator.accounts[account].name

    @property
    def account(self) -> Any:
        return self.simulator.exchange.accounts[self.name]

    def order(self, dice: random.Random) -> dict[str, Any]:
        pair, side = dice.choice(["XBTUSD", "ETHUSD"]), dice.choice(["buy", "sell"])
        low, high = PRICES[pair]
        price = str(low if side == "buy" else high)
        kinds = [
            {"ordertype": "market"},
            {"ordertype": "limit", "price": price},
            {"ordertype": "limit", "price": price, "expiretm": "+30"},
            {"ordertype": "limit", "price": price, "starttm": "+20"},
            {"ordertype": "limit", "price": "-0.1%" if side == "buy" else "+0.1%"},
            {"ordertype": "stop-loss", "price": "+1%" if side == "buy" else "-1%"},
            {"ordertype": "trailing-stop", "price": "+2%"},
        ]
        named = {"cl_ord_id": f"c{dice.randrange(4)}"} if dice.random() < 0.3 else {}
        fields = {"pair": pair, "type": side, "volume": VOLUMES[pair], "userref": dice.randrange(1, 4)}
        return fields | dice.choice(kinds) | named

    def draw(self, dice: random.Random) -> tuple[str, dict[str, Any]]:
        txids = list(self.account.open) or ["OGONE0-AAAAA-BBBBBB"]
        txid = dice.choice(txids)
        pair = self.account.open[txid].pair.altname if txid in self.account.open else "XBTUSD"
        rows = [{"ordertype": "limit", "type": "buy", "volume": VOLUMES[pair], "price": str(PRICES[pair][0])}] * 3
        calls: list[tuple[str, dict[str, Any]]] = [
            *[("AddOrder", self.order(dice))] * 8,
            ("AddOrderBatch", {"pair": pair, "orders": rows, "as_json": True}),
            ("AmendOrder", {"txid": txid, "order_qty": str(2 * float(VOLUMES[pair]))}),
            ("AmendOrder", {"cl_ord_id": "c1", "order_qty": "0.04"}),
            ("EditOrder", {"txid": txid, "pair": pair, "volume": str(3 * float(VOLUMES[pair]))}),
            ("EditOrder", {"txid": txid, "pair": "SOLUSD", "volume": "1"}),
            ("CancelOrder", {"txid": txid}),
            ("CancelOrder", {"txid": "2"}),
            ("CancelOrder", {"cl_ord_id": "c2"}),
            ("CancelOrderBatch", {"orders": [*txids[:2], 3], "cl_ord_ids": ["c3"], "as_json": True}),
            ("CancelAll", {}),
            ("CancelAllOrdersAfter", {"timeout": 7}),
            *[(name, {}) for name in ("OpenOrders", "ClosedOrders", "TradesHistory", "Ledgers", "BalanceEx")],
        ]
        return dice.choice(calls)

    def call(self, dice: random.Random) -> Any:
        name, fields = self.draw(dice)
        try:
            return self.client.private(name, **fields)
        except LOST as error:
            return repr(error)

    def run(self, seed: int, calls: int) -> list[Any]:
        dice, answers = random.Random(seed), []
        for _ in range(calls):
            answers.append(self.call(dice))
            self.simulator.advance(dice.choice([0, 0.3, 2, 8]))
        return answers


@pytest.mark.parametrize("tier", ["off", "starter", "pro"])
def test_a_run_over_every_way_to_trade_is_sound(tier: str) -> None:
    simulator = simulated(tier=tier)
    simulator.add_fault("late", late_s=3.0, probability=0.05)
    simulator.add_fault("hidden", hidden_s=9.0, probability=0.1)
    answers = Player(simulator).run(1, 300)
    errors = {str(answer.get("error")) for answer in answers if isinstance(answer, dict)}
    assert len(errors) > 1
    simulator.audit()


# --- touches ---


def did(before: dict[str, Any], account: Any, at_ns: int) -> Counter[tuple[str, str]]:
    """(pair, how) of every order that a call made, ended or amended, from the orders alone."""
    found: Counter[tuple[str, str]] = Counter()
    for txid, order in (account.open | account.closed).items():
        if txid not in before["all"]:
            found[order.pair.name, "made"] += 1
        elif txid in before["open"] and order.reason in ("User requested", "Order replaced"):
            found[order.pair.name, "ended"] += 1
        elif order.amended_ns != before["amended"][txid]:
            found[order.pair.name, "amended"] += 1
            assert order.amended_ns == at_ns
    return found


CHANGES = {
    "add": ["made"],
    "batch_add": ["made"],
    "amend": ["amended"],
    "edit": ["made", "ended"],
    "cancel": ["ended"],
    "batch_cancel": ["ended"],
    "cancel_all": ["ended"],
}


def test_what_was_foreseen_is_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    foreseen: list[Touch] = []

    def watched(*args: Any) -> list[Touch]:
        foreseen[:] = touches(*args)
        return list(foreseen)

    monkeypatch.setattr("sealane.simulator.exchange.touches", watched)
    simulator, dice, kinds = simulated(), random.Random(2), Counter[str]()
    player = Player(simulator)
    for _ in range(600):
        simulator.advance(dice.choice([0.3, 2, 8]))
        account, foreseen[:] = player.account, []
        everything = account.open | account.closed
        before = {
            "all": set(everything),
            "open": set(account.open),
            "amended": {txid: order.amended_ns for txid, order in everything.items()},
        }
        answer = player.call(dice)
        happened = did(before, account, simulator.exchange.clock.now_ns())
        expected = Counter((t.pair, how) for t in foreseen for how in CHANGES[t.what] for _ in range(t.count))
        if answer["error"]:
            assert happened == Counter()
        elif any("error" in row for row in answer["result"].get("orders", [])):
            assert happened <= expected
        else:
            assert happened == expected
            kinds.update(touch.what for touch in foreseen)
    assert kinds.keys() == CHANGES.keys()


def test_a_full_counter_refuses_before_anything_else() -> None:
    simulator = simulated(tier="starter")
    client = simulator.direct()
    txids = [client.private("AddOrder", **LIMIT)["result"]["txid"][0] for _ in range(20)]
    first = txids.pop()
    for txid in txids[:4]:  # each costs 8
        client.private("CancelOrder", txid=txid)
    while client.private("AddOrder", **LIMIT)["error"] == []:
        pass
    before = simulator.state()["accounts"]["MASTER"]["orders"]
    rows = [{"ordertype": "nonsense"}] * 3
    for method, fields in (
        ("AddOrder", {"pair": "XBTUSD", "type": "nonsense"}),
        ("AddOrderBatch", {"pair": "XBTUSD", "orders": rows, "as_json": True}),
        ("AmendOrder", {"txid": first, "limit_price": "0"}),
        ("EditOrder", {"txid": first, "pair": "XBTUSD", "price": "nonsense"}),
        ("CancelOrder", {"txid": first}),
        ("CancelOrderBatch", {"orders": [first], "as_json": True}),
    ):
        assert client.private(method, **fields)["error"] == ["EOrder:Rate limit exceeded"]
    assert simulator.state()["accounts"]["MASTER"]["orders"] == before
    simulator.audit()
    assert client.private("AddOrder", pair="NIJA")["error"] == ["EQuery:Unknown asset pair"]


@pytest.mark.parametrize(("cost", "said"), [(0, []), (60, ["EOrder:Rate limit exceeded"])])
def test_what_cancelling_all_costs_is_a_switch(cost: int, said: list[str]) -> None:
    simulator = simulated(tier="starter", switches=Switches(cancel_all_cost=cost))
    client = simulator.direct()
    client.private("AddOrder", **LIMIT)
    assert client.private("CancelAll")["error"] == said
    assert len(simulator.exchange.accounts["MASTER"].open) == len(said)
    simulator.audit()


def test_the_limit_of_open_orders_counts_a_whole_batch() -> None:
    simulator = simulated(tier="starter")
    client = simulator.direct()
    rows = [{name: value for name, value in LIMIT.items() if name != "pair"}] * 15
    for _ in range(4):
        assert client.private("AddOrderBatch", pair="XBTUSD", orders=rows, as_json=True)["error"] == []
        simulator.advance(20)
    full = ["EOrder:Orders limit exceeded"]
    assert client.private("AddOrderBatch", pair="XBTUSD", orders=rows[:2], as_json=True)["error"] == full
    assert client.private("AddOrder", **LIMIT)["error"] == full
    assert client.private("AddOrder", **LIMIT | {"pair": "ETHUSD", "price": "1000", "volume": "0.1"})["error"] == []
    simulator.audit()


# --- snapshots ---


@pytest.mark.parametrize("seed", range(4))
def test_a_run_broken_off_goes_on_the_same(seed: int, tmp_path: Path) -> None:
    whole = simulated(tier="pro")
    whole.add_fault("hidden", hidden_s=9.0, probability=0.1)
    one, other = Player(whole), Player(whole, 1)
    one.run(seed, 80)
    other.run(seed + 50, 40)
    whole.save(tmp_path / "state.json")
    rest = [one.run(seed + 100, 80), other.run(seed + 150, 40)]

    again = Simulator(seed=99)
    again.load(tmp_path / "state.json")
    heirs = Player(again), Player(again, 1)
    for heir, before in zip(heirs, (80, 40), strict=True):
        heir.client.next_nonce = before + 1
    assert [heirs[0].run(seed + 100, 80), heirs[1].run(seed + 150, 40)] == rest
    assert again.state() == whole.state()
    again.audit()


def test_every_kind_of_order_goes_on_from_a_file(tmp_path: Path) -> None:
    """Resting and filled in part, an iceberg, waiting, trailing, pending, expiring, amended, with a timer set."""
    whole = simulated()
    client = whole.direct()
    quote = whole.exchange.market.quote(whole.exchange.market.pair("XBTUSD"))
    placed = [
        LIMIT | {"price": str(quote.ask), "volume": "1.5"},
        LIMIT | {"ordertype": "iceberg", "volume": "0.1", "displayvol": "0.02"},
        LIMIT | {"ordertype": "stop-loss-limit", "type": "sell", "price": "-0.5%", "price2": "-0.7%"},
        LIMIT | {"ordertype": "trailing-stop", "type": "sell", "price": "+1%"},
        LIMIT | {"starttm": "+30", "userref": 5},
        LIMIT | {"expiretm": "+40", "cl_ord_id": "mine"},
    ]
    txids = [client.private("AddOrder", **fields)["result"]["txid"][0] for fields in placed]
    client.private("AmendOrder", txid=txids[1], order_qty="0.09")
    client.private("CancelAllOrdersAfter", timeout=600)
    rows = client.private("QueryOrders", txid=",".join(txids))["result"]
    assert 0 < float(rows[txids[0]]["vol_exec"]) < 1.5
    assert [rows[txid]["status"] for txid in txids] == ["open", "open", "open", "open", "pending", "open"]
    whole.save(tmp_path / "state.json")
    again = Simulator()
    again.load(tmp_path / "state.json")
    heir = again.direct()
    heir.next_nonce = client.next_nonce
    for seconds in (0, 29.5, 1, 12, 300, 400):
        whole.advance(seconds)
        again.advance(seconds)
        for method, fields in (
            ("OpenOrders", {"trades": True}),
            ("ClosedOrders", {"trades": True}),
            ("TradesHistory", {"ledgers": True}),
            ("Ledgers", {}),
            ("OrderAmends", {"order_id": txids[1]}),
            ("AddOrder", MARKET),
        ):
            answer = client.private(method, **fields)
            assert answer["error"] == []
            assert heir.private(method, **fields) == answer
        assert heir.public("Depth", pair="XBTUSD") == client.public("Depth", pair="XBTUSD")
    assert client.private("OpenOrders")["result"]["open"] == {}
    reasons = [whole.exchange.accounts["MASTER"].closed[txid].status for txid in txids]
    assert set(reasons) <= {"closed", "canceled", "expired"}
    assert reasons[5] == "expired"


def test_a_loaded_market_goes_on_moving_after_a_reset(tmp_path: Path) -> None:
    simulated().save(tmp_path / "state.json")
    again = Simulator(seed=5)
    again.load(tmp_path / "state.json")
    again.reset()
    first = again.state()["prices"]
    again.advance(600)
    assert again.state()["prices"] != first


# --- faults ---


def test_a_hidden_order_is_not_shown_until_its_time() -> None:
    simulator = simulated()
    client = simulator.direct()
    simulator.add_fault("hidden", hidden_s=30.0)
    txid = client.private("AddOrder", **LIMIT)["result"]["txid"][0]
    assert client.private("OpenOrders")["result"]["open"] == {}
    simulator.advance(30)
    assert list(client.private("OpenOrders")["result"]["open"]) == [txid]


def test_a_cancel_finds_a_hidden_order_by_its_txid() -> None:
    simulator = Simulator(clock="frozen")
    client = simulator.direct()
    simulator.add_fault("hidden", hidden_s=30.0)
    placed = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "25000"}
    (txid,) = client.private("AddOrder", **placed)["result"]["txid"]
    assert client.private("QueryOrders", txid=txid)["error"] == ["EOrder:Unknown order"]
    assert client.private("CancelOrder", txid=txid)["result"] == {"count": 1}


def test_a_client_may_go_on_with_a_key_that_was_used() -> None:
    saved, loaded = Simulator(accounts=2), Simulator(accounts=2)
    saved.direct().private("Balance", nonce=900)
    loaded.control.restore(saved.control.snapshot())
    assert loaded.direct().private("Balance")["error"] == []
    assert loaded.direct().next_nonce == 902
    assert loaded.direct(1).next_nonce == 1
    with loaded, Probe(loaded.url, loaded.accounts[0], first_nonce=902) as probe:
        assert probe.private("Balance")["error"] == []
    with loaded, Probe(loaded.url, loaded.accounts[0]) as probe:
        assert probe.private("Balance")["error"] == ["EAPI:Invalid nonce"]


def test_a_hidden_fill_is_in_no_look_up_until_its_time() -> None:
    simulator = simulated()
    client = simulator.direct()
    simulator.add_fault("hidden", hidden_s=30.0)
    txid = client.private("AddOrder", **MARKET)["result"]["txid"][0]
    asked = {"ClosedOrders": "closed", "TradesHistory": "trades", "Ledgers": "ledger"}
    for method, rows in asked.items():
        assert client.private(method)["result"] == {rows: {}, "count": 0}
    assert client.private("QueryOrders", txid=txid)["error"] == ["EOrder:Unknown order"]
    (trade,) = simulator.exchange.accounts["MASTER"].trades.values()
    assert client.private("QueryTrades", txid=trade.txid)["error"] == ["EQuery:Unknown trade"]
    assert client.private("QueryLedgers", id=trade.ledgers[0])["error"] == ["EQuery:Unknown ledger"]
    assert client.private("Balance")["result"]["XXBT"] == "5.0010000000"
    simulator.advance(30)
    for method, rows in asked.items():
        assert client.private(method)["result"]["count"] == (2 if rows == "ledger" else 1)
    assert list(client.private("QueryTrades", txid=trade.txid)["result"]) == [trade.txid]


@pytest.mark.parametrize("method", ["AddOrderBatch", "EditOrder"])
def test_other_ways_to_make_orders_hide_them_too(method: str) -> None:
    simulator = simulated()
    client = simulator.direct()
    (old,) = client.private("AddOrder", **LIMIT)["result"]["txid"]
    rows = [{name: value for name, value in LIMIT.items() if name != "pair"}] * 2
    fields = {
        "AddOrderBatch": {"orders": rows, "pair": "XBTUSD", "as_json": True},
        "EditOrder": {"txid": old, "pair": "XBTUSD", "volume": "0.002"},
    }[method]
    simulator.add_fault("hidden", methods=[method], hidden_s=30.0)
    answer = client.private(method, **fields)["result"]
    new = {answer["txid"]} if method == "EditOrder" else {row["txid"] for row in answer["orders"]}
    before = {old} - ({old} if method == "EditOrder" else set())
    assert set(client.private("OpenOrders")["result"]["open"]) == before
    assert client.private("QueryOrders", txid=old)["error"] == []
    simulator.advance(30)
    assert set(client.private("OpenOrders")["result"]["open"]) == before | new


@pytest.mark.parametrize("clock", ["frozen", "real"])
def test_late_calls_and_the_market_move_in_the_order_of_time(clock: str) -> None:
    """A late market order is filled at the price of its own second, whenever somebody looks."""

    def price(*steps: float) -> str:
        simulator = Simulator(seed=5, volatility=0.002, clock=Clock(frozen_ns=1_800_000_000 * NS))
        if clock == "real":
            simulator.exchange.clock.frozen_ns, simulator.exchange.clock.ahead_ns = None, 0
            simulator.reset()
        client = simulator.direct()
        client.private("AddOrder", **LIMIT | {"expiretm": "+15", "volume": "1.9"})  # holds most of the dollars
        simulator.add_fault("late", late_s=20.0)
        with pytest.raises(http.client.RemoteDisconnected):
            client.private("AddOrder", **MARKET | {"volume": "1"})
        for seconds in steps:
            simulator.advance(seconds)
        (order,) = (row for row in simulator.exchange.accounts["MASTER"].closed.values() if row.ordertype == "market")
        assert order.status == "closed"
        assert 19.9 < (order.opened_ns - simulator.exchange.market.start_ns) / NS < 21
        assert order.closed_ns == order.opened_ns
        simulator.audit()
        return str(order.cost)

    if clock == "frozen":
        assert price(20) == price(300) == price(7, 8, 400) == price(19.9, 0.1, 50)
    else:
        assert price(300)
