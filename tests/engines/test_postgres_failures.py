"""What PostgreSQL promises when it fails: killed, restarted, failed over, loaded from a dump, behind a pooler."""

import contextlib
import subprocess
import threading

import pytest
from postgres_server import (
    NOBODY,
    PASSWORD,
    PGBOUNCER,
    Server,
    free_port,
    pass_ms,
    unprivileged,
)

from sealane.core.lease import Grant, Lost, Wait
from sealane.errors import Unavailable
from sealane.store.postgres.limit import Limit
from sealane.testing.contract_base import run_threads

LANE, A, B = "kraken_global_nonce", "host-a", "host-b"
QUIET_MS = 1_500
"""A lease that outlasts a few steps, and may be waited for."""
LIMIT_S = 10


@pytest.mark.kill
def test_no_step_is_lost_with_the_server_though_its_commits_do_not_wait_by_default(server, opened, lane):
    engine = opened()
    grant, _ = engine.acquire(LANE, A, 900)
    engine.renew(LANE, A, grant.epoch, 1_234, {"key x": "{}"})
    engine.acquire(LANE, B, 0)
    engine.write_intent("kept", (), "{}", settled=False, sync=True)
    with server.without_background_flush():
        engine.write_intent("lost", (), "{}", settled=False, sync=False)
        server.kill()
    server.start()
    assert [name for name, _ in engine.unsettled_intents()] == ["kept"], "this server would forget what is not durable"
    record = engine.show(LANE).record
    assert (record.host, record.epoch, record.ceiling) == (A, grant.epoch, 1_234)
    assert [waiter.host for waiter in record.waiters] == [B]
    after = opened(lease_ms=QUIET_MS)
    assert isinstance(after.renew(LANE, A, grant.epoch, 0, {}), Grant), "a holder goes on"
    assert after.release(LANE, A, grant.epoch, 1_000, {}) == ""
    assert isinstance(after.acquire(LANE, B, 0)[0], Wait), "nothing is granted for a lease"
    pass_ms(QUIET_MS)
    second, documents = after.acquire(LANE, B, 0)
    assert (second.floor, documents) == (1_234, {"key x": "{}"})
    assert not second.clean, "who held it over a restart cannot know what was forgotten"


def test_each_verb_is_durable_by_itself(server, opened, lane):
    engine = opened()
    steps = (
        (Grant, lambda: engine.acquire(LANE, A, 900)[0]),
        (Grant, lambda: engine.renew(LANE, A, engine.show(LANE).record.epoch, 950, {})),
        (Wait, lambda: engine.acquire(LANE, B, 0)[0]),
        (str, lambda: engine.release(LANE, A, engine.show(LANE).record.epoch, 930, {})),
        (Wait, lambda: engine.acquire(LANE, "host-c", 0)[0]),
        (type(None), lambda: engine.withdraw(LANE, "host-c")),
        (type(None), lambda: engine.write_intent("a", (), "{}", settled=True, sync=True)),
    )
    with server.without_background_flush():
        for kind, step in steps:
            before = flushed(server)
            assert isinstance(step(), kind)
            assert flushed(server) > before, step
        before = flushed(server)
        engine.write_intent("b", (), "{}", settled=False, sync=False)
        assert flushed(server) == before, "this server makes all durable: the test shows nothing"


def flushed(server):
    return int(server.sql("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn")[0][0])


def test_a_restart_is_another_incarnation_and_a_crashed_backend_is_none(server, opened, lane):
    engine = opened()
    first = engine.acquire(LANE, A, 0)[0]
    before = engine.show(LANE).record.incarnation
    pid = server.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'sealane'")[0][0]
    subprocess.run(["kill", "-9", str(pid)], check=True)
    assert isinstance(engine.renew(LANE, A, first.epoch, 0, {}), Grant)
    assert engine.show(LANE).record.incarnation == before
    server.stop()
    server.start()
    assert isinstance(engine.renew(LANE, A, first.epoch, 0, {}), Grant)
    assert engine.show(LANE).record.incarnation != before
    assert engine.release(LANE, A, first.epoch, 0, {}) == ""
    assert isinstance(engine.acquire(LANE, B, 0)[0], Wait)


def test_a_restart_in_mid_verb_is_waited_for(server, opened, lane):
    engine = opened()
    grant, _ = engine.acquire(LANE, A, 0)
    answers = []
    server.stop()
    asking = threading.Thread(target=lambda: answers.append(engine.renew(LANE, A, grant.epoch, 0, {})))
    asking.start()
    server.start()
    asking.join(LIMIT_S)
    assert isinstance(answers[0], Grant)


def test_lanes_loaded_from_a_dump_are_another_incarnation(server, database, opened, lane):
    engine = opened()
    grant, _ = engine.acquire(LANE, A, 0)
    copy = "CREATE TABLE kept AS TABLE sealane.lanes; TRUNCATE sealane.lanes; INSERT INTO sealane.lanes TABLE kept"
    server.sql(copy, database)
    assert engine.release(LANE, A, grant.epoch, 7, {}) == ""
    assert isinstance(engine.acquire(LANE, B, 0)[0], Wait)


