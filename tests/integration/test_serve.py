"""The service against a simulated Kraken, in this process: its answers come from what really is."""

import asyncio
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sealane import InDoubt, Kraken, Quarantined
from sealane.broker import AccountType, KrakenBroker, shared
from sealane.gateway import wire
from sealane.gateway.app import make_app
from sealane.gateway.door import PROBES, hostname
from sealane.gateway.fleet import Fleet
from sealane.gateway.server import answer, listen, url_of
from sealane.gateway.service import Service

LIMIT_S = 30
USER = "daivon_frazier"
HEALTH = "/health/kraken-nonce"


def broker(account):
    """As the command makes it: every look of the watcher asks."""
    kind, name = (AccountType.MASTER, None) if account == "MASTER" else (AccountType.USER, account)
    return KrakenBroker(kind, name, balance_cache_s=0)


class Served:
    """A running service; ``look`` has everything looked at once more before it returns."""

    def __init__(self, url, service):
        self.url, self.service = url, service

    def look(self):
        self.service.watcher.look_once()
        assert self.service.watcher.wait_for_askers(LIMIT_S)
        self.service.watcher.rounds[0].once()

    def until(self, true):
        """Goes on looking at what is local, within the limit."""
        pause = threading.Event()
        for _ in range(LIMIT_S * 20):
            self.service.watcher.rounds[0].once()
            if true():
                return
            pause.wait(0.05)
        raise AssertionError(self.health())

    def get(self, path, method="GET", **headers):
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=LIMIT_S)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return response.status, response.read(), response.headers
        finally:
            connection.close()

    def health(self):
        status, body, _ = self.get(HEALTH)
        document = json.loads(body)
        assert status == (503 if document["status"] == "fail" else 200)
        return document

    def account(self, name):
        return next(row for row in self.health()["accounts"] if row["account"] == name)


@pytest.fixture
def served(keys):
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    with listen("127.0.0.1", 0) as listener, Service(Fleet(os.environ, broker)) as service:
        work = answer(make_app(service.state), listener, ready.set, stop)
        thread = threading.Thread(target=lambda: loop.run_until_complete(work))
        thread.start()
        assert ready.wait(LIMIT_S)
        found = Served(url_of(listener), service)
        found.look()
        yield found
        loop.call_soon_threadsafe(stop.set)
        thread.join(LIMIT_S)
        loop.close()


def test_all_well(served, keys):
    nonce_file = Path(os.environ["DATA_DIR"], "kraken_global_nonce.txt")
    served.until(lambda: served.health()["last_nonce"] == int(nonce_file.read_text()))
    document = served.health()
    assert document["status"] == "pass", document["reasons"]
    assert document["last_nonce"] == int(document["last_nonce_text"])
    assert document["total_issued"] >= 2
    assert document["uptime"] > 0
    assert document["api_serialization"] is True
    assert document["simulated"] is False
    assert [row["account"] for row in document["accounts"]] == ["MASTER", USER]
    assert all(row["available"] and row["balance_age_s"] < LIMIT_S for row in document["accounts"])
    for path in ("/livez", "/readyz", "/metrics", "/"):
        assert served.get(path)[0] == 200
    assert keys.journal()["summary"]["refused_nonce"] == 0


def test_no_answer_tells_a_secret_or_an_amount(served, keys):
    said = b"".join(
        served.get(path)[1] for path in (HEALTH, "/livez", "/readyz", "/metrics", "/", "/statistics")
    ).decode()
    for account in keys.accounts:
        assert account.api_key not in said
        assert account.api_secret not in said
        assert account.api_key[-4:] in said
    said = "\n".join(line for line in said.splitlines() if not line.startswith("process_"))  # such as seconds of CPU
    assert "100000" not in said
    assert "101000" not in said


def test_a_poisoned_key_stops_itself_alone(served, keys):
    keys.update_account("user1", nonce=str(9 * 10**18))
    with Kraken.from_env(USER) as kraken, pytest.raises(Quarantined):
        kraken.private("Balance")
    served.look()
    document = served.health()
    assert document["status"] == "warn"
    assert "was refused after 3 jumps" in served.account(USER)["quarantined"]
    assert served.account(USER)["status"] == "fail"
    assert served.account(USER)["nonce_refusals"] >= 4
    assert served.account(USER)["jumps"] == 3
    assert served.account("MASTER")["status"] == "pass"
    assert served.get("/readyz")[0] == 200
    keys.update_account("user1", nonce="1")
    lift = [sys.executable, "-m", "sealane.cli", "nonce", "raise", "--account", USER]
    subprocess.run(lift, check=True, capture_output=True, timeout=LIMIT_S)
    served.until(lambda: served.account(USER)["status"] == "pass")  # asked at once, not when its broker thinks fit


