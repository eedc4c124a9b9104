"""``sealane run`` through the real command line: rounds for every account, limits, one account's trouble kept apart."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from sealane.cli.app import app
from sealane.simulator import Simulator
from sealane.trading.reservation import Reservation

LIMIT_S = 60
BOT = """
import sys
import threading
from decimal import Decimal
from sealane.trading import Signal

class Both:
    def decide(self, market, account):
        volume, price = Decimal("0.0001"), market.quotes["XBTUSD"].bid / 2
        return [Signal("XBTUSD", "buy", volume, price.quantize(Decimal("0.1"))), Signal("XBTUSD", "sell", volume)]

class Large:
    def decide(self, market, account):
        return [Signal("XBTUSD", "buy", Decimal(1)), Signal("ETHUSD", "sell", Decimal("0.001"))]

class Buys:
    def decide(self, market, account):
        volume = (Decimal(30) / market.quotes["XBTUSD"].ask).quantize(Decimal("0.00000001"))
        return [Signal("XBTUSD", "buy", volume)] * 4

class Bids:
    def decide(self, market, account):
        price = (market.quotes["XBTUSD"].bid / 2).quantize(Decimal("0.1"))
        return [Signal("XBTUSD", "buy", (Decimal(30) / price).quantize(Decimal("0.00000001")), price)]

class Hangs:
    def decide(self, market, account):
        print("deciding", file=sys.stderr, flush=True)
        threading.Event().wait(600)

class Quits:
    def decide(self, market, account):
        raise SystemExit(3)

