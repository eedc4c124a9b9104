"""Batches, amends, edits, cancels and the cancel-all timer; what each call reports to the trading counters."""

from decimal import Decimal as D

import pytest

from sealane.simulator.touches import Touch
from trading_desk import START_NS, Desk

TICK = D("0.1")
PAIR = "XXBTZUSD"


@pytest.fixture
def desk():
    return Desk(accounts=3)


def row(**changes):
    plain = {"ordertype": "limit", "type": "buy", "volume": "0.01", "price": "50000"}
    return {name: value for name, value in (plain | changes).items() if value is not None}


def inside(desk):
    return desk.bitcoin.bid + TICK


# --- AddOrderBatch ---


def test_a_batch_answers_for_each_of_its_orders(desk):
    orders = [row(cl_ord_id="a"), row(volume="100"), row(cl_ord_id="a"), row(price="90000", oflags="post"), row()]
    answer = desk.call("AddOrderBatch", pair="XBTUSD", orders=orders)["orders"]
    assert [order.get("error") for order in answer] == [
        None,
        "EOrder:Insufficient funds",
        "EOrder:Duplicate cl_ord_id",
        "EOrder:Post only order",
        None,
    ]
    assert answer[0]["descr"] == {"order": "buy 0.01000000 XBTUSD @ limit 50000.0"}
    assert set(desk.call("OpenOrders")["open"]) == {answer[0]["txid"], answer[4]["txid"]}
    assert desk.touched == []
    desk.audit()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"orders": [row()]}, "EGeneral:Invalid arguments:orders"),
        ({"orders": [row()] * 16}, "EGeneral:Invalid arguments:orders"),
        ({"orders": "two"}, "EGeneral:Invalid arguments:orders"),
        ({"orders": [row(), "two"]}, "EGeneral:Invalid arguments:orders"),
        (
            {"orders": [row(), row(price="50000.01")]},
            "EOrder:Invalid price:XBTUSD price can only be specified up to 1 decimals.",
        ),
        ({"orders": [row(), row(volume="0.00001")]}, "EOrder:Order minimum not met"),
        ({"orders": [row(), row(pair="ETHUSD")]}, "EGeneral:Invalid arguments:pair"),
        ({"orders": [row(), row()], "deadline": "2025-01-01T00:00:00Z"}, "EService:Deadline elapsed"),
        ({"orders": [row(), row()], "pair": "NIJA"}, "EQuery:Unknown asset pair"),
    ],
)
def test_a_batch_with_a_bad_field_places_nothing(desk, fields, error):
    assert desk.said("AddOrderBatch", **({"pair": "XBTUSD"} | fields)) == error
    assert desk.accounts["MASTER"].open == {}


def test_a_batch_that_is_only_validated_places_nothing(desk):
    answer = desk.call("AddOrderBatch", pair="XBTUSD", orders=[row(), row()], validate=True)
    assert answer == {"orders": [{"descr": {"order": "buy 0.01000000 XBTUSD @ limit 50000.0"}}] * 2}
    assert desk.touched == [Touch(PAIR, "batch_add", 0, 2)]
    assert desk.accounts["MASTER"].open == {}


# --- AmendOrder ---


def test_an_amend_keeps_id_fills_and_hold_exact(desk):
    txid = desk.place(price=str(inside(desk)), volume="1", cl_ord_id="mine")
    desk.place(by="user1", type="sell", ordertype="market", volume="0.4")
    desk.after(3)
    amend_id = desk.call("AmendOrder", cl_ord_id="mine", order_qty="0.6", limit_price="50000")["amend_id"]
    assert desk.touched == [Touch(PAIR, "amend", 3.0, 1)]
    order = desk.order(txid)
    assert (order["vol"], order["vol_exec"], order["descr"]["price"]) == ("0.60000000", "0.40000000", "50000.0")
    assert (order["misc"], order["status"]) == ("amended", "open")
    assert D(desk.call("BalanceEx")["ZUSD"]["hold_trade"]) == 10000 + 25
    history = desk.call("OrderAmends", order_id=txid)
    assert history["count"] == 2
    assert [amend["amend_type"] for amend in history["amends"]] == ["original", "user"]
    assert history["amends"][1] == {
        "amend_id": amend_id,
        "amend_type": "user",
        "order_qty": "0.60000000",
        "remaining_qty": "0.20000000",
        "limit_price": "50000.0",
        "timestamp": desk.now_ns,
    }
    assert history["amends"][0]["timestamp"] == START_NS
    desk.audit()


