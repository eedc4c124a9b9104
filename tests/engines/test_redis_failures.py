"""What Redis's failures do to leases: killed, emptied, rolled back, replaced by a replica that missed steps."""

import contextlib
import threading

import pytest
from redis_server import serving

from sealane.core.lease import Grant, Lost, Wait
from sealane.errors import SettingsError, Unavailable
from sealane.store.redis.engine import RedisEngine

LEASE_MS = 300
LANE, OTHER = "kraken_global_nonce", "kraken_key_0123abcd"
SYNC_S = 10.0


def pause(passed_ms):
    threading.Event().wait(passed_ms / 1_000)


@contextlib.contextmanager
def engine_on(server, *, lease_ms=LEASE_MS, **options):
    engine = RedisEngine(server.url(lease_ms=lease_ms, **options))
    try:
        yield engine
    finally:
        engine.close()


def ready(engine, *lanes):
    for lane in lanes or (LANE,):
        engine.acquire(lane, "nobody", 0)
        engine.withdraw(lane, "nobody")
    pause(LEASE_MS)


def granted(engine, host, ceiling=0, lane=LANE):
    answer, _ = engine.acquire(lane, host, ceiling)
    assert isinstance(answer, Grant), answer
    return answer


def nothing_is_granted_for_one_lease(engine, lane, *hosts, since_ms=None):
    """Then it is; gives the grant of the first who got it. ``since_ms``: before the first step of this life."""
    since_ms = engine.now_ms() if since_ms is None else since_ms
    for host in hosts:
        assert isinstance(engine.acquire(lane, host, 0)[0], Wait)
    due_ms = engine.show(lane).record.quiet_until_ms
    assert due_ms >= since_ms + LEASE_MS
    while True:
        answer, _ = engine.acquire(lane, hosts[0], 0)
        if isinstance(answer, Grant):
            assert engine.now_ms() >= due_ms
            return answer
        assert answer.again_ms <= LEASE_MS
        pause(answer.again_ms)


def test_a_server_without_persistence_forgets_and_grants_nothing_for_one_lease(tmp_path):
    with serving(tmp_path) as server, engine_on(server) as engine:
        ready(engine)
        first = granted(engine, "a", ceiling=900)
        server.restart()
        assert engine.show(LANE).record is None
        since_ms = engine.now_ms()
        assert isinstance(engine.renew(LANE, "a", first.epoch, 900, {}), Lost)
        assert nothing_is_granted_for_one_lease(engine, LANE, "b", "a", since_ms=since_ms).epoch > first.epoch


def test_an_emptied_server_grants_nothing_for_one_lease(tmp_path):
    with serving(tmp_path) as server, engine_on(server) as engine:
        ready(engine)
        first = granted(engine, "a")
        server.say("FLUSHALL")
        since_ms = engine.now_ms()
        assert isinstance(engine.renew(LANE, "a", first.epoch, 0, {}), Lost)
        assert nothing_is_granted_for_one_lease(engine, LANE, "a", since_ms=since_ms).epoch > first.epoch


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_a_killed_server_with_an_aof_knows_all_and_its_holder_goes_on(tmp_path, fsync):
    with (
        serving(tmp_path, "--appendonly", "yes", "--appendfsync", fsync) as server,
        engine_on(server) as engine,
        engine_on(server, lease_ms=20_000) as holder,
    ):
        ready(engine, LANE, OTHER)
        held = granted(holder, "a", ceiling=900)
        passed_on = granted(engine, "a", lane=OTHER)
        engine.release(OTHER, "a", passed_on.epoch, 77, {"key x": "{}"})
        engine.write_intent("order", ("second",), "{}", settled=False, sync=True)
        server.restart()
        again = holder.renew(LANE, "a", held.epoch, 950, {})
        assert isinstance(again, Grant)
        assert (again.epoch, again.ceiling, again.clean) == (held.epoch, 950, False)
        assert nothing_is_granted_for_one_lease(engine, OTHER, "b").floor == 77
        assert engine.acquire(OTHER, "b", 0)[1] == {"key x": "{}"}
        assert engine.read_intent("second") == "{}"


def test_a_server_rolled_back_to_a_snapshot_grants_nothing_for_one_lease(tmp_path):
    """What came after the snapshot is forgotten: the lane was handed on since."""
    with serving(tmp_path) as server, engine_on(server) as engine:
        ready(engine)
        first = granted(engine, "a", ceiling=900)
        server.say("SAVE")
        engine.release(LANE, "a", first.epoch, 500, {})
        second = granted(engine, "b", ceiling=1_000)
        server.restart()
        assert engine.show(LANE).record.host == "a"
        since_ms = engine.now_ms()
        assert isinstance(engine.renew(LANE, "b", second.epoch, 0, {}), Lost)
        third = nothing_is_granted_for_one_lease(engine, LANE, "c", "a", since_ms=since_ms)
        assert third.epoch > second.epoch
        assert (third.floor, third.clean) == (900, False)


@contextlib.contextmanager
def a_pair(tmp_path):
    """A primary and a replica that has followed it so far."""
    with serving(tmp_path / "one") as one, serving(tmp_path / "two") as two:
        follow(two, one)
        yield one, two


def follow(replica, primary):
    replica.say("REPLICAOF", "127.0.0.1", primary.port)
    caught_up(primary)


