"""What a virtual key may do, through the real HTTP face: each policy denied and allowed.

A call that is denied is answered in Kraken's words, says why in a header, and never gets to the exchange: its journal
is asked each time.
"""

from decimal import Decimal
from typing import Any

import pytest
from gateway_bench import DENIED, LIMIT, Key, Make, OnThread

from sealane.core.methods import METHODS
from sealane.gateway.keys.policy import CLASSES, Cap, method_class

UNKNOWN = {"error": ["EOrder:Unknown order"]}
SPELLINGS = ("XBTUSD", "XXBTZUSD", "XBT/USD", "BTC/USD", "BTCUSD", "xbtusd")
NO_ORDER = "OAAAAA-AAAAA-AAAAAA"
ASKED: dict[str, dict[str, Any]] = {
    "AddOrder": LIMIT,
    "AddOrderBatch": {"pair": "XBTUSD", "orders": [{k: v for k, v in LIMIT.items() if k != "pair"}] * 2},
    "AmendOrder": {"txid": NO_ORDER, "order_qty": "0.02"},
    "EditOrder": {"txid": NO_ORDER, "pair": "XBTUSD", "volume": "0.02"},
    "CancelOrder": {"txid": NO_ORDER},
    "CancelOrderBatch": {"orders": [NO_ORDER]},
    "CancelAllOrdersAfter": {"timeout": 0},
}
# --- classes and methods ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSES)
def test_a_class_allows_its_methods_and_no_other(make: Make, kind: str) -> None:
    bot = make(allow=frozenset({kind}), own_orders=False)
    for method in METHODS.keys() - {"GetApiKeyInfo"}:
        if method_class(method, {}) == kind:
            assert bot.ask(method, **ASKED.get(method, {})) != DENIED or not bot.why
            assert bot.reached(method) or method == "Balance", method
        else:
            bot.deny(method, "not allowed", **ASKED.get(method, {}))


def test_a_key_may_not_move_money_by_default(make: Make) -> None:
    bot = make()
    denied = {"Withdraw", "WithdrawInfo", "WithdrawCancel", "WalletTransfer", "AccountTransfer", "CreateSubaccount"}
    denied |= {"Earn/Allocate", "Earn/Deallocate", "Earn/Strategies", "GetWebSocketsToken"}
    for method in sorted(denied):
        bot.deny(method, "not allowed", asset="XBT", amount="1", key="mine")
    for new in (True, "true", "1", "yes"):
        bot.deny("DepositAddresses", "fund", asset="XBT", new=new)
    for new in (False, "false", ""):
        assert bot.ask("DepositAddresses", asset="XBT", new=new) != DENIED
    bot.deny("DepositAddresses", "fund", as_json=False, asset="XBT", new="true")


def test_single_methods(make: Make) -> None:
    bot = make(allow=frozenset({"OpenOrders", "DepositAddresses"}))
    assert bot.allow("OpenOrders")["open"] == {}
    for method in ("ClosedOrders", "AddOrder", "CancelAll"):
        bot.deny(method, "not allowed")
    bot.deny("DepositAddresses", "fund", asset="XBT", new="true")
    assert bot.ask("GetApiKeyInfo")["result"]["apiKeyName"] == bot.account.name


def test_a_token_for_web_sockets_wants_a_word_of_its_own(make: Make) -> None:
    assert make("with", allow=frozenset({"ws-token"})).allow("GetWebSocketsToken")["token"]
    make("without", allow=frozenset({"read", "trade", "cancel", "fund"})).deny("GetWebSocketsToken", "ws-token")


def test_an_account_that_is_not_served(desk: OnThread) -> None:
    lost = Key(desk, "nobody", "lost")
    assert lost.ask("Balance") == DENIED
    assert "no account nobody" in lost.why
    lost.close()


# --- pairs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", ["XBTUSD", "XXBTZUSD", "BTC/USD", "btc/usd"])
def test_pairs_under_all_their_names(make: Make, allowed: str) -> None:
    bot = make(pairs=frozenset({allowed}))
    for spelling in SPELLINGS[:3]:
        bot.place(pair=spelling)
    for spelling in SPELLINGS[3:]:
        assert bot.ask("AddOrder", **(LIMIT | {"pair": spelling})) != DENIED
    for spelling in ("ETHUSD", "XETHZUSD", "ETH/USD", "XBTEUR", "XXBTZEUR"):
        bot.deny("AddOrder", "may not place orders on", **(LIMIT | {"pair": spelling}))
    for odd in ("NOSUCH", "", ["XBTUSD"], "XBTUSD,ETHUSD"):
        bot.deny("AddOrder", "not known", **(LIMIT | {"pair": odd}))
    bot.deny("AddOrder", "missing", **{name: text for name, text in LIMIT.items() if name != "pair"})


