"""KrakenBroker on the simulator: the documents' own tests, accounts side by side, orders, the cache, the log."""

import asyncio
import inspect
import json
import logging
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from sealane import AsyncKraken, InDoubt, Kraken, NotPlaced, Placed, Quarantined, SettingsError, Unavailable
from sealane.broker import (
    AccountType,
    BalanceUnknown,
    Broker,
    BrokerFigures,
    KrakenBroker,
    KrakenBrokerAdapter,
    RecoveryFigures,
)
from sealane.broker import recovery as recovery_module
from sealane.client import own_writes
from sealane.client.session import BRIEF_ANSWER_S
from sealane.core.events import DoubtResolved
from sealane.core.verdict import Failure, Reply
from sealane.simulator import Simulator
from sealane.telemetry import subscribe
from sealane.transport.scripted import ScriptedTransport

BUY = {"pair": "XBTUSD", "side": "buy", "volume": "0.01", "price": "1000"}
USER = "daivon_frazier"
DAY_NS = 86_400 * 10**9
LIMIT_S = 60


@pytest.fixture(autouse=True)
def resting_recovery(monkeypatch):
    """The background begins and waits, and tries nothing: its own tests are elsewhere."""
    monkeypatch.setattr(recovery_module, "pause", lambda stop, _seconds: stop.wait(LIMIT_S))
    monkeypatch.setattr("sealane.core.call.READ_PAUSES_S", (0.0,))
    monkeypatch.setenv("SEALANE_VISIBILITY_LAG_S", "0.3")


@pytest.fixture
def broker(keys):
    with KrakenBroker(account_type=AccountType.MASTER) as broker:
        yield broker


def asked(sim, method="Balance", account="MASTER"):
    return sum(entry["method"] == method and entry["account"] == account for entry in sim.journal()["entries"])


# --- the documents' own tests -----------------------------------------------------------------------------------------


def test_fields_and_initial_state(broker):
    figures = broker.figures()
    assert isinstance(figures, BrokerFigures)
    assert (figures.total, figures.error_count, figures.available) == (None, 0, True)
    assert (figures.as_of, figures.age_s, figures.last_error) == (None, None, None)
    assert figures.recovery == RecoveryFigures()
    assert broker.is_available() is True
    assert broker.get_error_count() == 0


def test_making_one_asks_and_opens_nothing(keys, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "untouched"))
    KrakenBroker(AccountType.MASTER).close()
    assert not (tmp_path / "untouched").exists()
    assert keys.journal()["summary"]["requests"] == 0


def test_the_60_second_check(keys, capsys):
    """The documents' code, as it stands there."""
    broker = KrakenBroker(account_type=AccountType.MASTER)
    if broker.connect():
        print("✅ Connected to Kraken")
        balance = broker.get_account_balance()
        print(f"💰 Balance: ${balance:.2f}")
        print(f"🟢 Available: {broker.is_available()}")
        print(f"📊 Error count: {broker.get_error_count()}")
    else:
        print("❌ Connection failed")
    broker.close()
    assert capsys.readouterr().out.splitlines() == [
        "✅ Connected to Kraken",
        "💰 Balance: $120000.00",
        "🟢 Available: True",
        "📊 Error count: 0",
    ]
    assert asked(keys) == 1  # "ONE private request"


def test_availability_and_error_count(keys, broker):
    assert broker.connect()
    keys.add_fault("error", error="EGeneral:Permission denied", methods=["Balance"], count=4)
    broker._cache_s = 0
    seen = []
    for _ in range(5):
        assert broker.get_account_balance() == 120_000
        seen.append((broker.get_error_count(), broker.is_available()))
    assert seen == [(1, True), (2, True), (3, False), (4, False), (0, True)]


def test_it_is_a_broker(broker):
    port: Broker = broker
    for name, member in vars(Broker).items():
        if not name.startswith("_") and callable(member):
            assert inspect.signature(getattr(type(port), name)).parameters.keys() >= {"self"}


