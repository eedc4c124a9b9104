"""Orders on Coinbase without a wire: their words, what answers say, the ways out of doubt, on a clock of our own."""

import logging
from decimal import Decimal

import pytest

from sealane.broker.coinbase_errors import CoinbaseInDoubt, CoinbaseRefused, Lost, NotSent
from sealane.broker.coinbase_orders import end_of, order_form
from sealane.broker.coinbase_placing import LONGEST_PAUSE_S, SHOWN_WITHIN_S, TOKEN_LIFE_S, Placing
from sealane.core.order import ANSWERED, FOUND, REPLAYED, VALIDATED, NotPlaced, Placed
from sealane.errors import InDoubt, SettingsError, Unavailable
from sealane.testing import FakeClock

LIMIT = {"pair": "BTC-USD", "side": "buy", "volume": "0.1", "price": Decimal("20000.5")}
MARKET = {"pair": "BTC-USD", "side": "buy", "order_type": "market", "quote_volume": "10"}


@pytest.mark.parametrize(
    ("order", "configuration"),
    [
        (LIMIT, {"limit_limit_gtc": {"base_size": "0.1", "limit_price": "20000.5"}}),
        (
            {**LIMIT, "post_only": True},
            {"limit_limit_gtc": {"base_size": "0.1", "limit_price": "20000.5", "post_only": True}},
        ),
        ({**LIMIT, "time_in_force": "IOC"}, {"sor_limit_ioc": {"base_size": "0.1", "limit_price": "20000.5"}}),
        ({**LIMIT, "time_in_force": "fok"}, {"limit_limit_fok": {"base_size": "0.1", "limit_price": "20000.5"}}),
        (MARKET, {"market_market_ioc": {"quote_size": "10"}}),
        (
            {"pair": "btc/usd", "side": "sell", "order_type": "market", "volume": Decimal("1E-8")},
            {"market_market_ioc": {"base_size": "0.00000001"}},
        ),
    ],
)
def test_an_order_in_coinbase_words(order, configuration):
    form = order_form(order)
    assert form.configuration == configuration
    assert form.product_id == "BTC-USD"
    assert form.side == order["side"].upper()
    assert form.fresh
    assert len(form.client_order_id) == 36


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"volume": 0.1}, "volume is a float"),
        ({"price": 1.5}, "price is a float"),
        ({"volume": None}, "volume is missing"),
        ({"price": None}, "price is missing"),
        ({"volume": "0"}, "above zero"),
        ({"volume": "-1"}, "above zero"),
        ({"volume": "nan"}, "give a number"),
        ({"volume": "10%"}, "above zero"),
        ({"side": "hold"}, "give buy or sell"),
        ({"side": None}, "give buy or sell"),
        ({"pair": "BTCUSD"}, "such as 'BTC-USD'"),
        ({"pair": None}, "such as 'BTC-USD'"),
        ({"order_type": "stop"}, "give limit or market"),
        ({"time_in_force": "day"}, "give gtc, ioc, fok"),
        ({"time_in_force": "ioc", "post_only": True}, "post_only goes with"),
        ({"quote_volume": "5"}, "for market orders"),
        ({"order_type": "market"}, "price cannot be given"),
        ({"order_type": "market", "price": None, "quote_volume": "5"}, "has one of"),
        ({"client_order_id": ""}, "client_order_id"),
        ({"client_order_id": "ü"}, "client_order_id"),
        ({"client_order_id": 7}, "client_order_id"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"deadline_s": float("nan")}, "deadline_s"),
        ({"validate": "yes"}, "validate is 'yes'"),
        ({"post_only": "no"}, "post_only is 'no'"),
        ({"leverage": "3"}, "have no leverage"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(change, words):
    with pytest.raises(SettingsError, match=words):
        order_form({**LIMIT, **change})


FORM = order_form({**LIMIT, "client_order_id": "one"})
TOLD = {"order_id": "X-1", "product_id": "BTC-USD", "side": "BUY", "client_order_id": "one"}
PLACED = Placed("X-1", "one", "buy 0.1 BTC-USD @ limit 20000.5", ANSWERED)


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        ({"success": True, "success_response": TOLD}, PLACED),
        ({"success": True, "failure_reason": "UNKNOWN_FAILURE_REASON", "success_response": TOLD}, PLACED),
        ({"success": True, "success_response": {**TOLD, "product_id": "BTC-USDC"}}, PLACED),
        ({"success": True}, str),
        ({"success": True, "success_response": {**TOLD, "order_id": ""}}, str),
        ({"success": True, "success_response": {**TOLD, "client_order_id": "two"}}, str),
        ({"success": True, "success_response": {**TOLD, "side": "SELL"}}, NotPlaced),
        ({"success": True, "success_response": {**TOLD, "product_id": "ETH-USD"}}, NotPlaced),
        (
            {"success": False, "error_response": {"error": "INSUFFICIENT_FUND", "message": "no money"}},
            NotPlaced("Coinbase refused it: no money", "INSUFFICIENT_FUND", "one"),
        ),
        ({"success": False, "error_response": {"error": "UNKNOWN_FAILURE_REASON", "message": "?"}}, str),
        ({"success": False, "failure_reason": "UNKNOWN_FAILURE_REASON"}, str),
        ({"success": "true", "success_response": TOLD}, str),
        ({}, str),
    ],
)
def test_what_an_answer_says(answer, end):
    said = end_of(answer, FORM, ANSWERED)
    assert isinstance(said, end) if isinstance(end, type) else said == end


