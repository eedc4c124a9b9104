"""``sealane preflight`` through the real command line: five gates, what stops where, and nothing is ever placed."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from sealane import InDoubt, Kraken
from sealane.cli.app import app
from sealane.simulator import Simulator
from sealane.trading.gates import NAMES

LIMIT_S = 60


def preflight(*words, code=0, **environment):
    command = [sys.executable, "-m", "sealane.cli", "preflight", *words]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT_S, env=os.environ | environment, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def document(*words, code=0, **environment):
    (line,) = preflight(*words, "--json", code=code, **environment).splitlines()
    return json.loads(line)


def here(*words, code=4, **environment):
    """The same command in this process: its parts have their own tests through a process of its own."""
    done = CliRunner().invoke(app, ["preflight", *words, "--json"], env=environment)
    assert done.exit_code == code, done.output
    (line,) = done.stdout.splitlines()
    return json.loads(line)


def methods(sim):
    return [entry["method"] for entry in sim.journal()["entries"]]


def test_a_pair_may_go_by_any_name_and_one_unknown_pair_does_not_stop_the_others(keys):
    found = here("--pair", "XBTUSD", "--pair", "NOPEUSD", code=0, SEALANE_ALLOWED_PAIRS="XXBTZUSD NOPEUSD")
    (account,) = found["accounts"]
    assert account["gates"][3]["inputs"]["left_out"] == {"NOPEUSD": "Kraken does not know it: check the spelling"}
    assert list(account["gates"][3]["inputs"]["pairs"]) == ["XBTUSD"]


def nothing_was_placed(sim):
    return all(account["orders"] == {} for account in sim.state()["accounts"].values())


@pytest.fixture(autouse=True)
def pairs(monkeypatch):
    monkeypatch.setenv("SEALANE_ALLOWED_PAIRS", "XBTUSD")


def test_all_gates_pass_and_the_order_is_only_checked(keys):
    (account,) = document()["accounts"]
    assert (account["account"], account["passed"]) == ("MASTER", True)
    gates = account["gates"]
    assert [(gate["gate"], gate["name"], gate["passed"]) for gate in gates] == [
        (number, name, True) for number, name in enumerate(NAMES, start=1)
    ]
    assert gates[0]["inputs"]["total"] == "120000.00000000"
    (signal,) = gates[4]["inputs"]["signals"]
    assert signal["end"] == "validated"
    assert signal["signal"].startswith("buy 0.00005000 XBTUSD at ")
    assert methods(keys) == ["Balance", "BalanceEx", "AddOrder"]
    assert nothing_was_placed(keys)


def test_a_person_reads_a_table(keys):
    shown = preflight("--account", "daivon_frazier", HARD_BUY_OFF="1")
    assert "daivon_frazier: all gates passed" in shown
    assert all(name in shown for name in NAMES)
    assert "sell 0.00005000 XBTUSD" in shown, "where nothing may be bought, a sell is checked"
    failed = preflight(SEALANE_ALLOWED_PAIRS="", code=4)
    assert "MASTER: stopped" in failed
    assert "FAILED" in failed
    assert "gate 4 failed" in failed


def fault(**rule):
    return lambda sim: sim.add_fault(**rule)


@pytest.mark.parametrize(
    ("spoil", "failing", "said"),
    [
        (fault(kind="error", error="EGeneral:Permission denied", methods=["Balance"]), 1, "Permission denied"),
        (lambda sim: sim.set_status("cancel_only"), 2, "cancel_only"),
        (lambda sim: sim.update_account("MASTER", balances={"ZUSD": "9.99"}), 3, "9.99 USD free, at least 10 USD"),
        (lambda sim: sim.set_status(XBTUSD="limit_only"), 4, "XBTUSD: it is limit_only"),
        (lambda sim: sim.update_account("MASTER", permissions=["query-funds"]), 5, "Permission denied"),
    ],
)
def test_a_gate_that_fails_stops_those_behind_it(keys, spoil, failing, said):
    spoil(keys)
    (account,) = here()["accounts"]
    assert account["passed"] is False
    verdicts = [gate["passed"] for gate in account["gates"]]
    assert verdicts == [True] * (failing - 1) + [False] + [None] * (5 - failing)
    assert said in account["gates"][failing - 1]["reason"]
    assert {gate["reason"] for gate in account["gates"][failing:]} <= {f"not reached: gate {failing} failed"}
    assert ("AddOrder" in methods(keys)) == (failing == 5)
    assert nothing_was_placed(keys)


def test_an_order_in_doubt_is_a_matter_of_health(keys):
    keys.add_fault("drop_before", count=1_000, methods=["AddOrder", "OpenOrders", "ClosedOrders"])
    with Kraken.from_env() as kraken, pytest.raises(InDoubt):
        kraken.place_order(
            pair="XBTUSD", side="buy", volume="0.01", price="1", client_order_id="lost", deadline_s=3, timeout_s=0.2
        )
    (account,) = here()["accounts"]
    assert [gate["passed"] for gate in account["gates"]] == [True, False, None, None, None]
    assert "lost" in account["gates"][1]["reason"]
    done = CliRunner().invoke(
        app, ["run", "sealane.trading.example:Rebalance", "-a", "MASTER", "--rounds", "1", "--json"]
    )
    assert done.exit_code == 5, "a run that leaves an order in doubt says so"
    (account,) = json.loads(done.stdout)["accounts"]
    assert account["last"]["gates"][1]["passed"] is False


def test_all_accounts_are_walked_and_one_with_a_poisoned_key_stops_alone(into_environment):
    with Simulator(accounts=4, seed=13) as sim:
        into_environment(sim, "ann", "bob", "cy_d")
        sim.update_account("user2", nonce=str(2 * 10**18 + 10**17))
        found = {account["account"]: account for account in document("--all", code=4)["accounts"]}
        assert list(found) == ["MASTER", "ann", "bob", "cy_d"]
        assert [name for name, account in found.items() if not account["passed"]] == ["bob"]
        assert "quarantined" in found["bob"]["gates"][0]["reason"]
        assert [gate["passed"] for gate in found["bob"]["gates"]] == [False, None, None, None, None]
        assert nothing_was_placed(sim)
    sim.audit()


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (("--all", "--account", "MASTER"), {}, "one of the two"),
        (("--account", "nobody"), {}, "KRAKEN_USER_nobody_API_KEY"),
        (("--pair", "ETHUSD"), {}, "SEALANE_ALLOWED_PAIRS"),
        ((), {"HARD_BUY_OFF": "perhaps"}, "HARD_BUY_OFF"),
        ((), {"SEALANE_MAX_ORDER_USD": "much"}, "SEALANE_MAX_ORDER_USD"),
        (("--all",), {"KRAKEN_USER_daivon_frazier_API_SECRET": ""}, "KRAKEN_USER_daivon_frazier_API_SECRET"),
    ],
)
def test_wrong_settings_exit_with_2_before_anything_is_asked(keys, words, environment, said):
    assert said in here(*words, code=2, **environment)["error"]["message"]
    assert methods(keys) == []


def test_wrong_settings_are_told_by_the_command_too(keys):
    assert "HARD_BUY_OFF" in document(code=2, HARD_BUY_OFF="perhaps")["error"]["message"]
