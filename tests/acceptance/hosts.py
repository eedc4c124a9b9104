"""Hosts on one machine: a data folder each with processes in it, one engine for all, the simulator as the judge."""

import contextlib
import itertools
import json
import os
import secrets
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from crew import Crew, Gone, Worker, environment
from judge import Death, judge

from sealane.core.order import Intent, Placed
from sealane.simulator import Simulator
from sealane.store.engine import Engine
from sealane.store.postgres.engine import PostgresEngine
from sealane.store.redis.engine import RedisEngine

sys.path.append(str(Path(__file__).parents[1] / "engines"))
import postgres_server
import redis_server

LEASE_MS = 600
BEAT_SPAN_MS = 900
NS_PER_MS = 1_000_000
SETTLED_S, GONE_S = 30.0, 10.0
NO_ORDER = ("NotPlaced", "NotDurable", "Unavailable", "Fenced", "read")
"""How an order ends that must not stand in the book."""
TOLD = ("Placed", *NO_ORDER)


@dataclass
class Running:
    """An engine's server, how its hosts reach it, and how it is killed and started again."""

    url: str
    engine: Engine
    server: Any

    def kill(self) -> None:
        """All of its processes; returns when none of them is there any more, nor their memory in use."""
        self.server.signal(signal.SIGSTOP)  # so that nobody is born while the others are killed
        family = self.server.family() if hasattr(self.server, "family") else []
        self.server.kill()
        end, pause = time.monotonic() + GONE_S, threading.Event()
        while any(map(_is_there, family)):
            assert time.monotonic() < end, family
            pause.wait(0.01)

    def start(self) -> None:
        self.server.start()


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def running(kind: str, folder: Path, lease_ms: int = LEASE_MS) -> Iterator[Running]:
    """A server of the kind, ``redis`` or ``postgres``, with what a killed process may not lose on its disk."""
    if kind == "redis":
        with redis_server.serving(folder, "--appendonly", "yes", "--appendfsync", "always") as server:
            url = server.url(lease_ms=lease_ms)
            engine = RedisEngine(url)
            yield Running(url, engine, server)
            engine.close()
        return
    binaries = next(filter(None, map(postgres_server.within_reach, postgres_server.BINARIES.values())), None)
    if binaries is None:
        pytest.skip("no PostgreSQL that can be run here")
    server = postgres_server.Server(binaries)
    try:
        url = server.url(lease_ms=lease_ms)
        known = PostgresEngine(url)
        known.now_ms()  # makes the schema
        yield Running(url, known, server)
        known.close()
    finally:
        server.close()


@dataclass(eq=False)
class Process:
    """One program on a host. ``told`` has how its orders ended, None for one that began."""

    host: str
    worker: Worker
    told: dict[str, str | None] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    last: str = ""
    stopped: bool = False

    def hear(self, limit_s: float = 20.0) -> None:
        """Take in the next message."""
        self._take(self.worker.hear(limit_s))

    def catch_up(self) -> None:
        """Take in what was said so far, also by one who is dead now."""
        with contextlib.suppress(TimeoutError, BlockingIOError, Gone, OSError):
            while True:
                self._take(self.worker.hear(0.001))

    def await_ended(self, count: int = 1, limit_s: float = 20.0) -> None:
        """Until so many more of its orders were placed, or reads answered."""
        end = time.monotonic() + limit_s
        while count:
            assert time.monotonic() < end, f"{self.host} does not go on: {self.texts}"
            self.hear(limit_s)
            count -= self.last in ("Placed", "read")

    def await_begun(self) -> None:
        """Until one of its orders is under way."""
        while True:
            self.hear()
            if self.last == "begun":
                return

    def _take(self, message: dict[str, Any]) -> None:
        self.last = ""
        if "begun" in message:
            self.told.setdefault(message["begun"], None)
            self.last = "begun"
        elif "ended" in message:
            self.told[message["ended"]] = self.last = message["end"]
            if message["end"] not in ("Placed", "read"):
                self.texts[message["ended"]] = message.get("text", "")
        self.stopped = self.stopped or "stopped" in message


