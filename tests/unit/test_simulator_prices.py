"""Price paths: pure, bounded, and searched without walking through them."""

import itertools

import pytest

from sealane.simulator.prices import NEVER_ABOVE, NEVER_BELOW, PricePath

WEEK_S = 7 * 86_400


def path(name="path 1 XXBTZUSD", volatility=0.0002):
    return PricePath(name, 600_000, volatility)


def test_a_price_is_a_function_of_seed_and_second_alone():
    seconds = [0, 1, 59, 12_345, WEEK_S, -500]
    first = [path().ticks(second) for second in seconds]
    assert first == [path().ticks(second) for second in reversed(seconds)][::-1]
    assert first[0] == 600_000
    assert first != [path("path 2 XXBTZUSD").ticks(second) for second in seconds]


def test_without_volatility_it_stands_still():
    still = path(volatility=0)
    assert {still.ticks(second) for second in range(-1000, WEEK_S, 999)} == {600_000}
    assert still.first(0, WEEK_S, 600_000, 600_000) is None  # nothing ever moves to where it is already


def test_steps_have_the_size_that_was_asked_for():
    prices = [path().ticks(second) for second in range(2000)]
    steps = [abs(after - before) / before for before, after in itertools.pairwise(prices)]
    assert 0.00005 < sum(steps) / len(steps) < 0.0008
    assert len(set(prices)) > 500


def test_a_wild_path_stays_within_half_of_its_start():
    wild = path(volatility=0.05)
    prices = [wild.ticks(second) for second in range(0, WEEK_S, 97)]
    assert min(prices) == 300_000
    assert max(prices) == 900_000


@pytest.mark.parametrize("name", [f"path {seed}" for seed in range(6)])
@pytest.mark.parametrize("away", [50, 400, 3_000, 8_000])
def test_the_first_crossing_is_the_one_that_walking_finds(name, away):
    walked, low, high = path(name), 600_000 - away, 600_000 + away
    expected = next((s for s in range(1, 5_001) if not low < walked.ticks(s) < high), None)
    assert walked.first(0, 5_000, low, high) == expected
    only_up = next((s for s in range(101, 3_001) if walked.ticks(s) >= high), None)
    assert walked.first(100, 3_000, NEVER_BELOW, high) == only_up


def test_months_in_which_nothing_happens_are_skipped(monkeypatch):
    far, asked = path(), []
    ticks = far.ticks
    monkeypatch.setattr(far, "ticks", lambda second: asked.append(second) or ticks(second))
    assert far.first(0, 20 * WEEK_S, 300_000, NEVER_ABOVE) is None
    assert asked == []


@pytest.mark.parametrize("volatility", [-0.1, 1.5])
def test_a_volatility_that_makes_no_sense_is_refused(volatility):
    with pytest.raises(ValueError, match="volatility must be 0 to 1"):
        path(volatility=volatility)
