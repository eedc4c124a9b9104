"""The engine's contract as tests: derive from ``EngineContract``, and every engine proves what leases rest on.

An engine that runs by a real clock is tested with a short lease; nothing here is measured, and each wait is for
something that has to come.
"""

# ruff: noqa: S101 - these are tests

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sealane.core.lease import Grant, Lost, Wait
from sealane.store.engine import Engine
from sealane.store.intents import SETTLED_KEPT
from sealane.testing.contract_base import PATIENCE_S, run_threads

LANE, OTHER = "kraken_global_nonce", "kraken_key_0123abcd"
A, B, C = "host-a", "host-b", "host-c"
BIG = 2**63 - 2
SHORT_LEASE_MS = 400
HOSTS = 6
ROUNDS = 25


class EngineContract:
    """``make_engine`` opens it: the same ``place`` is the same engine, each call another client of it."""

    def make_engine(self, place: Path) -> Engine:
        """A client of the engine, with leases of ``SHORT_LEASE_MS``."""
        raise NotImplementedError

    def pass_ms(self, passed_ms: int) -> None:
        """Let the engine's clock go on by at least so much."""
        time.sleep(passed_ms / 1_000)

    # --- for the tests --------------------------------------------------------------------------------------------

    _opened: list[Engine]

    def setup_method(self) -> None:
        """Start with nothing open."""
        self._opened = []

    def teardown_method(self) -> None:
        """Leave nothing open."""
        for engine in self._opened:
            engine.close()

    def open(self, place: Path) -> Engine:
        """Another client of the engine."""
        engine = self.make_engine(place)
        self._opened.append(engine)
        return engine

    def ready(self, place: Path, *lanes: str) -> Engine:
        """An engine that has known the lanes for a lease."""
        engine = self.open(place)
        for lane in lanes or (LANE,):
            assert isinstance(engine.acquire(lane, "nobody", 0)[0], Wait)
            engine.withdraw(lane, "nobody")
        self.pass_ms(SHORT_LEASE_MS)
        return engine

    def granted(self, engine: Engine, host: str, ceiling: int = 0, lane: str = LANE) -> Grant:
        """The lane for a host that must get it now."""
        answer, _ = engine.acquire(lane, host, ceiling)
        assert isinstance(answer, Grant), answer
        return answer

    @contextmanager
    def told(self, engine: Engine, host: str) -> Iterator[Callable[[], str]]:
        """What the host is told of; the function waits for the next."""
        heard: list[str] = []
        came = threading.Condition()

        def wanted(lane: str) -> None:
            with came:
                heard.append(lane)
                came.notify_all()

        def next_one() -> str:
            with came:
                assert came.wait_for(lambda: heard, PATIENCE_S), "nobody was told"
                return heard.pop(0)

        stop = engine.listen(host, wanted)
        try:
            yield next_one
        finally:
            stop()

    # --- what is there ----------------------------------------------------------------------------------------------

    def test_lanes_are_listed_once_they_were_asked_for(self, tmp_path: Path) -> None:
        """By name, whoever holds them; a lane that was only looked at is none."""
        engine = self.open(tmp_path)
        assert engine.lanes() == []
        assert engine.show("kraken_key_ffff").record is None
        for lane in (OTHER, LANE):
            engine.acquire(lane, A, 0)
        assert self.open(tmp_path).lanes() == [LANE, OTHER]

    def test_documents_are_shown_to_anybody(self, tmp_path: Path) -> None:
        """The last word of each, while another holds the lane and after."""
        engine, reader = self.ready(tmp_path), self.open(tmp_path)
        assert reader.show(LANE).documents == {}
        grant = self.granted(engine, A)
        engine.renew(LANE, A, grant.epoch, 0, {"key 0123abcd": '{"n": 1}', "fence": "7"})
        engine.renew(LANE, A, grant.epoch, 0, {"key 0123abcd": '{"n": 2}'})
        assert reader.show(LANE).documents == {"key 0123abcd": '{"n": 2}', "fence": "7"}
        engine.release(LANE, A, grant.epoch, 5, {"fence": "8"})
        assert reader.show(LANE).documents == {"key 0123abcd": '{"n": 2}', "fence": "8"}
        assert reader.show(OTHER).documents == {}

    def test_it_tells_how_it_may_forget(self, tmp_path: Path) -> None:
        """A sentence, or nothing."""
        assert self.open(tmp_path).weakness().count("\n") == 0

    # --- leases ---------------------------------------------------------------------------------------------------

    def test_an_unknown_lane_is_granted_after_one_lease(self, tmp_path: Path) -> None:
        """The engine may have forgotten a grant."""
        engine = self.open(tmp_path)
        answer, documents = engine.acquire(LANE, A, 0)
        assert isinstance(answer, Wait)
        assert (answer.holder, answer.ahead, documents) == ("", 0, {})
        assert 0 < answer.again_ms <= SHORT_LEASE_MS
        self.pass_ms(SHORT_LEASE_MS)
        assert isinstance(engine.acquire(LANE, A, 0)[0], Grant)

    def test_numbers_are_exact_to_the_last_digit(self, tmp_path: Path) -> None:
        """Nineteen digits are more than a double holds."""
        engine = self.ready(tmp_path)
        first = self.granted(engine, A, ceiling=BIG)
        assert first.ceiling == BIG
        assert engine.release(LANE, A, first.epoch, BIG - 1, {}) == ""
        second = self.granted(engine, B, ceiling=5)
        assert (second.floor, second.ceiling, second.clean) == (BIG - 1, BIG - 1, True)
        answer = engine.renew(LANE, B, second.epoch, BIG, {})
        assert isinstance(answer, Grant)
        assert (answer.floor, answer.ceiling) == (BIG - 1, BIG)
        assert engine.release(LANE, B, second.epoch, 12, {}) == ""
        assert self.granted(engine, A).floor == BIG - 1, "a floor only rises"

    def test_one_holder_and_the_others_in_their_order(self, tmp_path: Path) -> None:
        """By whichever client; asking again changes nothing."""
        one, other = self.ready(tmp_path), self.open(tmp_path)
        grant = self.granted(one, A)
        for host, ahead in ((B, 0), (C, 1), (B, 0), (C, 1)):
            answer, _ = other.acquire(LANE, host, 0)
            assert isinstance(answer, Wait)
            assert (answer.holder, answer.epoch, answer.ahead) == (A, grant.epoch, ahead)
        again = self.granted(other, A)
        assert (again.epoch, again.wanted) == (grant.epoch, True)
        assert other.release(LANE, A, grant.epoch, 7, {}) == B
        assert isinstance(one.acquire(LANE, C, 0)[0], Wait)
        second = self.granted(one, B)
        assert (second.floor, second.clean, second.wanted) == (7, True, True)
        assert second.epoch > grant.epoch

    def test_a_lease_that_ran_out_is_the_next_ones_above_the_ceiling(self, tmp_path: Path) -> None:
        """And its old holder is told."""
        engine = self.ready(tmp_path)
        first = self.granted(engine, A, ceiling=900)
        self.pass_ms(SHORT_LEASE_MS)
        second = self.granted(engine, B)
        assert (second.floor, second.clean) == (900, False)
        for answer in (
            engine.renew(LANE, A, first.epoch, 2_000, {"key x": "{}"}),
            engine.release(LANE, A, first.epoch, 1_000, {"key x": "{}"}),
        ):
            assert answer == Lost(B, second.epoch)
        assert engine.release(LANE, B, second.epoch, 950, {}) == ""
        assert self.granted(engine, C).floor == 950
        assert engine.acquire(LANE, C, 0)[1] == {}, "one without the lane stored a document"

    def test_a_renewal_makes_it_last(self, tmp_path: Path) -> None:
        """Past the first lease's end."""
        engine = self.ready(tmp_path)
        grant = self.granted(engine, A)
        for _ in range(3):
            self.pass_ms(SHORT_LEASE_MS // 2)
            assert isinstance(engine.renew(LANE, A, grant.epoch, 0, {}), Grant)
        assert isinstance(engine.acquire(LANE, B, 0)[0], Wait)

    def test_a_release_made_twice_is_lost_the_second_time(self, tmp_path: Path) -> None:
        """Its answer may have been lost on the way."""
        engine = self.ready(tmp_path)
        grant = self.granted(engine, A)
        assert engine.release(LANE, A, grant.epoch, 7, {}) == ""
        assert isinstance(engine.release(LANE, A, grant.epoch, 7, {}), Lost)
        assert isinstance(engine.renew(LANE, A, grant.epoch, 7, {}), Lost)

    def test_who_withdraws_is_passed_over_and_hands_on(self, tmp_path: Path) -> None:
        """Also what was kept for it already."""
        engine = self.ready(tmp_path)
        grant = self.granted(engine, A)
        for host in (B, C):
            engine.acquire(LANE, host, 0)
        assert engine.release(LANE, A, grant.epoch, 7, {}) == B
        engine.withdraw(LANE, B)
        engine.withdraw(LANE, B)
        held = self.granted(engine, C)
        engine.withdraw(LANE, C)
        assert isinstance(engine.renew(LANE, C, held.epoch, 0, {}), Grant), "what is in use stays"

    def test_lanes_know_nothing_of_each_other(self, tmp_path: Path) -> None:
        """Neither holders nor floors nor documents."""
        engine = self.ready(tmp_path, LANE, OTHER)
        first = self.granted(engine, A, ceiling=900)
        engine.renew(LANE, A, first.epoch, 0, {"key x": "{}"})
        second, documents = engine.acquire(OTHER, B, 5)
        assert isinstance(second, Grant)
        assert (second.floor, second.ceiling, documents) == (0, 5, {})

    def test_documents_travel_with_the_lane(self, tmp_path: Path) -> None:
        """The last of each name, whole, whatever is in it."""
        engine = self.ready(tmp_path)
        first = self.granted(engine, A)
        plain = json.dumps({"text": "żółw\n\0", "big": 10**30})
        engine.renew(LANE, A, first.epoch, 0, {"key 0123abcd": "{}", "rates MASTER": plain})
        engine.release(LANE, A, first.epoch, 7, {"key 0123abcd": plain})
        answer, documents = self.open(tmp_path).acquire(LANE, B, 0)
        assert isinstance(answer, Grant)
        assert documents == {"key 0123abcd": plain, "rates MASTER": plain}

    def test_what_is_shown(self, tmp_path: Path) -> None:
        """Holder, epoch, times by the engine's clock, and who waits."""
        engine = self.ready(tmp_path)
        assert engine.show(OTHER).record is None
        grant = self.granted(engine, A, ceiling=900)
        engine.acquire(LANE, B, 0)
        record = engine.show(LANE).record
        assert record
        assert (record.host, record.claimed, record.epoch, record.ceiling) == (A, True, grant.epoch, 900)
        assert [waiter.host for waiter in record.waiters] == [B]
        assert record.since_ms <= engine.now_ms() < record.expires_ms <= record.since_ms + 2 * SHORT_LEASE_MS
        assert record.epoch >= record.since_ms * 1_000

    # --- hints ----------------------------------------------------------------------------------------------------

    def test_the_next_one_is_woken(self, tmp_path: Path) -> None:
        """It need not ask in between."""
        engine, other = self.ready(tmp_path), self.open(tmp_path)
        grant = self.granted(engine, A)
        other.acquire(LANE, B, 0)
        run_threads(
            [
                lambda: other.await_turn(LANE, B, PATIENCE_S),
                lambda: self._release_until_taken(engine, grant.epoch),
            ]
        )
        assert self.granted(other, B).floor == 7

    def _release_until_taken(self, engine: Engine, epoch: int) -> None:
        assert engine.release(LANE, A, epoch, 7, {}) == B

    def test_waiting_has_a_limit(self, tmp_path: Path) -> None:
        """Nobody wakes it."""
        engine = self.ready(tmp_path)
        self.granted(engine, A)
        engine.acquire(LANE, B, 0)
        engine.await_turn(LANE, B, 0.01)

    def test_the_holder_is_told_that_its_lane_is_wanted(self, tmp_path: Path) -> None:
        """On whichever client it listens."""
        engine, other = self.ready(tmp_path), self.open(tmp_path)
        with self.told(engine, A) as next_one:
            self.granted(engine, A)
            other.acquire(LANE, B, 0)
            assert next_one() == LANE

    def test_hosts_in_turn(self, tmp_path: Path) -> None:
        """Many on one lane: one at a time, above each other's floor, and each as often as the others."""
        self.ready(tmp_path)
        inside: list[str] = []
        floors: list[int] = []

        def work(host: str) -> None:
            engine = self.open(tmp_path)
            for _ in range(ROUNDS):
                grant = self._awaited(engine, host)
                inside.append(host)
                assert inside == [host], "two hosts had the lane"
                floors.append(grant.floor)
                inside.remove(host)
                assert isinstance(engine.release(LANE, host, grant.epoch, grant.floor + 1, {}), str)

        run_threads([lambda host=f"host-{n}": work(host) for n in range(HOSTS)])  # type: ignore[misc]
        assert floors == sorted(set(floors)), "a floor came twice"

    def _awaited(self, engine: Engine, host: str) -> Grant:
        while True:
            answer, _ = engine.acquire(LANE, host, 0)
            if isinstance(answer, Grant):
                return answer
            engine.await_turn(LANE, host, answer.again_ms / 1_000)

    # --- intents --------------------------------------------------------------------------------------------------

    def test_intents_by_any_client(self, tmp_path: Path) -> None:
        """The latest of each id; unsettled oldest first; the newest first for showing."""
        one, other = self.open(tmp_path), self.open(tmp_path)
        assert (one.read_intent("a"), one.unsettled_intents(), one.recent_intents(9)) == (None, [], [])
        for name in "cab":
            one.write_intent(name, (), f'{{"n":"{name}"}}', settled=False, sync=True)
        other.write_intent("a", ("a2", "a3"), '{"n":1}', settled=False, sync=False)
        assert one.read_intent("a3") == '{"n":1}'
        assert [name for name, _ in one.unsettled_intents()] == ["c", "a", "b"]
        other.write_intent("c", (), '{"n":2}', settled=True, sync=True)
        assert one.unsettled_intents() == [("a", '{"n":1}'), ("b", '{"n":"b"}')]
        assert one.recent_intents(9) == [("c", '{"n":2}'), ("b", '{"n":"b"}'), ("a", '{"n":1}')]
        assert (one.recent_intents(1), one.recent_intents(0)) == ([("c", '{"n":2}')], [])

    def test_settled_intents_are_bounded_and_unsettled_ones_stay(self, tmp_path: Path) -> None:
        """With what they were also known by."""
        engine = self.open(tmp_path)
        engine.write_intent("held", ("held2",), "{}", settled=False, sync=False)
        for number in range(3 * SETTLED_KEPT):
            engine.write_intent(f"o{number}", (f"p{number}",), "{}", settled=True, sync=False)
        assert engine.unsettled_intents() == [("held", "{}")]
        assert engine.read_intent("held2") == "{}"
        shown = [name for name, _ in engine.recent_intents(9 * SETTLED_KEPT)]
        assert shown[:SETTLED_KEPT] == [f"o{3 * SETTLED_KEPT - 1 - n}" for n in range(SETTLED_KEPT)]
        assert len(shown) < 3 * SETTLED_KEPT
        assert engine.read_intent(f"p{3 * SETTLED_KEPT - 1}") == "{}"
        assert engine.read_intent("p0") is None

    # --- processes ------------------------------------------------------------------------------------------------

    def test_a_process_lives_for_as_long_as_it_says(self, tmp_path: Path) -> None:
        """By whichever client."""
        one, other = self.open(tmp_path), self.open(tmp_path)
        one.beat("token", SHORT_LEASE_MS)
        one.beat("longer", 1_000 * SHORT_LEASE_MS)
        assert other.lives("token")
        assert not other.lives("nobody")
        self.pass_ms(SHORT_LEASE_MS)
        assert not other.lives("token")
        assert other.lives("longer")

    def test_a_closed_client_goes_on(self, tmp_path: Path) -> None:
        """close() lets go of connections, not of anything that was granted."""
        engine = self.ready(tmp_path)
        grant = self.granted(engine, A)
        engine.close()
        engine.close()
        assert isinstance(engine.renew(LANE, A, grant.epoch, 0, {}), Grant)
