"""``EAPI:Invalid nonce`` against a simulated Kraken: evidence, at most a few jumps, no wait, and an end to it."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sealane import Kraken, Quarantined
from sealane.core.signing import Request
from sealane.core.verdict import Failure, Reply
from sealane.global_nonce import GlobalKrakenNonceManager
from sealane.simulator import Probe, Simulator
from sealane.transport.http import HttpTransport

NS_PER_S = 10**9
DAY_NS = 86_400 * NS_PER_S
LIMIT_S = 30.0


@pytest.fixture
def kraken(
    into_environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Simulator]:
    """A Kraken with two accounts that the environment knows, and no waiting."""
    with Simulator(accounts=2, seed=5) as simulator:
        into_environment(simulator, "user1")
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        monkeypatch.setattr(time, "sleep", no_sleep)
        yield simulator


@pytest.fixture
def master(kraken: Simulator) -> Iterator[Kraken]:
    with Kraken.from_env() as client:
        yield client


really_sleep = time.sleep


def no_sleep(seconds: float) -> None:
    """Whoever calls Kraken is not put to sleep. (Threads in the background and ``subprocess`` may rest.)"""
    asks = sys._getframe(1).f_globals["__name__"]
    if asks.startswith("sealane.") and threading.current_thread() is threading.main_thread():
        raise AssertionError(f"{asks} slept for {seconds} s: a refused nonce needs no wait")
    really_sleep(seconds)


def nonce_file(folder: Path) -> int:
    return int((folder / "kraken_global_nonce.txt").read_text())


def refused(kraken: Simulator) -> int:
    return int(kraken.journal()["summary"]["refused_nonce"])


def highest(kraken: Simulator, account: str = "MASTER") -> int:
    return int(kraken.state()["accounts"][account]["highest_nonce"])


def foreign_call(kraken: Simulator, nonce: int) -> None:
    """Another program uses MASTER's key."""
    with Probe(kraken.url, kraken.accounts[0]) as probe:
        assert probe.private("Balance", nonce=nonce)["error"] == []


def poison(kraken: Simulator, account: str = "MASTER", ahead_ns: int = DAY_NS) -> int:
    nonce = time.time_ns() + ahead_ns
    kraken.update_account(account, nonce=str(nonce))
    return nonce


