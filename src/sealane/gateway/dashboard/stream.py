"""``/events``: server-sent events, the whole anew every ``EVERY_S``, for as long as somebody listens.

1. There are so many streams at once; one more is answered with 503. All of one form share what is made for them, on a
   thread: the event loop has calls to pass through.
2. What is sent is awaited, so nothing piles up for anybody; who takes nothing is hung up on (``wire.py``).
3. A stream ends at once when the service does. Its scope says that it has no end of its own (``ENDLESS``), and the
   connection ends it then.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from sealane.core.nonce import NS_PER_S
from sealane.gateway.statistics_form import Document
from sealane.gateway.wire import ENDLESS
from sealane.runtime.clock import Clock

EVERY_S = 2.0
SHARED_S = 1.0
"""What was made for one stream serves another for so long."""
STREAMS_MAX = 16
RETRY_MS = 2_000
"""When a browser asks again after an end."""
HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]

Take = Callable[[], Document]
"""Takes the document of now; on the event loop."""
Make = Callable[[Document], object]
"""What an event carries, made of a document; on a thread."""


@dataclass
class _Made:
    at_ns: int
    event: asyncio.Task[bytes]


class EventStream:
    """The endpoint. ``forms`` makes what is sent by its name, as in ``/events?as=page``; the first is the default."""

    def __init__(self, take: Take, forms: dict[str, Make], clock: Clock) -> None:
        self._take, self._forms, self._clock = take, forms, clock
        self._made: dict[str, _Made] = {}
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One listener, to the end."""
        form = self._form(scope["query_string"])
        refusal = self._refusal(form)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        self.open += 1
        try:
            await self._stream(form or "", scope, receive, send)
        finally:
            self.open -= 1

    def _form(self, query: bytes) -> str | None:
        """Which one is asked for, None for one that there is not."""
        asked = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        if not asked:
            return next(iter(self._forms))
        name, value = asked[0]
        return value if len(asked) == 1 and name == "as" and value in self._forms else None

    def _refusal(self, form: str | None) -> PlainTextResponse | None:
        if form is None:
            return PlainTextResponse(f"there are: {', '.join(f'?as={name}' for name in self._forms)}\n", 404)
        if self.open >= STREAMS_MAX:
            return PlainTextResponse(f"{STREAMS_MAX} streams are open, and no more are taken\n", 503)
        return None

    async def _stream(self, form: str, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        scope[ENDLESS] = True
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await self._go_on(form, gone, send)
        finally:
            gone.cancel()

    async def _go_on(self, form: str, gone: asyncio.Future[None], send: Send) -> None:
        first = f"retry: {RETRY_MS}\n\n".encode()
        while not gone.done():
            body = first + await self._event(form)
            await send({"type": "http.response.body", "body": body, "more_body": True})
            first = b""
            await asyncio.wait((gone,), timeout=EVERY_S)

    async def _event(self, form: str) -> bytes:
        now_ns, made = self._clock.boot_ns(), self._made.get(form)
        if made is None or now_ns - made.at_ns >= SHARED_S * NS_PER_S:
            work = asyncio.to_thread(_encoded, form, self._forms[form], self._take())
            made = self._made[form] = _Made(now_ns, asyncio.ensure_future(work))
        return await asyncio.shield(made.event)  # others wait for it too


def _encoded(form: str, make: Make, document: Document) -> bytes:
    text = json.dumps(make(document), separators=(",", ":"))
    return f"event: {form}\ndata: {text}\n\n".encode()


async def _gone(receive: Receive) -> None:
    """Until the listener is."""
    message: Message = {"type": ""}
    while message["type"] != "http.disconnect":
        message = await receive()
