"""``sealane.global_nonce`` beside the clients, in one process: one lock, one order, re-entrant for its owner."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sealane import AsyncKraken, Kraken, SettingsError
from sealane.global_nonce import ApiCallLock, GlobalKrakenNonceManager
from sealane.simulator import Simulator

CALLS = 20
GO_ON_S = 10.0


@pytest.fixture
def kraken(
    into_environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Simulator]:
    with Simulator(accounts=2, seed=9) as simulator:
        into_environment(simulator, "user1")
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        yield simulator


@pytest.fixture
def manager(kraken: Simulator) -> GlobalKrakenNonceManager:
    return GlobalKrakenNonceManager()


@pytest.fixture
def lock(manager: GlobalKrakenNonceManager) -> ApiCallLock:
    return manager.get_api_call_lock()


@pytest.fixture
def accounts(kraken: Simulator) -> Iterator[tuple[Kraken, Kraken]]:
    with Kraken.from_env() as master, Kraken.from_env("user1") as user:
        yield master, user


def senders(kraken: Simulator) -> list[str]:
    return [entry["account"] for entry in kraken.journal()["entries"]]


def assert_in_order(kraken: Simulator) -> None:
    summary = kraken.journal()["summary"]
    assert (summary["refused_nonce"], summary["nonces_rose"], summary["max_overlap_all_keys"]) == (0, True, 1)


def test_calls_under_the_lock_are_not_interleaved(
    kraken: Simulator, lock: ApiCallLock, accounts: tuple[Kraken, Kraken]
) -> None:
    """Each thread calls in pairs; whatever the others do, a pair stays together."""

    def pairs(client: Kraken) -> None:
        for _ in range(CALLS):
            with lock:
                client.private("Balance")
                client.private("Balance")

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(pairs, accounts[number % 2]) for number in range(4)]:
            done.result(GO_ON_S)
    sent = senders(kraken)
    assert len(sent) == 4 * 2 * CALLS
    assert sent[0::2] == sent[1::2]
    assert set(sent) == {"MASTER", "user1"}
    assert_in_order(kraken)


def test_tasks_under_the_lock_are_not_interleaved(kraken: Simulator, lock: ApiCallLock) -> None:
    """``async with`` gives the turn to the task, not to its thread: another task of the same thread waits."""

    async def pairs(client: AsyncKraken) -> None:
        for _ in range(CALLS):
            async with lock:
                await client.private("Balance")
                await client.private("Balance")

    async def run() -> None:
        async with AsyncKraken.from_env() as master, AsyncKraken.from_env("user1") as user:
            rows = [pairs((master, user)[number % 2]) for number in range(6)]
            await asyncio.wait_for(asyncio.gather(*rows), GO_ON_S)

    asyncio.run(run())
    sent = senders(kraken)
    assert len(sent) == 6 * 2 * CALLS
    assert sent[0::2] == sent[1::2]
    assert set(sent) == {"MASTER", "user1"}
    assert_in_order(kraken)


def test_without_the_lock_pairs_do_come_apart(kraken: Simulator, accounts: tuple[Kraken, Kraken]) -> None:
    """The control of the two tests above: the order of single calls keeps no pair together."""

    def singles(client: Kraken) -> None:
        for _ in range(2 * CALLS):
            client.private("Balance")

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(singles, accounts[number % 2]) for number in range(4)]:
            done.result(GO_ON_S)
    assert senders(kraken)[0::2] != senders(kraken)[1::2]


def test_nested_to_any_depth(kraken: Simulator, lock: ApiCallLock, accounts: tuple[Kraken, Kraken]) -> None:
    with lock, lock, lock:
        assert all(client.private("Balance") for client in accounts)
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(lock.acquire, timeout=0.02).result(GO_ON_S) is False
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(lock.acquire, timeout=GO_ON_S).result(GO_ON_S) is True


def test_an_error_under_the_lock_releases_it(lock: ApiCallLock) -> None:
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(lock.acquire, blocking=False).result(GO_ON_S) is True


def test_numbers_drawn_beside_calls_are_unique_and_nobody_waits_for_a_call(
    kraken: Simulator, manager: GlobalKrakenNonceManager, lock: ApiCallLock, accounts: tuple[Kraken, Kraken]
) -> None:
    def draw(count: int) -> list[int]:
        return [manager.get_nonce() for _ in range(count)]

    with ThreadPoolExecutor(4) as threads, lock:  # held throughout, and yet they draw
        rows = [drawn.result(GO_ON_S) for drawn in [threads.submit(draw, 200) for _ in range(4)]]
        accounts[0].private("Balance")
    assert all(row == sorted(row) for row in rows)
    used = [int(entry["nonce"]) for entry in kraken.journal()["entries"]]
    together = [nonce for row in rows for nonce in row] + used
    assert len(set(together)) == len(together) == 4 * 200 + 1


def test_with_a_lane_a_key_there_is_no_one_lock(monkeypatch: pytest.MonkeyPatch, kraken: Simulator) -> None:
    monkeypatch.setenv("SEALANE_LANES", "per-key")
    with pytest.raises(SettingsError, match="SEALANE_LANES"):
        GlobalKrakenNonceManager().get_api_call_lock()


def test_serialization_can_be_switched_off_and_on(
    kraken: Simulator, manager: GlobalKrakenNonceManager, accounts: tuple[Kraken, Kraken]
) -> None:
    """Off, two calls are on the wire at once; on again, they are not. (The two meet at a gate, or time is up.)"""
    master, user = accounts

    def both_at_once() -> int:
        kraken.clear_journal()
        kraken.add_fault("delay", methods=["Balance"], count=2, delay_s=0.2)
        start = threading.Barrier(2)

        def one(client: Kraken) -> None:
            start.wait(GO_ON_S)
            client.private("Balance")

        with ThreadPoolExecutor(2) as threads:
            for done in [threads.submit(one, client) for client in (master, user)]:
                done.result(GO_ON_S)
        return int(kraken.journal()["summary"]["max_overlap_all_keys"])

    manager.disable_api_serialization()
    try:
        assert both_at_once() == 2
    finally:
        manager.enable_api_serialization()
    assert both_at_once() == 1
