"""The watcher with brokers that obey: it asks each account in its rhythm, survives what fails, and shows what hangs."""

import base64
import threading
from types import SimpleNamespace

import pytest

from sealane.broker.port import ErrorKind
from sealane.errors import NotDurable, SettingsError
from sealane.gateway.fleet import TRIAL, Fleet, shortened
from sealane.gateway.service import Service
from sealane.gateway.settings import ServeSettings
from sealane.gateway.watcher import Round
from sealane.testing import FakeClock

LIMIT_S = 10
SECRET = base64.b64encode(b"not a secret of anybody's").decode()


class ObedientBroker:
    """Counts how often it is asked; ``gate`` holds askers back, ``next_try_s`` says that it recovers by itself."""

    def __init__(self, account):
        self.account, self.asked, self.closed = account, 0, False
        self.gate, self.under_way = threading.Event(), threading.Event()
        self.gate.set()
        self.next_try_s = None

    def connect(self):
        return bool(self.get_account_balance_detailed())

    def get_account_balance_detailed(self):
        self.asked += 1
        self.under_way.set()
        assert self.gate.wait(LIMIT_S)
        return {"account": self.account}

    def figures(self):
        return SimpleNamespace(
            available=True,
            error_count=0,
            last_error=None,
            as_of=1.0 if self.asked else None,
            error_kind=ErrorKind.NONE,
            tried_ns=0 if self.asked else None,
            recovery=SimpleNamespace(next_try_in_s=self.next_try_s),
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
