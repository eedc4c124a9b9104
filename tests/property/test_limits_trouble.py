"""What goes wrong around Kraken's counters: the dead, other programs, keys that may not look, orders nobody knows."""

from decimal import Decimal

import pytest
from crowd import Walker
from test_limits_load import LIMIT_ERRORS, check, crowd, polling, resting

from sealane.errors import Unavailable
from sealane.simulator.limits import Counter as KrakensCounter

REST = ""


def errors(load):
    return [entry.error for entry in load.exchange.journal.newest(limit=None, account=None) if entry.error]


def limit_errors(load):
    return [error for error in errors(load) if any(text in error for text in LIMIT_ERRORS)]


def fill(load, counter, level):
    """Another program uses the key, or the account."""
    standing = load.exchange.limits.standing("MASTER")
    standing.counters[counter] = KrakensCounter(Decimal(level), load.clock.wall_ns())


def calls(*several):
    for one in several:  # noqa: UP028 - what a call is answered is sent in here, and an iterator takes nothing
        yield one


def test_the_dead_give_their_room_back():
    """Fifteen processes die with a claim each, and one goes on: it gets the room within minutes, and keeps it."""
    load = crowd("starter")
    load.patience_s = 60.0
    for _ in range(15):
        dead = Walker(load, calls(("Balance", {})))
        dead.method = "Balance"
        load.until_s = 1.0
        dead.enter = lambda rank: None  # it claimed its room, and was killed on the way to its turn
        dead.next_call(None)
        dead.die()
    assert load.lane.store.rates("MASTER")["counters"]
    load.run([polling("Balance")], 1_800.0)
    answered = [seen for seen in load.seen if seen.error is None]
    assert len(answered) >= 0.95 * 0.33 * (1_800 - 200)
    assert not limit_errors(load)


@pytest.mark.parametrize("callers", [1, 12])
def test_a_burst_of_another_program_costs_few_refusals_and_everybody_is_served(callers):
    load = crowd("starter")
    load.patience_s = 120.0
    fill(load, REST, 15)
    load.run((calls(("Balance", {})) for _ in range(callers)), 5.0)
    assert [seen.error for seen in load.seen] == [None] * callers
    assert len(limit_errors(load)) <= 3
    assert load.now_s <= (callers + 8) / 0.33 + 30


def test_a_fence_is_paid_for():
    """The REST counter is full, and an order comes whose key has to be asked for its window first."""
    load = crowd("starter")

    def busy():
        for _ in range(15):
            yield "Balance", {}
        yield "AddOrder", resting("XBTUSD")

    key = load.lane.store
    load.run([busy()], 400.0)
    check(load)
    state = {**key.read_key(load.who.fingerprint), "fence_due": True}
    key.write_key(load.who.fingerprint, state)
    load.run([calls(*[("Balance", {})] * 15, ("AddOrder", resting("XBTUSD")))], load.now_s + 400.0)
    check(load)


def test_a_key_that_may_only_trade_goes_on_trading():
    load = crowd("starter")
    load.exchange.accounts["MASTER"].permissions = frozenset({"modify-trades"})

    def trade():
        for _ in range(70):
            answer = yield "AddOrder", resting("XBTUSD")
            yield "pause", {"seconds": 20}
            load.exchange.venue.end(
                load.exchange.accounts["MASTER"].open[answer["txid"][0]], "canceled", None, load.clock.wall_ns()
            )

    load.run([trade()], 3_600.0)
    assert [seen.error for seen in load.seen] == [None] * 70
    assert len(errors(load)) <= 2, "asked once or twice whether it may look"


def test_who_waits_for_a_full_pair_leaves_the_key_its_room_and_keeps_to_its_patience():
    load = crowd("starter")

    def fill_up():
        for _ in range(60):
            yield "AddOrder", resting("XBTUSD")
            yield "pause", {"seconds": 1}

    load.run([fill_up()], 200.0)
    load.seen.clear()
    load.patience_s = 20.0
    load.run((calls(("AddOrder", resting("XBTUSD"))) for _ in range(12)), load.now_s + 5)
    assert all(isinstance(seen.error, Unavailable) and "open orders of XBTUSD" in str(seen.error) for seen in load.seen)
    assert max(seen.took_s for seen in load.seen) <= 21
    looks = [entry.method for entry in load.exchange.journal.newest(limit=None, account=None)].count("OpenOrders")
    assert looks <= 1 + 30 / 5
    assert not limit_errors(load)


def test_orders_of_one_userref_cost_what_they_are():
    load = crowd("pro")

    def group():
        for _ in range(12):
            yield "AddOrder", {**resting("XBTUSD"), "userref": 9}
        yield "CancelOrder", {"txid": "9"}
        for _ in range(60):
            yield "AddOrder", {**resting("XBTUSD"), "ordertype": "market", "volume": "0.0001"}

    load.run([group()], 600.0)
    check(load)
    assert not load.lane.store.rates("MASTER")["open"]


def test_an_order_amended_under_its_other_name_is_young_for_both():
    load = crowd("starter")

    def amend():
        answers = []
        for number in range(6):
            answers.append((yield "AddOrder", {**resting("XBTUSD"), "cl_ord_id": f"n{number}"}))
        yield "pause", {"seconds": 60}
        for answer in answers:
            yield "AmendOrder", {"txid": answer["txid"][0], "limit_price": "101.0"}
        for number in range(6):
            yield "CancelOrder", {"cl_ord_id": f"n{number}"}
        for _ in range(40):
            yield "AddOrder", resting("XBTUSD")

    load.run([amend()], 600.0)
    check(load)


def test_orders_that_nobody_knows_can_be_cancelled_together():
    """They were placed by another program, long ago: dear by what is known here, free for Kraken."""
    load = crowd("starter")
    names = []

    def place():
        for _ in range(12):
            answer = yield "AddOrder", resting("XBTUSD")
            names.append(answer["txid"][0])

    load.run([place()], 100.0)
    load.lane.store._books.notes.clear()
    load.patience_s = 90.0
    load.run([calls(("CancelOrderBatch", {"orders": names}))], load.now_s + 700)
    assert load.seen[-1].error is None
    assert load.seen[-1].result == {"count": 12}
