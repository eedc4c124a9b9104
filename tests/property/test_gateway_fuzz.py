"""The gateway under requests that nobody means well with: bytes, and Kraken's schema bent at every level.

The application is called in process, as the server library calls it, before an exchange in all of Kraken's moods. Of
every request: an answer, in Kraken's envelope, its headers whole, no 500, nothing secret in it or in the log or the
audit; and what is not signed right never reaches the exchange. Of the run: no task, descriptor or memory stays behind.

The seed is printed; ``SEALANE_SEED`` repeats a run (but for its nonces and what waits for what), ``SEALANE_SOAK=1``
asks 200,000 times.
"""

import asyncio
import base64
import faulthandler
import json
import logging
import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fuzz_exchange import Exchange
from fuzz_requests import Asked, Key, Requests

from sealane.client.forwarder import Forwarder
from sealane.core.signing import Request
from sealane.gateway.api.gateway import Gateway
from sealane.gateway.app import make_app
from sealane.gateway.keys.key_file import KeyFile
from sealane.gateway.keys.policy import Cap, Policy
from sealane.gateway.traffic import Traffic

SOAK = os.environ.get("SEALANE_SOAK") == "1"
COUNT = 200_000 if SOAK else 5_000
AT_ONCE = 64
ANSWER_LIMIT_S = 60.0
LONG_LIMIT_S = 900.0
MOODS = 0.05
ACCOUNTS = ("MASTER", "alice")
GROWTH_MAX_BYTES = 24 * 2**20
"""From the first fifth of a long run to its end: caches fill, nothing else may."""
ERROR = re.compile(r"[EW][A-Za-z]+: ?[^\r\n]+")
STATUSES = {200, 403, 413, 421}
POLICIES = {
    "plain": Policy(),
    "reader": Policy(allow=frozenset({"read"})),
    "narrow": Policy(pairs=frozenset({"XBTUSD"}), max_order=Cap(Decimal(1000)), price_band=Decimal("0.1")),
    "wide": Policy(own_orders=False, price_band=Decimal("0.5")),
    "sharing": Policy(share=Decimal("0.1"), max_order=Cap(Decimal(1), "XBT")),
    "funding": Policy(allow=frozenset({"read", "Earn/Allocate", "DepositAddresses"})),
    "paused": Policy(),
    "expired": Policy(),
}


@dataclass
class Faults:
    """What went wrong, the first of each kind with the request that showed it."""

    found: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, told: str) -> None:
        self.found.setdefault(kind, told)


@dataclass
class Seen:
    """What the application sent for one request."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    ended: int = 0

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message["body"]
            self.ended += not message.get("more_body")


class World:
    """A gateway on a folder of its own, its keys, the exchanges of its accounts, and what must never be seen."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.keys = folder / "gateway", dict[str, Key]()
        file, now_s = KeyFile(self.folder), time.time()
        for number, (name, policy) in enumerate(POLICIES.items()):
            expires_s = now_s + 0.001 if name == "expired" else None
            key, secret = file.create(name, ACCOUNTS[number % 2], policy, now_s, expires_s)
            self.keys[name] = Key(name, key.current.key, base64.b64decode(secret))
        file.pause("paused")
        self.real = {name: _real_key(rng) for name in ACCOUNTS}
        texts = [text for pair in self.real.values() for text in pair]
        virtual = [base64.b64encode(key.secret).decode() for key in self.keys.values()]
        master = (self.folder / "master.key").read_bytes()
        self.secrets = [text.encode() for text in (*texts, *virtual, master.hex(), base64.b64encode(master).decode())]
        forbidden = tuple(key.text.encode() for key in self.keys.values()) + tuple(map(str.encode, virtual))
        self.exchanges = {
            name: Exchange(random.Random(rng.random()), *pair, forbidden, MOODS) for name, pair in self.real.items()
        }

    def forwarder(self, account: str) -> Forwarder:
        api_key, secret = self.real[account]
        return Forwarder(
            api_key=api_key,
            api_secret=secret,
            account=account,
            url="http://127.0.0.1:1",
            transport=self.exchanges[account],
        )

    @property
    def received(self) -> int:
        return sum(exchange.received for exchange in self.exchanges.values())


def _real_key(rng: random.Random) -> tuple[str, str]:
    return base64.b64encode(rng.randbytes(42)).decode(), base64.b64encode(rng.randbytes(64)).decode()


