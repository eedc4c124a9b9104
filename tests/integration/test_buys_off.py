"""HARD_BUY_OFF below everything that can place an order: nothing that buys is sent, sells stay possible."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from sealane import AsyncKraken, InDoubt, Kraken, NotPlaced, Placed, SettingsError
from sealane.broker import KrakenBroker
from sealane.core.buying import buys, call_buys

LIMIT_S = 60
BUY = {"pair": "XBTUSD", "side": "buy", "volume": "0.01", "price": "1000"}
SELL = BUY | {"side": "sell", "price": "900000"}
RAW = {"pair": "XBTUSD", "ordertype": "limit", "volume": "0.01", "price": "1000"}


@pytest.fixture(params=["1", "true", "ON"])
def off(keys, monkeypatch, request):
    monkeypatch.setenv("HARD_BUY_OFF", request.param)
    monkeypatch.setenv("SEALANE_VISIBILITY_LAG_S", "0.3")
    return keys


@pytest.fixture
def switched(keys, monkeypatch):
    """Turns the switch: it counts for the clients that are made from then on."""
    monkeypatch.setenv("SEALANE_VISIBILITY_LAG_S", "0.3")
    return lambda word: monkeypatch.setenv("HARD_BUY_OFF", word)


def requests(sim):
    return sim.journal()["summary"]["requests"]


def leg(side, **more):
    return {"side": side, "volume": "0.01", "price": "1000" if side == "buy" else "900000", **more}


def test_nothing_of_a_buy_is_sent_and_a_sell_goes(off):
    with Kraken.from_env() as kraken:
        end = kraken.place_order(**BUY)
        assert isinstance(end, NotPlaced)
        assert "HARD_BUY_OFF" in end.reason
        assert end.kraken_error is None
        ends = kraken.place_orders(pair="XBTUSD", orders=[leg("sell"), leg("buy")])
        assert [type(one) for one in ends] == [NotPlaced, NotPlaced]
        assert all("HARD_BUY_OFF" in one.reason for one in ends)
        assert requests(off) == 0
        assert isinstance(kraken.place_order(**SELL), Placed)
        assert all(isinstance(one, Placed) for one in kraken.place_orders(pair="XBTUSD", orders=[leg("sell")] * 2))
        assert "validated" in kraken.place_order(**BUY, validate=True).reason


def test_a_blocked_buy_takes_no_turn(off, fresh_manager):
    """It ends while another thread's turn would make it wait."""
    with Kraken.from_env(turn_wait_s=0) as kraken, fresh_manager.get_kraken_api_lock():
        asked = []
        kraken._session._lane.enter = lambda *_: asked.append("turn")
        assert isinstance(kraken.place_order(**BUY, client_order_id="mine"), NotPlaced)
        assert asked == []


def test_the_asyncio_client_too(off):
    async def both():
        async with AsyncKraken.from_env() as kraken:
            with pytest.raises(SettingsError, match="HARD_BUY_OFF"):
                await kraken.private("AddOrder", RAW | {"type": "buy"})
            return await kraken.place_order(**BUY)

    assert "HARD_BUY_OFF" in asyncio.run(both()).reason
    assert requests(off) == 0


def test_raw_calls_too(off):
    with Kraken.from_env() as kraken:
        for method, params in {
            "AddOrder": RAW | {"type": "buy"},
            "addorder": RAW | {"type": " BUY "},
            "AddOrderBatch": {"pair": "XBTUSD", "orders": [leg("sell"), RAW | {"type": "buy"}]},
        }.items():
            with pytest.raises(SettingsError, match="HARD_BUY_OFF"):
                kraken.private(method, params)
        with pytest.raises(SettingsError, match="HARD_BUY_OFF"):
            kraken.private("AddOrder", RAW, type="buy")
        assert requests(off) == 0
        assert kraken.private("AddOrder", RAW | {"type": "buy", "validate": True})
        assert kraken.private("AddOrder", RAW | {"type": "sell", "price": "900000"})["txid"]


