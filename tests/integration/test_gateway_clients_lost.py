"""Orders whose answer is lost or late, as real clients see them through the gateway: placed once, and told."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ccxt
import krakenex
import pytest
import requests
from gateway_bench import Bench, Bot, OnThread
from kraken.spot import Trade, User

from sealane.gateway import server
from sealane.simulator import Simulator
from sealane.simulator.accounts import SimAccount

SYMBOL = "BTC/USD"
LIMIT = ("limit", "buy", 0.01, 25000.1)
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "25000.1"}
LATE_S, IMPATIENT_MS = 0.4, 150
IDLE_S = 0.02


def ccxt_settings(gateway: Bench, bot: SimAccount) -> dict[str, Any]:
    urls = {"api": {"public": gateway.url, "private": gateway.url}}
    return {"apiKey": bot.api_key, "secret": bot.api_secret, "urls": urls, "enableRateLimit": False}


@pytest.fixture
def exchange(gateway: Bench, bot: SimAccount) -> Iterator[Any]:
    client = ccxt.kraken(ccxt_settings(gateway, bot))
    client.load_markets()
    yield client
    client.session.close()


def open_orders(gateway: Bench, bot: SimAccount) -> list[str]:
    with Bot(gateway.url, bot, first_nonce=int(gateway.now_s() * 10**9)) as client:
        return list(client.private("OpenOrders")["result"]["open"])


def fault(gateway: Bench, bot: SimAccount, kind: str, *methods: str, **fields: Any) -> None:
    gateway.excused.add(bot.name)  # the gateway's own replay is refused where the order had arrived
    gateway.sim.add_fault(kind, methods=list(methods), account=bot.name, **fields)


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "http_after", "half", "html"])
def test_a_lost_answer_is_none_to_the_client(gateway: Bench, bot: SimAccount, exchange: Any, kind: str) -> None:
    """The connection is held while the gateway finds out; ccxt places nothing twice and learns the order's id."""
    exchange.options["maxRetriesOnFailure"] = 3
    fault(gateway, bot, kind, "AddOrder", **({"applied": True} if kind == "html" else {}))
    placed = exchange.create_order(SYMBOL, *LIMIT)
    assert (placed["side"], placed["amount"], placed["price"]) == ("buy", 0.01, 25000.1)
    assert open_orders(gateway, bot) == [placed["id"]]


def test_an_order_found_by_a_look_is_read_by_ccxt_too(gateway: Bench, bot: SimAccount, exchange: Any) -> None:
    """A replay that is lost as well leaves the look: the answer is then the gateway's, in Kraken's form."""
    fault(gateway, bot, "drop_after", "AddOrder", count=3)
    placed = exchange.create_order(SYMBOL, *LIMIT, {"clientOrderId": "looked-for"})
    assert (placed["side"], placed["amount"], placed["price"]) == ("buy", 0.01, 25000.1)
    assert open_orders(gateway, bot) == [placed["id"]]


def test_an_impatient_client_asks_again_under_its_id(gateway: Bench, bot: SimAccount, exchange: Any) -> None:
    """The order goes on without its client; asked for again with the same clientOrderId it is the same one."""
    exchange.timeout = IMPATIENT_MS
    fault(gateway, bot, "delay", "AddOrder", delay_s=LATE_S)
    with pytest.raises(ccxt.RequestTimeout):
        exchange.create_order(SYMBOL, *LIMIT, {"clientOrderId": "mine-1"})
    exchange.timeout = 10_000
    placed = exchange.create_order(SYMBOL, *LIMIT, {"clientOrderId": "mine-1"})
    assert open_orders(gateway, bot) == [placed["id"]]
    assert gateway.methods(bot.name).count("AddOrder") == 1


def test_ccxt_s_own_retries_place_once_with_an_id(gateway: Bench, bot: SimAccount, exchange: Any) -> None:
    exchange.timeout = IMPATIENT_MS
    exchange.options["maxRetriesOnFailure"] = 5
    fault(gateway, bot, "delay", "AddOrder", delay_s=LATE_S)
    placed = exchange.create_order(SYMBOL, *LIMIT, {"clientOrderId": "mine-1"})
    assert open_orders(gateway, bot) == [placed["id"]]


