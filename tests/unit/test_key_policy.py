"""What a virtual key may do: classes of methods, pairs, sizes, prices; and that what cannot be read is denied."""

import itertools
import json
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealane.core.methods import METHODS
from sealane.errors import SettingsError
from sealane.gateway.keys.policy import (
    CLASSES,
    Cap,
    Pair,
    Pairs,
    Policy,
    method_class,
    priced,
    refusal,
    row_as_order,
    size_refusal,
    told,
)

XBTUSD = Pair("XXBTZUSD", "XBTUSD", "XXBT", "ZUSD")
XDGUSD = Pair("XDGUSD", "XDGUSD", "XXDG", "ZUSD")
ASSET_PAIRS = {
    "XXBTZUSD": {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD"},
    "XDGUSD": {"altname": "XDGUSD", "wsname": "XDG/USD", "base": "XXDG", "quote": "ZUSD"},
    "XETHXXBT": {"altname": "ETHXBT", "wsname": "ETH/XBT", "base": "XETH", "quote": "XXBT"},
    "TORN": {"altname": 5},
}
PAIRS = Pairs(ASSET_PAIRS)
LAST = D(30_000)


def denied(policy, method, params=None):
    return refusal(policy, method, params or {}, PAIRS.canonical)


def judged(policy, existing=None, pair=XBTUSD, last=LAST, **order):
    return size_refusal(policy, {"type": "buy", **order}, pair, last, existing)


# --- methods ---


def test_by_default_a_key_reads_trades_and_cancels():
    may = {method for method in METHODS if denied(Policy(), method) is None}
    kept = {"Withdraw", "WithdrawCancel", "WithdrawMethods", "WithdrawAddresses", "WithdrawInfo", "WalletTransfer"}
    kept |= {"CreateSubaccount", "AccountTransfer", "GetWebSocketsToken"}
    kept |= {method for method in METHODS if method.startswith("Earn/")}
    assert set(METHODS) - may == kept


@pytest.mark.parametrize("word", CLASSES)
def test_a_class_lets_through_its_methods_and_no_other(word):
    policy = Policy(frozenset({word}))
    for method in METHODS:
        allowed = denied(policy, method) is None
        assert allowed == (method_class(method, {}) == word or method == "GetApiKeyInfo"), method


def test_every_write_that_is_no_order_and_no_export_needs_fund():
    writes = {method for method, row in METHODS.items() if row.write}
    assert {method for method in writes if method_class(method, {}) == "read"} == {"AddExport", "RemoveExport"}
    assert {method for method in writes if method_class(method, {}) in ("trade", "cancel")} == {
        *("AddOrder", "AddOrderBatch", "AmendOrder", "EditOrder"),
        *("CancelOrder", "CancelOrderBatch", "CancelAll", "CancelAllOrdersAfter"),
    }


@pytest.mark.parametrize("value", ["true", "True", "1", "yes", True, 1, " true "])
def test_a_new_deposit_address_is_a_matter_of_funds_even_where_the_method_is_named(value):
    params = {"asset": "XBT", "method": "Bitcoin", "new": value}
    assert method_class("DepositAddresses", params) == "fund"
    assert "fund" in denied(Policy(), "DepositAddresses", params)
    assert "fund" in denied(Policy(frozenset({"DepositAddresses"})), "DepositAddresses", params)
    assert denied(Policy(frozenset({"fund"})), "DepositAddresses", params) is None


@pytest.mark.parametrize("value", ["false", "False", "0", "", None, False, 0])
def test_old_deposit_addresses_are_only_read(value):
    assert denied(Policy(), "DepositAddresses", {"new": value}) is None


def test_a_method_may_be_named_alone():
    policy = Policy(frozenset({"Balance", "GetWebSocketsToken"}))
    assert denied(policy, "Balance") is None
    assert denied(policy, "GetWebSocketsToken") is None
    assert denied(policy, "OpenOrders")
    assert denied(policy, "GetApiKeyInfo") is None


@pytest.mark.parametrize("method", ["Foo", "balance", "Earn", "Balance/", "", "A" * 500, "é\r\n"])
def test_a_method_that_nobody_knows_is_denied(method):
    policy = Policy(frozenset(CLASSES))
    assert method_class(method, {}) == ""
    assert len(denied(policy, method)) < 120
    assert denied(policy, method).isascii()


# --- pairs ---


@pytest.mark.parametrize("listed", ["XBTUSD", "XXBTZUSD", "XBT/USD", "BTC/USD", "btcusd", "BTCUSD"])
@pytest.mark.parametrize("named", ["XBTUSD", "XXBTZUSD", "XBT/USD", "BTC/USD", "BTCUSD", "xbtusd"])
def test_a_pair_is_the_same_under_all_its_names(listed, named):
    policy = Policy(pairs=frozenset({listed}))
    assert denied(policy, "AddOrder", {"pair": named}) is None
    assert denied(policy, "AddOrder", {"pair": "XDGUSD"}) == "this key may not place orders on XDGUSD"
    assert denied(policy, "AddOrder", {"pair": "DOGE/USD"})


def test_other_spellings_of_other_pairs():
    policy = Policy(pairs=frozenset({"DOGEUSD", "ETH/BTC"}))
    for named in ("XDGUSD", "DOGEUSD", "doge/usd", "ETHXBT", "XETHXXBT", "ETHBTC"):
        assert denied(policy, "EditOrder", {"pair": named}) is None, named
    assert denied(policy, "EditOrder", {"pair": "XBTUSD"})


@pytest.mark.parametrize("pair", ["NOPE", "", "ÄÖ\n", "XBTUSD,XDGUSD", ["XBTUSD"], None, 5, "TORN"])
def test_a_pair_that_cannot_be_told_is_denied(pair):
    for method in ("AddOrder", "AddOrderBatch", "EditOrder"):
        said = denied(Policy(pairs=frozenset({"XBTUSD"})), method, {"pair": pair})
        assert said.isascii()
        assert said.isprintable()


def test_pairs_say_nothing_of_reads_and_cancels():
    policy = Policy(pairs=frozenset({"XBTUSD"}))
    assert denied(policy, "TradeVolume", {"pair": "XDGUSD"}) is None
    assert denied(policy, "CancelOrder", {"txid": "O"}) is None


def test_of_an_amendment_the_order_s_pair_counts():
    policy = Policy(pairs=frozenset({"XBTUSD"}), own_orders=False)
    assert denied(policy, "AmendOrder", {"txid": "O"}) is None
    assert denied(policy, "AmendOrder", {"txid": "O", "pair": "XDGUSD"})
    assert priced(policy, "AmendOrder")
    existing = {"type": "buy", "ordertype": "limit", "volume": "1", "price": "1"}
    amendment = {"txid": "O", "order_qty": "2"}
    assert size_refusal(policy, amendment, XDGUSD, D(1), existing) == "this key may not place orders on XDGUSD"
    assert size_refusal(policy, amendment, XBTUSD, D(1), existing) is None


@pytest.mark.parametrize("orders", ["x", [], {}, [5], [{"pair": "XDGUSD"}], [{"orders": []}], None])
def test_a_batch_that_is_none_is_denied(orders):
    params = {"pair": "XBTUSD", "orders": orders}
    assert denied(Policy(pairs=frozenset({"XBTUSD"})), "AddOrderBatch", params)
    assert size_refusal(Policy(max_order=Cap(D(500))), params, XBTUSD, LAST)


# --- sizes ---

IN_QUOTE = Policy(max_order=Cap(D(500)))


@pytest.mark.parametrize(
    ("cap", "most", "more"),
    [
        (Cap(D(500)), "0.01", "0.02"),
        (Cap(D(300), "USD"), "0.01", "0.0100001"),
        (Cap(D(300), "ZUSD"), "0.01", "0.0100001"),
        (Cap(D("0.5"), "XBT"), "0.5", "0.50000001"),
        (Cap(D("0.5"), "BTC"), "0.5", "0.51"),
        (Cap(D("0.5"), "XXBT"), "0.5", "0.51"),
    ],
)
def test_the_largest_order_in_quote_or_in_base(cap, most, more):
    for kind in ({"ordertype": "limit", "price": "30000"}, {"ordertype": "market"}):
        assert judged(Policy(max_order=cap), volume=most, **kind) is None
        assert "more than this key's" in judged(Policy(max_order=cap), volume=more, **kind)


def test_a_cap_in_a_third_asset_denies_and_says_so():
    said = judged(Policy(max_order=Cap(D(5), "ETH")), ordertype="market", volume="0.0001")
    assert said == "this key's largest order is in ETH, which says nothing of XBTUSD"


@pytest.mark.parametrize("volume", ["0.02", 0.02, D("0.02"), "00.02", ".02", 1])
def test_a_volume_in_any_form_is_read(volume):
    assert "more than" in judged(IN_QUOTE, ordertype="market", volume=volume)


UNREADABLE = ["1e-9", "1E3", "NaN", "nan", "Infinity", "-1", "+1", "0x1", "1_0", "", " 1", "1 ", "1,5", "١", "1.2.3"]
ODD = [
    None,
    True,
    float("nan"),
    float("inf"),
    1e300,
    1e-300,
    D("1E+2"),
    D("NaN"),
    D("1E-400"),
    [],
    {},
    "1" * 41,
    ".",
    -5,
]


@pytest.mark.parametrize("volume", [*UNREADABLE, *ODD, "0", 0])
def test_a_volume_that_cannot_be_read_is_denied(volume):
    for cap in (Cap(D(10) ** 30), Cap(D(10) ** 30, "XBT")):
        for kind in ({"ordertype": "market"}, {"ordertype": "limit", "price": "30000"}):
            assert judged(Policy(max_order=cap), volume=volume, **kind), volume


@pytest.mark.parametrize("order", [{"ordertype": "Market"}, {"ordertype": "twap"}, {"ordertype": ["limit"]}, {}])
def test_an_order_of_a_type_that_is_not_known_is_denied(order):
    assert judged(IN_QUOTE, volume="0.000001", price="1", **order)


def test_a_side_that_is_none_is_denied():
    assert judged(IN_QUOTE, volume="0.000001", ordertype="market", type="BUY")


def test_a_sell_below_the_market_fills_at_the_market_and_is_valued_there():
    assert judged(IN_QUOTE, type="sell", ordertype="limit", price="0.01", volume="1")
    assert judged(IN_QUOTE, type="buy", ordertype="limit", price="0.01", volume="1") is None


@pytest.mark.parametrize(
    ("price", "value"),
    [("+10", 30_010), ("-10", 29_990), ("#10", 30_010), ("+10%", 33_000), ("-10%", 27_000), ("#10%", 33_000)],
)
def test_a_relative_price_is_judged_by_what_it_comes_to(price, value):
    order = {"ordertype": "limit", "price": price, "volume": "1"}
    assert judged(Policy(max_order=Cap(D(value))), **order) is None
    assert judged(Policy(max_order=Cap(D(value) - 1)), **order)
    assert judged(Policy(max_order=Cap(D(value) - 1), price_band=D("0.2")), **order)


@pytest.mark.parametrize(
    "price", ["-100%", "-30000", "-99999", "0", "50%", "++1", "+", "#", "1e5", "-1e5", None, "NaN"]
)
def test_a_price_that_comes_to_nothing_or_cannot_be_read_is_denied(price):
    for policy in (IN_QUOTE, Policy(price_band=D(1))):
        assert judged(policy, ordertype="limit", price=price, volume="0.0000001")


TRIGGERED = [
    ({"ordertype": "stop-loss", "price": "60000"}, 60_000),
    ({"ordertype": "take-profit", "price": "10000"}, 30_000),
    ({"ordertype": "stop-loss-limit", "price": "31000", "price2": "32000"}, 32_000),
    ({"ordertype": "take-profit-limit", "price": "29000", "price2": "28000", "type": "buy"}, 28_000),
    ({"ordertype": "take-profit-limit", "price": "29000", "price2": "28000", "type": "sell"}, 30_000),
    ({"ordertype": "trailing-stop", "price": "+10%"}, 33_000),
    ({"ordertype": "trailing-stop", "price": "+1000"}, 31_000),
    ({"ordertype": "trailing-stop-limit", "price": "+1000", "price2": "-500", "type": "buy"}, 31_500),
    ({"ordertype": "iceberg", "price": "30000", "displayvol": "0.1"}, 30_000),
    ({"ordertype": "settle-position"}, 30_000),
]


@pytest.mark.parametrize(("order", "value"), TRIGGERED)
def test_an_order_that_waits_is_valued_at_the_dearer_end(order, value):
    assert judged(Policy(max_order=Cap(D(value))), volume="1", **order) is None
    assert judged(Policy(max_order=Cap(D(value) - 1)), volume="1", **order)


def test_a_limit_relative_to_a_trigger_cannot_be_told():
    order = {"ordertype": "stop-loss-limit", "price": "31000", "price2": "+10", "volume": "0.0001"}
    assert "price2 is relative" in judged(IN_QUOTE, **order)
    assert judged(Policy(), **order) is None


def test_a_volume_in_quote_is_read_so_for_a_market_buy_alone():
    flagged = {"oflags": "fciq,viqc", "volume": "500"}
    assert judged(IN_QUOTE, ordertype="market", **flagged) is None
    assert judged(IN_QUOTE, ordertype="market", **flagged | {"volume": "501"})
    assert judged(Policy(max_order=Cap(D("0.01"), "XBT")), ordertype="market", **flagged)
    assert "viqc" in judged(IN_QUOTE, ordertype="limit", price="0.0001", **flagged)
    assert "viqc" in judged(IN_QUOTE, ordertype="market", **flagged | {"type": "sell"})
    assert "viqc" in judged(IN_QUOTE, ordertype="market", **flagged | {"oflags": ["viqc"], "type": "sell"})


def test_every_order_of_a_batch_is_judged():
    small = {"ordertype": "limit", "type": "buy", "price": "30000", "volume": "0.001"}
    batch = {"pair": "XBTUSD", "orders": [small, small | {"volume": "1"}]}
    assert size_refusal(IN_QUOTE, {"orders": [small, small]}, XBTUSD, LAST) is None
    assert "30000 USD" in size_refusal(IN_QUOTE, batch, XBTUSD, LAST)


def test_an_order_beside_a_batch_is_denied():
    small = {"ordertype": "limit", "type": "buy", "price": "30000", "volume": "0.001"}
    for beside in (
        {"ordertype": "market", "type": "buy", "volume": "9"},
        {"txid": "O", "order_qty": "9"},
        {"price": "1"},
    ):
        assert "which one counts" in size_refusal(
            IN_QUOTE, {"orders": [small, small], **beside}, XBTUSD, LAST, EXISTING
        )


def test_a_closing_order_is_judged_too():
    order = {"ordertype": "limit", "price": "30000", "volume": "0.01"}
    dear = {"close[ordertype]": "limit", "close[price]": "90000"}
    assert judged(IN_QUOTE, **order) is None
    assert judged(IN_QUOTE, **order, **dear)
    assert judged(IN_QUOTE, **order, close={"ordertype": "limit", "price": "90000"})
    assert judged(IN_QUOTE, **order, close={"ordertype": "stop-loss", "price": "29000"}) is None
    assert judged(IN_QUOTE, **order, close="limit")
    assert judged(IN_QUOTE, **order, close={"ordertype": "limit", "price": "1"}, **dear)
    assert judged(Policy(price_band=D("0.05")), **order, close={"ordertype": "limit", "price": "29000"}) is None
    assert judged(Policy(price_band=D("0.05")), **order, close={"ordertype": "limit", "price": "20000"})


@pytest.mark.parametrize("last", [D(0), D(-1), D("NaN"), D("Infinity")])
def test_without_a_last_price_it_is_denied(last):
    assert judged(IN_QUOTE, last=last, ordertype="limit", price="1", volume="0.1") == "the last price is not known"


# --- changes ---

EXISTING = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "29000"}


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ({"order_qty": "0.01"}, True),
        ({"order_qty": "0.02"}, False),
        ({"limit_price": "31000"}, True),
        ({"limit_price": "51000"}, False),
        ({"volume": "0.02", "price": "20000"}, True),
        ({"volume": "0.02"}, False),
        ({"price": "51000"}, False),
        ({"post_only": True}, True),
        ({"limit_price": "51000", "ordertype": "market", "type": "buy", "volume": "0.0001"}, False),
        ({"limit_price": "29000", "price": "1"}, False),
        ({"limit_price": "51000", "trigger_price": "1"}, False),
        ({"volume": "400", "oflags": "viqc"}, False),
        ({"order_qty": "1e-9"}, False),
        ({"display_qty": "5", "volume": "0.02", "ordertype": "market"}, False),
    ],
)
def test_a_change_is_judged_by_the_order_it_makes(change, passes):
    assert (size_refusal(IN_QUOTE, {"txid": "O", **change}, XBTUSD, LAST, EXISTING) is None) == passes
    assert "not known here" in size_refusal(IN_QUOTE, {"txid": "O", **change}, XBTUSD, LAST, None)


