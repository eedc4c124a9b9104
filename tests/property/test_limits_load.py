"""Full load against the simulator's counters, in virtual time: nothing is refused, hardly any room is left unused."""

import itertools

import pytest
from crowd import Crowd, SharedClock
from hypothesis import given, settings
from hypothesis import strategies as st

from sealane.core.tiers import TIERS
from sealane.simulator import Exchange, audit
from sealane.simulator.accounts import make_accounts
from sealane.simulator.facts import Switches
from sealane.simulator.limits import trading_cost
from sealane.testing import FakeClock

LIMIT_ERRORS = ("Rate limit exceeded", "Orders limit exceeded", "Throttled", "lockout")
LEAST_USED = 0.95
HALF_HOUR_S = 1_800.0
PAIRS = ("XBTUSD", "ETHUSD")


def crowd(tier, seed=0, **more):
    clock = FakeClock()
    exchange = Exchange(make_accounts(1, 1), clock=SharedClock(clock), tier=tier, **more)
    exchange.accounts["MASTER"].balances["ZUSD"] *= 1_000
    return Crowd(exchange, clock, tier, seed)


def resting(pair):
    return {"pair": pair, "type": "buy", "ordertype": "limit", "price": "100.0", "volume": "0.1"}


def polling(*methods):
    for method in itertools.cycle(methods):
        yield method, {}


def flickering(pair):
    """Place and cancel at once, again and again: what costs most."""
    while True:
        answer = yield "AddOrder", resting(pair)
        yield "CancelOrder", {"txid": answer["txid"][0]}


def patient(pair, seconds):
    """Orders that rest for a while, one after the other."""
    while True:
        answer = yield "AddOrder", resting(pair)
        yield "pause", {"seconds": seconds}
        yield "CancelOrder", {"txid": answer["txid"][0]}


def check(load):
    """Nobody was refused for a limit, nothing overlapped, nonces rose, and the simulator counted right itself."""
    refused = [entry.error for entry in load.exchange.journal.newest(limit=None, account=None) if entry.error]
    assert not [error for error in refused if any(text in error for text in LIMIT_ERRORS)]
    summary = load.exchange.journal.summary()
    assert summary["nonces_rose"]
    assert summary["max_overlap"] == 1
    assert {str(seen.error) for seen in load.seen} == {"None"}
    assert audit.findings(load.exchange) == []


def rest_used(load, until_s):
    """The part of what the REST counter allows from a fresh start that was sent by ``until_s``."""
    costs = {"Balance": 1, "OpenOrders": 1, "ClosedOrders": 4, "AddOrder": 0, "CancelOrder": 0}
    sent = sum(costs[seen.method] for seen in load.seen if seen.at_s <= until_s)
    rest = TIERS[load.tier].rest
    return sent / (rest.maximum + rest.decay_per_s * until_s)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("methods", [("Balance",), ("Balance", "ClosedOrders", "OpenOrders", "ClosedOrders")])
def test_reads_use_the_room_there_is(tier, methods):
    load = crowd(tier)
    load.run((polling(*methods) for _ in range(8)), HALF_HOUR_S)
    check(load)
    assert rest_used(load, HALF_HOUR_S) >= LEAST_USED


@pytest.mark.parametrize("tier", TIERS)
def test_orders_use_the_room_there_is(tier):
    """Market orders cost one each and leave nothing to cancel."""
    load = crowd(tier)
    order = {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.0001"}

    def ordering():
        while True:
            yield "AddOrder", order

    load.run((ordering() for _ in range(10)), 600.0)
    check(load)
    trading = TIERS[tier].trading
    placed = sum(seen.method == "AddOrder" and seen.at_s <= 600 for seen in load.seen)
    assert placed / (trading.maximum + 600 * trading.decay_per_s) >= LEAST_USED


@pytest.mark.parametrize("tier", TIERS)
def test_young_orders_that_are_cancelled_use_the_room_there_is(tier):
    """Nine a round while the cancel comes within 5 s, less when it has to wait until the order is older."""
    load = crowd(tier)
    load.run((flickering("XBTUSD") for _ in range(6)), 600.0)
    trading, notes = TIERS[tier].trading, list(load.exchange.limits.notes)  # the audit works through the notes
    check(load)
    charged = float(sum(trading_cost(touch, Switches()) for note in notes if note.allowed for touch in note.touches))
    passed_s = load.now_s
    assert charged / (trading.maximum + passed_s * trading.decay_per_s) >= LEAST_USED


@pytest.mark.parametrize("tier", TIERS)
def test_everything_at_once(tier):
    load = crowd(tier)
    scripts = [flickering(pair) for pair in PAIRS] + [patient(pair, 20) for pair in PAIRS for _ in range(5)]
    load.run([*scripts, polling("Balance", "OpenOrders"), polling("ClosedOrders")], 900.0)
    check(load)


@settings(max_examples=25, deadline=None)
@given(
    tier=st.sampled_from(sorted(TIERS)),
    seed=st.integers(0, 10**6),
    way_s=st.sampled_from([(0.0, 0.001), (0.01, 0.2), (0.1, 3.0)]),
    flickers=st.integers(0, 4),
    rests=st.lists(st.floats(0, 100), max_size=6),
    polls=st.integers(0, 4),
)
def test_any_mixture_is_never_refused(tier, seed, way_s, flickers, rests, polls):
    load = crowd(tier, seed)
    load.way_s = way_s
    scripts = [flickering(PAIRS[number % 2]) for number in range(flickers)]
    scripts += [patient(PAIRS[number % 2], seconds) for number, seconds in enumerate(rests)]
    load.run([*scripts, *(polling("Balance", "ClosedOrders") for _ in range(polls))], 300.0)
    check(load) if load.seen else None