class AnnFails(Both):
    def decide(self, market, account):
        if account.account == "ann":
            raise ValueError("no idea")
        return super().decide(market, account)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "bot.py").write_text(BOT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALANE_ALLOWED_PAIRS", "XBTUSD")


@pytest.fixture
def four(into_environment):
    with Simulator(accounts=4, seed=17) as sim:
        into_environment(sim, "ann", "bob", "cy_d")
        yield sim
    sim.audit()


def command(*words):
    return [sys.executable, "-m", "sealane.cli", "run", *words]


def run(*words, code=0, **environment):
    done = subprocess.run(
        command(*words), capture_output=True, text=True, timeout=LIMIT_S, env=os.environ | environment, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def document(*words, code=0, **environment):
    done = run(*words, "--json", code=code, **environment)
    (line,) = done.stdout.splitlines()
    return json.loads(line), done.stderr


def accounts(found):
    return {account["account"]: account for account in found["accounts"]}


def orders(sim):
    return {name: list(account["orders"].values()) for name, account in sim.state()["accounts"].items()}


@pytest.mark.parametrize("lanes", ["global", "per-key"])
def test_master_and_three_users_and_one_poisoned_key_disturbs_nobody(four, lanes):
    four.update_account("user2", nonce=str(2 * 10**18 + 10**17))
    found, said = document("bot:Both", "--rounds", "3", "--interval-s", "0.3", SEALANE_LANES=lanes)
    assert (found["live"], found["rounds"], found["unfinished"]) == (False, 3, [])
    by_name = accounts(found)
    assert list(by_name) == ["MASTER", "ann", "bob", "cy_d"]
    for name in ("MASTER", "ann", "cy_d"):
        account = by_name[name]
        assert (account["rounds"], account["passed"], account["passed_over"]) == (3, 3, 0), said
        assert account["signals"]["validated"] == 6
        assert account["trouble"] is None
    bob = by_name["bob"]
    assert (bob["rounds"], bob["passed"]) == (3, 0)
    assert "quarantined" in bob["last"]["gates"][0]["reason"]
    assert [gate["passed"] for gate in bob["last"]["gates"]] == [False, None, None, None, None]
    entries = four.journal()["entries"]
    assert {entry["account"] for entry in entries if entry["outcome"] != "accepted"} == {"user2"}
    assert {entry["method"] for entry in entries if entry["account"] == "user2"} == {"Balance"}
    assert "VALIDATE-ONLY" in said
    assert orders(four) == {"MASTER": [], "user1": [], "user2": [], "user3": []}


def test_a_strategy_that_fails_for_one_account_goes_on_for_the_others(four):
    found, said = document("bot:AnnFails", "--rounds", "2", "--interval-s", "0.2")
    by_name = accounts(found)
    assert [account["passed"] for account in by_name.values()] == [2, 0, 2, 2]
    assert by_name["ann"]["last"]["gates"][4]["reason"] == "ValueError: no idea"
    assert "no idea" in said


def test_a_live_run_places_each_order_once_and_within_the_limits(keys):
    found, said = document("bot:Both", "--rounds", "1", "--live", SEALANE_MAX_ORDER_USD="10")
    assert found["live"] is True
    assert f"LIVE: orders are placed at {keys.url}" in said
    for name, shown in (("MASTER", "MASTER"), ("user1", "daivon_frazier")):
        signals = accounts(found)[shown]["last"]["gates"][4]["inputs"]["signals"]
        placed = keys.state()["accounts"][name]["orders"]
        assert [row["end"] for row in signals] == ["placed", "placed"]
        assert {row["txid"] for row in signals} == set(placed)
        assert len(placed) == 2


def test_what_is_beyond_the_limits_is_not_placed(keys):
    found, _ = document(
        "bot:Large", "--rounds", "1", "--live", "--account", "master", code=4, SEALANE_MAX_ORDER_USD="10"
    )
    (account,) = found["accounts"]
    large, other = account["last"]["gates"][4]["inputs"]["signals"]
    assert account["signals"]["blocked"] == 2
    assert "largest order of 10 USD" in large["reason"]
    assert "not among the allowed pairs" in other["reason"]
    assert orders(keys)["MASTER"] == []


CAPITAL = {"SEALANE_MAX_ORDER_USD": "50", "SEALANE_MIN_CAPITAL_USD": "100"}


def test_several_buys_in_a_round_leave_the_least_capital(keys):
    keys.update_account("MASTER", balances={"ZUSD": "200"})
    found, _ = document("bot:Buys", "--rounds", "1", "--live", "-a", "MASTER", code=4, **CAPITAL)
    (account,) = found["accounts"]
    assert (account["signals"]["placed"], account["signals"]["blocked"]) == (3, 1)
    assert Decimal(keys.state()["accounts"]["MASTER"]["balances"]["ZUSD"]) > 109, "fees come on top"


def test_what_open_orders_hold_is_not_capital_in_the_rounds_behind(keys):
    keys.update_account("MASTER", balances={"ZUSD": "200"})
    found, said = document("bot:Bids", "--rounds", "5", "--interval-s", "0.1", "--live", "-a", "MASTER", **CAPITAL)
    assert len(orders(keys)["MASTER"]) == 3, said
    assert found["accounts"][0]["last"]["gates"][0]["inputs"]["total"] == "200.0000"


def test_hard_buy_off_blocks_buys_and_sells_stay_possible(keys):
    found, said = document(
        "bot:Both", "--rounds", "1", "--live", "-a", "MASTER", code=4, SEALANE_MAX_ORDER_USD="10", HARD_BUY_OFF="1"
    )
    assert [row["end"] for row in accounts(found)["MASTER"]["last"]["gates"][4]["inputs"]["signals"]] == [
        "blocked",
        "placed",
    ]
    assert [order["descr"]["type"] for order in orders(keys)["MASTER"]] == ["sell"]
    assert "HARD_BUY_OFF: nothing is bought" in said


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (("bot:Both", "--live"), {}, "SEALANE_MAX_ORDER_USD"),
        (("bot:Both", "--live"), {"SEALANE_MAX_ORDER_USD": "5", "SEALANE_ALLOWED_PAIRS": ""}, "SEALANE_ALLOWED_PAIRS"),
        (("nosuch:Both",), {}, "nosuch cannot be imported"),
        (("bot:Both", "--interval-s", "0"), {}, "interval_s"),
        (("bot:Both", "--account", "nobody"), {}, "KRAKEN_USER_nobody_API_KEY"),
        (("bot:Both",), {"HARD_BUY_OFF": "maybe"}, "HARD_BUY_OFF"),
    ],
)
def test_wrong_settings_exit_with_2_before_anything_is_asked(keys, words, environment, said):
    done = CliRunner().invoke(app, ["run", *words, "--json"], env=environment)
    assert done.exit_code == 2
    assert said in json.loads(done.stdout)["error"]["message"]
    assert keys.journal()["summary"]["requests"] == 0


