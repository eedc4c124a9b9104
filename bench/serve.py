"""The service beside busy lanes: how long ``/health/kraken-nonce`` takes, idle and with 16 threads at it; its memory.

The service and the busy threads share one process, as they do in a gateway; who asks, and the exchange, are processes
of their own. As a program with a URL and a count it is who asks: it prints how long each answer took.

Lanes are kept busy in three ways: all threads on the one lane with an exchange that answers at once; each on a lane of
its own with answers after ``ANSWER_MS``, as soon as Kraken's fastest; and each on its own with answers at once.
In the last it is the interpreter that is busy, with more work than there is time, so it is shown without a target.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from bench.fast_server import SECRET, FastServer, fast_server
from bench.report import Figure, Result
from bench.rounds import in_turns, percentile

TITLE = "the health page beside busy lanes in its own process, and the memory of sealane serve"
THREADS = 16
ACCOUNTS = 50
ROUNDS = 5
ANSWER_MS = 20
TARGET = 10.0
ASKED_A_ROUND = 400
SETTLE_S = 0.1
START_LIMIT_S = 30.0
PATH = "/health/kraken-nonce"

Pairs = list[tuple[str, str]]
"""API keys with their secrets."""


def run(folder: Path) -> Result:
    """See the head of this file."""
    figures: list[Figure] = []
    with fast_server() as server:
        with environment(variables(server.url, keys(THREADS), folder / "one", "global")):
            figures += answers("one lane", at_most=TARGET)
        with slow_exchange() as (url, pairs), environment(variables(url, pairs, folder / "slow", "per-key")):
            figures += answers(f"{THREADS} lanes, answers after {ANSWER_MS} ms", at_most=TARGET)
        with environment(variables(server.url, keys(THREADS), folder / "own", "per-key")):
            figures += answers(f"{THREADS} lanes, answers at once", at_most=None)
        if refused := server.counts().refused:
            raise RuntimeError(f"{refused} nonces were refused")
        one, many = (memory_bytes(server, folder / f"of-{count}", count) for count in (1, ACCOUNTS))
    figures += [
        Figure("memory of sealane serve, 1 account", one / 2**20, "MiB"),
        Figure(f"memory of sealane serve, {ACCOUNTS} accounts", many / 2**20, "MiB"),
    ]
    return Result("serve", TITLE, tuple(figures))


# --- how long an answer takes -----------------------------------------------------------------------------------------


def answers(label: str, *, at_most: float | None) -> list[Figure]:
    """The page's times, idle and busy, in turns."""
    calls_per_s: list[float] = []
    with served() as url, busy_threads() as load:

        def idle() -> float:
            return percentile(asked(url, ASKED_A_ROUND), 0.99)

        def busy() -> float:
            load.begin()
            time.sleep(SETTLE_S)
            try:
                return percentile(asked(url, ASKED_A_ROUND), 0.99)
            finally:
                calls_per_s.append(load.end())

        busy()  # lanes and connections are opened, off the clock
        calls_per_s.clear()
        rates = in_turns({"idle": idle, "busy": busy}, ROUNDS)
    return [
        rates.figure(f"{label}: idle, p99", "idle", "ms"),
        rates.figure(f"{label}: {THREADS} threads busy, p99", "busy", "ms"),
        rates.ratio(f"{label}: busy : idle", "busy", "idle", at_most=at_most),
        Figure(f"{label}: private calls meanwhile", median(calls_per_s), "calls/s"),
    ]


@contextmanager
def served() -> Iterator[str]:
    """The service of this process's environment on a thread; gives its URL."""
    from sealane.broker import AccountType, KrakenBroker
    from sealane.client.accounts import MASTER
    from sealane.gateway.app import make_app
    from sealane.gateway.fleet import Fleet
    from sealane.gateway.server import answer, listen, url_of
    from sealane.gateway.service import Service

    def broker(account: str) -> KrakenBroker:
        return KrakenBroker() if account == MASTER else KrakenBroker(AccountType.USER, account)

    service = Service(Fleet(os.environ, broker))
    ready, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    with listen("127.0.0.1", 0) as listener, service:
        work = answer(make_app(service.state), listener, ready.set, stop)
        thread = threading.Thread(target=lambda: loop.run_until_complete(work))
        thread.start()
        try:
            if not ready.wait(START_LIMIT_S):
                raise RuntimeError("the service did not start")
            yield url_of(listener)
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()


