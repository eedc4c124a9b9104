"""Clients at the edges of their lives: closed under a call, over two event loops, with arguments that make no sense."""

import asyncio
import gc
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sealane import AsyncKraken, InDoubt, Kraken, NotDurable, SettingsError
from sealane.core.signing import public_request
from sealane.core.verdict import Reply
from sealane.store import open_store
from sealane.store.file import FileStore
from sealane.store.memory import MemoryStore

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "1000", "volume": "0.001"}
LIMIT_S = 30
GONE_S = 10


def test_an_async_client_closed_under_a_call_lets_it_end(keys):
    keys.add_fault("delay", methods=["AddOrder"], delay_s=0.2)

    async def run():
        kraken = AsyncKraken.from_env()
        await kraken.private("Balance")
        call = asyncio.ensure_future(kraken.private("AddOrder", ORDER))
        while keys.journal()["summary"]["requests"] < 2:
            await asyncio.sleep(0)
        await kraken.close()
        return await call

    assert asyncio.run(run())["txid"]


def test_a_task_that_gave_a_call_up_does_not_overtake_it(keys):
    """A time-out leaves the request on the wire with its turn, and the same task calls again."""
    keys.add_fault("delay", methods=["Balance"], delay_s=0.3)

    async def run():
        async with AsyncKraken.from_env() as kraken:
            await kraken.private("OpenOrders")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await kraken.private("Balance")
            return await kraken.private("AddOrder", ORDER)

    assert asyncio.run(run())["txid"]
    summary = keys.journal()["summary"]
    assert (summary["refused_nonce"], summary["max_overlap"], summary["requests"]) == (0, 1, 3)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_an_async_client_belongs_to_one_event_loop(keys):
    kraken = AsyncKraken.from_env()
    assert asyncio.run(kraken.private("Balance"))["ZUSD"]
    with pytest.raises(SettingsError, match="another event loop"):
        asyncio.run(kraken.private("AddOrder", ORDER))
    lane = kraken._session.lane
    asyncio.run(kraken.close())
    assert not lane.held
    assert keys.journal()["summary"]["requests"] == 1
    del kraken, lane
    gc.collect()  # the first loop's connection went with it, and says so here rather than in another test


def test_an_answer_that_takes_longer_than_the_callers_limit(keys):
    keys.add_fault("hang", methods=["AddOrder"], applied=True, hang_s=30)
    with Kraken.from_env(timeout_s=0.2) as kraken, pytest.raises(InDoubt):
        kraken.private("AddOrder", ORDER)

    async def run():
        async with AsyncKraken.from_env(timeout_s=0.2) as kraken:
            await kraken.private("AddOrder", ORDER)

    keys.add_fault("hang", methods=["AddOrder"], applied=True, hang_s=30)
    with pytest.raises(InDoubt):
        asyncio.run(run())


def test_a_parameter_of_krakens_may_be_called_method_or_params(keys):
    with Kraken.from_env() as kraken:
        assert kraken.private("Balance", method="Bitcoin")["ZUSD"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"api_key": 5, "api_secret": "c2VjcmV0"},
        {"api_key": "", "api_secret": "c2VjcmV0"},
        {"url": 5},
        {"url": "http://[::1"},
        {"url": "http://localhost:99999"},
        {"url": "https://" + "a" * 64 + ".example"},
        {"store": 5},
        {"store": "file:~no-such-user-anywhere/x"},
        {"store": "file:"},
        {"turn_wait_s": -1},
        {"timeout_s": 0},
        {"timeout_s": float("nan")},
        {"turn_wait_s": float("inf")},
    ],
)
def test_arguments_that_make_no_sense_are_settings_errors(arguments):
    with pytest.raises(SettingsError):
        Kraken(**arguments)


@pytest.mark.parametrize("value", ["\ud800", float("nan"), [{"price": float("inf")}], {"a": object()}])
def test_a_value_that_cannot_be_sent_takes_no_turn(keys, value):
    with Kraken.from_env() as kraken, pytest.raises(SettingsError):
        kraken.private("AddOrder", pair=value)
    assert keys.journal()["summary"]["requests"] == 0


def test_files_that_cannot_be_read_are_told_as_such(keys, tmp_path):
    folder = Path(os.environ["DATA_DIR"])
    with Kraken.from_env() as kraken:
        kraken.private("Balance")
        (folder / "keys" / f"{kraken._session._key().fingerprint}.state").mkdir(parents=True)
        with pytest.raises(NotDurable, match="state"):
            kraken.private("Balance")


def test_a_double_slash_is_no_relative_folder(tmp_path):
    store = open_store(f"file:/{tmp_path}/x")
    assert isinstance(store, FileStore)
    assert store.folder.resolve() == (tmp_path / "x").resolve()
    assert open_store(f"file://{tmp_path}/x") is store


def test_memory_stores_never_share_lanes():
    assert len({MemoryStore().identity for _ in range(50)}) == 50


def test_the_interval_spaces_calls_of_two_clients(keys, monkeypatch):
    monkeypatch.setenv("SEALANE_MIN_INTERVAL_MS", "60")

    def call():
        with Kraken.from_env() as kraken:
            for _ in range(4):
                kraken.private("Balance")

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    arrived = [entry["arrived_ns"] for entry in keys.journal()["entries"]]
    assert len(arrived) == 8
    assert min(late - early for early, late in itertools.pairwise(arrived)) >= 60_000_000


def gone(pid):
    """Whether a process is gone, or a zombie that nobody here can reap."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no process list under /proc here")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_ended_leaves_nobody_behind(number):
    demo = subprocess.Popen([sys.executable, "-m", "sealane.cli", "demo"], stdout=subprocess.PIPE, text=True)
    try:
        while "2 s" not in demo.stdout.readline():
            assert demo.poll() is None
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        assert len(children) >= 5
        demo.send_signal(number)
        demo.wait(LIMIT_S)
        end = time.monotonic() + GONE_S
        while not all(gone(pid) for pid in children):
            assert time.monotonic() < end, "somebody was left behind"
            threading.Event().wait(0.05)
    finally:
        demo.kill()
        demo.stdout.close()
        demo.wait(LIMIT_S)


def test_an_interrupted_order_says_that_its_end_is_unknown(keys):
    keys.add_fault("hang", methods=["AddOrder"], applied=True, hang_s=30)
    order = [f"{name}={value}" for name, value in ORDER.items()]
    command = [sys.executable, "-m", "sealane.cli", "call", "AddOrder", *order, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + LIMIT_S
    while not keys.journal()["summary"]["in_flight"]:
        assert time.monotonic() < end
        threading.Event().wait(0.01)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 5
    assert json.loads(out)["error"]["kind"] == "InDoubt"


def test_an_async_client_closes_what_its_background_opened(keys):
    """Orders are found out on threads, over connections of their own."""

    async def run():
        async with AsyncKraken.from_env() as kraken:
            assert isinstance(kraken._background.send(public_request("Time", {})), Reply)
            assert kraken._background._idle
            return kraken._background

    background = asyncio.run(run())
    assert background._idle == []
