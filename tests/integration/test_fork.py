"""Forks in mid-use: parent and child go on with the same clients, in one order, and no reply reaches the other one.

The forking programs are this same file, run as a script in a process of its own: ``python test_fork.py <scene>``.
"""

import asyncio
import http.client
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sealane import AsyncKraken, Kraken
from sealane.global_nonce import get_kraken_api_lock
from sealane.runtime.lanes import Lane
from sealane.simulator import Probe, SimAccount, Simulator
from sealane.store.disk import OsDisk
from sealane.store.file import FileStore

BALANCES = {"MASTER": "100000.0000", "user1": "101000.0000"}
LIMIT_S = 60
CALLS = 8
FORKS = 40

# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.fixture
def kraken() -> Iterator[Simulator]:
    with Simulator(accounts=2, seed=8, latency_ms=1) as simulator:
        yield simulator


def play(kraken: Simulator, folder: Path, scene: str, lanes: str = "global") -> None:
    """Run a scene to its end."""
    env = os.environ | {"KRAKEN_SPOT_URL": kraken.url, "DATA_DIR": str(folder), "SEALANE_LANES": lanes}
    for prefix, account in zip(("KRAKEN", "KRAKEN_USER_user1"), kraken.accounts, strict=True):
        env |= {f"{prefix}_API_KEY": account.api_key, f"{prefix}_API_SECRET": account.api_secret}
    done = subprocess.run(
        [sys.executable, __file__, scene], env=env, timeout=LIMIT_S * 2, stderr=subprocess.PIPE, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]


def assert_in_order(kraken: Simulator, requests: int, *, overlap: int = 1) -> None:
    summary = kraken.journal()["summary"]
    assert summary["requests"] == summary["accepted"] == requests
    assert (summary["refused_nonce"], summary["nonces_rose"], summary["max_overlap"]) == (0, True, 1)
    assert summary["max_overlap_all_keys"] == overlap


@pytest.mark.parametrize("scene", ["on_the_wire", "on_the_wire_async", "held_by_a_thread"])
def test_a_fork_beside_a_busy_thread(kraken: Simulator, tmp_path: Path, scene: str) -> None:
    kraken.add_fault("delay", methods=["OpenOrders"], delay_s=0.3)
    play(kraken, tmp_path, scene)
    wire = scene != "held_by_a_thread"
    assert_in_order(kraken, wire + 2 * 2 * CALLS)
    if wire:  # the call that was on the wire kept its turn: nobody's request came in before it ended
        first, second = kraken.journal()["entries"][:2]
        assert second["arrived_ns"] - first["arrived_ns"] >= 0.25e9


def test_a_fork_under_the_lock_leaves_the_lock_to_the_parent(kraken: Simulator, tmp_path: Path) -> None:
    play(kraken, tmp_path, "under_the_lock")
    entries = kraken.journal()["entries"]
    parents, childs = entries[:CALLS], entries[CALLS:]
    assert {entry["account"] for entry in parents} == {"MASTER"}, "the child's calls came into the parent's lock"
    assert {entry["account"] for entry in childs} == {"user1"}
    assert_in_order(kraken, 2 * CALLS)


@pytest.mark.parametrize("lanes", ["global", "per-key"])
def test_many_forks_from_a_busy_process(kraken: Simulator, tmp_path: Path, lanes: str) -> None:
    play(kraken, tmp_path, "many", lanes)
    summary = kraken.journal()["summary"]
    assert (summary["refused_nonce"], summary["nonces_rose"], summary["max_overlap"]) == (0, True, 1)
    assert summary["accepted"] == summary["requests"] >= FORKS * 2
    assert summary["max_overlap_all_keys"] == (1 if lanes == "global" else 2)


def test_a_pool_of_forked_processes(kraken: Simulator, tmp_path: Path) -> None:
    play(kraken, tmp_path, "pool")
    assert_in_order(kraken, 2 + 2 * CALLS * 4)


def test_public_calls_of_parent_and_child_do_not_mix(kraken: Simulator, tmp_path: Path) -> None:
    """They wait for no lane, so nothing but connections of their own keeps the replies apart."""
    kraken.add_fault("delay", methods=["Ticker"], delay_s=0.3)
    play(kraken, tmp_path, "public")


