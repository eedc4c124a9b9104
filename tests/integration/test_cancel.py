"""Calls that are given up, at any instant: the lane goes on, in order, and no turn is left behind."""

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sealane import AsyncKraken, Kraken, Unavailable
from sealane.global_nonce import ApiCallLock, GlobalKrakenNonceManager
from sealane.simulator import Simulator

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.001", "price": "1000", "validate": True}
TASKS, CALLS = 8, 50
GO_ON_S = 10.0
LATENCY_MS = 2.0
ROUND_S = TASKS * (LATENCY_MS + 2) / 1000
"""About as long as a call takes with all the others before it."""


@pytest.fixture
def kraken(
    into_environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Simulator]:
    with Simulator(accounts=2, seed=7, latency_ms=LATENCY_MS) as simulator:
        into_environment(simulator, "user1")
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        yield simulator


@pytest.fixture
def master(kraken: Simulator) -> Iterator[Kraken]:
    with Kraken.from_env(turn_wait_s=GO_ON_S) as client:
        yield client


@pytest.fixture
def lock(kraken: Simulator) -> ApiCallLock:
    """The documents' lock in this test's folder (``get_kraken_api_lock`` stays with a process's first folder)."""
    return GlobalKrakenNonceManager().get_api_call_lock()


@pytest.fixture
def rng() -> random.Random:
    seed = int(os.environ.get("SEALANE_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEALANE_SEED={seed}")
    return random.Random(seed)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + GO_ON_S
    while not true():
        assert time.monotonic() < end, "did not happen in time"
        threading.Event().wait(0.001)


def assert_in_order(kraken: Simulator) -> None:
    summary = kraken.journal()["summary"]
    assert (summary["refused_nonce"], summary["nonces_rose"]) == (0, True)
    assert summary["max_overlap_all_keys"] == 1


def goes_on(client: Kraken) -> None:
    """The lane is free for another thread, at once."""
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(client.private, "Balance").result(GO_ON_S)


@contextmanager
def bystander(client: Kraken) -> Iterator[list[object]]:
    """A thread that goes on making calls while the block runs; what each returned or raised."""
    stop, answers = threading.Event(), list[object]()

    def call() -> None:
        while not stop.is_set():
            try:
                answers.append(client.private("Balance")["ZUSD"])
            except BaseException as error:
                answers.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join(GO_ON_S)
        assert not thread.is_alive(), "the bystander is stuck"


# --- tasks ------------------------------------------------------------------------------------------------------------


async def calls_given_up(client: AsyncKraken, rng: random.Random) -> list[object]:
    """Calls one after the other, most of them cancelled while they wait, draw, are on the wire or are done."""
    results: list[object] = []
    for _ in range(CALLS):
        method, params = rng.choice([("Balance", {}), ("AddOrder", ORDER)])
        task = asyncio.ensure_future(client.private(method, params))
        if rng.random() < 0.7:
            asyncio.get_running_loop().call_later(rng.uniform(0, ROUND_S), task.cancel)
        async with asyncio.timeout(GO_ON_S):
            results += await asyncio.gather(task, return_exceptions=True)
    return results


def test_hundreds_of_cancelled_tasks(kraken: Simulator, master: Kraken, rng: random.Random) -> None:
    async def run() -> list[list[object]]:
        async with AsyncKraken.from_env() as first, AsyncKraken.from_env("user1") as second:
            return await asyncio.gather(*(calls_given_up(rng.choice([first, second]), rng) for _ in range(TASKS)))

    with bystander(master) as answers:
        results = [result for row in asyncio.run(run()) for result in row]
        goes_on(master)
    cancelled = sum(isinstance(result, asyncio.CancelledError) for result in results)
    answered = sum(isinstance(result, dict) for result in results)
    assert cancelled + answered == len(results) == TASKS * CALLS
    assert min(cancelled, answered) > TASKS * CALLS / 10, "too few of one kind to say anything"
    assert set(answers) == {"100000.0000"}
    assert_in_order(kraken)


async def in_flight(kraken: Simulator, call: Awaitable[Any]) -> asyncio.Task[Any]:
    """The call as a task, its request on the wire and its answer a while away."""
    before = kraken.journal()["summary"]["requests"]
    task = asyncio.ensure_future(call)
    async with asyncio.timeout(GO_ON_S):
        while kraken.journal()["summary"]["requests"] == before:
            await asyncio.sleep(0)
    return task


def test_a_call_cancelled_on_the_wire_keeps_its_turn_until_the_answer(kraken: Simulator) -> None:
    kraken.add_fault("hang", methods=["AddOrder"], hang_s=0.3)

    async def run() -> None:
        async with AsyncKraken.from_env() as client:
            task = await in_flight(kraken, client.private("AddOrder", ORDER))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await client.private("AddOrder", ORDER)

    asyncio.run(run())
    first, fence, second = kraken.journal()["entries"]
    assert [first["method"], fence["method"], second["method"]] == ["AddOrder", "GetApiKeyInfo", "AddOrder"]
    assert fence["arrived_ns"] - first["arrived_ns"] >= 0.25e9, "the next call did not wait for the outcome"
    assert_in_order(kraken)


@pytest.mark.parametrize("method", ["Balance", "AddOrder"])
def test_a_loop_that_ends_with_a_call_on_the_wire_leaves_the_lane_free(
    kraken: Simulator, master: Kraken, method: str
) -> None:
    """``asyncio.run`` cancels what is left, the background work of a cancelled call too."""
    kraken.add_fault("hang", methods=[method], hang_s=60)

    async def run(cancel: bool) -> None:
        client = AsyncKraken.from_env()
        task = await in_flight(kraken, client.private(method, ORDER if method == "AddOrder" else {}))
        if cancel:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    for cancel in (False, True):
        asyncio.run(run(cancel))
        goes_on(master)
    assert kraken.journal()["summary"]["refused_nonce"] == 0


def test_a_cancelled_waiter_leaves_the_row(kraken: Simulator, master: Kraken, lock: ApiCallLock) -> None:
    async def run() -> None:
        async with AsyncKraken.from_env() as client:
            async with lock:
                waiting = [asyncio.ensure_future(client.private("Balance")) for _ in range(5)]
                await asyncio.sleep(0)
                for task in waiting[:4]:
                    task.cancel()
                await asyncio.wait(waiting[:4])
            async with asyncio.timeout(GO_ON_S):
                await waiting[4]

    asyncio.run(run())
    assert kraken.journal()["summary"]["requests"] == 1
    goes_on(master)


# --- threads ----------------------------------------------------------------------------------------------------------


class Interrupted(BaseException):
    """What a signal's handler raises, as Ctrl-C does."""


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """Call it from another thread: the main thread is interrupted wherever it is."""

    def raise_it(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, raise_it)
    yield lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def test_interrupted_while_waiting_for_the_turn(
    kraken: Simulator, master: Kraken, lock: ApiCallLock, interrupt: Callable[[], None]
) -> None:
    lane, free = master._session.lane, threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            until(lambda: lane.waiting > 0)
            interrupt()
            assert free.wait(GO_ON_S)

    held = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        holder = threads.submit(hold)
        assert held.wait(GO_ON_S)
        with pytest.raises(Interrupted):
            master.private("AddOrder", ORDER)
        assert lane.waiting == 0
        free.set()
        holder.result(GO_ON_S)
    assert kraken.journal()["entries"] == []
    goes_on(master)


def test_interrupted_on_the_wire(kraken: Simulator, master: Kraken, interrupt: Callable[[], None]) -> None:
    """A write's end is unknown then, so the next one goes out behind a harmless call."""
    kraken.add_fault("hang", methods=["AddOrder"], hang_s=60, applied=True)

    def watch() -> None:
        until(lambda: kraken.journal()["summary"]["requests"] == 1)
        interrupt()

    with ThreadPoolExecutor(1) as threads:
        watching = threads.submit(watch)
        with pytest.raises(Interrupted):
            master.private("AddOrder", ORDER)
        watching.result(GO_ON_S)
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(master.private, "AddOrder", ORDER).result(GO_ON_S)
    assert [entry["method"] for entry in kraken.journal()["entries"]] == ["AddOrder", "GetApiKeyInfo", "AddOrder"]
    assert kraken.journal()["summary"]["refused_nonce"] == 0


def test_a_thread_that_gives_up_waiting_leaves_the_row(kraken: Simulator, lock: ApiCallLock) -> None:
    with Kraken.from_env(turn_wait_s=0.05) as hasty:
        with lock, ThreadPoolExecutor(8) as threads:
            for giving_up in [threads.submit(hasty.private, "Balance") for _ in range(8)]:
                with pytest.raises(Unavailable, match="kraken_global_nonce"):
                    giving_up.result(GO_ON_S)
        assert kraken.journal()["entries"] == []
        goes_on(hasty)
