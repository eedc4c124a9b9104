"""Which orders are a key's own: by txid, by name, by looks; over kills; and the dead-man switches."""

import os
import stat
import threading
import timeit
import uuid

import pytest

from sealane.errors import NotDurable
from sealane.gateway.keys.ledger import CLOCKS_APART_S, Ledger
from sealane.gateway.keys.pairs import Pairs

NOW = 1_800_000_000.0
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.10", "price": "30000"}
PAIRS = Pairs({"XXBTZUSD": {"altname": "XBTUSD", "base": "XXBT", "quote": "ZUSD"}})


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "gateway" / "orders.sqlite3", lambda named: PAIRS.canonical(named).name)
    yield ledger
    ledger.close()


def asked(ledger, key, name, by="cl_ord_id", *, txid=None, at_s=NOW, order=ORDER, account="MASTER"):
    ledger.asked(key, name, by, order, at_s, account=account)
    if txid:
        ledger.placed(key, name, by, txid)


def row(*, userref=None, cl_ord_id=None, opentm=NOW + 1, **changes):
    """A row of OpenOrders."""
    told = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "30000.0", "price2": "0"} | changes
    found = {
        "status": "open",
        "opentm": opentm,
        "vol": told.pop("vol", "0.10000000"),
        "descr": told,
        "userref": userref,
    }
    return found | ({"cl_ord_id": cl_ord_id} if cl_ord_id else {})


def gave(ledger, key, name, by="cl_ord_id"):
    """Whether a key asked for an order of this name that was placed, or may be."""
    return ledger.placed_as(key, name, by) is not None or (by == "cl_ord_id" and ledger.is_awaited(key, name))


def test_an_order_is_its_key_s_by_txid_and_by_name(ledger):
    asked(ledger, "one", "my-order", txid="OTX-1")
    assert ledger.is_own("one", txid="OTX-1")
    assert gave(ledger, "one", "my-order")
    for key in ("other", "", "ONE"):
        assert not ledger.is_own(key, txid="OTX-1")
        assert not gave(ledger, key, "my-order")
    assert not ledger.is_own("one", txid="OTX-2")
    assert not gave(ledger, "one", "other-order")


def test_of_several_ids_all_must_be_its_own(ledger):
    asked(ledger, "one", "a", txid="OTX-1")
    asked(ledger, "two", "b", txid="OTX-2")
    assert not ledger.is_own("one", txid="OTX-2")
    assert not gave(ledger, "one", "b")


def test_a_userref_names_many(ledger):
    for number in range(3):
        asked(ledger, "one", "7", "userref", txid=f"OTX-{number}")
    assert gave(ledger, "one", "7", "userref")
    assert gave(ledger, "one", "7", "userref")
    assert not gave(ledger, "two", "7", "userref")
    assert all(ledger.is_own("one", txid=f"OTX-{number}") for number in range(3))
    assert not gave(ledger, "one", "7")


def test_a_uuid_is_one_name_however_it_is_written(ledger):
    name = str(uuid.UUID(int=0xABCDEF << 100))
    asked(ledger, "one", name)
    for spelling in (name.upper(), name.replace("-", ""), name.replace("-", "").upper()):
        assert gave(ledger, "one", spelling)
    asked(ledger, "one", "Short-Name")
    assert not gave(ledger, "one", "short-name")


def test_a_name_that_two_keys_gave_is_each_one_s_own(ledger):
    asked(ledger, "one", "x", txid="OTX-1")
    asked(ledger, "two", "x", txid="OTX-2")
    assert ledger.placed_as("one", "x", "cl_ord_id")[0] == "OTX-1"
    assert ledger.placed_as("two", "x", "cl_ord_id")[0] == "OTX-2"
    assert not ledger.is_own("one", txid="OTX-2")
    assert ledger.placed_as("three", "x", "cl_ord_id") is None