def test_a_fork_while_the_mark_is_extended(tmp_path: Path) -> None:
    """The lock on the mark is the writing thread's; it must not live on in a child that knows nothing of it."""
    env = os.environ | {"DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, __file__, "marking"], env=env, timeout=LIMIT_S, stderr=subprocess.PIPE, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]


# --- the scenes -------------------------------------------------------------------------------------------------------

clients: dict[str, Kraken] = {}


def own_calls(accounts: tuple[str, ...] = ("MASTER", "user1"), count: int = CALLS) -> None:
    """Calls of which each tells whose it is."""
    for number in range(count):
        for account in accounts:
            if number % 2:
                assert clients[account].private("GetApiKeyInfo")["apiKeyName"] == account
            else:
                assert clients[account].private("Balance")["ZUSD"] == BALANCES[account]


def forked(work: Callable[[], None]) -> int:
    """Run ``work`` in a child; one that hangs is ended by its alarm."""
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(LIMIT_S // 2)
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())  # the interpreter's own way out is not taken in a forked child
    finally:
        os._exit(code)


def buried(pid: int) -> None:
    """Wait for a child's good end."""
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child ended with {os.waitstatus_to_exitcode(status)}"


def wait_for_arrival() -> None:
    """Until the first request has reached Kraken. (The accounts of a probe that only looks do not matter.)"""
    end = time.monotonic() + LIMIT_S
    with Probe(os.environ["KRAKEN_SPOT_URL"], SimAccount("", "", "")) as probe:
        while not probe.control("GET", "/sim/journal?limit=0")[1]["summary"]["requests"]:
            assert time.monotonic() < end, "the request did not arrive"


def on_the_wire() -> None:
    """Fork while another thread's request is on the wire; the answer still reaches that thread."""
    with ThreadPoolExecutor(2) as threads:
        busy = threads.submit(clients["MASTER"].private, "OpenOrders")
        wait_for_arrival()
        child = forked(own_calls)
        mine = threads.submit(own_calls)
        buried(child)
        mine.result(LIMIT_S)
        assert busy.result(LIMIT_S) == {"open": {}}


def on_the_wire_async() -> None:
    """Fork inside a running loop while a task's request is on its way."""

    async def run() -> None:
        async with AsyncKraken.from_env() as client:
            busy = asyncio.ensure_future(client.private("OpenOrders"))
            await asyncio.to_thread(wait_for_arrival)
            child = forked(own_calls)
            await asyncio.to_thread(own_calls)
            await asyncio.to_thread(buried, child)
            assert await busy == {"open": {}}

    asyncio.run(run())


def held_by_a_thread() -> None:
    """Fork while another thread holds the lock; the child's calls come after its release."""
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with get_kraken_api_lock():
            held.set()
            assert free.wait(LIMIT_S)
            own_calls()

    with ThreadPoolExecutor(1) as threads:
        holder = threads.submit(hold)
        assert held.wait(LIMIT_S)
        child = forked(own_calls)
        free.set()
        holder.result(LIMIT_S)
        buried(child)


def under_the_lock() -> None:
    """Fork by the lock's own holder. The child has nothing: it waits like anybody, and its exit releases nothing."""
    tell, told = os.pipe()[::-1]

    def in_the_child() -> None:
        get_kraken_api_lock().release()  # as the end of its ``with`` does
        assert not get_kraken_api_lock().acquire(timeout=0.05), "the child took the parent's lock"
        os.write(tell, b"!")
        own_calls(("user1",))

    with get_kraken_api_lock():
        child = forked(in_the_child)
        assert os.read(told, 1) == b"!"
        own_calls(("MASTER",))
    buried(child)


def many() -> None:
    """Fork again and again, from the main thread, while four others call."""
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            own_calls(count=2)

    with ThreadPoolExecutor(4) as threads:
        callers = [threads.submit(busy) for _ in range(4)]
        try:
            for _ in range(FORKS):
                buried(forked(lambda: own_calls(count=1)))
        finally:
            stop.set()
        for caller in callers:
            caller.result(LIMIT_S)


def public() -> None:
    """Fork with an open connection. The child asks first and listens last: on one wire its reply is the parent's."""
    sent, goes_on = os.pipe(), os.pipe()
    begin = http.client.HTTPResponse.begin

    def late(response: http.client.HTTPResponse) -> None:
        os.write(sent[1], b"!")
        assert os.read(goes_on[0], 1) == b"!"
        begin(response)

    def in_the_child() -> None:
        http.client.HTTPResponse.begin = late  # type: ignore[method-assign]
        assert list(clients["MASTER"].public("Ticker", pair="ETHUSD")) == ["XETHZUSD"]

    clients["MASTER"].public("Time")
    child = forked(in_the_child)
    assert os.read(sent[0], 1) == b"!"
    assert list(clients["MASTER"].public("Ticker", pair="XBTUSD")) == ["XXBTZUSD"]
    os.write(goes_on[1], b"!")
    buried(child)


class SlowDisk(OsDisk):
    """The first sync of a file on another thread stays where it is until it may go on."""

    def __init__(self) -> None:
        self.syncing, self.go_on = threading.Event(), threading.Event()

    def sync(self, fd: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            self.syncing.set()
            assert self.go_on.wait(LIMIT_S)
        super().sync(fd)


def marking() -> None:
    """Fork while another thread holds the mark's lock; then both draw, from marks of their own."""
    disk, folder = SlowDisk(), Path(os.environ["DATA_DIR"])
    lane = Lane(FileStore(folder, disk=disk).lane("L"))
    ended = os.pipe()

    def in_the_child() -> None:
        assert os.read(ended[0], 1) == b"!"
        assert lane.draw() > 0

    with ThreadPoolExecutor(1) as thread:
        drawn = thread.submit(lane.draw)
        assert disk.syncing.wait(LIMIT_S)
        child = forked(in_the_child)
        disk.go_on.set()
        drawn.result(LIMIT_S)
    os.write(ended[1], b"!")
    buried(child)


def one_of_the_pool(_: int) -> None:
    own_calls(count=1)


def pool() -> None:
    """``multiprocessing`` with the start method fork, after the clients were used."""
    own_calls(count=1)
    with multiprocessing.get_context("fork").Pool(4) as processes:
        processes.map(one_of_the_pool, range(CALLS * 4), chunksize=1)


SCENES = (on_the_wire, on_the_wire_async, held_by_a_thread, under_the_lock, many, public, marking, pool)

if __name__ == "__main__":
    if "KRAKEN_API_KEY" in os.environ:
        clients.update({account: Kraken.from_env(account) for account in BALANCES})
    {scene.__name__: scene for scene in SCENES}[sys.argv[1]]()