def test_a_sell_that_brings_a_buy_is_one(off):
    with Kraken.from_env() as kraken:
        closing = {"close[ordertype]": "limit", "close[price]": "1000"}
        assert "HARD_BUY_OFF" in kraken.place_order(**SELL, **closing).reason
    assert requests(off) == 0


def test_brokers_inherit_it(off):
    with KrakenBroker() as broker:
        assert "HARD_BUY_OFF" in broker.place_order(**BUY).reason
        with pytest.raises(SettingsError, match="HARD_BUY_OFF"):
            broker._kraken_private_call("AddOrder", RAW | {"type": "buy"})
        assert requests(off) == 0
        assert isinstance(broker.place_order(**SELL), Placed)


def test_so_does_the_command_line(off):
    command = [sys.executable, "-m", "sealane.cli", "order", "buy", "XBTUSD", "0.001", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=os.environ, check=False)
    assert done.returncode == 4, done.stderr  # nothing was sent
    assert "HARD_BUY_OFF" in json.loads(done.stdout)["reason"]
    assert requests(off) == 0


def test_what_was_sent_before_the_switch_keeps_its_end(keys, switched):
    with Kraken.from_env() as kraken:
        first = kraken.place_order(**BUY, client_order_id="mine")
    switched("1")
    with Kraken.from_env() as kraken:
        assert kraken.place_order(**BUY, client_order_id="mine") == first  # "not placed" would be untrue
    assert len(keys.state()["accounts"]["MASTER"]["orders"]) == 1


def test_a_doubt_from_before_the_switch_is_resolved_and_not_sent_again(keys, switched):
    with Kraken.from_env() as kraken:
        keys.add_fault("drop_after", count=1_000)
        with pytest.raises(InDoubt):
            kraken.place_order(**BUY, client_order_id="mine", deadline_s=3, timeout_s=0.5)
        keys.clear_faults()
    switched("1")
    with Kraken.from_env() as kraken:
        assert isinstance(kraken.place_order(**BUY, client_order_id="mine"), Placed)
    assert len(keys.state()["accounts"]["MASTER"]["orders"]) == 1


@pytest.mark.parametrize("word", ["0", "off", "False", ""])
def test_off_is_off(keys, switched, word):
    switched(word)
    with Kraken.from_env() as kraken:
        assert isinstance(kraken.place_order(**BUY), Placed)


def test_a_word_that_is_no_switch_stops_everything(keys, switched):
    switched("perhaps")
    with pytest.raises(SettingsError, match="HARD_BUY_OFF is 'perhaps'"):
        Kraken.from_env()


@pytest.mark.parametrize(
    ("order", "is_one"),
    [
        ({"type": "sell"}, False),
        ({"type": "Sell "}, False),
        ({"type": "sell", "close": None}, False),
        ({"type": "sell", "close": {"ordertype": "limit"}}, True),
        ({"type": "buy"}, True),
        ({"type": None}, True),
        ({}, True),
    ],
)
def test_what_is_not_plainly_a_sell_is_a_buy(order, is_one):
    assert buys(order) is is_one
    assert call_buys("AddOrder", order) is is_one
    assert call_buys("AddOrderBatch", {"orders": [order, {"type": "sell"}]}) is is_one
    assert call_buys("AddOrder", {**order, "validate": "true"}) is False


@pytest.mark.parametrize("validate", [False, "false", "1", None, ""])
def test_what_is_not_plainly_a_check_is_real(validate):
    assert call_buys("AddOrder", {"type": "buy", "validate": validate})


def test_a_batch_that_cannot_be_read_may_buy():
    assert call_buys("AddOrderBatch", {"orders": "[]"})
    assert call_buys("AddOrderBatch", {})
    assert not call_buys("CancelAll", {})


@pytest.mark.parametrize("validate", [None, 0, 1, "true"])
def test_validate_is_true_or_false(keys, validate):
    with KrakenBroker() as broker, pytest.raises(SettingsError, match="validate is"):
        broker.place_order(**BUY, validate=validate)
    assert requests(keys) == 0


def test_a_market_order_has_no_price(keys):
    with KrakenBroker() as broker, pytest.raises(SettingsError, match="market order has no price"):
        broker.place_order(**BUY, order_type="market")
    assert requests(keys) == 0