def test_an_order_that_was_refused_is_nobody_s(ledger):
    asked(ledger, "one", "x", txid="OTX-1")
    asked(ledger, "one", "x")
    ledger.not_placed("one", "x", "cl_ord_id")
    assert gave(ledger, "one", "x")
    asked(ledger, "one", "7", "userref")
    ledger.not_placed("one", "7", "userref")
    assert not gave(ledger, "one", "7", "userref")
    assert ledger.own_among("one", {"OTX-9": row(userref=7)}) == []


def test_of_orders_under_one_userref_the_first_is_answered_first(ledger):
    for volume in ("1", "2", "3"):
        asked(ledger, "one", "7", "userref", order=ORDER | {"volume": volume})
    ledger.placed("one", "7", "userref", "OTX-1")
    ledger.not_placed("one", "7", "userref")
    ledger.placed("one", "7", "userref", "OTX-3")
    assert ledger.is_own("one", txid="OTX-1")
    assert ledger.is_own("one", txid="OTX-3")
    assert ledger.own_among("one", {"OTX-2": row(userref=7, vol="2")}) == []


def test_of_orders_under_one_userref_a_number_says_which_is_meant(ledger):
    first, second, third = (
        ledger.asked("one", "7", "userref", ORDER | {"volume": volume}, NOW) for volume in ("1", "2", "3")
    )
    ledger.placed("one", "7", "userref", "OTX-3", number=third)
    ledger.not_placed("one", "7", "userref", number=second)
    ledger.not_placed("two", "7", "userref", number=first)
    ledger.placed("one", "8", "userref", "OTX-9", number=first)
    ledger.placed("one", "7", "userref", "OTX-1", number=first)
    assert ledger.is_own("one", txid="OTX-1")
    assert ledger.is_own("one", txid="OTX-3")
    assert ledger.own_among("one", {"OTX-2": row(userref=7, vol="2")}) == []


def test_names_without_an_account_are_each_key_s_own(ledger):
    asked(ledger, "one", "x", account="")
    asked(ledger, "two", "x", account="")
    assert gave(ledger, "one", "x")
    assert gave(ledger, "two", "x")


def test_a_txid_that_is_another_key_s_stays_so(ledger):
    asked(ledger, "one", "x", txid="OTX-1")
    asked(ledger, "two", "7", "userref", txid="OTX-1")
    assert ledger.is_own("one", txid="OTX-1")
    assert not ledger.is_own("two", txid="OTX-1")
    assert not gave(ledger, "two", "7", "userref")


def test_a_userref_that_was_drawn_by_chance_is_enough_by_itself(ledger):
    asked(ledger, "one", "4711", "userref", order={"pair": "XXBTZUSD", "drawn": True})
    assert ledger.own_among("one", {"OTX-1": row(userref=4711, vol="9")}) == ["OTX-1"]
    assert ledger.own_among("two", {"OTX-1": row(userref=4711, vol="9")}) == []


def test_the_same_answer_twice_is_one_order(ledger):
    asked(ledger, "one", "7", "userref")
    asked(ledger, "one", "7", "userref")
    ledger.placed("one", "7", "userref", "OTX-1")
    ledger.placed("one", "7", "userref", "OTX-1")
    rows = {txid: row(userref=7) for txid in ("OTX-1", "OTX-2")}
    assert ledger.own_among("one", rows) == ["OTX-1"], "the note of the repeat is gone"


def test_own_rows_by_txid_by_name_and_by_looks(ledger):
    asked(ledger, "one", "a", txid="OTX-1")
    asked(ledger, "one", "b")
    asked(ledger, "one", "7", "userref")
    asked(ledger, "two", "c", txid="OTX-5")
    rows = {
        "OTX-1": row(),
        "OTX-2": row(cl_ord_id="b"),
        "OTX-3": row(userref=7),
        "OTX-4": row(userref=8),
        "OTX-5": row(cl_ord_id="b", userref=7),
        "OTX-6": row(),
    }
    assert ledger.own_among("one", rows) == ["OTX-1", "OTX-2", "OTX-3"]
    assert ledger.own_among("two", rows) == ["OTX-5"]
    assert ledger.own_among("three", rows) == []


