"""Hosts on a real server as people see them: the command line, the service's health, and a move between stores."""

import asyncio
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from proxy import ANSWERED, ASKED, PASS, Proxy
from redis_server import serving

from sealane import Kraken
from sealane.broker import AccountType, KrakenBroker
from sealane.cli.app import app
from sealane.client.settings import Settings
from sealane.gateway import health
from sealane.gateway.app import make_app
from sealane.gateway.fleet import Fleet
from sealane.gateway.server import answer, listen, url_of
from sealane.gateway.service import Service
from sealane.gateway.watch_settings import ENGINE_MISSES_MAX
from sealane.simulator import Simulator
from sealane.store import open as stores

pytestmark = pytest.mark.usefixtures("own_stores")
LIMIT_S = 30
LEASE_MS = 600
PASSWORD = "hunter2-Secret"
LANE = "kraken_global_nonce"
WORKER = Path(__file__).with_name("calling.py")
CALLS = 15


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("valkey"), password=PASSWORD) as server:
        yield server


@pytest.fixture
def engine(server, tmp_path):
    """A URL with lanes of this test's own."""
    name = "".join(filter(str.isalnum, tmp_path.name))
    return server.url(lease_ms=LEASE_MS, prefix=f"t{name}")


@pytest.fixture
def kraken(monkeypatch):
    with Simulator(accounts=1, seed=11) as simulator:
        (account,) = simulator.accounts
        monkeypatch.setenv("KRAKEN_SPOT_URL", simulator.url)
        monkeypatch.setenv("KRAKEN_API_KEY", account.api_key)
        monkeypatch.setenv("KRAKEN_API_SECRET", account.api_secret)
        yield simulator
    simulator.audit()


@pytest.fixture
def host(monkeypatch, tmp_path):
    """Be a host: its folder and its engine are the environment's from now on."""

    def be(name, url):
        monkeypatch.setenv("DATA_DIR", str(tmp_path / name))
        monkeypatch.setenv("SEALANE_STORE", url)

    return be


@pytest.fixture
def sealane(capsys):
    """The command line, in this process: what it prints."""

    def said(*arguments, code=0):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            app(arguments)
        out, err = capsys.readouterr()
        assert (ended.value.code or 0) == code, out + err
        assert PASSWORD not in out + err
        return out

    return said


@pytest.fixture
def as_json(sealane):
    return lambda *arguments, code=0: json.loads(sealane(*arguments, "--json", code=code))


