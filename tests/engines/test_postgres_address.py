"""The URL of a PostgreSQL engine: what it says, what is refused, and that nothing ever shows its password."""

import shutil
import subprocess
import traceback

import pytest
from postgres_server import NOBODY, PASSWORD, free_port, shared, unprivileged
from proxy import ANSWERED, HALVE, Proxy

from sealane.errors import SealaneError, SettingsError, Unavailable
from sealane.store.engine import LEASE_MS
from sealane.store.postgres import engine as engine_module
from sealane.store.postgres import open_engine
from sealane.store.postgres.address import address_of

HIDDEN = "hunter2/§?@&"
CODED = "hunter2%2F%C2%A7%3F%40%26"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "shown", "schema", "lease_ms"),
    [
        (f"postgresql://u:{CODED}@h:6000/d", "postgresql://u@h:6000/d?schema=sealane", "sealane", LEASE_MS),
        (
            f"postgres://u@h/d?password={CODED}&schema=lanes2",
            "postgresql://u@h:5432/d?schema=lanes2",
            "lanes2",
            LEASE_MS,
        ),
        ("postgresql://u:a?b@h/d?lease_ms=500&schema=x", "postgresql://u@h:5432/d?schema=x", "x", 500),
        ("postgresql://u@a,b:7/d?lease_ms=900", "postgresql://u@a:5432,b:7/d?schema=sealane", "sealane", 900),
        ("postgresql://u@[::1]:7/d", "postgresql://u@[::1]:7/d?schema=sealane", "sealane", LEASE_MS),
        (
            "postgresql:///d?host=/run/pg&user=u",
            "postgresql://u@%2Frun%2Fpg:5432/d?schema=sealane",
            "sealane",
            LEASE_MS,
        ),
    ],
)
def test_what_a_url_says(url, shown, schema, lease_ms):
    address = address_of(url)
    assert (address.shown, address.schema, address.lease_ms) == (shown, schema, lease_ms)
    assert address.identity == shown.replace("u@", "")
    assert open_engine(url).identity == address.identity
    assert open_engine(url).lease_ms == lease_ms
    parameters = address.parameters.reveal().decode()
    assert "schema" not in parameters and "lease_ms" not in parameters
    assert "connect_timeout='5'" in parameters


def test_the_url_has_the_last_word_on_libpqs_settings():
    told = address_of(
        "postgresql://h/d?connect_timeout=2&sslmode=verify-full&application_name=desk"
    ).parameters.reveal()
    assert b"connect_timeout='2'" in told
    assert b"sslmode='verify-full'" in told
    assert b"application_name='desk'" in told


def test_users_of_one_database_share_their_lanes():
    assert address_of("postgresql://u@h/d").identity == address_of("postgresql://v:w@h/d?sslmode=require").identity
    assert address_of("postgresql://u@h/d").identity != address_of("postgresql://u@h/e").identity


@pytest.mark.parametrize(
    ("url", "named"),
    [
        (f"postgresql://u:{CODED}@h/d?schema=Drop Table", "schema"),
        (f"postgresql://u:{CODED}@h/d?schema=pg_catalog", "schema"),
        (f"postgresql://u:{CODED}@h/d?lease_ms=fast", "lease_ms"),
        (f"postgresql://u:{CODED}@h/d?lease_ms=0", "lease_ms"),
        (f"postgresql://u:{CODED}@h/d?pooling=yes", "'pooling'"),
        (f"postgresql://u:{CODED}@[h/d", "cannot be read"),
        (f"postgresql:u:{CODED}@h/d", "postgresql://"),
    ],
)
def test_a_bad_url_is_named_and_not_shown(url, named):
    with pytest.raises(SettingsError) as raised:
        open_engine(url)
    assert named in str(raised.value)
    assert not shows(raised.value, "hunter2")


def shows(error, secret):
    """Whether an error tells a secret, by itself or by what hangs on it."""
    seen, left = set(), [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if not isinstance(one, (SealaneError, ImportError)):
            return f"{one!r} hangs on it: a driver's error carries its connection"
        if secret in f"{one!r} {one} {one.args} {vars(one)}" or secret in "".join(traceback.format_exception(one)):
            return True
        left += [one.__cause__, one.__context__]
    return False


def test_no_error_shows_the_password(monkeypatch):
    monkeypatch.setattr(engine_module, "ENGINE_LIMIT_S", 0.3)
    server = shared()
    with Proxy(server.port) as proxy:
        proxy.trouble = lambda direction, piece: HALVE if direction == ANSWERED else "pass"
        for url, kind in (
            (server.url(password=PASSWORD + "x"), SettingsError),
            (server.url(user="nobody"), SettingsError),
            (server.url(database="nowhere"), SettingsError),
            (server.url(port=free_port()), Unavailable),
            (server.url(port=proxy.port), Unavailable),
            (server.url(sslmode="require"), Unavailable),
            (server.url(sslmode="verify-full", sslrootcert="/nowhere"), Unavailable),
        ):
            engine = open_engine(url)
            with pytest.raises(kind) as raised:
                engine.acquire("lane", "host", 0)
            engine.close()
            assert not shows(raised.value, PASSWORD), url
            assert PASSWORD not in repr(engine)


def test_a_role_that_is_refused_is_told_at_once_and_by_name():
    with pytest.raises(SettingsError, match='password authentication failed for user "postgres"'):
        open_engine(shared().url(password="wrong")).now_ms()


def test_the_environments_password_is_hidden_too(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    assert address_of("postgresql://h/d").cleaned("it is\nhunter2.") == "it is ***."
    monkeypatch.delenv("PGPASSWORD")
    assert address_of(f"postgresql://u:{CODED}@h/d").cleaned(f"{CODED} {HIDDEN}") == "*** ***"


def test_tls_is_the_urls_to_ask_for(tmp_path, monkeypatch):
    server, openssl = shared("debian"), shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make a certificate")
    key, certificate = server.data / "server.key", server.data / "server.crt"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    key.chmod(0o600)
    if unprivileged():
        shutil.chown(key, NOBODY, NOBODY)
        shutil.chown(certificate, NOBODY, NOBODY)
    trusted = tmp_path / "trusted.crt"
    trusted.write_bytes(certificate.read_bytes())
    server.sql("ALTER SYSTEM SET ssl = on")
    server.stop()
    server.start()
    try:
        engine = open_engine(server.url(sslmode="verify-full", sslrootcert=trusted))
        assert engine.now_ms()
        ours = "FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'sealane'"
        assert server.sql(f"SELECT bool_and(ssl) {ours}") == [(True,)]
        engine.close()
        monkeypatch.setattr(engine_module, "ENGINE_LIMIT_S", 0.5)
        elsewhere = server.url(sslmode="verify-full", sslrootcert=trusted).replace("127.0.0.1", "localhost")
        with pytest.raises(Unavailable, match="certificate"):
            open_engine(elsewhere).now_ms()
    finally:
        server.sql("ALTER SYSTEM RESET ssl")
        server.stop()
        server.start()
