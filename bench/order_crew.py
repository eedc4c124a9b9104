"""The processes of one run: started, killed at random, started again; and what they said before they died."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from types import TracebackType
from typing import Protocol, Self

from bench.order_callers import IN_DOUBT, Told
from bench.order_plan import Planned
from bench.order_worker import Begun, Done, Ended, Job, main

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["bench.order_worker", "sealane", "sealane.client.kraken", "ccxt", "krakenex"])
LOOK_S = 0.25
"""So often the store is asked about orders whose callers died."""
END_LIMIT_S = 10.0


class Afterlife(Protocol):
    """What is done about an order whose caller died before it was told an end, or gave up."""

    def ask_again(self, order: Planned) -> bool:
        """Whether the process that comes after it asks for the order again."""

    def told(self, order: Planned) -> Told | None:
        """The order's end by what stands in the store, None while it has none there."""


@dataclass
class Worker:
    """One place in the crew, and the process that has it now."""

    job: Job
    line: Connection
    process: ForkServerProcess
    done: bool = False


@dataclass
class Crew:
    """All processes of a run; a context manager that leaves none behind.

    ``orphans`` are the orders whose end is only to be had from ``after``; without one, the dead's orders have none.
    """

    plan: Sequence[Planned]
    after: Afterlife | None
    rng: random.Random
    kill_every_s: float
    begun_s: dict[int, float] = field(default_factory=dict)
    told: dict[int, Told] = field(default_factory=dict)
    orphans: set[int] = field(default_factory=set)
    kills: int = 0
    under_way_at_kills: int = 0
    _workers: list[Worker] = field(default_factory=list)
    _looked_s: float = 0.0

    def __enter__(self) -> Self:
        return self

    def start(self, jobs: Sequence[Job]) -> None:
        """One process a job."""
        self._workers = [_started(job) for job in jobs]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.line.close()
        for worker in self._workers:
            worker.process.join(END_LIMIT_S if kind is None else 0)
            worker.process.kill()
            worker.process.join()

    def run(self, progress: Callable[[], None], settle_s: float) -> None:
        """Until every order has been asked for and has an end, or has none ``settle_s`` later."""
        next_kill_s, until_s = self._next_kill_s(), float("inf")
        while not self._is_over() and time.monotonic() < until_s:
            for line in wait([worker.line for worker in self._workers], LOOK_S):
                worker = next(worker for worker in self._workers if worker.line is line)
                if not self._heard(worker):
                    raise RuntimeError(f"a process of the {worker.job.client} run ended by itself")
            busy = [worker for worker in self._workers if not worker.done]
            if busy and time.monotonic() >= next_kill_s:
                self._kill(self.rng.choice(busy))
                next_kill_s = self._next_kill_s()
            self._look()
            if not busy and until_s == float("inf"):
                until_s = time.monotonic() + settle_s
            progress()

    def _next_kill_s(self) -> float:
        return time.monotonic() + self.rng.expovariate(1 / self.kill_every_s)

    def _is_over(self) -> bool:
        return all(worker.done for worker in self._workers) and not self.orphans

    def _heard(self, worker: Worker) -> bool:
        """Take in one message; False where the line has ended."""
        try:
            message = worker.line.recv()
        except (EOFError, OSError):
            return False
        match message:
            case Begun():
                self.begun_s[message.number] = message.at_s
            case Ended():
                self.told[message.number] = message.told
                if self.after is not None and message.told.end == IN_DOUBT:
                    self.orphans.add(message.number)
            case Done():
                worker.done = True
        return True

    def _kill(self, worker: Worker) -> None:
        """SIGKILL, and another one in its place, which goes on where the dead one was."""
        worker.process.kill()
        worker.process.join()
        while self._heard(worker):
            pass
        worker.line.close()
        left: dict[int, Sequence[Planned]] = {}
        for account, orders in worker.job.orders.items():
            open_ends = [order for order in orders if order.number not in self.told]
            under_way = [order for order in open_ends if order.number in self.begun_s]
            again = [order for order in under_way if self.after is not None and self.after.ask_again(order)]
            self.under_way_at_kills += len(under_way)
            if self.after is not None:
                self.orphans |= {order.number for order in under_way if order not in again}
            left[account] = again + [order for order in open_ends if order.number not in self.begun_s]
        self.kills += 1
        self._workers[self._workers.index(worker)] = _started(replace(worker.job, orders=left))

    def _look(self) -> None:
        """What the store says by now of the orders of the dead."""
        if time.monotonic() - self._looked_s < LOOK_S:
            return
        self._looked_s = time.monotonic()
        for number in list(self.orphans):
            told = self.after.told(self.plan[number]) if self.after else None
            if told is not None:
                self.told[number] = told
                self.orphans.discard(number)


def _started(job: Job) -> Worker:
    ours, theirs = _context.Pipe()
    process = _context.Process(target=main, args=(theirs, job), daemon=True)
    process.start()
    theirs.close()  # so that a death is seen as the end of the line
    return Worker(job, ours, process)


def shared_out(plan: Sequence[Planned], places: Mapping[int, Sequence[int]]) -> list[dict[int, list[Planned]]]:
    """Which process asks for which orders of which account; ``places`` are the processes that have an account."""
    processes = 1 + max(place for several in places.values() for place in several)
    shares: list[dict[int, list[Planned]]] = [{} for _ in range(processes)]
    turns = dict.fromkeys(places, 0)
    for account, several in places.items():
        for place in several:
            shares[place][account] = []
    for order in plan:
        several = places[order.account]
        shares[several[turns[order.account] % len(several)]][order.account].append(order)
        turns[order.account] += 1
    return shares