# --- whose account ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"account_type": AccountType.USER}, "account_name is missing"),
        ({"account_type": AccountType.USER, "account_name": "Master"}, "use AccountType.MASTER"),
        ({"account_type": AccountType.MASTER, "account_name": "anna"}, "AccountType.USER"),
        ({"account_type": "boss"}, "account_type is 'boss'"),
        ({"balance_cache_s": -1}, "balance_cache_s is -1"),
        ({"balance_cache_s": "5"}, "balance_cache_s is '5'"),
        ({"balance_cache_s": None}, "balance_cache_s is None"),
        ({"balance_cache_s": True}, "balance_cache_s is True"),
        ({"balance_cache_s": float("nan")}, "balance_cache_s is nan"),
    ],
)
def test_arguments_that_contradict_each_other(arguments, told):
    with pytest.raises(SettingsError, match=told):
        KrakenBroker(**arguments)


def test_a_client_that_is_there_already(keys):
    with Kraken.from_env(USER) as client, Kraken(url=keys.url) as keyless:
        with KrakenBroker(AccountType.USER, client=client) as broker:
            assert broker.account == USER
            assert broker.client is client
            assert broker.get_account_balance() == 121_000
        assert client.private("Balance")  # close() left it open
        with pytest.raises(SettingsError, match="give AccountType"):
            KrakenBroker(client=client)
        with pytest.raises(SettingsError, match=USER):
            KrakenBroker(AccountType.USER, "somebody", client=client)
        with pytest.raises(SettingsError, match="no API key"):
            KrakenBroker(client=keyless)


def test_a_user_by_any_spelling(keys):
    with KrakenBroker(AccountType.USER, USER.upper()) as broker:
        assert broker.connect()
        assert broker.account == USER
        assert f"USER:{USER} " in repr(broker)
        assert broker._balance.label == f"USER:{USER}"


def test_a_missing_key_is_told_by_connect(caplog):
    with KrakenBroker(AccountType.USER, "nobody") as broker:
        assert broker.connect() is False
        assert "❌ Kraken not connected: account nobody has no API key: set KRAKEN_USER_nobody_API_KEY" in caplog.text
        with pytest.raises(BalanceUnknown, match="KRAKEN_USER_nobody_API_KEY"):
            broker.get_account_balance()
        assert broker.get_account_balance_detailed()["total"] is None
        assert not broker.is_available()
        for call in (lambda: broker.place_order(**BUY), lambda: broker._kraken_private_call("Balance")):
            with pytest.raises(SettingsError, match="KRAKEN_USER_nobody_API_KEY"):
                call()


def test_closed_is_closed(keys, broker):
    assert broker.connect()
    other = KrakenBroker()
    assert other.connect()
    broker.close()
    broker.close()
    assert broker.connect() is False
    found = broker.get_account_balance_detailed()
    assert (found["total"], found["stale"]) == (120_000, True)
    assert "closed" in found["error"]
    with pytest.raises(SettingsError, match="closed"):
        broker.place_order(**BUY)
    assert other.get_error_count() == 0  # nobody else suffers from it
    other.close()


# --- the balance ------------------------------------------------------------------------------------------------------


def test_money_by_all_its_names(keys):
    """The simulator trades no assets with suffixes, so the answer is scripted."""
    held = {"ZUSD": "1.5", "USD.F": "2", "USD.HOLD": "0.25", "USDT": "3", "USDT.F": "0.125", "USDC": "9", "XXBT": "1"}
    answer = ScriptedTransport(Reply(200, json.dumps({"error": [], "result": held}).encode()))
    with Kraken.from_env(transport=answer) as client, KrakenBroker(client=client) as broker:
        found = broker.get_account_balance_detailed()
        assert (found["total"], found["usd"], found["usdt"]) == (Decimal("6.875"), Decimal("3.75"), Decimal("3.125"))
        assert type(broker.get_account_balance()) is Decimal
        assert [row["asset"] for row in broker.get_positions()] == ["USDC", "XXBT"]
        assert broker.get_positions()[1] == {"asset": "XXBT", "symbol": "BTC", "amount": Decimal(1)}


def test_an_empty_account_is_zero_and_an_unknown_one_is_not(keys, broker):
    keys.add_fault("error", error="EGeneral:Permission denied", methods=["Balance"])
    with pytest.raises(BalanceUnknown, match=r"balance of MASTER is unknown: EGeneral:Permission denied") as caught:
        broker.get_account_balance()
    assert isinstance(caught.value, Unavailable)
    keys.update_account("MASTER", balances={})
    assert broker.get_account_balance() == 0
    assert broker.get_positions() == []


def test_positions_are_never_old(keys, broker):
    assert broker.connect()
    broker._cache_s = 0
    keys.add_fault("error", error="EGeneral:Permission denied", methods=["Balance"])
    with pytest.raises(BalanceUnknown, match="Permission denied"):
        broker.get_positions()


