"""Each fault of the simulator against each broker call: once, where most calls get over it, and as an outage."""

from decimal import Decimal

import pytest

from sealane import Kraken, NotPlaced, Placed, Refused, Unavailable
from sealane.broker import BalanceUnknown, KrakenBroker
from sealane.broker import recovery as recovery_module
from sealane.simulator.fault_fields import KINDS

BUY = {"pair": "XBTUSD", "side": "buy", "volume": "0.01", "price": "1000"}
TIMEOUT_S = 0.2
TOTAL = Decimal(120_000)
REFUSED = "EGeneral:Permission denied"
HARMLESS = [  # an answer comes, however late or odd
    {"kind": "delay", "delay_s": 0.02},
    {"kind": "slow", "slow_s": 0.02},
    {"kind": "warning"},
    {"kind": "hidden", "hidden_s": 0.1},
]
LOST = [
    {"kind": "drop_before"},
    {"kind": "drop_before", "reset": True},
    {"kind": "drop_after"},
    {"kind": "drop_after", "reset": True},
    {"kind": "http_before", "status": 520},
    {"kind": "http_after", "status": 503},
    {"kind": "html", "applied": False},
    {"kind": "html", "applied": True},
    {"kind": "hang", "hang_s": 2, "applied": False},
    {"kind": "hang", "hang_s": 2, "applied": True},
    {"kind": "half"},
    {"kind": "late", "late_s": 0.1, "answer": "drop"},
    {"kind": "slow", "slow_s": 2},
    {"kind": "error", "error": "EService:Unavailable", "consume_nonce": False},
    {"kind": "error", "error": "EGeneral:Internal error"},
]
SAID_NO = [
    {"kind": "error", "error": REFUSED},
    {"kind": "error", "error": "EAPI:Invalid signature", "consume_nonce": False},
]
LOST_READS = [fault for fault in LOST if fault != {"kind": "hang", "hang_s": 2, "applied": True}]
"""Whether a read that nobody heard of was applied is the same to everybody."""
CALLS = {
    "connect": lambda broker: broker.connect(),
    "get_account_balance": lambda broker: broker.get_account_balance(),
    "get_account_balance_detailed": lambda broker: broker.get_account_balance_detailed(),
    "get_positions": lambda broker: broker.get_positions(),
    "_kraken_private_call": lambda broker: broker._kraken_private_call("Balance"),
}
GOOD = {
    "connect": lambda found: found is True,
    "get_account_balance": lambda found: found == TOTAL,
    "get_account_balance_detailed": lambda found: (
        (found["total"], found["error"], found["stale"]) == (TOTAL, None, False)
    ),
    "get_positions": lambda found: {"asset": "XXBT", "symbol": "BTC", "amount": Decimal(5)} in found,
    "_kraken_private_call": lambda found: found["error"] == [] and found["result"]["USDT"] == "20000.00000000",
}


def words(fault):
    return "-".join(map(str, fault.values()))


def test_no_kind_of_fault_is_left_out():
    assert {fault["kind"] for fault in HARMLESS + LOST + SAID_NO} == set(KINDS)


@pytest.fixture
def broker(keys, monkeypatch):
    monkeypatch.setattr(recovery_module, "pause", lambda stop, _seconds: stop.wait(60))
    monkeypatch.setattr("sealane.core.call.READ_PAUSES_S", (0.0,))
    monkeypatch.setenv("SEALANE_VISIBILITY_LAG_S", "0.3")
    with Kraken.from_env(timeout_s=TIMEOUT_S) as client, KrakenBroker(client=client, balance_cache_s=0) as broker:
        yield broker


@pytest.mark.parametrize("fault", HARMLESS + LOST_READS, ids=words)
def test_a_call_gets_over_one_fault(keys, broker, fault):
    for name, call in CALLS.items():
        keys.add_fault(**fault, methods=["Balance"])
        assert GOOD[name](call(broker)), name
        assert (broker.get_error_count(), broker.is_available()) == (0, True)
    assert keys.journal()["summary"]["refused_nonce"] == 0


@pytest.mark.parametrize("fault", LOST_READS + SAID_NO, ids=words)
@pytest.mark.parametrize("call", CALLS)
def test_an_outage_with_nothing_known(keys, broker, fault, call):
    keys.add_fault(**fault, methods=["Balance"], count=100)
    counted = call != "_kraken_private_call"
    if call == "connect":
        assert broker.connect() is False
    elif call == "get_account_balance_detailed":
        found = broker.get_account_balance_detailed()
        assert (found["total"], found["usd"], found["amounts"], found["stale"]) == (None, None, None, False)
        assert (found["error_count"], found["as_of"], bool(found["error"])) == (1, None, True)
    elif counted:
        with pytest.raises(BalanceUnknown) as caught:
            CALLS[call](broker)
        assert isinstance(caught.value.__cause__, (Unavailable, Refused))
    elif fault in SAID_NO:
        assert broker._kraken_private_call("Balance") == {"error": [fault["error"]]}
    else:
        with pytest.raises(Unavailable):
            broker._kraken_private_call("Balance")
    assert broker.get_error_count() == counted


@pytest.mark.parametrize("fault", LOST_READS + SAID_NO, ids=words)
def test_an_outage_with_a_balance_known(keys, broker, fault, caplog):
    assert broker.connect()
    keys.add_fault(**fault, methods=["Balance"], count=100)
    assert broker.get_account_balance() == TOTAL
    assert "Using last known balance: $120000.00" in caplog.text
    found = broker.get_account_balance_detailed()
    assert (found["total"], found["stale"], found["error_count"], found["available"]) == (TOTAL, True, 2, True)
    assert found["error"]
    assert found["age_s"] > 0
    with pytest.raises(BalanceUnknown):
        broker.get_positions()
    assert (broker.get_error_count(), broker.is_available()) == (3, False)
    assert broker.connect() is False
    keys.clear_faults()
    assert broker.get_account_balance_detailed()["error"] is None
    assert (broker.get_error_count(), broker.is_available()) == (0, True)


@pytest.mark.parametrize("fault", HARMLESS + LOST + SAID_NO, ids=words)
def test_an_order_ends_once_whatever_happens(keys, broker, fault):
    keys.add_fault(**fault, methods=["AddOrder"])
    end = broker.place_order(**BUY)
    there = [
        row for row in keys.state()["accounts"]["MASTER"]["orders"].values() if row["cl_ord_id"] == end.client_order_id
    ]
    assert len(there) == (1 if isinstance(end, Placed) else 0)
    if fault in SAID_NO:
        assert isinstance(end, NotPlaced)
        assert end.kraken_error == fault["error"]
    assert (broker.get_error_count(), broker.is_available()) == (0, True)
    assert broker.get_account_balance() == TOTAL
