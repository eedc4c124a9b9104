"""Starting and stopping: on a thread, and in the foreground as a process."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from sealane.simulator import Probe, SimAccount, Simulator, serve

LIMIT_S = 20
CODE = "from sealane.simulator import serve; serve(port={port}, accounts=3, seed=9, latency_ms=0)"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", CODE.format(port=0)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground(process: subprocess.Popen[str], number: signal.Signals) -> None:
    assert process.stdout is not None
    started = json.loads(process.stdout.readline())
    assert [account["name"] for account in started["accounts"]] == ["MASTER", "user1", "user2"]
    with Probe(started["url"], SimAccount(**started["accounts"][2])) as probe:
        assert probe.private("Balance")["result"]["ZUSD"] == "102000.0000"
        process.send_signal(number)  # also with a client still connected
        out, complaints = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out, complaints) == (0, "", "")


def test_a_busy_port_is_said_clearly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for start in (Simulator(port=port).start, lambda: serve(port=port, accounts=1, seed=0, latency_ms=0)):
            with pytest.raises(OSError, match=f"port {port} on 127.0.0.1 is taken"):
                start()


def test_start_and_stop() -> None:
    simulator = Simulator()
    with simulator as kraken:
        assert kraken is simulator
        assert "http://127.0.0.1:" in repr(kraken)
        with pytest.raises(RuntimeError, match="running"):
            simulator.start()
        url = kraken.url
    assert "stopped" in repr(simulator)
    simulator.stop()
    with pytest.raises(ConnectionRefusedError), Probe(url, simulator.accounts[0]) as probe:
        probe.public("Time")
    with simulator, Probe(simulator.url, simulator.accounts[0]) as probe:
        assert probe.public("Time")["error"] == []


def test_stopping_hangs_up_on_those_who_wait() -> None:
    kraken = Simulator().start()
    kraken.add_fault("hang")
    met: list[BaseException] = []

    def wait() -> None:
        with Probe(kraken.url, kraken.accounts[0]) as probe:
            try:
                probe.private("Balance")
            except OSError as error:
                met.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    end = time.monotonic() + LIMIT_S
    while kraken.faults()[0]["remaining"] and time.monotonic() < end:
        threading.Event().wait(0.002)
    kraken.stop()
    waiting.join(LIMIT_S)
    assert len(met) == 1
    assert not waiting.is_alive()


def test_bad_numbers_are_refused_before_the_start() -> None:
    with pytest.raises(ValueError, match="accounts"):
        Simulator(accounts=0)
    with pytest.raises(ValueError, match="latency_ms"):
        Simulator(latency_ms=-1)


def test_several_simulators_side_by_side() -> None:
    with Simulator(seed=1) as one, Simulator(seed=2) as two:
        assert one.url != two.url
        with Probe(two.url, one.accounts[0]) as stranger:
            assert stranger.private("Balance")["error"] == ["EAPI:Invalid key"]
