"""Three clients of the real exchange, unchanged but for their address, at work against the simulator."""

import asyncio
from collections.abc import Iterator
from typing import Any

import ccxt
import ccxt.async_support
import krakenex
import pytest
from kraken.exceptions import KrakenInsufficientFundsError, KrakenInvalidNonceError
from kraken.spot import Market, SpotAsyncClient, Trade, User

from sealane.simulator import Simulator

SYMBOL = "BTC/USD"


@pytest.fixture
def kraken() -> Iterator[Simulator]:
    with Simulator(seed=3) as simulator:
        yield simulator


def settings(kraken: Simulator) -> dict[str, Any]:
    account = kraken.accounts[0]
    return {"apiKey": account.api_key, "secret": account.api_secret, "enableRateLimit": False}


def redirect(client: Any, kraken: Simulator) -> Any:
    client.urls["api"]["public"] = client.urls["api"]["private"] = kraken.url
    return client


@pytest.fixture
def exchange(kraken: Simulator) -> Iterator[Any]:
    client = redirect(ccxt.kraken(settings(kraken)), kraken)
    yield client
    client.session.close()


def test_ccxt_reads_the_market(exchange: Any) -> None:
    assert exchange.fetch_time() > 1_700_000_000_000
    assert exchange.fetch_status()["status"] == "ok"
    markets = exchange.load_markets()
    assert {SYMBOL, "ETH/USD", "BTC/EUR", "SOL/USD", "DOGE/USD", "USDT/USD"} <= set(markets)
    assert markets[SYMBOL]["limits"]["amount"]["min"] == 0.00005
    assert (markets[SYMBOL]["precision"]["amount"], markets[SYMBOL]["precision"]["price"]) == (1e-8, 0.1)
    assert markets[SYMBOL]["active"] is True
    assert (markets[SYMBOL]["taker"], markets[SYMBOL]["maker"]) == (0.004, 0.0025)
    ticker = exchange.fetch_ticker(SYMBOL)
    assert ticker["bid"] < ticker["last"] < ticker["ask"]
    assert exchange.fetch_tickers([SYMBOL])[SYMBOL]["last"] == ticker["last"]


def test_ccxt_places_finds_and_cancels_an_order(exchange: Any) -> None:
    balance = exchange.fetch_balance()
    assert (balance["USD"]["total"], balance["BTC"]["free"]) == (100_000, 5)
    placed = exchange.create_order(SYMBOL, "limit", "buy", 0.1, 25000.1, {"clientOrderId": "mine"})
    assert (placed["symbol"], placed["side"], placed["type"]) == (SYMBOL, "buy", "limit")
    assert (placed["amount"], placed["price"]) == (0.1, 25000.1)
    (found,) = exchange.fetch_open_orders(SYMBOL)
    assert (found["id"], found["clientOrderId"], found["status"]) == (placed["id"], "mine", "open")
    assert exchange.fetch_order(placed["id"], SYMBOL)["remaining"] == 0.1
    assert exchange.fetch_balance()["USD"]["used"] > 2500
    exchange.cancel_order(placed["id"], SYMBOL)
    assert exchange.fetch_open_orders(SYMBOL) == []
    (closed,) = exchange.fetch_closed_orders(SYMBOL)
    assert (closed["id"], closed["status"]) == (placed["id"], "canceled")


def test_ccxt_reads_a_fill(exchange: Any) -> None:
    placed = exchange.create_order(SYMBOL, "market", "sell", 0.1)
    (filled,) = exchange.fetch_closed_orders(SYMBOL)
    ticker = exchange.fetch_ticker(SYMBOL)
    assert (filled["id"], filled["status"], filled["filled"]) == (placed["id"], "closed", 0.1)
    assert filled["average"] == ticker["bid"]
    assert filled["fee"]["currency"] == "USD"
    assert float(filled["fee"]["cost"]) == pytest.approx(0.1 * ticker["bid"] * 0.004)
    assert exchange.fetch_balance()["BTC"]["total"] == 4.9


