"""A transport that answers from a script: a public test double for code that is built on Sealane."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import parse_qsl

from sealane.core.signing import Request
from sealane.core.verdict import Failure, Reply

Answer = Reply | Failure | Callable[[Request], "Reply | Failure"]


def answer(result: object = None, *errors: str) -> Reply:
    """A reply in Kraken's envelope."""
    document: dict[str, object] = {"error": list(errors)}
    if result is not None:
        document["result"] = result
    return Reply(200, json.dumps(document).encode())


class ScriptedTransport:
    """Gives the answers in order, the last one for ever; keeps the requests it was sent in ``requests``."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[Request] = []

    def send(self, request: Request) -> Reply | Failure:
        """See ``port.Transport``."""
        self.requests.append(request)
        chosen = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return chosen(request) if callable(chosen) else chosen

    @property
    def nonces(self) -> list[int]:
        """The nonces of the form-encoded requests so far."""
        fields = (dict(parse_qsl(request.body.decode())) for request in self.requests)
        return [int(found["nonce"]) for found in fields if "nonce" in found]

    def close(self) -> None:
        """See ``port.Transport``."""

    def after_fork(self) -> None:
        """See ``port.Transport``."""


class AsyncScriptedTransport(ScriptedTransport):
    """The same for asyncio."""

    async def send(self, request: Request) -> Reply | Failure:  # type: ignore[override]
        """See ``port.AsyncTransport``."""
        return ScriptedTransport.send(self, request)

    async def close(self) -> None:  # type: ignore[override]
        """See ``port.AsyncTransport``."""