@pytest.mark.parametrize(
    ("change", "first"),
    [({"order_qty": "0.05"}, "old"), ({"order_qty": "0.2"}, "new"), ({"limit_price": "again"}, "old")],
)
def test_an_amend_keeps_the_place_in_the_queue_unless_it_asks_for_more(desk, change, first):
    price = str(inside(desk))
    old = desk.place(price=price)
    new = desk.place(by="user1", price=price)
    desk.call("AmendOrder", txid=old, **{name: price if value == "again" else value for name, value in change.items()})
    desk.place(by="user2", type="sell", ordertype="market", volume="0.01")
    filled = {"old": desk.order(old)["vol_exec"], "new": desk.order(new, by="user1")["vol_exec"]}
    assert [name for name, volume in filled.items() if D(volume)] == [first]
    desk.audit()


def test_an_amend_below_what_is_filled_ends_the_order(desk):
    txid = desk.place(price=str(inside(desk)), volume="1")
    desk.place(by="user1", type="sell", ordertype="market", volume="0.4")
    desk.call("AmendOrder", txid=txid, order_qty="0.3")
    order = desk.order(txid)
    assert (order["status"], order["vol"], order["vol_exec"]) == ("canceled", "0.40000000", "0.40000000")
    desk.audit()


def test_an_amend_across_the_spread_takes(desk):
    txid = desk.place(price="50000")
    assert desk.said("AmendOrder", txid=txid, limit_price=str(desk.bitcoin.ask), post_only="true") == (
        "EOrder:Post only order"
    )
    assert desk.order(txid)["descr"]["price"] == "50000.0"
    desk.call("AmendOrder", txid=txid, limit_price=str(desk.bitcoin.ask))
    assert desk.order(txid)["status"] == "closed"
    desk.audit()


def test_triggers_icebergs_and_trailing_stops_are_amended(desk):
    stop = desk.place(type="sell", ordertype="stop-loss-limit", price="50000", price2="49900")
    desk.call("AmendOrder", txid=stop, trigger_price="50500", limit_price="50400")
    assert desk.order(stop)["descr"]["order"].endswith("stop loss 50500.0 -> limit 50400.0")
    trail = desk.place(type="sell", ordertype="trailing-stop", price="+100")
    desk.call("AmendOrder", txid=trail, trigger_price="+50")
    assert D(desk.order(trail)["stopprice"]) == desk.bitcoin.last - 50
    iceberg = desk.place(ordertype="iceberg", price="50000", displayvol="0.05")
    desk.call("AmendOrder", txid=iceberg, display_qty="0.02")
    assert desk.order(iceberg)["displayvol"] == "0.02000000"
    desk.audit()
    desk.call("AmendOrder", txid=stop, trigger_price=str(desk.bitcoin.last), limit_price="90000")
    assert desk.order(stop)["misc"] == "stopped,amended"
    assert desk.said("AmendOrder", txid=stop, trigger_price="50000") == "EGeneral:Invalid arguments:trigger_price"
    desk.audit()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"txid": None, "order_qty": "1"}, "EGeneral:Invalid arguments"),
        ({"cl_ord_id": "mine", "order_qty": "1"}, "EGeneral:Invalid arguments"),
        ({"txid": "OAAAAA-AAAAA-AAAAAA", "order_qty": "1"}, "EOrder:Unknown order"),
        ({}, "EGeneral:Invalid arguments"),
        ({"order_qty": "100"}, "EOrder:Insufficient funds"),
        ({"order_qty": "0.00001"}, "EOrder:Order minimum not met"),
        ({"limit_price": "50000.01"}, "EOrder:Invalid price:XBTUSD price can only be specified up to 1 decimals."),
        ({"trigger_price": "50000"}, "EGeneral:Invalid arguments:trigger_price"),
        ({"display_qty": "0.01"}, "EGeneral:Invalid arguments:display_qty"),
        ({"order_qty": "0.2", "deadline": "2025-01-01T00:00:00Z"}, "EService:Deadline elapsed"),
    ],
)
def test_amends_that_are_refused_leave_the_order_alone(desk, fields, error):
    txid = desk.place(price="50000")
    before = desk.order(txid), desk.call("BalanceEx")
    wanted = {name: value for name, value in ({"txid": txid} | fields).items() if value is not None}
    assert desk.said("AmendOrder", **wanted) == error
    assert (desk.order(txid), desk.call("BalanceEx")) == before
    desk.audit()


