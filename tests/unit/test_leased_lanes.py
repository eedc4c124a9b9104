"""Two hosts' lanes over an engine in memory, step by step: hand-overs, a lease that is lost, keys that are fenced."""

import itertools
import os

import pytest
from leased_scene import LANE, LEASE_MS, Scene, SteppedEngine, enter

from sealane.core import lease
from sealane.core.hold import Hold, ceiling, held
from sealane.core.nonce import next_nonce
from sealane.errors import Fenced, NotDurable, Unavailable
from sealane.store import lessee

S = 10**9
LEASE_NS = LEASE_MS * 10**6
HAND_OVERS = 100_000 if os.environ.get("SEALANE_SOAK") else 2_000


@pytest.fixture
def scene():
    return Scene()


def test_after_many_hand_overs_the_nonce_is_within_one_lease_of_the_clock(scene):
    """No ceiling leaks into a clean hand-over, however fast they follow each other."""
    lanes, last = [scene.lane("a"), scene.lane("b")], 0
    for number in range(HAND_OVERS):
        lane = lanes[number % 2]
        enter(lane)
        nonce = scene.draw(lane)
        lane.leave()
        lane.let_go()
        assert nonce > last
        last = nonce
        scene.clock.advance(0.0001)
    assert abs(last - scene.clock.wall_ns()) < LEASE_NS