@pytest.mark.parametrize(
    ("changes", "own"),
    [
        ({}, True),
        ({"pair": "XXBTZUSD"}, True),
        ({"pair": "XBT/USD"}, True),
        ({"pair": "ETHUSD"}, False),
        ({"type": "sell"}, False),
        ({"vol": "0.1"}, True),
        ({"vol": "0.11"}, False),
        ({"vol": "NaN"}, False),
        ({"price": "1"}, True),
        ({"userref": 8}, False),
        ({"opentm": NOW - CLOCKS_APART_S + 0.1}, True),
        ({"opentm": NOW - CLOCKS_APART_S - 0.1}, False),
        ({"opentm": None}, False),
        ({"cl_ord_id": "somebody"}, False),
    ],
)
def test_a_row_is_known_by_its_userref_only_with_pair_side_volume_and_time(ledger, changes, own):
    asked(ledger, "one", "7", "userref")
    assert ledger.own_among("one", {"OTX-1": row(**{"userref": 7} | changes)}) == (["OTX-1"] if own else [])


def test_a_row_that_tells_nothing_is_nobody_s(ledger):
    asked(ledger, "one", "7", "userref")
    for odd in ({}, {"userref": 7}, {"userref": 7, "opentm": NOW, "descr": "text"}, {"cl_ord_id": 5}):
        assert ledger.own_among("one", {"OTX-1": odd}) == []


def test_a_volume_that_is_no_number_is_like_no_other(ledger):
    asked(ledger, "one", "7", "userref", order=ORDER | {"volume": "much"})
    assert ledger.own_among("one", {"OTX-1": row(userref=7, vol="much")}) == []


def test_to_have_asked_is_not_to_have_placed(ledger):
    asked(ledger, "one", "x", txid="OTX-1")
    asked(ledger, "two", "x", at_s=NOW + 60)
    assert ledger.placed_as("two", "x", "cl_ord_id") is None
    assert ledger.is_awaited("two", "x")
    assert ledger.own_among("two", {"OTX-1": row(cl_ord_id="x", opentm=NOW)}) == []
    assert ledger.own_among("two", {"OTX-2": row(cl_ord_id="x", opentm=NOW)}) == []
    assert ledger.own_among("two", {"OTX-2": row(cl_ord_id="x", opentm=NOW + 61)}) == ["OTX-2"]
    ledger.placed("two", "x", "cl_ord_id", "OTX-2")
    assert ledger.placed_as("two", "x", "cl_ord_id")[0] == "OTX-2"
    assert not ledger.is_awaited("two", "x")


def test_what_was_noted_stays_over_a_kill(tmp_path):
    path = tmp_path / "orders.sqlite3"
    child = os.fork()
    if not child:
        dying = Ledger(path)
        asked(dying, "one", "x", txid="OTX-1")
        asked(dying, "one", "y")
        dying.arm("one", NOW + 5)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    ledger = Ledger(path)
    assert ledger.is_own("one", txid="OTX-1")
    assert gave(ledger, "one", "y")
    assert ledger.armed() == {"one": NOW + 5}
    ledger.close()


def test_the_file_is_the_owner_s_alone(ledger):
    asked(ledger, "one", "x")
    files = list(ledger.path.parent.iterdir())
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_dead_man_switches(ledger):
    ledger.arm("one", NOW + 5)
    ledger.arm("two", NOW + 3)
    assert ledger.due(NOW + 2.9) == {}
    assert ledger.due(NOW + 3) == {"two": NOW + 3}
    assert list(ledger.due(NOW + 9)) == ["two", "one"]
    ledger.arm("two", NOW + 60)
    assert list(ledger.due(NOW + 9)) == ["one"]
    ledger.fired("two", NOW + 3)  # it was set anew meanwhile
    ledger.fired("one", NOW + 5)
    ledger.arm("never", None)
    assert ledger.armed() == {"two": NOW + 60}


