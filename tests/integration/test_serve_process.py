"""``sealane serve`` as a process: how it starts, where it listens, what it says, how it ends."""

import fcntl
import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from sealane.gateway.server import STOP_LIMIT_S

LIMIT_S = 60
SERVE = [sys.executable, "-m", "sealane.cli", "serve"]
ROOT = Path(__file__).parents[2]
HEALTH = "/health/kraken-nonce"


def without(*names):
    return {name: value for name, value in os.environ.items() if name not in names}


class Running:
    """A serve that listens; ``err`` collects its log."""

    def __init__(self, process, environ):
        self.process, self.environ, self.err = process, environ, []
        self._reader = threading.Thread(target=lambda: self.err.extend(process.stderr))
        self._reader.start()
        first = process.stdout.readline()
        assert first.startswith("{"), first
        self.document = json.loads(first)

    def get(self, path, **headers):
        parts = urlsplit(self.document["url"])
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=LIMIT_S)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def headers(self, said):
        """What comes back for a request as it is, in small letters, up to the body."""
        parts = urlsplit(self.document["url"])
        with socket.create_connection((parts.hostname, parts.port), timeout=LIMIT_S) as raw, raw.makefile("rb") as back:
            raw.sendall(said)
            return b"".join(iter(back.readline, b"\r\n")).decode().lower()

    def ready(self):
        """Asks until it is ready."""
        self.until(lambda: self.get("/readyz")[0] == 200)

    def until(self, true):
        """Asks again and again, within the limit."""
        pause = threading.Event()
        for _ in range(LIMIT_S * 20):
            if true():
                return
            pause.wait(0.05)
        raise AssertionError(self.get(HEALTH))

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(STOP_LIMIT_S + 5)
        self._reader.join(LIMIT_S)
        return code


@contextmanager
def serving(*options, environ=None, folder=None):
    environ = os.environ if environ is None else environ
    command = [*SERVE, "--port", "0", "--json", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ, cwd=folder
    )
    try:
        yield Running(process, environ)
    finally:
        process.kill()
        process.wait(LIMIT_S)
        process.stdout.close()
        process.stderr.close()


