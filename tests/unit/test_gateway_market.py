"""What policies ask of the market is asked once, however many orders wait for it."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import pytest

from sealane.core.verdict import Failure, Reply
from sealane.errors import Unavailable
from sealane.gateway.api.market import PAIRS_KEPT_S, PRICE_KEPT_S, Market
from sealane.testing.clock import FakeClock

ROW = {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD"}
ANSWERS = {
    "/0/public/AssetPairs": {"XXBTZUSD": ROW},
    "/0/public/Ticker?pair=XXBTZUSD": {"XXBTZUSD": {"c": ["100.5", "1"]}},
}


class Exchange:
    """Answers when it is let to; ``asked`` is what it was asked."""

    def __init__(self):
        self.asked, self.is_open, self.is_well = [], asyncio.Event(), True

    async def fetch(self, target):
        self.asked.append(target.partition("?")[0].rpartition("/")[2])
        await self.is_open.wait()
        if not self.is_well:
            return Failure(True, "reset")
        return Reply(200, json.dumps({"error": [], "result": ANSWERS[target]}).encode())


async def priced(market):
    return await market.last_price((await market.canonical())("XBT/USD"))


def test_twenty_orders_ask_once():
    async def run():
        exchange, clock = Exchange(), FakeClock()
        market = Market(exchange.fetch, clock)
        orders = [asyncio.create_task(priced(market)) for _ in range(20)]
        await asyncio.sleep(0)
        exchange.is_open.set()
        assert await asyncio.gather(*orders) == [Decimal("100.5")] * 20
        assert exchange.asked == ["AssetPairs", "Ticker"]
        await priced(market)
        assert len(exchange.asked) == 2
        clock.advance(PRICE_KEPT_S + 1)
        await priced(market)
        clock.advance(PAIRS_KEPT_S + 1)
        await priced(market)
        assert exchange.asked == ["AssetPairs", "Ticker", "Ticker", "AssetPairs", "Ticker"]

    asyncio.run(run())


def test_who_waits_with_others_hears_what_they_hear_and_the_next_asks_anew():
    async def run():
        exchange = Exchange()
        market = Market(exchange.fetch, FakeClock())
        orders = [asyncio.create_task(priced(market)) for _ in range(3)]
        await asyncio.sleep(0)
        exchange.is_well = False
        exchange.is_open.set()
        assert [type(end) for end in await asyncio.gather(*orders, return_exceptions=True)] == [Unavailable] * 3
        assert exchange.asked == ["AssetPairs"]
        exchange.is_well = True
        assert await priced(market) == Decimal("100.5")

    asyncio.run(run())


@pytest.mark.parametrize("is_well", [True, False])
def test_one_that_goes_away_takes_nothing_from_the_others(is_well):
    async def run():
        exchange = Exchange()
        market = Market(exchange.fetch, FakeClock())
        first, second = (asyncio.create_task(priced(market)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        exchange.is_well = is_well
        exchange.is_open.set()
        ends = await asyncio.gather(first, second, return_exceptions=True)
        assert isinstance(ends[0], asyncio.CancelledError)
        assert (ends[1] == Decimal("100.5")) is is_well

    asyncio.run(run())
