"""The store contract: the record of a turn, the states of keys, and what a lane shows."""

# ruff: noqa: S101 - these are tests

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from sealane.testing.contract_base import ContractBase

RECORD: Mapping[str, object] = {"key": "a1b2", "nonce": 1_800_000_000_000_000_001, "method": "AddOrder", "sent": True}
LONG_RECORD: Mapping[str, object] = {"text": "żółw\n\x00 " * 60, "list": [1, [2.5, None]], "empty": {}}


class StateContract(ContractBase):
    """``read_turn``, ``write_turn``, ``read_key``, ``write_key``, ``view``, ``close``."""

    def test_the_next_holder_reads_what_the_last_one_left(self, tmp_path: Path) -> None:
        """Whichever handle it is, and whatever it was."""
        handles = [self.open_lane(tmp_path), self.open_lane(tmp_path)]
        expected: Mapping[str, object] = {}
        for turn, record in enumerate((RECORD, {}, LONG_RECORD, RECORD, LONG_RECORD, {}, {"n": -1})):
            lane = handles[turn % 2]
            assert self.enter(lane)
            assert lane.read_turn() == expected
            lane.write_turn(record)
            assert lane.read_turn() == record
            lane.leave()
            expected = record

    def test_a_record_need_not_be_read_to_be_replaced(self, tmp_path: Path) -> None:
        """Two handles that write in turns, and never look: the last word stands."""
        handles = [self.open_lane(tmp_path), self.open_lane(tmp_path)]
        for turn in (0, 0, 0, 1, 0, 1, 1, 0):
            assert self.enter(handles[turn])
            handles[turn].write_turn({"turn": turn, "by": "both"})
            assert handles[1 - turn].view(self.clock.wall_ns()).turn == {"turn": turn, "by": "both"}
            handles[turn].leave()

    def test_a_record_survives_its_writer(self, tmp_path: Path) -> None:
        """So the next process sees that somebody died in mid-turn."""
        self.needs(self.survives_restart, "nothing of it survives a restart")
        lane = self.open_lane(tmp_path)
        assert self.enter(lane)
        lane.write_turn(RECORD)
        lane.close()
        heir = self.open_lane(tmp_path)
        assert self.enter(heir)
        assert heir.read_turn() == RECORD
        heir.leave()

    def test_a_reader_sees_whole_records(self, tmp_path: Path) -> None:
        """Beside a writer that goes from short to long and back."""
        writer, reader = self.open_lane(tmp_path), self.open_lane(tmp_path)
        assert self.enter(writer)
        writer.write_turn(RECORD)
        seen: list[Mapping[str, object] | None] = []
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                seen.append(reader.view(0).turn)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        for turn in range(400):
            writer.write_turn(LONG_RECORD if turn % 2 else RECORD)
        done.set()
        thread.join()
        writer.leave()
        assert seen
        assert [record for record in seen if record not in (RECORD, LONG_RECORD)] == []

    def test_a_key_has_a_state_of_its_own(self, tmp_path: Path) -> None:
        """{} until it is written, then what was written last, by whichever handle."""
        one, other = self.open_lane(tmp_path), self.open_lane(tmp_path)
        assert self.enter(one)
        assert one.read_key("a1b2") == {}
        for state in (RECORD, LONG_RECORD, {}, {"jumps": 3}):
            one.write_key("a1b2", state)
            assert one.read_key("a1b2") == other.read_key("a1b2") == state
        assert other.read_key("c3d4") == {}
        one.leave()
        assert self.enter(other)
        other.write_key("c3d4", RECORD)
        other.write_key("a1b2", {"jumps": 4})
        assert one.read_key("a1b2") == {"jumps": 4}
        assert one.read_key("c3d4") == RECORD
        other.leave()

    def test_a_key_keeps_its_state_over_a_restart(self, tmp_path: Path) -> None:
        """A quarantined key stays quarantined."""
        self.needs(self.survives_restart, "nothing of it survives a restart")
        lane = self.open_lane(tmp_path)
        assert self.enter(lane)
        lane.write_key("a1b2", RECORD)
        lane.close()
        assert self.open_lane(tmp_path).read_key("a1b2") == RECORD

    def test_what_was_handed_over_is_not_shared(self, tmp_path: Path) -> None:
        """Changing a mapping after it was stored changes nothing that is stored."""
        lane = self.open_lane(tmp_path)
        record: dict[str, object] = {"n": 1}
        assert self.enter(lane)
        lane.write_turn(record)
        lane.write_key("a1b2", record)
        record["n"] = 2
        assert lane.read_turn() == lane.read_key("a1b2") == {"n": 1}
        lane.leave()

    def test_the_view_of_a_lane(self, tmp_path: Path) -> None:
        """Readable before the first draw, during a turn, and by anybody."""
        one, other = self.open_lane(tmp_path), self.open_lane(tmp_path)
        fresh = one.view(self.clock.wall_ns())
        assert (fresh.name, fresh.last_nonce, fresh.stored_age_s) == ("kraken_global_nonce", 0, None)
        assert (fresh.turn, fresh.clock_doubted) == (None, False)
        assert fresh.where

        nonce = self.draw(one)
        assert self.enter(one)
        one.write_turn(RECORD)
        for lane in (one, other):
            view = lane.view(self.clock.wall_ns())
            assert view.last_nonce == nonce
            assert view.turn == RECORD
            assert view.stored_age_s is not None
            assert view.stored_age_s >= 0
            assert view.mark == 0 or view.mark >= nonce
        one.write_turn({})
        one.leave()
        assert other.view(self.clock.wall_ns()).turn is None

    def test_a_closed_lane_goes_on(self, tmp_path: Path) -> None:
        """close() lets go of files and connections, not of the lane."""
        lane = self.open_lane(tmp_path)
        drawn = []
        for _ in range(3):
            drawn += [self.draw(lane), self.draw(lane)]
            assert self.enter(lane)
            lane.write_key("a1b2", {"drawn": len(drawn)})
            lane.leave()
            lane.close()
            lane.close()
            assert lane.read_key("a1b2") == {"drawn": len(drawn)}
            assert lane.last() == drawn[-1]
        assert drawn == sorted(set(drawn))

    def test_a_lane_says_what_it_started_from(self, tmp_path: Path) -> None:
        """In a word for the log."""
        lane = self.open_lane(tmp_path)
        self.draw(lane)
        assert lane.loaded_from
