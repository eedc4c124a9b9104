"""The control side over HTTP, and the journal as a witness of real parallel calls."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sealane.simulator import ControlError, Probe, Simulator

PARALLEL = 8


@pytest.fixture
def kraken() -> Iterator[Simulator]:
    with Simulator(accounts=2, seed=3) as simulator:
        yield simulator


@pytest.fixture
def probe(kraken: Simulator) -> Iterator[Probe]:
    with Probe(kraken.url, kraken.accounts[0]) as client:
        yield client


def at_once(kraken: Simulator, accounts: list[int]) -> dict[str, Any]:
    """One call from each of `accounts`, all at the same moment; the journal's summary."""
    barrier = threading.Barrier(len(accounts))

    def call(place: int, account: int) -> None:
        with Probe(kraken.url, kraken.accounts[account]) as probe:
            probe.public("Time")  # connected before the start
            barrier.wait(10)
            probe.private("Balance", nonce=place + 1)

    threads = [threading.Thread(target=call, args=item) for item in enumerate(accounts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return dict(kraken.journal()["summary"])


def test_parallel_calls_on_one_key_are_seen_to_overlap() -> None:
    with Simulator(latency_ms=500) as kraken:
        figures = at_once(kraken, [0] * PARALLEL)
    entries = kraken.journal()["entries"]  # once it stopped: an answer is heard a moment before it is written down
    assert (figures["max_overlap"], figures["max_overlap_all_keys"]) == (PARALLEL, PARALLEL)
    assert figures["overlapping"] == PARALLEL - 1
    assert sorted(entry["in_flight_at_arrival"] for entry in entries) == list(range(1, PARALLEL + 1))
    assert figures["accepted"] + figures["refused_nonce"] == figures["requests"] == PARALLEL
    assert figures["nonces_rose"] is True  # what came in the wrong order was refused
    assert all(entry["answered_ns"] - entry["arrived_ns"] >= 490_000_000 for entry in entries)


def test_parallel_calls_on_two_keys_overlap_only_over_all() -> None:
    with Simulator(accounts=2, latency_ms=500) as kraken:
        figures = at_once(kraken, [0, 1])
    assert (figures["max_overlap"], figures["max_overlap_all_keys"]) == (1, 2)
    assert {name: tally["accepted"] for name, tally in figures["by_account"].items()} == {"MASTER": 1, "user1": 1}


def test_calls_one_after_the_other_never_overlap(kraken: Simulator) -> None:
    for _ in range(50):
        with Probe(kraken.url, kraken.accounts[0]) as probe:  # a new connection each
            probe.next_nonce = int(kraken.state()["accounts"]["MASTER"]["highest_nonce"]) + 1
            probe.private("Balance")
    figures = kraken.journal()["summary"]
    assert (figures["max_overlap_all_keys"], figures["overlapping"], figures["accepted"]) == (1, 0, 50)


def test_the_journal_over_http(kraken: Simulator, probe: Probe) -> None:
    probe.private("Balance", nonce=5)
    probe.private("AddOrder", nonce=5)
    probe.send("POST", "/0/private/Balance", b"nonce=9", {"API-Key": "nobody"})
    status, journal = probe.control("GET", "/sim/journal")
    assert (status, journal) == (200, kraken.journal())
    assert [(entry["account"], entry["method"], entry["nonce"], entry["outcome"]) for entry in journal["entries"]] == [
        ("MASTER", "Balance", "5", "accepted"),
        ("MASTER", "AddOrder", "5", "refused"),
        (None, "Balance", "9", "refused"),
    ]
    assert [entry["n"] for entry in probe.control("GET", "/sim/journal?limit=1")[1]["entries"]] == [3]
    assert [entry["n"] for entry in probe.control("GET", "/sim/journal?limit=1&account=MASTER")[1]["entries"]] == [2]
    assert probe.control("GET", "/sim/journal?limit=x")[0] == 400
    assert probe.control("DELETE", "/sim/journal")[1]["entries"] == []
    assert kraken.journal()["summary"]["requests"] == 0


def test_faults_over_http(kraken: Simulator, probe: Probe) -> None:
    rule = {"kind": "error", "methods": ["Balance"], "account": None, "count": 2, "error": "EService:Busy"}
    status, kept = probe.control("POST", "/sim/faults", rule)
    assert (status, kept["id"], kept["remaining"], kept["methods"]) == (200, 1, 2, ["Balance"])
    probe.private("Balance")
    assert probe.control("GET", "/sim/faults")[1]["faults"] == [kept | {"remaining": 1}]
    assert probe.control("DELETE", "/sim/faults") == (200, {"faults": []})
    status, document = probe.control("POST", "/sim/faults", {"kind": "delay"})
    assert (status, document["error"][:16]) == (400, "delay_s: missing")
    assert probe.send("POST", "/sim/faults", b"{")[0] == 400
    assert probe.control("POST", "/sim/faults", [1]) == (400, {"error": "body: send a JSON object"})


def test_accounts_over_http(kraken: Simulator, probe: Probe) -> None:
    status, document = probe.control("GET", "/sim/accounts")
    assert (status, document["url"]) == (200, kraken.url)
    assert document["accounts"][1] == {
        "name": "user1",
        "api_key": kraken.accounts[1].api_key,
        "api_secret": kraken.accounts[1].api_secret,
    }
    changes = {
        "nonce": "9000",
        "nonce_window": 3,
        "permissions": ["query-funds"],
        "otp": "x",
        "balances": {"ZUSD": "1"},
    }
    status, state = probe.control("POST", "/sim/accounts/user1", changes)
    assert status == 200
    assert (state["highest_nonce"], state["nonce_window"], state["permissions"]) == ("9000", 3, ["query-funds"])
    assert (state["otp_required"], state["balances"]) == (True, {"ZUSD": "1"})
    assert probe.control("GET", "/sim/state")[1]["accounts"]["user1"] == state


@pytest.mark.parametrize(
    ("name", "changes", "error"),
    [
        ("user7", {}, "account: user7 is not here; use one of MASTER, user1"),
        ("MASTER", {"nonces": 1}, "nonces: cannot be changed; use nonce, nonce_window, permissions, otp, balances"),
        ("MASTER", {"nonce": "-1"}, "nonce: give a whole number"),
        ("MASTER", {"nonce": str(2**63)}, "nonce: give a whole number"),
        ("MASTER", {"nonce": 1.5}, "nonce: give a whole number"),
        ("MASTER", {"nonce_window": -1}, "nonce_window: give"),
        ("MASTER", {"permissions": ["everything"]}, "permissions: give a list out of query-funds"),
        ("MASTER", {"otp": 5}, "otp: give"),
        ("MASTER", {"balances": {"NIJA": 1}}, "balances: NIJA is no asset here"),
        ("MASTER", {"balances": {"ZUSD": "much"}}, "balances: 'much' is no amount"),
        ("MASTER", {"balances": 5}, "balances: give an object"),
    ],
)
def test_changes_that_are_refused_change_nothing(
    kraken: Simulator, probe: Probe, name: str, changes: dict[str, Any], error: str
) -> None:
    before = kraken.state()
    status, document = probe.control("POST", f"/sim/accounts/{name}", {"nonce_window": 1, **changes})
    assert (status, document["error"][: len(error)]) == (400, error)
    assert kraken.state() == before
    with pytest.raises(ControlError):
        kraken.update_account(name, **changes)


def test_state_shows_orders_and_no_secret(kraken: Simulator, probe: Probe) -> None:
    answer = probe.private("AddOrder", pair="XBTUSD", type="buy", ordertype="limit", volume="0.1", price="25000")
    state = probe.control("GET", "/sim/state")[1]
    master = state["accounts"]["MASTER"]
    assert (master["open_orders"], master["closed_orders"], master["highest_nonce"]) == (1, 0, "1")
    assert list(master["orders"]) == answer["result"]["txid"]
    assert master["api_key"] == f"…{kraken.accounts[0].api_key[-4:]}"
    for account in kraken.accounts:
        assert account.api_key not in str(state)
        assert account.api_secret not in str(state)


def test_reset_is_a_new_start_with_the_same_keys(kraken: Simulator, probe: Probe) -> None:
    fresh = kraken.state()
    place = {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.1"}
    first = probe.private("AddOrder", nonce=5, **place)
    kraken.update_account("MASTER", otp="x", permissions=[], nonce_window=5)
    kraken.add_fault("hang")
    assert probe.control("POST", "/sim/reset") == (200, fresh)
    assert kraken.journal() == {"summary": kraken.journal()["summary"], "entries": []}
    assert probe.private("AddOrder", nonce=5, **place) == first


def test_the_root_lists_every_call_that_there_is(kraken: Simulator, probe: Probe) -> None:
    status, document = probe.control("GET", "/sim/")
    assert (status, probe.control("GET", "/sim")) == (200, (200, document))
    listed = [(call["method"], call["path"]) for call in document["calls"]]
    assert sorted(listed) == sorted(kraken.control.routes())
    assert all(call["does"] for call in document["calls"])


@pytest.mark.parametrize(
    "verb_and_path", ["GET /sim/nothing", "PUT /sim/faults", "GET /sim/reset", "GET /sim/accounts/MASTER", "PUT /sim"]
)
def test_other_control_paths_are_not_found(probe: Probe, verb_and_path: str) -> None:
    verb, path = verb_and_path.split()
    assert probe.control(verb, path)[0] == 404