def test_old_orders_can_be_forgotten(ledger):
    for number in range(5):
        asked(ledger, "one", f"o{number}", txid=f"OTX-{number}", at_s=NOW + number)
    assert ledger.forget_before(NOW + 3) == 3
    assert [ledger.is_own("one", txid=f"OTX-{number}") for number in range(5)] == [False] * 3 + [True] * 2


def test_it_is_one_thread_s(ledger):
    found = []

    def ask():
        try:
            ledger.is_own("one", txid="x")
        except NotDurable as error:
            found.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert "thread" in found[0]


def test_a_file_that_is_none_is_told_with_the_remedy(tmp_path):
    path = tmp_path / "orders.sqlite3"
    path.write_bytes(b"this is no database, and never was one" * 100)
    with pytest.raises(NotDurable, match=r"orders\.sqlite3: .*Move it away"):
        Ledger(path)


def test_a_file_that_another_process_keeps_locked_ends_in_an_error(ledger):
    import sqlite3

    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(NotDurable, match="locked"):
        asked(ledger, "one", "x")
    other.execute("ROLLBACK")
    other.close()
    asked(ledger, "one", "x")
    assert gave(ledger, "one", "x")


def test_a_folder_that_cannot_be_is_told(tmp_path):
    (tmp_path / "gateway").write_text("a file")
    with pytest.raises(NotDurable, match="Free space"):
        Ledger(tmp_path / "gateway" / "orders.sqlite3")


def test_a_call_is_cheap(ledger):
    """Some 70 µs for an order and its txid, 10 µs for a look, among 2,000 orders; less than 1 ms on a busy machine."""
    for number in range(2_000):
        asked(ledger, "one", f"o{number}", txid=f"OTX-{number}")
    numbers = iter(range(10_000, 20_000))

    def order():
        number = next(numbers)
        asked(ledger, "one", f"o{number}", txid=f"OTX-{number}")

    def look():
        assert ledger.is_own("one", txid="OTX-77")

    for act, limit_s in ((order, 2e-3), (look, 1e-3)):
        assert min(timeit.repeat(act, number=50, repeat=5)) / 50 < limit_s


def test_what_became_of_an_order_ends_all_its_notes(ledger):
    for number in range(2):
        asked(ledger, "one", "7", "userref", order=ORDER | {"digest": "d", "volume": str(number + 1)})
    asked(ledger, "one", "7", "userref", order=ORDER | {"digest": "other"})
    assert ledger.is_unclear("one", NOW - 1)
    ledger.placed("one", "7", "userref", "OTX-1")
    ledger.forget_awaited("one", "7", "userref", "d")
    assert ledger.is_own("one", txid="OTX-1")
    assert ledger.own_among("one", {"OTX-2": row(userref=7, vol="2")}) == []
    assert ledger.own_among("one", {"OTX-3": row(userref=7)}) == ["OTX-3"], "another order of that userref"
    assert ledger.placed_since("one", NOW - 1) == ["OTX-1"]
    assert ledger.placed_since("one", NOW + 1) == []


@pytest.mark.parametrize(("after_s", "is_own"), [(-11, False), (-9, True), (149, True), (151, False)])
def test_a_note_without_a_txid_is_good_for_an_order_of_its_time(ledger, after_s, is_own):
    asked(ledger, "one", "7", "userref")
    asked(ledger, "one", "x")
    rows = {"OTX-1": row(userref=7, opentm=NOW + after_s), "OTX-2": row(cl_ord_id="x", opentm=NOW + after_s)}
    assert ledger.own_among("one", rows) == (["OTX-1", "OTX-2"] if is_own else [])
