"""Three clients' own parsers read every answer of the simulator, for every method that it knows.

Each case asks with the client's own method, where it has one, and says what the client must have understood. The
clients are guarded for their nonces alone: they count too coarsely for calls without a network in between.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ccxt
import krakenex
import pytest
from kraken.spot import Market, Trade, User

from sealane.plugins import guard
from sealane.simulator import Probe, Simulator
from sealane.simulator.methods import PRIVATE
from sealane.simulator.public import PUBLIC
from shapes.scene import AS_JSON, ASKED, ASKED_PUBLICLY, RESTING, Scene, another, play, unknown

SYMBOL = "BTC/USD"
LIMIT = ("limit", "buy", 0.01, 25000.1)
Case = Callable[[Any, Scene], bool]
"""Asks, and tells whether the client understood the answer."""


def rising(numbers: list[float]) -> bool:
    return len(numbers) > 0 and numbers == sorted(numbers)


# --- ccxt -------------------------------------------------------------------------------------------------------------


def ccxt_order(client: Any, _: Scene) -> bool:
    placed = client.create_order(SYMBOL, *LIMIT, {"clientOrderId": "another"})
    return (placed["symbol"], placed["side"], placed["amount"], placed["price"]) == (SYMBOL, "buy", 0.01, 25000.1)


def ccxt_batch(client: Any, _: Scene) -> bool:
    order = dict(zip(("type", "side", "amount", "price"), LIMIT, strict=True)) | {"symbol": SYMBOL}
    placed = client.create_orders([order, order])
    return len({each["id"] for each in placed} - {None}) == 2 and placed[0]["amount"] == 0.01


def ccxt_book(client: Any, _: Scene) -> bool:
    book = client.fetch_order_book(SYMBOL, 10)
    bids, asks = ([level[0] for level in book[side]] for side in ("bids", "asks"))
    return bids[0] < asks[0] and rising(asks) and rising(bids[::-1])


def ccxt_trade(client: Any, at: Scene) -> bool:
    (trade,) = client.fetch_my_trades(SYMBOL)
    return (trade["order"], trade["amount"], trade["side"]) == (at.filled, 0.01, "sell") and trade["fee"]["cost"] > 0


CCXT: dict[str, Case] = {
    "Balance": lambda client, _: float(client.privatePostBalance()["result"]["ZUSD"]) > 0,
    "BalanceEx": lambda client, _: client.fetch_balance()["USD"]["used"] > 0,
    "TradeBalance": lambda client, _: float(client.privatePostTradeBalance()["result"]["eb"]) > 0,
    "OpenOrders": lambda client, at: [order["id"] for order in client.fetch_open_orders(SYMBOL)] == [at.resting],
    "ClosedOrders": lambda client, at: (
        {order["id"]: order["status"] for order in client.fetch_closed_orders(SYMBOL)}
        == {at.cancelled: "canceled", at.filled: "closed"}
    ),
    "QueryOrders": lambda client, at: client.fetch_order(at.filled, SYMBOL)["filled"] == 0.01,
    "OrderAmends": lambda client, at: (
        len(client.privatePostOrderAmends({"order_id": at.resting})["result"]["amends"]) == 2
    ),
    "TradesHistory": ccxt_trade,
    "QueryTrades": lambda client, at: (
        [trade["id"] for trade in client.fetch_order_trades(at.filled, SYMBOL, params={"trades": [at.trade]})]
        == [at.trade]
    ),
    "OpenPositions": lambda client, _: client.fetch_positions() == [],
    "Ledgers": lambda client, _: {"BTC", "USD"} <= {entry["currency"] for entry in client.fetch_ledger()},
    "QueryLedgers": lambda client, at: client.fetch_ledger_entry(at.ledger)["id"] == at.ledger,
    "TradeVolume": lambda client, _: client.fetch_trading_fee(SYMBOL)["taker"] == 0.004,
    "GetApiKeyInfo": lambda client, _: "query-funds" in client.privatePostGetApiKeyInfo()["result"]["permissions"],
    "GetWebSocketsToken": lambda client, _: bool(client.privatePostGetWebSocketsToken()["result"]["token"]),
    "AddOrder": ccxt_order,
    "AddOrderBatch": ccxt_batch,
    "AmendOrder": lambda client, at: bool(
        client.edit_order(at.resting, SYMBOL, "limit", "buy", 0.03, 25000.2)["info"]["amend_id"]
    ),
    "EditOrder": lambda client, at: (
        client.privatePostEditOrder({"txid": another(at), "pair": "XBTUSD", "price": "25000.3"})["result"]["status"]
        == "ok"
    ),
    "CancelOrder": lambda client, at: client.cancel_order(at.resting, SYMBOL)["info"]["result"]["count"] in (1, "1"),
    "CancelOrderBatch": lambda client, at: client.cancel_orders([at.resting])[0]["info"]["result"]["count"] in (1, "1"),
    "CancelAll": lambda client, _: client.cancel_all_orders()[0]["info"]["result"]["count"] in (1, "1"),
    "CancelAllOrdersAfter": lambda client, _: bool(client.cancel_all_orders_after(60_000)["result"]["triggerTime"]),
    "Time": lambda client, _: client.fetch_time() > 1_700_000_000_000,
    "SystemStatus": lambda client, _: client.fetch_status()["status"] == "ok",
    "Assets": lambda client, _: {"BTC", "USD", "DOGE"} <= client.fetch_currencies().keys(),
    "AssetPairs": lambda client, _: {SYMBOL, "DOGE/USD"} <= {market["symbol"] for market in client.fetch_markets()},
    "Ticker": lambda client, _: client.fetch_ticker(SYMBOL)["bid"] < client.fetch_tickers([SYMBOL])[SYMBOL]["ask"],
    "Depth": ccxt_book,
    "OHLC": lambda client, _: (
        all(row[3] <= row[2] for row in client.fetch_ohlcv(SYMBOL))
        and rising([row[0] for row in client.fetch_ohlcv(SYMBOL)])
    ),
    "Trades": lambda client, _: rising([trade["timestamp"] for trade in client.fetch_trades(SYMBOL)]),
    "Spread": lambda client, _: len(client.publicGetSpread({"pair": "XBTUSD"})["result"]["XXBTZUSD"]) > 0,
}


# --- python-kraken-sdk ------------------------------------------------------------------------------------------------

SDK: dict[str, Case] = {
    "Balance": lambda sdk, _: float(sdk.user.get_account_balance()["XXBT"]) > 0,
    "BalanceEx": lambda sdk, _: sdk.user.get_balance("USD")["available_balance"] > 0,
    "TradeBalance": lambda sdk, _: float(sdk.user.get_trade_balance()["eb"]) > 0,
    "OpenOrders": lambda sdk, at: list(sdk.user.get_open_orders()["open"]) == [at.resting],
    "ClosedOrders": lambda sdk, _: sdk.user.get_closed_orders(trades=True)["count"] == 2,
    "QueryOrders": lambda sdk, at: sdk.user.get_orders_info(txid=at.filled)[at.filled]["status"] == "closed",
    "OrderAmends": lambda sdk, at: sdk.user.get_order_amends(at.resting)["count"] == 2,
    "TradesHistory": lambda sdk, at: list(sdk.user.get_trades_history()["trades"]) == [at.trade],
    "QueryTrades": lambda sdk, at: list(sdk.user.get_trades_info(at.trade)) == [at.trade],
    "OpenPositions": lambda sdk, _: not sdk.user.get_open_positions(),
    "Ledgers": lambda sdk, at: at.ledger in sdk.user.get_ledgers_info()["ledger"],
    "QueryLedgers": lambda sdk, at: list(sdk.user.get_ledgers(at.ledger)) == [at.ledger],
    "TradeVolume": lambda sdk, _: sdk.user.get_trade_volume(pair="XXBTZUSD")["fees"].keys() == {"XXBTZUSD"},
    "GetApiKeyInfo": lambda sdk, _: sdk.user.request("POST", "/0/private/GetApiKeyInfo")["nonceWindow"] == 0,
    "GetWebSocketsToken": lambda sdk, _: sdk.user.request("POST", "/0/private/GetWebSocketsToken")["expires"] == 900,
    "AddOrder": lambda sdk, _: len(sdk.trade.create_order(*LIMIT[:2], "XBTUSD", 0.01, 25000.1)["txid"]) == 1,
    "AddOrderBatch": lambda sdk, at: len(sdk.trade.create_order_batch(**ASKED["AddOrderBatch"](at))["orders"]) == 2,
    "AmendOrder": lambda sdk, at: bool(sdk.trade.amend_order(txid=at.resting, order_qty=0.03)["amend_id"]),
    "EditOrder": lambda sdk, at: sdk.trade.edit_order(another(at), "XBTUSD", price=25000.3)["status"] == "ok",
    "CancelOrder": lambda sdk, at: sdk.trade.cancel_order(txid=at.resting)["count"] == 1,
    "CancelOrderBatch": lambda sdk, at: sdk.trade.cancel_order_batch([at.resting])["count"] == 1,
    "CancelAll": lambda sdk, _: sdk.trade.cancel_all_orders()["count"] == 1,
    "CancelAllOrdersAfter": lambda sdk, _: bool(sdk.trade.cancel_all_orders_after_x(60)["triggerTime"]),
    "Time": lambda sdk, _: sdk.market.request("GET", "/0/public/Time", auth=False)["unixtime"] > 1.7e9,
    "SystemStatus": lambda sdk, _: sdk.market.get_system_status()["status"] == "online",
    "Assets": lambda sdk, _: sdk.market.get_assets(assets=["XBT", "USD"]).keys() == {"XXBT", "ZUSD"},
    "AssetPairs": lambda sdk, _: sdk.market.get_asset_pairs(pair=["BTC/USD"]).keys() == {"XXBTZUSD"},
    "Ticker": lambda sdk, _: sdk.market.get_ticker(pair="XBTUSD").keys() == {"XXBTZUSD"},
    "Depth": lambda sdk, _: len(sdk.market.get_order_book("XBTUSD", count=5)["XXBTZUSD"]["bids"]) in range(1, 6),
    "OHLC": lambda sdk, _: sdk.market.get_ohlc("XBTUSD").keys() == {"XXBTZUSD", "last"},
    "Trades": lambda sdk, _: sdk.market.get_recent_trades("XBTUSD").keys() == {"XXBTZUSD", "last"},
    "Spread": lambda sdk, _: sdk.market.get_recent_spreads("XBTUSD").keys() == {"XXBTZUSD", "last"},
}


class Sdk:
    """python-kraken-sdk's clients for one key."""

    def __init__(self, key: str, secret: str, url: str) -> None:
        self.user = guard(User(key=key, secret=secret, url=url))
        self.trade = guard(Trade(key=key, secret=secret, url=url))
        self.market = Market(url=url)


