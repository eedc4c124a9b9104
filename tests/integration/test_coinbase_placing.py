"""Orders on a local Coinbase: whatever happens on the way, one order is placed or none, and what is told is true."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from coinbase_server import ACCOUNTS, KEY_NAME, LISTED, ORDERS, PREVIEW, CoinbaseServer, ec_key

from sealane.broker import CoinbaseBroker, recovery
from sealane.broker.coinbase_placing import GONE_AFTER_S
from sealane.core.order import ANSWERED, FOUND, REPLAYED, VALIDATED, NotPlaced, Placed
from sealane.errors import InDoubt, SettingsError
from sealane.testing import FakeClock

LIMIT = {"pair": "BTC-USD", "side": "buy", "volume": Decimal("0.1"), "price": "20000"}
LIMIT_S = 60
SHORT_S = 0.6


@pytest.fixture(scope="module")
def pair():
    return ec_key()


@pytest.fixture
def server(pair, monkeypatch):
    monkeypatch.setattr(recovery, "FIRST_S", 3_600.0)
    monkeypatch.setattr(recovery, "LONGEST_S", 3_600.0)
    with CoinbaseServer(pair[1]) as exchange:
        exchange.book.accounts = [("USD", "5000", "0")]
        yield exchange
    assert [seen.refused for seen in exchange.seen if seen.refused] == []


@pytest.fixture
def made(server, pair, request):
    """Brokers of the one account; a new one is what a restart is. Impatient where a fault is a wait."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    brokers, timeout_s = [], SHORT_S if params.get("name") in ("hang", "drip") else LIMIT_S

    def make():
        brokers.append(CoinbaseBroker(api_key=KEY_NAME, api_secret=pair[0], url=server.url, timeout_s=timeout_s))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.close()


def test_a_limit_order_as_coinbase_gets_it(server, made):
    end = made().place_order(**LIMIT)
    (row,) = server.book.orders.values()
    assert end == Placed(row["order_id"], row["client_order_id"], "buy 0.1 BTC-USD @ limit 20000", ANSWERED)
    (sent,) = server.calls(ORDERS)
    assert sent.body == {
        "client_order_id": end.client_order_id,
        "product_id": "BTC-USD",
        "side": "BUY",
        "order_configuration": {"limit_limit_gtc": {"base_size": "0.1", "limit_price": "20000"}},
    }


def test_a_market_order_by_what_is_paid(server, made):
    end = made().place_order(pair="BTC-USD", side="buy", order_type="market", quote_volume="25.50")
    assert end.descr == "buy for 25.50 BTC-USD @ market"
    assert server.book.orders[end.client_order_id]["order_configuration"] == {
        "market_market_ioc": {"quote_size": "25.50"}
    }


def test_a_refused_order_is_not_placed_and_no_error_of_the_account(server, made):
    broker = made()
    end = broker.place_order(**{**LIMIT, "volume": "2000000"})
    assert isinstance(end, NotPlaced)
    assert end.kraken_error == "INSUFFICIENT_FUND"
    assert server.book.orders == {}
    assert broker.get_error_count() == 0


def test_validate_places_nothing(server, made):
    assert made().place_order(**LIMIT, validate=True).reason == VALIDATED
    assert (
        made().place_order(**{**LIMIT, "volume": "2000000"}, validate=True).kraken_error == "PREVIEW_INSUFFICIENT_FUND"
    )
    assert (len(server.calls(PREVIEW)), server.calls(ORDERS), server.book.orders) == (2, [], {})


LOSSES = {
    "drop": {"kind": "drop"},
    "hang": {"kind": "hang"},
    "cut": {"kind": "cut"},
    "drip": {"kind": "drip"},
    "html": {"kind": "html"},
    "echo": {"kind": "echo"},
    "500": {"kind": "status", "status": 500},
    "502": {"kind": "status", "status": 502, "body": "<html>bad gateway</html>"},
    "408": {"kind": "status", "status": 408},
    "409": {"kind": "status", "status": 409},
    "400 that is not theirs": {"kind": "status", "status": 400, "body": "<html>"},
    "redirect": {"kind": "redirect", "status": 307, "body": "/api/v3/brokerage/orders"},
    "an empty object": {"kind": "json", "body": "{}"},
    "a list": {"kind": "json", "body": "[]"},
    "unknown": {"kind": "json", "body": '{"success": false, "error_response": {"error": "UNKNOWN_FAILURE_REASON"}}'},
    "another order": {
        "kind": "json",
        "body": '{"success": true, "success_response": {"order_id": "Z", "client_order_id": "not this"}}',
    },
    "strange types": {"kind": "json", "body": '{"success": true, "order_configuration": 7, "success_response": 7}'},
}


