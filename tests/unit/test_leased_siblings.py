"""Processes of one host on a leased lane: who of them may make its lease last, and for how long the others wait."""

import json
import threading
import time

import pytest
from leased_scene import LANE, LEASE_MS, Scene, enter

from sealane.core import lease
from sealane.errors import Fenced, LaneBusy, NotDurable, Unavailable
from sealane.runtime import lanes, threads
from sealane.runtime.lanes import TURN_WAIT_S
from sealane.store import hosted
from sealane.store.file import FileStore
from sealane.store.hosted_store import HostedStore
from sealane.testing import FakeClock, TableEngine

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
    keeps(scene, theirs)
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


def keeps(scene, lane):
    """A host that has the lane and keeps it while others wait."""
    enter(lane)
    await_turn = scene.engine.await_turn

    def kept(*wait):
        lane.renew()
        await_turn(*wait)

    scene.engine.await_turn = kept


def waiters(scene):
    return [waiter.host for waiter in scene.engine.show(LANE).record.waiters]


def looks(count):
    """Somebody waits for so many looks."""
    left = iter([True] * count)
    return lambda: next(left, False)


def test_who_gives_up_waiting_gives_up_its_host_s_place(scene):
    theirs, ours = scene.lane("a"), scene.lane("b")
    keeps(scene, theirs)
    assert not ours.wait_enter(looks(3))
    assert waiters(scene) == []
    assert not ours._files.turn_is_held()


def test_a_lane_that_was_kept_for_who_gave_up_is_the_next_one_s_at_once(scene):
    theirs, ours = scene.lane("a"), scene.lane("b")
    keeps(scene, theirs)
    await_turn = scene.engine.await_turn

    def passed_on(*wait):
        await_turn(*wait)
        scene.engine.acquire(LANE, "c", 0)
        theirs.leave()
        theirs.let_go()

    scene.engine.await_turn = passed_on
    assert not ours.wait_enter(looks(1))
    assert isinstance(scene.engine.acquire(LANE, "c", 0)[0], lease.Grant)


def test_the_place_is_kept_for_a_sibling_that_waits_for_the_turn(scene):
    theirs, ours, sibling = scene.lane("a"), scene.lane("b", "1"), scene.lane("b", "2")
    keeps(scene, theirs)
    looked = iter(range(10))

    def is_awaited():
        if next(looked) == 2:
            assert not sibling.try_enter()
            return False
        return True

    assert not ours.wait_enter(is_awaited)
    assert waiters(scene) == ["b"]


def test_a_draw_that_gave_up_gives_up_its_host_s_place(scene):
    theirs, ours = scene.lane("a"), scene.lane("b")
    keeps(scene, theirs)
    with pytest.raises(LaneBusy):
        scene.draw(ours)
    assert waiters(scene) == []


def test_a_program_that_ends_while_it_waits_gives_up_its_host_s_place(scene):
    theirs, ours = scene.lane("a"), scene.lane("b")
    keeps(scene, theirs)
    await_turn, waited = scene.engine.await_turn, []

    def ends(*wait):
        await_turn(*wait)
        waited.append(wait)
        if len(waited) == 2:
            ours._host.ends = True
            ours.let_go()

    scene.engine.await_turn = ends
    with pytest.raises(Unavailable, match="this program ends"):
        ours.wait_enter()
    assert waiters(scene) == []