def caught_up(primary):
    """WAIT counts for the connection that wrote."""
    with primary.client() as client:
        for _ in range(int(SYNC_S / 0.05)):
            client.set("mark", "1")
            if client.execute_command("WAIT", 1, 50):
                return
    raise AssertionError("the replica did not follow")


def promote(replica):
    replica.say("REPLICAOF", "NO", "ONE")


def test_a_promoted_replica_that_missed_steps_grants_nothing_for_one_lease(tmp_path):
    with a_pair(tmp_path) as (one, two):
        with engine_on(one) as engine:
            ready(engine)
            first = granted(engine, "a", ceiling=900)
            caught_up(one)
            promote(two)
            engine.release(LANE, "a", first.epoch, 500, {})
            second = granted(engine, "b", ceiling=1_000)
            one.kill()
            with pytest.raises(Unavailable):
                engine.renew(LANE, "b", second.epoch, 0, {})
        with engine_on(two) as engine:
            since_ms = engine.now_ms()
            assert isinstance(engine.renew(LANE, "b", second.epoch, 0, {}), Lost)
            third = nothing_is_granted_for_one_lease(engine, LANE, "a", "b", since_ms=since_ms)
            assert third.epoch > second.epoch
            assert not third.clean


def test_a_server_that_was_primary_before_is_another_after_its_second_promotion(tmp_path):
    """It never stopped, so its own name is the same; that of its history is not."""
    with a_pair(tmp_path) as (one, two), engine_on(one) as engine, engine_on(two) as other:
        ready(engine)
        first = granted(engine, "a")
        before = engine.show(LANE).record
        promote(two)
        follow(one, two)
        nothing_is_granted_for_one_lease(other, LANE, "b")
        a_demoted_primary_is_not_clung_to(engine, one)
        promote(one)
        assert engine.show(LANE).record.incarnation != before.incarnation
        third = nothing_is_granted_for_one_lease(engine, LANE, "c", "b")
        assert third.epoch > first.epoch
        run_ids = [record.incarnation.split("/")[0] for record in (before, engine.show(LANE).record)]
        assert run_ids[0] == run_ids[1]


def a_demoted_primary_is_not_clung_to(engine, demoted):
    """Its name may stand for the new primary by now, so it is looked up again."""
    with pytest.raises(Unavailable, match="read only"):
        engine.acquire(LANE, "a", 0)
    before = clients_of(demoted)
    with pytest.raises(Unavailable):
        engine.acquire(LANE, "a", 0)
    assert not before & clients_of(demoted)


def clients_of(server):
    with server.client() as client:
        return {each["id"] for each in client.client_list() if "evalsha" in each["cmd"]}


def test_replicas_are_counted_where_that_is_asked_for(tmp_path):
    with serving(tmp_path / "one") as one, serving(tmp_path / "two") as two, engine_on(one) as careless:
        ready(careless)
        with engine_on(one, replicas=1) as engine, engine_on(two) as other:
            with pytest.raises(Unavailable, match=r"0 of 1 replicas took a step .*safe to repeat"):
                engine.acquire(LANE, "a", 900)
            assert careless.show(LANE).record.ceiling == 900, "it was made, and answered as not known"
            follow(two, one)
            first = nothing_is_granted_for_one_lease(engine, LANE, "a")  # a first replica begins a new history
            assert (first.floor, first.clean) == (900, False)
            assert other.show(LANE).record.epoch == first.epoch, "the replica has what was answered"
            with pytest.raises(Unavailable, match="read only"):
                other.acquire(LANE, "b", 0)


@pytest.mark.parametrize(
    ("options", "waited"),
    [
        ((), False),
        (("--appendonly", "yes", "--appendfsync", "no"), False),
        (("--appendonly", "yes", "--appendfsync", "everysec"), True),
        (("--appendonly", "yes", "--appendfsync", "always"), True),
    ],
    ids=["no AOF", "no", "everysec", "always"],
)
def test_the_disk_is_waited_for_where_it_can_be(tmp_path, options, waited):
    with serving(tmp_path, *options) as server, engine_on(server) as engine:
        engine.write_intent("a", (), "{}", settled=False, sync=False)
        engine.write_intent("a", (), '{"n":1}', settled=False, sync=True)
        stats = server.say("INFO", "commandstats")
        calls = stats.get("cmdstat_waitaof", {"calls": 0})
        assert calls["calls"] - calls.get("failed_calls", 0) - calls.get("rejected_calls", 0) == int(waited)
        assert engine.read_intent("a") == '{"n":1}'


def test_a_server_that_evicts_what_must_stay_is_refused(tmp_path):
    with serving(tmp_path, "--maxmemory-policy", "allkeys-lru") as server, engine_on(server) as engine:
        with pytest.raises(SettingsError, match="allkeys-lru"):
            engine.acquire(LANE, "a", 0)
        server.say("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
        assert isinstance(engine.acquire(LANE, "a", 0)[0], Wait)


def test_a_server_that_is_full_makes_no_half_steps(tmp_path):
    with serving(tmp_path) as server, engine_on(server) as engine:
        ready(engine)
        grant = granted(engine, "a", ceiling=900)
        engine.acquire(LANE, "b", 0)
        before = engine.show(LANE).record
        server.say("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(Unavailable, match="maxmemory"):
            engine.release(LANE, "a", grant.epoch, 7, {"key x": "{}"})
        assert engine.show(LANE).record == before
        server.say("CONFIG", "SET", "maxmemory", "0")
        assert engine.acquire(LANE, "a", 0)[1] == {}
