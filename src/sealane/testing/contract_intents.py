"""The store contract: the intents of orders."""

# ruff: noqa: S101 - these are tests

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sealane.errors import NotDurable, SettingsError
from sealane.store.intents import SETTLED_KEPT
from sealane.store.port import IntentLog
from sealane.testing.contract_base import ContractBase, run_threads

SENT: Mapping[str, object] = {"account": "MASTER", "state": "sent", "nonce": 1_800_000_000_000_000_001}
SETTLED: Mapping[str, object] = {**SENT, "state": "placed", "settled": True}
PLAIN: Mapping[str, object] = {"text": "żółw\n\x00 \ud800", "list": [1, [2.5, None, True]], "empty": {}, "big": 10**30}
THREADS = 8
WRITES_EACH = 50


class IntentContract(ContractBase):
    """``IntentLog``, within one process."""

    def test_the_latest_document_counts(self, tmp_path: Path) -> None:
        """By whichever handle, and whatever it is."""
        logs = [self.open_intents(tmp_path), self.open_intents(tmp_path)]
        for turn, document in enumerate((SENT, PLAIN, {}, SENT, SETTLED, PLAIN)):
            logs[turn % 2].write("order-1", document, sync=turn % 3 == 0)
            for log in logs:
                assert log.read("order-1") == document
                assert log.read("order-2") is None

    def test_a_place_without_intents(self, tmp_path: Path) -> None:
        """Can be looked at."""
        log = self.open_intents(tmp_path)
        assert (log.read("order-1"), log.unsettled(), log.recent(10)) == (None, {}, [])

    def test_what_is_unsettled_oldest_first(self, tmp_path: Path) -> None:
        """By the first document of each; a further one moves nothing, and only a true ``settled`` settles."""
        one, other = self.open_intents(tmp_path), self.open_intents(tmp_path)
        for name in "cab":
            one.write(name, SENT, sync=False)
        other.write("c", {**SENT, "settled": False}, sync=False)
        other.write("a", {**SENT, "settled": "soon"}, sync=False)
        assert list(one.unsettled()) == list(other.unsettled()) == ["c", "a", "b"]
        assert one.unsettled()["a"] == {**SENT, "settled": "soon"}
        one.write("a", SETTLED, sync=False)
        other.write("d", SENT, sync=False)
        assert list(one.unsettled()) == list(other.unsettled()) == ["c", "b", "d"]

    def test_the_newest_for_showing(self, tmp_path: Path) -> None:
        """By when an id was settled, or else first written."""
        log = self.open_intents(tmp_path)
        for name in "abc":
            log.write(name, SENT, sync=False)
        log.write("a", SETTLED, sync=False)
        log.write("b", {"n": 2}, sync=False)
        assert log.recent(10) == [("a", SETTLED), ("c", SENT), ("b", {"n": 2})]
        assert log.recent(1) == [("a", SETTLED)]
        assert log.recent(0) == log.recent(-1) == []

    def test_what_was_handed_over_to_the_log_is_not_shared(self, tmp_path: Path) -> None:
        """Neither what was written, nor what was read."""
        log = self.open_intents(tmp_path)
        document: dict[str, object] = {"legs": [1]}
        log.write("order-1", document, sync=False)
        for legs in (document["legs"], (log.read("order-1") or {})["legs"], log.unsettled()["order-1"]["legs"]):
            assert isinstance(legs, list)
            legs.append(2)
        assert log.read("order-1") == {"legs": [1]}

    def test_what_is_no_plain_document_is_refused(self, tmp_path: Path) -> None:
        """And the log is as it was."""
        log = self.open_intents(tmp_path)
        log.write("order-1", SENT, sync=False)
        refused: list[tuple[str, Mapping[str, object]]] = [
            ("order-1", {"n": object()}),
            ("order-1", {"n": float("nan")}),
            ("order-1", {"n": "x" * 100_000}),
            ("", SENT),
            ("x" * 1000, SENT),
        ]
        for name, document in refused:
            try:
                log.write(name, document, sync=True)
            except SettingsError:
                continue
            raise AssertionError(f"{name[:20]!r}: {str(document)[:40]} was taken")
        assert log.recent(10) == [("order-1", SENT)]

    def test_the_unsettled_outlive_any_number_of_others(self, tmp_path: Path) -> None:
        """And so do the newest of the settled."""
        log, other = self.open_intents(tmp_path), self.open_intents(tmp_path)
        log.write("held", SENT, sync=False)
        count = 6 * SETTLED_KEPT
        for number in range(count):
            log.write(f"order-{number}", {"n": number, "settled": True}, sync=False)
        log.write("late", SENT, sync=False)
        for seen in (log, other):
            assert list(seen.unsettled()) == ["held", "late"]
            recent = seen.recent(SETTLED_KEPT + 1)
            assert [name for name, _ in recent] == ["late", *(f"order-{count - 1 - n}" for n in range(SETTLED_KEPT))]
            assert len(seen.recent(count)) < count, "nothing was ever dropped"

    def test_threads_write_together(self, tmp_path: Path) -> None:
        """On one handle and on several: nothing is lost, and each id's last word stands."""
        for handles in (1, 4):
            self._write_on_threads([self.open_intents(tmp_path) for _ in range(handles)])

    def _write_on_threads(self, logs: list[IntentLog]) -> None:
        run_threads([lambda t=t: self._write_many(logs[t % len(logs)], t) for t in range(THREADS)])  # type: ignore[misc]
        for log in logs:
            found = log.unsettled()
            assert len(found) == THREADS * WRITES_EACH
            assert all(document["last"] for document in found.values())

    def _write_many(self, log: IntentLog, thread: int) -> None:
        for number in range(WRITES_EACH):
            for last in (False, True):
                log.write(f"order-{thread}-{number}", {"last": last}, sync=number % 10 == 0)

    def test_a_closed_log_goes_on(self, tmp_path: Path) -> None:
        """close() lets go of files and connections, not of the log, and not of the owner's token."""
        log = self.open_intents(tmp_path)
        token = log.owner()
        for number in range(3):
            log.write(f"order-{number}", SENT, sync=True)
            log.close()
            log.close()
            assert len(log.unsettled()) == number + 1
            log.close()
            assert log.is_alive(token)
            assert log.owner() == token

    def test_intents_survive_a_restart(self, tmp_path: Path) -> None:
        """In their order."""
        self.needs(self.survives_restart, "nothing of it survives a restart")
        log = self.open_intents(tmp_path)
        for name in "bca":
            log.write(name, SENT, sync=True)
        log.write("c", SETTLED, sync=False)
        log.close()
        heir = self.open_intents(tmp_path)
        assert heir.unsettled() == {"b": SENT, "a": SENT}
        assert heir.read("c") == SETTLED

    def test_what_cannot_be_kept_is_an_error(self, tmp_path: Path) -> None:
        """Synced or not; and there is nothing to be seen of it."""
        self.needs(self.keeps_durable, "it keeps nothing outside memory, so nothing can fail")
        log = self.make_broken_store(tmp_path).intents()
        for verb in (
            lambda: log.write("order-1", SENT, sync=True),
            lambda: log.write("order-1", SENT, sync=False),
            log.owner,
        ):
            try:
                verb()
            except NotDurable:
                continue
            raise AssertionError("it said that it kept what it cannot keep")
        assert log.unsettled() == {}

    def test_this_process_is_alive(self, tmp_path: Path) -> None:
        """Its token is one, by whichever handle; what was never a token is nobody's."""
        log, other = self.open_intents(tmp_path), self.open_intents(tmp_path)
        token = log.owner()
        assert token == log.owner()
        assert log.is_alive(token)
        assert other.is_alive(token)
        for nobody in ("", "0" * 24, "../intents", token + "0", token[:-1], "\0", "x" * 5000):
            assert not other.is_alive(nobody)
