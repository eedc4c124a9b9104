"""The store contract: several processes on one store, their death, and forks."""

# ruff: noqa: S101 - these are tests

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import warnings
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sealane.store.port import LaneStore
from sealane.testing.clock import FakeClock
from sealane.testing.contract_base import LANE, PATIENCE_S, ContractBase, Draw, check_order

PROCESSES = 4
DRAWS_EACH = 200


class ProcessContract(ContractBase):
    """What only a store between processes can promise."""

    dead_holder_s = PATIENCE_S
    """Within this time after its holder died the turn is granted to another."""

    def _needs_processes(self) -> None:
        self.needs(self.between_processes, "it lives in one process")

    def test_processes_draw_together(self, tmp_path: Path) -> None:
        """4 x 200 numbers, all let go at once, on a clock that stands."""
        self._needs_processes()
        children = [_Child(type(self), tmp_path, "draw") for _ in range(PROCESSES)]
        try:
            for child in children:
                assert child.answer() == "ready"
            for child in children:
                child.pipe.send("go")
            draws = [Draw(*draw) for child in children for draw in child.answer()]
        finally:
            for child in children:
                child.end()
        assert len(draws) == PROCESSES * DRAWS_EACH
        check_order(draws)
        assert self.draw(self.open_lane(tmp_path)) > max(draw.nonce for draw in draws)

    def test_a_turn_is_held_against_other_processes(self, tmp_path: Path) -> None:
        """And its end is seen there."""
        self._needs_processes()
        child = _Child(type(self), tmp_path, "turn")
        try:
            assert child.answer() == "entered"
            lane = self.open_lane(tmp_path)
            assert not lane.try_enter()
            child.pipe.send("leave")
            self._granted_soon(lane)
            assert child.answer() == "left"
        finally:
            child.end()

    def test_a_dead_process_holds_nobody_up(self, tmp_path: Path) -> None:
        """kill -9 in mid-turn: the turn goes on without anybody's help, and its record is there to be seen."""
        self._needs_processes()
        child = _Child(type(self), tmp_path, "turn")
        try:
            assert child.answer() == "entered"
            lane = self.open_lane(tmp_path)
            assert not lane.try_enter()
            child.process.kill()
            self._granted_soon(lane)
            assert lane.read_turn() == {"by": "child"}
            lane.leave()
        finally:
            child.end()

    def test_a_fork_leaves_the_turn_to_its_parent(self, tmp_path: Path) -> None:
        """The child does not have it, cannot take it, and ends nothing by its own end."""
        self._needs_processes()
        self.needs(hasattr(os, "fork"), "this system cannot fork")
        lane, other = self.open_lane(tmp_path), self.open_lane(tmp_path)
        before = self.draw(lane)
        assert self.enter(lane)
        ours, theirs = multiprocessing.Pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: those of other tests, all idle
            pid = os.fork()
        if pid == 0:
            try:
                lane.after_fork()
                theirs.send((lane.try_enter(), self.draw(lane)))
                lane.close()
            finally:
                os._exit(0)
        assert ours.poll(PATIENCE_S)
        entered, nonce = ours.recv()
        os.waitpid(pid, 0)
        assert not entered
        assert not other.try_enter()
        assert self.draw(lane) > nonce > before
        lane.leave()
        other.wait_enter()
        other.leave()

    def _granted_soon(self, lane: LaneStore) -> None:
        thread = threading.Thread(target=lane.wait_enter, daemon=True)
        thread.start()
        thread.join(self.dead_holder_s)
        assert not thread.is_alive(), f"the turn was not granted within {self.dead_holder_s:.0f} s"


class _Child:
    """A process that opens the store for itself and does one thing."""

    def __init__(self, contract: type[ContractBase], place: Path, task: str) -> None:
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
        """Leave no process behind."""
        self.process.kill()
        self.process.join(PATIENCE_S)
        self.pipe.close()


def _main(contract: type[ContractBase], place: Path, task: str, pipe: Connection) -> None:
    """The child's side of ``_Child``."""
    lane = contract().make_store(place).lane(LANE)
    if task == "turn":
        lane.wait_enter()
        lane.write_turn({"by": "child"})
        pipe.send("entered")
        pipe.recv()
        lane.leave()
        pipe.send("left")
        return
    clock = FakeClock()
    pipe.send("ready")
    pipe.recv()
    draws = []
    for _ in range(DRAWS_EACH):
        began = time.monotonic_ns()
        nonce = lane.draw(clock.wall_ns(), clock.boot_ns())
        draws.append((began, nonce, time.monotonic_ns()))
    pipe.send(draws)
    pipe.recv()
