"""What a call means for the counters, read from its parameters and its answer."""

import pytest

from sealane.core.counter import CANCELS, ORDERS, QUERIES
from sealane.core.nonce import NS_PER_S
from sealane.core.transaction import Note, notes_after, open_orders, opened, pair_name, transaction

NOW_NS = 1_800_000_000 * NS_PER_S


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("XXBTZUSD", "XBTUSD"),
        ("XBT/USD", "XBTUSD"),
        ("btcusd", "XBTUSD"),
        ("XETHXXBT", "ETHXBT"),
        ("ETH/BTC", "ETHXBT"),
        ("XDGUSD", "DOGEUSD"),
        ("SOLUSD", "SOLUSD"),
        ("MATICUSD", "MATICUSD"),
        ("", ""),
        ("A" * 40_000, ""),
    ],
)
def test_a_pair_has_one_name(spelling, name):
    assert pair_name(spelling) == name


@pytest.mark.parametrize(
    ("method", "rank"),
    [
        ("CancelOrder", CANCELS),
        ("CancelAll", CANCELS),
        ("CancelAllOrdersAfter", CANCELS),
        ("AddOrder", ORDERS),
        ("Withdraw", ORDERS),
        ("Balance", QUERIES),
        ("OpenOrders", QUERIES),
    ],
)
def test_cancels_go_before_orders_and_orders_before_queries(method, rank):
    assert transaction(method, {}).rank == rank


def test_an_order_costs_one_on_its_pair_and_a_batch_half_of_each():
    assert transaction("AddOrder", {"pair": "XXBTZUSD"}).costs({}, NOW_NS) == {"XBTUSD": 1}
    batch = transaction("AddOrderBatch", {"pair": "XBTUSD", "orders": [{"ordertype": "limit"}] * 6})
    assert (batch.count, batch.costs({}, NOW_NS)) == (6, {"XBTUSD": 3})
    unread = transaction("AddOrderBatch", {"pair": "XBTUSD", "orders": "[…]"})
    assert unread.costs({}, NOW_NS) == {"XBTUSD": 7.5}, "where they cannot be counted, as many as there may be"


def test_a_cancel_is_charged_by_the_order_s_note():
    notes = {"OA": Note("XBTUSD", NOW_NS - 7 * NS_PER_S), "mine": Note("ETHUSD", NOW_NS - 400 * NS_PER_S)}
    assert transaction("CancelOrder", {"txid": "OA"}).costs(notes, NOW_NS) == {"XBTUSD": 6}
    assert transaction("CancelOrder", {"cl_ord_id": "mine"}).costs(notes, NOW_NS) == {"ETHUSD": 0}
    assert transaction("CancelOrder", {"txid": "unknown"}).costs(notes, NOW_NS) == {"?": 8}
    batch = transaction("CancelOrderBatch", {"orders": ["OA", {"txid": "unknown"}], "cl_ord_ids": ["mine"]})
    assert batch.costs(notes, NOW_NS) == {"XBTUSD": 6, "?": 8, "ETHUSD": 0}


def test_amend_and_edit_have_a_fixed_part_that_a_refusal_is_charged_too():
    notes = {"OA": Note("XBTUSD", NOW_NS - 2 * NS_PER_S)}
    amend = transaction("AmendOrder", {"txid": "OA"})
    edit = transaction("EditOrder", {"txid": "OA", "pair": "XBTUSD"})
    cancel = transaction("CancelOrder", {"txid": "OA"})
    assert [call.costs(notes, NOW_NS)["XBTUSD"] for call in (amend, edit, cancel)] == [4, 7, 8]
    assert [call.fixed_costs(notes, NOW_NS)["XBTUSD"] for call in (amend, edit, cancel)] == [1, 1, 0]
    assert transaction("AddOrder", {"pair": "XBTUSD"}).fixed_costs({}, NOW_NS) == {"XBTUSD": 1}


