"""What policies ask of the market: which pair a name means, and the price of a pair's last trade.

Both are Kraken's public answers, kept for a while. Where they cannot be had, what depends on them is not decided.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal, InvalidOperation
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

Fetch = Callable[[str], Awaitable[Reply | Failure]]


class Market:
    """Pairs and prices of one exchange."""

    def __init__(self, fetch: Fetch, clock: Clock) -> None:
        self._fetch, self._clock = fetch, clock
        self._pairs: Pairs | None = None
        self._pairs_s = 0.0
        self._prices: dict[str, tuple[Decimal, float]] = {}
        self._asking = asyncio.Lock()

    def _now_s(self) -> float:
        return self._clock.boot_ns() / NS_PER_S

    async def canonical(self) -> Callable[[str], Pair]:
        """What tells the pair of any of its names, and raises KeyError for none; raises Unavailable."""
        async with self._asking:
            if self._pairs is None or self._now_s() - self._pairs_s > PAIRS_KEPT_S:
                self._pairs, self._pairs_s = Pairs(await self._result("AssetPairs")), self._now_s()
        return self._pairs.canonical

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
            rows = await self._result(f"Ticker?pair={quote(pair.name, safe='')}")
            if len(self._prices) >= PRICES_MAX:
                self._prices.clear()
            known = self._prices[pair.name] = _last(rows, pair.name), self._now_s()
        return known[0]

    async def _result(self, target: str) -> Mapping[str, object]:
        answer = await self._fetch(PUBLIC + target)
        try:
            document = json.loads(answer.body) if isinstance(answer, Reply) and answer.status == 200 else {}
        except ValueError:
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
