"""The wire to PostgreSQL fails: connections cut, halved or silent, servers that are not there or hang."""

import os
import socket
import threading
import time
import uuid
import warnings

import pytest
from postgres_server import SHORT_MS, free_port, pass_ms
from proxy import ANSWERED, ASKED, CUT, HALVE, PASS, SWALLOW, Proxy

from sealane.core.lease import Grant, Lost
from sealane.errors import Unavailable
from sealane.store.postgres import engine as engine_module
from sealane.store.postgres import listener, open_engine, wire

LANE, A, B = "kraken_global_nonce", "host-a", "host-b"
SHORT_LIMIT_S = 0.5


@pytest.fixture
def place(server):
    """A schema is made faster than a database."""
    schema = f"w{uuid.uuid4().hex[:12]}"
    yield {"schema": schema}
    server.sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as between:
        yield between


@pytest.fixture
def short_limit(monkeypatch):
    monkeypatch.setattr(engine_module, "ENGINE_LIMIT_S", SHORT_LIMIT_S)
    monkeypatch.setattr(listener, "ENGINE_LIMIT_S", SHORT_LIMIT_S)
    monkeypatch.setattr(wire, "REUSED_LIMIT_S", SHORT_LIMIT_S / 2)


def refused_within_the_limit(verb, *arguments):
    began = time.monotonic()
    with pytest.raises(Unavailable) as raised:
        verb(*arguments)
    assert time.monotonic() - began < SHORT_LIMIT_S + 0.5
    return str(raised.value)


@pytest.mark.parametrize(("action", "direction"), [(CUT, ASKED), (CUT, ANSWERED), (HALVE, ASKED), (HALVE, ANSWERED)])
def test_a_step_is_made_once_over_a_connection_that_is_cut(opened, lane, proxy, action, direction):
    engine = opened(port=proxy.port)
    proxy.once(action, direction)
    grant, _ = engine.acquire(LANE, A, 900)
    assert isinstance(grant, Grant)
    proxy.once(action, direction)
    assert engine.renew(LANE, A, grant.epoch, 1_000, {"key x": "{}"}).epoch == grant.epoch
    proxy.once(action, direction)
    answer = engine.release(LANE, A, grant.epoch, 950, {"key x": "[]"})
    made_before = direction == ANSWERED  # its answer was lost: the second time it is Lost, and was clean all the same
    assert isinstance(answer, Lost) if made_before else answer == ""
    proxy.once(action, direction)
    engine.withdraw(LANE, A)
    proxy.once(action, direction)
    engine.write_intent("o1", ("o2",), "{}", settled=False, sync=True)
    assert engine.unsettled_intents() == [("o1", "{}")]
    second, documents = engine.acquire(LANE, B, 0)
    assert (second.floor, second.clean, documents) == (950, True, {"key x": "[]"})


def test_idle_connections_that_were_cut_are_no_trouble(opened, lane, proxy):
    engine = opened(port=proxy.port)
    grant, _ = engine.acquire(LANE, A, 900)
    for _ in range(3):
        proxy.cut_all()
        assert isinstance(engine.renew(LANE, A, grant.epoch, 0, {}), Grant)


def test_an_idle_connection_that_was_lost_without_a_word_leaves_time_for_a_new_one(opened, proxy, short_limit):
    engine = opened(port=proxy.port)
    before_ms = engine.now_ms()
    proxy.once(SWALLOW, ASKED)
    assert engine.now_ms() > before_ms


def test_no_session_is_relied_on(opened, server, lane):
    engine = opened()
    for turn in range(3):
        grant, _ = engine.acquire(LANE, A, turn)
        ended = server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sealane'")
        assert ended == [(True,)]
        assert isinstance(engine.renew(LANE, A, grant.epoch, turn, {}), Grant)
        engine.close()
        assert engine.release(LANE, A, grant.epoch, turn, {}) == ""


def test_a_port_where_nobody_is(opened, short_limit):
    engine = opened(port=free_port())
    assert "refused" in refused_within_the_limit(engine.acquire, LANE, A, 0)
    assert "refused" in refused_within_the_limit(engine.unsettled_intents)
    engine.await_turn(LANE, A, 0.05)
    engine.listen(A, print)()


def test_a_listening_port_that_never_answers(opened, short_limit):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = opened(port=silent.getsockname()[1])
        assert "no answer" in refused_within_the_limit(engine.acquire, LANE, A, 0)


