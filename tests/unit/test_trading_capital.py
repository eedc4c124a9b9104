"""What is free: holds and what stands apart are not, and what cannot be read fails gate 3."""

from dataclasses import replace
from decimal import Decimal

import pytest

from account_fakes import LIMITS, AskedClient, rules, seat, seen
from sealane.errors import Unavailable
from sealane.trading.capital import free_cash, free_usd
from sealane.trading.executor import End
from sealane.trading.rounds import account_round
from sealane.trading.strategy import Signal

BUY = Signal("XBTUSD", "buy", Decimal("0.001"), Decimal(40_000))


def row(balance, hold_trade="0.0000", **more):
    return {"balance": balance, "hold_trade": hold_trade, **more}


def asked(answer):
    table = seat()
    return replace(table, client=AskedClient(answer))


def walked(table, *signals, **limits):
    return account_round(table, seen(), rules(replace(LIMITS, **limits), live=True), lambda *views: signals)


def test_holds_what_stands_apart_and_credit_are_not_free():
    rows = {
        "ZUSD": row("100.5", "40.25"),
        "USDT": row("10"),
        "USD.F": row("1000"),
        "USD.HOLD": row("1000"),
        "USDT.B": row("1000"),
        "ZEUR": row("1000"),
        "USD": row("1", credit="500", credit_used="0"),
    }
    assert free_cash(rows) == Decimal("71.25")
    assert free_cash({}) == free_cash({"XXBT": row("1")}) == 0


@pytest.mark.parametrize(
    "rows",
    [
        None,
        [],
        {"ZUSD": "5"},
        {"ZUSD": {"balance": "5"}},
        {"ZUSD": {"hold_trade": "0"}},
        {"ZUSD": row("NaN")},
        {"ZUSD": row("five")},
        {"ZUSD": row(5.0)},
        {"USDT": row("5", None)},
    ],
)
def test_what_cannot_be_read_is_not_known(rows):
    with pytest.raises(Unavailable, match="not known"):
        free_cash(rows)


def test_a_client_without_private_calls_leaves_the_balance():
    assert free_usd(seat().client, Decimal(7)) == 7
    assert free_usd(AskedClient({"ZUSD": row("5", "1")}), Decimal(7)) == 4


def test_gate_3_goes_by_what_is_free_and_gate_1_by_the_balance():
    table = asked({"ZUSD": row("1000", "960")})
    done = walked(table, BUY)
    assert [gate.passed for gate in done.gates] == [True, True, True, True, False]
    assert done.gates[0].inputs["total"] == 1000
    assert done.gates[2].inputs["free"] == 40
    assert "40 USD free, at least 50 USD is wanted: buys are blocked, XXBT can be sold" in done.gates[2].reason
    assert [one.end for one in done.executions] == [End.BLOCKED]
    assert table.broker.orders == []


def test_the_client_is_asked_once_a_round_however_many_signals():
    table = asked({"ZUSD": row("170")})
    done = walked(table, BUY, BUY, BUY, BUY)
    assert table.client.asked == ["BalanceEx"]
    assert [one.end for one in done.executions] == [End.PLACED] * 3 + [End.BLOCKED]


@pytest.mark.parametrize("answer", [Unavailable("HTTP 503"), None, {"ZUSD": {}}])
def test_gate_3_fails_where_what_is_free_cannot_be_had(answer):
    table = asked(answer)
    done = walked(table, BUY, min_capital_usd=Decimal(0))
    assert done.failed.gate == 3
    assert table.broker.orders == []


def test_a_strategy_sees_what_is_free():
    views = []
    table = asked({"ZUSD": row("1000", "300")})
    account_round(table, seen(), rules(), lambda market, account: views.append(account) or [])
    assert [(view.total, view.free) for view in views] == [(1000, 700)]