class Load:
    """Threads that call Balance, each with an account of its own, between ``begin`` and ``end``."""

    def __init__(self) -> None:
        from sealane import Kraken
        from sealane.client.accounts import account_names

        self._on, self._over = threading.Event(), False
        self._clients = [Kraken.from_env(name) for name in account_names(os.environ)]
        self._done = [0] * len(self._clients)
        self._threads = [threading.Thread(target=self._work, args=(at,)) for at in range(len(self._clients))]
        self._began, self._before = 0.0, 0
        for thread in self._threads:
            thread.start()

    def _work(self, at: int) -> None:
        while not self._over:
            self._on.wait()
            while self._on.is_set() and not self._over:
                self._clients[at].private("Balance")
                self._done[at] += 1

    def begin(self) -> None:
        self._began, self._before = time.perf_counter(), sum(self._done)
        self._on.set()

    def end(self) -> float:
        """Calls a second since it began."""
        self._on.clear()
        return (sum(self._done) - self._before) / (time.perf_counter() - self._began)

    def close(self) -> None:
        self._over = True
        self._on.set()
        for thread in self._threads:
            thread.join()
        for client in self._clients:
            client.close()


@contextmanager
def busy_threads() -> Iterator[Load]:
    load = Load()
    try:
        yield load
    finally:
        load.close()


@contextmanager
def slow_exchange() -> Iterator[tuple[str, Pairs]]:
    """A simulator whose answers take their time; gives its URL and its accounts' keys."""
    command = [sys.executable, "-m", "sealane.cli", "sim", "--port", "0", "--latency-ms", str(ANSWER_MS)]
    command += ["--accounts", str(THREADS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            document = json.loads(process.stdout.readline())
            yield document["url"], [(row["api_key"], row["api_secret"]) for row in document["accounts"]]
        finally:
            process.kill()


def asked(url: str, count: int) -> list[float]:
    """Milliseconds of each of so many answers, taken by a process apart."""
    command = [sys.executable, "-m", "bench.serve", url, str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    times: list[float] = json.loads(done.stdout)
    return times


def ask(url: str, count: int) -> list[float]:
    """What the process apart does: ask again and again on one connection, after a few that do not count."""
    connection = http.client.HTTPConnection(str(urlsplit(url).hostname), urlsplit(url).port, timeout=30)
    times = []
    for _ in range(count + 10):
        started = time.perf_counter()
        connection.request("GET", PATH)
        connection.getresponse().read()
        times.append((time.perf_counter() - started) * 1000)
    connection.close()
    return times[10:]


# --- memory -----------------------------------------------------------------------------------------------------------


def memory_bytes(server: FastServer, folder: Path, count: int) -> int:
    """Resident memory of ``sealane serve`` once every account has answered and all pages were asked for."""
    command = [sys.executable, "-m", "sealane.cli", "serve", "--port", "0", "--json"]
    environ = variables(server.url, keys(count, folder.name), folder, "global")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | environ
    ) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            _until_all_pass(url)
            for path in ("/", "/metrics", "/livez"):
                urllib.request.urlopen(url + path, timeout=START_LIMIT_S).close()
            return resident_bytes(process.pid)
        finally:
            process.terminate()


def _until_all_pass(url: str) -> None:
    until = time.perf_counter() + START_LIMIT_S
    while time.perf_counter() < until:
        try:
            with urllib.request.urlopen(url + PATH, timeout=START_LIMIT_S) as answer:
                if json.load(answer)["status"] == "pass":
                    return
        except urllib.error.HTTPError as error:
            error.close()
        time.sleep(SETTLE_S)
    raise RuntimeError("not all accounts answered")


def resident_bytes(pid: int) -> int:
    """A process's resident memory, as ``ps`` tells it."""
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], check=True, capture_output=True, text=True)
    return int(done.stdout) * 1024


# --- the environment --------------------------------------------------------------------------------------------------


def keys(count: int, name: str = "account") -> Pairs:
    """Key pairs for the fast server, which knows none and takes all."""
    return [(f"bench-key-of-{name}-{number}", SECRET) for number in range(count)]


def variables(url: str, pairs: Pairs, folder: Path, lanes: str) -> dict[str, str]:
    """The environment of a program with these accounts."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"KRAKEN_SPOT_URL": url, "DATA_DIR": str(folder), "SEALANE_LANES": lanes}
    for number, (key, secret) in enumerate(pairs):
        prefix = "KRAKEN" if number == 0 else f"KRAKEN_USER_user{number}"
        found |= {f"{prefix}_API_KEY": key, f"{prefix}_API_SECRET": secret}
    return found


@contextmanager
def environment(found: dict[str, str]) -> Iterator[None]:
    """Have it in this process while the block runs."""
    before = dict(os.environ)
    os.environ.update(found)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    print(json.dumps(ask(sys.argv[1], int(sys.argv[2]))))
