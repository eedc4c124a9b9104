"""Over sockets: calls that come late by a clock that goes, stands or is moved; slow answers; state kept in a file."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sealane.simulator import Probe, SimAccount, Simulator

LIMIT_S = 20.0
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "25000"}


@pytest.fixture
def kraken() -> Iterator[Simulator]:
    with Simulator(accounts=2, seed=3) as simulator:
        yield simulator
    simulator.audit()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < end, "did not happen in time"
        threading.Event().wait(0.002)


def outcomes(kraken: Simulator) -> list[str]:
    """From the journal itself: asking the simulator would make it look at its clock."""
    return [entry.outcome for entry in kraken.exchange.journal.entries]


def lose(kraken: Simulator, **fields: Any) -> None:
    with Probe(kraken.url, kraken.accounts[0]) as probe, pytest.raises(http.client.RemoteDisconnected):
        probe.private("AddOrder", **fields, **ORDER)


def test_a_late_call_comes_by_itself(kraken: Simulator) -> None:
    kraken.add_fault("late", late_s=0.1)
    lose(kraken)
    until(lambda: outcomes(kraken) == ["accepted"])
    entry = kraken.exchange.journal.entries[0]
    order = next(iter(kraken.exchange.accounts["MASTER"].open.values()))
    assert order.opened_ns - entry.arrived_ns >= 100_000_000


def test_a_clock_that_was_moved_brings_it_nearer(kraken: Simulator) -> None:
    kraken.add_fault("late", late_s=3600)
    lose(kraken)
    assert outcomes(kraken) == ["pending"]
    kraken.advance(3600)
    assert outcomes(kraken) == ["accepted"]


def test_a_clock_that_is_set_going_brings_it_too(kraken: Simulator) -> None:
    kraken.freeze()
    kraken.add_fault("late", late_s=0.05)
    lose(kraken)
    assert kraken.exchange.timetable.next_ns is not None
    kraken.real_time()
    until(lambda: outcomes(kraken) == ["accepted"])


@pytest.mark.parametrize("by_http", [True, False])
def test_a_delayed_answer_waits_for_a_frozen_clock(kraken: Simulator, by_http: bool) -> None:
    kraken.freeze()
    kraken.add_fault("delay", delay_s=1000)
    heard: list[Any] = []

    def ask() -> None:
        with Probe(kraken.url, kraken.accounts[0]) as probe:
            heard.append(probe.private("Balance"))

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: outcomes(kraken) == ["pending"])
    if by_http:
        with Probe(kraken.url, kraken.accounts[0]) as probe:
            probe.control("POST", "/sim/time", {"advance_s": 1000})
    else:
        kraken.advance(1000)
    asking.join(LIMIT_S)
    assert heard[0]["error"] == []


def test_a_reset_hangs_up_on_those_who_wait(kraken: Simulator) -> None:
    kraken.freeze()
    kraken.add_fault("delay", delay_s=1000)
    met: list[BaseException] = []

    def ask() -> None:
        try:
            with Probe(kraken.url, kraken.accounts[0]) as probe:
                probe.private("Balance")
        except OSError as error:
            met.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: outcomes(kraken) == ["pending"])
    kraken.reset()
    asking.join(LIMIT_S)
    assert isinstance(met[0], http.client.RemoteDisconnected)


def test_a_slow_answer_comes_in_pieces_and_whole(kraken: Simulator) -> None:
    kraken.add_fault("slow", slow_s=0.2)
    with Probe(kraken.url, kraken.accounts[0]) as probe:
        begin = time.monotonic()
        assert "ZUSD" in probe.private("Balance")["result"]
        assert time.monotonic() - begin >= 0.2
        assert probe.private("Balance")["error"] == []  # on the same connection
    assert kraken.exchange.journal.entries[0].answered_ns is not None


def test_whoever_hangs_up_on_a_slow_answer_hurts_nobody(kraken: Simulator) -> None:
    kraken.add_fault("slow", slow_s=30)
    with Probe(kraken.url, kraken.accounts[0], timeout_s=0.05) as probe, pytest.raises(TimeoutError):
        probe.private("Balance")
    until(lambda: kraken.exchange.journal.in_flight_all == 0)
    assert kraken.exchange.journal.entries[0].answered_ns is None


def test_a_large_snapshot_goes_over_http(kraken: Simulator) -> None:
    for account in kraken.exchange.accounts.values():
        account.window_nonces = set(range(10**18, 10**18 + 60_000))
    with Probe(kraken.url, kraken.accounts[0]) as probe:
        document = probe.control("GET", "/sim/snapshot")[1]
        assert len(json.dumps(document)) > 2 * 1024 * 1024
        assert probe.control("POST", "/sim/snapshot", document)[0] == 200


# --- the command ---


def start(*options: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    command = [sys.executable, "-m", "sealane.cli", "sim", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0


def test_the_command_goes_on_from_its_file(tmp_path: Path) -> None:
    file = str(tmp_path / "kraken.json")
    process, started = start("--state", file, "--seed", "5", "--tier", "pro", "--accounts", "2")
    with Probe(started["url"], SimAccount(**started["accounts"][1])) as probe:
        txid = probe.private("AddOrder", nonce=7, **ORDER)["result"]["txid"][0]
        assert probe.control("GET", "/sim/state")[1]["accounts"]["user1"]["limits"]["tier"] == "pro"
    stop(process)
    process, again = start("--state", file)
    assert again["accounts"] == started["accounts"]
    with Probe(again["url"], SimAccount(**again["accounts"][1])) as probe:
        assert probe.private("Balance", nonce=7)["error"] == ["EAPI:Invalid nonce"]
        assert list(probe.private("OpenOrders", nonce=8)["result"]["open"]) == [txid]
        assert probe.control("GET", "/sim/state")[1]["accounts"]["user1"]["limits"]["tier"] == "pro"
    stop(process)


@pytest.mark.parametrize(("options", "moves"), [([], False), (["--volatility", "0.001"], True)])
def test_the_command_lets_prices_move_when_asked_to(options: list[str], moves: bool) -> None:
    process, started = start(*options)
    with Probe(started["url"], SimAccount(**started["accounts"][0])) as probe:
        before = probe.public("Ticker")["result"]
        probe.control("POST", "/sim/time", {"advance_s": 3600})
        after = probe.public("Ticker")["result"]
    stop(process)
    assert {before[pair]["a"][0] != after[pair]["a"][0] for pair in before} == {moves}


@pytest.mark.parametrize(
    ("content", "said"), [("{", "is not JSON"), ("{}", "not of a simulator"), (None, "choose another --state")]
)
def test_a_file_that_cannot_be_used_is_said_clearly(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "kraken.json"
    if content is None:
        file.mkdir()
    else:
        file.write_text(content)
    command = [sys.executable, "-m", "sealane.cli", "sim", "--port", "0", "--state", str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 2
    assert said in done.stdout + done.stderr
    assert "--state" in done.stdout + done.stderr
