"""ccxt's kraken, plain, async and pro: nonces are drawn, a private ``fetch2`` is one turn.

ccxt's own rate limiter waits inside ``fetch2``, a second between calls by default. A turn that waits for it would keep
everybody else on the lane waiting: so the limiter is passed before the turn is taken, and not again inside it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from sealane.plugins import awaited
from sealane.plugins.arguments import arguments
from sealane.plugins.turnstile import Turnstile

_COST_OF = ("api", "method", "path", "params", "config")
_passed: ContextVar[bool] = ContextVar("sealane_limiter_passed", default=False)


def hook(client: Any, turnstile: Turnstile) -> None:
    """Put a blocking exchange through the turnstile."""
    fetch2, throttle = client.fetch2, client.throttle
    signature = inspect.signature(fetch2)

    def fetch(*args: Any, **more: Any) -> Any:
        passed = _passed.set(True)
        try:
            return fetch2(*args, **more)
        finally:
            _passed.reset(passed)

    @functools.wraps(fetch2)
    def guarded(*args: Any, **more: Any) -> Any:
        given = arguments(signature, args, more)
        if not _is_private(given):
            return fetch2(*args, **more)
        if client.enableRateLimit:
            throttle(_cost(client, given))
        return turnstile.run(lambda: fetch(*args, **more))

    client.throttle = lambda cost=None: None if _passed.get() else throttle(cost)
    client.fetch2 = guarded
    _draw(client, turnstile)


def hook_async(client: Any, turnstile: Turnstile) -> None:
    """Put an async exchange through the turnstile; its ``close`` waits for calls whose callers were cancelled."""
    fetch2, throttle = client.fetch2, client.throttle
    signature = inspect.signature(fetch2)

    async def fetch(*args: Any, **more: Any) -> Any:
        passed = _passed.set(True)
        try:
            return await fetch2(*args, **more)
        finally:
            _passed.reset(passed)

    @functools.wraps(fetch2)
    async def guarded(*args: Any, **more: Any) -> Any:
        given = arguments(signature, args, more)
        if not _is_private(given):
            return await fetch2(*args, **more)
        if client.enableRateLimit:
            await throttle(_cost(client, given))
        return await turnstile.run_async(lambda: fetch(*args, **more))

    client.throttle, client.fetch2 = _Limiter(throttle), guarded
    client.close = awaited.close_after_leftovers(client.close)
    _draw(client, turnstile)


class _Limiter:
    """An async limiter that lets pass who has passed it. Older versions keep an object there, and give it the loop."""

    def __init__(self, throttle: Any) -> None:
        self._throttle = throttle

    async def __call__(self, cost: Any = None) -> None:
        if not _passed.get():
            await self._throttle(cost)

    @property
    def loop(self) -> Any:
        return self._throttle.loop

    @loop.setter
    def loop(self, loop: Any) -> None:
        self._throttle.loop = loop


def _is_private(given: Mapping[str, Any]) -> bool:
    api = given.get("api")
    return api == "private" or (isinstance(api, (list, tuple)) and "private" in api)


def _cost(client: Any, given: Mapping[str, Any]) -> Any:
    return client.calculate_rate_limiter_cost(*(given[name] for name in _COST_OF))


def _draw(client: Any, turnstile: Turnstile) -> None:
    """Older versions sign with ``nonce``, newer ones with ``incrementing_nonce``: neither may count by itself."""
    client.nonce = turnstile.draw
    client.incrementing_nonce = turnstile.draw
