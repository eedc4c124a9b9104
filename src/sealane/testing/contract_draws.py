"""The store contract: numbers, the clock, floors."""

# ruff: noqa: S101 - these are tests

from __future__ import annotations

import time
from pathlib import Path

from sealane.core.nonce import MAX_NONCE
from sealane.errors import NotDurable, SealaneError
from sealane.store.port import LaneStore
from sealane.testing.contract_base import ContractBase, Draw, check_order, run_threads

HOUR_S = 3600


class DrawContract(ContractBase):
    """``draw``, ``last``, ``raise_floor``, ``confirm_clock`` and what goes with them."""

    def test_numbers_rise(self, tmp_path: Path) -> None:
        """Over a hundred draws, time passing or not."""
        lane = self.open_lane(tmp_path)
        drawn = []
        for step in range(100):
            drawn.append(self.draw(lane))
            self.clock.advance(step % 3 * 1e-6)
        assert drawn == sorted(set(drawn))

    def test_a_number_is_never_behind_the_clock(self, tmp_path: Path) -> None:
        """The clock is the place to start from, at the first draw and whenever it went on."""
        lane = self.open_lane(tmp_path)
        for passed in (0, 0.5, 5, 2 * HOUR_S, 400 * 24 * HOUR_S):
            self.clock.advance(passed)
            assert self.draw(lane) >= self.clock.wall_ns()

    def test_a_clock_that_stands_or_steps_back_changes_nothing(self, tmp_path: Path) -> None:
        """The next number is the next one up."""
        lane = self.open_lane(tmp_path)
        first = self.draw(lane)
        standing = [self.draw(lane) for _ in range(50)]
        self.clock.step(-30 * 24 * HOUR_S)
        after = [self.draw(lane) for _ in range(50)]
        assert [first, *standing, *after] == sorted({first, *standing, *after})
        assert after[-1] - first < 1_000_000_000, "numbers ran away though the clock did not go on"

    def test_units(self, tmp_path: Path) -> None:
        """A lane of a coarser unit counts in that unit, from the same clock."""
        for name, unit_ns in (("ns", 1), ("us", 1_000), ("ms", 1_000_000)):
            self._store = None  # a place of its own, also where places are objects
            lane = self.open_lane(tmp_path / name, "kraken_key_0a", unit_ns)
            now = self.clock.wall_ns() // unit_ns
            first, second = self.draw(lane), self.draw(lane)
            assert now <= first < second < now + 60_000_000_000 // unit_ns

    def test_threads_on_one_handle(self, tmp_path: Path) -> None:
        """10 threads x 100 numbers, and 20 x 50, on a clock that stands: the hardest case."""
        for threads, each in ((10, 100), (20, 50)):
            lane = self.open_lane(tmp_path)
            self._draw_on_threads([lane] * threads, each)

    def test_threads_with_a_handle_each(self, tmp_path: Path) -> None:
        """What tells processes apart must tell handles apart."""
        lanes = [self.open_lane(tmp_path) for _ in range(10)]
        self._draw_on_threads(lanes, 100)

    def _draw_on_threads(self, lanes: list[LaneStore], each: int) -> None:
        draws: list[Draw] = []

        def work(lane: LaneStore) -> None:
            for _ in range(each):
                began = time.monotonic_ns()
                nonce = self.draw(lane)
                draws.append(Draw(began, nonce, time.monotonic_ns()))

        run_threads([lambda lane=lane: work(lane) for lane in lanes])  # type: ignore[misc]
        assert len(draws) == len(lanes) * each
        check_order(draws)

    def test_handles_take_turns_in_drawing(self, tmp_path: Path) -> None:
        """Each sees what the other gave out, also on a clock that stands or stepped back."""
        one, other = self.open_lane(tmp_path), self.open_lane(tmp_path)
        drawn = []
        for step in (0, 0.1, -60, 0, 60, 0):
            self.clock.step(step)
            drawn += [self.draw(one), self.draw(other), self.draw(other), self.draw(one)]
        assert drawn == sorted(set(drawn))

    def test_last_is_what_was_given_out_last(self, tmp_path: Path) -> None:
        """By whichever handle."""
        one, other = self.open_lane(tmp_path), self.open_lane(tmp_path)
        for lane in (one, other, one):
            nonce = self.draw(lane)
            assert one.last() == other.last() == nonce

    def test_a_floor_only_rises(self, tmp_path: Path) -> None:
        """And is in force at once."""
        lane = self.open_lane(tmp_path)
        first = self.draw(lane)
        high = first + 10**12
        assert lane.raise_floor(high) == high
        assert lane.raise_floor(first) >= high
        assert lane.raise_floor(0) >= high
        assert self.draw(lane) > high

    def test_a_floor_of_a_lane_that_nobody_used_yet(self, tmp_path: Path) -> None:
        """No draw has to come first."""
        lane = self.open_lane(tmp_path)
        floor = self.clock.wall_ns() + 10**12
        assert lane.raise_floor(floor) == floor
        assert self.draw(lane) > floor

    def test_a_floor_is_kept(self, tmp_path: Path) -> None:
        """The next process starts above it."""
        self.needs(self.survives_restart, "nothing of it survives a restart")
        lane = self.open_lane(tmp_path)
        floor = self.draw(lane) + 10**12
        lane.raise_floor(floor)
        lane.close()
        assert self.draw(self.open_lane(tmp_path)) > floor

    def test_a_floor_above_the_largest_nonce_is_refused(self, tmp_path: Path) -> None:
        """It would be the end of the lane; the lane goes on as if nobody had asked."""
        lane = self.open_lane(tmp_path)
        first = self.draw(lane)
        try:
            lane.raise_floor(MAX_NONCE + 1)
        except SealaneError:
            pass
        else:
            raise AssertionError("a floor that leaves no nonce was accepted")
        assert first < self.draw(lane) < first + 10**12

    def test_a_lane_that_is_used_up_says_so(self, tmp_path: Path) -> None:
        """Rather than give out a number that Kraken does not take."""
        lane = self.open_lane(tmp_path)
        lane.raise_floor(MAX_NONCE - 1)
        assert self.draw(lane) == MAX_NONCE
        self._refused(lane)
        self._refused(lane)

    def test_numbers_go_on_after_a_restart(self, tmp_path: Path) -> None:
        """Though the clock stepped back in the meantime."""
        self.needs(self.survives_restart, "nothing of it survives a restart")
        highest = 0
        for _ in range(5):
            lane = self.open_lane(tmp_path)
            nonce = self.draw(lane)
            assert nonce > highest
            highest = self.draw(lane)
            lane.close()
            self.clock.step(-HOUR_S)

    def test_a_new_lane_starts_above_every_other(self, tmp_path: Path) -> None:
        """A key may have come from there."""
        high = 0
        for name in ("kraken_key_0a", "kraken_key_0b", "kraken_global_nonce", "kraken_key_0c"):
            nonce = self.draw(self.open_lane(tmp_path, name))
            assert nonce > high, f"{name} started at {nonce}, under {high}"
            high = nonce + 10**12
            self.open_lane(tmp_path, name).raise_floor(high)

    def test_lanes_go_their_own_ways(self, tmp_path: Path) -> None:
        """Once both are there, a floor of one is none of the other's."""
        one, other = self.open_lane(tmp_path, "kraken_key_0a"), self.open_lane(tmp_path, "kraken_key_0b")
        self.draw(one)
        before = self.draw(other)
        floor = one.raise_floor(before + 10**12)
        assert before < self.draw(other) < floor < self.draw(one)

    def test_a_clock_that_leaps_is_not_followed(self, tmp_path: Path) -> None:
        """A nonce cannot be taken back, so a witness is wanted first."""
        lane = self.open_lane(tmp_path)
        before = self.draw(lane)
        assert not lane.clock_doubted()
        self.clock.step(2 * HOUR_S)
        assert before < self.draw(lane) < before + 10**10
        assert lane.clock_doubted()
        assert lane.view(self.clock.wall_ns()).clock_doubted

        wrong = self.clock.wall_ns() - 2 * HOUR_S * 10**9
        assert not lane.confirm_clock(wrong, self.clock.wall_ns(), self.clock.boot_ns())
        assert self.draw(lane) < before + 10**10

        assert lane.confirm_clock(self.clock.wall_ns() + 10**9, self.clock.wall_ns(), self.clock.boot_ns())
        assert not lane.clock_doubted()
        assert self.draw(lane) >= self.clock.wall_ns()

    def test_a_clock_that_leaps_and_comes_back_is_followed_again(self, tmp_path: Path) -> None:
        """And a correction within the hour is followed at once."""
        lane = self.open_lane(tmp_path)
        self.draw(lane)
        self.clock.step(2 * HOUR_S)
        self.draw(lane)
        self.clock.step(-2 * HOUR_S)
        self.clock.advance(1)
        assert self.draw(lane) == self.clock.wall_ns()
        assert not lane.clock_doubted()
        self.clock.step(HOUR_S / 2)
        assert self.draw(lane) == self.clock.wall_ns()

    def test_reserving_ahead_spares_a_draw_the_wait(self, tmp_path: Path) -> None:
        """For stores that wait for nothing it changes nothing."""
        lane = self.open_lane(tmp_path)
        first = self.draw(lane)
        for _ in range(5):
            self.clock.advance(1)
            lane.reserve(self.clock.wall_ns())
            assert not lane.must_sync(self.clock.wall_ns())
            assert self.draw(lane) == self.clock.wall_ns() > first
        assert isinstance(lane.reserve_due, bool)

    def test_what_cannot_be_stored_is_not_given_out(self, tmp_path: Path) -> None:
        """It is an error, each time, and one that the caller of Sealane knows."""
        self.needs(self.keeps_durable, "it stores nothing that could fail to be stored")
        lane = self.make_broken_store(tmp_path).lane("kraken_global_nonce")
        self._opened.append(lane)
        self._refused(lane)
        self._refused(lane)

    def _refused(self, lane: LaneStore) -> None:
        try:
            nonce = self.draw(lane)
        except NotDurable:
            return
        raise AssertionError(f"{nonce} was given out")
