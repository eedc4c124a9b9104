"""The watcher with brokers that obey: it asks each account in its rhythm, survives what fails, and shows what hangs."""

import base64
import os
import socket
import threading
import uuid
from dataclasses import replace
from types import SimpleNamespace

import pytest

from sealane.broker.port import ErrorKind
from sealane.errors import NotDurable, SettingsError, Unavailable
from sealane.gateway.fleet import TRIAL, Fleet, held_since, shortened
from sealane.gateway.notify import READY, Manager
from sealane.gateway.service import Service
from sealane.gateway.settings import ServeSettings
from sealane.gateway.sightings import LaneSeen
from sealane.gateway.watch_settings import PERMISSIONS_S
from sealane.gateway.watcher import Round, Watcher
from sealane.store.lock_holders import lock_holders
from sealane.testing import FakeClock

LIMIT_S = 10
SECRET = base64.b64encode(b"not a secret of anybody's").decode()


class ObedientBroker:
    """Counts how often it is asked; ``gate`` holds askers back, ``next_try_s`` says that it recovers by itself."""

    def __init__(self, account):
        self.account, self.asked, self.closed = account, 0, False
        self.gate, self.under_way = threading.Event(), threading.Event()
        self.gate.set()
        self.next_try_s = self.tried_ns = None
        self.permissions, self.permissions_asked, self.errors = ("query-funds",), 0, 0

    def connect(self):
        return bool(self.get_account_balance_detailed())

    def get_account_balance_detailed(self):
        self.asked += 1
        self.under_way.set()
        assert self.gate.wait(LIMIT_S)
        return {"account": self.account}

    def ask_permissions(self):
        self.permissions_asked += 1
        if isinstance(self.permissions, Exception):
            raise self.permissions
        return self.permissions

    def figures(self):
        return SimpleNamespace(
            available=True,
            error_count=self.errors,
            last_error=None,
            as_of=1.0 if self.asked else None,
            error_kind=ErrorKind.NONE,
            tried_ns=self.tried_ns,
            recovery=SimpleNamespace(next_try_in_s=self.next_try_s),
            total=None,
            amounts=None,
        )

    def close(self):
        self.closed = True


@pytest.fixture
def service(tmp_path):
    """A service that was not begun: its rounds are gone by hand."""
    environ = {"DATA_DIR": str(tmp_path / "data"), "KRAKEN_SPOT_URL": "http://127.0.0.1:9"}
    for prefix in ("KRAKEN", "KRAKEN_USER_anna"):
        environ |= {f"{prefix}_API_KEY": f"a-key-of-{prefix}", f"{prefix}_API_SECRET": SECRET}
    fleet = Fleet(environ, ObedientBroker, FakeClock())
    yield Service(fleet)
    fleet.close()


def brokers(service):
    return [one.broker for one in service.fleet.served]


def test_each_account_is_asked_once_a_round_and_by_one_at_a_time(service):
    watcher, (master, anna) = service.watcher, brokers(service)
    master.gate.clear()
    watcher.look_once()
    assert master.under_way.wait(LIMIT_S)
    watcher.look_once()
    assert service.state().seen.accounts["MASTER"].asking_ns is not None
    master.gate.set()
    assert watcher.wait_for_askers(LIMIT_S)
    assert (master.asked, anna.asked) == (1, 2)
    assert service.state().seen.accounts["MASTER"].asking_ns is None


def test_permissions_are_asked_for_now_and_then_and_stay_known(service):
    watcher, master, clock = service.watcher, brokers(service)[0], service.fleet.clock

    def look():
        watcher.look_once()
        assert watcher.wait_for_askers(LIMIT_S)
        watcher.rounds[0].once()
        return watcher.seen().accounts["MASTER"]

    first = look()
    assert (first.permissions, first.permissions_ns) == (("query-funds",), clock.boot_ns())
    clock.advance(PERMISSIONS_S - 1)
    look()
    assert master.permissions_asked == 1
    master.permissions = Unavailable("no answer")
    clock.advance(1)
    assert look().permissions_ns == first.permissions_ns, "what was told stays known, with its age"
    assert master.permissions_asked == 2
    master.permissions, master.errors = ("modify-trades",), 1
    clock.advance(PERMISSIONS_S)
    look()
    assert master.permissions_asked == 2, "an account in trouble is left alone"
    master.errors = 0
    assert look().permissions == ("modify-trades",)


def test_requests_ask_nobody(service):
    service.watcher.look_once()
    assert service.watcher.wait_for_askers(LIMIT_S)
    before = [broker.asked for broker in brokers(service)]
    for _ in range(100):
        service.state()
    assert [broker.asked for broker in brokers(service)] == before == [1, 1]


