"""Real clients that send in parallel on one virtual key, and in every unit that clients have: what the gateway makes of
their nonces, and that none is refused at the exchange.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import ccxt
import ccxt.async_support
import krakenex
import pytest
from gateway_bench import Bench, Bot
from kraken.spot import SpotAsyncClient, Trade, User

from sealane.gateway.api.waiting import CLASS_MAX
from sealane.gateway.keys.replay_guard import WINDOW
from sealane.simulator.accounts import SimAccount

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "25000.1"}
THREADS, CALLS, TASKS = 8, 80, 30
INVALID_NONCE = "EAPI:Invalid nonce"
UNITS = {"ms": 13, "us": 16, "1e-8 s": 18, "ns": 19}
"""How many digits a nonce of now has."""


def in_threads(ask: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda _: ask(), range(CALLS)))


def refused(gateway: Bench, bot: SimAccount) -> Counter[str]:
    """Why the gateway refused calls by itself."""
    return Counter(error for row in gateway.audit(bot.name) for error in row.get("errors", ()))


def assert_in_order(gateway: Bench, bot: SimAccount) -> None:
    tally = gateway.tally(bot.name)
    assert (tally["refused_nonce"], tally["nonces_rose"], tally["max_overlap"]) == (0, True, 1)


def ccxt_settings(gateway: Bench, bot: SimAccount) -> dict[str, Any]:
    urls = {"api": {"public": gateway.url, "private": gateway.url}}
    return {"apiKey": bot.api_key, "secret": bot.api_secret, "urls": urls, "enableRateLimit": False}


# --- threads ----------------------------------------------------------------------------------------------------------


def test_ccxt_in_threads(gateway: Bench, bot: SimAccount) -> None:
    """It counts on by itself, so its nonces are out of order and never repeated."""
    exchange = ccxt.kraken(ccxt_settings(gateway, bot))
    assert all(answer["result"] for answer in in_threads(exchange.privatePostOpenOrders))
    exchange.session.close()
    assert refused(gateway, bot) == Counter()
    assert gateway.methods(bot.name) == ["OpenOrders"] * CALLS
    assert_in_order(gateway, bot)


def test_krakenex_in_threads(gateway: Bench, bot: SimAccount) -> None:
    """Its nonce is the millisecond: two calls of one are told so by the gateway, and never get to the exchange."""
    api = krakenex.API(bot.api_key, bot.api_secret)
    api.uri = gateway.url
    errors = Counter(
        error for answer in in_threads(lambda: api.query_private("OpenOrders")) for error in answer["error"]
    )
    api.close()
    assert errors.keys() <= {INVALID_NONCE}
    assert refused(gateway, bot) == errors
    assert len(gateway.methods(bot.name)) == CALLS - errors[INVALID_NONCE]
    assert_in_order(gateway, bot)


def test_python_kraken_sdk_in_threads_with_orders(gateway: Bench, bot: SimAccount) -> None:
    keys = {"key": bot.api_key, "secret": bot.api_secret, "url": gateway.url}
    trade, names = Trade(**keys), count(1)

    def place() -> Any:
        return trade.create_order("limit", "buy", "XBTUSD", 0.01, 25000.1, cl_ord_id=f"mine-{next(names)}")

    txids = {placed["txid"][0] for placed in in_threads(place)}
    assert len(txids) == CALLS == len(User(**keys).get_open_orders()["open"])
    assert trade.cancel_all_orders()["count"] == CALLS
    assert_in_order(gateway, bot)


# --- tasks ------------------------------------------------------------------------------------------------------------


async def in_tasks(ask: Callable[[], Awaitable[Any]], tasks: int = TASKS) -> list[Any]:
    return await asyncio.gather(*(ask() for _ in range(tasks)), return_exceptions=True)


def test_ccxt_in_tasks(gateway: Bench, bot: SimAccount) -> None:
    async def work() -> list[Any]:
        async with ccxt.async_support.kraken(ccxt_settings(gateway, bot)) as client:
            return await in_tasks(client.privatePostOpenOrders)

    assert all(answer["error"] == [] for answer in asyncio.run(work()))
    assert refused(gateway, bot) == Counter()
    assert_in_order(gateway, bot)


def test_python_kraken_sdk_in_tasks_with_orders(gateway: Bench, bot: SimAccount) -> None:
    async def work() -> list[Any]:
        async with SpotAsyncClient(key=bot.api_key, secret=bot.api_secret, url=gateway.url) as client:
            return await in_tasks(lambda: client.request("POST", "/0/private/AddOrder", dict(ORDER)))

    assert len({answer["txid"][0] for answer in asyncio.run(work())}) == TASKS
    assert refused(gateway, bot) == Counter()
    assert_in_order(gateway, bot)


def test_too_many_at_once_are_told_so_in_krakens_words(gateway: Bench, bot: SimAccount) -> None:
    tasks = 3 * CLASS_MAX["read"]
    gateway.sim.add_fault("delay", delay_s=0.3, methods=["OpenOrders"], account=bot.name, count=1)

    async def work() -> list[Any]:
        async with SpotAsyncClient(key=bot.api_key, secret=bot.api_secret, url=gateway.url) as client:
            return await in_tasks(lambda: client.request("POST", "/0/private/OpenOrders"), tasks)

    answers = asyncio.run(work())
    crowded = tasks - CLASS_MAX["read"]
    told = [answer["error"][0] for answer in answers if "error" in answer]  # this client raises nothing for it
    assert len(told) == crowded == refused(gateway, bot).total()
    assert all(error.startswith("EService: Throttled: 1") for error in told)
    assert sum("open" in answer for answer in answers) == CLASS_MAX["read"]


# --- units ------------------------------------------------------------------------------------------------------------


def test_bots_of_every_unit_share_an_account(gateway: Bench) -> None:
    """Each has a virtual key; the account's one real key never hears of their units."""
    account = next(gateway.users)
    keys = {unit: gateway.key(f"unit-{digits}", account) for unit, digits in UNITS.items()}
    now = str(int(gateway.now_s() * 10**9))
    bots = [
        Bot(gateway.url, keys[unit], first_nonce=int(now[: UNITS[unit]])) for unit in [*UNITS, *reversed(UNITS)][:4]
    ]
    for bot in [*bots, *reversed(bots)]:
        assert bot.private("OpenOrders")["error"] == []
    assert gateway.methods(account) == ["OpenOrders"] * 2 * len(bots)
    assert gateway.tally(account)["refused_nonce"] == 0
    for bot in bots:
        bot.close()


