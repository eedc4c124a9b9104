"""Hard limits: read from the environment, and what they keep back."""

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from account_fakes import LIMITS, NOW_NS, market
from sealane.errors import SettingsError
from sealane.trading import limits as limits_module
from sealane.trading.limits import MAX_ORDER_USD, MIN_CAPITAL_USD, HardLimits, why_blocked, worth_usd
from sealane.trading.strategy import Signal

RICH, POOR = Decimal(1000), Decimal("49.99")


def signal(side="buy", volume="0.001", price=None, pair="XBTUSD"):
    return Signal(pair, side, Decimal(volume), None if price is None else Decimal(price))


def blocked(one, limits=LIMITS, capital=RICH, now_ns=NOW_NS, view=None):
    return why_blocked(one, limits, view or market(), capital, now_ns)


# --- what is kept back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", [signal(), signal("sell"), signal(price="40000"), signal(pair="btc/usd")])
def test_what_is_within_the_limits_goes(one):
    assert blocked(one) == ""


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (signal(volume="0.00200001"), "above the largest order of 100 USD"),
        (signal("sell", volume="0.00200001"), "above the largest order"),
        (signal("sell", volume="0.0021", price="1"), "above the largest order"),
        (signal("sell", volume="0.001", price="100001"), "above the largest order"),
        (signal("buy", volume="0.0021", price="48000"), "it is worth 100.80 USD"),
        (signal(pair="SOLUSD"), "SOLUSD is not among the allowed pairs: XBTUSD, ETHUSD"),
    ],
)
def test_what_is_beyond_a_limit_is_kept_back(one, said):
    assert said in blocked(one)


def test_an_order_of_exactly_the_largest_worth_goes():
    assert blocked(signal(volume="0.002")) == ""


def test_a_low_limit_buy_is_worth_its_own_price_and_a_low_sell_what_it_would_fetch():
    quote = market().quotes["XBTUSD"]
    assert worth_usd(signal(volume="0.1", price="100"), quote) == 10
    assert worth_usd(signal("sell", volume="0.1", price="100"), quote) == Decimal("4999.9")
    assert worth_usd(signal("sell", volume="0.1"), quote) == 5000


def test_without_an_allowed_pair_nothing_goes():
    assert "none" in blocked(signal(), HardLimits())


def test_hard_buy_off_blocks_buys_and_leaves_sells():
    off = replace(LIMITS, buys_off=True)
    assert "HARD_BUY_OFF" in blocked(signal(), off)
    assert blocked(signal("sell"), off) == ""


def test_too_little_capital_blocks_buys_and_leaves_sells():
    assert "below the least of 50 USD" in blocked(signal(), capital=POOR)
    assert blocked(signal("sell"), capital=POOR) == ""


def test_a_buy_leaves_the_least_capital_and_a_sell_needs_none():
    assert blocked(signal(), capital=Decimal(100)) == ""
    assert "would leave 49.99 USD, which is below the least of 50 USD" in blocked(signal(), capital=Decimal("99.99"))
    assert blocked(signal(price="49990"), capital=Decimal("99.99")) == "", "a limit buy takes its own price"
    assert blocked(signal("sell"), capital=Decimal("99.99")) == ""


def test_what_cannot_be_valued_is_kept_back():
    euro = replace(LIMITS, allowed_pairs=("XBTEUR", "SOLUSD"))
    assert "priced in ZEUR" in blocked(signal(pair="XBTEUR", volume="0.00001"), euro)
    assert "is not known: it is post_only" in blocked(
        signal(pair="SOLUSD"), euro, view=market(left_out={"SOLUSD": "it is post_only"})
    )


@pytest.mark.parametrize(("later_s", "said"), [(30, ""), (31, "31 s old"), (-31, "31 s old")])
def test_an_order_is_not_valued_by_an_old_price_nor_by_one_of_the_future(later_s, said):
    found = blocked(signal(), now_ns=NOW_NS + later_s * 10**9)
    assert said in found
    assert bool(found) == bool(said)


# --- the environment ----------------------------------------------------------------------------------------------


def test_with_nothing_set_orders_are_small_and_no_pair_is_allowed():
    found = HardLimits.from_env({"SEALANE_ALLOWED_PAIRS": "  ", "HARD_BUY_OFF": ""})
    assert (found.largest_order_usd, found.min_capital_usd) == (MAX_ORDER_USD, MIN_CAPITAL_USD) == (10, 10)
    assert (found.allowed_pairs, found.buys_off) == ((), False)


