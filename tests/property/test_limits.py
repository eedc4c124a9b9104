"""Callers that wait for room in Kraken's counters, in virtual time."""

import itertools

import pytest
from crowd import Crowd, SharedClock

from sealane.core.nonce import NS_PER_S
from sealane.errors import Refused, Unavailable
from sealane.simulator import Exchange
from sealane.simulator.accounts import make_accounts
from sealane.testing import FakeClock

RESTING = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "1000.0", "volume": "0.01"}


def crowd(tier, **more):
    clock = FakeClock()
    exchange = Exchange(make_accounts(1, 1), clock=SharedClock(clock), **more)
    return Crowd(exchange, clock, tier)


def calls(*methods):
    """A script of single calls."""
    for method in methods:
        yield method if isinstance(method, tuple) else (method, {})


def ends(crowd):
    return [(seen.method, seen.error) for seen in crowd.seen]


def fault(crowd, error, count, method):
    crowd.exchange.faults.add({"kind": "error", "error": error, "count": count, "methods": [method]})


@pytest.mark.parametrize("error", ["EAPI:Rate limit exceeded", "EGeneral:Too many requests", "EService:Throttled"])
def test_a_contradicted_counter_is_waited_out_and_the_caller_hears_nothing(error):
    load = crowd("pro")
    fault(load, error, 3, "Balance")
    load.run(calls("Balance") for _ in range(1))
    assert ends(load) == [("Balance", None)]
    assert load.exchange.journal.summary()["requests"] == 4
    assert load.seen[0].took_s > 5, "it waited longer each time"


def test_a_throttle_is_waited_for_until_the_time_that_kraken_names():
    load = crowd("pro")
    until_s = load.clock.wall_ns() // NS_PER_S + 40
    fault(load, f"EService: Throttled: {until_s}", 1, "Balance")
    load.run(calls("Balance") for _ in range(1))
    assert ends(load) == [("Balance", None)]
    assert 39 <= load.seen[0].took_s <= 42


def test_a_limit_that_outlasts_the_callers_patience_is_refused():
    load = crowd("pro")
    load.patience_s = 20.0
    fault(load, "EAPI:Rate limit exceeded", 1_000, "Balance")
    load.run(calls("Balance") for _ in range(1))
    (seen,) = load.seen
    assert isinstance(seen.error, Refused)
    assert seen.took_s <= 20


def test_who_would_wait_too_long_is_told_at_once_and_nothing_is_sent():
    load = crowd("starter")
    load.patience_s = 10.0
    load.run((calls("Balance") for _ in range(30)), 60)
    told = [seen for seen in load.seen if seen.error]
    assert all(isinstance(seen.error, Unavailable) and "REST counter" in str(seen.error) for seen in told)
    assert max(seen.took_s for seen in told) < 0.1, "there was no use in waiting"
    sent = load.exchange.journal.summary()["requests"]
    assert len(told) + sent == 30
    assert sent >= 15 + 3


def test_cancels_pass_the_orders_that_wait():
    """The pair's counter is full of orders; ten more wait, and then a cancel comes."""
    load = crowd("starter")

    def place_and_cancel():
        answer = yield "AddOrder", RESTING
        yield "pause", {"seconds": 30}
        yield "CancelOrder", {"txid": answer["txid"][0]}

    def fill_up():
        yield "pause", {"seconds": 20}
        for _ in range(80):
            yield "AddOrder", {**RESTING, "ordertype": "market", "volume": "0.0001"}

    load.run(itertools.chain([place_and_cancel()], (fill_up() for _ in range(10))), 400)
    assert {error for _, error in ends(load)} == {None}
    cancel = next(seen for seen in load.seen if seen.method == "CancelOrder")
    orders = [seen for seen in load.seen if seen.method == "AddOrder" and seen.at_s > cancel.at_s - cancel.took_s]
    waits = sorted(seen.took_s for seen in orders)
    assert cancel.took_s < 6, "4 of room at 1 a second, and no more"
    assert waits[len(waits) // 2] > cancel.took_s


def test_a_pair_that_seems_full_is_looked_at_first():
    """Sixty market orders fill at once and are not counted as open; sixty resting ones are, and one is cancelled."""
    load = crowd("starter")

    def place():
        for _ in range(60):
            yield "AddOrder", RESTING
            yield "pause", {"seconds": 2}
        yield "AddOrder", RESTING

    def make_room():
        yield "pause", {"seconds": 150}
        orders = yield "OpenOrders", {"userref": 0}
        assert orders == {"open": {}}
        order = next(iter(load.exchange.accounts["MASTER"].open.values()))
        load.exchange.venue.end(order, "canceled", None, load.exchange.clock.now_ns())

    load.run(iter([place(), make_room()]), 400)
    assert {error for _, error in ends(load)} == {None}
    methods = [entry.method for entry in load.exchange.journal.newest(limit=None, account=None)]
    assert methods.count("AddOrder") == 61, "the last one went only once there was room"
    assert methods.count("OpenOrders") > 2
    last = max(seen.at_s for seen in load.seen if seen.method == "AddOrder")
    assert 150 < last < 170


def test_a_refused_orders_limit_is_looked_at_and_waited_out():
    load = crowd("pro")
    fault(load, "EOrder:Orders limit exceeded", 1, "AddOrder")
    load.run(iter([calls(("AddOrder", RESTING))]), 60)
    assert ends(load) == [("AddOrder", None)]
    methods = [entry.method for entry in load.exchange.journal.newest(limit=None, account=None)]
    assert sorted(methods) == ["AddOrder", "AddOrder", "OpenOrders"]
