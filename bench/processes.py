"""Eight processes on one key: what they reach together beside one alone, how evenly, and how long each waits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from bench.fast_server import SECRET, fast_server
from bench.report import Figure, Result
from bench.rounds import in_turns, jain, percentile
from bench.workers import spawned
from sealane import Kraken

TITLE = "processes on one key, one thread each, one store folder, a fast server on loopback"
PROCESSES = 8
ROUNDS = 7
WINDOW_S = 1.2
LEAD_S = 0.05
"""From the order to its start, so that all hear of it before."""
ANSWER_LIMIT_S = 30.0


@dataclass(frozen=True)
class Window:
    """When to call: times of ``time.monotonic``, which all processes of a machine share."""

    begins: float
    ends: float


@dataclass(frozen=True)
class Answer:
    """What one process did in a window: calls that ended within it, and the seconds that each call took."""

    calls: int
    waits: list[float]


def worker(orders: Connection, url: str, folder: Path) -> None:
    """One process: calls in every window that it is told of."""
    with Kraken(api_key="bench-key-of-processes", api_secret=SECRET, url=url, store=folder) as kraken:
        kraken.private("Balance")
        orders.send(Answer(0, []))  # ready
        while (window := _next_window(orders)) is not None:
            time.sleep(max(0.0, window.begins - time.monotonic()))
            orders.send(_call_within(window, kraken))


def _call_within(window: Window, kraken: Kraken) -> Answer:
    calls, waits = 0, []
    asked = time.monotonic()
    while asked < window.ends:
        kraken.private("Balance")
        answered = time.monotonic()
        calls += answered <= window.ends
        waits.append(answered - asked)
        asked = answered
    return Answer(calls, waits)


def _next_window(orders: Connection) -> Window | None:
    """None once the parent is done, or gone."""
    try:
        order = orders.recv()
    except EOFError:
        return None
    return order if isinstance(order, Window) else None


@dataclass
class Crew:
    """The workers' ends in the parent, and what they answered."""

    orders: Sequence[Connection]
    fairness: list[float] = field(default_factory=list)
    waits: dict[int, list[float]] = field(default_factory=dict)

    def rate(self, size: int) -> float:
        """Calls a second of the first ``size`` workers together, in one window."""
        begins = time.monotonic() + LEAD_S
        working = self.orders[:size]
        for orders in working:
            orders.send(Window(begins, begins + WINDOW_S))
        answers = [_received(orders) for orders in working]
        self.waits.setdefault(size, []).extend(wait for answer in answers for wait in answer.waits)
        if size > 1:
            self.fairness.append(jain([answer.calls for answer in answers]))
        return sum(answer.calls for answer in answers) / WINDOW_S


def _received(orders: Connection) -> Answer:
    if not orders.poll(ANSWER_LIMIT_S):
        raise TimeoutError("a process of the benchmark gave no answer")
    try:
        answer = orders.recv()
    except EOFError:
        raise RuntimeError("a process of the benchmark ended early") from None
    assert isinstance(answer, Answer)
    return answer


@contextmanager
def crew(url: str, folder: Path) -> Iterator[Crew]:
    """Eight workers that are ready to call; ended with the block."""
    with spawned(PROCESSES, worker, url, folder) as workers:
        for ours in workers:
            _received(ours)
        yield Crew(workers)


def run(folder: Path) -> Result:
    """See the head of this file."""
    with fast_server() as server, crew(server.url, folder) as workers:
        rates = in_turns({"one": lambda: workers.rate(1), "eight": lambda: workers.rate(PROCESSES)}, ROUNDS)
        counts = server.counts()
    figures = [
        rates.figure("one process", "one", "calls/s"),
        rates.figure("eight processes together", "eight", "calls/s"),
        rates.ratio("eight together : one", "eight", "one", at_least=0.8),
        Figure(
            f"fairness (Jain) of calls within {WINDOW_S:g} s",
            median(workers.fairness),
            "",
            min(workers.fairness),
            max(workers.fairness),
            at_least=0.95,
        ),
        Figure("nonces refused", counts.refused, "", at_most=0),
    ]
    for size, name in ((1, "one process"), (PROCESSES, "eight")):
        for share in (0.5, 0.99):
            wait_ms = percentile(workers.waits[size], share) * 1000
            figures.append(Figure(f"from asking to answer, {name}, p{share * 100:g}", wait_ms, "ms"))
        figures.append(Figure(f"from asking to answer, {name}, longest", max(workers.waits[size]) * 1000, "ms"))
    return Result("processes", TITLE, tuple(figures))