class Worker:
    """A process of a host that calls again and again, until it is stopped."""

    def __init__(self, folder, store, *, calls=0):
        environment = os.environ | {"DATA_DIR": str(folder), "SEALANE_STORE": store}
        self.process = subprocess.Popen(
            [sys.executable, WORKER, str(calls)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begun(self):
        assert self.process.stdout.readline() == "calling\n"

    def stop(self):
        """How many calls were made, all accepted."""
        told, _ = self.process.communicate("", LIMIT_S)
        assert self.process.returncode == 0
        return int(told.split()[-1])


# --- nonce show -------------------------------------------------------------------------------------------------------


def test_show_tells_holder_epoch_since_and_who_waits(kraken, host, engine, sealane, as_json):
    host("b", engine)
    assert as_json("nonce", "show")["lease"]["holder"] is None
    with HeldLane(engine) as held:
        lease = as_json("nonce", "show")["lease"]
        assert lease["holder"] == held.name != lease["host"]
        assert (lease["standby"], lease["is_ours"], lease["error"]) == (True, False, None)
        assert lease["since"] <= lease["expires"]
        assert lease["epoch"] == held.epoch
        assert lease["waiters"] == ["somebody"]
        told = sealane("nonce", "show")
        assert f"held by host ({held.name})" in " ".join(told.split())
        assert "somebody" in told


class HeldLane:
    """The lane is another host's, by the engine's own words, for as long as this is entered."""

    name = "another"

    def __init__(self, url):
        self._engine = stores._redis(url)

    def __enter__(self):
        pause = threading.Event()
        while not hasattr(granted := self._engine.acquire(LANE, self.name, 0)[0], "floor"):
            pause.wait(granted.again_ms / 1_000)
        self._engine.acquire(LANE, "somebody", 0)
        self.epoch, self._stop = granted.epoch, threading.Event()
        self._thread = threading.Thread(target=self._hold)
        self._thread.start()
        return self

    def _hold(self):
        while True:
            self._engine.renew(LANE, self.name, self.epoch, 0, {})
            self._engine.acquire(LANE, "somebody", 0)
            if self._stop.wait(LEASE_MS / 6_000):
                return

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(LIMIT_S)
        self._engine.release(LANE, self.name, self.epoch, 0, {})
        self._engine.withdraw(LANE, "somebody")
        self._engine.close()


@pytest.mark.parametrize("round_trip_s", [0.1, 0.2])
def test_show_tells_the_holder_far_from_the_engine(round_trip_s, server, kraken, host, engine, as_json):
    """A new process makes its connection first, which is several round trips; then it asks once."""
    with HeldLane(engine) as held, Proxy(server.port) as proxy:
        proxy.delay_s = round_trip_s / 2
        host("b", engine.replace(f":{server.port}", f":{proxy.port}"))
        lease = as_json("nonce", "show")["lease"]
        assert (lease["holder"], lease["error"]) == (held.name, None)


def test_a_lane_is_shown_in_one_round_trip(server, engine):
    with HeldLane(engine) as held, Proxy(server.port) as proxy:
        asking = stores._redis(engine.replace(f":{server.port}", f":{proxy.port}"))
        asking.show(LANE)
        asked = []
        proxy.trouble = lambda direction, piece: asked.append(direction) or PASS
        shown = asking.show(LANE)
        asking.close()
        assert asked == [ASKED, ANSWERED]
        assert (shown.record.host, shown.record.epoch) == (held.name, held.epoch)
        assert shown.record.since_ms <= shown.now_ms < shown.record.expires_ms


def test_a_watcher_far_from_the_engine_warns_once_at_most(server, kraken, host, engine):
    with Proxy(server.port) as proxy:
        proxy.delay_s = 0.1
        host("a", engine.replace(f":{server.port}", f":{proxy.port}"))
        with contextlib.closing(Fleet(os.environ, broker)) as fleet:
            pause, misses = threading.Event(), 0
            for _ in range(LIMIT_S * 10):
                (lane,) = fleet.lanes()
                misses = max(misses, lane.lease.misses)
                if not lane.lease.error:
                    break
                pause.wait(0.1)
            assert not lane.lease.error
            assert misses < ENGINE_MISSES_MAX


def test_show_says_that_the_engine_is_gone(kraken, host, sealane, as_json):
    host("a", f"redis://:{PASSWORD}@127.0.0.1:1/0")
    lease = as_json("nonce", "show")["lease"]
    assert lease["error"].startswith("redis://127.0.0.1:1/0 cannot be had")
    assert "not known" in sealane("nonce", "show")


# --- health -----------------------------------------------------------------------------------------------------------


def broker(account):
    return KrakenBroker(AccountType.MASTER, balance_cache_s=0)


class Served:
    """A running service."""

    def __init__(self, url, service):
        self.url, self.service = url, service

    def look(self):
        for one in reversed(self.service.watcher.rounds):
            one.once()

    def get(self, path):
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=LIMIT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def until(self, true):
        pause = threading.Event()
        for _ in range(LIMIT_S * 20):
            self.look()
            status, text = self.get("/health/kraken-nonce")
            if true(document := json.loads(text)):
                return status, document
            pause.wait(0.05)
        raise AssertionError(document)


@pytest.fixture
def served(kraken, host, engine):
    host("watched", engine)
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    with listen("127.0.0.1", 0) as listener, Service(Fleet(os.environ, broker)) as service:
        work = answer(make_app(service.state), listener, ready.set, stop)
        thread = threading.Thread(target=lambda: loop.run_until_complete(work))
        thread.start()
        assert ready.wait(LIMIT_S)
        yield Served(url_of(listener), service)
        loop.call_soon_threadsafe(stop.set)
        thread.join(LIMIT_S)
        loop.close()


def test_a_standby_warns_and_answers_200_and_passes_when_its_turn_comes(served, engine):
    served.until(lambda document: document["status"] == "pass")
    with HeldLane(engine) as held:
        status, document = served.until(lambda document: document["lanes"][0]["lease"]["standby"])
        assert (status, document["status"]) == (200, "warn")
        assert any(f"standby: lane global is held by host ({held.name})" in reason for reason in document["reasons"])
        assert served.get("/readyz")[0] == 200
        assert f"held by host ({held.name})" in served.get("/")[1]
        assert 'sealane_lease_standby{lane="global"} 1.0' in served.get("/metrics")[1]
    served.service.watcher.rounds[2].once()
    assert served.until(lambda document: document["status"] == "pass")[0] == 200


def test_a_standby_that_never_had_the_lane_is_no_failure(kraken, host, engine, request):
    with HeldLane(engine):
        served = request.getfixturevalue("served")
        _, document = served.until(lambda document: document["lanes"] and document["accounts"][0]["reasons"])
        assert served.until(lambda document: document["status"] == "warn")[0] == 200
        assert document["lanes"][0]["lease"]["standby"]


def test_an_engine_that_goes_away_fails_the_health(kraken, host, tmp_path, monkeypatch):
    monkeypatch.setattr(health, "ENGINE_MISSES_MAX", 1)
    with serving(tmp_path / "valkey", password=PASSWORD) as server:
        host("a", server.url(lease_ms=LEASE_MS))
        with Service(Fleet(os.environ, broker)) as service:
            looked = Looked(service)
            looked.until("pass")
            server.kill()
            reasons = looked.until("fail")
            assert any("the engine cannot be asked" in reason for reason in reasons)
            assert PASSWORD not in str(reasons)
            server.start()
            looked.until("pass")


class Looked:
    """A service without its HTTP, looked at until it says something."""

    def __init__(self, service):
        self.service = service

    def until(self, status):
        pause = threading.Event()
        for _ in range(LIMIT_S * 10):
            for one in reversed(self.service.watcher.rounds):
                one.once()
            verdict = self.service.state().verdict
            if verdict.status.value == status:
                return verdict.reasons
            pause.wait(0.1)
        raise AssertionError(verdict.reasons)


# --- a move between stores --------------------------------------------------------------------------------------------


def test_programs_move_to_an_engine_while_they_run(kraken, host, engine, tmp_path, sealane, as_json):
    """From a folder whose lane is far ahead of the clock, so that who starts from the clock is refused."""
    folder = tmp_path / "one"
    host("one", f"file:{folder}")
    sealane("nonce", "raise", "--by-s", "500")
    workers = [Worker(folder, f"file:{folder}") for _ in range(2)]
    for worker in workers:
        worker.begun()
    for _ in range(2):
        done = as_json("store", "copy", f"file:{folder}", engine)
        assert [lane["lane"] for lane in done["lanes"]] == [LANE]
    assert sum(worker.stop() for worker in workers) > 2
    sealane("store", "copy", f"file:{folder}", engine)
    hosts = [Worker(tmp_path / f"host{number}", engine, calls=CALLS) for number in range(2)]
    assert [worker.stop() for worker in hosts] == [CALLS] * 2
    summary = kraken.journal()["summary"]
    assert summary["refused_nonce"] == 0


def test_without_a_copy_they_would_be_refused(kraken, host, engine, tmp_path, sealane):
    """So that the test above can fail."""
    folder = tmp_path / "one"
    host("one", f"file:{folder}")
    sealane("nonce", "raise", "--by-s", "500")
    with Kraken.from_env() as client:
        client.private("Balance")
    host("host", engine)
    with Kraken.from_env() as client:
        client.private("Balance")
    assert kraken.journal()["summary"]["refused_nonce"] > 0


def test_a_copy_between_engines_tells_what_it_did(host, engine, server, sealane, as_json):
    host("a", engine)
    sealane("nonce", "raise", "--by-s", "500")
    told = sealane("store", "copy", "env:SEALANE_STORE", server.url(lease_ms=LEASE_MS, prefix="target"))
    assert "floor raised to" in told
    assert "prefix=target" in told
    again = as_json("store", "copy", "env:SEALANE_STORE", server.url(lease_ms=LEASE_MS, prefix="target"))
    assert not again["lanes"][0]["raised"]
    assert again["lanes"][0]["stands"] >= again["lanes"][0]["floor"]


@pytest.mark.parametrize(
    ("source", "target", "code", "said"),
    [
        ("memory:", "file:x", 2, "no place"),
        ("env:NOT_THERE", "file:x", 2, "NOT_THERE is not set"),
        ("file:nothing", "file:x", 2, "holds no lane"),
        ("rabbit://x", "file:x", 2, "rabbit"),
        (f"redis://:{PASSWORD}@127.0.0.1:1/0", "file:x", 4, "cannot be had"),
        (f"redis://:{PASSWORD}@127.0.0.1:x/0", "file:x", 2, "no Redis URL"),
    ],
)
def test_what_cannot_be_copied_is_told(source, target, code, said, tmp_path, monkeypatch, as_json):
    monkeypatch.chdir(tmp_path)
    assert said in as_json("store", "copy", source, target, code=code)["error"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_copy_leaves_no_folder_of_its_own(host, engine, tmp_path, monkeypatch, sealane):
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    host("a", f"file:{tmp_path / 'a'}")
    sealane("nonce", "next")
    sealane("store", "copy", "env:SEALANE_STORE", engine)
    assert list(place.iterdir()) == []
    assert Settings.from_env(os.environ).store.startswith("file:")
