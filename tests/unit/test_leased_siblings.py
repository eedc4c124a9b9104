"""Processes of one host on a leased lane: who of them may make its lease last, and for how long the others wait."""

import pytest
from leased_scene import LANE, LEASE_MS, Scene, enter

from sealane.core import lease
from sealane.errors import Fenced, LaneBusy
from sealane.runtime.lanes import TURN_WAIT_S
from sealane.store import hosted

LEASE_S = LEASE_MS / 1_000


@pytest.fixture
def scene():
    return Scene()


def until_had(scene, sibling, step, leases):
    """The sibling goes on while another host asks: after how many leases that one has the lane, None for never."""
    for quarter in range(4 * leases):
        try:
            step(sibling)
        except LaneBusy:
            pytest.fail("a draw under a lease that is good waits for nobody")
        if isinstance(scene.engine.acquire(LANE, "b", 0)[0], lease.Grant):
            return quarter / 4
        scene.clock.advance(LEASE_S / 4)
        scene.tend(sibling)
    return None


def test_a_process_that_is_stopped_in_its_turn_keeps_the_lane_for_no_longer_by_its_sibling_s_draws(scene):
    stopped, sibling = scene.lane("a", "1"), scene.lane("a", "2")
    scene.draw(sibling)
    enter(stopped)
    scene.clock.advance(LEASE_S)  # nobody tends it
    with pytest.raises(LaneBusy, match="keeps its turn"):
        scene.draw(sibling)
    assert isinstance(scene.engine.acquire(LANE, "b", 0)[0], lease.Grant)


def test_a_sibling_s_background_does_not_renew_for_it_either(scene):
    stopped, sibling = scene.lane("a", "1"), scene.lane("a", "2")
    scene.draw(sibling)
    assert stopped._files.try_enter(), "it was stopped before it could say that the lane is its own now"
    asked = scene.engine.renew
    scene.engine.renew = lambda *_: pytest.fail("renewed")
    for _ in range(3):
        scene.clock.advance(LEASE_S / 4)
        scene.tend(sibling)
    scene.engine.renew = asked


def test_a_higher_ceiling_for_a_sibling_keeps_the_lane_for_one_lease_more_at_most(scene):
    stopped, sibling = scene.lane("a", "1"), scene.lane("a", "2")
    enter(stopped)

    def raises(lane):
        if lane._lessee.is_good(lane._lessee.read()):
            scene.raise_above_ceiling(lane)

    assert 1 < until_had(scene, sibling, raises, 5) <= 2


def test_a_sibling_draws_while_the_holder_makes_progress(scene):
    holder, sibling = scene.lane("a", "1"), scene.lane("a", "2")
    enter(holder)

    def draws(lane):
        scene.tend(holder)
        scene.draw(lane)
        scene.raise_above_ceiling(lane)

    assert until_had(scene, sibling, draws, 10) is None
    holder.check()


def test_a_sibling_goes_on_when_the_turn_is_over(scene):
    stopped, sibling = scene.lane("a", "1"), scene.lane("a", "2")
    enter(stopped)
    scene.clock.advance(LEASE_S)
    pause, pauses = scene.clock.pause, []

    def paused(seconds):
        pauses.append(seconds)
        if len(pauses) == 10:
            stopped.leave()
        pause(seconds)

    scene.clock.pause = paused
    assert scene.draw(sibling)
    assert len(pauses) == 10


def test_a_draw_on_a_standby_has_a_limit(scene):
    theirs, ours = scene.lane("a"), scene.lane("b")
    enter(theirs)
    tended = scene.engine.await_turn

    def await_turn(lane, host, limit_s):
        theirs.renew()
        tended(lane, host, limit_s)

    scene.engine.await_turn = await_turn
    began_ns = scene.clock.boot_ns()
    with pytest.raises(LaneBusy, match="host a has it"):
        scene.draw(ours)
    waited_s = (scene.clock.boot_ns() - began_ns) / 1e9
    assert TURN_WAIT_S == hosted.DRAW_WAIT_S <= waited_s < hosted.DRAW_WAIT_S + 2


def test_a_draw_waits_for_a_sibling_that_asks_within_its_limit(scene):
    asking, sibling = scene.lane("a", "1"), scene.lane("a", "2")
    with asking._lessee._file.locked(lambda: None), pytest.raises(LaneBusy, match="another process of this host asks"):
        scene.draw(sibling)


def test_a_renewal_in_the_background_is_not_kept_by_one_who_asks(scene):
    """Or the other lanes of the process would not be renewed, nor the process said to live."""
    ours, sibling = scene.lane("a", "1"), scene.lane("a", "2")
    enter(ours)
    began_ns = scene.clock.boot_ns()
    with sibling._lessee._file.locked(lambda: None), pytest.raises(Exception, match="another process of this host"):
        scene.tend(ours)
    assert scene.clock.boot_ns() - began_ns < LEASE_S / 2 * 1e9


def test_a_turn_that_was_lost_does_not_wait_to_draw(scene):
    """It is Fenced at once, though the engine says so only when it is asked for a higher ceiling."""
    ours = scene.lane("a")
    enter(ours)
    scene.engine.renew = lambda *_: lease.Lost("b", 1)
    began_ns = scene.clock.boot_ns()
    with pytest.raises(Fenced):
        scene.raise_above_ceiling(ours)
    assert scene.clock.boot_ns() == began_ns