def test_a_wrong_key_is_that_account_s_trouble_at_the_first_error(served, keys):
    keys.add_fault("error", error="EAPI:Invalid key", account="MASTER", count=50)
    served.look()
    assert served.account("MASTER")["error_count"] == 1
    assert served.health()["status"] == "warn"
    assert served.account("MASTER")["status"] == "fail"
    assert "EAPI:Invalid key" in served.account("MASTER")["last_error"]
    assert served.account("MASTER")["available"] is False
    assert served.account(USER)["status"] == "pass"


def test_with_every_key_refused_no_account_is_usable_and_the_process_lives(served, keys):
    keys.add_fault("error", error="EGeneral:Permission denied", count=50)
    served.look()
    document = served.health()
    assert document["status"] == "fail"
    assert "no account is usable" in document["reasons"][0]
    assert document["checks"]["store"][0]["status"] == "pass"
    assert served.get("/readyz")[0] == 503
    assert served.get("/livez")[0] == 200, "liveness does not depend on Kraken"
    keys.clear_faults()
    for one in served.service.fleet.served:
        assert one.broker.connect()
    served.look()
    assert served.health()["status"] == "pass", "one success makes it available again"


def test_a_key_that_was_mended_is_well_as_soon_as_its_broker_has_asked(served, keys, monkeypatch):
    monkeypatch.setattr(shared, "PERSON_S", 1.0)
    keys.add_fault("error", error="EAPI:Invalid signature", count=50)
    served.look()
    assert served.health()["status"] == "fail"
    keys.clear_faults()
    served.until(lambda: served.health()["status"] == "pass")  # nobody but the brokers' own recovery asks here
    assert all(row["asked_age_s"] < LIMIT_S for row in served.health()["accounts"])


def test_another_folder_under_the_same_name_is_noticed(served, tmp_path):
    folder = Path(os.environ["DATA_DIR"])
    folder.rename(tmp_path / "away")
    served.look()
    document = served.health()
    assert document["status"] == "fail"
    assert "another than at the start" in document["reasons"][0]
    assert document["checks"]["store"][0]["writable"] is True
    shutil.rmtree(folder)
    (tmp_path / "away").rename(folder)
    served.look()
    assert served.health()["status"] == "pass"


def test_a_store_that_cannot_be_written_fails(served, tmp_path):
    folder = Path(os.environ["DATA_DIR"])
    folder.rename(tmp_path / "away")
    folder.write_text("where the folder was")
    served.look()
    document = served.health()
    assert document["status"] == "fail"
    assert document["checks"]["store"][0]["writable"] is False
    assert served.get("/livez")[0] == 200
    folder.unlink()
    (tmp_path / "away").rename(folder)
    served.look()
    assert served.health()["checks"]["store"][0]["writable"] is True


def test_an_order_in_doubt_shows_with_its_age(served, keys, monkeypatch):
    from sealane.gateway import health

    monkeypatch.setattr(health, "DOUBT_GRACE_S", 0.0)
    keys.add_fault("drop_before", methods=["AddOrder", "GetApiKeyInfo", "OpenOrders", "ClosedOrders"], count=500)
    with Kraken.from_env() as kraken, pytest.raises(InDoubt):
        kraken.place_order(pair="XBTUSD", side="buy", volume="0.01", price="20000", deadline_s=3, timeout_s=0.5)
    served.look()
    master = served.account("MASTER")
    assert master["orders_in_doubt"] == 1
    assert master["oldest_doubt_age_s"] >= 0
    assert "orders in doubt: 1" in "; ".join(master["reasons"])
    assert served.account(USER)["orders_in_doubt"] == 0
    keys.clear_faults()


def test_what_another_process_does_shows(served, keys):
    before = served.health()["last_nonce"]
    command = [sys.executable, "-m", "sealane.cli", "nonce", "raise", "--by-s", "90"]
    subprocess.run(command, check=True, capture_output=True, timeout=LIMIT_S)
    served.look()
    document = served.health()
    assert document["last_nonce"] >= before + 80 * 10**9
    assert document["lanes"][0]["ahead_of_clock_s"] > 0


def test_each_key_s_lane_shows_under_its_account(keys, monkeypatch):
    monkeypatch.setenv("SEALANE_LANES", "per-key")
    with Service(Fleet(os.environ, broker)) as service:
        Served("", service).look()
        state = service.state()
        assert [lane.name for lane in state.seen.lanes] == ["MASTER", USER]
        assert state.last_nonce == max(lane.last_nonce for lane in state.seen.lanes) > 0
        assert state.verdict.reasons == []


