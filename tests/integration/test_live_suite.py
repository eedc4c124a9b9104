"""The live suite against the simulator: what matches, what drifts, what is never sent, and what is never written."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from live import plan
from live.drift import Report
from live.gate import READS, Forbidden, GatedTransport, check
from live.run import compare
from sealane.core.methods import METHODS
from sealane.core.signing import Request
from sealane.simulator import Probe, Simulator
from sealane.simulator.methods import PRIVATE
from sealane.simulator.public import PUBLIC
from sealane.transport.scripted import ScriptedTransport
from shapes.scene import play

TESTS = Path(__file__).parents[1]
AT = datetime(2026, 11, 21, tzinfo=UTC)
LIMIT_S = 60


@pytest.fixture
def played(sim: Simulator, into_environment: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A simulator whose MASTER has orders and trades, with its key in the environment."""
    into_environment(sim, "daivon_frazier")
    monkeypatch.setenv("SEALANE_TIER", "off")
    with Probe(sim.url, sim.accounts[0]) as probe:
        play(sim, probe)
    yield sim


def run(sim: Simulator) -> Report:
    return compare(sim.url, AT, lambda: None)


def by_name(report: Report) -> dict[str, Any]:
    return {check.name: check for check in report.checks}


def test_the_simulator_shows_no_drift(played: Simulator) -> None:
    checks = by_name(run(played))
    known = {*PRIVATE, *PUBLIC}
    drifted = {name: found.details for name, found in checks.items() if found.outcome == "differs"}
    assert drifted == {}
    for name, found in checks.items():
        if found.outcome == "refused":
            assert name not in known
            assert found.details == ("EGeneral:Unknown method",)
    matched = {name for name, found in checks.items() if found.outcome == "matched"}
    assert {"Balance", "OpenOrders", "AddOrder", "rows of AssetPairs", "an order beyond the funds"} <= matched


def test_it_changes_nothing(played: Simulator) -> None:
    before = played.state()["accounts"]["MASTER"]
    run(played)
    after = played.state()["accounts"]["MASTER"]
    changing = {"highest_nonce", "last_used_ns", "limits"}
    assert {k: v for k, v in before.items() if k not in changing} == {
        k: v for k, v in after.items() if k not in changing
    }
    sent = {entry["method"] for entry in played.journal()["entries"]}
    assert sent <= READS | {"AddOrder"}


@pytest.mark.parametrize(
    ("method", "name", "change", "told"),
    [
        ("Balance", "Balance", {"ZUSD": 5.25}, "*"),
        ("OpenOrders", "OpenOrders", {"open": {}, "more": "77777.5"}, "more"),
        ("GetApiKeyInfo", "GetApiKeyInfo", {"apiKeyName": "x"}, "nonceWindow"),
        ("Time", "Time", {"unixtime": "1763718000", "rfc1123": "Sat, 21 Nov 26 09:33:00 +0000"}, "unixtime"),
    ],
)
def test_a_planted_drift_is_reported(
    played: Simulator, monkeypatch: pytest.MonkeyPatch, method: str, name: str, change: Any, told: str
) -> None:
    """The transport changes one answer on its way back, as Kraken may do one day."""
    plain = GatedTransport.send

    def altered(self: GatedTransport, request: Request) -> Any:
        reply = plain(self, request)
        if request.target.endswith(f"/{method}"):
            return type(reply)(200, json.dumps({"error": [], "result": change}).encode())
        return reply

    monkeypatch.setattr(GatedTransport, "send", altered)
    report = run(played)
    assert report.drifted
    found = by_name(report)[name]
    assert found.outcome == "differs"
    assert any(told in text for text in (*found.details, *found.unknown_fields))
    assert f"**{name}**" in report.markdown().partition("## refused")[0]


def test_other_words_for_a_refusal_are_reported(played: Simulator) -> None:
    played.add_fault("error", methods=["QueryOrders"], count=20, error="EOrder:Some new words")
    found = by_name(run(played))["a query for an unknown order"]
    assert found.outcome == "differs"
    assert found.details == ("expected EOrder:Unknown order, got EOrder:Some new words",)


