"""A small, strict Coinbase Advanced Trade on loopback, written from its public reference; no code of the product in it.

1. Every request carries a token of its own: signed by the key (ES256 or EdDSA), kid and sub its name, iss ``cdp``, a
   nonce never seen before, valid now and for 120 s at most, and a ``uri`` that is this method, host and path.
2. A client order id is one order for ever: asked for again, the first one is returned, whatever is asked for.
3. Faults come in the order in which they were added, each for one request whose path ends as it says.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

PREFIX = "/api/v3/brokerage"
ACCOUNTS, ORDERS, LISTED, PREVIEW = "/accounts", "/orders", "/orders/historical/batch", "/orders/preview"
TOKEN_LIFE_S = 120
SKEW_S = 30
HANG_LIMIT_S = 20
KEY_NAME = "organizations/0a1b2c3d/apiKeys/9e8f7a6b-1111-2222-3333-44445555abcd"


@dataclass
class Fault:
    """What happens to one request: before it is carried out, or after (``applied``)."""

    path: str
    kind: str
    status: int = 500
    body: str = ""
    applied: bool = False


@dataclass
class Seen:
    """One request that came in with a good token, or with a bad one and the reason."""

    method: str
    path: str
    query: dict
    body: dict
    token: str
    refused: str = ""


@dataclass
class Book:
    """Accounts as (currency, available, hold), and orders by client order id."""

    accounts: list = field(default_factory=list)
    orders: dict = field(default_factory=dict)
    page: int = 2
    funds: Decimal = Decimal(1_000_000)
    hidden_looks: int = 0


def ec_key():
    """A new P-256 key pair: the private half as SEC1 PEM, as Coinbase hands it out, and the public half."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _pem(key, serialization.PrivateFormat.TraditionalOpenSSL), key.public_key()


def ed25519_key():
    """A new Ed25519 key pair: seed and public half in base64, as Coinbase hands it out, and the public half."""
    import base64

    key = ed25519.Ed25519PrivateKey.generate()
    raw = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    return base64.b64encode(raw).decode(), key.public_key()


def _pem(key, form):
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


class CoinbaseServer:
    """Start with ``with``; ``url`` is where it listens."""

    def __init__(self, public_key, *, key_name=KEY_NAME, tls=None):
        self.public_key, self.key_name = public_key, key_name
        self.book, self.seen, self.late = Book(), [], []
        self._faults, self._nonces, self._mutex = deque(), set(), threading.RLock()
        self.expects = []  # why tokens were refused, as far as a test means them to be
        self._wires, self.freed, self.connections = set(), threading.Event(), 0
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.exchange = self
        self.host = f"127.0.0.1:{self._http.server_address[1]}"
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'http' if tls is None else 'https'}://{self.host}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.freed.set()
        self._http.shutdown()
        self._thread.join()
        for wire in tuple(self._wires):
            with contextlib.suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)
        self._http.server_close()  # waits for the handlers

    # --- what a test does ------------------------------------------------------------------------------------------

    def fault(self, path, kind, *, count=1, **more):
        """``kind``: status, drop, hang, html, json, cut, drip, drip_head, echo, redirect; late: carried out later."""
        self._faults.extend(Fault(path, kind, **more) for _ in range(count))

    def carry_out_late(self):
        """Carry out the orders that were held on the way; returns their answers."""
        held, self.late = self.late, []
        return [self.create(body) for body in held]

    def calls(self, path):
        return [seen for seen in self.seen if seen.path == PREFIX + path and not seen.refused]

    # --- what a request goes through -------------------------------------------------------------------------------

    def next_fault(self, path):
        with self._mutex:
            for fault in self._faults:
                if path.endswith(fault.path):
                    self._faults.remove(fault)
                    return fault
        return None

    def check(self, method, path, host, header):
        """The reason for which the token is no good, or ``""``."""
        scheme, _, token = (header or "").partition(" ")
        if scheme != "Bearer":
            return "no bearer token"
        try:
            head = jwt.get_unverified_header(token)
            claims = self._claims(token)
        except jwt.PyJWTError as error:
            return f"{type(error).__name__}: {error}"
        with self._mutex:
            fresh = head.get("nonce") and head["nonce"] not in self._nonces
            self._nonces.add(head.get("nonce"))
        wrong = {
            "kid": head.get("kid") != self.key_name,
            "nonce": not fresh,
            "sub": claims["sub"] != self.key_name,
            "life": not 0 < claims["exp"] - claims["nbf"] <= TOKEN_LIFE_S,
            "uri": claims.get("uri") != f"{method} {host}{path}",
        }
        return ", ".join(name for name, bad in wrong.items() if bad)

    def _claims(self, token):
        algorithm = "EdDSA" if isinstance(self.public_key, ed25519.Ed25519PublicKey) else "ES256"
        must = {"require": ["exp", "nbf", "sub", "iss"]}
        return jwt.decode(token, self.public_key, algorithms=[algorithm], issuer="cdp", leeway=SKEW_S, options=must)

    def answer(self, method, path, query, body):
        """Status and document."""
        routes = {
            ("GET", ACCOUNTS): lambda: self._accounts(query),
            ("GET", LISTED): lambda: self._listed(query),
            ("POST", ORDERS): lambda: self.create(body),
            ("POST", PREVIEW): lambda: self._preview(body),
        }
        route = routes.get((method, path.removeprefix(PREFIX)))
        with self._mutex:
            return (404, {"error": "NOT_FOUND", "message": "no such path"}) if route is None else (200, route())

    def _accounts(self, query):
        rows = [
            {
                "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{number}{currency}")),
                "name": f"{currency} Wallet",
                "currency": currency,
                "available_balance": {"value": available, "currency": currency},
                "active": True,
                "hold": {"value": hold, "currency": currency},
            }
            for number, (currency, available, hold) in enumerate(self.book.accounts)
        ]
        return self._paged("accounts", rows, query)

    def _paged(self, name, rows, query):
        start = int(query.get("cursor", ["0"])[0] or 0)
        page = rows[start : start + self.book.page]
        more = start + len(page) < len(rows)
        return {name: page, "has_next": more, "cursor": str(start + len(page)) if more else "", "size": len(page)}

    def create(self, body):
        name = body["client_order_id"]
        if name not in self.book.orders:
            trouble = self._trouble(body)
            if trouble:
                return {
                    "success": False,
                    "failure_reason": "UNKNOWN_FAILURE_REASON",
                    "order_id": "",
                    "error_response": {"error": trouble, "message": f"refused: {trouble}", "error_details": ""},
                    "order_configuration": body["order_configuration"],
                }
            self.book.orders[name] = {
                "order_id": str(uuid.uuid4()),
                "client_order_id": name,
                "product_id": body["product_id"],
                "side": body["side"],
                "order_configuration": body["order_configuration"],
                "status": "OPEN",
                "created_time": datetime.now().astimezone().isoformat(),
            }
        row = self.book.orders[name]
        told = {field: row[field] for field in ("order_id", "product_id", "side", "client_order_id")}
        return {"success": True, "success_response": told, "order_configuration": row["order_configuration"]}

    def _trouble(self, body):
        if body.get("side") not in ("BUY", "SELL"):
            return "INVALID_SIDE"
        (sizes,) = body["order_configuration"].values()
        amounts = [Decimal(sizes[name]) for name in ("base_size", "quote_size") if name in sizes]
        return "INSUFFICIENT_FUND" if max(amounts) > self.book.funds else ""

    def _preview(self, body):
        trouble = self._trouble(body)
        return {"order_total": "1.00", "errs": [f"PREVIEW_{trouble}"] if trouble else [], "warning": []}

    def _listed(self, query):
        if self.book.hidden_looks > 0:
            self.book.hidden_looks -= 1
            return {"orders": [], "sequence": "0", "has_next": False, "cursor": ""}
        since = datetime.fromisoformat(query["start_date"][0]) if "start_date" in query else None
        rows = [
            row
            for row in reversed(self.book.orders.values())
            if since is None or datetime.fromisoformat(row["created_time"]) >= since
        ]
        return {**self._paged("orders", rows, query), "sequence": "0"}


