"""Threads, tasks and processes on the same keys at once: what arrives at Kraken is one ordered row."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from crew import Crew

from sealane.simulator import Probe, SimAccount, Simulator

PROCESSES, THREADS, TASKS, CALLS = 3, 3, 5, 30
REQUESTS = PROCESSES * (THREADS + TASKS) * CALLS
BOTH = ["MASTER", "user1"]
MINUTE_S = 60.0


def run_all(crew: Crew, accounts: list[str], **more: object) -> None:
    """All processes at once, to their end; no client of theirs may have seen a nonce refused."""
    config = {"threads": THREADS, "tasks": TASKS, "calls": CALLS, "accounts": accounts, **more}
    workers = [crew.start("traffic", seed=number, **config) for number in range(PROCESSES)]
    assert [worker.hear_about("refused", MINUTE_S) for worker in workers] == [0] * PROCESSES


@pytest.mark.parametrize("ahead_s", [0, 3600], ids=["by the clock", "ahead of the clock"])
def test_one_key(kraken: Simulator, crew: Crew, ahead_s: int) -> None:
    """Ahead of the clock, only what is stored keeps two processes apart."""
    floor = time.time_ns() + ahead_s * 10**9
    run_all(crew, ["MASTER"], env={"KRAKEN_LAST_NONCE": str(floor)})
    summary = kraken.journal()["summary"]
    assert summary["accepted"] == summary["requests"] == REQUESTS
    assert (summary["refused_nonce"], summary["nonces_rose"], summary["max_overlap"]) == (0, True, 1)
    if ahead_s:
        last = int(summary["by_account"]["MASTER"]["last_accepted_nonce"])
        assert last == floor + REQUESTS, "each number once, and none left out"


def test_two_accounts_on_the_global_lane(kraken: Simulator, crew: Crew) -> None:
    run_all(crew, BOTH)
    summary = kraken.journal()["summary"]
    assert summary["accepted"] == summary["requests"] == REQUESTS
    assert (summary["refused_nonce"], summary["nonces_rose"]) == (0, True)
    assert summary["max_overlap_all_keys"] == 1
    assert set(summary["by_account"]) == set(BOTH)
    nonces = [int(entry["nonce"]) for entry in kraken.journal()["entries"]]
    assert nonces == sorted(set(nonces)), "one row of numbers over both keys"


def test_two_accounts_on_lanes_of_their_own(kraken: Simulator, crew_of: Callable[[str], Crew]) -> None:
    run_all(crew_of("per-key"), BOTH)
    summary = kraken.journal()["summary"]
    assert summary["accepted"] == summary["requests"] == REQUESTS
    assert (summary["refused_nonce"], summary["nonces_rose"], summary["max_overlap"]) == (0, True, 1)
    assert summary["max_overlap_all_keys"] == 2, "two accounts should run side by side"


# --- the judge can say no ---------------------------------------------------------------------------------------------


def test_ordinary_clients_with_their_own_clocks_are_refused(kraken: Simulator) -> None:
    def client(account: SimAccount) -> None:
        with Probe(kraken.url, account) as probe:
            for _ in range(CALLS):
                probe.private("Balance", nonce=time.time_ns())

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(client, kraken.accounts[0]) for _ in range(8)]:
            done.result()
    summary = kraken.journal()["summary"]
    assert summary["refused_nonce"] > 0
    assert summary["max_overlap"] > 1


def test_without_serialization_calls_overlap(kraken: Simulator, crew: Crew) -> None:
    crew.start("traffic", seed=1, threads=8, calls=CALLS, accounts=["MASTER"], serialized=False).hear_about("refused")
    assert kraken.journal()["summary"]["max_overlap"] > 1


@pytest.mark.parametrize("lanes", ["global", "per-key"])
def test_without_the_locks_processes_overlap(kraken: Simulator, crew_of: Callable[[str], Crew], lanes: str) -> None:
    crew = crew_of(lanes)
    config = {"threads": 1, "calls": CALLS, "accounts": ["MASTER"], "locks": False}
    for worker in [crew.start("traffic", seed=number, **config) for number in range(PROCESSES)]:
        worker.hear_about("refused", MINUTE_S)
    assert kraken.journal()["summary"]["max_overlap"] > 1
