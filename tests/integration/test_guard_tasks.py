"""Guarded calls of asyncio that are given up: the turn stays with the request, and falls free with its end."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import ccxt.async_support
import ccxt.pro
import pytest
from kraken.spot import SpotAsyncClient

from sealane import AsyncKraken
from sealane.global_nonce import GlobalKrakenNonceManager
from sealane.plugins import guard
from sealane.simulator import Simulator

Call = Callable[[], Awaitable[Any]]
DELAY_S = 0.5
LIMIT_S = 20


def an_exchange(kind: Any, sim: Simulator) -> Any:
    account = sim.accounts[0]
    client = kind({"apiKey": account.api_key, "secret": account.api_secret, "enableRateLimit": False})
    client.urls["api"]["public"] = client.urls["api"]["private"] = sim.url
    return client


def an_sdk(sim: Simulator) -> Any:
    account = sim.accounts[0]
    return SpotAsyncClient(key=account.api_key, secret=account.api_secret, url=sim.url)


@asynccontextmanager
async def calling(kind: str, sim: Simulator) -> AsyncIterator[Call]:
    """A guarded client's Balance call."""
    client = guard(an_sdk(sim) if kind == "sdk" else an_exchange(getattr(ccxt, kind).kraken, sim))
    async with client:
        yield client.privatePostBalance if kind != "sdk" else lambda: client.request("POST", "/0/private/Balance")


def assert_in_order(sim: Simulator, requests: int) -> None:
    summary = sim.journal()["summary"]
    assert (summary["refused_nonce"], summary["max_overlap"]) == (0, 1)
    assert (summary["requests"], summary["in_flight"]) == (requests, 0)


async def time_out_on_the_wire(call: Call, sim: Simulator) -> None:
    """Make a call in this very task, and run out of time once the request has arrived; it goes on for a while."""
    before = sim.journal()["summary"]["requests"]
    sim.add_fault("delay", methods=["Balance"], count=1, delay_s=DELAY_S)

    async def watch(limit: asyncio.Timeout) -> None:
        while sim.journal()["summary"]["requests"] == before:
            await asyncio.sleep(0)
        limit.reschedule(asyncio.get_running_loop().time())

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(LIMIT_S) as limit:
            watcher = asyncio.ensure_future(watch(limit))
            await call()
    await watcher
    assert sim.journal()["summary"]["in_flight"] == 1


@pytest.mark.parametrize("kind", ["async_support", "pro", "sdk"])
def test_a_request_outlives_its_caller(sim: Simulator, kind: str) -> None:
    async def work() -> None:
        async with calling(kind, sim) as balance:
            await time_out_on_the_wire(balance, sim)
            await asyncio.gather(*(balance() for _ in range(30)))

    asyncio.run(work())
    assert_in_order(sim, requests=31)


@pytest.mark.parametrize("kind", ["async_support", "sdk"])
def test_a_task_that_timed_out_queues_behind_what_it_gave_up(sim: Simulator, kind: str) -> None:
    async def work() -> None:
        async with calling(kind, sim) as balance:
            await time_out_on_the_wire(balance, sim)
            with pytest.raises(TimeoutError):  # this one only queues, so it is never sent
                async with asyncio.timeout(DELAY_S / 5):
                    await balance()
            await balance()

    asyncio.run(work())
    assert_in_order(sim, requests=2)


def test_the_same_inside_the_documents_lock(sim: Simulator) -> None:
    lock = GlobalKrakenNonceManager().get_api_call_lock()

    async def work() -> None:
        async with calling("async_support", sim) as balance, lock:
            await time_out_on_the_wire(balance, sim)
            await balance()

    asyncio.run(work())
    assert_in_order(sim, requests=2)


def test_close_waits_for_what_was_given_up(sim: Simulator) -> None:
    async def work() -> None:
        async with calling("async_support", sim) as balance:
            await time_out_on_the_wire(balance, sim)
        assert sim.journal()["entries"][-1]["outcome"] == "accepted"

    asyncio.run(work())
    assert_in_order(sim, requests=1)