class Scene:
    """One engine, one simulated exchange, any number of hosts."""

    def __init__(self, kraken: Simulator, crew: Crew, folder: Path, running: Running) -> None:
        self.kraken, self.crew, self.folder, self.running = kraken, crew, folder, running
        self.processes: list[Process] = []
        self.deaths: list[Death] = []
        self.stops: list[tuple[int, int]] = []
        self._names, self._prefix = 0, secrets.token_hex(2)

    def start(self, host: str, threads: int = 2, **config: Any) -> Process:
        """A new process on a host; returns before its first call."""
        self._names += 1
        env = {"DATA_DIR": str(self.folder / host)}
        given = {"threads": threads, "beat_span_ms": BEAT_SPAN_MS, "name": f"{self._prefix}{self._names}"} | config
        process = Process(host, self.crew.start("orders", env=env, **given))
        self.processes.append(process)
        return process

    def kill(self, process: Process) -> None:
        """SIGKILL; what it said before is taken in."""
        process.catch_up()
        self.deaths.append(process.worker.kill())

    def stop(self, process: Process) -> None:
        """SIGSTOP."""
        before = time.time_ns()
        process.worker.pause()
        self.deaths.append((before, time.time_ns()))  # what it has on the wire may be answered, and is not heard

    def go_on(self, process: Process) -> None:
        """SIGCONT."""
        before, _ = self.deaths[-1]
        self.stops.append((before, time.time_ns()))
        process.worker.resume()

    def end(self, process: Process) -> None:
        """A clean stop."""
        process.worker.ask("stop")
        while not process.stopped:
            process.hear(40)

    def await_settled(self) -> None:
        """Until no order is in doubt; somebody who lives has to find out."""
        end, pause = time.monotonic() + SETTLED_S, threading.Event()
        while left := self.running.engine.unsettled_intents():
            assert time.monotonic() < end, f"in doubt: {left}"
            for process in self.processes:
                process.catch_up()
            pause.wait(0.05)

    def end_all(self) -> None:
        """All that live stop cleanly: told first, so that they end together."""
        alive = [process for process in self.processes if not process.stopped and not self.is_dead(process)]
        for process in alive:
            process.worker.ask("stop")
        for process in alive:
            while not process.stopped:
                process.hear(60)

    def is_dead(self, process: Process) -> bool:
        try:
            process.worker._line.getpeername()
        except OSError:
            return True
        return False

    # --- the judge ------------------------------------------------------------------------------------------------

    def judge(self) -> Counter[str]:
        """Nothing doubled, lost, or refused without a death or a fence to explain it; how many ended in which way."""
        if self.running.engine.unsettled_intents():  # whoever calls next finishes what the dead left
            self.start("judge", reads=True)
            self.await_settled()
            self.end_all()
        book = self._book()
        assert max(book.values(), default=0) <= 1, book.most_common(3)
        told: dict[str, str | None] = {}
        for process in self.processes:
            told |= process.told
            for name, end in process.told.items():
                text = process.texts.get(name, "")
                assert end is None or end in TOLD, (name, end, text)
                assert end is None or book[name] == (end == "Placed"), (name, end, text)
        for name, document in self._intents():
            if name not in told:
                continue  # of an earlier test
            end = Intent.loaded(document).ends[name]
            assert book[name] == isinstance(end, Placed), (name, end, told.get(name))
            assert told[name] in (None, type(end).__name__) or told[name] in NO_ORDER, (name, end, told[name])
        assert set(book) <= set(told)
        self._judge_journal()
        return Counter(end or "never told" for end in told.values())

    def _judge_journal(self) -> None:
        entries = self.kraken.journal()["entries"]
        expected = [entry for entry in entries if not (entry["outcome"] == "refused" and self._is_fenced(entry))]
        found = judge(expected, self.deaths, one_lane=True)
        assert found.clean, found

    def _is_fenced(self, entry: dict[str, Any]) -> bool:
        """Sent by one who went on after a stop, with a nonce from before it: others had gone above since."""
        nonce, arrived = int(entry["nonce"]), entry["arrived_ns"]
        return any(nonce < stopped + 2 * LEASE_MS * NS_PER_MS and gone_on <= arrived for stopped, gone_on in self.stops)

    def _book(self) -> Counter[str]:
        orders = self.kraken.state()["accounts"]["MASTER"]["orders"]
        return Counter(row["cl_ord_id"] for row in orders.values() if row.get("cl_ord_id"))

    def _intents(self) -> list[tuple[str, dict[str, Any]]]:
        return [(name, json.loads(text)) for name, text in self.running.engine.recent_intents(1_000_000)]

    def refused(self) -> int:
        return int(self.kraken.journal()["summary"]["refused_nonce"])

    def longest_gap_s(self) -> float:
        """Between one accepted request's answer and the next one's arrival."""
        entries = [entry for entry in self.kraken.journal()["entries"] if entry["outcome"] == "accepted"]
        gaps = [after["arrived_ns"] - before["arrived_ns"] for before, after in itertools.pairwise(entries)]
        return max(gaps) / 1e9


@contextlib.contextmanager
def scene(kraken: Simulator, folder: Path, running: Running) -> Iterator[Scene]:
    """Workers that find the engine and the exchange in their environment."""
    env = environment(kraken, folder) | {"SEALANE_STORE": running.url, "SEALANE_VISIBILITY_LAG_S": "0.3"}
    with Crew(env, "host_worker.py") as crew:
        made = Scene(kraken, crew, folder, running)
        try:
            yield made
        finally:
            for process in made.processes:
                if not process.stopped and not made.is_dead(process):
                    process.worker.resume()
