"""The wire to a Redis server fails: cut, halved, silent, unreachable, stopped, shared with a forked child, refused."""

import os
import random
import signal
import threading
import time
import traceback
import warnings

import pytest
from proxy import ANSWERED, CUT, HALVE, PASS, SWALLOW, Proxy
from redis_server import free_port, serving

from sealane.core.lease import Grant, Lost, Wait
from sealane.errors import SealaneError, SettingsError, Unavailable
from sealane.store.engine import ENGINE_LIMIT_S
from sealane.store.redis import listener, wire
from sealane.store.redis.address import address_in
from sealane.store.redis.engine import RedisEngine

LEASE_MS = 10_000  # nothing here is about a lease's end
LANE = "kraken_global_nonce"
PASSWORD = "hunter2/@:%41?#"
QUOTED = "hunter2%2F%40%3A%2541%3F%23"
PATIENCE_S = 10.0


def pause(passed_ms):
    threading.Event().wait(passed_ms / 1_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("wire")) as server:
        yield server


@pytest.fixture
def proxy(server):
    server.say("FLUSHALL")
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def engine(proxy):
    engine = RedisEngine(f"redis://127.0.0.1:{proxy.port}?lease_ms={LEASE_MS}")
    yield engine
    engine.close()


@pytest.fixture
def patient(monkeypatch):
    """An answer that does not come is given up sooner, so that tests are quick."""
    monkeypatch.setattr(wire, "ANSWER_S", 0.2)


def ready(engine, lane=LANE):
    """A lane that the server has known for a lease, and scripts that it knows."""
    engine.acquire(lane, "nobody", 0)
    engine.withdraw(lane, "nobody")
    assert isinstance(engine.release(lane, "nobody", 1, 0, {}), Lost)
    record = engine._address.lane_keys(lane)[0]
    engine._wire.call(record, [("HSET", record, "quiet_until_ms", 0)])


def granted(engine, host, ceiling=0):
    answer, _ = engine.acquire(LANE, host, ceiling)
    assert isinstance(answer, Grant), answer
    return answer


@pytest.mark.parametrize("action", [CUT, HALVE, SWALLOW])
def test_a_lost_answer_is_asked_for_again_where_that_is_safe(engine, proxy, patient, action):
    ready(engine)
    proxy.once(action)
    first = granted(engine, "a", ceiling=900)
    proxy.once(action)
    again = engine.renew(LANE, "a", first.epoch, 950, {"key x": "{}"})
    assert isinstance(again, Grant)
    assert (again.epoch, again.ceiling) == (first.epoch, 950)
    proxy.once(action)
    with pytest.raises(Unavailable):
        engine.release(LANE, "a", first.epoch, 500, {})
    assert isinstance(engine.release(LANE, "a", first.epoch, 500, {}), Lost), "it was made: repeated, it is Lost"
    second = granted(engine, "b")
    assert (second.floor, second.clean) == (500, True)


def cut(proxy, engine):
    """All connections, and seen to be by this machine's network."""
    proxy.cut_all()
    idle = [connection for kept in engine._wire._idle.values() for connection in kept]
    assert idle
    until(lambda: not any(engine._wire._is_quiet(connection) for connection in idle))


def test_what_was_idle_and_cut_is_not_used(engine, proxy):
    """Nor is a release made on it, which could not be repeated."""
    ready(engine)
    first = granted(engine, "a")
    cut(proxy, engine)
    assert engine.release(LANE, "a", first.epoch, 500, {}) == ""
    cut(proxy, engine)
    assert isinstance(engine.acquire(LANE, "a", 0)[0], Grant)


def test_an_answer_after_the_limit_is_nobody_elses(engine, proxy, patient):
    """A connection that was given up is not used again."""
    ready(engine)
    proxy.once(SWALLOW)
    granted(engine, "a")
    assert engine.read_intent("none") is None
    assert engine.show(LANE).record.host == "a"
    assert engine.lives("nobody") is False


