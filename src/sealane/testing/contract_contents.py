"""The store contract: what a place keeps of its lanes, for another place to take over."""

# ruff: noqa: S101 - these are tests

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sealane.core.counter import Counter
from sealane.core.rates import Rates
from sealane.testing.contract_base import LANE, ContractBase

KEY_LANE = "kraken_key_0123abcd"
STATE: Mapping[str, object] = {"refused_in_a_row": 2, "diagnosis": "żółw"}


class ContentsContract(ContractBase):
    """``Store.lanes`` and ``Store.contents``."""

    def test_an_empty_place_has_no_lanes_and_is_not_made(self, tmp_path: Path) -> None:
        """Looking changes nothing."""
        store = self._open_store(tmp_path / "nothing")
        assert store.lanes() == []
        found = store.contents(LANE)
        assert (found.floor, found.keys, found.rates, found.turn) == (0, {}, {}, {})
        assert not (tmp_path / "nothing").exists()

    def test_lanes_are_listed(self, tmp_path: Path) -> None:
        """Each that issued a nonce, by name."""
        for name in (KEY_LANE, LANE):
            self.draw(self.open_lane(tmp_path, name))
        assert self._open_store(tmp_path).lanes() == [LANE, KEY_LANE]

    def test_the_floor_covers_every_nonce(self, tmp_path: Path) -> None:
        """While the lane is in use, in a turn, and after a floor far ahead."""
        lane = self.open_lane(tmp_path)
        for floor in (0, self.clock.wall_ns() + 10**12):
            lane.raise_floor(floor)
            assert self.enter(lane)
            nonce = self.draw(lane)
            found = self._open_store(tmp_path).contents(LANE)
            assert nonce <= found.floor < nonce + 10**12
            lane.leave()
            assert self._open_store(tmp_path).contents(LANE).floor >= nonce

    def test_keys_and_counters_are_there(self, tmp_path: Path) -> None:
        """As they were written last."""
        rates = Rates({"key 0123abcd": Counter(level=3.5, at_ns=self.clock.wall_ns())}).stored()
        lane = self.open_lane(tmp_path)
        assert self.enter(lane)
        self.draw(lane)
        lane.write_key("0123abcd", {"refused_in_a_row": 1})
        lane.write_key("0123abcd", STATE)
        lane.leave()
        lane.revise_rates("a b/ü", lambda _: (rates, None))
        found = self._open_store(tmp_path).contents(LANE)
        assert {name: found.keys["0123abcd"][name] for name in STATE} == STATE
        assert list(found.keys) == ["0123abcd"]
        assert Rates.loaded(found.rates["a b/ü"]) == Rates.loaded(rates)

    def test_the_write_under_way_is_there(self, tmp_path: Path) -> None:
        """Of this place's own machine at least."""
        lane = self.open_lane(tmp_path)
        assert self.enter(lane)
        self.draw(lane)
        lane.write_turn({"fingerprint": "0123abcd", "method": "AddOrder", "nonce": 5})
        assert self._open_store(tmp_path).contents(LANE).turn["fingerprint"] == "0123abcd"
        lane.leave()