def test_an_amended_trigger_and_limit_stand_where_they_belong():
    existing = {"type": "sell", "ordertype": "stop-loss-limit", "volume": "0.01", "price": "29000", "price2": "28900"}
    policy = Policy(price_band=D("0.05"))
    for change, passes in (({"limit_price": "29500"}, True), ({"limit_price": "20000"}, False)):
        assert (size_refusal(policy, {"txid": "O", **change}, XBTUSD, LAST, existing) is None) == passes
    assert size_refusal(policy, {"txid": "O", "trigger_price": "20000"}, XBTUSD, LAST, existing) is None
    stop = existing | {"ordertype": "stop-loss"}
    assert "limit_price" in size_refusal(policy, {"txid": "O", "limit_price": "1"}, XBTUSD, LAST, stop)


def test_a_band_says_nothing_of_a_price_that_is_not_changed():
    far = EXISTING | {"price": "20000"}
    policy = Policy(price_band=D("0.05"))
    assert size_refusal(policy, {"txid": "O", "order_qty": "0.005"}, XBTUSD, LAST, far) is None
    assert size_refusal(policy, {"txid": "O", "limit_price": "20000"}, XBTUSD, LAST, far)


def test_a_row_of_kraken_s_open_orders_can_be_what_is_changed():
    row = {
        "vol": "0.01000000",
        "oflags": "fciq",
        "descr": {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "29000.0", "price2": "0"},
    }
    assert size_refusal(IN_QUOTE, {"txid": "O", "order_qty": "0.017"}, XBTUSD, LAST, row_as_order(row)) is None
    assert size_refusal(IN_QUOTE, {"txid": "O", "order_qty": "0.018"}, XBTUSD, LAST, row_as_order(row))
    assert size_refusal(IN_QUOTE, {"txid": "O", "order_qty": "0.01"}, XBTUSD, LAST, row_as_order({"descr": 5}))


