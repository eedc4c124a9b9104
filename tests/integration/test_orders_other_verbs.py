"""Batches, amendments, edits and cancels over the wire, with lost answers; ids of other accounts and batches."""

import pytest

from sealane import Kraken, NotPlaced, Placed, SettingsError
from sealane.core.cancelling import Cancelled
from sealane.core.order import Amended, NotAmended

BUY = {"side": "buy", "volume": "0.01", "price": "1000"}
LOST = ["drop_before", "drop_after", "half", "http_after", "html"]
PLAIN = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "1000", "volume": "0.01"}


@pytest.fixture(autouse=True)
def short_lag(monkeypatch):
    monkeypatch.setenv("SEALANE_VISIBILITY_LAG_S", "0.3")


@pytest.fixture
def kraken(keys):
    with Kraken.from_env() as client:
        yield client


def book(sim, account="MASTER"):
    return sim.state()["accounts"][account]["orders"]


def is_open(sim):
    return [txid for txid, row in book(sim).items() if row["status"] == "open"]


@pytest.mark.parametrize("fault", [None, *LOST])
def test_a_batch(keys, kraken, fault):
    if fault:
        keys.add_fault(fault, methods=["AddOrderBatch"], count=1)
    ends = kraken.place_orders(pair="XBTUSD", orders=[BUY, BUY | {"volume": "1000000"}, BUY])
    assert [type(end) for end in ends] == [Placed, NotPlaced, Placed]
    assert sorted(end.txid for end in ends if isinstance(end, Placed)) == sorted(book(keys))


@pytest.mark.parametrize("fault", [None, *LOST])
def test_an_edit(keys, kraken, fault):
    old = kraken.private("AddOrder", PLAIN)["txid"][0]
    if fault:
        keys.add_fault(fault, methods=["EditOrder"], count=1)
    end = kraken.edit_order(txid=old, pair="XBTUSD", price="1001")
    assert [end.txid] == is_open(keys)


@pytest.mark.parametrize("fault", [None, *LOST])
@pytest.mark.parametrize("by", ["txid", "client_order_id"])
def test_an_amendment(keys, kraken, fault, by):
    placed = kraken.place_order(pair="XBTUSD", **BUY)
    if fault:
        keys.add_fault(fault, methods=["AmendOrder"], count=1)
    end = kraken.amend_order(**{by: getattr(placed, by)}, price="1001", volume="0.02")
    assert isinstance(end, Amended)
    assert (row := book(keys)[placed.txid])["descr"]["price"] == "1001.0", row


@pytest.mark.parametrize("change", [{"post_only": True}, {"display_qty": "0.005"}])
def test_an_amendment_that_never_arrived_is_none(keys, kraken, change):
    placed = kraken.place_order(pair="XBTUSD", **BUY)
    keys.add_fault("drop_before", methods=["AmendOrder"], count=1_000)
    assert isinstance(kraken.amend_order(txid=placed.txid, **change, deadline_s=3), NotAmended)


def test_a_relative_price_that_was_lost_is_amended(keys, kraken):
    placed = kraken.place_order(pair="XBTUSD", **BUY)
    keys.add_fault("drop_after", methods=["AmendOrder"], count=1)
    assert isinstance(kraken.amend_order(txid=placed.txid, price="+1%"), Amended)


@pytest.mark.parametrize("fault", [None, *LOST])
def test_cancels(keys, kraken, fault):
    placed = [kraken.place_order(pair="XBTUSD", **BUY) for _ in range(6)]
    if fault:
        for method in ("CancelOrder", "CancelOrderBatch", "CancelAll"):
            keys.add_fault(fault, methods=[method], count=1)
    assert isinstance(kraken.cancel_order(txid=placed[0].txid), Cancelled)
    ends = kraken.cancel_orders([order.txid for order in placed[1:4]])
    assert all(isinstance(end, Cancelled) for end in ends.values())
    assert isinstance(kraken.cancel_all(), Cancelled)
    assert is_open(keys) == []


def test_a_refusal_after_a_doubt_is_no_end_of_a_cancel(keys, kraken):
    placed = kraken.place_order(pair="XBTUSD", **BUY)
    keys.add_fault("error", error="EAPI:Rate limit exceeded", methods=["CancelOrder"], nth=2)
    keys.add_fault("drop_after", methods=["CancelOrder"], nth=1)
    assert isinstance(kraken.cancel_order(txid=placed.txid), Cancelled)


@pytest.mark.parametrize("field", ["userref", "cl_ord_id", "validate"])
def test_an_edit_keeps_the_field_by_which_it_is_found(keys, kraken, field):
    with pytest.raises(SettingsError, match=field):
        kraken.edit_order(txid="OAAAAA-AAAAA-AAAAAA", pair="XBTUSD", price="1", **{field: 5})


def test_an_id_is_of_one_account(keys, kraken):
    kraken.place_order(pair="XBTUSD", **BUY, client_order_id="signal 42")
    with Kraken.from_env("daivon_frazier") as other:
        with pytest.raises(SettingsError, match="MASTER"):
            other.place_order(pair="XBTUSD", **BUY, client_order_id="signal 42")
        with pytest.raises(SettingsError, match="MASTER"):
            other.await_order("signal 42")


def test_an_id_of_a_batch_is_used_up(keys, kraken):
    kraken.place_orders(pair="XBTUSD", orders=[BUY | {"client_order_id": name} for name in ("one", "two")])
    with pytest.raises(SettingsError, match="another order"):
        kraken.place_order(pair="XBTUSD", **BUY, client_order_id="two")
    assert len(book(keys)) == 2
