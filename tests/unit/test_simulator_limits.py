"""Kraken's counters, by its own worked examples, at their edges, and judged by the audit."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from sealane.simulator import AuditFailed, Direct, Simulator, Switches
from sealane.simulator.limits import Limits, call_cost, trading_cost
from sealane.simulator.touches import Touch

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.0001", "price": "25000"}
RATE, TRADING, ORDERS = "EAPI:Rate limit exceeded", "EOrder:Rate limit exceeded", "EOrder:Orders limit exceeded"
NS = 10**9


def simulated(tier: str, **switches: Any) -> tuple[Simulator, Direct]:
    simulator = Simulator(tier=tier, clock="frozen", switches=Switches(**switches))
    return simulator, simulator.direct()


def limits_of(simulator: Simulator, account: str = "MASTER") -> dict[str, Any]:
    return dict(simulator.state()["accounts"][account]["limits"])


def trading_level(simulator: Simulator, pair: str = "XXBTZUSD") -> str:
    return str(limits_of(simulator)["trading"][pair]["level"])


# --- the worked examples ---


def test_fifty_adds_and_ten_seconds_at_intermediate() -> None:
    simulator, client = simulated("intermediate")
    for _ in range(50):
        assert client.private("AddOrder", **ORDER)["error"] == []
    simulator.advance(10)
    assert trading_level(simulator) == "26.6"
    simulator.audit()


def test_add_amend_after_7_s_cancel_36_s_later() -> None:
    """1 for the add, 1 + 2 for the amend, 4 for the cancel: its age counts from the amend."""
    seen = [Touch("P", "add", 0, 1), Touch("P", "amend", 7, 1), Touch("P", "cancel", 36, 1)]
    assert sum(trading_cost(touch, Switches()) for touch in seen) == 8


def test_twenty_adds_each_cancelled_within_5_s_fill_a_pro_counter_exactly() -> None:
    simulator, client = simulated("pro")
    for _ in range(20):
        txid = client.private("AddOrder", **ORDER)["result"]["txid"][0]
        assert client.private("CancelOrder", txid=txid)["error"] == []
    assert trading_level(simulator) == "180"
    assert client.private("AddOrder", **ORDER)["error"] == [TRADING]
    simulator.advance(1)
    assert client.private("AddOrder", **ORDER)["error"] == []
    simulator.audit()


# --- costs ---


@pytest.mark.parametrize(
    ("what", "ages", "points"),
    [
        ("add", [0], ["1"]),
        ("batch_add", [0], ["0.5"]),
        ("amend", [0, 4.9, 5, 9.9, 10, 14.9, 15], ["4", "4", "3", "3", "2", "2", "1"]),
        ("edit", [0, 5, 10, 15, 45, 90, math.inf], ["7", "6", "5", "3", "2", "1", "1"]),
        ("cancel", [0, 5, 10, 15, 45, 90, 300], ["8", "6", "5", "4", "2", "1", "0"]),
        ("batch_cancel", [4, 299, 301], ["8", "1", "0"]),
        ("cancel_all", [0], ["0"]),
    ],
)
def test_what_touching_an_order_costs(what: str, ages: list[float], points: list[str]) -> None:
    for age_s, expected in zip(ages, points, strict=True):
        assert trading_cost(Touch("P", what, age_s, 1), Switches()) == Decimal(expected)
        assert trading_cost(Touch("P", what, age_s, 6), Switches()) == 6 * Decimal(expected)


def test_what_a_call_costs() -> None:
    other = Switches(history_cost=2, other_trading_call_cost=0)
    costs = {name: (call_cost(name, Switches()), call_cost(name, other)) for name in ("Balance", "AddOrder")}
    assert costs == {"Balance": (1, 1), "AddOrder": (0, 0)}
    for name in ("Ledgers", "TradesHistory", "ClosedOrders"):
        assert (call_cost(name, Switches()), call_cost(name, other)) == (4, 2)
    assert (call_cost("AmendOrder", Switches()), call_cost("AmendOrder", other)) == (1, 0)
    assert trading_cost(Touch("P", "cancel_all", 0, 3), Switches(cancel_all_cost=8)) == 24


# --- the REST counter ---


@pytest.mark.parametrize(("tier", "maximum", "wait_s"), [("starter", 15, 4), ("intermediate", 20, 2), ("pro", 20, 1)])
def test_the_rest_counter_of_each_tier(tier: str, maximum: int, wait_s: int) -> None:
    simulator, client = simulated(tier)
    answers = [client.private("Balance")["error"] for _ in range(maximum + 1)]
    assert answers == [[]] * maximum + [[RATE]]
    simulator.advance(wait_s - 1)
    assert client.private("Balance")["error"] == [RATE]
    simulator.advance(1)
    assert client.private("Balance")["error"] == []
    summary = simulator.journal()["summary"]
    assert (summary["refused_limit"], summary["counters_right"]) == ({"rate": 2, "orders": 0}, True)
    assert (limits_of(simulator)["refused_rate"], summary["limits"]["MASTER"]["tier"]) == (2, tier)


def test_orders_and_cancels_do_not_count_there_and_keys_count_apart() -> None:
    simulator = Simulator(accounts=2, tier="starter", clock="frozen")
    first, second = simulator.direct(0), simulator.direct(1)
    for _ in range(15):
        first.private("Balance")
    assert first.private("AddOrder", **ORDER)["error"] == []
    assert first.private("Balance")["error"] == [RATE]
    assert second.private("Balance")["error"] == []
    assert limits_of(simulator, "user1")["rest"]["level"] == "1"


def test_no_tier_no_limits() -> None:
    simulator, client = simulated("off")
    assert [client.private("Balance")["error"] for _ in range(100)] == [[]] * 100
    assert limits_of(simulator) == {"tier": "off", "refused_rate": 0, "refused_orders": 0, "locked_out": False}


@pytest.mark.parametrize("consumes", [True, False])
def test_whether_a_refused_call_uses_up_its_nonce(consumes: bool) -> None:
    simulator, client = simulated("pro", rate_refusal_consumes_nonce=consumes)
    for _ in range(21):
        client.private("Balance")
    assert simulator.state()["accounts"]["MASTER"]["highest_nonce"] == ("21" if consumes else "20")
    simulator.audit()


@pytest.mark.parametrize(("counts", "level"), [(False, "20"), (True, "25")])
def test_whether_a_refused_call_is_charged(counts: bool, level: str) -> None:
    simulator, client = simulated("pro", refused_calls_count=counts)
    for _ in range(25):
        client.private("Balance")
    assert limits_of(simulator)["rest"]["level"] == level
    simulator.audit()


def test_an_invalid_nonce_and_a_wrong_signature_cost_nothing() -> None:
    simulator, client = simulated("pro")
    client.private("Balance", nonce=5)
    client.private("Balance", nonce=5)
    body, headers, path = client.signed("Balance", nonce=9)
    client.send("POST", path, body + b"&", headers)
    assert limits_of(simulator)["rest"]["level"] == "1"


# --- the trading counter and the orders ---


def test_the_fixed_part_is_charged_though_the_order_is_refused() -> None:
    simulator, client = simulated("pro")
    assert client.private("AddOrder", **{**ORDER, "volume": "1000"})["error"] == ["EOrder:Insufficient funds"]
    assert client.private("AddOrder", **{**ORDER, "price": "x"})["error"] == ["EGeneral:Invalid arguments:price"]
    assert client.private("AddOrder", **{**ORDER, "pair": "NOPE"})["error"] == ["EQuery:Unknown asset pair"]
    assert trading_level(simulator) == "2"


def test_pairs_count_apart() -> None:
    simulator, client = simulated("pro")
    client.private("AddOrder", **ORDER)
    client.private("AddOrder", **{**ORDER, "pair": "ETHUSD", "volume": "0.01", "price": "1000"})
    assert (trading_level(simulator), trading_level(simulator, "XETHZUSD")) == ("1", "1")


@pytest.mark.parametrize(("counts", "level"), [(True, "1"), (False, None)])
def test_whether_a_validated_order_is_charged(counts: bool, level: str | None) -> None:
    simulator, client = simulated("pro", validate_counts=counts)
    client.private("AddOrder", validate="true", **ORDER)
    assert limits_of(simulator)["trading"].get("XXBTZUSD", {}).get("level") == level


@pytest.mark.parametrize("refused", [True, False])
def test_whether_a_cancel_over_the_limit_is_refused(refused: bool) -> None:
    simulator, client = simulated("starter", cancel_refused_over_limit=refused)
    txids = [client.private("AddOrder", **ORDER)["result"]["txid"][0] for _ in range(60)]
    answer = client.private("CancelOrder", txid=txids[0])
    assert answer["error"] == ([TRADING] if refused else [])
    assert trading_level(simulator) == ("60" if refused else "68")
    assert simulator.state()["accounts"]["MASTER"]["open_orders"] == (60 if refused else 59)
    simulator.audit()


def test_a_cancel_of_several_orders_is_all_or_nothing() -> None:
    simulator, client = simulated("starter")
    for _ in range(7):
        client.private("AddOrder", userref=4, **ORDER)
    assert client.private("CancelOrder", txid="4")["error"] == [TRADING]  # 7 + 7 × 8 = 63 > 60
    assert (trading_level(simulator), simulator.state()["accounts"]["MASTER"]["open_orders"]) == ("7", 7)
    simulator.advance(3)
    assert client.private("CancelOrder", txid="4")["result"] == {"count": 7}
    assert trading_level(simulator) == "60"


@pytest.mark.parametrize(("tier", "limit"), [("starter", 60), ("intermediate", 80), ("pro", 225)])
def test_open_orders_per_pair(tier: str, limit: int) -> None:
    simulator, client = simulated(tier)
    for _ in range(limit):
        assert client.private("AddOrder", **ORDER)["error"] == []
        simulator.advance(1)
    assert client.private("AddOrder", **ORDER)["error"] == [ORDERS]
    other = {**ORDER, "pair": "ETHUSD", "volume": "0.01", "price": "1000"}
    assert client.private("AddOrder", **other)["error"] == []
    summary = simulator.journal()["summary"]
    assert summary["refused_limit"] == {"rate": 0, "orders": 1}
    simulator.audit()


# --- throttling and lockouts ---


def test_too_many_at_once_are_throttled_until_a_time() -> None:
    simulator, client = simulated("off", throttle_above=2, throttle_s=7)
    body = [client.signed("Balance") for _ in range(3)]
    answers = [client._handle(_request(*signed)) for signed in body]  # none of them has ended
    until = simulator.exchange.clock.now_ns() // NS + 7
    assert [b"Throttled" in answer.body for answer in answers] == [False, False, True]
    assert f"EService: Throttled: {until}".encode() in answers[2].body
    for answer in answers:
        answer.ended(True)
    assert client.private("Balance")["error"] == []


def _request(body: bytes, headers: dict[str, str], path: str) -> Any:
    from sealane.simulator.http import Request

    return Request("POST", path, "", {name.lower().encode(): text.encode() for name, text in headers.items()}, body)


def test_many_refusals_lock_the_key_out_for_a_while() -> None:
    simulator, client = simulated("pro", lockout_after_rate=3, lockout_s=100.0)
    for _ in range(23):
        client.private("Balance")
    assert client.private("AddOrder", **ORDER)["error"] == ["EGeneral:Temporary lockout"]
    assert limits_of(simulator)["locked_out"] is True
    simulator.advance(99)
    assert client.private("Balance")["error"] == ["EGeneral:Temporary lockout"]
    simulator.advance(1)
    assert client.private("Balance")["error"] == []


@pytest.mark.parametrize(("apart_s", "locked"), [(2, True), (6, False)])
def test_only_refusals_close_together_add_up(apart_s: int, locked: bool) -> None:
    simulator, client = simulated("pro", lockout_after_rate=3, lockout_window_s=10.0, history_cost=21)
    for _ in range(3):
        assert client.private("ClosedOrders")["error"] == [RATE]
        simulator.advance(apart_s)
    assert limits_of(simulator)["locked_out"] is locked


@pytest.mark.parametrize(("limit", "locked"), [(0, False), (3, True)])
def test_invalid_nonces_lock_out_by_switch(limit: int, locked: bool) -> None:
    simulator, client = simulated("off", lockout_after_nonces=limit)
    client.private("Balance", nonce=9)
    for _ in range(5):
        client.private("Balance", nonce=9)
    assert limits_of(simulator)["locked_out"] is locked


# --- tiers change ---


def test_a_tier_changes_over_http_and_levels_stay() -> None:
    simulator, client = simulated("starter")
    for _ in range(15):
        client.private("Balance")
    status, state = client.control("POST", "/sim/accounts/MASTER", {"tier": "pro"})
    assert (status, state["limits"]["rest"]) == (200, {"level": "15", "maximum": "20", "drain_per_s": "1"})
    simulator.advance(2)
    assert limits_of(simulator)["rest"]["level"] == "13"
    simulator.update_account("MASTER", tier="off")
    assert "rest" not in limits_of(simulator)
    simulator.update_account("MASTER", tier="pro")
    assert limits_of(simulator)["rest"]["level"] == "0"
    simulator.audit()
    status, document = client.control("POST", "/sim/accounts/MASTER", {"tier": "vip", "nonce_window": 7})
    assert (status, document["error"][:11]) == (400, "tier: 'vip'")
    assert simulator.state()["accounts"]["MASTER"]["nonce_window"] == 0
    with pytest.raises(ValueError, match="tier must be one of off"):
        Simulator(tier="vip")


# --- the audit ---


def _charge_twice(limits: Limits) -> None:
    limits.standings["MASTER"].counters[""].level += 1


def _forget(limits: Limits) -> None:
    limits.standings["MASTER"].counters["XXBTZUSD"].level = Decimal(0)


def _drain_faster(limits: Limits) -> None:
    limits.standings["MASTER"].counters[""].at_ns -= 10 * NS


@pytest.mark.parametrize("tamper", [_charge_twice, _forget, _drain_faster])
def test_the_audit_sees_a_counter_that_is_wrong(tamper: Callable[[Limits], None]) -> None:
    simulator, client = simulated("pro")
    for _ in range(12):
        client.private("Balance")
    client.private("AddOrder", **ORDER)
    simulator.audit()
    tamper(simulator.exchange.limits)
    assert simulator.journal()["summary"]["counters_right"] is False
    with pytest.raises(AuditFailed, match="MASTER: counter"):
        simulator.audit()
    assert client.control("GET", "/sim/audit")[1]["findings"]


def test_the_audit_sees_a_call_let_through_without_room() -> None:
    simulator, client = simulated("pro")
    for _ in range(20):
        client.private("Balance")
    simulator.exchange.limits.standings["MASTER"].counters[""].level -= 1
    assert client.private("Balance")["error"] == []
    with pytest.raises(AuditFailed, match="Balance was let through at level 20"):
        simulator.audit()


def test_the_audit_sees_what_is_held_and_nonces_that_fell() -> None:
    simulator, client = simulated("off")
    client.private("AddOrder", nonce=9, cl_ord_id="mine", **ORDER)
    simulator.audit()
    account = simulator.exchange.accounts["MASTER"]
    account.held["ZUSD"] += 1
    account.open_client_ids.clear()
    account.highest_nonce = 3
    client.private("Balance", nonce=4)
    with pytest.raises(AuditFailed) as caught:
        simulator.audit()
    assert [word in str(caught.value) for word in ("held ZUSD", "client ids", "nonce")] == [True] * 3


def test_the_audit_forgives_a_nonce_that_was_lowered_by_hand() -> None:
    simulator, client = simulated("off")
    client.private("Balance", nonce=9)
    simulator.update_account("MASTER", nonce="3")
    client.private("Balance", nonce=4)
    assert simulator.journal()["summary"]["nonces_rose"] is False
    simulator.audit()


def test_a_long_run_keeps_few_notes_and_stays_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealane.simulator.exchange.NOTES_KEPT", 50)
    simulator, client = simulated("pro")
    for _ in range(300):
        client.private("Balance")
        simulator.advance(0.7)
    assert 0 < len(simulator.exchange.limits.notes) <= 51
    assert simulator.exchange.replay.levels
    simulator.audit()
