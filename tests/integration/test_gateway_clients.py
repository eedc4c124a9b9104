"""Real clients, unmodified but for address and key, through a running ``sealane serve``.

Each does a day's work: it reads, places, sees, changes and cancels, and meets an error of Kraken's and one of the
gateway's as an error of its own. The exchange's journal says what came of it.
"""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import ccxt
import ccxt.async_support
import krakenex
import pytest
from gateway_bench import Bench
from kraken.exceptions import (
    KrakenInsufficientFundsError,
    KrakenInvalidNonceError,
    KrakenPermissionDeniedError,
    KrakenUnknownOrderError,
)
from kraken.spot import Market, SpotAsyncClient, SpotClient, Trade, User

from sealane.simulator.accounts import SimAccount

SYMBOL = "BTC/USD"
LIMIT = ("limit", "buy", 0.01, 25000.1)
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "25000.1"}
TOO_MUCH = 100


def ccxt_settings(gateway: Bench, bot: SimAccount) -> dict[str, Any]:
    """The lines that are changed: the address, and the keys."""
    return {
        "apiKey": bot.api_key,
        "secret": bot.api_secret,
        "urls": {"api": {"public": gateway.url, "private": gateway.url}},
        "enableRateLimit": False,  # for a test's speed alone
    }


@pytest.fixture
def exchange(gateway: Bench, bot: SimAccount) -> Iterator[Any]:
    client = ccxt.kraken(ccxt_settings(gateway, bot))
    yield client
    client.session.close()


@pytest.fixture
def api(gateway: Bench, bot: SimAccount) -> Iterator[Any]:
    client = krakenex.API(bot.api_key, bot.api_secret)
    client.uri = gateway.url
    yield client
    client.close()


# --- ccxt -------------------------------------------------------------------------------------------------------------


def test_ccxt(gateway: Bench, bot: SimAccount, exchange: Any) -> None:
    assert exchange.fetch_ticker(SYMBOL)["last"] > 0
    assert exchange.fetch_balance()["BTC"]["free"] == 5
    placed = exchange.create_order(SYMBOL, *LIMIT, {"clientOrderId": "mine-1"})
    (seen,) = exchange.fetch_open_orders(SYMBOL)
    assert (seen["id"], seen["clientOrderId"], seen["price"]) == (placed["id"], "mine-1", 25000.1)
    assert placed["side"] == "buy"
    assert exchange.fetch_order(placed["id"], SYMBOL)["status"] == "open"
    assert exchange.edit_order(placed["id"], SYMBOL, "limit", "buy", 0.02, 25000.2)["id"]
    exchange.cancel_order("", SYMBOL, {"clientOrderId": "mine-1"})
    assert exchange.fetch_open_orders(SYMBOL) == []
    sold = exchange.create_order(SYMBOL, "market", "sell", 0.01)
    assert [trade["order"] for trade in exchange.fetch_my_trades(SYMBOL)] == [sold["id"]]
    assert gateway.methods(bot.name).count("AddOrder") == 2


def test_ccxt_batches_and_prices_in_percent(exchange: Any) -> None:
    """These go as JSON, with a nonce that is a text."""
    order = {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.01}
    placed = exchange.create_orders([{**order, "price": price} for price in (25000.1, 25000.2)])
    trailing = exchange.create_order(SYMBOL, "market", "sell", 0.01, None, {"trailingPercent": "5"})
    ids = [each["id"] for each in [*placed, trailing]]
    assert {each["id"] for each in exchange.fetch_open_orders(SYMBOL)} == set(ids)
    assert exchange.cancel_orders(ids[:1])[0]["info"]["result"]["count"] in (1, "1")
    assert exchange.cancel_all_orders()[0]["info"]["result"]["count"] in (2, "2")
    assert exchange.fetch_open_orders(SYMBOL) == []


def test_ccxt_meets_errors_as_its_own(gateway: Bench, bot: SimAccount, exchange: Any) -> None:
    with pytest.raises(ccxt.InsufficientFunds):
        exchange.create_order(SYMBOL, "limit", "buy", TOO_MUCH, 25000)
    with pytest.raises(ccxt.OrderNotFound):
        exchange.cancel_order("OAAAAA-AAAAA-AAAAAA", SYMBOL)
    with pytest.raises(ccxt.PermissionDenied):
        exchange.withdraw("BTC", 0.1, "bc1qsomewhere", {"key": "mine"})
    exchange.options["lastNonce"] = 0
    exchange.nonce = lambda: 7
    exchange.privatePostBalance()
    exchange.options["lastNonce"] = 0
    with pytest.raises(ccxt.InvalidNonce):
        exchange.privatePostBalance()
    assert gateway.methods(bot.name) == ["AddOrder", "QueryOrders"]