def test_a_broker_that_recovers_is_left_to_its_own_rhythm(service):
    master, anna = brokers(service)
    master.next_try_s = 30.0
    service.watcher.look_once()
    assert service.watcher.wait_for_askers(LIMIT_S)
    assert (master.asked, anna.asked) == (0, 1)


def test_an_account_s_age_is_that_of_its_broker_s_last_try_whoever_asked(service):
    master, clock = brokers(service)[0], service.fleet.clock
    master.tried_ns = clock.boot_ns()
    service.watcher.look_once()
    assert service.watcher.wait_for_askers(LIMIT_S)
    clock.advance(300)
    service.watcher.rounds[0].once()
    assert "last asked 300 s ago" in service.state().verdict.accounts["MASTER"].output
    master.tried_ns = clock.boot_ns()
    service.watcher.rounds[0].once()
    assert "last asked" not in service.state().verdict.accounts["MASTER"].output


def test_what_an_asker_brought_is_looked_at_at_once(service):
    watcher, master = service.watcher, brokers(service)[0]
    for one in watcher.rounds:
        one.every_s = 3_600.0
    master.gate.clear()
    watcher.begin()
    assert master.under_way.wait(LIMIT_S)
    pause = threading.Event()
    while not watcher.seen().accounts:
        pause.wait(0.01)
    before_ns = service.fleet.clock.advance(1) or service.fleet.clock.boot_ns()
    master.gate.set()
    for _ in range(LIMIT_S * 100):
        if watcher.seen().accounts["MASTER"].seen_ns >= before_ns:
            break
        pause.wait(0.01)
    assert watcher.seen().accounts["MASTER"].seen_ns >= before_ns
    assert watcher.end(LIMIT_S)


def test_nonces_are_announced_once_before_anybody_is_asked(service):
    told = []
    watcher = Watcher(service.fleet, before_asking=lambda: told.append([one.asked for one in brokers(service)]))
    for _ in range(2):
        watcher.look_once()
        assert watcher.wait_for_askers(LIMIT_S)
    assert told == [[0, 0]]


def test_a_turn_is_held_since_its_holder_was_seen_without_a_nonce_in_between():
    first = LaneSeen("global", 10, last_nonce=5, holder="7 (bot)")
    held = held_since(first, None)
    assert held.held_ns == 10
    assert held_since(replace(first, seen_ns=20), held).held_ns == 10
    assert held_since(replace(first, seen_ns=20, last_nonce=6), held).held_ns == 20
    assert held_since(replace(first, seen_ns=20, holder="8 (bot)"), held).held_ns == 20
    assert held_since(replace(first, seen_ns=20, holder=""), held).held_ns is None


def test_holders_of_a_lock_are_read_from_the_system_s_table(tmp_path):
    path, proc = tmp_path / "lane.turn", tmp_path / "proc"
    path.touch()
    (proc / "42").mkdir(parents=True)
    (proc / "42" / "comm").write_text("bot\n")
    facts = path.stat()
    place = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    rows = (f"1: FLOCK  ADVISORY  WRITE 42 {place} 0 EOF", f"1: -> FLOCK  ADVISORY  WRITE 43 {place} 0 EOF")
    (proc / "locks").write_text("\n".join((*rows, f"2: FLOCK  ADVISORY  WRITE 44 {place}9 0 EOF")))
    assert [str(one) for one in lock_holders(path, proc)] == ["42 (bot)"]
    assert list(lock_holders(tmp_path / "missing", proc)) == []
    assert list(lock_holders(path, tmp_path)) == []


@pytest.mark.parametrize(
    ("environ", "every_s"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "often"}, 0.0),
    ],
)
def test_how_often_the_manager_of_services_wants_to_hear(environ, every_s):
    assert Manager.from_env(environ).alive_every_s == every_s


