import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealane.core.nonce import LEAP_NS, MAX_NONCE, NS_PER_S, ClockGuard, next_nonce, parse_nonce, unit_ns
from sealane.errors import NotDurable, SettingsError

NOW_NS = 1_768_859_900_000_000_000
HOUR_NS = 3600 * NS_PER_S


@given(last=st.integers(0, MAX_NONCE - 1), now=st.integers(0, MAX_NONCE))
def test_next_is_above_the_last_and_not_below_the_clock(last, now):
    nonce = next_nonce(last, now)
    assert nonce > last
    assert nonce == max(last + 1, now)


def test_the_largest_nonce_is_the_last_one():
    assert next_nonce(MAX_NONCE - 1, 0) == MAX_NONCE
    with pytest.raises(NotDurable, match="used up"):
        next_nonce(MAX_NONCE, 0)


def test_todays_nonce_has_19_digits():
    assert len(str(next_nonce(0, NOW_NS))) == 19


@pytest.mark.parametrize("content", [b"42", b" 42\n", b"42\n"])
def test_a_plain_decimal_integer_is_read(content):
    assert parse_nonce(content) == 42


@pytest.mark.parametrize(
    "content",
    [b"", b" ", b"\0" * 19, b"-5", b"+5", b"1_000", b"12.5", b"1e18", b"0", b"abc", b"12 13", b"9" * 19 + b"9"],
)
def test_anything_else_is_not(content):
    with pytest.raises(ValueError, match=r"integer|outside"):
        parse_nonce(content)


def test_an_unknown_unit_names_the_variable_and_the_choices():
    with pytest.raises(SettingsError, match=r"SEALANE_NONCE_UNIT.*ns, us, ms"):
        unit_ns("s")


def test_a_leap_beyond_an_hour_is_not_followed_until_confirmed():
    guard = ClockGuard()
    assert guard.follows(NOW_NS, 0)
    assert guard.follows(NOW_NS + LEAP_NS, 0), "an hour is followed"
    leaped = NOW_NS + 3 * HOUR_NS
    assert not guard.follows(leaped, 0)
    assert not guard.confirm(NOW_NS, leaped, 0), "a witness that disagrees changes nothing"
    assert not guard.follows(leaped, 0)
    assert guard.confirm(leaped + NS_PER_S, leaped, 0)
    assert guard.follows(leaped, 0)


def test_time_that_passed_is_no_leap():
    guard = ClockGuard()
    assert guard.follows(NOW_NS, 0)
    assert guard.follows(NOW_NS + 30 * HOUR_NS, 30 * HOUR_NS)


def test_a_step_back_and_forward_again_is_no_leap():
    guard = ClockGuard()
    assert guard.follows(NOW_NS, 0)
    assert guard.follows(NOW_NS - 20 * HOUR_NS, 0)
    assert guard.follows(NOW_NS, 0)


def test_the_reference_of_an_earlier_process_counts():
    assert not ClockGuard([NOW_NS]).follows(NOW_NS + 2 * HOUR_NS, 0)
