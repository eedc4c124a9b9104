"""The documents' lock between processes, and holders that are stopped instead of killed."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crew import LIMIT_S, Crew, Worker

from sealane.simulator import Simulator
from sealane.store.floors import GLOBAL_LANE

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.001", "price": "1000"}
HASTY_S = 0.05


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < end, "did not happen in time"


def somebody_waits(folder: Path) -> bool:
    """Whether a process stands next in line for the turn: it holds the lock of the place."""
    fd = os.open(folder / f"{GLOBAL_LANE}.next", os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def arrivals(kraken: Simulator) -> list[tuple[str, str]]:
    return [(entry["account"], entry["method"]) for entry in kraken.journal()["entries"]]


def assert_in_order(kraken: Simulator) -> None:
    summary = kraken.journal()["summary"]
    assert (summary["refused_nonce"], summary["nonces_rose"], summary["max_overlap_all_keys"]) == (0, True, 1)


@pytest.fixture
def holder(crew: Crew) -> Iterator[Worker]:
    """A process that has used the lane."""
    worker = crew.start("obey")
    assert "result" in worker.order("call", method="Balance")
    yield worker


@pytest.fixture
def other(crew: Crew) -> Iterator[Worker]:
    """Another one, that does not wait for long."""
    worker = crew.start("obey", turn_wait_s=HASTY_S)
    assert "result" in worker.order("call", method="Balance", account="user1")
    yield worker


# --- the lock ---------------------------------------------------------------------------------------------------------


def test_the_holder_of_the_lock_calls_and_others_wait_for_its_release(
    kraken: Simulator, crew: Crew, holder: Worker, tmp_path: Path
) -> None:
    kraken.clear_journal()
    waiting = crew.start("obey")
    assert holder.order("lock")["result"] is True
    waiting.ask("call", method="Balance", account="user1")
    until(lambda: somebody_waits(tmp_path))
    for method in ("Balance", "OpenOrders", "AddOrder"):
        answer = holder.order("call", method=method, params=ORDER if method == "AddOrder" else {})
        assert "result" in answer
    assert len(arrivals(kraken)) == 3
    holder.order("unlock")
    assert waiting.hear()["result"]["ZUSD"] == "101000.0000"
    assert [account for account, _ in arrivals(kraken)] == ["MASTER"] * 3 + ["user1"]
    assert_in_order(kraken)


def test_the_lock_nests_and_its_last_release_counts(kraken: Simulator, holder: Worker, other: Worker) -> None:
    for _ in range(3):
        assert holder.order("lock")["result"] is True
    for _ in range(2):
        holder.order("unlock")
        assert other.order("lock", wait_s=HASTY_S)["result"] is False
    holder.order("unlock")
    assert other.order("lock", wait_s=HASTY_S)["result"] is True


def test_a_bare_draw_waits_for_no_lock(holder: Worker, other: Worker) -> None:
    holder.order("lock")
    drawn = [other.order("draw")["result"], holder.order("draw")["result"], other.order("draw")["result"]]
    assert drawn == sorted(set(drawn))


@pytest.mark.kill
def test_the_lock_falls_free_with_its_holder(kraken: Simulator, crew: Crew, holder: Worker, tmp_path: Path) -> None:
    waiting = crew.start("obey")
    holder.order("lock")
    waiting.ask("lock")
    until(lambda: somebody_waits(tmp_path))
    holder.kill()
    assert waiting.hear()["result"] is True


# --- stopped --------------------------------------------------------------------------------------------------------


def test_a_holder_that_is_stopped_on_the_wire(kraken: Simulator, holder: Worker, other: Worker) -> None:
    """SIGSTOP: nobody may go on in its place, for it may wake. All are told what is in their way, and send nothing."""
    kraken.clear_journal()
    kraken.add_fault("delay", methods=["AddOrder"], delay_s=0.2)
    holder.ask("call", method="AddOrder", params=ORDER)
    until(lambda: len(arrivals(kraken)) == 1)
    holder.pause()
    for account, method in (("user1", "Balance"), ("MASTER", "AddOrder"), ("MASTER", "Balance")):
        answer = other.order("call", account=account, method=method, params=ORDER if method == "AddOrder" else {})
        assert answer["error"] == "LaneBusy"
        assert f"lane {GLOBAL_LANE} was busy for {HASTY_S:g} s" in answer["text"]
        assert "AddOrder" in answer["text"], "it should say what is under way"
    assert len(arrivals(kraken)) == 1
    holder.resume()
    assert holder.hear()["result"]["txid"]
    for account in ("user1", "MASTER"):
        until(lambda account=account: "result" in other.order("call", account=account, method="Balance"))
    assert_in_order(kraken)


def test_stopped_at_every_step_of_a_turn(kraken: Simulator, holder: Worker, other: Worker) -> None:
    """Wherever a process is stopped, the others send nothing that its own request could meet; awake, it goes on."""
    step, seen = 0, set[str]()
    while True:
        step += 1
        kraken.clear_journal()
        stopped = holder.order("call", method="AddOrder", params=ORDER, stop_at=step)
        if "step" not in stopped:
            break
        holder.pause()
        answer = other.order("call", method="Balance", account="user1")
        holds = "Enter done" in stopped["steps"] and "Leave" not in stopped["steps"]
        assert "error" in answer or not holds, stopped
        if "error" in answer:
            assert (answer["error"], GLOBAL_LANE in answer["text"]) == ("LaneBusy", True)
            assert ("user1", "Balance") not in arrivals(kraken)
        holder.resume()
        assert "result" in holder.order("go on"), stopped
        assert_in_order(kraken)
        seen |= set(stopped["steps"])
    assert {"Draw", "Record", "Exchange", "half sent", "sent", "received", "Record done", "Leave"} <= seen
