"""Kraken's counters as arithmetic: the worked examples, claims, promises, contradictions."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealane.core.counter import CANCELS, CLAIMED, ORDERS, PENALTY_MAX_S, QUERIES, Counter, Limit
from sealane.core.nonce import NS_PER_S
from sealane.core.tiers import AMEND, CANCEL, EDIT, TIERS, fixed_cost, next_step_s, penalty

NOW_NS = 1_800_000_000 * NS_PER_S
LIMIT = Limit(15, 0.33)


def later(seconds):
    return NOW_NS + round(seconds * NS_PER_S)


def test_fifty_adds_ten_seconds_later_at_intermediate():
    trading = TIERS["intermediate"].trading
    counter = Counter(at_ns=NOW_NS).charge(50 * fixed_cost("add"))
    assert counter.at(trading, later(10)).level == pytest.approx(26.6)


def test_an_add_amended_at_seven_seconds_and_cancelled_thirty_six_later_costs_eight():
    """Charges alone, without decay: 1 to add, 1 + 2 to amend at 7 s, and 4 to cancel 36 s after the amend."""
    added = fixed_cost("add")
    amended = fixed_cost(AMEND) + penalty(AMEND, 7)
    cancelled = fixed_cost(CANCEL) + penalty(CANCEL, 36)
    assert (added, amended, cancelled) == (1, 3, 4)
    assert Counter(at_ns=NOW_NS).charge(added).charge(amended).charge(cancelled).level == 8


def test_twenty_adds_each_cancelled_within_five_seconds_fill_a_pro_counter():
    pro = TIERS["pro"].trading
    counter = Counter(at_ns=NOW_NS)
    for _ in range(20):
        cost = fixed_cost("add") + penalty(CANCEL, 4)
        assert not counter.wait_s(pro, ORDERS, cost, queued=True)
        counter = counter.charge(cost)
    assert counter.level == pro.maximum == 180
    assert counter.wait_s(pro, ORDERS, 1, queued=True) == pytest.approx(1 / 3.75)


@pytest.mark.parametrize(
    ("what", "steps"),
    [
        (AMEND, [(0, 3), (5, 2), (10, 1), (15, 0), (10_000, 0)]),
        (EDIT, [(0, 6), (5, 5), (10, 4), (15, 2), (45, 1), (90, 0)]),
        (CANCEL, [(0, 8), (5, 6), (10, 5), (15, 4), (45, 2), (90, 1), (300, 0)]),
    ],
)
def test_a_penalty_holds_until_its_age_and_not_at_it(what, steps):
    for (age_s, more), (until_s, _) in zip(steps, [*steps[1:], (None, None)], strict=True):
        assert penalty(what, age_s) == more
        if until_s is not None and until_s <= 300:
            assert penalty(what, until_s - 0.001) == more
            assert next_step_s(what, age_s) == until_s - age_s


def test_the_tiers_are_krakens():
    seen = {name: (tier.rest, tier.trading, tier.open_orders) for name, tier in TIERS.items()}
    assert seen == {
        "starter": (Limit(15, 0.33), Limit(60, 1), 60),
        "intermediate": (Limit(20, 0.5), Limit(125, 2.34), 80),
        "pro": (Limit(20, 1), Limit(180, 3.75), 225),
    }
    starter = TIERS["starter"]
    assert [starter.rest_cost(name) for name in ("Balance", "AddOrder", "CancelOrder", "Ledgers")] == [1, 0, 0, 4]


def test_a_claim_does_not_decay_and_a_charge_does():
    counter = Counter(at_ns=NOW_NS).hold(CLAIMED, 10, later(100))
    assert counter.at(LIMIT, later(20)).claimed == 10
    settled = counter.at(LIMIT, later(20)).hold(CLAIMED, -10, later(100)).charge(10)
    assert settled.at(LIMIT, later(30)).level == pytest.approx(10 - 3.3)
    assert not settled.held


def test_claims_of_the_dead_count_as_sent_and_their_promises_as_nothing():
    counter = Counter(at_ns=NOW_NS).hold(CLAIMED, 10, later(100)).hold(QUERIES, 5, later(50))
    found = counter.at(LIMIT, later(115))
    assert (found.level, found.held) == (10, {})


def test_each_hold_lapses_by_itself_however_many_come_after_it():
    """Dead claims beside living ones: whoever goes on claiming does not keep them alive."""
    counter = Counter(at_ns=NOW_NS).hold(CLAIMED, 15, later(100))
    for second in range(0, 300, 5):
        counter = counter.at(LIMIT, later(second)).hold(CLAIMED, 1, later(second + 100))
        counter = counter.hold(CLAIMED, -1, later(second + 100)).charge(0)
    assert not counter.held
    assert counter.at(LIMIT, later(300)).level == 0


def test_a_higher_rank_passes_those_who_wait_and_a_later_one_of_the_same_rank_does_not():
    full = Counter(level=15, at_ns=NOW_NS).hold(ORDERS, 2, later(60))
    one = 1 / LIMIT.decay_per_s
    assert full.wait_s(LIMIT, CANCELS, 1, queued=True) == pytest.approx(one)
    assert full.wait_s(LIMIT, ORDERS, 1, queued=True) == pytest.approx(3 * one)
    assert full.wait_s(LIMIT, QUERIES, 1, queued=True) == pytest.approx(3 * one)
    assert full.wait_s(LIMIT, ORDERS, 1, queued=False) == pytest.approx(one), "one who waits already goes by its time"


def test_each_contradiction_in_a_row_doubles_the_wait_up_to_a_bound_and_a_success_ends_the_row():
    counter, waits = Counter(at_ns=NOW_NS), []
    for second in range(7):
        counter = counter.contradicted(LIMIT, later(second), later(second))
        waits.append(counter.wait_s(LIMIT, QUERIES, 1, queued=True))
    bound = PENALTY_MAX_S + 1 / LIMIT.decay_per_s
    assert waits == pytest.approx([min(bound, (2**n - 1) / LIMIT.decay_per_s) for n in (1, 2, 3, 4, 5, 5, 5)])
    assert counter.charge(1).strikes == 0


def test_those_who_claimed_before_a_contradiction_are_no_further_one():
    counter = Counter(at_ns=NOW_NS)
    for answered_s in (1, 1.1, 1.2, 1.3):
        counter = counter.contradicted(LIMIT, later(0), later(answered_s))
    assert counter.strikes == 1
    assert counter.contradicted(LIMIT, later(2), later(3)).strikes == 2


def test_a_clock_that_steps_back_neither_drains_nor_holds_for_ever():
    counter = Counter(level=10, at_ns=NOW_NS)
    back = counter.at(LIMIT, later(-3600))
    assert back.level == 10
    assert back.at(LIMIT, later(-3590)).level == pytest.approx(6.7)


@given(
    st.lists(
        st.tuples(st.floats(0, 30), st.floats(0, 5), st.integers(0, 2), st.floats(0.5, 9)), min_size=1, max_size=40
    )
)
def test_krakens_counter_is_never_above_ours(calls):
    """Whatever the call, its way and its answer take: a call that may go here never lifts Kraken's over its maximum."""
    ours, theirs, theirs_at = Counter(at_ns=NOW_NS), 0.0, 0.0
    at_s = 0.0
    for pause_s, way_s, rank, cost in calls:
        at_s += pause_s
        ours = ours.at(LIMIT, later(at_s))
        if ours.wait_s(LIMIT, rank, cost, queued=True):
            continue
        until_ns = later(at_s + 1_000)
        ours = ours.hold(CLAIMED, cost, until_ns)
        arrives_s = at_s + way_s / 2
        theirs = max(0.0, theirs - (arrives_s - theirs_at) * LIMIT.decay_per_s) + cost
        theirs_at = arrives_s
        assert theirs <= LIMIT.maximum + 1e-6
        at_s += way_s
        ours = ours.at(LIMIT, later(at_s)).hold(CLAIMED, -cost, until_ns).charge(cost)
        now = max(0.0, theirs - (at_s - theirs_at) * LIMIT.decay_per_s)
        assert now <= ours.level + ours.claimed + 1e-6


def test_a_counter_is_kept_as_plain_numbers_and_rubbish_is_an_empty_one():
    counter = Counter(3.5, NOW_NS, 1, NOW_NS).hold(CLAIMED, 2, later(9)).hold(ORDERS, 3, later(900))
    assert Counter.loaded(json.loads(json.dumps(counter.stored()))) == counter
    for rubbish in (None, [], ["a"] * 5, [1, 2], {"level": 1}, [1, 2, 3, 4, "x"]):
        assert Counter.loaded(rubbish) == Counter()