def refused(*options, **environ):
    done = subprocess.run(
        [*SERVE, *options], capture_output=True, text=True, timeout=LIMIT_S, env=os.environ | environ, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_without_a_key_it_is_a_simulator_and_says_so_everywhere(tmp_path):
    real = tmp_path / "real"
    real.mkdir()
    (real / "kraken_global_nonce.txt").write_text("1737159471234567890")
    environ = os.environ | {"DATA_DIR": str(real), "SEALANE_STORE": f"file:{real}", "KRAKEN_LAST_NONCE": "5"}
    with serving(environ=environ) as running:
        assert running.document["simulated"] is True
        running.ready()
        assert json.loads(running.get(HEALTH)[1])["simulated"] is True
        assert json.loads(running.get("/livez")[1])["simulated"] is True
        assert json.loads(running.get("/readyz")[1])["simulated"] is True
        assert "sealane_simulated 1.0" in running.get("/metrics")[1]
        assert "SIMULATOR" in running.get("/")[1]
        document = json.loads(running.get(HEALTH)[1])
        assert document["status"] == "warn"
        assert "SIMULATOR: no key is set" in document["reasons"][0]
        for request, status in (
            ("GET /livez", 200),
            ("GET /nowhere", 404),
            ("PUT /livez", 405),
            ("GET /livez HTTP/1.1\r\nOrigin: http://else.where", 403),
            ("GET /livez HTTP/1.1\r\nHost: else.where", 421),
            ("nothing that is known", 400),
        ):
            line = request if "HTTP" in request else f"{request} HTTP/1.1"
            line += "" if "Host" in line else "\r\nHost: localhost"
            answer = running.headers(f"{line}\r\nConnection: close\r\n\r\n".encode())
            assert answer.startswith(f"http/1.1 {status} "), answer
            assert "x-sealane-simulator: true\r\n" in answer
        assert {path.name for path in real.iterdir()} == {"kraken_global_nonce.txt", "simulator"}
        assert (real / "kraken_global_nonce.txt").read_text() == "1737159471234567890"
        _metrics_that_files_name(running.get("/metrics")[1])
        assert running.end() == 0
    log = "".join(running.err).splitlines()
    assert log
    assert [line for line in log if not line.startswith("SIMULATOR ")] == []
    assert any("No persisted nonce found" in line for line in log)
    assert any("Global Kraken Nonce Manager initialized" in line for line in log)


def _metrics_that_files_name(exposed):
    """Dashboard and alerts ask a running service for nothing that it does not have."""
    there = set(re.findall(r"^# TYPE (\w+)", exposed, re.MULTILINE))
    files = (ROOT / "deploy/grafana/sealane.json", ROOT / "deploy/prometheus/alerts.yml")
    named = {name for file in files for name in re.findall(r"\bsealane_\w+", file.read_text())}
    assert named
    assert named <= there


def test_a_log_of_json_lines_is_marked_too_and_stays_json(tmp_path):
    with serving(environ=os.environ | {"SEALANE_LOG": "json", "DATA_DIR": str(tmp_path)}) as running:
        running.ready()
        parts = urlsplit(running.document["url"])
        with socket.create_connection((parts.hostname, parts.port), timeout=LIMIT_S) as odd:
            odd.sendall(b"this is no HTTP\r\n\r\n")
            assert odd.recv(100).startswith(b"HTTP/1.1 400")
        assert running.end() == 0
    rows = [json.loads(line) for line in "".join(running.err).splitlines()]
    assert all(row["message"].startswith("SIMULATOR ") for row in rows)
    assert {"sealane.global_nonce", "sealane.broker", "uvicorn.error"} <= {row["logger"] for row in rows}


def test_without_a_data_folder_the_simulator_s_is_in_the_usual_one_and_apart(tmp_path):
    with serving(environ=without("DATA_DIR") | {"COINBASE_API_KEY": "a-key"}, folder=tmp_path) as running:
        running.ready()
        assert (tmp_path / "data" / "simulator" / "kraken_global_nonce.txt").exists()
        assert [path.name for path in (tmp_path / "data").iterdir()] == ["simulator"]
        (reason,) = json.loads(running.get("/readyz")[1])["reasons"]
        assert "holds keys of Coinbase and none of Kraken" in reason
        assert running.end(signal.SIGINT) == 0
    assert "holds keys of Coinbase and none of Kraken" in "".join(running.err)


def test_with_keys_it_serves_them_and_its_log_has_the_documents_lines(keys):
    Path(os.environ["DATA_DIR"]).mkdir()
    Path(os.environ["DATA_DIR"], "kraken_global_nonce.txt").write_text("1737159471234567890")
    with serving() as running:
        assert running.document["accounts"] == ["MASTER", "daivon_frazier"]
        assert running.document["simulated"] is False
        running.ready()
        assert "SIMULATOR" not in running.get("/")[1]
        assert "simulator" not in running.headers(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert running.end() == 0
    log = "".join(running.err)
    assert "Loaded persisted nonce: 1737159471234567890, using: " in log
    assert "Global Kraken Nonce Manager initialized (persisted nonce: 1737159471234567890, API serialization" in log
    assert "Using GLOBAL Kraken Nonce Manager for MASTER" in log
    assert all(account.api_secret not in log and account.api_key not in log for account in keys.accounts)


def test_calls_under_way_come_to_their_end(keys):
    keys.add_fault("delay", delay_s=1.0, methods=["Balance"], count=50)
    with serving() as running:
        running.until(lambda: any(row.get("asking_for_s") for row in json.loads(running.get(HEALTH)[1])["accounts"]))
        assert "Connected" not in "".join(running.err)
        assert running.end() == 0
    assert "✅ Connected to Kraken (MASTER)" in "".join(running.err)
    assert "still under way" not in "".join(running.err)


@contextmanager
def locked(name):
    """A file of the data folder, with its lock held by this process."""
    folder = Path(os.environ["DATA_DIR"])
    folder.mkdir(exist_ok=True)
    with (folder / name).open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def test_one_that_waits_for_its_turn_is_ready_and_says_who_has_it(keys):
    with locked("kraken_global_nonce.turn") as turn, serving() as running:
        running.ready()
        document = json.loads(running.get(HEALTH)[1])
        assert document["status"] == "warn"
        assert all("waits for its turn on lane global" in row["reasons"][0] for row in document["accounts"])
        assert document["lanes"][0]["holder"].startswith(f"{os.getpid()} (")
        assert str(os.getpid()) in running.get("/")[1]
        fcntl.flock(turn, fcntl.LOCK_UN)
        running.until(lambda: json.loads(running.get(HEALTH)[1])["status"] == "pass")
        assert running.end() == 0


def test_it_listens_before_it_has_read_a_nonce(keys):
    with locked("kraken_global_nonce.txt"), serving() as running:
        assert running.get("/livez")[0] == 200
        assert "Could not persist" not in "".join(running.err), "the lock was waited for first"
        assert running.get("/readyz")[0] == 503
        running.end()


def test_connections_left_open_do_not_use_up_its_descriptors(keys):
    with serving() as running, ExitStack() as stack:
        resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (256, 256))
        parts = urlsplit(running.document["url"])
        for _ in range(300):
            stack.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=LIMIT_S))
        assert running.get("/livez")[0] == 200
        assert running.end() == 0
    assert "Too many open files" not in "".join(running.err)