def elapsed_s(work, *arguments):
    since_s = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        work(*arguments)
    return time.monotonic() - since_s, str(caught.value)


def test_a_stopped_server_is_given_up_within_the_limit(server):
    engine, waiting = (RedisEngine(server.url(lease_ms=LEASE_MS)) for _ in range(2))
    ready(engine)
    waiting.show(LANE)
    server.signal(signal.SIGSTOP)
    took_s = []
    try:
        waits = threading.Thread(target=lambda: took_s.append(elapsed_s(waiting.await_turn, LANE, "b", 0.1)[0]))
        waits.start()
        spent_s, said = elapsed_s(engine.acquire, LANE, "a", 0)
        waits.join()
    finally:
        server.signal(signal.SIGCONT)
    assert spent_s <= ENGINE_LIMIT_S
    assert took_s[0] <= 1.0
    assert f"redis://127.0.0.1:{server.port}/0" in said
    granted(engine, "a")
    engine.close()
    waiting.close()


@pytest.mark.parametrize("query", ["", "?cluster=1"])
def test_nobody_there(query):
    engine = RedisEngine(f"redis://:{QUOTED}@127.0.0.1:{free_port()}/{query}")
    spent_s, said = elapsed_s(engine.acquire, LANE, "a", 0)
    assert spent_s <= ENGINE_LIMIT_S
    assert "refused" in said


def test_a_silent_line_is_given_up(proxy, patient):
    engine = RedisEngine(f"redis://127.0.0.1:{proxy.port}")
    proxy.trouble = lambda direction, piece: SWALLOW
    assert elapsed_s(engine.acquire, LANE, "a", 0)[0] <= ENGINE_LIMIT_S


