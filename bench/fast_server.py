"""The other end of the benchmarks: as little of Kraken as plain Python can answer quickly, in a process of its own.

It keeps connections alive, answers every order as placed, a key's facts with its nonce window and every other private
call with one small balance, and holds each key to rising nonces as Kraken does. It checks no signature: what is
measured is the client. ``GET /counts`` tells what it saw.

As a program it prints its port, and ends when its standard input does, so that it never outlives who started it.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SECRET = "c2VhbGFuZSBiZW5jaG1hcmtzIHNpZ24gd2l0aCB0aGlzIGFuZCBub3RoaW5nIGVsc2UsIGV2ZXIuLi4uLi4uLg=="
"""What the benchmarks sign with. No exchange knows it, and this server never looks at signatures."""

_BALANCE = b'{"error":[],"result":{"ZUSD":"241983.1415","XXBT":"2.1031709100","XETH":"10.5000000000"}}'
_PLACED = (
    b'{"error":[],"result":{"descr":{"order":"buy 0.00100000 XBTUSD @ limit 1000.0"},"txid":["OUF4EM-FRGI2-MQMWZD"]}}'
)
_KEY_INFO = b'{"error":[],"result":{"apiKeyName":"bench","nonce":"1","nonceWindow":0}}'
_REFUSED = b'{"error":["EAPI:Invalid nonce"]}'
_START_LIMIT_S = 20.0


def _response(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


_ACCEPTED_BYTES, _REFUSED_BYTES = _response(_BALANCE), _response(_REFUSED)
_ACCEPTED_OTHERS = {b"AddOrder": _response(_PLACED), b"GetApiKeyInfo": _response(_KEY_INFO)}
_PATH = b"POST /0/private/"


class Exchange:
    """The highest nonce of every key, and what was answered."""

    def __init__(self) -> None:
        self.highest: dict[bytes, int] = {}
        self.accepted = 0
        self.refused = 0

    def answer(self, head: bytes, body: bytes) -> bytes:
        """One request's answer."""
        if head.startswith(b"GET /counts"):
            counts = {"accepted": self.accepted, "refused": self.refused, "keys": len(self.highest)}
            return _response(json.dumps(counts).encode())
        key, nonce = _key_of(head), int(body.partition(b"nonce=")[2].partition(b"&")[0])
        if nonce <= self.highest.get(key, 0):
            self.refused += 1
            return _REFUSED_BYTES
        self.highest[key] = nonce
        self.accepted += 1
        method = head[len(_PATH) : head.find(b" ", len(_PATH))]
        return _ACCEPTED_OTHERS.get(method, _ACCEPTED_BYTES)


def _key_of(head: bytes) -> bytes:
    """The value of ``API-Key``, whose name clients spell in their own ways."""
    at = head.lower().find(b"\r\napi-key:")
    return head[at + 10 : head.find(b"\r\n", at + 10)].strip()


def _length_of(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return 0 if at < 0 else int(head[at + 17 : head.find(b"\r\n", at + 17)])


class Connection(asyncio.Protocol):
    """One client's connection. A request can come in several pieces; none is sent before the last was answered."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        seen = self._seen + data if self._seen else data
        end = seen.find(b"\r\n\r\n")
        if end < 0:
            self._seen = seen
            return
        head = seen[: end + 2]
        if len(seen) - end - 4 < _length_of(head):
            self._seen = seen
            return
        self._seen = b""
        self._transport.write(self._exchange.answer(head, seen[end + 4 :]))


async def serve() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    exchange = Exchange()
    server = await loop.create_server(lambda: Connection(exchange), "127.0.0.1", 0, backlog=2048)
    ended = asyncio.Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=watch, daemon=True).start()
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


@dataclass(frozen=True)
class Counts:
    """What a server saw so far."""

    accepted: int
    refused: int
    keys: int


@dataclass(frozen=True)
class FastServer:
    """A running server, as its users see it."""

    port: int

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return f"http://127.0.0.1:{self.port}"

    def counts(self) -> Counts:
        """Ask for the figures."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/counts")
            return Counts(**json.loads(connection.getresponse().read()))
        finally:
            connection.close()


@contextmanager
def fast_server() -> Iterator[FastServer]:
    """A server in a process of its own, ended with the block."""
    command = [sys.executable, "-m", "bench.fast_server"]
    root = Path(__file__).parent.parent
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stop = threading.Timer(_START_LIMIT_S, process.kill)
        stop.start()
        try:
            line = process.stdout.readline()
        finally:
            stop.cancel()
        if not line.strip():
            raise RuntimeError("the benchmark server did not start")
        try:
            yield FastServer(int(line))
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(serve())
