"""The schema: made and brought up to date by numbered files, by many at once, with few rights; or what is said."""

import subprocess
import sys

import pytest
from postgres_server import PASSWORD

from sealane.core.lease import Wait
from sealane.errors import SettingsError, Unavailable
from sealane.store.postgres import schema

LANE, A = "kraken_global_nonce", "host-a"
PROCESSES = 8
STARTER = """
import sys
from sealane.store.postgres import open_engine
engine = open_engine(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(type(engine.acquire("lane", "host", 0)[0]).__name__)
engine.close()
"""


@pytest.fixture
def trader(server, database):
    """A role that may do nothing but connect."""
    role = f"trader_{database}"
    server.sql(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    yield role
    server.sql(f"DROP OWNED BY {role}", database)
    server.sql(f"DROP ROLE {role}")


def applied(server, database, name="sealane"):
    return server.sql(f"SELECT number, name FROM {name}.migrations ORDER BY number", database)


def test_processes_that_start_together_make_it_once(server, database):
    url = server.url(database=database)
    started = [
        subprocess.Popen([sys.executable, "-c", STARTER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in started] == ["Wait\n"] * PROCESSES
    assert applied(server, database) == [(number, name) for number, name, _ in schema.files()]


def test_files_are_numbered_without_gaps():
    assert [number for number, *_ in schema.files()] == list(range(1, len(schema.files()) + 1))


def test_an_older_schema_is_brought_up_to_date_and_one_that_fails_is_left_as_it_was(
    server, database, opened, monkeypatch
):
    engine = opened()
    assert isinstance(engine.acquire(LANE, A, 0)[0], Wait)
    known, latest = schema.files(), len(schema.files())
    extra = (
        latest + 1,
        "9998_more.sql",
        "CREATE TABLE {schema}.more (n integer); INSERT INTO {schema}.more VALUES (7)",
    )
    broken = (latest + 2, "9999_broken.sql", "CREATE TABLE {schema}.half (); SELECT 1 / 0")
    monkeypatch.setattr(schema, "files", lambda: (*known, extra, broken))
    with pytest.raises((Unavailable, SettingsError), match="division by zero"):
        opened().now_ms()
    assert len(applied(server, database)) == latest
    assert server.sql("SELECT to_regclass('sealane.more')", database) == [(None,)]
    monkeypatch.setattr(schema, "files", lambda: (*known, extra))
    opened().now_ms()
    assert server.sql("SELECT n FROM sealane.more", database) == [(7,)]
    assert engine.show(LANE).record.waiters, "what was there is lost"
    monkeypatch.undo()
    with pytest.raises(SettingsError, match=rf"at step {latest + 1}, and this Sealane knows {latest}: update"):
        opened().now_ms()


def test_schemas_of_one_database_know_nothing_of_each_other(server, database, opened):
    one, other = opened(), opened(schema="second")
    one.acquire(LANE, A, 0)
    assert other.show(LANE).record is None
    assert one.identity != other.identity
    assert schema.channel("sealane") != schema.channel("second")
    assert len(schema.channel("x" * 40)) < 63


def test_a_role_that_may_make_nothing_is_told_what_to_grant(server, database, opened, trader):
    with pytest.raises(SettingsError, match=r"permission denied.*GRANT CREATE ON DATABASE"):
        opened(user=trader).now_ms()
    opened().now_ms()
    with pytest.raises(SettingsError, match="GRANT USAGE ON SCHEMA sealane TO") as raised:
        opened(user=trader).now_ms()
    for grant in str(raised.value).split("Let the owner run: ")[1].split("; ")[:3]:
        server.sql(grant.replace("<role>", trader), database)
    engine = opened(user=trader)
    assert isinstance(engine.acquire(LANE, A, 0)[0], Wait)
    engine.withdraw(LANE, A)
    engine.write_intent("o1", ("o2",), "{}", settled=True, sync=True)
    engine.beat("token", 1_000)


def test_an_empty_schema_that_a_role_owns_is_filled(server, database, opened, trader):
    server.sql(f"CREATE SCHEMA sealane AUTHORIZATION {trader}", database)
    assert isinstance(opened(user=trader).acquire(LANE, A, 0)[0], Wait)


def test_a_role_that_may_make_a_schema_makes_it(server, database, opened, trader):
    server.sql(f"GRANT CREATE ON DATABASE {database} TO {trader}", database)
    assert isinstance(opened(user=trader).acquire(LANE, A, 0)[0], Wait)


def test_what_the_engine_cannot_keep_is_the_callers_mistake(opened):
    engine = opened()
    with pytest.raises(SettingsError, match="cannot keep"):
        engine.acquire("lane\0", A, 0)
    with pytest.raises(SettingsError, match="cannot keep"):
        engine.release(LANE, A, 2**63, 0, {})
    assert isinstance(engine.acquire(LANE, A, 2**70)[0], Wait)