def test_after_ten_times_as_many_decisions_it_is_as_well():
    record, last, now_ns = lease.Record("e", 0, clean=True), 0, 1_800_000_000 * S
    for number in range(10 * HAND_OVERS):
        now_ns += 50_000
        engine = lease.Engine("e", now_ns // 10**6, LEASE_MS)
        host = "ab"[number % 2]
        record, grant = lease.acquire(record, engine, host, ceiling(last, now_ns, LEASE_MS, 1))
        assert held(Hold(), grant, host, asked_boot_ns=0, wall_ns=now_ns, lease_ms=LEASE_MS).ceiling > now_ns
        last = next_nonce(grant.floor, now_ns)
        record, _ = lease.release(record, engine, host, grant.epoch, last)
    assert 0 <= last - now_ns < LEASE_NS


def lost(scene):
    """Host a is in its turn, and was stopped for so long that b came and went on."""
    ours, theirs = scene.lane("a"), scene.lane("b")
    enter(ours)
    before = scene.draw(ours)
    scene.clock.advance(LEASE_MS / 1_000)
    enter(theirs)
    return ours, before, theirs, scene.draw(theirs)


def test_a_lease_that_is_lost_is_fenced_and_not_a_jump(scene):
    ours, before, theirs, after = lost(scene)
    assert after > before
    for step in (ours.check, lambda: scene.draw(ours), lambda: ours.write_key("K", {}), lambda: ours.raise_floor(1)):
        with pytest.raises(Fenced):
            step()
    assert ours.last() == before, "no number was burned, no floor raised"
    theirs.check()


def test_a_host_that_lost_its_lease_goes_on_when_its_turn_comes(scene):
    ours, _, theirs, after = lost(scene)
    ours.leave()
    theirs.leave()
    theirs.let_go()
    enter(ours)
    assert scene.draw(ours) > after
    ours.check()


def test_after_an_unclean_change_each_key_is_fenced_once(scene):
    _, _, theirs, _ = lost(scene)
    assert [theirs.read_key(key).get("fence_due") for key in ("K1", "K2")] == [True, True]
    theirs.write_key("K1", {"fence_due": False})
    assert [theirs.read_key(key).get("fence_due", False) for key in ("K1", "K2")] == [False, True]


def test_what_is_to_be_fenced_travels_by_any_process_of_the_host(scene):
    """The process that took over is not the one that lets go."""
    _, _, theirs, _ = lost(scene)
    theirs.write_key("K1", {"fence_due": False})
    theirs.leave()
    sibling = scene.lane("b", "2")
    enter(sibling)
    sibling.leave()
    sibling.let_go()
    third = scene.lane("c")
    enter(third)
    assert [third.read_key(key).get("fence_due", False) for key in ("K1", "K2")] == [False, True]


def test_what_a_process_did_not_tell_in_time_is_not_told_later(scene):
    """A key's state that was written when the lease was lost does not stand above what its next holder wrote."""
    ours, theirs = scene.lane("a"), scene.lane("b")
    enter(ours)
    scene.engine.renew = lambda *_: lease.Lost("b", 1)
    with pytest.raises(Fenced):
        ours.write_key("K1", {"fence_due": False, "jumps_ns": [1]})
    ours.leave()
    del scene.engine.renew
    scene.clock.advance(LEASE_MS / 1_000)
    enter(theirs)
    theirs.write_key("K1", {"fence_due": False, "jumps_ns": [2]})
    theirs.leave()
    theirs.let_go()
    enter(ours)
    ours.write_key("K2", {})
    assert ours.read_key("K1")["jumps_ns"] == [2]
    ours.leave()
    ours.let_go()
    enter(theirs)
    assert (theirs.read_key("K1")["jumps_ns"], theirs.read_key("K1")["fence_due"]) == ([2], False)


def test_a_lane_is_not_let_go_while_a_sibling_has_the_turn(scene):
    first, second = scene.lane("a", "1"), scene.lane("a", "2")
    enter(first)
    first.leave()
    first.wanted = True
    assert second._files.try_enter(), "the turn is taken, and the lease not looked at yet"
    second._lessee.has_turn = True
    scene.tend(first)
    enter(second)
    scene.draw(second)
    scene.tend(first)
    second.check()


def test_a_lane_whose_last_write_has_no_known_end_is_not_let_go(scene):
    ours, theirs = scene.lane("a"), scene.lane("b")
    enter(ours)
    ours.write_turn({"fingerprint": "K1", "method": "AddOrder", "nonce": scene.draw(ours)})
    ours.leave()
    ours.let_go()
    with pytest.raises(AssertionError):
        enter_at_once(scene, theirs)
    scene.clock.advance(LEASE_MS / 1_000)
    enter(theirs)
    assert theirs.read_key("K1")["fence_due"]


def enter_at_once(scene, lane):
    before_ns = scene.clock.wall_ns()
    assert isinstance(scene.engine.acquire(LANE, lane._host.name, 0)[0], lease.Grant)
    assert scene.clock.wall_ns() == before_ns


class Late(SteppedEngine):
    """One release is heard only when it is told to be."""

    late = None

    def release(self, *given):
        if self.late is None:
            self.late = lambda: SteppedEngine.release(self, *given)
            raise Unavailable("no answer")
        return super().release(*given)


def test_an_epoch_that_the_engine_may_still_take_back_is_not_used_again(scene):
    scene.engine = Late(scene.clock)
    scene.engine.has_known(LANE)
    ours = scene.lane("a")
    enter(ours)
    first = ours._lessee.turn_epoch
    ours.leave()
    ours.let_go()
    enter(ours)
    assert ours._lessee.turn_epoch > first
    assert isinstance(scene.engine.late(), lease.Lost)
    ours.check()


def test_a_key_whose_state_the_engine_did_not_hear_keeps_it(scene):
    """The lease is taken again in the same epoch, with what the engine knew before."""
    ours = scene.lane("a")
    enter(ours)
    ours.write_key("K1", {"jumps_ns": [1]})

    def away(*_):
        raise Unavailable("away")

    scene.engine.renew = away
    with pytest.raises(NotDurable):
        ours.write_key("K1", {"jumps_ns": [1, 2]})
    del scene.engine.renew
    ours.leave()
    sibling = scene.lane("a", "2")
    sibling._lessee._file.write(Hold())
    enter(sibling)
    assert sibling.read_key("K1")["jumps_ns"] == [1, 2]


class Deaf(SteppedEngine):
    """Waking fails ever so often while another has the lane; asking works."""

    cuts = 0

    def await_turn(self, lane, host, limit_s):
        self.cuts += 1
        self.clock.advance(limit_s)
        raise Unavailable("cut")


def test_who_waits_for_long_and_cannot_be_woken_asks_again(scene):
    """Longer than an engine that cannot be reached at all would be waited for."""
    scene.engine = Deaf(scene.clock)
    scene.engine.has_known(LANE)
    theirs, ours = scene.lane("a"), scene.lane("b")
    enter(theirs)
    renewed = itertools.count()

    def await_turn(lane, host, limit_s):
        if next(renewed) < 40:
            theirs.renew()
        Deaf.await_turn(scene.engine, lane, host, limit_s)

    scene.engine.await_turn = await_turn
    began_ns = scene.clock.boot_ns()
    ours.wait_enter()
    assert scene.clock.boot_ns() - began_ns > lessee.ENGINE_PATIENCE_S * 1e9
    ours.check()


class Ended:
    """An executor of an interpreter that ends."""

    def submit(self, *work):
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")


def test_a_lane_is_handed_over_while_the_interpreter_ends(scene):
    ours = scene.lane("a")
    enter(ours)
    ours._hands, ours.wanted = Ended(), True
    ours.leave()
    assert isinstance(scene.engine.acquire(LANE, "b", 0)[0], lease.Grant)