def test_ccxt_trades_in_every_way(exchange: Any) -> None:
    last = exchange.fetch_ticker(SYMBOL)["last"]
    stop = exchange.create_order(SYMBOL, "market", "sell", 0.1, None, {"stopLossPrice": last - 1000})
    assert (stop["type"], stop["stopLossPrice"]) == ("market", last - 1000)
    both = exchange.create_order(SYMBOL, "limit", "sell", 0.1, last + 900, {"takeProfitPrice": last + 1000})
    assert (both["takeProfitPrice"], both["price"]) == (last + 1000, last + 900)
    trail = exchange.create_order(SYMBOL, "market", "sell", 0.1, None, {"trailingPercent": "5"})
    assert {order["id"] for order in exchange.fetch_open_orders()} == {stop["id"], both["id"], trail["id"]}
    assert exchange.fetch_order(both["id"])["takeProfitPrice"] == last + 1000
    assert exchange.cancel_all_orders_after(60_000)["result"]["triggerTime"] != "0"
    assert exchange.cancel_orders([stop["id"], both["id"]])
    exchange.cancel_all_orders()
    assert exchange.fetch_open_orders() == []
    resting = exchange.create_order(SYMBOL, "limit", "buy", 0.1, 25000.1)
    exchange.edit_order(resting["id"], SYMBOL, "limit", "buy", 0.2, 26000)
    (amended,) = exchange.fetch_open_orders()
    assert (amended["id"], amended["amount"], amended["price"]) == (resting["id"], 0.2, 26000)