# --- the band ---


@pytest.mark.parametrize(
    ("order", "passes"),
    [
        ({"ordertype": "limit", "price": "31500"}, True),
        ({"ordertype": "limit", "price": "28500"}, True),
        ({"ordertype": "limit", "price": "31500.1"}, False),
        ({"ordertype": "limit", "price": "28499.9"}, False),
        ({"ordertype": "limit", "price": "+5%"}, True),
        ({"ordertype": "limit", "price": "-5.1%"}, False),
        ({"ordertype": "limit", "price": "#1501"}, False),
        ({"ordertype": "market"}, True),
        ({"ordertype": "stop-loss", "price": "20000"}, True),
        ({"ordertype": "stop-loss-limit", "price": "29000", "price2": "28900"}, True),
        ({"ordertype": "stop-loss-limit", "price": "29000", "price2": "20000"}, False),
        ({"ordertype": "trailing-stop", "price": "+20%"}, True),
        ({"ordertype": "trailing-stop-limit", "price": "+600", "price2": "-900"}, True),
        ({"ordertype": "trailing-stop-limit", "price": "+600", "price2": "-901"}, False),
    ],
)
def test_a_limit_price_stays_within_the_band(order, passes):
    for side in ("buy", "sell"):
        assert (judged(Policy(price_band=D("0.05")), volume="1", **order | {"type": side}) is None) == passes