@pytest.mark.parametrize("name", LOSSES)
def test_carried_out_and_the_answer_lost_it_is_found(server, made, name):
    server.fault(ORDERS, **LOSSES[name], applied=True)
    end = made().place_order(**LIMIT)
    assert (end.how, len(server.calls(ORDERS)), len(server.calls(LISTED))) == (FOUND, 1, 1)
    assert [row["order_id"] for row in server.book.orders.values()] == [end.txid]


@pytest.mark.parametrize("name", LOSSES)
def test_not_carried_out_and_the_answer_lost_it_is_placed_by_a_repeat(server, made, name):
    server.fault(ORDERS, **LOSSES[name])
    end = made().place_order(**LIMIT)
    assert (end.how, len(server.calls(ORDERS))) == (REPLAYED, 2)
    assert [row["order_id"] for row in server.book.orders.values()] == [end.txid]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429])
def test_a_plain_no_is_the_end(server, made, status):
    server.fault(ORDERS, "status", status=status)
    end = made().place_order(**LIMIT)
    assert isinstance(end, NotPlaced)
    assert end.kraken_error.startswith(f"{status} a fault")
    assert (server.book.orders, server.calls(LISTED)) == ({}, [])


def test_the_first_copy_arriving_after_the_repeat_is_the_same_order(server, made):
    server.fault(ORDERS, "late")
    end = made().place_order(**LIMIT)
    (late,) = server.carry_out_late()
    assert late["success_response"]["order_id"] == end.txid
    assert len(server.book.orders) == 1


def test_a_list_that_lags_leads_to_no_second_order(server, made):
    server.fault(ORDERS, "drop", applied=True)
    server.book.hidden_looks = 2
    end = made().place_order(**LIMIT)
    assert end.how == REPLAYED
    assert [row["order_id"] for row in server.book.orders.values()] == [end.txid]


def test_found_on_a_later_page(server, made):
    broker = made()
    server.fault(ORDERS, "drop", applied=True)
    own = broker.place_order(**LIMIT, client_order_id="mine")
    others = [broker.place_order(**LIMIT) for _ in range(5)]
    assert broker.find_order("mine") == Placed(own.txid, "mine", "buy BTC-USD", FOUND)
    assert len(server.calls(LISTED)) == 1 + 3
    assert len(others) + 1 == len(server.book.orders)


def test_nobody_to_ask_is_in_doubt_and_asked_again_it_is_placed_once(server, made):
    broker = made()
    server.fault(ORDERS, "drop", applied=True, count=99)
    server.fault(LISTED, "drop", count=99)
    with pytest.raises(InDoubt, match="order mine is in doubt") as caught:
        broker.place_order(**LIMIT, client_order_id="mine", timeout_s=0.3)
    assert caught.value.client_order_id == "mine"
    broker.close()
    server._faults.clear()
    again = made().place_order(**LIMIT, client_order_id="mine")  # as after a restart
    assert [row["order_id"] for row in server.book.orders.values()] == [again.txid]


def test_in_doubt_and_asked_again_a_refusal_is_no_end_yet(server, made):
    broker = made()
    server.fault(ORDERS, "late", count=99)
    server.fault(LISTED, "drop")
    with pytest.raises(InDoubt):
        broker.place_order(**LIMIT, client_order_id="mine", timeout_s=0.01)
    server._faults.clear()
    server.fault(ORDERS, "status", status=429)
    with pytest.raises(InDoubt, match="429 a fault; but whether an earlier order"):
        broker.place_order(**LIMIT, client_order_id="mine")
    server.carry_out_late()
    server.fault(ORDERS, "status", status=429)
    assert broker.place_order(**LIMIT, client_order_id="mine").how == FOUND
    assert len(server.book.orders) == 1


def test_another_order_under_a_used_id_is_not_said_to_be_placed(server, made):
    broker = made()
    first = broker.place_order(**LIMIT, client_order_id="mine")
    end = broker.place_order(**{**LIMIT, "side": "sell"}, client_order_id="mine")
    assert isinstance(end, NotPlaced)
    assert first.txid in end.reason
    assert len(server.book.orders) == 1


def test_find_order_says_what_it_does_not_see(made):
    assert made().find_order("nobody's") is None


