"""Private calls a second: one key, one thread, every client for itself against the same fast server on loopback."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import time
import urllib.parse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench.fast_server import SECRET, FastServer, fast_server
from bench.report import Figure, Result
from bench.rounds import in_turns, per_second

TITLE = "private calls a second (Balance), one key, one thread, a fast server on loopback"
ROUNDS = 11
ROUND_S = 0.3
BATCH = 20

Call = Callable[[], Any]
"""One private call; returns what the client returns."""


def sealane_call(server: FastServer, folder: Path) -> Call:
    from sealane import Kraken

    kraken = Kraken(api_key="bench-key-of-sealane", api_secret=SECRET, url=server.url, store=folder)
    return lambda: kraken.private("Balance")


def ccxt_call(server: FastServer) -> Call:
    """The leanest of ccxt's calls: the raw reply, without its parsing of balances or its rate limiter."""
    import ccxt

    exchange = ccxt.kraken({"apiKey": "bench-key-of-ccxt", "secret": SECRET, "enableRateLimit": False})
    exchange.urls["api"]["private"] = server.url
    call: Call = exchange.private_post_balance
    return call


def krakenex_call(server: FastServer) -> Call:
    import krakenex

    api = krakenex.API("bench-key-of-krakenex", SECRET)
    api.uri = server.url
    return lambda: api.query_private("Balance")


def python_kraken_sdk_call(server: FastServer) -> Call:
    from kraken.base_api import SpotClient

    client = SpotClient("bench-key-of-python-kraken-sdk", SECRET, server.url)
    return lambda: client.request("POST", "/0/private/Balance")


def http_client_call(server: FastServer) -> Call:
    """No client at all: the standard library's connection, kept, and a signature made by hand. No lane, no store."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    path, secret = "/0/private/Balance", base64.b64decode(SECRET)

    def call() -> Any:
        nonce = str(time.time_ns())
        body = urllib.parse.urlencode({"nonce": nonce})
        message = path.encode() + hashlib.sha256((nonce + body).encode()).digest()
        sign = base64.b64encode(hmac.digest(secret, message, "sha512")).decode()
        headers = {
            "API-Key": "bench-key-of-http-client",
            "API-Sign": sign,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection.request("POST", path, body, headers)
        return json.loads(connection.getresponse().read())

    return call


def run(folder: Path) -> Result:
    """See the head of this file."""
    with fast_server() as server:
        calls = {
            "sealane": sealane_call(server, folder),
            "ccxt": ccxt_call(server),
            "krakenex": krakenex_call(server),
            "python-kraken-sdk": python_kraken_sdk_call(server),
            "http.client": http_client_call(server),
        }
        refused = {name: _refused_at_first(name, call, server) for name, call in calls.items()}

        def rate(name: str) -> float:
            before = server.counts().refused
            measured = per_second(_batch_of(calls[name]), BATCH, ROUND_S)
            refused[name] += server.counts().refused - before
            return measured

        rates = in_turns({name: partial(rate, name) for name in calls}, ROUNDS)
    figures = [rates.figure(name, name, "calls/s") for name in calls]
    figures.append(rates.ratio("sealane : ccxt", "sealane", "ccxt", at_least=1.5))
    figures += [rates.ratio(f"sealane : {name}", "sealane", name) for name in list(calls)[2:]]
    figures.append(Figure("nonces refused of sealane's", refused["sealane"], "", at_most=0))
    return Result("private_calls", TITLE, tuple(figures), _notes(refused))


def _refused_at_first(name: str, call: Call, server: FastServer) -> int:
    """The first call opens the connection, off the clock, and shows that the client reaches this server."""
    before = server.counts()
    call()
    after = server.counts()
    if after.accepted != before.accepted + 1:
        raise RuntimeError(f"{name} did not reach the benchmark server")
    return after.refused - before.refused


def _batch_of(call: Call) -> Callable[[int], None]:
    def batch(count: int) -> None:
        for _ in range(count):
            call()

    return batch


def _notes(refused: dict[str, int]) -> tuple[str, ...]:
    others = [f"{name} {count}" for name, count in refused.items() if count and name != "sealane"]
    told = ", ".join(others)
    return (f"nonces refused, counted as calls all the same: {told}",) if others else ()
