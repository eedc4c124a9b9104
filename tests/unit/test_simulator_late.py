"""Calls that are applied late, orders that look-ups do not show yet, and rules that choose their calls."""

import http.client
from typing import Any

import pytest

from sealane.simulator import Direct, Simulator
from sealane.simulator.faults import ControlError, FaultRules

NS = 10**9
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "25000"}
GONE = {"drop": http.client.RemoteDisconnected, "hang": TimeoutError}


@pytest.fixture
def kraken() -> Simulator:
    return Simulator(accounts=2, clock="frozen")


def orders(kraken: Simulator) -> dict[str, Any]:
    return dict(kraken.state()["accounts"]["MASTER"]["orders"])


def lost(client: Direct, answer: str, **fields: Any) -> None:
    """Send an order whose answer is lost in the way that is named."""
    body, headers, path = client.signed("AddOrder", **fields)
    if answer in GONE:
        with pytest.raises(GONE[answer]):
            client.send("POST", path, body, headers)
    else:
        status, text = client.send("POST", path, body, headers)
        assert (status, text.startswith(b"<!DOCTYPE")) == (503, answer == "html")


def test_a_reset_shows_without_a_socket_too(kraken: Simulator) -> None:
    kraken.add_fault("drop_after", methods=["AddOrder"], reset=True)
    with pytest.raises(ConnectionResetError) as caught:
        kraken.direct().private("AddOrder", **ORDER)
    assert caught.type is ConnectionResetError
    assert len(orders(kraken)) == 1


@pytest.mark.parametrize("answer", ["drop", "http", "html", "hang"])
def test_a_late_call_is_applied_when_its_time_comes(kraken: Simulator, answer: str) -> None:
    client = kraken.direct()
    kraken.add_fault("late", methods=["AddOrder"], late_s=20, answer=answer)
    lost(client, answer, nonce=5, **ORDER)
    kraken.advance(19.9)
    assert orders(kraken) == {}
    assert kraken.journal()["entries"][0]["outcome"] == "pending"
    kraken.advance(0.1)
    assert [row["opentm"] for row in orders(kraken).values()] == [round(kraken.exchange.clock.now_ns() / NS, 4)]
    entry = kraken.journal()["entries"][0]
    assert (entry["outcome"], entry["fault"], entry["answered_ns"] is None) == ("accepted", "late", answer in GONE)
    assert client.private("Balance", nonce=5)["error"] == ["EAPI:Invalid nonce"]
    kraken.audit()


def test_a_late_call_behind_a_higher_nonce_is_refused_and_nobody_sees_it(kraken: Simulator) -> None:
    client = kraken.direct()
    kraken.add_fault("late", methods=["AddOrder"], late_s=20)
    lost(client, "drop", nonce=5, **ORDER)
    assert client.private("Balance", nonce=6)["error"] == []
    kraken.advance(60)
    assert orders(kraken) == {}
    entry, summary = kraken.journal()["entries"][0], kraken.journal()["summary"]
    assert (entry["outcome"], entry["error"]) == ("refused", "EAPI:Invalid nonce")
    assert (summary["refused_nonce"], summary["refused_unseen"], summary["max_overlap"]) == (0, 1, 1)
    kraken.audit()


def test_another_keys_nonce_does_not_fence_it(kraken: Simulator) -> None:
    kraken.add_fault("late", late_s=20)
    lost(kraken.direct(0), "drop", nonce=5, **ORDER)
    kraken.direct(1).private("Balance", nonce=9)
    kraken.advance(20)
    assert len(orders(kraken)) == 1


def test_two_late_calls_come_in_the_order_of_their_times(kraken: Simulator) -> None:
    """The one sent first comes last, and its nonce is then too low."""
    client = kraken.direct()
    kraken.add_fault("late", late_s=20)
    kraken.add_fault("late", late_s=10)
    lost(client, "drop", nonce=5, cl_ord_id="first", **ORDER)
    lost(client, "drop", nonce=6, cl_ord_id="second", **ORDER)
    kraken.advance(60)
    assert [row["cl_ord_id"] for row in orders(kraken).values()] == ["second"]