def test_a_manager_of_services_hears_of_its_beginning_its_life_and_its_end(keys, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(LIMIT_S)
        environ = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        with serving(environ=environ) as running:
            assert manager.recv(100) == b"READY=1"
            assert running.get("/livez")[0] == 200
            assert [manager.recv(100) for _ in range(2)] == [b"WATCHDOG=1"] * 2
            assert running.end() == 0
        last = b"WATCHDOG=1"
        while last == b"WATCHDOG=1":
            last = manager.recv(100)
        assert last == b"STOPPING=1"


def test_an_unwritable_folder_is_served_as_fail_and_not_as_an_exit(keys, tmp_path):
    (tmp_path / "file").write_text("")
    with serving(environ=os.environ | {"DATA_DIR": str(tmp_path / "file" / "data")}) as running:
        status, body = running.get(HEALTH)
        assert status == 503
        assert json.loads(body)["status"] == "fail"
        assert running.get("/livez")[0] == 200
        assert running.end() == 0
    assert "Could not persist nonce to disk" in "".join(running.err)


def test_all_addresses_of_both_families_with_the_explicit_word_and_port_from_the_environment(keys):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [*SERVE, "--host", "::" if socket.has_dualstack_ipv6() else "0.0.0.0", "--allow-network", "--json"]
    environ = os.environ | {"PORT": str(port)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
    try:
        running = Running(process, environ)
        assert running.document["url"] == f"http://127.0.0.1:{port}"
        assert running.get("/livez", Host="healthcheck.railway.app")[0] == 200
        if socket.has_dualstack_ipv6():
            running.document["url"] = f"http://[::1]:{port}"
            assert running.get("/livez")[0] == 200
        assert running.end() == 0
    finally:
        process.kill()
        process.wait(LIMIT_S)
        process.stdout.close()
        process.stderr.close()


def test_what_is_wrong_is_told_and_exits_with_2(sim):
    half = refused(KRAKEN_API_KEY="half-of-a-pair")
    assert "KRAKEN_API_SECRET" in half
    assert "SIMULATOR" not in half
    assert "--allow-network" in refused("--host", "0.0.0.0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "choose another --port" in refused("--port", port)