def test_a_name_that_is_looked_up_for_ever(opened, server, short_limit, monkeypatch):
    told, look_up = threading.Event(), socket.getaddrinfo

    def slowly(host, *arguments, **named):
        told.wait(10)
        return look_up("127.0.0.1", *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    engine = open_engine(server.url().replace("127.0.0.1", "db.example"))
    assert "no answer" in refused_within_the_limit(engine.now_ms)
    told.set()
    assert engine.now_ms() > 0
    engine.close()


def test_a_wire_that_is_silent_in_mid_answer(opened, lane, proxy, short_limit):
    engine = opened(port=proxy.port)
    proxy.trouble = lambda direction, piece: SWALLOW if direction == ANSWERED else PASS
    assert "no answer" in refused_within_the_limit(engine.acquire, LANE, A, 0)


def test_a_server_that_is_stopped_short(opened, lane, server, short_limit):
    engine, fresh = opened(lease_ms=SHORT_MS), opened(lease_ms=SHORT_MS)
    grant, _ = engine.acquire(LANE, A, 900)
    with server.stopped_short():
        for verb in (engine, fresh):
            refused_within_the_limit(verb.renew, LANE, A, grant.epoch, 0, {})
    for _ in range(100):
        if isinstance(engine.acquire(LANE, B, 0)[0], Grant):
            return
        pass_ms(SHORT_MS)
    raise AssertionError("what was asked meanwhile held the lane for ever")


def test_waiting_goes_on_while_the_server_hangs_and_ends_by_its_limit(opened, lane, server):
    engine = opened()
    engine.acquire(LANE, A, 0)
    engine.acquire(LANE, B, 0)
    engine.await_turn(LANE, B, 0.1)
    with server.stopped_short():
        began = time.monotonic()
        engine.await_turn(LANE, B, 0.2)
        assert time.monotonic() - began < 2


def test_many_threads_share_few_connections(opened, lane, server):
    engine = opened()
    grant, _ = engine.acquire(LANE, A, 0)
    answers = []

    def renew():
        for _ in range(10):
            answers.append(engine.renew(LANE, A, grant.epoch, 0, {}))

    threads = [threading.Thread(target=renew) for _ in range(3 * wire.CONNECTIONS_MAX)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(answers) == 30 * wire.CONNECTIONS_MAX
    assert all(isinstance(answer, Grant) for answer in answers)
    used = server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sealane'")
    assert used[0][0] <= wire.CONNECTIONS_MAX + 1


def test_a_listener_hears_again_after_its_connection_was_cut(opened, lane, server):
    engine, other = opened(), opened()
    heard, came = [], threading.Event()
    stop = engine.listen(A, lambda lane: (heard.append(lane), came.set()))
    engine.acquire(LANE, A, 0)
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    for asker in range(200):  # what is said before it listens again is lost, so it is said until it is heard
        engine.acquire(LANE, A, 0)
        other.acquire(LANE, f"host-{asker}", 0)
        if came.wait(0.05):
            break
    assert heard[0] == LANE
    stop()


def test_an_engine_that_is_closed_hears_no_more_and_leaves_no_thread(opened):
    engine = opened()
    engine.listen(A, print)
    assert any(thread.name == "sealane-postgres-listener" for thread in threading.enumerate())
    engine.close()
    assert not any(thread.name == "sealane-postgres-listener" for thread in threading.enumerate())


def test_a_forked_child_has_connections_of_its_own(opened, lane, server):
    engine = opened()
    stop = engine.listen(A, print)
    grant, _ = engine.acquire(LANE, A, 0)
    pids = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sealane'"
    before = set(server.sql(pids))
    assert len(before) == 2, "one for the steps, one that listens"
    with warnings.catch_warnings(action="ignore"):  # newer Pythons warn of threads in whoever forks
        child = os.fork()
    if child == 0:
        code = 1
        try:
            engine.after_fork()
            code = 0 if isinstance(engine.renew(LANE, A, grant.epoch, 0, {}), Grant) else 2
            engine.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert isinstance(engine.renew(LANE, A, grant.epoch, 0, {}), Grant)
    assert before <= set(server.sql(pids)), "the child ended a connection of the parent's"
    stop()


def test_a_lane_is_shown_far_from_the_server_and_in_one_round_trip(opened, lane, proxy):
    """A new process makes its connection first, which is several round trips."""
    grant, _ = opened().acquire(lane, A, 0)
    opened().renew(lane, A, grant.epoch, 0, {"holder": "{}"})
    proxy.delay_s, engine, asked = 0.1, opened(port=proxy.port), []
    first = engine.show(lane)
    proxy.trouble = lambda direction, piece: asked.append(direction) or PASS
    shown = engine.show(lane)
    assert asked == [ASKED, ANSWERED]
    assert (shown.record, shown.documents) == (first.record, {"holder": "{}"})
    assert shown.record.host == A
    assert shown.record.since_ms < first.now_ms < shown.now_ms < shown.record.expires_ms