def test_a_caller_that_gave_up_leaves_no_host_waiting(tmp_path):
    """Through the runtime, which asks on a thread of its own; who comes later has its turn."""
    engine = TableEngine(lambda: time.time_ns() // 1_000_000, lease_ms=400)
    engine.has_known(LANE)
    stores = [HostedStore(engine, FileStore(tmp_path / name)) for name in "ab"]
    theirs, ours = (lanes.Lane(store.lane(LANE)) for store in stores)
    try:
        threads.enter(theirs, "they", 10)
        theirs.store.wanted = False
        with pytest.raises(LaneBusy):
            threads.enter(ours, "we", 0.1)
        until(lambda: not engine.show(LANE).record.waiters and not ours._kernel_wait)
        theirs.leave("they")
        threads.enter(ours, "we", 10)
        ours.leave("we")
    finally:
        for lane, store in zip((theirs, ours), stores, strict=True):
            lane.close()
            store.close()


def away(*_):
    raise Unavailable("away")


def untold(scene, lane, key="K1"):
    """A key's state that the engine could not be told."""
    scene.engine.renew = away
    with pytest.raises(NotDurable):
        lane.write_key(key, {"jumps_ns": [1]})
    del scene.engine.renew


def told(scene):
    documents = scene.engine.show(LANE).documents
    return {name.removeprefix("key "): json.loads(text) for name, text in documents.items() if name.startswith("key ")}


@pytest.mark.parametrize("process", ["1 again", "2"], ids=["it was started again", "a sibling"])
def test_what_a_process_could_not_tell_is_told_by_another_of_its_host(scene, process):
    ours = scene.lane("a")
    enter(ours)
    untold(scene, ours)
    assert told(scene) == {}
    ours.leave()
    other = scene.lane("a", process)
    enter(other)
    other.renew()
    assert told(scene)["K1"]["jumps_ns"] == [1]
    assert other._lessee.read().untold == ""


def test_what_a_process_could_not_tell_is_told_when_a_sibling_lets_go(scene):
    ours, sibling, third = scene.lane("a", "1"), scene.lane("a", "2"), scene.lane("c")
    enter(ours)
    untold(scene, ours)
    ours.leave()
    enter(sibling)
    sibling.leave()
    sibling.let_go()
    enter(third)
    assert third.read_key("K1") == {"jumps_ns": [1]}
    assert sibling._lessee.read().untold == ""


def test_what_two_processes_could_not_tell_is_told_by_either(scene):
    ours, sibling = scene.lane("a", "1"), scene.lane("a", "2")
    enter(ours)
    untold(scene, ours, "K1")
    ours.leave()
    enter(sibling)
    untold(scene, sibling, "K2")
    sibling.leave()
    enter(ours)
    ours.renew()
    assert set(told(scene)) == {"K1", "K2"}


def test_another_lane_s_keys_are_not_told(scene):
    ours, sibling = scene.lane("a", "1"), scene.lane("a", "2")
    enter(ours)
    ours._files.write_key("K0", {"epoch": 1, "lane": "another", "jumps_ns": [7]})
    untold(scene, ours)
    ours.leave()
    enter(sibling)
    sibling.renew()
    assert set(told(scene)) == {"K1"}


def test_what_is_told_is_not_told_again(scene):
    ours = scene.lane("a")
    enter(ours)
    ours.write_key("K1", {"jumps_ns": [1]})
    renew, given = scene.engine.renew, []
    scene.engine.renew = lambda *asked: given.append(asked[-1]) or renew(*asked)
    ours.renew()
    assert not [name for documents in given for name in documents if name.startswith("key ")]


def test_two_engines_with_one_folder_keep_their_leases_apart(tmp_path):
    """Each holds its own lane, through all turns of the other; one folder's numbers rise all the same."""
    clock = FakeClock()
    engines = [TableEngine(lambda: clock.wall_ns() // 1_000_000, lease_ms=60_000, name=name) for name in ("one", "two")]
    stores = [HostedStore(engine, FileStore(tmp_path), clock) for engine in engines]
    for engine in engines:
        engine.has_known(LANE)
    ours = [store.lane(LANE) for store in stores]
    try:
        drawn, epochs = [], []
        for lane in ours * 3:
            enter(lane)
            lane.check()
            drawn.append(lane.draw(clock.wall_ns(), clock.boot_ns()))
            epochs.append(lane._lessee.turn_epoch)
            lane.leave()
        assert drawn == sorted(set(drawn))
        assert epochs == epochs[:2] * 3, "no lease was asked for twice"
        assert len({engine.show(LANE).record.host for engine in engines}) == 2
        assert len(list(tmp_path.glob("*.lease"))) == 2
    finally:
        for lane, store in zip(ours, stores, strict=True):
            lane.close()
            store.close()


def until(true):
    pause = threading.Event()
    for _ in range(1_000):
        if true():
            return
        pause.wait(0.01)
    raise AssertionError


def test_a_turn_that_was_lost_does_not_wait_to_draw(scene):
    """It is Fenced at once, though the engine says so only when it is asked for a higher ceiling."""
    ours = scene.lane("a")
    enter(ours)
    scene.engine.renew = lambda *_: lease.Lost("b", 1)
    began_ns = scene.clock.boot_ns()
    with pytest.raises(Fenced):
        scene.raise_above_ceiling(ours)
    assert scene.clock.boot_ns() == began_ns