def test_brokers_of_one_account_ask_once(keys):
    with KrakenBroker() as one, KrakenBroker() as two, KrakenBroker(AccountType.USER, USER) as user:
        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(broker.get_account_balance) for broker in (one, two) * 8]
            assert {call.result(LIMIT_S) for call in calls} == {120_000}
        assert user.get_account_balance() == 121_000
        assert (asked(keys), asked(keys, account="user1")) == (1, 1)
        assert isinstance(one.place_order(**BUY), Placed)
        two.get_account_balance()
        assert asked(keys) == 2
        user.get_account_balance()
        assert asked(keys, account="user1") == 1


def test_the_documents_lock_held_by_who_asks(keys, fresh_manager):
    """Another thread's fetch waits for the turn that the asking thread has: it must not wait for that one."""
    with Kraken.from_env(turn_wait_s=5) as client, KrakenBroker(client=client) as broker:
        waits = threading.Event()
        fetch = broker.fetch_holdings
        broker.fetch_holdings = lambda: waits.set() or fetch()
        with ThreadPoolExecutor(1) as pool:
            with fresh_manager.get_kraken_api_lock():
                other = pool.submit(broker.get_account_balance_detailed)
                assert waits.wait(LIMIT_S)
                assert broker.get_account_balance_detailed()["error"] is None
                assert asked(keys) == 1
            assert other.result(LIMIT_S)["error"] is None


# --- orders and other calls -------------------------------------------------------------------------------------------


def test_orders_go_through_once(keys, broker):
    keys.add_fault("drop_after", methods=["AddOrder"])
    end = broker.place_order(**BUY, client_order_id="first")
    assert isinstance(end, Placed)
    assert broker.place_order(**BUY, client_order_id="first") == end
    assert len(keys.state()["accounts"]["MASTER"]["orders"]) == 1
    refused = broker.place_order(**BUY | {"volume": "100000"})
    assert isinstance(refused, NotPlaced)
    assert refused.kraken_error == "EOrder:Insufficient funds"
    assert broker.get_error_count() == 0


@pytest.mark.parametrize("missing", ["pair", "side", "volume"])
def test_an_order_lacks_something(keys, broker, missing):
    with pytest.raises(SettingsError, match=f"{missing} missing from the order"):
        broker.place_order(**BUY | {missing: None})
    assert keys.journal()["summary"]["requests"] == 0


def test_a_doubt_is_raised_as_it_is_and_drops_the_cache(keys, broker):
    assert broker.connect()
    keys.add_fault("drop_after", count=1_000)
    with pytest.raises(InDoubt) as caught:
        broker.place_order(**BUY, deadline_s=3, timeout_s=0.5, client_order_id="doubtful")
    assert caught.value.client_order_id == "doubtful"
    assert not broker._balance.standing.is_cached


def test_private_calls_in_the_documents_shape(keys, broker):
    found = broker._kraken_private_call("Balance")
    assert found["error"] == []
    assert found["result"]["ZUSD"] == "100000.0000"
    nothing = broker._kraken_private_call("ClosedOrders", {"cl_ord_id": "unknown"})
    assert nothing == {"error": [], "result": {"closed": {}, "count": 0}}
    with pytest.raises(SettingsError, match="nonce"):
        broker._kraken_private_call("Balance", {"nonce": 1})
    keys.add_fault("error", error="EGeneral:Permission denied", methods=["Balance"])
    assert broker._kraken_private_call("Balance") == {"error": ["EGeneral:Permission denied"]}
    keys.add_fault("http_before", status=502, methods=["Balance"], count=100)
    with pytest.raises(Unavailable):
        broker._kraken_private_call("Balance")
    assert broker.get_error_count() == 0


def test_writes_drop_the_cache_and_reads_do_not(keys, broker):
    broker.get_account_balance()
    broker._kraken_private_call("OpenOrders")
    broker.get_account_balance()
    assert asked(keys) == 1
    broker._kraken_private_call("CancelAll")
    broker.get_account_balance()
    assert asked(keys) == 2


