"""The store contract: the turn."""

# ruff: noqa: S101 - these are tests

from __future__ import annotations

import threading
import time
from pathlib import Path

from sealane.store.port import LaneStore
from sealane.testing.contract_base import PATIENCE_S, ContractBase, run_threads


class TurnContract(ContractBase):
    """``try_enter``, ``wait_enter``, ``leave``."""

    def test_one_handle_at_a_time_has_the_turn(self, tmp_path: Path) -> None:
        """The other is refused at once, and granted it when the turn ends."""
        one, other = self.open_lane(tmp_path), self.open_lane(tmp_path)
        assert self.enter(one)
        assert not other.try_enter()
        waiter, granted = self._wait_on_thread(other)
        assert not granted.is_set()
        one.leave()
        waiter.join(PATIENCE_S)
        assert granted.is_set(), "the turn had ended, and nobody was granted it"
        assert not one.try_enter()
        other.leave()
        assert one.wait_enter()
        one.leave()

    def test_lanes_do_not_wait_for_each_other(self, tmp_path: Path) -> None:
        """A turn is a lane's own."""
        one, other = self.open_lane(tmp_path, "kraken_key_0a"), self.open_lane(tmp_path, "kraken_key_0b")
        assert self.enter(one)
        assert self.enter(other)
        one.leave()
        other.leave()

    def test_a_draw_waits_for_no_turn(self, tmp_path: Path) -> None:
        """A bare draw is a number, not an order."""
        one, other = self.open_lane(tmp_path), self.open_lane(tmp_path)
        assert self.enter(one)
        first = self.draw(other)
        assert self.draw(one) > first
        one.leave()

    def test_the_turn_comes_round(self, tmp_path: Path) -> None:
        """Four callers, 25 turns each: never two inside, and all of them get theirs."""
        inside = threading.Semaphore(1)
        turns: list[LaneStore] = []

        def work() -> None:
            lane = self.open_lane(tmp_path)
            for _ in range(25):
                if not lane.try_enter():
                    lane.wait_enter()
                assert inside.acquire(blocking=False), "two had the turn at once"
                self.draw(lane)
                turns.append(lane)
                inside.release()
                lane.leave()

        run_threads([work] * 4)
        assert len(turns) == 100

    def test_a_holder_sees_that_it_is_waited_for(self, tmp_path: Path) -> None:
        """So that it can let another process have its turn; and looking disturbs nobody."""
        self.needs(self.between_processes, "there is no other process that could wait")
        one, other = self.open_lane(tmp_path), self.open_lane(tmp_path)
        assert self.enter(one)
        assert not one.is_contended()
        waiter, granted = self._wait_on_thread(other)
        limit = time.monotonic() + PATIENCE_S
        while not one.is_contended():
            assert time.monotonic() < limit, "somebody waits, and the holder does not see it"
        assert not granted.is_set()
        one.leave()
        waiter.join(PATIENCE_S)
        assert granted.is_set()
        assert not other.is_contended()
        other.leave()

    def test_close_ends_the_turn(self, tmp_path: Path) -> None:
        """A lane that let go of everything holds nobody up, and can be entered again."""
        self.needs(self.survives_restart, "its handles are one object, and close() lets go of nothing")
        one, other = self.open_lane(tmp_path), self.open_lane(tmp_path)
        assert self.enter(one)
        one.close()
        assert self.enter(other)
        other.leave()
        assert self.enter(one)
        one.leave()

    def _wait_on_thread(self, lane: LaneStore) -> tuple[threading.Thread, threading.Event]:
        granted = threading.Event()

        def wait() -> None:
            lane.wait_enter()
            granted.set()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        return thread, granted
