"""The store contract: what an account's processes share about its rate limits."""

# ruff: noqa: S101 - these are tests

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from pathlib import Path

from sealane.store.port import LaneStore, Store
from sealane.testing.contract_base import LANE, PATIENCE_S, ContractBase, run_threads

STEPS = 200
WORKERS = 4


class RateContract(ContractBase):
    """Counters and notes."""

    def test_an_account_has_no_document_at_first(self, tmp_path: Path) -> None:
        """Nor any note."""
        lane = self.open_lane(tmp_path)
        assert lane.rates("MASTER") == {}
        assert lane.noted("MASTER", "OUF4EM-FRGI2-MQMWZD") is None

    def test_a_revision_sees_the_one_before_and_answers(self, tmp_path: Path) -> None:
        """Through any lane of the place, and for that account alone."""
        lane = self.open_lane(tmp_path)
        other = lane if not self.survives_restart else self.open_lane(tmp_path, "kraken_key_ab12")
        assert lane.revise_rates("MASTER", lambda before: ({"seen": dict(before)}, "answer")) == "answer"
        assert other.rates("MASTER") == {"seen": {}}
        assert other.revise_rates("MASTER", lambda before: ({}, dict(before))) == {"seen": {}}
        assert lane.rates("MASTER") == {}
        assert lane.rates("daivon_frazier") == {}

    def test_a_revision_that_raises_changes_nothing(self, tmp_path: Path) -> None:
        """And the next one goes on."""
        lane = self.open_lane(tmp_path)
        _count(lane)
        try:
            lane.revise_rates("MASTER", _refuse)
        except ZeroDivisionError:
            pass
        else:
            raise AssertionError("the error was swallowed")
        assert _count(lane) == 2

    def test_threads_revise_one_after_the_other(self, tmp_path: Path) -> None:
        """No step is lost."""
        lanes = [self.open_lane(tmp_path) for _ in range(WORKERS)]
        run_threads(lambda lane=lane: [_count(lane) for _ in range(STEPS)] for lane in lanes)  # type: ignore[misc]
        assert _count(lanes[0]) == WORKERS * STEPS + 1

    def test_processes_revise_one_after_the_other(self, tmp_path: Path) -> None:
        """No step is lost between them either."""
        self.needs(self.between_processes, "it lives in one process")
        spawn = multiprocessing.get_context("spawn")
        children = [spawn.Process(target=_count_apart, args=(type(self), tmp_path)) for _ in range(WORKERS)]
        for child in children:
            child.start()
        for child in children:
            child.join(PATIENCE_S)
        assert [child.exitcode for child in children] == [0] * WORKERS
        assert _count(self.open_lane(tmp_path)) == WORKERS * STEPS + 1

    def test_a_large_document_is_kept_whole(self, tmp_path: Path) -> None:
        """An account that trades a few hundred pairs."""
        lane = self.open_lane(tmp_path)
        counters = {
            f"pair {number:04}USD": [12.5, 1_800_000_000_000_000_000, 1.0, 0, 0, 0, 0, 0] for number in range(400)
        }
        lane.revise_rates("MASTER", lambda _: ({"counters": counters}, None))
        assert self.open_lane(tmp_path).rates("MASTER") == {"counters": counters}

    def test_a_note_is_found_by_its_name_and_the_newest_counts(self, tmp_path: Path) -> None:
        """Names may hold anything that Kraken takes."""
        lane = self.open_lane(tmp_path)
        for name in ("OUF4EM-FRGI2-MQMWZD", "my order, 50 %", "-17", "6d1b345e-2821-40e2-ad83-4ecb18a06876"):
            lane.note("MASTER", name, "XBTUSD 1")
            lane.note("MASTER", name, "XBTUSD 2")
            found = lane if not self.survives_restart else self.open_lane(tmp_path)
            assert found.noted("MASTER", name) == "XBTUSD 2", name
            assert found.noted("daivon_frazier", name) is None

    def test_a_thousand_orders_are_remembered(self, tmp_path: Path) -> None:
        """A few may be forgotten, none is mistaken for another."""
        lane = self.open_lane(tmp_path)
        for number in range(1_000):
            lane.note("MASTER", f"O{number:05}-ABCDE-FGHIJK", f"XBTUSD {number}")
        found = [lane.noted("MASTER", f"O{number:05}-ABCDE-FGHIJK") for number in range(1_000)]
        assert all(text in (None, f"XBTUSD {number}") for number, text in enumerate(found))
        assert sum(text is None for text in found) <= 10


def _count(lane: LaneStore) -> int:
    def change(before: Mapping[str, object]) -> tuple[Mapping[str, object], int]:
        count = before.get("count", 0)
        assert isinstance(count, int)
        return {"count": count + 1}, count + 1

    return lane.revise_rates("MASTER", change)


def _refuse(_before: Mapping[str, object]) -> tuple[Mapping[str, object], None]:
    raise ZeroDivisionError


def _count_apart(contract: type[ContractBase], place: Path) -> None:
    store: Store = contract().make_store(place)
    lane = store.lane(LANE)
    for _ in range(STEPS):
        _count(lane)
