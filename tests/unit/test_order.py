"""An order's parameters, its ids and its intent."""

from decimal import Decimal

import pytest

from sealane.client.orders import Limits, changed, named, one_order, rfc3339
from sealane.core.order import Amended, Intent, NotAmended, NotPlaced, Placed, amount, checked_id, digest_of
from sealane.errors import SettingsError

INTENT = Intent("a", "MASTER", "fp", "AddOrderBatch", ("a", "b"), "digest", 9, nonce=7, sent_ns=8, market=True)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (Decimal("0.10"), "0.10"),
        (Decimal("1E-8"), "0.00000001"),
        ("0.5", "0.5"),
        (2, "2"),
        ("+5", "+5"),
        ("#0.5%", "#0.5%"),
        (" 1.5 ", "1.5"),
    ],
)
def test_an_amount_is_sent_as_it_was_meant(given, sent):
    assert amount("volume", given) == sent


@pytest.mark.parametrize("given", [0.1, True, None, "", "1e5", "one", "1.2.3", "-", Decimal("NaN"), "0,5", b"1"])
def test_what_is_no_amount_is_refused_by_name(given):
    with pytest.raises(SettingsError, match="volume"):
        amount("volume", given)


@pytest.mark.parametrize(
    "name", ["6d1b345e-2821-40e2-ad83-4ecb18a06876", "6d1b345e282140e2ad834ecb18a06876", "my order"]
)
def test_client_order_ids_that_kraken_takes(name):
    assert checked_id(name) == name


@pytest.mark.parametrize("name", ["", "nineteen characters", "Größe", "tab\t", "6d1b345e-2821-40e2-ad83-4ecb18a0687"])
def test_client_order_ids_that_kraken_does_not_take(name):
    with pytest.raises(SettingsError, match="client_order_id"):
        checked_id(name)


def test_an_order_without_an_id_gets_one_that_says_nothing():
    ids = {one_order({"side": "buy", "volume": "1"})["cl_ord_id"] for _ in range(100)}
    assert len(ids) == 100
    assert all(checked_id(name) for name in ids)


def test_an_order_in_krakens_names():
    order = one_order(
        {"side": "sell", "volume": Decimal(1), "price": "5", "client_order_id": "me", "oflags": "post", "price2": None}
    )
    assert order == {
        "type": "sell",
        "ordertype": "limit",
        "volume": "1",
        "price": "5",
        "oflags": "post",
        "cl_ord_id": "me",
    }


@pytest.mark.parametrize(
    ("order", "word"),
    [
        ({"side": "long", "volume": "1"}, "side"),
        ({"volume": "1"}, "side"),
        ({"side": "buy"}, "volume"),
        ({"side": "buy", "volume": "1", "userref": 7}, "userref"),
        ({"side": "buy", "volume": "1", "cl_ord_id": "x"}, "client_order_id"),
        ({"side": "buy", "volume": "1", "deadline": "x"}, "deadline_s"),
        ({"side": "buy", "volume": "1", "price2": 0.5}, "price2"),
    ],
)
def test_an_order_that_cannot_be_meant_names_what_is_wrong(order, word):
    with pytest.raises(SettingsError, match=word):
        one_order(order)


def test_limits_are_krakens():
    for deadline_s, timeout_s in ((2, 90), (61, 90), (10, 0), (10, 99_999)):
        with pytest.raises(SettingsError):
            Limits(deadline_s, timeout_s)


def test_an_order_is_named_in_one_way_and_a_change_changes_something():
    assert named("OA", None) == {"txid": "OA"}
    assert named(None, "me") == {"cl_ord_id": "me"}
    assert changed("1", None, {"post_only": True}, ("order_qty", "limit_price")) == {
        "order_qty": "1",
        "post_only": True,
    }
    for wrong in ((None, None), ("OA", "me")):
        with pytest.raises(SettingsError, match="txid"):
            named(*wrong)
    with pytest.raises(SettingsError, match="nothing"):
        changed(None, None, {}, ("order_qty", "limit_price"))


def test_a_digest_is_of_what_was_asked_and_not_of_when():
    asked = {"pair": "XBTUSD", "volume": "1", "deadline": "now"}
    assert digest_of("AddOrder", asked) == digest_of("AddOrder", asked | {"deadline": "later"})
    assert digest_of("AddOrder", asked) != digest_of("AddOrder", asked | {"volume": "2"})


def test_a_deadline_is_written_as_kraken_reads_it():
    assert rfc3339(1_800_000_000_123_456_789) == "2027-01-15T08:00:00.123Z"


@pytest.mark.parametrize(
    "ends",
    [
        {},
        {"a": Placed("O", "a", "buy", "answered")},
        {"a": Placed("O", "a", "buy", "found"), "b": NotPlaced("why", "EOrder:x", "b")},
        {"a": Amended("O", "replayed"), "b": NotAmended("why")},
    ],
)
def test_an_intent_comes_back_as_it_was_stored(ends):
    intent = INTENT.with_ends(ends)
    assert Intent.loaded(intent.stored()) == intent
    assert intent.stored()["settled"] is (len(ends) == 2)


@pytest.mark.parametrize(
    "stored", [{}, {"id": "a"}, {"order_ids": 3}, {**INTENT.stored(), "ends": {"a": {"end": "?"}}}]
)
def test_what_is_no_intent_is_said_to_be_none(stored):
    with pytest.raises(ValueError, match="intent"):
        Intent.loaded(stored)


def test_an_intent_of_a_later_release_is_read():
    assert Intent.loaded({**INTENT.stored(), "colour": "red"}) == INTENT
