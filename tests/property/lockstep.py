"""Blocking code of many processes, played one step at a time in virtual time: the same seed, the same story.

An *actor* is a function on a thread of its own, but only one thread ever runs: each gives the stage back when it waits,
and the stage wakes whoever is due next. So real code that blocks is stopped wherever it reads a clock, waits, or asks
somebody, and anything may happen meanwhile.
"""

import heapq
import itertools
import threading
from collections.abc import Callable
from typing import ClassVar

from sealane.testing import Killed

POLL_NS = 20_000_000
"""How often an actor looks whether a lock that another holds is free."""


class Worker(threading.Thread):
    """A thread that plays one actor after the other."""

    idle: ClassVar[list["Worker"]] = []

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.go = threading.Lock()
        self.go.acquire()
        self.actor: Actor | None = None
        self.start()

    def run(self) -> None:
        while True:
            self.go.acquire()
            actor, self.actor = self.actor, None
            actor.play()
            self.idle.append(self)
            actor.stage.go_on()


class Actor:
    """One function under way. ``group`` is its process: what is stopped or killed with it."""

    def __init__(self, stage: "Stage", group: object, work: Callable[[], object]) -> None:
        self.stage, self.group, self._work = stage, group, work
        self.over = self.killed = False
        self.looked_ns = 0
        self.turn = 0
        """Counts its wakings: one that was planned before another came first is void."""
        self.worker: Worker | None = None

    def play(self) -> None:
        try:
            if not self.killed:
                self._work()
        except BaseException as error:
            if not self.killed:
                self.stage.failure = self.stage.failure or error
        self.over, self.worker = True, None
        self.stage.actors.remove(self)

    def resume(self) -> None:
        """Let it run; whoever says so stops."""
        self.stage.current = self
        if self.worker is None:
            self.worker = Worker.idle.pop() if Worker.idle else Worker()
            self.worker.actor = self
        self.worker.go.release()

    def kill(self) -> None:
        """It is no more, as soon as it would run again."""
        self.killed = True


class Stage:
    """The true time, and who is due when."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.current: Actor | None = None
        self.actors: list[Actor] = []
        self.failure: BaseException | None = None
        self._due: list[tuple[int, int, Callable[[], None] | None, Actor | None, int]] = []
        self._numbers = itertools.count()
        self._until_ns = now_ns
        self._is_over: Callable[[], bool] = lambda: False
        self._main = threading.Lock()
        self._main.acquire()

    def at(self, time_ns: int, happens: Callable[[], None]) -> None:
        """Have something happen; it may not wait."""
        heapq.heappush(self._due, (max(time_ns, self.now_ns), next(self._numbers), happens, None, 0))

    def start(self, group: object, work: Callable[[], object]) -> Actor:
        """A new actor, which runs soon."""
        actor = Actor(self, group, work)
        self.actors.append(actor)
        self.wake(actor)
        return actor

    def wake(self, actor: Actor, after_ns: int = 0) -> None:
        """Have it run then, and not when it was due before."""
        actor.turn += 1
        heapq.heappush(self._due, (self.now_ns + after_ns, next(self._numbers), None, actor, actor.turn))

    def sleep(self, span_ns: int) -> None:
        """From an actor: let time pass."""
        actor = self.current
        self.wake(actor, span_ns)
        due = self._next()
        if due is not actor:
            worker = actor.worker
            self._hand_to(due)
            worker.go.acquire()
        self.current = actor
        if actor.killed:
            raise Killed

    def until(self, holds: Callable[[], bool]) -> None:
        """From an actor: wait for something that is looked at now and then."""
        while not holds():
            self.sleep(POLL_NS)

    def go_on(self) -> None:
        """From the thread of an actor that is over."""
        self._hand_to(self._next())

    def _hand_to(self, actor: Actor | None) -> None:
        if actor is None:
            self._main.release()
        else:
            actor.resume()

    def _next(self) -> Actor | None:
        """Let happen what is due before the next actor, who is returned; None at the end."""
        self.current = None
        while self._due and self.failure is None and self._due[0][0] <= self._until_ns and not self._is_over():
            self.now_ns, _, happens, actor, turn = heapq.heappop(self._due)
            if actor is None:
                try:
                    happens()
                except BaseException as error:
                    self.failure = error
            elif not actor.over and turn == actor.turn:
                stopped_ns = getattr(actor.group, "stopped_until_ns", 0) - self.now_ns
                if stopped_ns <= 0 or actor.killed:
                    return actor
                self.wake(actor, stopped_ns)
        return None

    def play(self, until_ns: int, is_over: Callable[[], bool] = lambda: False) -> None:
        """Let everything happen that is due, up to a time or an end. Raises what an actor did not catch."""
        self._until_ns, self._is_over = until_ns, is_over
        actor = self._next()
        if actor is not None:
            actor.resume()
            self._main.acquire()
        if self.failure is not None:
            raise self.failure
        if not is_over():
            self.now_ns = max(self.now_ns, until_ns)

    def close(self) -> None:
        """Nobody goes on: threads are given back."""
        self._until_ns = -1
        for actor in tuple(self.actors):
            actor.kill()
            while not actor.over:
                actor.resume()
                self._main.acquire()


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
