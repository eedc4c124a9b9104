"""Order where a client is closed, or the disk, a thread or a caller fails, in the middle of a call."""

import asyncio
import errno
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sealane import AsyncKraken, Kraken
from sealane.core.signing import Request
from sealane.core.verdict import Failure, Reply
from sealane.runtime import lanes, threads
from sealane.runtime.waiters import WaiterPool
from sealane.simulator import Simulator
from sealane.store.disk import OsDisk
from sealane.store.file import FileStore
from sealane.transport.http import HttpTransport

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.001", "price": "1000"}
GO_ON_S = 10.0


@pytest.fixture
def kraken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Simulator]:
    with Simulator(seed=10) as simulator:
        monkeypatch.setenv("KRAKEN_SPOT_URL", simulator.url)
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        monkeypatch.setenv("KRAKEN_API_KEY", simulator.accounts[0].api_key)
        monkeypatch.setenv("KRAKEN_API_SECRET", simulator.accounts[0].api_secret)
        yield simulator


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + GO_ON_S
    while not true():
        assert time.monotonic() < end, "did not happen in time"
        threading.Event().wait(0.001)


def client_on(kraken: Simulator, disk: OsDisk, folder: Path, transport: HttpTransport | None = None) -> Kraken:
    who = kraken.accounts[0]
    store = FileStore(folder, disk=disk)
    return Kraken(api_key=who.api_key, api_secret=who.api_secret, store=store, transport=transport)


class Interrupted(BaseException):
    """What a signal's handler raises, as Ctrl-C does."""


# --- closed -----------------------------------------------------------------------------------------------------------


def test_a_client_closed_under_a_call_keeps_the_turn_until_the_answer(kraken: Simulator) -> None:
    kraken.add_fault("delay", methods=["OpenOrders"], delay_s=0.3)
    first = Kraken.from_env()
    with ThreadPoolExecutor(1) as thread:
        under_way = thread.submit(first.private, "OpenOrders")
        until(lambda: kraken.journal()["summary"]["requests"] == 1)
        first.close()
        with Kraken.from_env() as second:  # a lane of its own, as another process would have
            second.private("Balance")
        assert under_way.result(GO_ON_S) == {"open": {}}
    summary = kraken.journal()["summary"]
    assert (summary["refused_nonce"], summary["max_overlap"]) == (0, 1)


# --- a disk that fails ------------------------------------------------------------------------------------------------


class FailingDisk(OsDisk):
    """Writes nothing any more once it is broken."""

    broken = False

    def write(self, fd: int, content: bytes, offset: int = 0) -> int:
        if self.broken:
            raise OSError(errno.EIO, "Input/output error")
        return OsDisk.write(fd, content, offset)


class BreakingTransport(HttpTransport):
    """Breaks the disk when the first request was answered."""

    def __init__(self, url: str, disk: FailingDisk) -> None:
        super().__init__(url)
        self.disk: FailingDisk | None = disk

    def send(self, request: Request) -> Reply | Failure:
        answer = super().send(request)
        if self.disk:
            self.disk.broken, self.disk = True, None
        return answer


def test_an_order_that_was_placed_is_told_so_though_its_end_cannot_be_noted(kraken: Simulator, tmp_path: Path) -> None:
    disk = FailingDisk()
    with client_on(kraken, disk, tmp_path, BreakingTransport(kraken.url, disk)) as client:
        assert client.private("AddOrder", ORDER)["txid"]
        disk.broken = False
        client.private("AddOrder", ORDER)
    sent = [entry["method"] for entry in kraken.journal()["entries"]]
    assert sent == ["AddOrder", "GetApiKeyInfo", "AddOrder"], "its record stands, so the next write is fenced"


class SlowDisk(OsDisk):
    """Syncs on other threads stay where they are until they may go on."""

    def __init__(self) -> None:
        self.slow, self.syncing, self.go_on = False, threading.Event(), threading.Event()

    def sync(self, fd: int) -> None:
        if self.slow and threading.current_thread() is not threading.main_thread():
            self.syncing.set()
            assert self.go_on.wait(GO_ON_S)
        super().sync(fd)


def test_a_task_cancelled_while_its_key_is_stored_keeps_the_turn(kraken: Simulator, tmp_path: Path) -> None:
    disk, who = SlowDisk(), kraken.accounts[0]
    kraken.add_fault("drop_after", methods=["AddOrder"])

    async def run() -> bool:
        store = FileStore(tmp_path, disk=disk)
        async with AsyncKraken(api_key=who.api_key, api_secret=who.api_secret, store=store) as client:
            await client.private("Balance")
            disk.slow = True
            task = asyncio.ensure_future(client.private("AddOrder", ORDER))
            assert await asyncio.to_thread(disk.syncing.wait, GO_ON_S)
            task.cancel()
            for _ in range(20):
                await asyncio.sleep(0)
            held = client._session.lane.held
            disk.go_on.set()
            await asyncio.wait([task])
            return held

    assert asyncio.run(run())


# --- a caller that fails ----------------------------------------------------------------------------------------------


def test_an_interrupt_reaches_its_own_thread_alone(kraken: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The main thread leaves its turn, asks the store on behalf of the next in line, and is interrupted there."""
    with Kraken.from_env() as client, ThreadPoolExecutor(1) as thread:
        lane = client._session.lane
        owner = lanes.current_owner()
        threads.enter(lane, owner, GO_ON_S)
        waiting = thread.submit(client.private, "Balance")
        until(lambda: lane.waiting == 1)
        ask = lane.store.try_enter

        def interrupted() -> bool:
            monkeypatch.setattr(lane.store, "try_enter", ask)
            raise Interrupted

        monkeypatch.setattr(lane.store, "try_enter", interrupted)
        with pytest.raises(Interrupted):
            lane.leave(owner)
        assert waiting.result(GO_ON_S)["ZUSD"] == "100000.0000"


def test_a_turn_that_could_not_be_looked_into_is_given_back(kraken: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    with Kraken.from_env() as client:
        lane = client._session.lane
        monkeypatch.setattr(lane, "asks_clock", lambda: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            client.private("Balance")
        assert not lane.held


# --- more lanes than threads ------------------------------------------------------------------------------------------


def test_a_kept_turn_is_given_back_though_every_waiting_thread_is_busy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One process has all its waiting threads out for other lanes, and keeps lane A for its next call."""
    monkeypatch.setattr(lanes, "WAITERS", WaiterPool(1))
    one, other = ({name: lanes.Lane(FileStore(tmp_path).lane(name)) for name in "AB"} for _ in range(2))
    threads.enter(other["B"], "other", GO_ON_S)
    with ThreadPoolExecutor(2) as pool:
        for_b = pool.submit(threads.enter, one["B"], "one", GO_ON_S)
        until(lambda: one["B"].waiting == 1 and other["B"].store.is_contended())
        threads.enter(one["A"], "one", GO_ON_S)
        for_a = pool.submit(other["A"].store.wait_enter)
        until(one["A"].store.is_contended)
        one["A"]._slice_ends_ns = one["A"].clock.boot_ns() + lanes.SLICE_NS
        one["A"].leave("one")
        try:
            for_a.result(1)
        finally:
            other["B"].leave("other")
            for_b.result(GO_ON_S)
            for_a.result(GO_ON_S)