# --- krakenex: one method for all, and no parser but JSON's -----------------------------------------------------------


def by_krakenex(method: str) -> Case:
    def ask(api: Any, at: Scene) -> bool:
        if method in ASKED:
            answer = api.query_private(method, dict(ASKED[method](at)))
        else:
            answer = api.query_public(method, dict(ASKED_PUBLICLY[method]))
        return answer["error"] == [] and answer["result"] is not None

    return ask


KRAKENEX = {method: by_krakenex(method) for method in [*ASKED, *ASKED_PUBLICLY] if method not in AS_JSON}
NOT_ASKED: Mapping[str, frozenset[str]] = {"ccxt": frozenset(), "sdk": frozenset(), "krakenex": AS_JSON}
"""krakenex sends forms only, and a list of orders is JSON."""


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    monkeypatch.setenv("SEALANE_TIER", "off")
    with Simulator(seed=5) as running:
        yield running


@pytest.fixture
def scene(simulator: Simulator) -> Iterator[Scene]:
    with Probe(simulator.url, simulator.accounts[0]) as probe:
        yield play(simulator, probe)


def ccxt_of(key: str, secret: str, url: str) -> Any:
    client = ccxt.kraken({"apiKey": key, "secret": secret, "enableRateLimit": False})
    client.urls["api"]["public"] = client.urls["api"]["private"] = url
    return guard(client)