WRITES = {
    "place_order": lambda kraken: kraken.place_order(**BUY),
    "amend_order": lambda kraken: kraken.amend_order(client_order_id="there", volume="0.02"),
    "cancel_order": lambda kraken: kraken.cancel_order(client_order_id="there"),
    "cancel_all": lambda kraken: kraken.cancel_all(),
    "private": lambda kraken: kraken.private("CancelAll"),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_of_any_client_of_the_account_drops_the_cache(keys, broker, write):
    with Kraken.from_env() as other, Kraken.from_env(USER) as user:
        other.place_order(**BUY, client_order_id="there")
        broker.get_account_balance()
        count = asked(keys)
        other.private("OpenOrders")
        WRITES["place_order"](user)
        broker.get_account_balance()
        assert asked(keys) == count
        WRITES[write](other)
        broker.get_account_balance()
        assert asked(keys) == count + 1


def test_a_write_of_the_asyncio_client_does_too(keys, broker):
    async def place():
        async with AsyncKraken.from_env() as kraken:
            return await kraken.place_order(**BUY)

    broker.get_account_balance()
    assert isinstance(asyncio.run(place()), Placed)
    broker.get_account_balance()
    assert asked(keys) == 2


def test_a_write_drops_the_cache_before_it_goes(keys, broker, monkeypatch):
    seen = []
    with Kraken.from_env() as other:
        broker.get_account_balance()
        send = other._transport.send
        monkeypatch.setattr(
            other._transport, "send", lambda request: seen.append(broker._balance.standing.is_cached) or send(request)
        )
        other.private("CancelAll")
    assert seen[0] is False


def test_an_order_that_comes_out_of_doubt_in_the_background_drops_the_cache(keys, broker):
    resolved = threading.Event()
    unsubscribe = subscribe(lambda event: resolved.set() if isinstance(event, DoubtResolved) else None)
    with Kraken.from_env() as other:
        keys.add_fault("drop_after", count=1_000)
        with pytest.raises(InDoubt):
            other.place_order(**BUY, deadline_s=3, timeout_s=0.5)
        broker._ready()
        drops = broker._balance._orders
        keys.clear_faults()
        assert resolved.wait(LIMIT_S)
        assert broker._balance._orders > drops
    unsubscribe()


def test_nobody_is_told_once_the_broker_is_gone(keys):
    before = len(own_writes._listeners)
    brokers = [KrakenBroker(), KrakenBroker()]
    for one in brokers:
        one.connect()
    assert len(own_writes._listeners) == before + 1  # one for the account they share
    for one in brokers:
        one.close()
    assert len(own_writes._listeners) == before


def test_the_adapter_gives_dicts(keys, broker):
    adapter = KrakenBrokerAdapter(broker)
    assert adapter.connect()
    found = adapter.get_account_balance()
    assert (found["balance"], found["currency"], found["error"], found["stale"]) == (120_000, "USD", None, False)
    assert {row["asset"] for row in adapter.get_positions()["positions"]} == {
        "SOL",
        "USDC",
        "XETH",
        "XXBT",
        "XXDG",
        "ZEUR",
    }
    placed = adapter.place_order("XBTUSD", "buy", "0.01", "limit", "1000")
    assert (placed["status"], placed["error"]) == ("placed", None)
    assert placed["order_id"] in keys.state()["accounts"]["MASTER"]["orders"]
    refused = adapter.place_order("XBTUSD", "buy", Decimal(100_000))
    assert refused["status"] == "not_placed"
    assert "EOrder:Insufficient funds" in refused["error"]
    assert adapter.place_order("XBTUSD", "buy", 0.01)["status"] == "not_sent"  # money is no float


def test_the_adapter_takes_a_price_for_a_limit(keys, broker):
    adapter = KrakenBrokerAdapter(broker)
    named = adapter.place_order("XBTUSD", "buy", "0.01", price="1000")
    (row,) = keys.state()["accounts"]["MASTER"]["orders"].values()
    assert (named["status"], row["status"]) == ("placed", "open")  # at the market it would be filled
    assert "market order has no price" in adapter.place_order("XBTUSD", "buy", "0.01", "market", "1000")["error"]
    assert adapter.place_order("XBTUSD", "buy", "0.001")["status"] == "placed"


@pytest.mark.parametrize(
    "fields",
    [
        {"volume": "3"},
        {"pair": "ETHUSD"},
        {"type": "sell"},
        {"ordertype": "limit"},
        {"deadline_s": "soon"},
        {"nonce": 1},
    ],
)
def test_the_adapter_sends_nothing_for_a_wrong_field(keys, broker, fields):
    order = KrakenBrokerAdapter(broker).place_order("XBTUSD", "buy", "0.1", **fields)
    assert order["status"] == "not_sent"
    assert next(iter(fields)) in order["error"]
    assert keys.journal()["summary"]["requests"] == 0


def test_what_nobody_thought_of_leaves_the_adapters_order_in_doubt(keys, broker, monkeypatch, caplog):
    def break_down(**order):
        raise TypeError("who would have thought")

    monkeypatch.setattr(broker, "place_order", break_down)
    order = KrakenBrokerAdapter(broker).place_order("XBTUSD", "buy", "0.1", client_order_id="mine")
    assert (order["status"], order["client_order_id"]) == ("in_doubt", "mine")
    assert order["error"] == "TypeError: who would have thought"
    assert "order mine failed unexpectedly" in caplog.text
    assert KrakenBrokerAdapter(broker).place_order("XBTUSD", "buy", "0.1")["client_order_id"]


def test_the_adapter_never_shows_nothing_as_zero(keys, broker):
    adapter = KrakenBrokerAdapter(broker)
    keys.add_fault("drop_after", count=1_000)
    found = adapter.get_account_balance()
    assert (found["balance"], found["total"], found["amounts"], found["available"]) == (None, None, None, True)
    assert found["error"]
    assert adapter.get_positions()["positions"] is None
    doubt = adapter.place_order("XBTUSD", "buy", "0.01", "limit", "1000", deadline_s=3, timeout_s=0.5)
    assert (doubt["status"], doubt["order_id"]) == ("in_doubt", None)
    assert doubt["client_order_id"]
    assert adapter.get_error_count() == 2
    assert adapter.is_available()
    adapter.close()


# --- accounts side by side --------------------------------------------------------------------------------------------


def test_a_poisoned_key_disturbs_nobody_else(into_environment):
    users = ("anna", "ben_two", "carl")
    with Simulator(accounts=4, seed=3) as sim:
        into_environment(sim, *users)
        poison(sim, "user2")
        brokers = [KrakenBroker(balance_cache_s=0)] + [
            KrakenBroker(AccountType.USER, name, balance_cache_s=0) for name in users
        ]
        poisoned = brokers.pop(2)
        with ThreadPoolExecutor(4) as pool:
            bad = pool.submit(lambda: [poisoned.get_account_balance_detailed() for _ in range(5)])
            good = [pool.submit(lambda one: [one.get_account_balance() for _ in range(10)], one) for one in brokers]
            balances = [set(one.result(LIMIT_S)) for one in good]
        assert balances == [{120_000}, {121_000}, {123_000}]
        assert [one.figures().error_count for one in brokers] == [0, 0, 0]
        assert all(one.is_available() for one in brokers)
        found = bad.result(LIMIT_S)
        assert [one["error_count"] for one in found] == [1, 2, 3, 4, 5]
        assert not poisoned.is_available()
        assert found[-1]["error"].startswith("EAPI:Invalid nonce: the key of ben_two is quarantined")
        with pytest.raises(BalanceUnknown) as caught:
            poisoned.get_account_balance()
        assert isinstance(caught.value.__cause__, Quarantined)
        for one in brokers:
            assert isinstance(one.place_order(**BUY), Placed)
        refused = {entry["account"] for entry in sim.journal()["entries"] if entry["outcome"] != "accepted"}
        assert refused == {"user2"}
        for one in (*brokers, poisoned):
            one.close()


def poison(sim, account):
    sim.update_account(account, nonce=str(time.time_ns() + 30 * DAY_NS))


# --- the log ----------------------------------------------------------------------------------------------------------


def test_the_documents_lines(keys, caplog):
    caplog.set_level(logging.INFO)
    with KrakenBroker(balance_cache_s=0) as broker, KrakenBroker(AccountType.USER, USER, balance_cache_s=0) as user:
        assert broker.connect()
        assert user.connect()
        for line in (
            "✅ Using GLOBAL Kraken Nonce Manager for MASTER (nanosecond precision)",
            f"✅ Using GLOBAL Kraken Nonce Manager for USER:{USER} (nanosecond precision)",
            "💰 Kraken Balance (MASTER): ✅ Available USD: $100000.00, ✅ Available USDT: $20000.00",
            f"💰 Kraken Balance (USER:{USER}): ✅ Available USD: $101000.00",
        ):
            assert line in caplog.text
        assert "❌" not in caplog.text
        keys.add_fault("error", error="EAPI:Invalid key", methods=["Balance"], account="MASTER", count=3)
        for _ in range(3):
            broker.get_account_balance()
        assert "❌ Kraken API error: EAPI:Invalid key (MASTER)" in caplog.text
        assert "⚠️ Using last known balance: $120000.00 (MASTER, 0 s old)" in caplog.text
        assert caplog.text.count("❌ Kraken marked unavailable after 3 consecutive errors (MASTER)") == 1
        broker.get_account_balance()
        assert "✅ Kraken available again (MASTER)" in caplog.text
        poison(keys, "MASTER")
        broker.get_account_balance()
        assert "❌ Kraken API error: EAPI:Invalid nonce" in caplog.text
        for secret in (os.environ["KRAKEN_API_KEY"], os.environ["KRAKEN_API_SECRET"]):
            assert secret not in caplog.text + repr(broker) + repr(broker.figures()) + str(vars(broker))


GLOBAL_LINE = "Global Kraken Nonce Manager initialized (persisted nonce: "


def test_the_lanes_line_is_there_once_for_all_brokers(keys, caplog, fresh_manager):
    caplog.set_level(logging.INFO)
    with KrakenBroker() as broker, KrakenBroker(AccountType.USER, USER) as user:
        assert GLOBAL_LINE not in caplog.text
        assert broker.connect()
        assert user.connect()
    assert caplog.text.count(GLOBAL_LINE) == 1


def test_a_lane_for_each_key_has_no_such_line(keys, caplog, fresh_manager, monkeypatch):
    monkeypatch.setenv("SEALANE_LANES", "per-key")
    caplog.set_level(logging.INFO)
    with KrakenBroker() as broker:
        assert broker.connect()
    assert "Global Kraken Nonce Manager" not in caplog.text


def test_a_client_that_is_given_brings_no_other_lane_with_it(keys, caplog, fresh_manager):
    caplog.set_level(logging.INFO)
    with Kraken.from_env(account=USER) as client, KrakenBroker(AccountType.USER, client=client) as broker:
        assert broker.connect()
    assert GLOBAL_LINE not in caplog.text


# --- forks ------------------------------------------------------------------------------------------------------------

FORKING = """
import os, signal, sys, threading
from sealane.broker import KrakenBroker
broker = KrakenBroker(balance_cache_s=float(sys.argv[1]))
assert broker.connect()
stop = threading.Event()
def hammer():
    while not stop.is_set():
        broker.get_account_balance()
        broker._balance.drop()
threads = [threading.Thread(target=hammer) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(10):
    child = os.fork()
    if not child:
        signal.alarm(20)
        good = broker.get_account_balance() == 120_000 and broker.figures().error_count == 0
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
broker.close()
"""


@pytest.mark.parametrize("cache_s", ["0", "5"])
def test_children_of_a_busy_process(keys, cache_s):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING, cache_s], timeout=LIMIT_S, stderr=subprocess.PIPE, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    assert keys.journal()["summary"]["refused_nonce"] == 0