def test_it_says_when_an_order_gets_cheaper():
    notes = {"OA": Note("XBTUSD", NOW_NS - 7 * NS_PER_S), "OB": Note("XBTUSD", NOW_NS - 500 * NS_PER_S)}
    assert transaction("CancelOrder", {"txid": "OA,OB"}).next_step_s(notes, NOW_NS) == 3
    assert transaction("CancelOrder", {"txid": "OB"}).next_step_s(notes, NOW_NS) is None
    assert transaction("AddOrder", {"pair": "XBTUSD"}).next_step_s(notes, NOW_NS) is None


def test_an_answer_leaves_notes_of_what_was_placed():
    single = transaction("AddOrder", {"pair": "XBTUSD", "cl_ord_id": "mine", "ordertype": "limit"})
    answer = {"txid": ["OA"], "descr": {}}
    assert notes_after(single, answer, {}, NOW_NS) == {"OA": f"XBTUSD {NOW_NS} 1", "mine": "= OA"}
    assert opened(single, answer, {}) == {"XBTUSD": 1}
    assert not notes_after(single, {"descr": {}}, {}, NOW_NS), "validated only"
    orders = [{"ordertype": "limit", "userref": 7}, {"ordertype": "limit", "cl_ord_id": "b"}]
    batch = transaction("AddOrderBatch", {"pair": "XBTUSD", "orders": orders})
    mixed = {"orders": [{"error": "EOrder:Insufficient funds"}, {"txid": "OB", "descr": {}}]}
    assert notes_after(batch, mixed, {}, NOW_NS) == {"OB": f"XBTUSD {NOW_NS} 1", "b": "= OB"}
    assert opened(batch, mixed, {}) == {"XBTUSD": 1}
    edit = transaction("EditOrder", {"txid": "OA", "pair": "XBTUSD"})
    assert list(notes_after(edit, {"txid": "ON", "originaltxid": "OA"}, {}, NOW_NS)) == ["ON"]


def test_an_amended_order_is_young_again_under_every_name():
    kept = Note("XBTUSD", NOW_NS - 400 * NS_PER_S, "OA")
    amend = transaction("AmendOrder", {"cl_ord_id": "mine"})
    assert notes_after(amend, {"amend_id": "TA"}, {"mine": kept}, NOW_NS) == {"OA": f"XBTUSD {NOW_NS} 1"}


def test_the_orders_of_a_userref_are_counted():
    params = {"pair": "XBTUSD", "ordertype": "limit", "userref": 9}
    notes = {}
    for number in range(3):
        texts = notes_after(transaction("AddOrder", params), {"txid": [f"O{number}"]}, notes, NOW_NS)
        notes["9"] = Note.read("9", texts["9"])
    assert notes["9"].count == 3
    cancel = transaction("CancelOrder", {"txid": "9"})
    assert cancel.costs(notes, NOW_NS) == {"XBTUSD": 24}
    assert cancel.costs(notes, NOW_NS, count=5) == {"XBTUSD": 40}, "Kraken knew of more"
    assert opened(cancel, {"count": 3}, notes) == {"XBTUSD": -3}


def test_what_cannot_rest_is_not_counted_as_open():
    for params in (
        {"ordertype": "market"},
        {"ordertype": "limit", "validate": True},
        {"ordertype": "limit", "timeinforce": "IOC"},
    ):
        call = transaction("AddOrder", {"pair": "XBTUSD", **params})
        assert opened(call, {"txid": ["OA"]}, {}) == {}


def test_open_orders_are_counted_by_pair_and_only_where_all_are_shown():
    rows = {
        "OA": {"descr": {"pair": "XBTUSD"}},
        "OB": {"descr": {"pair": "XBTUSD"}},
        "OC": {"descr": {"pair": "ETHUSD"}},
    }
    assert open_orders({"open": rows}) == {"XBTUSD": 2, "ETHUSD": 1}
    assert open_orders(None) == {}
    assert transaction("OpenOrders", {"trades": True}).is_everything
    assert not transaction("OpenOrders", {"userref": 7}).is_everything


def test_a_note_is_read_as_it_was_written():
    note = Note("XBTUSD", NOW_NS, "OA", 3)
    assert Note.read("OA", str(note)) == note
    assert all(Note.read("OA", text) is None for text in ("", "XBTUSD", "XBTUSD soon", "= OB"))