class Fuzz:
    """One run: groups of requests at the same time, and what is looked at after each."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.faults = world, Faults()
        self._requests, self._rng = Requests(rng, world.keys), rng
        self.statuses: dict[int, int] = {}
        self.errors: dict[str, int] = {}
        self.accepted = 0

    async def run(self, count: int) -> None:
        """So many requests; what arrives at the exchange of those that may not pass is counted as a fault."""
        async with Gateway(
            self.world.folder,
            {name: f"lane of {name}" for name in ACCOUNTS},
            None,
            Traffic(),
            make_forwarder=self.world.forwarder,
        ) as gateway:
            app = make_app(_no_state, gateway=gateway)
            marks = []
            for start in range(0, count, AT_ONCE):
                some = [self._requests.next() for _ in range(min(AT_ONCE, count - start))]
                before = self.world.received
                await self._ask(app, [one for one in some if not one.may_pass])
                if self.world.received != before:
                    self.faults.add("sent without a right signature", some[0].told)
                await self._ask(app, [one for one in some if one.may_pass])
                marks.append((len(asyncio.all_tasks()), _descriptors(), _resident_bytes()))
        self._judge_marks(marks)

    def _judge_marks(self, marks: list[tuple[int, int, int]]) -> None:
        """Tasks and descriptors are as few as early on; memory has found its size by a fifth of a long run."""
        fifth = marks[len(marks) // 5]
        for name, at, allowed in (("tasks", 0, 2), ("descriptors", 1, 4), ("memory", 2, GROWTH_MAX_BYTES)):
            if marks[-1][at] > fifth[at] + allowed:
                self.faults.add(f"{name} grew", f"{fifth[at]} after a fifth, {marks[-1][at]} in the end")
        print(f"tasks, descriptors, memory: {fifth} after a fifth, {marks[-1]} in the end")

    async def _ask(self, app: Any, some: list[Asked]) -> None:
        await asyncio.gather(*(self._asked(app, one) for one in some))

    async def _asked(self, app: Any, one: Asked) -> None:
        pieces, seen = list(one.pieces), Seen()

        async def receive() -> dict[str, Any]:
            if one.cut is not None or not pieces:
                return {"type": "http.disconnect"}
            body = pieces.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(pieces)}

        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await app(one.scope, receive, seen.send)
        except asyncio.CancelledError:
            self.faults.add("cancelled", one.told)
            return
        except Exception as error:
            self.faults.add(f"raised {type(error).__name__}", f"{error} {one.told}")
            return
        if one.cut is None or seen.status:  # who hung up may have none
            self._judge(one, seen)

    def _judge(self, one: Asked, seen: Seen) -> None:
        self.statuses[seen.status] = self.statuses.get(seen.status, 0) + 1
        whole = seen.body + b"".join(name + value for name, value in seen.headers)
        for secret in self.world.secrets:
            if secret in whole:
                self.faults.add("a secret in an answer", one.told)
        if seen.ended != 1 or dict(seen.headers).get(b"content-length") != str(len(seen.body)).encode():
            self.faults.add("an answer that is not whole", one.told)
        if any(re.search(rb"[\r\n\0]", name + value) for name, value in seen.headers):
            self.faults.add("a header of two lines", one.told)
        if one.scope["path"].startswith("/0/"):
            self._judge_envelope(one, seen)
        elif seen.status >= 500:
            self.faults.add(f"status {seen.status}", one.told)

    def _judge_envelope(self, one: Asked, seen: Seen) -> None:
        if seen.status not in STATUSES:
            self.faults.add(f"status {seen.status}", one.told)
        try:
            document = json.loads(seen.body)
            errors = document["error"]
            is_envelope = all(ERROR.fullmatch(error) for error in errors) and set(document) <= {"error", "result"}
        except RecursionError:
            return  # the exchange's own, byte for byte, and deeper than can be read here
        except (ValueError, TypeError, KeyError):
            is_envelope, errors = False, []
        if not is_envelope or (not errors and "result" not in document):
            self.faults.add("no envelope", f"{seen.body[:200]!r} {one.told}")
        self.accepted += not errors
        for error in errors:
            self.errors[error[:60]] = self.errors.get(error[:60], 0) + 1


def _no_state() -> Any:
    raise AssertionError("nothing under /0/ asks for the state")


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0


def _resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 if statm.exists() else 0


class Listener(logging.Handler):
    """Looks through all that is logged, and keeps nothing of it."""

    def __init__(self, secrets: list[bytes], faults: Faults) -> None:
        super().__init__(logging.DEBUG)
        self._secrets, self._faults = [secret.decode() for secret in secrets], faults

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if any(secret in text for secret in self._secrets):
            self._faults.add("a secret in the log", record.getMessage()[:200])
        if record.exc_info:
            self._faults.add(f"an error in the log: {record.exc_info[1]!r}", text[-1_000:])


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hear everything of Sealane's and asyncio's, to the last detail, and hand it to nobody else."""
    loggers = [logging.getLogger(name) for name in ("sealane", "asyncio")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(listener)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False  # pytest keeps all it hears, and memory is measured
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(listener)
            logger.setLevel(level)
            logger.propagate = propagate


@pytest.fixture(autouse=True)
def longer_limit() -> Iterator[None]:
    """A long run is no hang: the limit of single tests is put off."""
    if SOAK:
        faulthandler.cancel_dump_traceback_later()
        faulthandler.dump_traceback_later(LONG_LIMIT_S, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def test_no_request_upsets_the_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = int(os.environ.get("SEALANE_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEALANE_SEED={seed}")
    for name, value in {"LANES": "per-key", "SYNC_INTENTS": "off", "VISIBILITY_LAG_S": "0"}.items():
        monkeypatch.setenv(f"SEALANE_{name}", value)
    rng = random.Random(seed)
    world = World(tmp_path, rng)
    fuzz = Fuzz(world, rng)
    begun_s = time.monotonic()
    with listening(Listener(world.secrets, fuzz.faults)), asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(
            lambda loop, context: fuzz.faults.add("a task's error was lost", str(context))
        )
        runner.run(fuzz.run(COUNT))
    print(f"{COUNT} requests in {time.monotonic() - begun_s:.1f} s; {fuzz.accepted} accepted, {world.received} sent on")
    print(f"statuses {fuzz.statuses}; errors {dict(sorted(fuzz.errors.items(), key=lambda item: -item[1])[:25])}")
    assert not fuzz.faults.found, "\n".join(f"{kind}: {told}" for kind, told in fuzz.faults.found.items())
    assert [exchange.faults for exchange in world.exchanges.values()] == [[], []]
    for path in world.folder.glob("audit*"):
        written = path.read_bytes()
        assert not [secret for secret in world.secrets if secret in written], f"a secret was written down in {path}"
    assert fuzz.accepted > COUNT // 20, "too few were good to say anything of those that were bent"
    assert world.received > COUNT // 20


# --- the judge --------------------------------------------------------------------------------------------------------

JSON = [(b"content-type", b"application/json")]


def answering(body: bytes, status: int = 200, headers: list[tuple[bytes, bytes]] = JSON, ends: int = 1) -> Any:
    """An application that answers everything so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
        for _ in range(ends):
            await send({"type": "http.response.body", "body": body})

    return app


async def hanging_up(scope: Any, receive: Any, send: Any) -> None:
    raise asyncio.CancelledError


async def failing(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("no")


@pytest.mark.parametrize(
    ("app", "fault"),
    [
        (answering(b'{"error":["EGeneral:Invalid arguments"]}', 500), "status 500"),
        (answering(b'{"error":["what"]}'), "no envelope"),
        (answering(b'{"error":[]}'), "no envelope"),
        (answering(b'{"error":[],"result":{},"more":1}'), "no envelope"),
        (answering(b"<html>"), "no envelope"),
        (answering(b'["error"]'), "no envelope"),
        (answering(b'{"error":[],"result":"SECRET"}'), "a secret in an answer"),
        (answering(b'{"error":[],"result":1}', headers=[(b"x", b"SECRET")]), "a secret in an answer"),
        (answering(b'{"error":[],"result":1}', headers=[(b"x", b"a\r\nb: c")]), "a header of two lines"),
        (answering(b'{"error":[],"result":1}', ends=2), "an answer that is not whole"),
        (answering(b"", ends=0), "an answer that is not whole"),
        (hanging_up, "cancelled"),
        (failing, "raised ValueError"),
    ],
)
def test_the_judge_sees_what_is_wrong(app: Any, fault: str, tmp_path: Path) -> None:
    fuzz = Fuzz(World(tmp_path, random.Random(1)), random.Random(1))
    real = next(iter(fuzz.world.real.values()))[1].encode()
    one = next(one for one in iter(fuzz._requests.next, None) if one.cut is None and one.scope["path"][:3] == "/0/")
    asyncio.run(fuzz._asked(_with_secret(app, real), one))
    assert fault in fuzz.faults.found


def _with_secret(app: Any, secret: bytes) -> Any:
    async def changed(scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: dict[str, Any]) -> None:
            if "headers" in message:
                headers = [(name, value.replace(b"SECRET", secret)) for name, value in message["headers"]]
                message = {**message, "headers": headers}
            else:
                message = {**message, "body": message["body"].replace(b"SECRET", secret)}
            await send(message)

        await app(scope, receive, sent)

    return changed


def test_what_grows_is_seen(tmp_path: Path) -> None:
    fuzz = Fuzz(World(tmp_path, random.Random(1)), random.Random(1))
    fuzz._judge_marks([(2, 30, 0)] * 9 + [(9, 99, 2 * GROWTH_MAX_BYTES)])
    assert set(fuzz.faults.found) == {"tasks grew", "descriptors grew", "memory grew"}


def test_a_secret_in_the_log_is_seen() -> None:
    faults = Faults()
    with listening(Listener([b"the secret"], faults)):
        logging.getLogger("sealane.gateway").debug("it is %s", "the secret")
        logging.getLogger("asyncio").error("lost", exc_info=ValueError("no"))
    assert set(faults.found) == {"a secret in the log", "an error in the log: ValueError('no')"}


def test_the_exchange_sees_what_may_not_arrive() -> None:
    exchange = Exchange(random.Random(1), "real", base64.b64encode(bytes(64)).decode(), (b"virtual",), 0.0)
    headers = ((b"API-Key", b"virtual"), (b"API-Sign", b"no"))
    for method in ("Withdraw", "NoMethod"):
        asyncio.run(exchange.send(Request("POST", f"/0/private/{method}", headers, b"nonce=0")))
    assert {fault.split()[0] for fault in exchange.faults} == {"Withdraw", "NoMethod", "it", "the", "nonce", "a"}