def test_cancelled_before_it_is_sent_nothing_is_sent(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALANE_MIN_INTERVAL_MS", "1000")

    async def work() -> None:
        async with calling("sdk", sim) as balance:
            await balance()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await balance()
            await balance()

    asyncio.run(work())
    assert_in_order(sim, requests=2)


def test_an_abandoned_loop_leaves_no_turn_behind(sim: Simulator) -> None:
    """asyncio.run cancels what is left when its main ends: the turn goes with it."""

    async def work() -> None:
        client = guard(an_sdk(sim))
        sim.add_fault("hang", methods=["Balance"], count=1)
        task = asyncio.ensure_future(client.request("POST", "/0/private/Balance"))
        async with asyncio.timeout(LIMIT_S):
            while not sim.journal()["summary"]["in_flight"]:
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client._SpotAsyncClient__session.close()  # not close(): that would wait

    async def after() -> None:
        async with calling("sdk", sim) as balance, asyncio.timeout(LIMIT_S):
            await balance()

    asyncio.run(work())
    asyncio.run(after())
    assert sim.journal()["summary"]["refused_nonce"] == 0


def test_a_client_that_calls_within_its_call(sim: Simulator) -> None:
    class Curious(ccxt.async_support.kraken):
        asked = 0

        async def fetch(self, url: str, *args: Any, **more: Any) -> Any:
            if "AddOrder" in url:
                self.asked += 1
                await self.privatePostBalance()
            return await super().fetch(url, *args, **more)

    async def work() -> None:
        async with guard(an_exchange(Curious, sim)) as client, asyncio.timeout(LIMIT_S):
            # The inner call draws after the outer one has signed, so that is refused: nobody can help it.
            with suppress(ccxt.InvalidNonce):
                await client.privatePostAddOrder({"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": 1})
            assert client.asked == 1

    asyncio.run(work())
    assert sim.journal()["summary"]["in_flight"] == 0


def test_hundreds_of_cancelled_tasks(sim: Simulator) -> None:
    rng = random.Random(5)

    async def given_up(call: Call) -> list[Any]:
        results: list[Any] = []
        for _ in range(25):
            task = asyncio.ensure_future(call())
            if rng.random() < 0.5:
                asyncio.get_running_loop().call_later(rng.uniform(0, 0.05), task.cancel)
            results += await asyncio.gather(task, return_exceptions=True)
        return results

    async def work() -> list[Any]:
        account = sim.accounts[0]
        ours = AsyncKraken(api_key=account.api_key, api_secret=account.api_secret, url=sim.url)
        async with calling("async_support", sim) as first, calling("sdk", sim) as second, ours as third:
            calls = [first, second, lambda: third.private("Balance")]
            async with asyncio.timeout(LIMIT_S):
                rows = await asyncio.gather(*(given_up(rng.choice(calls)) for _ in range(12)))
        return [result for row in rows for result in row]

    results = asyncio.run(work())
    cancelled = sum(isinstance(result, asyncio.CancelledError) for result in results)
    assert cancelled + sum(isinstance(result, dict) for result in results) == len(results) == 300
    assert min(cancelled, len(results) - cancelled) > 10  # how many are caught on the way depends on the machine
    summary = sim.journal()["summary"]
    assert (summary["refused_nonce"], summary["max_overlap"], summary["in_flight"]) == (0, 1, 0)


def test_the_loop_never_waits_for_the_disk(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the next number has to reach the disk first, a thread draws one."""
    waited_in_loop = list[bool]()

    async def work() -> None:
        client = guard(an_sdk(sim))
        lane = client._sealane_guard.lane
        draw = lane.draw

        def noted() -> int:
            waited_in_loop.append(threading.current_thread() is threading.main_thread() and lane.must_sync())
            return draw()

        monkeypatch.setattr(lane, "draw", noted)
        async with client:
            await client.request("POST", "/0/private/Balance")

    asyncio.run(work())
    assert waited_in_loop == [False, False]