def test_a_late_call_waits_for_its_deadline_too(kraken: Simulator) -> None:
    client = Direct(kraken.site.handle, kraken.accounts[0])
    kraken.add_fault("late", late_s=20)
    now_s = kraken.exchange.clock.now_ns() // NS
    from datetime import UTC, datetime

    lost(client, "drop", deadline=datetime.fromtimestamp(now_s + 10, UTC).isoformat(), **ORDER)
    kraken.advance(20)
    assert orders(kraken) == {}
    assert kraken.journal()["entries"][0]["error"] == "EService:Deadline elapsed"


def test_reset_drops_what_was_still_to_come(kraken: Simulator) -> None:
    kraken.add_fault("late", late_s=20)
    lost(kraken.direct(), "drop", **ORDER)
    kraken.reset()
    kraken.advance(60)
    assert orders(kraken) == {}


def test_a_delayed_call_waits_for_the_exchanges_clock(kraken: Simulator) -> None:
    from sealane.simulator.http import Answer, Later, Request

    kraken.add_fault("delay", delay_s=3)
    body, headers, path = kraken.direct().signed("Balance")
    named = {name.lower().encode(): text.encode() for name, text in headers.items()}
    later = kraken.exchange.private(Request("POST", path, "", named, body), "Balance")
    assert isinstance(later, Later)
    heard: list[Answer] = []
    later.listen(heard.append)
    kraken.advance(2.9)
    assert heard == []
    kraken.advance(0.1)
    assert heard[0].body.startswith(b'{"error":[],')


@pytest.mark.parametrize("answer", ["normal", "drop", "http", "html", "hang"])
def test_a_hidden_order_is_there_and_marked(kraken: Simulator, answer: str) -> None:
    client = kraken.direct()
    client.private("AddOrder", **ORDER)
    kraken.add_fault("hidden", hidden_s=30, answer=answer)
    assert client.private("Balance")["error"] == []  # rules for hidden orders are for calls that make some
    if answer == "normal":
        assert client.private("AddOrder", **ORDER)["result"]["txid"]
    else:
        lost(client, answer, **ORDER)
    account = kraken.exchange.accounts["MASTER"]
    visible = [getattr(order, "visible_ns", 0) for order in account.open.values()]
    assert visible == [0, kraken.exchange.clock.now_ns() + 30 * NS]
    assert kraken.faults()[0]["remaining"] == 0


def test_a_hidden_order_that_was_filled_is_marked_too(kraken: Simulator) -> None:
    kraken.add_fault("hidden", hidden_s=30)
    kraken.direct().private("AddOrder", pair="XBTUSD", type="buy", ordertype="market", volume="0.1")
    closed = kraken.exchange.accounts["MASTER"].closed.values()
    assert [order.visible_ns for order in closed] == [kraken.exchange.clock.now_ns() + 30 * NS]


