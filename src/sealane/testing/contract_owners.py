"""The store contract: intents between processes, their death, and forks."""

# ruff: noqa: S101 - these are tests

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sealane.store.port import IntentLog
from sealane.testing.contract_base import PATIENCE_S, ContractBase

PROCESSES = 3
WRITES_EACH = 100
KILLS = 4
ANSWERS_BEFORE_KILL = 7
PADDING = "x" * 6_000
"""Documents longer than a page, so that a kill may come half way through one."""


class OwnerContract(ContractBase):
    """``IntentLog`` between processes."""

    def _needs_processes(self) -> None:
        self.needs(self.between_processes, "it lives in one process")

    def test_processes_write_together(self, tmp_path: Path) -> None:
        """And this one with them: nothing is lost, and each sees all."""
        self._needs_processes()
        log = self.open_intents(tmp_path)
        children = [_Child(type(self), tmp_path, _write_many) for _ in range(PROCESSES)]
        try:
            names = [str(child.answer()) for child in children]
            for child in children:
                child.pipe.send("go")
            for number in range(WRITES_EACH):
                log.write(f"here-{number}", {"n": number}, sync=number % 10 == 0)
            expected = {f"{name}-{number}": {"n": number} for name in (*names, "here") for number in range(WRITES_EACH)}
            assert {child.answer() for child in children} == {"done"}
            assert log.unsettled() == self.open_intents(tmp_path).unsettled() == expected
            for child in children:
                child.pipe.send("look")
            assert [child.answer() for child in children] == [len(expected)] * PROCESSES
        finally:
            for child in children:
                child.end()

    def test_a_kill_in_mid_write_takes_nothing_that_was_stored(self, tmp_path: Path) -> None:
        """kill -9, again and again: what was told stays, what stays is whole, and others go on."""
        self._needs_processes()
        log = self.open_intents(tmp_path)
        told: dict[str, Mapping[str, object]] = {}
        for _ in range(KILLS):
            child = _Child(type(self), tmp_path, _write_without_end)
            try:
                for _ in range(ANSWERS_BEFORE_KILL):
                    name, number = child.answer()
                    told[name] = {"n": number, "text": PADDING}
                child.process.kill()
                child.process.join(PATIENCE_S)
                while child.pipe.poll():
                    name, number = child.pipe.recv()
                    told[name] = {"n": number, "text": PADDING}
            except EOFError:
                pass
            finally:
                child.end()
            found = log.unsettled()
            assert told.items() <= found.items()
            assert all(document["text"] == PADDING for document in found.values())
            log.write("here", {"n": len(told), "text": PADDING}, sync=True)
            told["here"] = {"n": len(told), "text": PADDING}
        assert told.items() <= self.open_intents(tmp_path).unsettled().items()

    def test_a_process_is_alive_until_its_end(self, tmp_path: Path) -> None:
        """Also while it is stopped; not a moment longer, however it ended."""
        self._needs_processes()
        log = self.open_intents(tmp_path)
        children = [_Child(type(self), tmp_path, _own) for _ in range(2)]
        try:
            killed, ended = tokens = [str(child.answer()) for child in children]
            assert len({*tokens, log.owner()}) == 3
            assert log.is_alive(killed)
            assert log.is_alive(ended)
            os.kill(children[0].process.pid or 0, signal.SIGSTOP)
            assert log.is_alive(killed), "a stopped process is alive"
            children[0].process.kill()
            children[0].process.join(PATIENCE_S)
            assert not log.is_alive(killed)
            assert log.is_alive(ended)
            children[1].pipe.send("end")
            children[1].process.join(PATIENCE_S)
            assert not log.is_alive(ended)
        finally:
            for child in children:
                child.end()

    def test_a_forked_child_owns_for_itself(self, tmp_path: Path) -> None:
        """It has a token of its own; its end is not the parent's."""
        self._needs_processes()
        self.needs(hasattr(os, "fork"), "this system cannot fork")
        log = self.open_intents(tmp_path)
        token = log.owner()
        log.write("order-1", {"by": "parent"}, sync=True)
        ours, theirs = multiprocessing.Pipe()

        def own() -> None:
            log.after_fork()
            theirs.send((log.owner(), log.is_alive(token), log.read("order-1")))
            theirs.recv()
            log.write("order-2", {"by": "child"}, sync=True)
            theirs.send("written")
            theirs.recv()

        pid = _fork(own)
        try:
            assert ours.poll(PATIENCE_S)
            childs, parent_alive, read = ours.recv()
            assert childs != token
            assert parent_alive
            assert read == {"by": "parent"}
            assert log.is_alive(childs)
            ours.send("write")
            assert ours.poll(PATIENCE_S)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert not log.is_alive(childs)
        assert log.is_alive(token)
        assert log.owner() == token
        assert log.unsettled() == {"order-1": {"by": "parent"}, "order-2": {"by": "child"}}

    def test_a_child_does_not_keep_its_parent_alive(self, tmp_path: Path) -> None:
        """A parent that is killed is dead, though a child that it forked lives on."""
        self._needs_processes()
        self.needs(hasattr(os, "waitid"), "this system cannot wait for a death without taking note of it")
        log = self.open_intents(tmp_path)
        child = _Child(type(self), tmp_path, _own_and_fork)
        try:
            parents, childs = child.answer()
            assert log.is_alive(parents)
            child.process.kill()
            os.waitid(os.P_PID, child.process.pid or 0, os.WEXITED | os.WNOWAIT)  # join() would wait for both
            assert not log.is_alive(parents)
            assert log.is_alive(childs)
        finally:
            child.end()


def _fork(act: Callable[[], None]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: those of other tests, all idle
        pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(0)
    return pid


# --- children ---------------------------------------------------------------------------------------------------------

Task = Callable[[IntentLog, Connection], None]


class _Child:
    """A process that opens the store for itself and does one thing."""

    def __init__(self, contract: type[ContractBase], place: Path, task: Task) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_main, args=(contract, place, task, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def answer(self) -> Any:
        """What the child says next."""
        assert self.pipe.poll(PATIENCE_S), "the child process said nothing"
        return self.pipe.recv()

    def end(self) -> None:
        """Leave no process behind: what it forked ends with the pipe."""
        self.process.kill()
        self.pipe.close()
        self.process.join(PATIENCE_S)


def _main(contract: type[ContractBase], place: Path, task: Task, pipe: Connection) -> None:
    task(contract().make_store(place).intents(), pipe)


def _write_many(log: IntentLog, pipe: Connection) -> None:
    name = str(os.getpid())
    pipe.send(name)
    pipe.recv()
    for number in range(WRITES_EACH):
        log.write(f"{name}-{number}", {"n": number}, sync=number % 10 == 0)
    pipe.send("done")
    pipe.recv()
    pipe.send(len(log.unsettled()))
    pipe.recv()


def _write_without_end(log: IntentLog, pipe: Connection) -> None:
    number = 0
    while True:
        number += 1
        name = f"{os.getpid()}-{number}"
        log.write(name, {"n": number, "text": PADDING}, sync=number % 2 == 0)
        pipe.send((name, number))


def _own(log: IntentLog, pipe: Connection) -> None:
    pipe.send(log.owner())
    pipe.recv()


def _own_and_fork(log: IntentLog, pipe: Connection) -> None:
    token = log.owner()

    def live_on() -> None:
        log.after_fork()
        pipe.send((token, log.owner()))
        pipe.recv()

    _fork(live_on)
    signal.pause()
