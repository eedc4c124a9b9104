"""Odd requests that a fuzz of the gateway found: each has an answer of its own."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from sealane.client.forwarder import Forwarder
from sealane.client.forwarding import Asked, prepared
from sealane.core.signing import Request, api_sign
from sealane.errors import SettingsError
from sealane.gateway.api.envelope import refusal
from sealane.gateway.api.gateway import Gateway
from sealane.gateway.keys.key_file import KeyFile
from sealane.gateway.keys.policy import Policy
from sealane.gateway.traffic import Traffic
from sealane.transport.scripted import AsyncScriptedTransport, answer

SECRET = "c2VhbGFuZSBzaWducyB0aGUgcmVxdWVzdHMgb2YgdGhpcyB0ZXN0IHdpdGggdGhpcywgYW5kIG5vdGhpbmcgZWxzZQ=="
BUY = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "1", "volume": "1"}


@pytest.mark.parametrize("deadline", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "soon"])
def test_a_deadline_that_no_clock_shows_is_refused(deadline: str) -> None:
    with pytest.raises(SettingsError, match="deadline"):
        prepared(Asked("AddOrder", BUY | {"deadline": deadline}, "bot"))


def test_why_stands_on_one_line_whatever_the_exchange_said() -> None:
    told = refusal("EService:Unavailable", detail="reset\r\nSet-Cookie: a=b\x00\x7f é" + "x" * 300)
    why = told.headers["x-sealane-why"]
    assert why.startswith("reset Set-Cookie: a=b??") and why.isascii() and why.isprintable() and len(why) == 200


@pytest.mark.parametrize("orders", [[None], [["a"]], [{}], "text", {}, 7])
def test_an_order_with_orders_beside_it_is_answered(orders: object, tmp_path: Path) -> None:
    exchange = AsyncScriptedTransport(answer({"descr": {"order": "an order"}, "txid": ["OAAAAA-AAAAA-AAAAAA"]}))
    key, secret = KeyFile(tmp_path).create("bot", "MASTER", Policy(), 1.0)
    status, told = asyncio.run(asked(tmp_path, exchange, key.current.key, base64.b64decode(secret), orders))
    assert (status, told["error"]) == (200, [])


class Silence(AsyncScriptedTransport):
    """An exchange that never answers."""

    def __init__(self) -> None:
        super().__init__(answer())
        self.asked = asyncio.Event()

    async def send(self, request: Request) -> Any:
        self.asked.set()
        await asyncio.Event().wait()

    async def close(self) -> None:
        await asyncio.Event().wait()


def test_a_service_that_ends_first_says_that_a_call_is_in_doubt_and_waits_no_longer_than_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sealane.gateway.api.gateway.END_S", 0.01)
    key, secret = KeyFile(tmp_path).create("bot", "MASTER", Policy(), 1.0)
    exchange = Silence()

    async def run() -> Any:
        call = asyncio.ensure_future(asked(tmp_path, exchange, key.current.key, base64.b64decode(secret), None))
        await exchange.asked.wait()
        call.cancel()
        async with asyncio.timeout(10):
            return await call

    assert asyncio.run(run()) == (200, {"error": ["EService:Deadline elapsed"]})
    assert "calls were still under way" in caplog.text


async def asked(folder: Path, exchange: AsyncScriptedTransport, key: str, secret: bytes, orders: object) -> Any:
    path, body = "/0/private/AddOrder", json.dumps({"nonce": "1", **BUY, "orders": orders}).encode()
    sign = api_sign(secret, path, "1", body).encode()
    headers = [(b"api-key", key.encode()), (b"api-sign", sign), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    def forwarder(account: str) -> Forwarder:
        return Forwarder(api_key="key", api_secret=SECRET, url="http://127.0.0.1:1", transport=exchange)

    async with Gateway(folder, {"MASTER": "lane"}, None, Traffic(), make_forwarder=forwarder) as gateway:
        await gateway(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])