def test_pairs_of_batches_and_changes(make: Make) -> None:
    bot, other = make(pairs=frozenset({"XBTUSD"}), own_orders=False), make("other")
    bot.deny("AddOrderBatch", "ETHUSD", **(ASKED["AddOrderBatch"] | {"pair": "ETHUSD"}))
    inner = [LIMIT | {"pair": "ETHUSD"}, LIMIT]
    bot.deny("AddOrderBatch", "without pair or orders of its own", pair="XBTUSD", orders=inner)
    foreign = other.place(pair="ETHUSD", price="1500")
    bot.deny("AmendOrder", "ETHUSD", txid=foreign, order_qty="0.02")
    bot.deny("AmendOrder", "on ETHUSD, not on XBTUSD", txid=foreign, pair="XBTUSD", order_qty="0.02")
    bot.deny("EditOrder", "ETHUSD", txid=foreign, pair="ETHUSD", volume="0.02")
    assert bot.allow("AmendOrder", txid=other.place(), order_qty="0.02")


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_the_largest_order_in_quote(make: Make) -> None:
    bot = make(max_order=Cap(Decimal(1000)))
    resting = bot.place(price="20000", volume="0.05")
    for fields in (
        {"price": "20000", "volume": "0.0501"},
        {"ordertype": "market", "volume": "1"},
        {"ordertype": "stop-loss", "type": "sell", "price": "10000", "volume": "1"},
        {"type": "sell", "price": "1", "volume": "1"},
        {"oflags": "viqc", "ordertype": "market", "volume": "1000.01"},
        {"price": "20000", "volume": "0.01", "close[ordertype]": "limit", "close[price]": "200000"},
    ):
        bot.deny("AddOrder", "more than this key's 1000 USD", **(LIMIT | fields))
    bot.deny("AddOrder", "not a plain number", **(LIMIT | {"volume": "1e9"}))
    bot.deny("AddOrder", "not one whose size is known", **(LIMIT | {"ordertype": "new-kind"}))
    bot.deny("AmendOrder", "more than", txid=resting, order_qty="0.0501")
    bot.deny("AmendOrder", "more than", txid=resting, limit_price="20000.1")
    assert bot.allow("AmendOrder", txid=resting, limit_price="19000")
    assert bot.allow("AddOrder", **(LIMIT | {"ordertype": "market", "volume": "0.001"}))
    assert bot.allow("AddOrder", **(LIMIT | {"pair": "ETHUSD", "price": "1000", "volume": "1"}))


def test_the_largest_order_in_base(make: Make) -> None:
    bot = make(max_order=Cap(Decimal("0.05"), "BTC"))
    bot.place(volume="0.05")
    bot.deny("AddOrder", "more than this key's 0.05 BTC", **(LIMIT | {"volume": "0.051"}))
    bot.deny("AddOrder", "more than this key's 0.05 BTC", **(LIMIT | {"ordertype": "market", "volume": "0.051"}))
    bot.deny("AddOrder", "says nothing of ETHUSD", **(LIMIT | {"pair": "ETHUSD"}))


def test_the_largest_order_holds_for_each_of_a_batch_and_for_edits(make: Make) -> None:
    bot = make(max_order=Cap(Decimal(1000)))
    small = {"type": "buy", "ordertype": "limit", "price": "20000", "volume": "0.05"}
    bot.deny("AddOrderBatch", "more than", pair="XBTUSD", orders=[small, small | {"volume": "0.06"}])
    assert len(bot.allow("AddOrderBatch", pair="XBTUSD", orders=[small, small])["orders"]) == 2
    edited = bot.place(**small, userref=7)
    bot.deny("EditOrder", "more than", txid=edited, pair="XBTUSD", volume="0.06")
    assert bot.allow("EditOrder", txid=edited, pair="XBTUSD", volume="0.04")["status"] == "ok"


def test_fields_of_another_method_do_not_show_a_smaller_order(make: Make) -> None:
    """Kraken passes them over: what they said of the order would be said of none."""
    bot = make(max_order=Cap(Decimal(1000)))
    small = {"type": "buy", "ordertype": "limit", "price": "20000", "volume": "0.01"}
    large = LIMIT | {"volume": "1"}
    resting, edited = bot.place(**small), bot.place(**small, userref=7)
    bot.deny("AddOrder", "has no orders", **large, orders=[small])
    bot.deny("AmendOrder", "has no ordertype", txid=resting, order_qty="1", **small)
    bot.deny("AmendOrder", "has no orders", txid=resting, order_qty="1", orders=[small])
    bot.deny("EditOrder", "has no order_qty", txid=edited, pair="XBTUSD", volume="1", order_qty="0.01")
    bot.deny("EditOrder", "has no ordertype", txid=edited, pair="XBTUSD", ordertype="limit", type="buy", volume="1")
    assert make("free").ask("AmendOrder", txid=resting, order_qty="1", **small) == UNKNOWN


def test_the_price_band(make: Make) -> None:
    bot = make(price_band=Decimal("0.05"))
    last = Decimal(bot.public("Ticker", pair="XBTUSD")["result"]["XXBTZUSD"]["c"][0])
    near, far = f"{last * Decimal('0.96'):.1f}", f"{last * Decimal('0.94'):.1f}"
    resting = bot.place(price=near)
    bot.deny("AddOrder", "off the last price", **(LIMIT | {"price": far}))
    bot.deny("AddOrder", "off the last price", **(LIMIT | {"price": "-6%"}))
    bot.deny("AddOrder", "off the last price", **(LIMIT | {"type": "sell", "price": f"{last * 2:.1f}"}))
    bot.deny("AmendOrder", "off the last price", txid=resting, limit_price=far)
    rows = [{k: v for k, v in LIMIT.items() if k != "pair"} | {"price": price} for price in (near, far)]
    bot.deny("AddOrderBatch", "off the last price", pair="XBTUSD", orders=rows)
    assert bot.allow("AmendOrder", txid=resting, order_qty="0.02")
    assert bot.allow("AddOrder", **(LIMIT | {"ordertype": "market"}))


def test_an_order_that_cannot_be_judged_is_not_sent(make: Make, desk: OnThread) -> None:
    bot = make(max_order=Cap(Decimal(1000)))
    desk.sim.add_fault("http_before", methods=["Ticker"], status=502, count=1)
    answer = bot.ask("AddOrder", **(LIMIT | {"pair": "SOLUSD", "price": "10"}))
    assert answer == {"error": ["EService:Unavailable"]}
    assert "cannot be judged" in bot.why
    assert bot.reached("AddOrder") == 0
    bot.place(pair="SOLUSD", price="10", volume="1")