def test_ccxt_places_a_batch(exchange: Any) -> None:
    wanted = [{"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.1, "price": p} for p in (25000, 26000)]
    placed = exchange.create_orders(wanted)
    assert [order["price"] for order in placed] == [25000, 26000]
    assert {order["id"] for order in exchange.fetch_open_orders()} == {order["id"] for order in placed}


def test_ccxt_reads_what_was(exchange: Any) -> None:
    placed = exchange.create_order(SYMBOL, "market", "buy", 0.1)
    (trade,) = exchange.fetch_my_trades(SYMBOL)
    assert (trade["order"], trade["side"], trade["amount"], trade["takerOrMaker"]) == (
        placed["id"],
        "buy",
        0.1,
        "taker",
    )
    assert trade["fee"]["cost"] == pytest.approx(trade["cost"] * 0.004)
    entries = exchange.fetch_ledger()
    assert {(entry["currency"], entry["direction"]) for entry in entries} == {("BTC", "in"), ("USD", "out")}
    assert {entry["referenceId"] for entry in entries} == {trade["id"]}
    assert exchange.fetch_trading_fee(SYMBOL)["taker"] == 0.004
    assert [
        row["id"] for row in exchange.fetch_order_trades(placed["id"], SYMBOL, params={"trades": [trade["id"]]})
    ] == [trade["id"]]


def test_ccxt_reads_a_market_that_moves() -> None:
    with Simulator(seed=3, volatility=0.001) as kraken:
        exchange = redirect(ccxt.kraken(settings(kraken)), kraken)
        book, candles = exchange.fetch_order_book(SYMBOL, 5), exchange.fetch_ohlcv(SYMBOL, "1m", limit=10)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert (len(book["bids"]), len(candles)) == (5, 10)
        assert len({candle[4] for candle in exchange.fetch_ohlcv(SYMBOL, "1m")}) > 100
        assert len(exchange.fetch_trades(SYMBOL)) == 1000
        exchange.session.close()


def test_ccxt_understands_refusals(exchange: Any, kraken: Simulator) -> None:
    with pytest.raises(ccxt.InsufficientFunds):
        exchange.create_order(SYMBOL, "limit", "buy", 100, 25000)
    with pytest.raises(ccxt.InvalidOrder):
        exchange.create_order(SYMBOL, "limit", "buy", 0.00001, 25000)
    with pytest.raises(ccxt.OrderNotFound):
        exchange.cancel_order("OAAAAA-AAAAA-AAAAAA")
    kraken.update_account("MASTER", permissions=[])
    with pytest.raises(ccxt.PermissionDenied):
        exchange.fetch_balance()
    kraken.update_account("MASTER", nonce=str(10**18))
    with pytest.raises(ccxt.InvalidNonce):
        exchange.fetch_balance()


def test_ccxt_with_tasks(kraken: Simulator) -> None:
    async def work() -> None:
        client = redirect(ccxt.async_support.kraken(settings(kraken)), kraken)
        try:
            await client.load_markets()
            assert (await client.fetch_balance())["USD"]["free"] == 100_000
            placed = await client.create_order(SYMBOL, "limit", "sell", 0.1, 90000)
            assert [order["id"] for order in await client.fetch_open_orders()] == [placed["id"]]
            await client.cancel_order(placed["id"])
            assert len(await client.fetch_closed_orders()) == 1
        finally:
            await client.close()

    asyncio.run(work())


def test_krakenex(kraken: Simulator) -> None:
    api = krakenex.API(kraken.accounts[0].api_key, kraken.accounts[0].api_secret)
    api.uri = kraken.url
    order = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "25000.1"}
    try:
        assert api.query_public("Ticker", {"pair": "XBTUSD"})["result"].keys() == {"XXBTZUSD"}
        assert api.query_private("Balance")["result"]["ZUSD"] == "100000.0000"
        answer = _again(lambda: api.query_private("AddOrder", dict(order)))
        (txid,) = answer["result"]["txid"]
        assert _again(lambda: api.query_private("OpenOrders"))["result"]["open"].keys() == {txid}
        assert _again(lambda: api.query_private("CancelOrder", {"txid": txid}))["result"] == {"count": 1}
    finally:
        api.close()


def _again(call: Any) -> Any:
    """Krakenex counts in milliseconds: two calls within one millisecond collide, as they do on the real exchange."""
    for _ in range(100):
        answer = call()
        if answer["error"] != ["EAPI:Invalid nonce"]:
            break
    assert answer["error"] == []
    return answer


def test_python_kraken_sdk(kraken: Simulator) -> None:
    key, secret = kraken.accounts[0].api_key, kraken.accounts[0].api_secret
    user, trade = (kind(key=key, secret=secret, url=kraken.url) for kind in (User, Trade))
    market = Market(url=kraken.url)
    assert market.get_asset_pairs(pair="XBTUSD").keys() == {"XXBTZUSD"}
    assert market.get_assets(assets="XBT").keys() == {"XXBT"}
    assert market.get_ticker(pair="XBTUSD").keys() == {"XXBTZUSD"}
    assert market.get_system_status()["status"] == "online"
    assert user.get_account_balance()["XXBT"] == "5.0000000000"
    assert user.get_balances()["ZUSD"]["hold_trade"] == "0.0000"
    assert float(user.get_trade_balance()["eb"]) > 100_000
    placed = trade.create_order("limit", "buy", "XBTUSD", 0.1, price=25000.1, cl_ord_id="mine")
    (txid,) = placed["txid"]
    assert user.get_open_orders()["open"][txid]["cl_ord_id"] == "mine"
    assert user.get_orders_info(txid=txid)[txid]["status"] == "open"
    assert trade.cancel_order(txid=txid) == {"count": 1}
    assert user.get_closed_orders()["count"] == 1
    trade.create_order("market", "buy", "XBTUSD", 0.1)
    assert len(user.get_trades_history()["trades"]) == 1
    assert user.get_ledgers_info()["count"] == 2
    assert trade.create_order_batch(
        orders=[{"ordertype": "limit", "type": "buy", "volume": 0.1, "price": p} for p in (25000, 26000)], pair="XBTUSD"
    )["orders"][0]["descr"]["order"].endswith("limit 25000.0")
    assert trade.cancel_all_orders_after_x(60)["triggerTime"] != "0"
    assert trade.cancel_all_orders() == {"count": 2}
    assert market.get_order_book(pair="XBTUSD", count=3)["XXBTZUSD"].keys() == {"asks", "bids"}
    assert len(market.get_ohlc(pair="XBTUSD", interval=5)["XXBTZUSD"]) == 720
    assert user.get_open_positions() == []
    with pytest.raises(KrakenInsufficientFundsError):
        trade.create_order("limit", "buy", "XBTUSD", 100, price=25000)
    kraken.update_account("MASTER", nonce=str(2**62))
    with pytest.raises(KrakenInvalidNonceError):
        user.get_account_balance()


def test_python_kraken_sdk_with_tasks(kraken: Simulator) -> None:
    async def work() -> None:
        account = kraken.accounts[0]
        async with SpotAsyncClient(key=account.api_key, secret=account.api_secret, url=kraken.url) as client:
            balance = await client.request("POST", "/0/private/Balance")
            assert balance["ZUSD"] == "100000.0000"
            status = await client.request("GET", "/0/public/SystemStatus", auth=False)
            assert status["status"] == "online"
            as_json = await client.request("POST", "/0/private/OpenOrders", params={"trades": True}, do_json=True)
            assert as_json == {"open": {}}

    asyncio.run(work())


def test_clients_that_share_a_key_collide(kraken: Simulator) -> None:
    """What this project exists for: a client that counts in larger units locks the others out of the key."""
    account = kraken.accounts[0]
    User(key=account.api_key, secret=account.api_secret, url=kraken.url).get_account_balance()
    api = krakenex.API(account.api_key, account.api_secret)
    api.uri = kraken.url
    assert api.query_private("Balance") == {"error": ["EAPI:Invalid nonce"]}
    api.close()
