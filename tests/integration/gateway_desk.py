"""A gateway in this process, asked as a server would ask it, and programs that sign for virtual keys."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from sealane.core.signing import api_sign
from sealane.gateway.api.gateway import Gateway
from sealane.gateway.keys.key_file import KeyFile
from sealane.gateway.keys.policy import Policy
from sealane.gateway.traffic import Traffic

NOW_S = 1_700_000_000.0


@dataclass
class Told:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self):
        return json.loads(self.body)

    @property
    def errors(self):
        return self.document["error"]

    @property
    def result(self):
        assert self.errors == [], self.errors
        return self.document["result"]


async def asgi(app, verb, path, body=b"", headers=(), query=b"") -> Told:
    """One request to an application."""
    sent = []
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive():
        return next(messages)

    async def send(message):
        sent.append(message)

    raw = path if isinstance(path, bytes) else path.encode()
    scope = {
        "type": "http",
        "method": verb,
        "path": raw.decode("latin-1"),
        "raw_path": raw,
        "query_string": query,
        "scheme": "http",
        "headers": [(name.lower().encode(), value.encode()) for name, value in dict(headers).items()],
    }
    await app(scope, receive, send)
    told = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Told(sent[0]["status"], told, sent[1]["body"])


@dataclass
class Bot:
    """A program with a virtual key; its nonces count up from 1."""

    app: object
    key: str
    secret: bytes = field(repr=False)
    nonces: itertools.count = field(default_factory=lambda: itertools.count(1))

    async def ask(self, method, params=None, *, nonce=None, headers=None, as_json=False) -> Told:
        """One private call."""
        number = str(next(self.nonces) if nonce is None else nonce)
        fields = {"nonce": number, **(params or {})}
        body = (json.dumps(fields) if as_json else urlencode(fields)).encode()
        path = f"/0/private/{method}"
        signed = {"API-Key": self.key, "API-Sign": api_sign(self.secret, path, number, body), **(headers or {})}
        if as_json:
            signed["Content-Type"] = "application/json"
        return await asgi(self.app, "POST", path, body, signed)


@dataclass
class Desk:
    """The gateway, and where its keys are made."""

    gateway: Gateway
    folder: Path

    def bot(self, name="bot", account="MASTER", **policy) -> Bot:
        """A new virtual key's program."""
        made, secret = KeyFile(self.folder).create(name, account, Policy(**policy), NOW_S)
        return Bot(self.gateway, made.current.key, base64.b64decode(secret))

    def audit(self) -> list[dict]:
        """What was written down."""
        return [json.loads(line) for line in (self.folder / "audit.jsonl").read_text().splitlines()]


@contextlib.asynccontextmanager
async def gateway_desk(folder: Path, accounts=("MASTER",), **options) -> AsyncIterator[Desk]:
    """A gateway for the accounts of this process's environment."""
    lanes = dict.fromkeys(accounts, "global")
    async with Gateway(folder, lanes, None, Traffic(), **options) as gateway:
        yield Desk(gateway, folder)
