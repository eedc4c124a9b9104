"""Blocking code of many processes, played one step at a time in virtual time: the same seed, the same story.

An *actor* is a function on a thread of its own, but only one thread ever runs: each gives the stage back when it waits,
and the stage wakes whoever is due next. So real code that blocks is stopped wherever it reads a clock, waits, or asks
somebody, and anything may happen meanwhile.
"""

import contextlib
import heapq
import itertools
import threading
from collections.abc import Callable

from sealane.testing import Killed

POLL_NS = 20_000_000
"""How often an actor looks whether a lock that another holds is free."""


class Worker(threading.Thread):
    """A thread that plays one actor after the other."""

    idle: list["Worker"] = []

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.go, self.back = threading.Lock(), threading.Lock()
        self.go.acquire()
        self.back.acquire()
        self.actor: Actor | None = None
        self.start()

    def run(self) -> None:
        while True:
            self.go.acquire()
            self.actor.play()
            self.actor = None
            self.back.release()


class Actor:
    """One function under way. ``group`` is its process: what is stopped or killed with it."""

    def __init__(self, stage: "Stage", group: object, work: Callable[[], object]) -> None:
        self.stage, self.group, self._work = stage, group, work
        self.over = self.killed = False
        self.looked_ns = 0
        self.turn = 0
        """Counts its wakings: one that was planned before another came first is void."""
        self._worker: Worker | None = None
        self.trouble: BaseException | None = None

    def play(self) -> None:
        try:
            if not self.killed:
                self._work()
        except BaseException as error:
            if not self.killed:
                self.trouble = error
        self.over = True

    def resume(self) -> None:
        """From the stage: run until it waits."""
        if self._worker is None:
            self._worker = Worker.idle.pop() if Worker.idle else Worker()
            self._worker.actor = self
        worker = self._worker
        worker.go.release()
        worker.back.acquire()
        if self.over:
            Worker.idle.append(worker)
            self._worker = None
            if self.trouble is not None:
                raise self.trouble

    def wait(self) -> None:
        """From the actor: give the stage back."""
        self._worker.back.release()
        self._worker.go.acquire()
        if self.killed:
            raise Killed

    def kill(self) -> None:
        """From the stage, or from another actor: it is no more, as soon as it would run again."""
        self.killed = True


class Stage:
    """The true time, and who is due when."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.current: Actor | None = None
        self.actors: list[Actor] = []
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, time_ns: int, happens: Callable[[], None]) -> None:
        heapq.heappush(self._due, (max(time_ns, self.now_ns), next(self._numbers), happens))

    def start(self, group: object, work: Callable[[], object]) -> Actor:
        actor = Actor(self, group, work)
        self.actors.append(actor)
        self._plan(actor, self.now_ns)
        return actor

    def _plan(self, actor: Actor, time_ns: int) -> None:
        actor.turn += 1
        turn = actor.turn
        self.at(time_ns, lambda: self._run(actor, turn))

    def wake(self, actor: Actor) -> None:
        """Have it run now instead of later."""
        self._plan(actor, self.now_ns)

    def _run(self, actor: Actor, turn: int) -> None:
        if actor.over or turn != actor.turn:
            return
        stopped_until_ns = getattr(actor.group, "stopped_until_ns", 0)
        if stopped_until_ns > self.now_ns and not actor.killed:
            self._plan(actor, stopped_until_ns)
            return
        self.current = actor
        try:
            actor.resume()
        finally:
            self.current = None
            if actor.over:
                self.actors.remove(actor)

    def sleep(self, span_ns: int) -> None:
        """From an actor: let time pass."""
        actor = self.current
        self._plan(actor, self.now_ns + span_ns)
        actor.wait()

    def until(self, holds: Callable[[], bool]) -> None:
        """From an actor: wait for something that is looked at now and then."""
        while not holds():
            self.sleep(POLL_NS)

    def play(self, until_ns: int, over: Callable[[], bool] = lambda: False) -> None:
        """Let everything happen that is due."""
        while self._due and self._due[0][0] <= until_ns and not over():
            self.now_ns, _, happens = heapq.heappop(self._due)
            happens()
        if not over():
            self.now_ns = max(self.now_ns, until_ns)

    def close(self) -> None:
        """Nobody goes on: threads are given back."""
        for actor in tuple(self.actors):
            actor.kill()
            self.current = actor
            while not actor.over:
                with contextlib.suppress(Exception):
                    actor.resume()
        self.actors.clear()
        self.current = None


class StageLock:
    """A mutex between actors of one process."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._held = stage, False

    def acquire(self, blocking: bool = True) -> bool:
        if self._held and not blocking:
            return False
        self._stage.until(lambda: not self._held)
        self._held = True
        return True

    def release(self) -> None:
        self._held = False

    def locked(self) -> bool:
        return self._held

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class StageEvent:
    """An event between actors of one process."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._set = stage, False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def wait(self, limit_s: float) -> bool:
        ends_ns = self._stage.now_ns + round(limit_s * 1e9)
        self._stage.until(lambda: self._set or self._stage.now_ns >= ends_ns)
        return self._set
