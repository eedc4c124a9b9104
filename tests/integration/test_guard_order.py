"""Guarded clients over threads and processes on one key: nothing is refused, nothing overlaps; bare ones are refused.

This file is also the worker: started as a program, it makes the calls it is told on its standard input, a JSON line
each, and answers with a line.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sealane import Kraken
from sealane.plugins import guard
from sealane.simulator import SimAccount, Simulator

PROCESSES, THREADS, CALLS = 2, 4, 25
LIMIT_S = 30
MASTER = "MASTER"
INVALID_NONCE = "EAPI:Invalid nonce"


# --- the worker's side ------------------------------------------------------------------------------------------------


def a_ccxt(key: str, secret: str, url: str, put: Callable[[Any], Any]) -> Callable[[], Any]:
    import ccxt

    client = ccxt.kraken({"apiKey": key, "secret": secret, "enableRateLimit": False})
    client.urls["api"]["public"] = client.urls["api"]["private"] = url
    return put(client).privatePostBalance  # type: ignore[no-any-return]


def a_krakenex(key: str, secret: str, url: str, put: Callable[[Any], Any]) -> Callable[[], Any]:
    import krakenex

    client = krakenex.API(key, secret)
    client.uri = url
    put(client)

    def call() -> None:
        answer = client.query_private("Balance")
        if answer["error"]:
            raise ValueError(answer["error"])

    return call


def an_sdk(key: str, secret: str, url: str, put: Callable[[Any], Any]) -> Callable[[], Any]:
    from kraken.spot import User

    return put(User(key=key, secret=secret, url=url)).get_account_balance  # type: ignore[no-any-return]


def ours(key: str, secret: str, url: str, put: Callable[[Any], Any]) -> Callable[[], Any]:
    kraken = Kraken(api_key=key, api_secret=secret, url=url)
    return lambda: kraken.private("Balance")


KINDS = {"ccxt": a_ccxt, "krakenex": a_krakenex, "sdk": an_sdk, "ours": ours}


def made(call: Callable[[], Any], calls: int) -> Counter[str]:
    """How the calls ended; a refused nonce is told from everything else."""
    ends = Counter[str]()
    for _ in range(calls):
        try:
            call()
            ends["ok"] += 1
        except Exception as error:
            told = f"{error!r}"
            refused = INVALID_NONCE in told or "InvalidNonce" in told
            ends["refused" if refused else told[:300]] += 1
    return ends


def obey(order: dict[str, Any]) -> Counter[str]:
    put = guard if order["guarded"] else (lambda client: client)
    calls = [KINDS[kind](order["key"], order["secret"], order["url"], put) for kind in order["kinds"]]
    with ThreadPoolExecutor(THREADS * len(calls)) as pool:
        jobs = [pool.submit(made, call, order["calls"]) for call in calls for _ in range(THREADS)]
        return sum((job.result() for job in jobs), Counter())


def main() -> None:
    for make in KINDS.values():  # so that all start at once when they are told
        make("k", "c2VjcmV0", "http://127.0.0.1:9", lambda client: client)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line))), flush=True)


# --- the tests --------------------------------------------------------------------------------------------------------


class Worker:
    """One process."""

    def __init__(self, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def tell(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(LIMIT_S)

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(LIMIT_S)
        finally:
            self._process.kill()
            self._process.wait(LIMIT_S)
            self._process.stdout.close()


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Worker]]:
    """Two processes that share a data folder, and one to be killed."""
    there = {name: value for name, value in os.environ.items() if not name.startswith(("KRAKEN_", "SEALANE_"))}
    env = there | {"DATA_DIR": str(tmp_path_factory.mktemp("lane"))}
    crew = [Worker(env) for _ in range(PROCESSES + 1)]
    try:
        for worker in crew:
            assert worker.hear() == "ready"
        yield crew
    finally:
        for worker in crew:
            worker.end()


@pytest.fixture
def kraken() -> Iterator[Simulator]:
    with Simulator(accounts=1, seed=time.time_ns() % 10**6, latency_ms=1) as simulator:
        yield simulator


def order(kraken: Simulator, kinds: list[str], *, guarded: bool = True, calls: int = CALLS) -> dict[str, Any]:
    account: SimAccount = kraken.accounts[0]
    keys = {"key": account.api_key, "secret": account.api_secret, "url": kraken.url}
    return {"kinds": kinds, "guarded": guarded, "calls": calls, **keys}


def ends_of(workers: list[Worker], what: dict[str, Any]) -> Counter[str]:
    for worker in workers:
        worker.tell(what)
    return sum((Counter(worker.hear()) for worker in workers), Counter())


def assert_in_order(kraken: Simulator, requests: int) -> None:
    summary = kraken.journal()["summary"]
    assert (summary["refused_nonce"], summary["max_overlap"], summary["nonces_rose"]) == (0, 1, True)
    assert summary["requests"] == summary["accepted"] == requests


@pytest.mark.parametrize("kind", ["ccxt", "krakenex", "sdk"])
def test_bare_clients_are_refused_and_guarded_ones_are_not(kraken: Simulator, workers: list[Worker], kind: str) -> None:
    total = PROCESSES * THREADS * CALLS
    bare = ends_of(workers[:PROCESSES], order(kraken, [kind], guarded=False))
    assert bare["refused"], "none was refused, so nothing is shown"
    assert kraken.journal()["summary"]["max_overlap"] > 1
    kraken.clear_journal()
    assert ends_of(workers[:PROCESSES], order(kraken, [kind])) == {"ok": total}
    assert_in_order(kraken, total)


@pytest.mark.parametrize("processes", [1, 2])
def test_all_kinds_on_one_key(kraken: Simulator, workers: list[Worker], processes: int) -> None:
    kinds, calls = list(KINDS), 10
    total = processes * len(kinds) * THREADS * calls
    assert ends_of(workers[:processes], order(kraken, kinds, calls=calls)) == {"ok": total}
    assert_in_order(kraken, total)


def test_siblings_go_on_after_a_kill_in_mid_call(kraken: Simulator, workers: list[Worker]) -> None:
    *siblings, victim = workers
    victim.tell(order(kraken, ["ccxt", "krakenex"], calls=100_000))
    until(lambda: kraken.journal()["summary"]["accepted"] > 20)
    kraken.add_fault("hang", methods=["Balance"], count=1, hang_s=60)
    until(lambda: not kraken.faults() or kraken.faults()[0]["remaining"] == 0)  # a call of the victim's is on the wire
    for worker in siblings:
        worker.tell(order(kraken, ["ccxt", "krakenex", "sdk", "ours"], calls=5))
    threading.Event().wait(0.2)
    before = kraken.journal()["summary"]["requests"]
    threading.Event().wait(0.2)
    assert kraken.journal()["summary"]["requests"] == before, "somebody went past the one who holds the turn"
    victim.kill()
    ends = sum((Counter(worker.hear()) for worker in siblings), Counter())
    assert ends == {"ok": len(siblings) * 4 * THREADS * 5}
    summary = kraken.journal()["summary"]
    assert (summary["refused_nonce"], summary["nonces_rose"]) == (0, True)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < end, "did not happen in time"
        threading.Event().wait(0.005)


def test_a_forked_child_has_turns_of_its_own(kraken: Simulator, tmp_path: Path) -> None:
    account = kraken.accounts[0]
    call = a_krakenex(account.api_key, account.api_secret, kraken.url, guard)
    call()
    child = os.fork()
    if not child:
        status = 1
        try:
            fresh = a_krakenex(account.api_key, account.api_secret, kraken.url, guard)  # a socket is not shared
            status = 0 if made(fresh, CALLS) == {"ok": CALLS} else 2
        finally:
            os._exit(status)
    assert made(call, CALLS) == {"ok": CALLS}
    assert os.waitpid(child, 0)[1] == 0
    assert_in_order(kraken, 2 * CALLS + 1)


if __name__ == "__main__":
    main()