@given(
    st.sampled_from(["buy", "sell"]),
    st.sampled_from(["limit", "iceberg", "market", "stop-loss", "take-profit"]),
    st.decimals("0.0001", 100, places=4),
    st.decimals(1, 100_000, places=1),
)
def test_what_passes_cannot_cost_more_than_the_cap_where_it_can_fill_now(side, kind, volume, price):
    """A buy pays its limit at most; anything that fills at once fills at the market."""
    passes = judged(IN_QUOTE, type=side, ordertype=kind, volume=f"{volume:f}", price=f"{price:f}") is None
    at_most = price if (side, kind) in {("buy", "limit"), ("buy", "iceberg")} else LAST
    if volume * at_most > 500:
        assert not passes
    if volume * max(price, LAST) <= 500:
        assert passes


FIELDS = ("ordertype", "type", "volume", "price", "price2", "oflags", "close", "orders", "txid", "order_qty")
FIELDS += ("limit_price", "trigger_price", "close[ordertype]", "close[price]")
WORDS = ("limit", "market", "stop-loss-limit", "trailing-stop-limit", "buy", "viqc", "+5%", "#1", "1", "0.5")
PLAIN = st.sampled_from(WORDS) | st.text(max_size=12) | st.none() | st.booleans() | st.floats() | st.integers()
ORDERS = st.dictionaries(st.sampled_from(FIELDS), PLAIN, max_size=4)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(FIELDS), PLAIN | ORDERS | st.lists(ORDERS, max_size=2), max_size=7))
def test_whatever_a_bot_sends_is_an_answer(order):
    for policy, existing in itertools.product((IN_QUOTE, Policy(price_band=D("0.1"))), (None, EXISTING)):
        said = size_refusal(policy, order, XBTUSD, LAST, existing)
        assert said is None or (0 < len(said) < 300 and said.isascii() and said.isprintable())