def test_an_order_that_was_never_amended_has_its_original(desk):
    txid = desk.place(price="50000", oflags="post")
    (only,) = desk.call("OrderAmends", order_id=txid)["amends"]
    assert (only["amend_type"], only["limit_price"], only["post_only"]) == ("original", "50000.0", True)
    assert desk.call("OrderAmends", order_id=txid)["amends"] == [only]
    assert desk.said("OrderAmends", order_id="OAAAAA-AAAAA-AAAAAA") == "EOrder:Unknown order"


# --- EditOrder ---


def test_an_edit_is_a_cancel_and_a_new_order(desk):
    txid = desk.place(price=str(inside(desk)), volume="1", userref="7")
    desk.place(by="user1", type="sell", ordertype="market", volume="0.4")
    desk.after(12)
    answer = desk.call("EditOrder", pair="XBTUSD", txid=txid, price="50000", userref="8")
    assert desk.touched == [Touch(PAIR, "edit", 12.0, 1)]
    new = answer["txid"]
    assert answer == {
        "status": "ok",
        "txid": new,
        "originaltxid": txid,
        "volume": "0.60000000",
        "price": "50000.0",
        "orders_cancelled": 1,
        "descr": {"order": "buy 0.60000000 XBTUSD @ limit 50000.0"},
        "newuserref": "8",
        "olduserref": "7",
    }
    old = desk.order(txid)
    assert (old["status"], old["reason"], old["vol_exec"]) == ("canceled", "Order replaced", "0.40000000")
    assert (desk.order(new)["status"], desk.order(new)["vol_exec"]) == ("open", "0.00000000")
    desk.audit()


def test_an_edit_may_spend_what_the_old_order_held(desk):
    txid = desk.place(price="50000", volume="1.9")
    new = desk.call("EditOrder", pair="XBTUSD", txid=txid, price="52000")["txid"]
    assert desk.order(new)["status"] == "open"
    assert desk.said("EditOrder", pair="XBTUSD", txid=new, volume="2") == "EOrder:Insufficient funds"
    assert desk.order(new)["status"] == "open"
    desk.audit()


def test_an_edit_keeps_what_it_is_not_told(desk):
    txid = desk.place(type="sell", ordertype="trailing-stop-limit", price="+2.5%", price2="-10", expiretm="+600")
    new = desk.call("EditOrder", pair="XBTUSD", txid=txid, volume="0.2")["txid"]
    before, after = desk.order(txid), desk.order(new)
    assert after["vol"] == "0.20000000"
    assert (after["descr"]["price"], after["descr"]["price2"]) == ("+2.5000%", "-10.0")
    assert after["expiretm"] == before["expiretm"]
    assert after["stopprice"] == before["stopprice"]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"txid": "OAAAAA-AAAAA-AAAAAA"}, "EOrder:Unknown order"),
        ({"pair": "ETHUSD"}, "EOrder:Unknown order"),
        ({"oflags": "viqc"}, "EGeneral:Invalid arguments:oflags"),
        ({"price2": "5"}, "EGeneral:Invalid arguments:price2"),
        ({"cl_ord_id": "x"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"price": "90000", "oflags": "post"}, "EOrder:Post only order"),
    ],
)
def test_edits_that_are_refused_leave_the_order_alone(desk, fields, error):
    txid = desk.place(price="50000")
    assert desk.said("EditOrder", **({"pair": "XBTUSD", "txid": txid} | fields)) == error
    assert desk.touched[0].what == "edit"
    assert list(desk.call("OpenOrders")["open"]) == [txid]
    assert desk.call("EditOrder", pair="XBTUSD", txid=txid, price="49000", validate="true")["status"] == "ok"
    assert list(desk.call("OpenOrders")["open"]) == [txid]


# --- cancelling ---


def test_cancels_report_the_age_of_each_order(desk):
    one = desk.place(price="50000", userref="7")
    desk.after(4)
    desk.place(price="50000", userref="7")
    desk.after(2)
    desk.call("AmendOrder", txid=one, limit_price="50001")
    desk.after(1.5)
    assert desk.call("CancelOrder", userref="7") == {"count": 2}
    assert desk.touched == [Touch(PAIR, "cancel", 1.5, 1), Touch(PAIR, "cancel", 3.5, 1)]


def test_a_batch_of_cancels(desk):
    a, b, c, d = (desk.place(price="50000", cl_ord_id=name) for name in "abcd")
    e = desk.place(price="50000", userref="5")
    assert desk.call("CancelOrderBatch", orders=[a, 5, {"txid": b}, "OAAAAA-AAAAA-AAAAAA"], cl_ord_ids=["c", "c"]) == {
        "count": 4
    }
    assert [touch.what for touch in desk.touched] == ["batch_cancel"] * 4
    assert list(desk.accounts["MASTER"].open) == [d]
    assert desk.order(e)["status"] == desk.order(c)["status"] == "canceled"
    assert desk.said("CancelOrderBatch", orders=[a]) == "EOrder:Unknown order"
    assert desk.said("CancelOrderBatch", orders=["x"] * 51) == "EGeneral:Invalid arguments"
    assert desk.said("CancelOrderBatch") == "EGeneral:Invalid arguments"
    assert desk.said("CancelOrderBatch", orders="x") == "EGeneral:Invalid arguments:orders"