@pytest.mark.parametrize("digits", [13, 19])
def test_nonces_may_be_out_of_order_within_the_window(gateway: Bench, bot: SimAccount, digits: int) -> None:
    first = 10**digits // 2
    with Bot(gateway.url, bot) as client:
        for nonce in (first + 5, first + 1, first + 3):
            assert client.private("GetApiKeyInfo", nonce=nonce)["error"] == []
        for nonce in (first + 5, first + 1):
            assert client.private("GetApiKeyInfo", nonce=nonce)["error"] == [INVALID_NONCE]
            assert "was used" in client.why
    assert gateway.tally(bot.name)["refused_nonce"] == 0


def test_two_units_on_one_virtual_key_shut_the_smaller_out_in_the_end(gateway: Bench, bot: SimAccount) -> None:
    small, large = 10**12, 10**18
    with Bot(gateway.url, bot) as client:
        assert client.private("GetApiKeyInfo", nonce=large)["error"] == []
        assert client.private("GetApiKeyInfo", nonce=small)["error"] == []
        for number in range(1, WINDOW - 1):
            assert client.private("GetApiKeyInfo", nonce=large + number)["error"] == []
        assert client.private("GetApiKeyInfo", nonce=small + 1)["error"] == []  # the place of the one small number
        assert client.private("GetApiKeyInfo", nonce=large + WINDOW)["error"] == []
        assert client.private("GetApiKeyInfo", nonce=small + 2)["error"] == [INVALID_NONCE]
    assert gateway.tally(bot.name)["refused_nonce"] == 0
