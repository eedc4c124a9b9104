"""``sealane run`` through the real command line: rounds for every account, limits, one account's trouble kept apart."""

import json
import os
import signal
import subprocess
import sys
import threading
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from sealane.cli.app import app
from sealane.simulator import Simulator

LIMIT_S = 60
BOT = """
import os
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
    found, _ = document("bot:Large", "--rounds", "1", "--live", "--account", "master", SEALANE_MAX_ORDER_USD="10")
    (account,) = found["accounts"]
    large, other = account["last"]["gates"][4]["inputs"]["signals"]
    assert account["signals"]["blocked"] == 2
    assert "largest order of 10 USD" in large["reason"]
    assert "not among the allowed pairs" in other["reason"]
    assert orders(keys)["MASTER"] == []


CAPITAL = {"SEALANE_MAX_ORDER_USD": "50", "SEALANE_MIN_CAPITAL_USD": "100"}


def test_several_buys_in_a_round_leave_the_least_capital(keys):
    keys.update_account("MASTER", balances={"ZUSD": "200"})
    found, _ = document("bot:Buys", "--rounds", "1", "--live", "-a", "MASTER", **CAPITAL)
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
        "bot:Both", "--rounds", "1", "--live", "-a", "MASTER", SEALANE_MAX_ORDER_USD="10", HARD_BUY_OFF="1"
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_what_is_in_flight_and_starts_nothing_more(keys, number):
    """The first of two orders is on its way when the signal comes: it ends as placed, the second is not sent."""

    def arrived():
        return [entry for entry in keys.journal()["entries"] if entry["method"] == "AddOrder"]

    keys.add_fault("delay", methods=["AddOrder"], delay_s=1.0)
    words = command("bot:Both", "--live", "--interval-s", "0.1", "--account", "MASTER", "--json")
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"SEALANE_MAX_ORDER_USD": "10"},
    )
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