def test_a_person_reads_a_table(keys):
    done = run("bot:Both", "--rounds", "1", "--account", "MASTER")
    assert done.stdout.split() == ["account", "rounds", "passed", "validated", "MASTER", "1", "1", "2"]
    assert "round 1  MASTER  all gates passed" in done.stderr


def until(true):
    patience = threading.Event()
    for _ in range(LIMIT_S * 100):
        if true():
            return
        patience.wait(0.01)
    raise AssertionError("it did not come to that")


def started(*words, **environment):
    return subprocess.Popen(
        command(*words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"SEALANE_MAX_ORDER_USD": "10"} | environment,
    )


def heard(process, said):
    """Read what it says until it says this; all of it."""
    lines = []
    while said not in (line := process.stderr.readline()):
        lines.append(line)
        assert line, "".join(lines)
    return "".join([*lines, line])


@contextmanager
def ended(*processes):
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=LIMIT_S)


def asked(sim, method):
    return [entry for entry in sim.journal()["entries"] if entry["method"] == method]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_what_is_in_flight_and_starts_nothing_more(keys, number):
    """The first of two orders is on its way when the signal comes: it ends as placed, the second is not sent."""

    def arrived():
        return [entry for entry in keys.journal()["entries"] if entry["method"] == "AddOrder"]

    keys.add_fault("delay", methods=["AddOrder"], delay_s=1.0)
    words = ("bot:Both", "--live", "--interval-s", "0.1", "--account", "MASTER", "--json")
    process = started(*words)
    try:
        until(arrived)
        assert arrived()[0]["outcome"] == "pending"
        process.send_signal(number)
        out, said = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        process.wait(LIMIT_S)
    assert process.returncode == 0, said
    assert "stopping: " in said
    found = json.loads(out)
    assert (found["stopped"], found["rounds"], found["unfinished"]) == (True, 1, [])
    first, second = accounts(found)["MASTER"]["last"]["gates"][4]["inputs"]["signals"]
    assert (first["end"], second["end"], second["reason"]) == ("placed", "not reached", "stopping")
    assert list(keys.state()["accounts"]["MASTER"]["orders"]) == [first["txid"]]
    assert len(arrived()) == 1


