"""Switches from outside: checked, changed while it runs, and what the newest of them do."""

import dataclasses
from typing import Any

import pytest

from sealane.simulator import ControlError, Direct, Simulator, Switches, read_words
from sealane.simulator.switching import changed

LIMIT = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.001", "price": "25000"}
MARKET = {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.001"}


def made(**switches: Any) -> tuple[Simulator, Direct]:
    simulator = Simulator(tier="starter", clock="frozen", switches=Switches(**switches))
    return simulator, simulator.direct()


def level(simulator: Simulator) -> str:
    return str(simulator.state()["accounts"]["MASTER"]["limits"]["rest"]["level"])


def test_words_are_read_by_the_type_of_their_switch() -> None:
    words = ["history_cost=2", "validate_counts=false", "lockout_s=1.5", "otp_error=EGeneral:A=b", "history_cost=3"]
    assert read_words(words) == {
        "history_cost": 3,
        "validate_counts": False,
        "lockout_s": 1.5,
        "otp_error": "EGeneral:A=b",
    }
    assert read_words([]) == {}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("history_costs=2", "switch: 'history_costs' is none; use one of bad_signature_consumes_nonce, .*history_cost"),
        ("", "switch: '' is none"),
        ("history_cost", "history_cost: has no value; write history_cost=value, with a whole number"),
        ("history_cost=two", "history_cost: 'two' is not right; give a whole number from 0 to 1000000000"),
        ("history_cost=1.5", "history_cost: 1.5 is not right"),
        ("history_cost=-1", "history_cost: -1.0 is not right"),
        ("lockout_s=nan", "lockout_s: nan is not right; give a number"),
        ("lockout_s=1e10", "lockout_s: 10000000000.0 is not right"),
        ("validate_counts=1", "validate_counts: '1' is not right; give true or false"),
        ("otp_error=", "otp_error: '' is not right; give a text"),
    ],
)
def test_a_word_that_is_not_right_is_refused(word: str, said: str) -> None:
    with pytest.raises(ControlError, match=said):
        read_words(["throttle_s=1", word])


def test_no_type_passes_for_another() -> None:
    samples: dict[type, Any] = {bool: True, int: 1, float: 1.5, str: "1"}
    for field in dataclasses.fields(Switches):
        for kind, value in samples.items():
            if kind is field.type or (kind, field.type) == (int, float):
                assert getattr(changed(Switches(), {field.name: value}), field.name) == value
            else:
                with pytest.raises(ControlError):
                    changed(Switches(), {field.name: value})


def test_switches_over_http_all_or_nothing() -> None:
    simulator, client = made(history_cost=2)
    status, shown = client.control("GET", "/sim/switches")
    assert (status, shown) == (200, dataclasses.asdict(Switches(history_cost=2)))
    assert client.control("POST", "/sim/switches", {"history_cost": 5, "lockout_s": 3})[1] == shown | {
        "history_cost": 5,
        "lockout_s": 3,
    }
    for wrong in ({"history_cost": 1, "validate_counts": "no"}, {"history_cost": 1, "none": 1}):
        status, document = client.control("POST", "/sim/switches", wrong)
        assert (status, set(document)) == (400, {"error"})
    assert simulator.switches() == Switches(history_cost=5, lockout_s=3)
    simulator.reset()
    assert simulator.switches() == Switches(history_cost=2)


def test_a_change_counts_from_then_on_and_the_audit_follows() -> None:
    simulator, client = made()
    client.private("Ledgers")
    assert level(simulator) == "4"
    simulator.set_switches(history_cost=1)
    client.private("Ledgers")
    assert level(simulator) == "5"
    simulator.audit()


@pytest.mark.parametrize(("costs", "expected"), [(False, "1"), (True, "3")])
def test_a_refused_signature_or_nonce_costs_by_switch(costs: bool, expected: str) -> None:
    simulator, client = made(auth_refusal_costs=costs)
    client.private("Balance", nonce=5)
    assert client.private("Balance", nonce=5)["error"] == ["EAPI:Invalid nonce"]
    body, headers, path = client.signed("Balance", nonce=6)
    client.send("POST", path, body + b"&x=1", headers)
    assert level(simulator) == expected
    simulator.audit()


def test_what_is_refused_for_its_nonce_is_so_even_without_room() -> None:
    simulator, client = made(auth_refusal_costs=True)
    client.private("Balance", nonce=5)
    errors = [client.private("Balance", nonce=5)["error"] for _ in range(20)]
    assert errors == [["EAPI:Invalid nonce"]] * 20
    assert level(simulator) == "15"
    simulator.audit()


@pytest.mark.parametrize(("first", "error"), [(True, "EGeneral:Temporary lockout"), (False, "EAPI:Invalid nonce")])
def test_a_lockout_is_told_before_or_after_the_nonce(first: bool, error: str) -> None:
    _, client = made(lockout_before_nonce=first, lockout_after_nonces=1)
    client.private("Balance", nonce=5)
    client.private("Balance", nonce=5)
    assert client.private("Balance", nonce=5)["error"] == [error]
    assert client.private("Balance", nonce=6)["error"] == ["EGeneral:Temporary lockout"]


@pytest.mark.parametrize("counts", [True, False])
def test_market_orders_count_as_open_by_switch(counts: bool) -> None:
    simulator, client = made(market_counts_as_open=counts)
    for _ in range(60):
        assert client.private("AddOrder", **LIMIT)["error"] == []
        simulator.advance(2)
    full = ["EOrder:Orders limit exceeded"]
    assert client.private("AddOrder", **MARKET)["error"] == (full if counts else [])
    assert client.private("AddOrder", **LIMIT)["error"] == full
    orders = [{name: value for name, value in MARKET.items() if name != "pair"}] * 2
    batch = client.private("AddOrderBatch", as_json=True, pair="XBTUSD", orders=orders)
    assert batch["error"] == (full if counts else [])
    simulator.audit()


def test_the_words_of_states_and_what_they_judge_are_switches() -> None:
    words = {"limit_only_error": "EOrder:No market", "reduce_only_error": "EOrder:Only less"}
    simulator, client = made(**words)
    (txid,) = client.private("AddOrder", **LIMIT)["result"]["txid"]
    simulator.set_status(XBTUSD="limit_only")
    assert client.private("AddOrder", **MARKET)["error"] == ["EOrder:No market"]
    simulator.set_status(XBTUSD="reduce_only")
    assert client.private("AddOrder", **LIMIT)["error"] == ["EOrder:Only less"]
    amend = {"txid": txid, "limit_price": "24000"}
    assert client.private("AmendOrder", **amend)["error"] == ["EOrder:Only less"]
    simulator.set_switches(state_judges_changes=False)
    assert client.private("AmendOrder", **amend)["error"] == []
    assert client.private("AddOrder", **LIMIT)["error"] == ["EOrder:Only less"]