def in_a_new_process(code: str, *arguments: str) -> str:
    """Run Python code in a process of its own and give its output."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def sealane(*arguments: str) -> tuple[int, dict[str, Any]]:
    """The command, its exit code and its one line of JSON."""
    command = [sys.executable, "-m", "sealane.cli", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


BALANCE = "from sealane import Kraken; print(Kraken.from_env().private('Balance')['ZUSD'])"


# --- one foreign call -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["Balance", "AddOrder"])
def test_a_foreign_call_costs_one_refusal_and_no_wait(
    kraken: Simulator, master: Kraken, tmp_path: Path, method: str
) -> None:
    master.private("Balance")
    foreign_call(kraken, time.time_ns() + 30 * NS_PER_S)
    order = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "25000.1"}
    before_ns = time.time_ns()
    assert master.private(method, order if method == "AddOrder" else {})
    assert refused(kraken) == 1
    assert nonce_file(tmp_path) == highest(kraken) >= before_ns + 60 * NS_PER_S
    assert kraken.state()["accounts"]["MASTER"]["open_orders"] == (method == "AddOrder")
    assert master.private("Balance")
    assert refused(kraken) == 1
    figures = master.statistics()
    assert (figures.nonce_refusals, figures.jumps) == (1, 1)


def test_a_jump_outlives_the_process(kraken: Simulator, tmp_path: Path) -> None:
    foreign_call(kraken, time.time_ns() + 30 * NS_PER_S)
    assert in_a_new_process(BALANCE) == "100000.0000"
    assert refused(kraken) == 1
    jumped = nonce_file(tmp_path)
    assert jumped >= time.time_ns() + 30 * NS_PER_S
    assert in_a_new_process(BALANCE) == "100000.0000"
    assert refused(kraken) == 1
    assert nonce_file(tmp_path) == jumped + 1


@pytest.mark.parametrize("text", ["EAPI:Invalid nonce", "EAPI:INVALID NONCE", "EAPI: invalid Nonce"])
def test_any_case_of_letters_is_understood(kraken: Simulator, master: Kraken, text: str) -> None:
    kraken.add_fault("error", methods=["Balance"], error=text, consume_nonce=False)
    assert master.private("Balance")
    assert master.statistics().jumps == 1
    assert kraken.journal()["summary"]["requests"] == 2


# --- a bare draw ------------------------------------------------------------------------------------------------------


class Overtaken(HttpTransport):
    """Just before each of its first ``times`` requests leaves, somebody draws a number of the lane and uses it."""

    def __init__(self, kraken: Simulator, times: int) -> None:
        super().__init__(kraken.url)
        self.kraken, self.left, self.manager = kraken, times, GlobalKrakenNonceManager()

    def send(self, request: Request) -> Reply | Failure:
        if self.left:
            self.left -= 1
            foreign_call(self.kraken, self.manager.get_nonce())
        return super().send(request)


def test_a_bare_draw_that_overtook_costs_one_refusal_and_no_jump(kraken: Simulator, tmp_path: Path) -> None:
    with Kraken.from_env(transport=Overtaken(kraken, 1)) as client:
        assert client.private("Balance")
        assert (client.statistics().nonce_refusals, client.statistics().jumps) == (1, 0)
    assert refused(kraken) == 1
    assert nonce_file(tmp_path) < time.time_ns()


def test_bare_draws_that_always_overtake_lead_to_a_jump_too(kraken: Simulator) -> None:
    with Kraken.from_env(transport=Overtaken(kraken, 2)) as client:
        assert client.private("Balance")
        assert (client.statistics().nonce_refusals, client.statistics().jumps) == (2, 1)


# --- a poisoned key ---------------------------------------------------------------------------------------------------


def test_a_poisoned_key_is_stopped_and_its_neighbour_goes_on(kraken: Simulator, master: Kraken) -> None:
    poison(kraken)
    with pytest.raises(Quarantined) as stopped:
        master.private("Balance")
    assert 1 <= refused(kraken) <= 4
    assert stopped.value.account == "MASTER"
    assert "Consistent with" in stopped.value.diagnosis
    kraken.clear_journal()
    for method in ("Balance", "AddOrder", "GetApiKeyInfo"):
        with pytest.raises(Quarantined):
            master.private(method)
    assert kraken.journal()["entries"] == []
    with Kraken.from_env("user1") as neighbour:
        assert neighbour.private("Balance")["ZUSD"] == "101000.0000"
    assert kraken.journal()["summary"]["refused_nonce"] == 0


def test_what_get_api_key_info_told_stands_in_the_diagnosis(kraken: Simulator, master: Kraken) -> None:
    known = master.private("GetApiKeyInfo")["nonce"]
    poison(kraken)
    with pytest.raises(Quarantined, match=f"GetApiKeyInfo last told that Kraken held {known}"):
        master.private("Balance")


def test_another_program_at_work_is_told_apart_from_a_key_far_ahead(kraken: Simulator, master: Kraken) -> None:
    """Each time the lane has caught up, the other one is ahead again."""
    with pytest.raises(Quarantined, match="another program that uses this key now"):
        for _ in range(5):
            master.private("Balance")
            foreign_call(kraken, highest(kraken) + 30 * NS_PER_S)
    assert refused(kraken) == 4


def test_quarantine_outlives_the_process_and_is_lifted_by_a_person(kraken: Simulator, master: Kraken) -> None:
    nonce = poison(kraken)
    with pytest.raises(Quarantined):
        master.private("Balance")
    kraken.clear_journal()
    code, told = sealane("call", "Balance")
    assert (code, told["error"]["kind"]) == (6, "Quarantined")
    assert kraken.journal()["entries"] == []
    code, told = sealane("nonce", "raise", "--to", str(nonce), "--account", "MASTER")
    assert (code, told["quarantine_lifted"], told["floor"]) == (0, True, nonce), told
    assert master.private("Balance")
    assert highest(kraken) == nonce + 1
    assert kraken.journal()["summary"]["refused_nonce"] == 0


def test_lifted_without_a_higher_nonce_it_stops_again(kraken: Simulator, master: Kraken) -> None:
    poison(kraken, ahead_ns=1000 * DAY_NS)
    with pytest.raises(Quarantined):
        master.private("Balance")
    assert sealane("nonce", "raise", "--account", "MASTER")[0] == 0
    kraken.clear_journal()
    with pytest.raises(Quarantined):
        master.private("Balance")
    assert refused(kraken) <= 4


def test_a_quarantined_key_stops_every_process(kraken: Simulator, master: Kraken) -> None:
    """A process that was there before sees it too: it is told by the store, not by its memory."""
    child = (
        "import sys; from sealane import Kraken; k = Kraken.from_env(); k.private('Balance'); print('on', flush=True)\n"
    )
    child += "sys.stdin.readline()\ntry: k.private('Balance')\nexcept Exception as error: print(type(error).__name__)"
    with subprocess.Popen(
        [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "on\n"
        poison(kraken)
        with pytest.raises(Quarantined):
            master.private("Balance")
        kraken.clear_journal()
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "Quarantined\n"
    assert kraken.journal()["entries"] == []
