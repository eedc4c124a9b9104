"""Bots in a process of their own, as cheap as plain Python can make them: connections that are kept, signed requests
written by hand, and of an answer only its end and its beginning looked at.

Each bot has one call under way. A bot's latencies are kept, from the first byte sent to the last received.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
import uuid
from dataclasses import dataclass
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

ANSWERED = b'{"error":[]'
CONNECT_LIMIT_S = 10.0
ORDER = "&pair=XBTUSD&type=buy&ordertype=limit&price=1000&volume=0.001&cl_ord_id="


@dataclass(frozen=True)
class Bot:
    """A key, its secret in base64, and where it calls."""

    url: str
    key: str
    secret: str


@dataclass(frozen=True)
class Shift:
    """What the bots of this process do next: which of them call which method, between two times of ``monotonic``."""

    bots: tuple[Bot, ...]
    method: str
    begins: float
    ends: float


@dataclass(frozen=True)
class Done:
    """Calls that ended within the shift and how long each took, and the answers that were not an acceptance."""

    seconds: list[float]
    wrong: list[bytes]


class Caller(asyncio.Protocol):
    """One bot's connection: asks, waits for the whole answer, and asks again until its shift ends."""

    def __init__(self, bot: Bot) -> None:
        self._bot, self._secret = bot, base64.b64decode(bot.secret)
        self._seen = b""
        self._shift: Shift | None = None
        self.over = asyncio.get_running_loop().create_future()
        self.seconds: list[float] = []
        self.wrong: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def begin(self, shift: Shift) -> None:
        """Ask for the first time."""
        self._shift, self.seconds, self.wrong = shift, [], []
        self.over = asyncio.get_running_loop().create_future()
        self._ask(shift.method)

    def _ask(self, method: str) -> None:
        nonce, path = str(time.time_ns()), f"/0/private/{method}"
        body = f"nonce={nonce}{ORDER + str(uuid.uuid4()) if method == 'AddOrder' else ''}"
        message = path.encode() + hashlib.sha256((nonce + body).encode()).digest()
        sign = base64.b64encode(hmac.digest(self._secret, message, "sha512")).decode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAPI-Key: {self._bot.key}\r\nAPI-Sign: {sign}\r\n"
        form = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
        self._asked = time.monotonic()
        self._transport.write((head + form + body).encode())

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, blank, body = self._seen.partition(b"\r\n\r\n")
        if blank and len(body) >= _length_of(head):
            self._seen = b""
            self._answered(body)

    def _answered(self, body: bytes) -> None:
        shift, now = self._shift, time.monotonic()
        assert shift is not None
        if not body.startswith(ANSWERED):
            self.wrong.append(body[:200])
        if now > shift.ends:
            self.over.set_result(None)
            return
        self.seconds.append(now - self._asked)
        self._ask(shift.method)

    @property
    def is_gone(self) -> bool:
        """Whether the other end hung up."""
        return self._transport.is_closing()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(RuntimeError("a bot of the benchmark was hung up on"))

    def close(self) -> None:
        """Hang up; nothing is awaited any more."""
        self.over.cancel()
        self._transport.close()


def _length_of(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 :].partition(b"\r\n")[0])


async def _work(orders: Connection) -> None:
    """A shift after the other; connections are kept between them for as long as the same bots call."""
    loop, callers = asyncio.get_running_loop(), dict[Bot, Caller]()
    while isinstance(shift := await loop.run_in_executor(None, _next, orders), Shift):
        for bot in shift.bots:
            if bot not in callers or callers[bot].is_gone:  # one that rested for long is hung up on
                callers[bot] = await _connected(bot)
        await asyncio.sleep(max(0.0, shift.begins - time.monotonic()))
        working = [callers[bot] for bot in shift.bots]
        for caller in working:
            caller.begin(shift)
        await asyncio.gather(*(caller.over for caller in working))
        seconds = [one for caller in working for one in caller.seconds]
        orders.send(Done(seconds, [one for caller in working for one in caller.wrong]))
    for caller in callers.values():
        caller.close()


async def _connected(bot: Bot) -> Caller:
    at = urlsplit(bot.url)
    connecting = asyncio.get_running_loop().create_connection(lambda: Caller(bot), str(at.hostname), at.port or 80)
    _, caller = await asyncio.wait_for(connecting, CONNECT_LIMIT_S)
    return caller


def _next(orders: Connection) -> object:
    """None once the parent is done, or gone."""
    try:
        return orders.recv()
    except EOFError:
        return None


def load(orders: Connection) -> None:
    """A process of bots: a Shift comes in, a Done goes out, until the pipe is closed."""
    asyncio.run(_work(orders))