def test_hosts_in_turn_on_a_bad_wire(proxy, server):
    """Every tenth piece is cut or halved: one host at a time, and no floor comes twice."""
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    dice = random.Random(seed)
    mutex, inside, floors, failures = threading.Lock(), [], [], []
    sound = RedisEngine(server.url(lease_ms=LEASE_MS))
    ready(sound)
    sound.close()
    proxy.trouble = lambda direction, piece: dice.choice((CUT, HALVE)) if dice.random() < 0.1 else PASS

    def again(work):
        while True:
            try:
                return work()
            except Unavailable:
                continue

    def work(host):
        engine = RedisEngine(f"redis://127.0.0.1:{proxy.port}?lease_ms={LEASE_MS}")
        try:
            for _ in range(15):
                answer = again(lambda: engine.acquire(LANE, host, 0)[0])
                while isinstance(answer, Wait):
                    span_s = answer.again_ms / 100_000
                    again(lambda span_s=span_s: engine.await_turn(LANE, host, span_s))
                    answer = again(lambda: engine.acquire(LANE, host, 0)[0])
                with mutex:
                    inside.append(host)
                    assert inside == [host]
                    floors.append(answer.floor)
                    inside.remove(host)
                again(lambda grant=answer: engine.release(LANE, host, grant.epoch, grant.floor + 1, {}))
        except BaseException as error:
            failures.append(error)
        finally:
            engine.close()

    threads = [threading.Thread(target=work, args=(f"host-{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert floors == sorted(set(floors))
    assert len(floors) == 45


# --- hints ------------------------------------------------------------------------------------------------------------


class Heard:
    def __init__(self):
        self.lanes, self.came = [], threading.Condition()

    def __call__(self, lane):
        with self.came:
            self.lanes.append(lane)
            self.came.notify_all()

    def all_of(self, count):
        with self.came:
            return self.came.wait_for(lambda: len(self.lanes) >= count, PATIENCE_S)


def listening(server):
    return server.say("PUBSUB", "NUMSUB", "sealane:wanted:a")[1]


def until(check):
    for _ in range(int(PATIENCE_S / 0.02)):
        if check():
            return
        pause(20)
    raise AssertionError("it did not come")


def test_a_listener_takes_its_connection_up_again_and_ends_when_told(engine, proxy, server, monkeypatch):
    monkeypatch.setattr(listener, "QUIET_S", 0.1)
    threads, heard = threading.active_count(), Heard()
    stop = engine.listen("a", heard)
    assert listening(server) == 1
    proxy.cut_all()
    until(lambda: proxy.connected >= 2 and listening(server) == 1)
    server.say("PUBLISH", "sealane:wanted:a", "one")
    assert heard.all_of(1)
    proxy.once(SWALLOW, ANSWERED)  # the sign of life that it asks for next does not come
    until(lambda: proxy.connected >= 3 and listening(server) >= 1)
    until(lambda: server.say("PUBLISH", "sealane:wanted:a", "two") and heard.all_of(2))
    stop()
    stop()
    proxy.close()
    assert threading.active_count() <= threads


def test_a_listener_whose_server_is_not_there_yet(tmp_path, caplog):
    """It does not keep its caller, and one that fails in what it was told goes on."""
    with serving(tmp_path) as server:
        engine, heard = RedisEngine(server.url()), Heard()
        server.kill()

        def wanted(lane):
            heard(lane)
            raise RuntimeError("of the one who listens")

        stop = engine.listen("a", wanted)
        server.start()
        until(lambda: listening(server) == 1)
        for count in (1, 2):
            server.say("PUBLISH", "sealane:wanted:a", LANE)
            assert heard.all_of(count)
        stop()
    assert "of the one who listens" in caplog.text


def test_wake_lists_do_not_grow_and_end(engine, server):
    ready(engine)
    for _ in range(5):
        grant = granted(engine, "a")
        engine.acquire(LANE, "b", 0)
        assert engine.release(LANE, "a", grant.epoch, 7, {}) == "b"
        engine.withdraw(LANE, "b")
    token = f"sealane:{{{LANE}}}:wake:b"
    assert server.say("LLEN", token) == 1
    assert 0 < server.say("PTTL", token) <= 5_000
    since_s = time.monotonic()
    engine.await_turn(LANE, "b", PATIENCE_S)
    assert time.monotonic() - since_s < PATIENCE_S / 2
    assert server.say("EXISTS", token) == 0


def test_a_server_that_forgot_its_scripts_is_given_them(engine, server):
    ready(engine)
    server.say("SCRIPT", "FLUSH")
    granted(engine, "a")


def test_threads_on_one_client_get_their_own_answers(engine):
    failures = []

    def work(name):
        try:
            for number in range(40):
                engine.write_intent(name, (), f'"{name} {number}"', settled=False, sync=False)
                assert engine.read_intent(name) == f'"{name} {number}"'
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"thread-{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not failures


# --- a forked child ---------------------------------------------------------------------------------------------------


def test_a_forked_child_leaves_its_parents_connections_alone(engine, proxy):
    ready(engine)
    grant = granted(engine, "a")
    before = proxy.connected
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the proxy has threads; the child does without them
        child = os.fork()
    if not child:
        status = 1
        try:
            engine.after_fork()
            for number in range(50):
                engine.write_intent(f"child-{number}", (), f'"{number}"', settled=False, sync=False)
                assert engine.read_intent(f"child-{number}") == f'"{number}"'
            status = 0
        finally:
            os._exit(status)
    for _ in range(50):
        assert isinstance(engine.renew(LANE, "a", grant.epoch, 0, {}), Grant)
    assert os.waitpid(child, 0)[1] == 0
    assert isinstance(engine.renew(LANE, "a", grant.epoch, 0, {}), Grant)
    assert proxy.connected == before + 1, "the child's own; the parent has gone on with what it had"


# --- secrets and refusals ---------------------------------------------------------------------------------------------


def told(work, *arguments):
    """The error, and all that a log of it would hold."""
    with pytest.raises(SealaneError) as caught:
        work(*arguments)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    seen = caught.value
    while seen is not None:
        shown += f"{seen!r} {seen.args}"
        seen = seen.__cause__ or seen.__context__
    return caught.value, shown


def test_no_error_holds_the_password(tmp_path):
    with serving(tmp_path, password=PASSWORD) as server:
        engine = RedisEngine(f"redis://:{QUOTED}@127.0.0.1:{server.port}")
        assert isinstance(engine.acquire(LANE, "a", 0)[0], Wait)
        wrong = RedisEngine(f"redis://:{QUOTED}x@127.0.0.1:{server.port}")
        error, shown = told(wrong.acquire, LANE, "a", 0)
        assert isinstance(error, SettingsError)
        none = RedisEngine(f"redis://127.0.0.1:{server.port}")
        assert isinstance(told(none.acquire, LANE, "a", 0)[0], SettingsError)
        server.kill()
        for lost in (engine, wrong):
            error, more = told(lost.acquire, LANE, "a", 0)
            assert isinstance(error, Unavailable)
            shown += more + repr(lost) + lost.identity + repr(lost._address) + str(vars(lost._wire))
    for secret in ("hunter2", PASSWORD, QUOTED):
        assert secret not in shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@host:hunter2/0",
        "redis://:hunter2@host:99999",
        "redis://:hunter2@[host",
        "redis://:hunter2@",
        "redis://:hunter2@host/hunter2",
        "redis://host?password=hunter2",
        "http://:hunter2@host",
        "redis://:hunter2@host?replicas=many",
        "redis://:hunter2@host?replicas=17",
        "redis://:hunter2@host?lease_ms=249",
        "redis://:hunter2@host?lease_ms=60001",
        "redis://:hunter2@host?prefix={}",
        "redis://:hunter2@host?cluster=yes",
        "redis://:hunter2@host/3?cluster=1",
        "redis://:hunter2@host?ssl_ca_certs=x",
    ],
)
def test_a_wrong_url_is_told_without_its_password(url):
    error, shown = told(RedisEngine, url)
    assert isinstance(error, SettingsError)
    assert "SEALANE_STORE" in str(error)
    assert "hunter2" not in shown


def test_an_address_is_shown_without_what_is_secret():
    shown = {
        "redis://user:hunter2@Host": "redis://host:6379/0",
        "redis://host:6380/2?replicas=1&lease_ms=5000": "redis://host:6380/2",
        "rediss://:hunter2@[::1]:6380?prefix=bots": "rediss://[::1]:6380/0?prefix=bots",
    }
    assert {url: str(address_in(url)) for url in shown} == shown
    assert address_in("redis://host?lease_ms=5000&replicas=2").lease_ms == 5_000


def test_a_user_who_may_not_do_all_is_told_so(server):
    allowed = ("~sealane:*", "resetchannels", "+@all")
    server.say("ACL", "SETUSER", "poor", "on", ">p", *allowed, "-info")
    server.say("ACL", "SETUSER", "mute", "on", ">p", *allowed, "-config")
    poor, mute = (
        RedisEngine(f"redis://{name}:p@127.0.0.1:{server.port}?lease_ms={LEASE_MS}") for name in ("poor", "mute")
    )
    error, _ = told(poor.acquire, LANE, "a", 0)
    assert isinstance(error, SettingsError)
    assert "info" in str(error)
    ready(mute, "other")
    assert isinstance(mute.acquire("other", "a", 0)[0], Grant)
    assert isinstance(mute.acquire("other", "b", 0)[0], Wait), "who may not publish only does without the hint"
    mute.close()
    poor.close()


def test_a_database_that_is_not_there(server):
    error, _ = told(RedisEngine(server.url().replace("/0", "/99")).acquire, LANE, "a", 0)
    assert isinstance(error, SettingsError)
    assert "database" in str(error)


def test_a_script_alone_says_what_it_needs(server):
    """INFO is asked for inside the step."""
    engine = RedisEngine(server.url())
    engine._sound = True
    server.say("ACL", "SETUSER", "default", "-info")
    try:
        error, _ = told(engine.acquire, LANE, "a", 0)
    finally:
        server.say("ACL", "SETUSER", "default", "+info")
    assert isinstance(error, SettingsError)
    engine.close()