def krakenex_of(key: str, secret: str, url: str) -> Any:
    api = guard(krakenex.API(key, secret))
    api.uri = url
    return api


CLIENTS: dict[str, tuple[Callable[[str, str, str], Any], Mapping[str, Case]]] = {
    "ccxt": (ccxt_of, CCXT),
    "sdk": (Sdk, SDK),
    "krakenex": (krakenex_of, KRAKENEX),
}


def close(client: Any) -> None:
    if not isinstance(client, Sdk):
        client.session.close()


def every_case() -> Iterator[Any]:
    for name, (_, cases) in CLIENTS.items():
        for method in cases:
            yield name, method


@pytest.mark.parametrize(("name", "method"), list(every_case()))
def test_a_client_reads_the_answer(simulator: Simulator, scene: Scene, name: str, method: str) -> None:
    reason = unknown(method)
    if reason:
        pytest.skip(reason)
    make, cases = CLIENTS[name]
    account = simulator.accounts[0]
    client = make(account.api_key, account.api_secret, simulator.url)
    try:
        assert cases[method](client, scene), f"{name} read the answer of {method} as something else"
    finally:
        close(client)
    asked = {entry["method"]: entry["error"] for entry in simulator.journal()["entries"]}
    assert method in PUBLIC or asked.get(method, "not asked") is None


@pytest.mark.parametrize("name", CLIENTS)
def test_every_method_of_the_simulator_has_a_case(name: str) -> None:
    _, cases = CLIENTS[name]
    known = PRIVATE.keys() | PUBLIC.keys()
    assert sorted(known - cases.keys() - NOT_ASKED[name]) == []


def test_the_order_of_the_cases_rests() -> None:
    assert (RESTING["ordertype"], RESTING["type"], float(RESTING["price"])) == ("limit", "buy", LIMIT[3])