def test_look_ups_do_not_show_a_hidden_order_until_its_time(kraken: Simulator) -> None:
    kraken.add_fault("hidden", hidden_s=30, count=2)
    client, market = kraken.direct(), {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.1"}
    (resting,) = client.private("AddOrder", **ORDER)["result"]["txid"]
    (filled,) = client.private("AddOrder", **market)["result"]["txid"]
    kraken.advance(29.9)
    assert client.private("OpenOrders")["result"]["open"] == {}
    assert client.private("ClosedOrders")["result"]["closed"] == {}
    assert client.private("QueryOrders", txid=resting)["error"] == ["EOrder:Unknown order"]
    kraken.advance(0.1)
    assert list(client.private("OpenOrders")["result"]["open"]) == [resting]
    assert list(client.private("ClosedOrders")["result"]["closed"]) == [filled]
    assert list(client.private("QueryOrders", txid=f"{resting},{filled}")["result"]) == [resting, filled]


@pytest.mark.parametrize("text", [None, "WOrder:Reduced"])
def test_a_warning_beside_the_result(kraken: Simulator, text: str | None) -> None:
    kraken.add_fault("warning", methods=["AddOrder"], **({"warning": text} if text else {}))
    answer = kraken.direct().private("AddOrder", **ORDER)
    assert answer["error"] == [text or "WGeneral:Simulated warning"]
    assert list(orders(kraken)) == answer["result"]["txid"]


# --- which calls a rule hits ---


def rules() -> FaultRules:
    return FaultRules(0, {"AddOrder", "Balance"}, ["MASTER"], {"XBTUSD": "XXBTZUSD", "BTCUSD": "XXBTZUSD"}.get)


def hits(rule: dict[str, Any], calls: int = 8) -> list[int]:
    kept = rules()
    kept.add({"kind": "drop_after", **rule})
    return [n for n in range(1, calls + 1) if kept.pick("AddOrder", "MASTER", private=True)]


def test_the_nth_call_and_the_calls_after_some() -> None:
    assert hits({"nth": 3}) == [3]
    assert hits({"after_calls": 2}) == [3]
    assert hits({"after_calls": 2, "count": 3}) == [3, 4, 5]
    assert hits({"after_calls": 6, "probability": 1}) == [7, 8]
    kept = rules()
    kept.add({"kind": "drop_after", "methods": ["AddOrder"], "nth": 2})
    assert [bool(kept.pick(m, "MASTER", private=True)) for m in ("AddOrder", "Balance", "AddOrder")] == [0, 0, 1]


def test_a_rule_for_a_time() -> None:
    kept = rules()
    kept.add({"kind": "drop_after", "when": [5, 10], "count": 9}, now_ns=100 * NS)
    found = [n for n in range(100, 115) if kept.pick("AddOrder", "MASTER", private=True, now_ns=n * NS)]
    assert found == [105, 106, 107, 108, 109]


def test_a_rule_for_a_pair(kraken: Simulator) -> None:
    kraken.add_fault("error", error="EService:Busy", pair="BTCUSD", count=9)
    assert kraken.faults()[0]["pair"] == "XXBTZUSD"
    client = kraken.direct()
    assert client.private("AddOrder", **ORDER)["error"] == ["EService:Busy"]
    assert client.private("AddOrder", **ORDER | {"pair": "XXBTZUSD"})["error"] == ["EService:Busy"]
    assert client.private("AddOrder", **ORDER | {"pair": "ETHUSD", "price": "1000"})["error"] == []
    assert client.private("Balance")["error"] == []


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"kind": "late"}, "late_s: missing"),
        ({"kind": "late", "late_s": 1, "answer": "normal"}, "answer: 'normal' is not right; give one of drop"),
        ({"kind": "hidden"}, "hidden_s: missing"),
        ({"kind": "hidden", "hidden_s": 1, "answer": "lost"}, "answer: 'lost'"),
        ({"kind": "slow"}, "slow_s: missing"),
        ({"kind": "slow", "slow_s": 0}, "slow_s: 0"),
        ({"kind": "warning", "warning": "EGeneral:X"}, "warning: 'EGeneral:X'"),
        ({"kind": "half", "nth": 2, "count": 2}, "nth: means one call"),
        ({"kind": "half", "nth": 0}, "nth: 0"),
        ({"kind": "half", "after_calls": -1}, "after_calls: -1"),
        ({"kind": "half", "when": [5]}, "when: [5]"),
        ({"kind": "half", "when": [5, 5]}, "when: [5, 5]"),
        ({"kind": "half", "pair": "NOPE"}, "pair: 'NOPE' is not here"),
        ({"kind": "half", "pair": 5}, "pair: 5 is not here"),
        ({"kind": "half", "answer": "drop"}, "answer: the kind half does not take it"),
    ],
)
def test_a_bad_rule_is_refused(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(ControlError) as caught:
        rules().add(rule)
    assert str(caught.value).startswith(said)


def test_a_kept_rule_shows_what_it_was_given(kraken: Simulator) -> None:
    given = {
        "methods": ["AddOrder"],
        "after_calls": 1,
        "when": [1.0, 2.0],
        "late_s": 7.0,
        "answer": "http",
        "status": 520,
    }
    kept = kraken.add_fault("late", **given)
    assert {name: kept[name] for name in given} == given


def test_the_same_seed_the_same_mishaps() -> None:
    def run() -> list[Any]:
        kraken = Simulator(clock="frozen", seed=4)
        client = kraken.direct()
        kraken.add_fault("late", late_s=2.5, probability=0.3)
        kraken.add_fault("error", error="EService:Busy", probability=0.3, after_calls=3)
        for _ in range(30):
            kraken.advance(1)
            try:
                client.private("AddOrder", **ORDER)
            except http.client.RemoteDisconnected:
                continue
        return [(entry["outcome"], entry["error"], entry["fault"]) for entry in kraken.journal()["entries"]]

    first = run()
    assert first == run()
    assert {fault for _, _, fault in first} == {None, "late", "error"}