# --- out of doubt ---------------------------------------------------------------------------------------------------


class ScriptedWire:
    """Gives what it was told, one thing a call, the last one for ever; counts what was sent."""

    def __init__(self, sends, looks=((),)):
        self.sends, self.looks, self.sent, self.looked, self.since = list(sends), list(looks), [], 0, []

    def create_order(self, order):
        self.sent.append(order)
        return self._next(self.sends)

    preview_order = create_order

    def orders(self, since):
        self.looked += 1
        self.since.append(since)
        rows = self._next(self.looks)
        yield from rows

    @staticmethod
    def _next(script):
        thing = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(thing, Exception):
            raise thing
        return thing


LOST, UNSEEN = Lost("no answer"), Unavailable("no list")
YES = {"success": True, "success_response": TOLD}
NO = {"success": False, "error_response": {"error": "INSUFFICIENT_FUND", "message": "no money"}}
ROW = {**TOLD, "status": "OPEN"}


def placed_with(wire, *, closes=False, **order):
    """The end, and how long it took in seconds."""
    clock = FakeClock()
    began_ns = clock.boot_ns()

    def pause(seconds):
        assert 0 < seconds <= LONGEST_PAUSE_S
        clock.advance(seconds)
        return closes

    form = order_form({**LIMIT, "client_order_id": "one", **order})
    try:
        return Placing(form, wire, clock, pause).place(), (clock.boot_ns() - began_ns) / 1e9
    except CoinbaseInDoubt as error:
        return error, (clock.boot_ns() - began_ns) / 1e9


def test_an_answer_is_the_end_and_nothing_is_asked_after():
    wire = ScriptedWire([YES])
    assert placed_with(wire)[0] == PLACED
    assert (len(wire.sent), wire.looked) == (1, 0)


@pytest.mark.parametrize("no", [NO, NotSent("no way there"), CoinbaseRefused("create order", 400, "bad size")])
def test_a_plain_no_to_the_first_is_not_placed(no):
    wire = ScriptedWire([no])
    assert isinstance(placed_with(wire, client_order_id=None)[0], NotPlaced)
    assert (len(wire.sent), wire.looked) == (1, 0)


@pytest.mark.parametrize("no", [NO, NotSent("no way there"), CoinbaseRefused("create order", 429, "slow down")])
def test_a_plain_no_to_an_id_that_was_given_is_an_end_after_a_look_alone(no):
    assert isinstance(placed_with(ScriptedWire([no], [[]]))[0], NotPlaced)
    assert placed_with(ScriptedWire([no], [[ROW]]))[0].how == FOUND
    error, took_s = placed_with(ScriptedWire([no], [UNSEEN]))
    assert isinstance(error, CoinbaseInDoubt)
    assert "not known: no list" in error.detail
    assert took_s == 0


def test_a_plain_no_to_an_id_in_doubt_is_no_end_while_a_copy_can_be_taken():
    clock = FakeClock()
    doubted_ns = clock.boot_ns()

    def again():
        return Placing(FORM, ScriptedWire([NO]), clock, lambda _: False, doubted_ns).place()

    clock.advance(TOKEN_LIFE_S + SHOWN_WITHIN_S - 1)
    with pytest.raises(CoinbaseInDoubt, match="can still be taken"):
        again()
    clock.advance(2)
    assert isinstance(again(), NotPlaced)


def test_a_lost_answer_is_looked_for_before_anything_is_sent_again():
    wire = ScriptedWire([LOST], [[{**ROW, "client_order_id": "other"}, ROW]])
    end, _ = placed_with(wire)
    assert (end.txid, end.how) == ("X-1", FOUND)
    assert (len(wire.sent), wire.looked) == (1, 1)


def test_not_there_it_is_sent_again_the_same_under_the_same_id():
    wire = ScriptedWire([LOST, YES])
    assert placed_with(wire)[0].how == REPLAYED
    assert wire.looked == 1
    assert wire.sent[0] == wire.sent[1]