def test_an_order_drops_the_cached_balance_however_it_ends(server, made):
    broker = made()
    broker.get_account_balance()
    for fault in ({}, {"kind": "status", "status": 400}):
        if fault:
            server.fault(ORDERS, **fault)
        asked = len(server.calls(ACCOUNTS))
        broker.place_order(**LIMIT)
        broker.get_account_balance()
        assert len(server.calls(ACCOUNTS)) == asked + 1


def test_a_balance_asked_for_while_an_order_is_on_its_way_serves_nobody_after_it(server, made, monkeypatch):
    one, other = made(), made()
    one.get_account_balance()
    wire, asked = one._open(), []

    def meanwhile(order, go=wire.create_order):
        for _ in range(2):
            other.get_account_balance()
            asked.append(len(server.calls(ACCOUNTS)))
        return go(order)

    monkeypatch.setattr(wire, "create_order", meanwhile)
    one.place_order(**LIMIT)
    other.get_account_balance()
    assert asked == [2, 2]
    assert len(server.calls(ACCOUNTS)) == 3


def test_what_the_page_shows_runs(server, pair, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "coinbase.md").read_text()
    blocks = re.findall(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert blocks
    monkeypatch.setenv("COINBASE_API_KEY", KEY_NAME)
    monkeypatch.setenv("COINBASE_PEM_CONTENT", pair[0].replace("\n", "\\n"))
    monkeypatch.setenv("COINBASE_API_URL", server.url)
    for code in blocks:
        exec(compile(code, "docs/coinbase.md", "exec"), {"__name__": "__main__"})
    assert len(server.book.orders) == 1


# --- buying turned off ------------------------------------------------------------------------------------------------


def test_hard_buy_off_sends_no_buy_and_leaves_sells_and_checks(server, made, monkeypatch):
    monkeypatch.setenv("HARD_BUY_OFF", "1")
    broker = made()
    end = broker.place_order(**LIMIT)
    assert isinstance(end, NotPlaced)
    assert "HARD_BUY_OFF" in end.reason
    assert server.seen == []
    assert broker.place_order(**LIMIT, validate=True).reason == VALIDATED
    assert isinstance(broker.place_order(**LIMIT | {"side": "sell"}), Placed)
    assert [call.body["side"] for call in server.calls(ORDERS)] == ["SELL"]


def test_hard_buy_off_leaves_an_order_of_before_its_end(server, made, monkeypatch):
    first = made().place_order(**LIMIT, client_order_id="mine")
    monkeypatch.setenv("HARD_BUY_OFF", "1")
    assert made().place_order(**LIMIT, client_order_id="mine").txid == first.txid
    assert "HARD_BUY_OFF" in made().place_order(**LIMIT, client_order_id="other").reason
    assert len(server.calls(ORDERS)) == 1


def test_a_word_that_is_no_switch_buys_nothing(server, made, monkeypatch):
    monkeypatch.setenv("HARD_BUY_OFF", "perhaps")
    with pytest.raises(SettingsError, match="HARD_BUY_OFF"):
        made().place_order(**LIMIT)
    assert server.seen == []


# --- what is kept of doubts -------------------------------------------------------------------------------------------


def doubt(server, broker, name):
    server.fault(ORDERS, "drop", applied=True, count=99)
    server.fault(LISTED, "drop", count=99)
    with pytest.raises(InDoubt):
        broker.place_order(**LIMIT, client_order_id=name, timeout_s=0.01)
    server._faults.clear()


def test_a_doubt_is_forgotten_once_its_end_is_known(server, made):
    broker = made()
    for name in ("one", "two", "three"):
        doubt(server, broker, name)
    assert set(broker._doubts) == {"one", "two", "three"}
    broker.place_order(**LIMIT, client_order_id="one")
    assert isinstance(broker.find_order("two"), Placed)
    assert set(broker._doubts) == {"three"}


def test_a_doubt_is_forgotten_once_no_copy_can_be_taken(server, pair):
    clock = FakeClock()
    with CoinbaseBroker(api_key=KEY_NAME, api_secret=pair[0], url=server.url, clock=clock) as broker:
        broker._note_doubt("old")
        clock.advance(GONE_AFTER_S)
        broker._note_doubt("young")
        assert set(broker._doubts) == {"old", "young"}
        clock.advance(1)
        broker._note_doubt("younger")
        assert set(broker._doubts) == {"young", "younger"}