class _Http(ThreadingHTTPServer):
    daemon_threads = False
    exchange: CoinbaseServer

    def handle_error(self, request, client_address):
        """A client that went away is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.exchange = self.server.exchange
        self.exchange._wires.add(self.request)
        self.exchange.connections += 1

    def finish(self):
        self.exchange._wires.discard(self.request)
        super().finish()

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._serve("GET")

    def do_POST(self):
        self._serve("POST")

    def _serve(self, method):
        parts = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body, header = json.loads(raw or b"{}"), self.headers.get("Authorization")
        refused = self.exchange.check(method, parts.path, self.headers["Host"], header)
        seen = Seen(method, parts.path, parse_qs(parts.query), body, header or "", refused)
        self.exchange.seen.append(seen)
        if refused:
            self._send(401, "Unauthorized\n", kind="text/plain")
            return
        fault = self.exchange.next_fault(parts.path)
        if fault is None or fault.applied:
            status, document = self.exchange.answer(method, parts.path, seen.query, body)
        if fault is None:
            self._send(status, json.dumps(document))
        else:
            self._fail(fault, seen)

    def _fail(self, fault, seen):
        match fault.kind:
            case "status":
                self._send(fault.status, fault.body or json.dumps({"error": "SOME", "message": "a fault"}))
            case "html":
                self._send(200, "<html>busy</html>", kind="text/html")
            case "json":
                self._send(200, fault.body)
            case "echo":
                self._send(fault.status, f"you sent {seen.token} and {self.headers}")
            case "redirect":
                self._send(fault.status, "{}", more={"Location": fault.body})
            case "cut":
                self._send(200, '{"success": true', length=1000)
                self.close_connection = True
            case "drip":
                self._send(200, "", length=10_000)
                self._drip(b" ")
            case "drip_head":
                self._drip(b"HTTP/1.1 200 OK\r\n" + b"X-Drip: 1\r\n" * 90)
            case "hang":
                self.exchange.freed.wait(HANG_LIMIT_S)
                self.close_connection = True
            case "late":
                self.exchange.late.append(seen.body)
                self.close_connection = True
            case "drop":
                self.close_connection = True
            case _:
                raise AssertionError(fault.kind)

    def _drip(self, text):
        """A byte now and then: each read is answered, the whole never is."""
        with contextlib.suppress(OSError):
            for number in range(1_000):
                self.wfile.write(text[number % len(text)].to_bytes())
                if self.exchange.freed.wait(0.02):
                    break
        self.close_connection = True

    def _send(self, status, text, *, kind="application/json", length=None, more=None):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length or len(body)))
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def self_signed(folder):
    """A TLS context whose certificate nobody has vouched for."""
    from datetime import timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.fromtimestamp(time.time()).astimezone()
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "self-signed.pem"
    chain = certificate.public_bytes(serialization.Encoding.PEM).decode()
    file.write_text(_pem(key, serialization.PrivateFormat.PKCS8) + chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