def test_what_could_not_be_looked_for_is_not_sent_again():
    wire = ScriptedWire([LOST, YES], [UNSEEN, UNSEEN, [ROW]])
    assert placed_with(wire)[0].how == FOUND
    assert (len(wire.sent), wire.looked) == (1, 3)


@pytest.mark.parametrize("no", [NO, NotSent("no way there"), CoinbaseRefused("create order", 429, "slow down")])
def test_a_refused_repeat_is_no_end_because_the_first_may_be_on_its_way(no):
    wire = ScriptedWire([LOST, no], [[], [], [ROW]])
    assert placed_with(wire)[0].how == FOUND


def test_found_as_failed_is_not_placed():
    wire = ScriptedWire([LOST], [[{**ROW, "status": "FAILED", "reject_reason": "NO_FUNDS"}]])
    assert placed_with(wire)[0] == NotPlaced("Coinbase took it and it failed: NO_FUNDS", "NO_FUNDS", "one")


def test_found_under_another_orders_id_is_not_placed():
    wire = ScriptedWire([LOST], [[{**ROW, "side": "SELL"}]])
    end, _ = placed_with(wire)
    assert "already that of another order" in end.reason


def test_after_the_deadline_it_is_only_looked_for():
    wire = ScriptedWire([LOST, LOST])
    error, took_s = placed_with(wire, deadline_s=5, timeout_s=60)
    assert isinstance(error, InDoubt)
    assert 60 <= took_s < 60 + LONGEST_PAUSE_S
    assert 2 < len(wire.sent) < 8
    assert wire.looked > len(wire.sent)
    assert {sent["client_order_id"] for sent in wire.sent} == {"one"}


def test_not_placed_for_certain_only_when_no_copy_can_be_taken_any_more():
    wire = ScriptedWire([LOST])
    end, took_s = placed_with(wire, timeout_s=600)
    assert isinstance(end, NotPlaced)
    assert took_s > TOKEN_LIFE_S + SHOWN_WITHIN_S


def test_never_not_placed_where_nobody_could_look():
    error, _ = placed_with(ScriptedWire([LOST], [UNSEEN]), timeout_s=600)
    assert isinstance(error, CoinbaseInDoubt)
    assert error.client_order_id == "one"
    assert error.detail == "no list"
    assert "same client_order_id" in str(error)


def test_a_look_made_too_early_is_not_the_last_one():
    """The last copy goes out just before the deadline; its own life counts, not that of the first."""
    wire = ScriptedWire([LOST])
    _, took_s = placed_with(wire, timeout_s=600, deadline_s=100)
    assert took_s > 100 - LONGEST_PAUSE_S + TOKEN_LIFE_S + SHOWN_WITHIN_S


def test_closing_ends_the_wait_in_doubt():
    error, took_s = placed_with(ScriptedWire([LOST]), closes=True)
    assert isinstance(error, CoinbaseInDoubt)
    assert took_s < 1


def test_a_new_id_is_sought_from_just_before_now_and_a_given_one_for_ever_back():
    given, fresh = ScriptedWire([LOST], [[ROW]]), ScriptedWire([LOST, YES])
    placed_with(given)
    placed_with(fresh, client_order_id=None, timeout_s=1)
    assert given.since == [None]
    assert fresh.since[0] == "2027-01-15T07:55:00Z"


def test_a_long_list_is_left_when_the_time_is_up():
    clock = FakeClock()

    class Endless(ScriptedWire):
        def orders(self, since):
            while True:
                clock.advance(0.01)
                yield {"client_order_id": "other"}

    form = order_form({**LIMIT, "client_order_id": "one", "timeout_s": 5})
    with pytest.raises(CoinbaseInDoubt, match="more are left"):
        Placing(form, Endless([LOST]), clock, clock.advance).place()


def test_an_interrupted_order_leaves_its_id_in_the_log(caplog):
    caplog.set_level(logging.INFO)

    class Interrupted(ScriptedWire):
        def create_order(self, order):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        placed_with(Interrupted([]))
    assert "order one was interrupted and may have been placed" in caplog.text


def test_a_preview_places_nothing_and_says_what_is_wrong():
    def previewed(answer):
        return Placing(FORM, ScriptedWire([answer]), FakeClock(), lambda _: False).preview()

    assert previewed({"errs": []}) == NotPlaced(VALIDATED, None, "one")
    assert previewed({"errs": ["PREVIEW_INSUFFICIENT_FUND"]}).kraken_error == "PREVIEW_INSUFFICIENT_FUND"
    assert previewed(CoinbaseRefused("preview order", 400, "bad")).kraken_error == "400 bad"
    for nothing in ({}, {"errs": None}):
        with pytest.raises(Unavailable):
            previewed(nothing)