def test_other_numbers_are_reported(played: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from live import run as module

    monkeypatch.setattr(
        module.Probe, "public", lambda *_: {"result": {"XXBTZUSD": {"ordermin": "0.7"}, "NEW": {"ordermin": "1"}}}
    )
    details = by_name(run(played))["rows of AssetPairs"].details
    assert "NEW: not there" in details
    assert any(detail.startswith("XXBTZUSD.ordermin: 0.7 in the simulator, 0.0") for detail in details)


def test_a_key_that_may_not_ask_is_told_apart_from_drift(played: Simulator) -> None:
    played.update_account("MASTER", permissions=["query-funds"])
    checks = by_name(run(played))
    assert (checks["OpenOrders"].outcome, checks["OpenOrders"].details) == ("refused", ("EGeneral:Permission denied",))
    assert checks["QueryOrders"].outcome == "not shown"
    assert checks["Balance"].outcome == "matched"


# --- what is never sent -----------------------------------------------------------------------------------------------


def private(method: str, *fields: tuple[str, str]) -> Request:
    return Request("POST", f"/0/private/{method}", (), urlencode([("nonce", "1"), *fields]).encode())


@pytest.mark.parametrize(
    "request_",
    [
        *(private(method) for method in METHODS if method not in READS),
        private("AddOrder", ("validate", "false")),
        private("AddOrder", ("validate", "true"), ("validate", "false")),
        private("AddOrder", ("validate", "")),
        private("AddOrder", ("note", "validate=true")),
        Request("POST", "/0/private/AddOrder", (), b'{"nonce": 1, "validate": false}'),
        Request("POST", "/0/private/AddOrder", (), b'{"validate": true, "validate": false}'),
        private("Balance/../CancelAll"),
        private("cancelorder", ("txid", "OAAAAA-AAAAA-AAAAAA")),
        Request("DELETE", "/0/public/Time", (), b""),
        Request("GET", "/0/private/Balance", (), b""),
    ],
    ids=lambda request: f"{request.target} {request.body.decode()}",
)
def test_the_gate_keeps_back(request_: Request) -> None:
    behind = ScriptedTransport(lambda _: pytest.fail("it was sent"))
    with pytest.raises(Forbidden):
        GatedTransport(behind, lambda: None).send(request_)


def test_the_gate_lets_through_what_the_plan_sends() -> None:
    for method in plan.PRIVATE:
        check(private(method, ("validate", "true")))
    check(Request("POST", "/0/private/AddOrder", (), b'{"nonce": 1, "validate": true}'))
    check(Request("GET", "/0/public/Ticker?pair=XBTUSD", (), b""))


def test_a_plan_with_a_mistake_sends_no_order(played: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plan.PRIVATE, "AddOrder", lambda _: plan.ORDER)
    with pytest.raises(Forbidden):
        run(played)
    assert "AddOrder" not in {entry["method"] for entry in played.journal()["entries"]}


# --- the report -------------------------------------------------------------------------------------------------------


def test_the_report_holds_no_secret_no_id_and_no_amount(played: Simulator, tmp_path: Path) -> None:
    report = run(played)
    written = "".join(path.read_text() for path in report.write(tmp_path))
    state = played.state()["accounts"]["MASTER"]
    account = played.accounts[0]
    amounts = {f"{float(amount):.4f}" for amount in state["balances"].values()} | set(state["balances"].values())
    private_words = {account.api_key, account.api_secret, account.api_key[-8:], *state["orders"], *amounts}
    assert len(private_words) > 10
    assert [word for word in private_words if len(word) > 3 and word in written] == []


def test_the_report_is_the_same_in_both_forms(played: Simulator, tmp_path: Path) -> None:
    report = run(played)
    markdown, document = report.write(tmp_path)
    told = json.loads(document.read_text())
    assert sum(told["summary"].values()) == len(told["checks"]) == len(report.checks)
    assert all(check["name"] in markdown.read_text() for check in told["checks"])
    assert told["sent"]["private/AddOrder"] >= 1


# --- the command ------------------------------------------------------------------------------------------------------


def command(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KRAKEN_", "SEALANE_"))}
    return subprocess.run(
        [sys.executable, "-m", "live"],
        cwd=TESTS,
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_the_command_runs_and_says_where_the_report_is(played: Simulator, tmp_path: Path) -> None:
    names = ("KRAKEN_API_KEY", "KRAKEN_API_SECRET", "KRAKEN_SPOT_URL", "DATA_DIR")
    there = {name: os.environ[name] for name in names} | {"SEALANE_TIER": "off", "SEALANE_LIVE_PAUSE_S": "0.001"}
    done = command(there | {"SEALANE_LIVE": "1", "SEALANE_LIVE_REPORTS": str(tmp_path / "reports")})
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert [path.suffix for path in paths] == [".md", ".json"], done.stderr
    assert done.returncode == int(json.loads(paths[1].read_text())["drifted"])
    assert there["KRAKEN_API_SECRET"] not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("env", "said"), [({}, "SEALANE_LIVE=1"), ({"SEALANE_LIVE": "1"}, "KRAKEN_API_KEY and KRAKEN_API_SECRET")]
)
def test_the_command_does_nothing_unasked(sim: Simulator, env: dict[str, str], said: str) -> None:
    done = command(env | {"KRAKEN_SPOT_URL": sim.url})
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_it_is_no_part_of_the_other_verbs() -> None:
    makefile = (TESTS.parent / "Makefile").read_text()
    assert makefile.count("-m live") == makefile.count("@PYTHONPATH=tests $(RUN)/python -m live") == 1
    assert not list((TESTS / "live").glob("test_*.py"))
