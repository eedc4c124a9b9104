"""python-kraken-sdk's Spot clients: ``get_nonce`` is drawn, a ``request`` with ``auth`` is one turn.

Every one of their methods goes through ``request``, whose ``auth`` (true unless told otherwise) says that it is signed.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from sealane.plugins import awaited
from sealane.plugins.arguments import argument
from sealane.plugins.turnstile import Turnstile

CLOSES = ("close", "async_close")
"""How its versions call it; those between have both."""


def hook(client: Any, turnstile: Turnstile) -> None:
    """Put a blocking client through the turnstile."""
    request = client.request
    signature = inspect.signature(request)

    @functools.wraps(request)
    def guarded(*args: Any, **more: Any) -> Any:
        if not argument(signature, "auth", args, more):
            return request(*args, **more)
        return turnstile.run(lambda: request(*args, **more))

    _draw(client, turnstile)
    client.request = guarded


def hook_async(client: Any, turnstile: Turnstile) -> None:
    """Put an async client through the turnstile; closing it waits for calls whose callers were cancelled."""
    request = client.request
    signature = inspect.signature(request)

    @functools.wraps(request)
    async def guarded(*args: Any, **more: Any) -> Any:
        if not argument(signature, "auth", args, more):
            return await request(*args, **more)
        return await turnstile.run_async(lambda: request(*args, **more))

    _draw(client, turnstile)
    client.request = guarded
    for name in CLOSES:
        if hasattr(client, name):
            setattr(client, name, awaited.close_after_leftovers(getattr(client, name)))


def _draw(client: Any, turnstile: Turnstile) -> None:
    client.get_nonce = lambda: str(turnstile.draw())
