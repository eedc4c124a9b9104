"""What policies ask of the market: which pair a name means, and the price of a pair's last trade.

Both are Kraken's public answers, kept for a while, and asked for once however many wait for them. Where they cannot be
had, what depends on them is not decided.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from sealane.core.nonce import NS_PER_S
from sealane.core.signing import PUBLIC
from sealane.core.verdict import Failure, Reply
from sealane.errors import Unavailable
from sealane.gateway.keys.pairs import Pair, Pairs, compact
from sealane.runtime.clock import Clock

PAIRS_KEPT_S = 3_600.0
PRICE_KEPT_S = 5.0
"""An older price is not what an order is judged by."""
PRICES_MAX = 1_000

T = TypeVar("T")
Fetch = Callable[[str], Awaitable[Reply | Failure]]


class Market:
    """Pairs and prices of one exchange."""

    def __init__(self, fetch: Fetch, clock: Clock) -> None:
        self._fetch, self._clock = fetch, clock
        self._pairs: Pairs | None = None
        self._pairs_s = 0.0
        self._prices: dict[str, tuple[Decimal, float]] = {}
        self._asking: dict[str, asyncio.Task[Any]] = {}

    def _now_s(self) -> float:
        return self._clock.boot_ns() / NS_PER_S

    async def canonical(self) -> Callable[[str], Pair]:
        """What tells the pair of any of its names, and raises KeyError for none; raises Unavailable."""
        known = self._pairs
        if known is None or self._now_s() - self._pairs_s > PAIRS_KEPT_S:
            known = await self._once("", self._ask_pairs)
        return known.canonical

    async def _ask_pairs(self) -> Pairs:
        found = Pairs(await self._result("AssetPairs"))
        self._pairs, self._pairs_s = found, self._now_s()
        return found

    def pair_name(self, spelling: str) -> str:
        """One name of a pair's spellings: Kraken's where the pairs were asked for already; asks nobody."""
        try:
            return self._pairs.canonical(spelling).name if self._pairs else compact(spelling)
        except KeyError:
            return compact(spelling)

    async def last_price(self, pair: Pair) -> Decimal:
        """The price of the last trade; raises Unavailable."""
        known = self._prices.get(pair.name)
        if known is None or self._now_s() - known[1] > PRICE_KEPT_S:
            return await self._once(pair.name, partial(self._ask_price, pair.name))
        return known[0]

    async def _ask_price(self, name: str) -> Decimal:
        rows = await self._result(f"Ticker?pair={quote(name, safe='')}")
        if len(self._prices) >= PRICES_MAX:
            self._prices.clear()
        price = _last(rows, name)
        self._prices[name] = price, self._now_s()
        return price

    async def _once(self, what: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Ask, or wait for whoever asks already, and share what comes of it: Kraken takes one public call a second."""
        asking: asyncio.Task[T] | None = self._asking.get(what)
        if asking is None:
            asking = self._asking[what] = asyncio.create_task(ask(), name="sealane-market")
            asking.add_done_callback(partial(self._over, what))
        return await asyncio.shield(asking)

    def _over(self, what: str, asking: asyncio.Task[Any]) -> None:
        del self._asking[what]
        if not asking.cancelled():
            asking.exception()  # it was told to whoever waited; where nobody does any more, it is no news

    async def _result(self, target: str) -> Mapping[str, object]:
        answer = await self._fetch(PUBLIC + target)
        try:
            document = json.loads(answer.body) if isinstance(answer, Reply) and answer.status == 200 else {}
        except (ValueError, RecursionError):
            document = {}
        rows = document.get("result") if isinstance(document, dict) else None
        if not isinstance(rows, dict):
            raise Unavailable(f"{target.partition('?')[0]} had no usable answer, and without it this cannot be judged")
        return rows


def _last(rows: Mapping[str, object], name: str) -> Decimal:
    row = next(iter(rows.values()), None)
    last = row.get("c") if isinstance(row, Mapping) else None
    try:
        price = Decimal(str(last[0])) if isinstance(last, list) and last else Decimal("NaN")
    except InvalidOperation:
        price = Decimal("NaN")
    if not (price.is_finite() and price > 0):
        raise Unavailable(f"Ticker told no price of {name}")
    return price