def test_ccxt_async(gateway: Bench, bot: SimAccount) -> None:
    async def work() -> None:
        async with ccxt.async_support.kraken(ccxt_settings(gateway, bot)) as client:
            assert (await client.fetch_balance())["BTC"]["free"] == 5
            placed = await client.create_order(SYMBOL, *LIMIT, {"clientOrderId": "mine-2"})
            assert [seen["id"] for seen in await client.fetch_open_orders(SYMBOL)] == [placed["id"]]
            await client.cancel_order(placed["id"], SYMBOL)
            batch = [{"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.01, "price": 25000}] * 2
            assert len(await client.create_orders(batch)) == 2
            assert (await client.cancel_all_orders())[0]["info"]["result"]["count"] in (2, "2")
            assert await client.fetch_open_orders(SYMBOL) == []
            with pytest.raises(ccxt.InsufficientFunds):
                await client.create_order(SYMBOL, "limit", "buy", TOO_MUCH, 25000)
            with pytest.raises(ccxt.PermissionDenied):
                await client.privatePostGetWebSocketsToken()

    asyncio.run(work())
    assert "GetWebSocketsToken" not in gateway.methods(bot.name)


# --- krakenex ---------------------------------------------------------------------------------------------------------


def test_krakenex(gateway: Bench, bot: SimAccount, api: Any) -> None:
    assert api.query_public("Ticker", {"pair": "XBTUSD"})["result"].keys() == {"XXBTZUSD"}
    assert api.query_private("Balance")["result"]["XXBT"] == "5.0000000000"
    placed = api.query_private("AddOrder", dict(ORDER))["result"]
    (txid,) = placed["txid"]
    assert placed["descr"]["order"] == "buy 0.01000000 XBTUSD @ limit 25000.1"
    assert list(api.query_private("OpenOrders")["result"]["open"]) == [txid]
    assert api.query_private("CancelOrder", {"txid": txid})["result"]["count"] == 1
    assert api.query_private("CancelAll")["result"]["count"] == 0
    assert api.query_private("AddOrder", {**ORDER, "volume": "100"}) == {"error": ["EOrder:Insufficient funds"]}
    assert api.query_private("Withdraw", {"asset": "XBT"}) == {"error": ["EGeneral:Permission denied"]}
    assert "Withdraw" not in gateway.methods(bot.name)


# --- python-kraken-sdk ------------------------------------------------------------------------------------------------


def test_python_kraken_sdk(gateway: Bench, bot: SimAccount) -> None:
    keys = {"key": bot.api_key, "secret": bot.api_secret, "url": gateway.url}
    user, trade, market = User(**keys), Trade(**keys), Market(url=gateway.url)
    assert market.get_system_status()["status"] == "online"
    assert user.get_account_balance()["XXBT"] == "5.0000000000"
    (txid,) = trade.create_order(*LIMIT[:2], "XBTUSD", 0.01, 25000.1, userref=7)["txid"]
    assert list(user.get_open_orders(userref=7)["open"]) == [txid]
    assert trade.amend_order(txid=txid, order_qty=0.02)["amend_id"]
    assert trade.cancel_order(txid=txid)["count"] == 1
    orders = [{**ORDER, "price": "25000"}, dict(ORDER)]
    placed = trade.create_order_batch(orders=[_without_pair(order) for order in orders], pair="XBTUSD")["orders"]
    assert trade.cancel_order_batch([each["txid"] for each in placed])["count"] == 2
    with pytest.raises(KrakenInsufficientFundsError):
        trade.create_order(*LIMIT[:2], "XBTUSD", TOO_MUCH, 25000.1)
    with pytest.raises(KrakenUnknownOrderError):
        trade.cancel_order(txid="OAAAAA-AAAAA-AAAAAA")
    with pytest.raises(KrakenPermissionDeniedError):
        user.request("POST", "/0/private/GetWebSocketsToken")
    user.get_nonce = trade.get_nonce = lambda: "7"
    user.get_account_balance()
    with pytest.raises(KrakenInvalidNonceError):
        trade.cancel_all_orders()
    assert "CancelAll" not in gateway.methods(bot.name)


def test_python_kraken_sdk_async(gateway: Bench, bot: SimAccount) -> None:
    async def work() -> None:
        async with SpotAsyncClient(key=bot.api_key, secret=bot.api_secret, url=gateway.url) as client:
            assert (await client.request("POST", "/0/private/Balance"))["XXBT"] == "5.0000000000"
            (txid,) = (await client.request("POST", "/0/private/AddOrder", dict(ORDER)))["txid"]
            assert list((await client.request("POST", "/0/private/OpenOrders"))["open"]) == [txid]
            assert (await client.request("POST", "/0/private/CancelOrder", {"txid": txid}))["count"] == 1
            with pytest.raises(KrakenInsufficientFundsError):
                await client.request("POST", "/0/private/AddOrder", {**ORDER, "volume": "100"})
            with pytest.raises(KrakenPermissionDeniedError):
                await client.request("POST", "/0/private/WalletTransfer", {"asset": "XBT"})

    asyncio.run(work())
    assert "WalletTransfer" not in gateway.methods(bot.name)


def _without_pair(order: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in order.items() if name != "pair"}


# --- what answers look like -------------------------------------------------------------------------------------------


def test_virtual_keys_have_the_form_of_krakens(bot: SimAccount) -> None:
    assert re.fullmatch(r"SEALANE[A-Za-z0-9]{49}", bot.api_key)
    assert re.fullmatch(r"SEALANE/[A-Za-z0-9+/]{78}==", bot.api_secret)


def test_a_client_whose_key_is_wrong_hears_it_as_of_kraken(gateway: Bench, bot: SimAccount) -> None:
    with pytest.raises(Exception, match="EAPI:Invalid signature"):
        SpotClient(key=bot.api_key, secret=gateway.fresh().api_secret, url=gateway.url).request(
            "POST", "/0/private/Balance"
        )
    exchange = ccxt.kraken({**ccxt_settings(gateway, bot), "apiKey": "SEALANE" + 49 * "x"})
    with pytest.raises(ccxt.AuthenticationError):
        exchange.fetch_balance()
    exchange.session.close()