def test_the_manager_of_services_is_told_by_path_and_by_abstract_name(tmp_path):
    abstract = f"sealane-{uuid.uuid4()}"
    for bound, named in ((str(tmp_path / "notify"), str(tmp_path / "notify")), (f"\0{abstract}", f"@{abstract}")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(bound)
            manager.settimeout(LIMIT_S)
            Manager(named).tell(READY)
            assert manager.recv(100) == b"READY=1"
    Manager(str(tmp_path / "nobody")).tell(READY)
    Manager().tell(READY)


def test_ending_waits_for_calls_under_way_and_no_longer_than_it_may(service):
    master, _ = brokers(service)
    master.gate.clear()
    service.watcher.look_once()
    assert master.under_way.wait(LIMIT_S)
    assert not service.watcher.end(0.01)
    master.gate.set()
    assert service.watcher.end(LIMIT_S)
    asked = master.asked
    service.watcher.look_once()
    assert master.asked == asked, "nothing is begun after the end"


def test_a_round_that_raises_goes_on_and_did_not_come_to_its_end(caplog):
    clock, steps = FakeClock(), iter((OSError("disk"), None))

    def job():
        if (error := next(steps)) is not None:
            raise error

    one = Round("look", 2.0, job, clock)
    one.once()
    assert one.seen().ended_ns is None
    assert "'look' failed" in caplog.text
    one.once()
    assert one.seen().ended_ns == clock.boot_ns()


def test_a_round_that_hangs_shows_since_when_and_can_be_ended_afterwards():
    clock, began, gate = FakeClock(), threading.Event(), threading.Event()

    def job():
        began.set()
        assert gate.wait(LIMIT_S)

    one = Round("store", 5.0, job, clock)
    one.begin()
    assert began.wait(LIMIT_S)
    seen = one.seen()
    assert (seen.alive, seen.began_ns, seen.ended_ns) == (True, clock.boot_ns(), None)
    one.end()
    assert not one.join(0.01)
    gate.set()
    assert one.join(LIMIT_S)
    assert not one.seen().alive


def test_the_trial_writes_for_real_and_leaves_the_nonce_file_alone(service, tmp_path):
    fleet = service.fleet
    fleet.served[0].lane.draw()
    nonce_file = tmp_path / "data" / "kraken_global_nonce.txt"
    before = nonce_file.stat().st_mtime_ns
    assert fleet.try_store().error == ""
    assert fleet.served[0].lane.store.rates(TRIAL)
    assert nonce_file.stat().st_mtime_ns == before, "a check that refreshes its own heartbeat proves nothing"


def test_a_store_that_cannot_be_written_fails_the_trial(service, monkeypatch):
    lane = service.fleet.served[0].lane.store

    def full(account, change):
        raise NotDurable("Could not persist nonce to disk: no space left")

    monkeypatch.setattr(lane, "revise_rates", full)
    assert "no space left" in service.fleet.try_store().error
    service.watcher.look_once()
    assert "the store cannot be written" in "; ".join(service.state().verdict.reasons)


def test_closing_closes_the_brokers(service):
    service.fleet.close()
    assert all(broker.closed for broker in brokers(service))


def test_without_an_account_there_is_nothing_to_serve():
    with pytest.raises(SettingsError, match="KRAKEN_API_KEY"):
        Fleet({}, ObedientBroker)


def test_errors_are_shown_on_one_line_of_bearable_length():
    assert shortened("a\nb") == "a b"
    assert len(shortened("x" * 1_000)) == 400


def test_settings_come_from_options_then_the_environment_then_what_is_usual():
    usual = ServeSettings.from_env({})
    assert (usual.host, usual.port, usual.watch_s, usual.allow_network) == ("127.0.0.1", 8710, 30.0, False)
    environ = {"PORT": "9000", "SEALANE_HOST": "::1", "SEALANE_WATCH_S": "5", "SEALANE_ALLOWED_HOSTS": "Sealane, box"}
    told = ServeSettings.from_env(environ)
    assert (told.host, told.port, told.watch_s, told.allowed_hosts) == ("::1", 9000, 5.0, ("sealane", "box"))
    assert ServeSettings.from_env(environ, host="127.0.0.2", port=0).port == 0
    assert ServeSettings.from_env({"SEALANE_HOST": "::", "SEALANE_ALLOW_NETWORK": "1"}).allow_network
    assert ServeSettings.from_env({}, host="0.0.0.0", allow_network=True).host == "0.0.0.0"


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"PORT": "http"}, "PORT"),
        ({"PORT": "70000"}, "PORT"),
        ({"SEALANE_WATCH_S": "often"}, "SEALANE_WATCH_S"),
        ({"SEALANE_WATCH_S": "0"}, "SEALANE_WATCH_S"),
        ({"SEALANE_WATCH_S": "nan"}, "SEALANE_WATCH_S"),
        ({"SEALANE_ALLOW_NETWORK": "perhaps"}, "SEALANE_ALLOW_NETWORK"),
        ({"SEALANE_HOST": "0.0.0.0"}, "--allow-network"),
        ({"SEALANE_HOST": "::"}, "SEALANE_ALLOW_NETWORK=1"),
        ({"SEALANE_HOST": "sealane.internal"}, "--allow-network"),
    ],
)
def test_wrong_settings_name_the_variable(environ, named):
    with pytest.raises(SettingsError, match=named):
        ServeSettings.from_env(environ)