def test_recovery_over_the_wire(keys, broker, monkeypatch):
    """Trouble ends while nobody asks: the background finds out."""
    tries = threading.Semaphore(0)
    monkeypatch.setattr(recovery_module, "pause", lambda stop, _seconds: not tries.acquire(timeout=LIMIT_S))
    keys.add_fault("error", error="EService:Throttled: 1", methods=["Balance"], count=4)
    for _ in range(3):
        broker.get_account_balance_detailed()
    assert not broker.is_available()
    thread = next(thread for thread in threading.enumerate() if thread.name == "sealane-broker")
    assert broker.figures().recovery.waiting
    tries.release(2)
    thread.join(LIMIT_S)
    assert broker.is_available()
    assert (broker.figures().total, broker.figures().recovery.attempts) == (120_000, 2)


def test_a_try_of_the_background_is_one_request_with_a_short_limit(keys):
    transport = ScriptedTransport(Failure(True, "no answer"))
    with Kraken.from_env(transport=transport) as client, KrakenBroker(client=client) as broker:
        with pytest.raises(Unavailable):
            broker.fetch_briefly()
        assert [request.limit_s for request in transport.requests] == [BRIEF_ANSWER_S]
        with pytest.raises(Unavailable):
            broker.fetch_holdings()
        assert [request.limit_s for request in transport.requests[1:]] == [None, None]  # a caller has more patience
