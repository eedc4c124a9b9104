"""One process on a host of the hosts' benchmark: it calls when it is told to, and notes each step at the engine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.fast_server import SECRET
from bench.processes import Window
from sealane import Kraken
from sealane.core.lease import Grant
from sealane.store.hosted_store import HostedStore
from sealane.store.open import open_store

ANSWER_LIMIT_S = 30.0
KEEPER = "sealane-leases"
"""The thread that renews in the background."""


@dataclass(frozen=True)
class Step:
    """One verb at the engine; times of ``time.monotonic``, which all processes of a machine share."""

    verb: str
    thread: str
    began: float
    ended: float
    granted: bool


@dataclass(frozen=True)
class Answer:
    """What came of an order: calls that ended in time, the seconds each took, the engine's steps; from when to when."""

    calls: int
    waits: list[float]
    steps: list[Step]
    began: float
    ended: float


class NotingEngine:
    """An engine whose verbs are noted."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.steps: list[Step] = []

    def __getattr__(self, name: str) -> Any:
        thing = getattr(self._engine, name)
        return self._noted(name, thing) if callable(thing) else thing

    def _noted(self, name: str, verb: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any, **named: Any) -> Any:
            began = time.monotonic()
            answer = verb(*given, **named)
            granted = isinstance(answer, tuple) and isinstance(answer[0], Grant)
            self.steps.append(Step(name, threading.current_thread().name, began, time.monotonic(), granted))
            return answer

        return noted


class Host:
    """One process's client."""

    def __init__(self, exchange: str, store_url: str, folder: Path) -> None:
        store = open_store(store_url, folder=folder)
        assert isinstance(store, HostedStore)
        self.noting = NotingEngine(store.engine)
        store.engine = self.noting  # before the first lane
        self._exchange, self._store = exchange, store
        self.open()

    def open(self) -> None:
        """A client; the one before it was closed."""
        self.kraken = Kraken(api_key="bench-key-of-hosts", api_secret=SECRET, url=self._exchange, store=self._store)

    def within(self, window: Window) -> Answer:
        """Call as often as there is time."""
        time.sleep(max(0.0, window.begins - time.monotonic()))
        began = asked = time.monotonic()
        calls, waits = 0, []
        while asked < window.ends:
            self.kraken.private("Balance")
            answered = time.monotonic()
            calls += answered <= window.ends
            waits.append(answered - asked)
            asked = answered
        return Answer(calls, waits, self._steps(), began, asked)

    def call(self) -> Answer:
        """One call."""
        began = time.monotonic()
        self.kraken.private("Balance")
        ended = time.monotonic()
        return Answer(1, [ended - began], self._steps(), began, ended)

    def close(self) -> Answer:
        """Stop cleanly, and be there again for the next call."""
        began = time.monotonic()
        self.kraken.close()
        ended = time.monotonic()
        self.open()
        return Answer(0, [], self._steps(), began, ended)

    def _steps(self) -> list[Step]:
        steps, self.noting.steps = self.noting.steps, []
        return steps


def work(orders: Connection, exchange: str, store_url: str, folder: Path) -> None:
    """One process: ``"call"``, ``"close"`` or a Window at a time."""
    host = Host(exchange, store_url, folder)
    while True:
        try:
            order = orders.recv()
        except EOFError:  # the parent is done, or gone
            break
        orders.send(host.within(order) if isinstance(order, Window) else getattr(host, order)())
    host.kraken.close()


class Worker:
    """The parent's end of one process."""

    def __init__(self, exchange: str, store_url: str, folder: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._orders, theirs = spawn.Pipe()
        self._process = spawn.Process(target=work, args=(theirs, exchange, store_url, folder), daemon=True)
        self._process.start()
        theirs.close()  # so that a worker that died is seen as the end of its pipe

    def ask(self, order: str | Window) -> None:
        """Tell it what to do; ``answer`` gives what came of it."""
        self._orders.send(order)

    def answer(self) -> Answer:
        """What came of the order."""
        if not self._orders.poll(ANSWER_LIMIT_S):
            raise TimeoutError("a process of the benchmark gave no answer")
        try:
            answer = self._orders.recv()
        except EOFError:
            raise RuntimeError("a process of the benchmark ended early") from None
        assert isinstance(answer, Answer)
        return answer

    def do(self, order: str | Window) -> Answer:
        """Both."""
        self.ask(order)
        return self.answer()

    def kill(self) -> float:
        """SIGKILL; returns when."""
        assert self._process.pid
        at = time.monotonic()
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()
        return at

    def close(self) -> None:
        """Let it end."""
        self._orders.close()
        self._process.join(5)
        self._process.kill()
        self._process.join()