# --- the policy itself ---


def test_only_what_has_a_limit_needs_a_price():
    assert not priced(Policy(), "AddOrder")
    for policy in (IN_QUOTE, Policy(price_band=D("0.1"))):
        assert all(priced(policy, method) for method in ("AddOrder", "AddOrderBatch", "EditOrder", "AmendOrder"))
        assert not any(priced(policy, method) for method in ("CancelOrder", "Balance", "Withdraw"))


FULL = Policy(
    frozenset({"read", "trade", "fund", "ws-token", "Balance"}),
    frozenset({"XBTUSD", "ETHUSD"}),
    Cap(D("0.5"), "XBT"),
    D("0.05"),
    own_orders=False,
    share=D("0.25"),
)


@pytest.mark.parametrize("policy", [Policy(), IN_QUOTE, FULL])
def test_a_policy_comes_back_from_json(policy):
    assert Policy.loaded(json.loads(json.dumps(policy.stored()))) == policy


def test_a_stored_policy_with_a_field_too_many_or_too_few_is_refused():
    with pytest.raises(SettingsError, match="not a policy"):
        Policy.loaded(Policy().stored() | {"max_per_day": "5"})
    with pytest.raises(SettingsError, match="not a policy"):
        Policy.loaded({"allow": ["read"]})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"allow": frozenset()}, "nothing"),
        ({"allow": frozenset({"reads"})}, "reads"),
        ({"allow": frozenset({"balance"})}, "balance"),
        ({"pairs": frozenset()}, "pairs"),
        ({"max_order": Cap(D(0))}, "max-order"),
        ({"max_order": Cap(D("Infinity"))}, "max-order"),
        ({"price_band": D(0)}, "price-band"),
        ({"price_band": D("1.01")}, "price-band"),
        ({"share": D(2)}, "share"),
        ({"own_orders": "no"}, "own_orders"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(fields, named):
    with pytest.raises(SettingsError, match=named):
        Policy(**fields)


def test_a_policy_in_a_sentence():
    assert told(Policy()) == "may read, trade and cancel; its own orders only"
    assert told(FULL) == (
        "may read, trade, move funds, take WebSocket tokens and Balance; orders on ETHUSD and XBTUSD only; each of at "
        "most 0.5 XBT; limit prices within 5% of the last; all orders of the account; at most 25% of the account's "
        "rate budget"
    )
