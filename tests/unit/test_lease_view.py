"""Who drives a leased lane, as every host sees it; and that a view never waits for long, nor fails."""

import platform
import threading

import pytest

from sealane.client.lease_words import lease_document, told_lease
from sealane.errors import Unavailable
from sealane.store.file import FileStore
from sealane.store.hosted_store import HostedStore
from sealane.store.port import LeaseView
from sealane.testing import FakeClock, TableEngine

LANE = "kraken_global_nonce"
NS_PER_MS = 1_000_000
LEASE_MS = 60_000


class Scene:
    """Hosts of one engine; nothing is renewed by itself within a test's time."""

    def __init__(self, tmp_path):
        self.clock, self._tmp_path, self.lanes = FakeClock(), tmp_path, []
        self.engine = TableEngine(lambda: self.clock.wall_ns() // NS_PER_MS, lease_ms=LEASE_MS)
        self.engine.has_known(LANE)

    def host(self, name):
        store = HostedStore(self.engine, FileStore(self._tmp_path / name), self.clock)
        self.lanes.append((store, store.lane(LANE)))
        return self.lanes[-1][1]

    def lease(self, lane, asking_s=30.0):
        return lane.view(self.clock.wall_ns(), asking_s=asking_s).lease

    def close(self):
        for store, lane in self.lanes:
            lane.close()
            store.close()


@pytest.fixture
def scene(tmp_path):
    found = Scene(tmp_path)
    yield found
    found.close()


def turn(lane):
    if not lane.try_enter():
        lane.wait_enter()
    lane.leave()


def test_before_anybody_called_nobody_has_it(scene):
    lease = scene.lease(scene.host("a"))
    assert (lease.holder, lease.is_ours, lease.is_standby, lease.quiet, lease.error) == ("", False, False, False, "")
    assert told_lease(lease) == "held by nobody"
    assert (lease.hostname, lease.engine) == (platform.node(), "table")


def test_the_holder_and_a_standby_see_the_same(scene):
    one, other = scene.host("a"), scene.host("b")
    granted_ns = scene.clock.wall_ns() // NS_PER_MS * NS_PER_MS
    turn(one)
    one.renew()  # so that the machine's name is there
    mine, seen = scene.lease(one), scene.lease(other)
    assert mine.is_ours
    assert not mine.is_standby
    assert seen.is_standby
    assert seen.holder == mine.holder == mine.host != seen.host
    assert seen.epoch == mine.epoch > 0
    assert seen.since_ns == granted_ns
    assert seen.expires_ns == granted_ns + LEASE_MS * NS_PER_MS
    assert seen.holder_hostname == platform.node()
    assert told_lease(seen).startswith(f"held by host ({platform.node()} {mine.host}) since 20")
    assert told_lease(mine).startswith("held by this host (")


def test_waiters_are_told_in_their_order(scene):
    one = scene.host("a")
    if not one.try_enter():
        one.wait_enter()
    for name in ("second", "third"):
        scene.engine.acquire(LANE, name, 0)
    assert scene.lease(one).waiters == ("second", "third")
    one.leave()
    scene.clock.advance(5)
    assert scene.lease(one).waiters == (), "they asked no more"


def test_a_lease_that_ran_out_is_nobody_s(scene):
    one, other = scene.host("a"), scene.host("b")
    turn(one)
    scene.clock.advance(LEASE_MS / 1_000)
    lease = scene.lease(other)
    assert (lease.holder, lease.since_ns, lease.expires_ns) == ("", 0, 0)
    assert lease.epoch > 0


def test_a_new_engine_is_quiet(scene):
    lane = scene.host("a")
    scene.engine.restart(losing_all=True)
    scene.engine.acquire(LANE, "x", 0)
    lease = scene.lease(lane)
    assert lease.quiet
    assert "nothing is granted" in told_lease(lease)


def test_an_engine_that_cannot_be_had_is_told_and_never_raised(scene, monkeypatch):
    one, other = scene.host("a"), scene.host("b")
    turn(one)
    asked = []

    def gone(lane):
        asked.append(lane)
        raise Unavailable("table cannot be had: refused")

    monkeypatch.setattr(scene.engine, "show", gone)
    mine, theirs = scene.lease(one), scene.lease(other)
    assert mine.error == theirs.error == "table cannot be had: refused"
    assert mine.is_ours, "by its own record"
    assert not theirs.is_ours
    assert not theirs.is_standby, "that is not known"
    assert theirs.holder == ""
    assert "not known, and this host still holds it" in told_lease(mine)
    scene.lease(other)
    assert len(asked) == 2, "it is not asked again at once"
    scene.clock.advance(3)
    monkeypatch.undo()
    assert scene.lease(other).is_standby


def test_an_engine_that_says_nothing_is_waited_for_within_the_limit(scene, monkeypatch):
    lane, held = scene.host("a"), threading.Event()
    monkeypatch.setattr(scene.engine, "show", lambda lane: held.wait(30))
    try:
        assert scene.lease(lane, 0.05).error == "table did not answer within 0.05 s"
    finally:
        held.set()


def test_what_the_engine_said_before_it_fell_silent_is_told(scene, monkeypatch):
    """Its own reason may come later than it is waited for; it counts as one miss each time that it was asked."""
    lane, held, told = scene.host("a"), threading.Event(), threading.Event()

    def late(_):
        held.wait(30)
        try:
            raise Unavailable("table cannot be had: refused")
        finally:
            told.set()

    monkeypatch.setattr(scene.engine, "show", late)
    assert scene.lease(lane, 0.05).misses == 1
    held.set()
    told.wait(30)
    until(lambda: lane._viewer._reason)
    held.clear()
    assert scene.lease(lane, 0.05).misses == 1, "it was not asked again"
    scene.clock.advance(3)
    try:
        lease = scene.lease(lane, 0.05)
        assert lease.error == "table did not answer within 0.05 s; what it said before: table cannot be had: refused"
        assert lease.misses == 2
    finally:
        held.set()
    scene.clock.advance(3)
    monkeypatch.undo()
    assert scene.lease(lane).misses == 0


def until(true):
    pause = threading.Event()
    for _ in range(1_000):
        if true():
            return
        pause.wait(0.01)
    raise AssertionError


def test_who_must_not_wait_is_told_what_the_host_knows(scene, monkeypatch):
    lane = scene.host("a")
    turn(lane)
    monkeypatch.setattr(scene.engine, "show", lambda lane: pytest.fail("asked"))
    lease = lane.view(scene.clock.wall_ns()).lease
    assert (lease.is_ours, lease.error) == (True, "not asked")


def test_the_document_has_what_nobody_knows_as_null():
    told = lease_document(LeaseView("redis://h:6379/0", "me", "web-1"))
    assert (told["holder"], told["since"], told["expires"], told["error"]) == (None, None, None, None)
    assert told["waiters"] == []