def test_it_answers_while_the_lane_is_held(served):
    from sealane.runtime import threads
    from sealane.runtime.lanes import current_owner

    lane, owner = served.service.fleet.served[0].lane, current_owner()
    threads.enter(lane, owner, LIMIT_S)
    try:
        for path in (HEALTH, "/livez", "/readyz", "/metrics", "/"):
            assert served.get(path)[0] == 200
        served.service.watcher.rounds[0].once()
        assert served.health()["lanes"][0]["busy"] is True
        assert served.health()["lanes"][0]["holder"].startswith(f"{os.getpid()} (")
        assert served.health()["lanes"][0]["held_s"] >= 0
    finally:
        lane.leave(owner)


def test_the_five_metrics_of_the_documents_move_with_the_calls(served):
    def figure(name):
        text = served.get("/metrics")[1].decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    served.look()
    calls, issued = figure("sealane_calls_total{"), figure("sealane_nonces_issued_total{")
    with Kraken.from_env() as kraken:
        for _ in range(3):
            kraken.private("Balance")
    served.look()
    assert figure("sealane_calls_total{") >= calls + 3
    assert figure("sealane_nonces_issued_total{") >= issued + 3
    assert figure("sealane_call_errors_total{") == 0
    assert figure("sealane_last_nonce{") > 10**18
    assert 0 <= figure("sealane_nonce_file_age_seconds{") < LIMIT_S


# --- who may ask ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted({*PROBES, "/", "/metrics"}))
def test_railway_s_name_reaches_the_probes_alone(served, path):
    status, _, _ = served.get(path, Host="healthcheck.railway.app")
    assert status == (200 if path in PROBES else 421)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:8710"}, 200),
        ({"Host": "10.1.2.3:8710"}, 200),
        ({"Host": "[::1]:8710"}, 200),
        ({"Host": "rebound.example"}, 421),
        ({"Host": "localhost.rebound.example"}, 421),
        ({"Host": "[::1"}, 421),
        ({"Host": "localhost:8710", "Origin": "http://localhost:8710"}, 200),
        ({"Host": "localhost:8710", "Origin": "http://rebound.example"}, 403),
        ({"Host": "localhost:8710", "Origin": "null"}, 403),
        ({"Host": "localhost:8710", "Origin": "https://localhost:8710"}, 403),
        ({"Host": "localhost:8710", "Origin": "http://["}, 403),
    ],
)
def test_only_addresses_and_known_names_are_answered(served, headers, status):
    assert served.get("/livez", **headers)[0] == status


def test_what_breaks_off_is_answered_with_the_headers_that_protect():
    def broken():
        raise RuntimeError("no state")

    app, sent = make_app(broken), []
    scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/livez", "headers": [], "query_string": b""}

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    with pytest.raises(RuntimeError, match="no state"):
        asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 500
    assert (b"x-frame-options", b"DENY") in sent[0]["headers"]


def test_no_path_is_answered_by_sending_elsewhere(served):
    assert served.get("/livez/")[0] == 404


def test_idle_connections_make_room_for_whoever_asks(served, monkeypatch):
    monkeypatch.setattr(wire, "connections_max", lambda: 5)
    parts = urlsplit(served.url)
    with ExitStack() as stack:
        for _ in range(20):
            idle = stack.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=LIMIT_S))
            assert served.get("/livez")[0] == 200
        assert idle.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(15) == b"HTTP/1.1 200 OK", "those that came last are kept"


def test_names_without_brackets_and_ports():
    assert [hostname(text) for text in ("a:1", "[::1]:1", "A.b", "", "[x")] == ["a", "::1", "a.b", "", ""]


def test_who_takes_too_long_to_ask_is_hung_up_on(served, monkeypatch):
    monkeypatch.setattr(wire, "REQUEST_LIMIT_S", 0.2)
    parts = urlsplit(served.url)
    for said in (b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"):
        with socket.create_connection((parts.hostname, parts.port), timeout=LIMIT_S) as slow, suppress(ConnectionError):
            slow.sendall(said)
            assert slow.recv(1) == b""


def test_between_two_requests_a_connection_may_rest_longer(served, monkeypatch):
    monkeypatch.setattr(wire, "REQUEST_LIMIT_S", 0.1)
    parts = urlsplit(served.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=LIMIT_S)
    for _ in range(3):
        connection.request("GET", "/livez")
        assert connection.getresponse().read()
        threading.Event().wait(0.25)
    assert connection.sock is not None
    connection.close()


def test_only_reading_is_answered_and_nothing_may_be_kept_or_framed(served):
    assert served.get(HEALTH, "HEAD")[0] == 200
    assert served.get(HEALTH, "HEAD")[1] == b""
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert served.get(HEALTH, method)[0] == 405
    assert served.get("/health/../etc")[0] == 404
    _, _, headers = served.get("/")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