def test_cancel_all_is_for_the_account_and_every_pair(desk):
    desk.place(price="50000")
    desk.place(pair="ETHUSD", price="2000", type="buy")
    other = desk.place(by="user1", price="50000")
    assert desk.call("CancelAll") == {"count": 2}
    assert {touch.pair for touch in desk.touched} == {PAIR, "XETHZUSD"}
    assert desk.call("CancelAll") == {"count": 0}
    assert desk.order(other, by="user1")["status"] == "open"
    desk.audit()


def test_the_dead_mans_switch(desk):
    kept = desk.place(by="user1", price="50000")
    txid = desk.place(price="50000")
    answer = desk.call("CancelAllOrdersAfter", timeout="60")
    assert answer == {"currentTime": "2025-11-21T09:40:00Z", "triggerTime": "2025-11-21T09:41:00Z"}
    desk.after(40)
    desk.call("CancelAllOrdersAfter", timeout="60")
    desk.after(59)
    assert desk.order(txid)["status"] == "open"
    desk.after(3600)
    row = desk.order(txid)
    assert (row["status"], row["closetm"]) == ("canceled", START_NS // 10**9 + 100)
    again = desk.place(price="50000")
    assert desk.call("CancelAllOrdersAfter", timeout="10")["triggerTime"] != "0"
    assert desk.call("CancelAllOrdersAfter", timeout="0")["triggerTime"] == "0"
    desk.after(3600)
    assert desk.order(again)["status"] == desk.order(kept, by="user1")["status"] == "open"
    for timeout in ("-1", "86400", "soon", ""):
        assert desk.said("CancelAllOrdersAfter", timeout=timeout) == "EGeneral:Invalid arguments:timeout"


# --- what nobody documents ---


@pytest.mark.parametrize("goes_off", [True, False])
def test_whether_a_met_trigger_goes_off_is_a_switch(goes_off):
    desk = Desk(met_trigger_goes_off=goes_off)
    stop = {"type": "sell", "ordertype": "stop-loss", "price": "90000"}
    if goes_off:
        assert desk.order(desk.place(**stop))["status"] == "closed"
    else:
        assert desk.said("AddOrder", pair="XBTUSD", volume="0.1", **stop).startswith("EOrder:Invalid price:")
        assert desk.order(desk.place(**stop | {"price": "50000"}))["status"] == "open"


@pytest.mark.parametrize("fails", [True, False])
def test_whether_a_batch_cancel_of_nothing_fails_is_a_switch(fails):
    desk = Desk(cancel_batch_of_unknown_fails=fails)
    if fails:
        assert desk.said("CancelOrderBatch", orders=["OAAAAA-AAAAA-AAAAAA"]) == "EOrder:Unknown order"
    else:
        assert desk.call("CancelOrderBatch", orders=["OAAAAA-AAAAA-AAAAAA"]) == {"count": 0}


@pytest.mark.parametrize(("counts", "volume"), [(True, "0.50000000"), (False, "0.90000000")])
def test_whether_an_edits_volume_counts_fills_is_a_switch(counts, volume):
    desk = Desk(edit_volume_counts_filled=counts)
    txid = desk.place(price=str(inside(desk)), volume="1")
    desk.place(by="user1", type="sell", ordertype="market", volume="0.4")
    assert desk.said("EditOrder", pair="XBTUSD", txid=txid, volume="0.4") == "EGeneral:Invalid arguments:volume"
    assert desk.call("EditOrder", pair="XBTUSD", txid=txid, price="50000", volume="0.9")["volume"] == volume
    assert desk.said("EditOrder", pair="XBTUSD", txid=txid, volume="0.8") == "EOrder:Unknown order"
    desk.audit()


# --- what the counters go by ---


def test_live_orders_are_counted_by_pair(desk):
    desk.place(price="50000")
    desk.place(price="50000", starttm="+60")
    desk.place(pair="ETHUSD", price="2000")
    desk.place(ordertype="market")
    account = desk.accounts["MASTER"]
    assert [account.open_in(name) for name in (PAIR, "XETHZUSD", "SOLUSD")] == [2, 1, 0]