def test_ccxt_s_own_retries_place_twice_without_one(gateway: Bench, bot: SimAccount, exchange: Any) -> None:
    """What the page warns of: two requests without a name are two orders."""
    exchange.timeout = IMPATIENT_MS
    exchange.options["maxRetriesOnFailure"] = 1
    fault(gateway, bot, "delay", "AddOrder", delay_s=IMPATIENT_MS / 1000 + 0.1)
    exchange.create_order(SYMBOL, *LIMIT)
    assert len(open_orders(gateway, bot)) == 2


def test_the_id_names_one_order_for_good(gateway: Bench, bot: SimAccount, exchange: Any) -> None:
    """Kraken's ids are free again once an order is filled; here one names its order, and no other."""
    first = exchange.create_order(SYMBOL, "market", "buy", 0.01, None, {"clientOrderId": "mine-1"})
    assert exchange.create_order(SYMBOL, "market", "buy", 0.01, None, {"clientOrderId": "mine-1"})["id"] == first["id"]
    with pytest.raises(ccxt.ExchangeError, match="Duplicate cl_ord_id"):
        exchange.create_order(SYMBOL, "market", "buy", 0.02, None, {"clientOrderId": "mine-1"})
    assert gateway.methods(bot.name).count("AddOrder") == 1


def test_a_userref_names_one_order_while_its_contents_are_the_same(gateway: Bench, bot: SimAccount) -> None:
    trade = Trade(key=bot.api_key, secret=bot.api_secret, url=gateway.url)
    order = {"ordertype": "limit", "side": "buy", "pair": "XBTUSD", "volume": 0.01, "userref": 7}
    first = trade.create_order(**order, price=25000.1)["txid"]
    assert trade.create_order(**order, price=25000.1)["txid"] == first
    assert trade.create_order(**order, price=25000.2)["txid"] != first


def test_krakenex_has_no_time_out_and_waits(gateway: Bench, bot: SimAccount) -> None:
    api = krakenex.API(bot.api_key, bot.api_secret)
    api.uri = gateway.url
    fault(gateway, bot, "delay", "AddOrder", delay_s=LATE_S)
    assert api.query_private("AddOrder", dict(ORDER))["error"] == []
    fault(gateway, bot, "delay", "AddOrder", delay_s=LATE_S)
    with pytest.raises(requests.Timeout):
        api.query_private("AddOrder", {**ORDER, "cl_ord_id": "mine-1"}, timeout=IMPATIENT_MS / 1000)
    again = api.query_private("AddOrder", {**ORDER, "cl_ord_id": "mine-1"})
    api.close()
    assert len(again["result"]["txid"]) == 1
    assert len(open_orders(gateway, bot)) == 2


def test_python_kraken_sdk_s_patience_is_its_class_s(
    gateway: Bench, bot: SimAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    trade = Trade(key=bot.api_key, secret=bot.api_secret, url=gateway.url)
    order = {"ordertype": "limit", "side": "buy", "pair": "XBTUSD", "volume": 0.01, "price": 25000.1}
    monkeypatch.setattr(Trade, "TIMEOUT", IMPATIENT_MS / 1000)
    fault(gateway, bot, "delay", "AddOrder", delay_s=LATE_S)
    with pytest.raises(requests.Timeout):
        trade.create_order(**order, cl_ord_id="mine-1")
    monkeypatch.setattr(Trade, "TIMEOUT", 30)
    assert trade.create_order(**order, cl_ord_id="mine-1")["txid"] == open_orders(gateway, bot)


def test_connections_that_the_gateway_closed_for_idleness_cost_no_call(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE_S", IDLE_S)
    pause = threading.Event()
    with OnThread(sim, tmp_path) as alone:
        keys = [alone.key(f"bot-{number}") for number in range(3)]
        exchange = ccxt.kraken(ccxt_settings(alone, keys[0]))
        api = krakenex.API(keys[1].api_key, keys[1].api_secret)
        api.uri = alone.url
        user = User(key=keys[2].api_key, secret=keys[2].api_secret, url=alone.url)
        for call in (exchange.privatePostOpenOrders, lambda: api.query_private("OpenOrders"), user.get_open_orders):
            for _ in range(3):
                assert "open" in str(call())
                pause.wait(4 * IDLE_S)
        exchange.session.close()
        api.close()
    assert sim.journal()["summary"]["refused_nonce"] == 0


def test_time_outs_and_retries_are_as_the_page_says() -> None:
    assert ccxt.kraken().timeout == 10_000
    assert Trade().TIMEOUT == 10
    assert ccxt.kraken().options.get("maxRetriesOnFailure", 0) == 0
