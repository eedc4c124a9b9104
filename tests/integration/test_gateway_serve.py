"""The gateway as ``sealane serve`` offers it: over a port, over TLS, over a unix socket; and what it does not do."""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import os
import re
import socket
import ssl
import stat
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from test_serve_process import LIMIT_S, refused, serving

from sealane.core.signing import api_sign
from sealane.gateway.keys.key_file import KeyFile
from sealane.gateway.keys.policy import Policy

BUY = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "1000"}


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    return tmp_path / "gateway"


@pytest.fixture
def key(folder):
    made, secret = KeyFile(folder).create("bot", "MASTER", Policy(), 1.0)
    return made.current.key, base64.b64decode(secret)


def signed(key, method, nonce, params=None):
    """Path, body and headers of a private call."""
    body = urlencode({"nonce": nonce, **(params or {})}).encode()
    path = f"/0/private/{method}"
    headers = {"API-Key": key[0], "API-Sign": api_sign(key[1], path, str(nonce), body)}
    return path, body, headers | {"Content-Type": "application/x-www-form-urlencoded"}


def post(connection, key, method, nonce, params=None, **more):
    path, body, headers = signed(key, method, nonce, params)
    connection.request("POST", path, body, headers | more)
    answer = connection.getresponse()
    return answer, json.loads(answer.read())


@contextmanager
def connected(url):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=LIMIT_S)
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture
def certificate(tmp_path):
    """A certificate for localhost, made here."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    cert, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    key_file.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return cert, key_file


def test_a_call_over_tls_and_off_loopback_without_another_word(keys, key, certificate):
    cert, key_file = certificate
    with serving("--host", "0.0.0.0", "--tls-cert", str(cert), "--tls-key", str(key_file)) as running:
        url = urlsplit(running.document["url"])
        assert url.scheme == "https"
        context = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection("localhost", url.port, timeout=LIMIT_S, context=context)
        answer, document = post(connection, key, "Balance", 1)
        connection.close()
        assert (answer.status, document["error"]) == (200, [])


def test_a_certificate_without_its_key_is_told(sim, certificate):
    assert "--tls-key is missing" in refused("--tls-cert", str(certificate[0]))
    assert "can be reached from other machines" in refused("--host", "0.0.0.0")


def test_a_call_over_a_unix_socket_that_is_its_owner_s_alone(keys, key, tmp_path):
    path = tmp_path / "sealane.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))  # as a server that was killed leaves it
    left.close()
    with serving("--unix-socket", str(path)) as running:
        assert running.document["url"] == f"unix:{path}"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        connection = http.client.HTTPConnection("localhost", timeout=LIMIT_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(path))
        _, document = post(connection, key, "Balance", 1)
        connection.close()
        assert document["error"] == []
        assert "somebody listens there" in refused("--unix-socket", str(path))
        running.end()
    assert not path.exists()


def test_who_asks_what_and_how_over_a_port(keys, key, folder):
    with serving() as running, connected(running.document["url"]) as wire:
        _, first = post(wire, key, "Balance", 10)
        _, replayed = post(wire, key, "Balance", 10)
        _, stranger = post(wire, ("SEALANE" + "x" * 49, key[1]), "Balance", 11)
        _, forged = post(wire, (key[0], bytes(64)), "Balance", 12)
        rebound, _ = post(wire, key, "Balance", 13, Host="evil.example")
        elsewhere, page = post(wire, key, "Balance", 14, Origin="https://evil.example")
        _, withdrawal = post(wire, key, "Withdraw", 15, {"asset": "XBT", "key": "k", "amount": "1"})
        KeyFile(folder).pause("bot")
        _, paused = post(wire, key, "Balance", 16)
        KeyFile(folder).resume("bot")
        KeyFile(folder).revoke("bot", time.time())
        _, revoked = post(wire, key, "Balance", 17)
        log = "".join(running.err)
    assert first["error"] == []
    assert replayed["error"] == ["EAPI:Invalid nonce"]
    assert stranger["error"] == revoked["error"] == ["EAPI:Invalid key"]
    assert forged["error"] == ["EAPI:Invalid signature"]
    assert (rebound.status, elsewhere.status) == (421, 403)
    assert page == {"error": ["EGeneral:Permission denied"]}
    assert withdrawal["error"] == paused["error"] == ["EGeneral:Permission denied"]
    assert "Withdraw" not in [entry["method"] for entry in keys.journal()["entries"]]
    told = log + (folder / "audit.jsonl").read_text()
    for account in keys.accounts:
        assert account.api_key not in told
        assert account.api_secret not in told
    assert base64.b64encode(key[1]).decode() not in told


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """Sends everybody to another address."""

    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", self.server.elsewhere + self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_):
        """Nothing is logged."""


@pytest.fixture
def sends_elsewhere(keys, monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        server.elsewhere, server.daemon_threads = keys.url, True
        monkeypatch.setenv("KRAKEN_SPOT_URL", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join(LIMIT_S)


def test_an_upstream_that_sends_elsewhere_is_not_followed(sends_elsewhere, keys, key):
    with serving() as running, connected(running.document["url"]) as wire:
        _, private = post(wire, key, "Balance", 1)
        wire.request("GET", "/0/public/Time")
        public = json.loads(wire.getresponse().read())
    assert private["error"] == public["error"] == ["EService:Unavailable"]
    assert keys.journal()["entries"] == []


def test_a_body_that_is_too_large(keys, key):
    path, _, headers = signed(key, "Balance", 1)
    with serving() as running:
        with connected(running.document["url"]) as wire:
            wire.request("POST", path, b"nonce=1&a=" + b"x" * 70_000, headers)
            answer = wire.getresponse()
            large = answer.status, json.loads(answer.read())
        assert large == (413, {"error": ["EGeneral:Invalid arguments"]})
        assert running.end() == 0


def test_without_keys_it_is_the_simulator_s_keys_that_count(tmp_path, sim):
    environ = {name: value for name, value in os.environ.items() if not re.match("KRAKEN_|COINBASE_", name)}
    made, secret = KeyFile(tmp_path / "simulator" / "gateway").create("bot", "MASTER", Policy(), 1.0)
    with serving(environ=environ) as running, connected(running.document["url"]) as wire:
        answer, document = post(wire, (made.current.key, base64.b64decode(secret)), "AddOrder", 1, BUY)
    assert document["result"]["txid"]
    assert answer.headers["x-sealane-simulator"] == "true"
    assert not Path(tmp_path, "gateway").exists()


def test_what_is_wrong_with_the_gateway_is_in_its_health(keys, key, folder):
    (folder / "keys.json").write_bytes(b"{")
    with serving() as running:
        running.ready()
        running.until(lambda: "gateway" in json.loads(running.get("/health/kraken-nonce")[1])["checks"])
        status, text = running.get("/health/kraken-nonce")
    document = json.loads(text)
    assert (status, document["status"]) == (200, "warn")
    assert any(reason.startswith("gateway: no virtual key is answered") for reason in document["reasons"])