def test_limits_are_read():
    found = HardLimits.from_env(
        {
            "SEALANE_MAX_ORDER_USD": "25.50",
            "SEALANE_MIN_CAPITAL_USD": "0",
            "SEALANE_ALLOWED_PAIRS": "XBTUSD, eth/usd BTCUSD,",
            "HARD_BUY_OFF": "1",
        }
    )
    assert (found.max_order_usd, found.min_capital_usd) == (Decimal("25.50"), 0)
    assert (found.allowed_pairs, found.buys_off) == (("XBTUSD", "ETHUSD"), True)


@pytest.mark.parametrize("word", ["1", "true", "TRUE", "on", " On "])
def test_words_that_block_buys(word):
    assert HardLimits.from_env({"HARD_BUY_OFF": word}).buys_off is True


@pytest.mark.parametrize("word", ["0", "false", "off", "OFF", ""])
def test_words_that_do_not(word):
    assert HardLimits.from_env({"HARD_BUY_OFF": word}).buys_off is False


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HARD_BUY_OFF", "yes please"),
        ("HARD_BUY_OFF", "2"),
        ("SEALANE_MAX_ORDER_USD", "ten"),
        ("SEALANE_MAX_ORDER_USD", "-1"),
        ("SEALANE_MAX_ORDER_USD", "NaN"),
        ("SEALANE_MAX_ORDER_USD", "Infinity"),
        ("SEALANE_MIN_CAPITAL_USD", "$5"),
        ("SEALANE_ALLOWED_PAIRS", "XBTUSD;ETHUSD"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_variable(name, text):
    with pytest.raises(SettingsError, match=name):
        HardLimits.from_env({name: text})


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_order_usd": 25.0},
        {"max_order_usd": Decimal(-1)},
        {"min_capital_usd": Decimal("NaN")},
        {"min_capital_usd": 5},
        {"allowed_pairs": "XBTUSD"},
    ],
)
def test_a_program_that_gives_wrong_limits_is_told_which(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        HardLimits(**wrong)


def test_an_option_narrows_the_pairs_and_never_widens_them():
    named = HardLimits.from_env({"SEALANE_ALLOWED_PAIRS": "XBTUSD,ETHUSD"})
    assert named.only(["btc/usd"]).allowed_pairs == ("XBTUSD",)
    assert named.only(["XXBTZUSD"]).allowed_pairs == ("XBTUSD",)
    assert HardLimits.from_env({"SEALANE_ALLOWED_PAIRS": "XXBTZUSD"}).only(["XBTUSD"]).allowed_pairs == ("XBTUSD",)
    assert named.only([]) is named
    with pytest.raises(SettingsError, match="SOLUSD is not in SEALANE_ALLOWED_PAIRS"):
        named.only(["XBTUSD", "SOLUSD"])
    assert HardLimits.from_env({}).only(["SOLUSD"]).allowed_pairs == ("SOLUSD",)


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({}, "SEALANE_MAX_ORDER_USD and SEALANE_ALLOWED_PAIRS"),
        ({"SEALANE_MAX_ORDER_USD": "5"}, "set SEALANE_ALLOWED_PAIRS"),
        ({"SEALANE_ALLOWED_PAIRS": "XBTUSD"}, "set SEALANE_MAX_ORDER_USD"),
    ],
)
def test_a_live_run_needs_somebody_to_have_said_its_limits(environ, missing):
    with pytest.raises(SettingsError, match=missing):
        HardLimits.from_env(environ).check_for_live()


def test_a_live_run_with_its_limits_said():
    HardLimits.from_env({"SEALANE_MAX_ORDER_USD": "5", "SEALANE_ALLOWED_PAIRS": "XBTUSD"}).check_for_live()
    HardLimits.from_env({"SEALANE_MAX_ORDER_USD": "5"}).only(["XBTUSD"]).check_for_live()


def test_every_variable_is_on_the_settings_page():
    names = set(re.findall(r"\b(?:SEALANE|HARD)_[A-Z_]+[A-Z]\b", Path(limits_module.__file__).read_text()))
    assert {"HARD_BUY_OFF", "SEALANE_MAX_ORDER_USD"} <= names
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