def test_a_schema_that_was_dropped_is_made_again_and_grants_nothing_for_a_lease(server, database, opened, lane):
    engine = opened()
    grant, _ = engine.acquire(LANE, A, 0)
    server.sql("DROP SCHEMA sealane CASCADE", database)
    assert isinstance(engine.renew(LANE, A, grant.epoch, 0, {}), Lost)
    assert isinstance(engine.acquire(LANE, B, 0)[0], Wait)


@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
def test_a_strict_default_isolation_only_costs_repeats(server, database, opened, lane, level):
    server.sql(f"ALTER DATABASE {database} SET default_transaction_isolation = '{level}'")
    engine = opened()
    grant, _ = engine.acquire(LANE, A, 0)
    answers = []

    def renew():
        for _ in range(10):
            answers.append(engine.renew(LANE, A, grant.epoch, 0, {}))

    run_threads([renew] * 4)
    assert len(answers) == 40
    assert all(isinstance(answer, Grant) for answer in answers)


def test_a_server_that_only_reads_is_unavailable_and_says_why(server, opened, monkeypatch):
    monkeypatch.setattr("sealane.store.postgres.engine.ENGINE_LIMIT_S", 0.5)
    engine = opened()
    engine.now_ms()
    for setting, kind in (("SET default_transaction_read_only = on", Unavailable), ("RESET ALL", None)):
        server.sql(f"ALTER SYSTEM {setting}")
        server.sql("SELECT pg_reload_conf()")
        if kind:
            with pytest.raises(kind, match="read-only"):
                for _ in range(100):  # until the server has read its settings
                    engine.acquire(LANE, A, 0)
    for _ in range(100):
        with contextlib.suppress(Unavailable):
            assert isinstance(engine.acquire(LANE, A, 0)[0], Wait)
            return
    raise AssertionError("it never came back")


def test_a_connection_to_what_is_no_primary_any_more_is_given_up(opened):
    engine = opened()
    engine.now_ms()
    demoted = engine._wires.run(lambda wire: wire.execute("SET default_transaction_read_only = on"), Limit(LIMIT_S))
    assert demoted.statusmessage == "SET"
    assert isinstance(engine.acquire(LANE, A, 0)[0], Wait)


@pytest.mark.kill
def test_a_failover_that_forgets_steps_grants_nothing_before_they_are_over(server, opened, lane):
    with Server.standby_of(server) as standby:
        engine = opened(port=f"{server.port},127.0.0.1:{standby.port}", lease_ms=QUIET_MS)
        first = engine.acquire(LANE, A, 900)[0]
        standby.await_replayed(server)
        standby.follow_no_more()
        engine.renew(LANE, A, first.epoch, 0, {})
        engine.acquire(LANE, B, 0)
        assert engine.release(LANE, A, first.epoch, 500, {}) == B
        second = engine.acquire(LANE, B, 2_000)[0]
        assert isinstance(second, Grant)
        server.kill()
        standby.promote()
        assert engine.show(LANE).record.host == A, "nothing was forgotten, so nothing is shown here"
        assert isinstance(engine.acquire(LANE, A, 0)[0], Wait), "the other is at work"
        assert isinstance(engine.renew(LANE, B, second.epoch, 2_000, {}), Lost)
        pass_ms(QUIET_MS)
        third = engine.acquire(LANE, A, 5_000)[0]
        assert (third.floor, third.clean) == (900, False)
        assert third.epoch > second.epoch
        engine.close()


@pytest.fixture
def pooled_port(server, database, tmp_path_factory):
    """Where a pooler in transaction mode listens, with two connections to the server for all its clients."""
    if PGBOUNCER is None:
        pytest.skip("no pgbouncer here")
    port, folder = free_port(), server.folder / f"pool-{database}"
    folder.mkdir(exist_ok=True)
    (folder / "users").write_text(f'"postgres" "{PASSWORD}"\n')
    (folder / "conf").write_text(
        f"[databases]\n{database} = host=127.0.0.1 port={server.port} dbname={database}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = plain\nauth_file = {folder}/users\n"
        f"unix_socket_dir =\npool_mode = transaction\ndefault_pool_size = 2\nserver_lifetime = 1\n"
        f"ignore_startup_parameters = extra_float_digits\n"
    )
    if unprivileged():
        subprocess.run(["chown", "-R", str(NOBODY), folder], check=True)
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen([PGBOUNCER, folder / "conf"], stdout=log, stderr=log, cwd="/", **unprivileged())
    yield port
    running.kill()
    running.wait(LIMIT_S)


def test_behind_a_pooler_in_transaction_mode_all_works_but_waking(pooled_port, opened, lane):
    engines = [opened(port=pooled_port) for _ in range(4)]
    floors, told = [], []
    stop = engines[0].listen("host-0", told.append)

    def work(engine, host):
        for _ in range(5):
            while not isinstance(grant := engine.acquire(LANE, host, 0)[0], Grant):
                engine.await_turn(LANE, host, 0.02)
            floors.append(grant.floor)
            assert isinstance(
                engine.release(LANE, host, grant.epoch, grant.floor + 1, {"key x": str(grant.floor)}), str
            )

    run_threads([lambda n=n, engine=engine: work(engine, f"host-{n}") for n, engine in enumerate(engines)])
    assert floors == list(range(20))
    engines[1].write_intent("o1", ("o2",), "{}", settled=False, sync=True)
    assert engines[2].read_intent("o2") == "{}"
    engines[3].beat("token", 60_000)
    assert engines[0].lives("token")
    stop()
