"""What went through the gateway: counted by name and minute in fixed memory, with nothing secret in it."""

import timeit

import pytest

from sealane.gateway import traffic as traffic_module
from sealane.gateway.traffic import ERRORS_KEPT, MINUTES, OTHER, OUTCOMES, Passed, Traffic, median_s
from sealane.testing import FakeClock


@pytest.fixture
def clock():
    found = FakeClock()
    found.advance(7 * 60)
    return found


def passed(outcome="answered", key="bot-1", errors=(), **changes):
    return Passed(key, "MASTER", "Balance", outcome, errors, **changes)


def test_each_name_has_its_counts_by_outcome(clock):
    traffic = Traffic(clock)
    for outcome in OUTCOMES:
        traffic.settled(passed(outcome))
    traffic.settled(passed(key="bot-2"))
    seen = traffic.seen()
    assert seen.keys["bot-1"].outcomes == dict.fromkeys(OUTCOMES, 1)
    assert (seen.keys["bot-2"].calls, seen.accounts["MASTER"].calls, seen.calls) == (1, 7, 7)
    assert seen.keys["bot-2"].last_ns == clock.boot_ns()


def test_an_outcome_that_is_none_is_an_error(clock):
    with pytest.raises(KeyError, match="fine"):
        Traffic(clock).settled(passed("fine"))


def test_an_hour_is_kept_by_minutes_the_oldest_first(clock):
    traffic = Traffic(clock)
    traffic.settled(passed("refused", wait_s=0.2))
    clock.advance(120)
    traffic.settled(passed(wait_s=0.01))
    traffic.settled(passed("unavailable", wait_s=3.0))
    minutes = traffic.seen().minutes
    assert [one.age for one in minutes] == list(range(MINUTES - 1, -1, -1))
    assert [(one.calls, one.refusals, one.failures) for one in minutes[-3:]] == [(1, 1, 0), (0, 0, 0), (2, 0, 1)]
    assert (minutes[-3].wait_max_s, minutes[-2].wait_max_s, minutes[-1].wait_max_s) == (0.2, None, 3.0)
    assert sum(one.calls for one in minutes) == 3
    clock.advance(58 * 60)
    assert sum(one.calls for one in traffic.seen().minutes) == 2, "what is older than an hour is gone"
    clock.advance(3_600)
    assert sum(one.calls for one in traffic.seen().minutes) == 0


def test_the_median_wait_is_known_to_a_step(clock):
    traffic = Traffic(clock)
    for wait_s in (0.0, 0.1, 0.1, 0.1, 20.0):
        traffic.settled(passed(wait_s=wait_s))
    assert 0.1 <= traffic.seen().minutes[-1].wait_p50_s <= 0.15
    assert median_s([0] * 29) == 0.0
    traffic = Traffic(clock)
    traffic.settled(passed(wait_s=90.0))
    assert traffic.seen().minutes[-1].wait_max_s == 90.0
    traffic = Traffic(clock)
    traffic.settled(passed())
    assert traffic.seen().minutes[-1].wait_p50_s == 0.0


def test_the_last_errors_are_kept_the_newest_first_and_answers_are_none(clock):
    traffic = Traffic(clock)
    traffic.settled(passed())
    for number in range(ERRORS_KEPT + 5):
        traffic.settled(passed("refused", errors=(f"EOrder:no {number}", "and more")))
    failures = traffic.seen().failures
    assert len(failures) == ERRORS_KEPT
    assert (failures[0].text, failures[0].key, failures[0].method) == ("EOrder:no 24, and more", "bot-1", "Balance")
    assert failures[0].at_s == clock.wall_ns() / 1e9


def test_an_error_is_cut_and_what_looks_like_a_key_is_masked(clock):
    traffic = Traffic(clock)
    secret = "SEALANE/" + "a1+/" * 20
    traffic.settled(passed("denied", errors=(f"no such key {secret}\nhere",)))
    traffic.settled(passed("denied", errors=("word " * 100,)))
    long, masked = (failure.text for failure in traffic.seen().failures)
    assert masked == "no such key … here"
    assert (len(long), long[-1]) == (traffic_module.ERROR_CHARACTERS_MAX, "…")


def test_who_waits_is_counted_and_forgotten(clock):
    traffic = Traffic(clock)
    for delta in (1, 1, -1):
        traffic.waiting("bot-1", delta)
    traffic.waiting("bot-2", 1)
    traffic.waiting("bot-2", -1)
    assert traffic.seen().waiting == {"bot-1": 1}


def test_names_are_bounded(clock, monkeypatch):
    monkeypatch.setattr(traffic_module, "NAMES_MAX", 3)
    traffic = Traffic(clock)
    for number in range(10):
        traffic.settled(passed(key=f"bot-{number}"))
    seen = traffic.seen()
    assert set(seen.keys) == {"bot-0", "bot-1", "bot-2", OTHER}
    assert seen.keys[OTHER].calls == 7


def test_a_call_costs_little():
    traffic, one = Traffic(), passed(wait_s=0.01)
    best_s = min(timeit.repeat(lambda: traffic.settled(one), number=2_000, repeat=5)) / 2_000
    assert best_s < 20e-6, f"{best_s * 1e6:.1f} µs"