def test_a_signal_between_two_rounds_ends_it_at_once(keys):
    process = subprocess.Popen(
        command("bot:Both", "--interval-s", "3600", "--account", "MASTER", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while "round 1  MASTER" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        process.wait(LIMIT_S)
    assert process.returncode == 0
    assert json.loads(out)["rounds"] == 1


# --- stops --------------------------------------------------------------------------------------------------------


def test_a_stop_does_not_wait_for_a_look_at_the_market_that_hangs(keys):
    keys.add_fault("hang", count=100, methods=["SystemStatus"])
    process = started("bot:Both", "--account", "MASTER", "--json")
    with ended(process):
        until(lambda: keys.faults()[0]["remaining"] < 100)
        asked_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, said = process.communicate(timeout=LIMIT_S)
        assert time.monotonic() - asked_s < 4, said
    assert process.returncode == 0, said
    assert json.loads(out)["stopped"] is True
    assert asked(keys, "Balance") == []


def test_a_stop_leaves_a_strategy_that_hangs_and_names_it(keys):
    process = started("bot:Hangs", "--account", "MASTER", "--live", "--json")
    with ended(process):
        heard(process, "deciding")
        asked_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, said = process.communicate(timeout=LIMIT_S)
        assert time.monotonic() - asked_s < 5, said
    assert process.returncode == 0, said
    assert json.loads(out)["unfinished"] == ["MASTER"]
    assert "MASTER: its round was left before its end, no order was under way" in said


@pytest.mark.parametrize(("words", "code"), [(("--live",), 5), ((), 0)])
def test_a_second_signal_ends_it_at_once(keys, words, code):
    """With 5 where an order is under way; one that Kraken only checks is none."""
    keys.add_fault("hang", methods=["AddOrder"])
    process = started("bot:Both", "--account", "MASTER", *words)
    with ended(process):
        until(lambda: asked(keys, "AddOrder"))
        process.send_signal(signal.SIGTERM)
        heard(process, "stopping: ")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=5)
    assert process.returncode == code, said
    assert ("in an order" in said) == bool(code)


# --- exit codes ---------------------------------------------------------------------------------------------------


def test_rounds_of_which_none_passed_exit_with_4(keys):
    found, _ = document("bot:Quits", "--rounds", "1", code=4)
    assert {account["trouble"] for account in found["accounts"]} == {"SystemExit: 3"}
    assert document("bot:Both", "--rounds", "1", code=4, SEALANE_ALLOWED_PAIRS="NOPEUSD")[0]["rounds"] == 1
    assert document("bot:AnnFails", "--rounds", "1", "--interval-s", "0.1")[0]["stopped"] is False


# --- one live run an account --------------------------------------------------------------------------------------


def test_a_second_live_run_stands_by_and_goes_on_when_the_first_has_ended(keys):
    """As in a rolling deploy. The first goes on with rounds all the time; of two rounds of the second none is early."""
    first = started("bot:Both", "--live", "--interval-s", "3600", "-a", "MASTER")
    second = None
    with ended(first):
        heard(first, "round 1  MASTER")
        second = started("bot:Both", "--live", "--rounds", "1", "-a", "master", "--json")
        with ended(second):
            said = heard(second, "standby: MASTER is traded by another live run")
            assert f"pid {first.pid} on " in said
            assert len(asked(keys, "AddOrder")) == 2
            first.send_signal(signal.SIGTERM)
            assert first.wait(LIMIT_S) == 0
            out, said = second.communicate(timeout=LIMIT_S)
            assert second.returncode == 0, said
            assert "the accounts are free" in said
            assert json.loads(out)["accounts"][0]["signals"]["placed"] == 2
    assert len(orders(keys)["MASTER"]) == 4


def test_a_standby_obeys_a_stop_and_has_asked_nothing(keys, tmp_path):
    with Reservation(tmp_path / "data", ["MASTER"]) as reservation:
        assert reservation.wait()
        process = started("bot:Both", "--live", "--json", DATA_DIR=str(tmp_path / "data"))
        with ended(process):
            heard(process, "standby: ")
            process.send_signal(signal.SIGTERM)
            out, said = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, said
        found = json.loads(out)
        assert (found["stopped"], found["rounds"], len(found["accounts"])) == (True, 0, 2)
        assert keys.journal()["summary"]["requests"] == 0
        assert "LIVE" not in said


def test_a_run_that_only_checks_and_one_without_a_folder_take_no_lock(keys, tmp_path):
    data = str(tmp_path / "data")
    with Reservation(tmp_path / "data", ["MASTER"]) as reservation:
        assert reservation.wait()
        run("bot:Both", "--rounds", "1", "-a", "MASTER", DATA_DIR=data)
        run("bot:Both", "--rounds", "1", "-a", "MASTER", "--live", SEALANE_STORE="memory:", SEALANE_MAX_ORDER_USD="10")
