"""How a broker stands: counts, what is known, what is fresh, exact sums, and Kraken's names for money."""

from decimal import Decimal, localcontext

import pytest

from sealane.broker.kraken_assets import cash, is_cash, symbol
from sealane.broker.standing import Holdings, Standing, detailed, exact_sum

S = 1_000_000_000
SUFFIXES = ["", ".F", ".B", ".S", ".M", ".T", ".P", ".HOLD", ".HOLD.F"]


def held(usd="10", usdt="2", asked_s=0):
    return Holdings({"ZUSD": Decimal(usd)}, Decimal(usd), Decimal(usdt), 1_000.0 + asked_s, asked_s * S)


def test_three_failures_in_a_row_and_one_success():
    standing = Standing()
    states = []
    for _ in range(4):
        standing = standing.failed("down")
        states.append((standing.errors, standing.available))
    assert states == [(1, True), (2, True), (3, False), (4, False)]
    back = standing.succeeded(held(), cached=True)
    assert (back.errors, back.available, back.last_error) == (0, True, None)


def test_a_failure_keeps_what_is_known_and_empties_the_cache():
    standing = Standing().succeeded(held(), cached=True).failed("down")
    assert standing.known == held()
    assert not standing.is_fresh(3600, 1 * S)
    assert standing.last_error == "down"


def test_only_something_newer_replaces_what_is_known():
    newer = Standing().succeeded(held("5", asked_s=9), cached=True)
    assert newer.failed("x").succeeded(held("7", asked_s=8), cached=True).known == held("5", asked_s=9)
    assert newer.succeeded(held("7", asked_s=10), cached=True).known.usd == 7


def test_the_cache_is_young_and_not_dropped():
    standing = Standing().succeeded(held(asked_s=10), cached=True)
    assert standing.is_fresh(5, 14 * S)
    assert not standing.is_fresh(5, 15 * S)
    assert not standing.is_fresh(0, 10 * S)
    assert not standing.dropped().is_fresh(5, 11 * S)
    assert not Standing().succeeded(held(asked_s=10), cached=False).is_fresh(5, 11 * S)
    assert not Standing().is_fresh(5, 0)


def test_the_dict():
    nothing = detailed("MASTER", Standing().failed("down"), "down", 0)
    assert nothing == {
        "account": "MASTER",
        "usd": None,
        "usdt": None,
        "total": None,
        "amounts": None,
        "error": "down",
        "stale": False,
        "as_of": None,
        "age_s": None,
        "error_count": 1,
        "available": True,
    }
    old = detailed("MASTER", Standing().succeeded(held(asked_s=3), cached=True).failed("down"), "down", 63 * S)
    assert (old["total"], old["stale"], old["error"], old["as_of"], old["age_s"]) == (12, True, "down", 1003.0, 60.0)
    fresh = detailed("MASTER", Standing().succeeded(held(), cached=True), None, 0)
    assert (fresh["total"], fresh["stale"], fresh["error"], fresh["age_s"]) == (12, False, None, 0.0)


def test_sums_are_exact_in_any_context():
    with localcontext() as context:
        context.prec = 4
        assert exact_sum(Decimal("241983.1415"), Decimal("0.00000001")) == Decimal("241983.14150001")
        assert held("241983.1415", "0.00000001").total == Decimal("241983.14150001")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_money_under_all_its_names(suffix):
    amounts = {
        f"{name}{suffix}": Decimal(1) for name in ("ZUSD", "USD", "USDT", "USDC", "ZEUR", "USDQ", "DUSD", "PYUSD")
    }
    assert cash(amounts) == ((2, 1))
    assert [name for name in amounts if is_cash(name)] == [f"ZUSD{suffix}", f"USD{suffix}", f"USDT{suffix}"]


def test_all_names_add_up():
    amounts = {f"USD{suffix}": Decimal("0.1") for suffix in SUFFIXES} | {"ZUSD": Decimal(-1), "USD.X": Decimal(9)}
    assert cash(amounts) == (Decimal("-0.1"), 0)


SPOKEN = {
    "BTC": "XXBT XBT XBT.F XBT.M",
    "DOGE": "XXDG XDG XDG.B",
    "ETH": "XETH ETH.B",
    "EUR": "ZEUR EUR.HOLD",
    "XTZ": "XTZ XTZ.S",
    "ZRX": "ZRX",
    "ZETA": "ZETA",
    "XMR": "XXMR XMR",
}


@pytest.mark.parametrize("spoken", SPOKEN)
def test_what_people_call_it(spoken):
    assert {symbol(asset) for asset in SPOKEN[spoken].split()} == {spoken}
