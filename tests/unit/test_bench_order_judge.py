"""The judge of the ten thousand orders can say no: each way in which an order may end badly is found."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # bench is no part of the installed package

from bench.order_callers import IN_DOUBT, NOT_PLACED, PLACED, Told
from bench.order_crew import shared_out
from bench.order_judge import Asked, Judgement, Row, judge, whys
from bench.order_plan import fault_rules, planned

from sealane.simulator import Simulator

(ORDER,) = planned(1, 1, 1)
FIRST, SECOND = Row("OAAAAA", 1002.0), Row("OBBBBB", 1003.0)
REFUSED = Told(NOT_PLACED, why="Kraken refused it")


def judged(told: Told | None, *rows: Row, deadlines: bool = True) -> Judgement:
    book = {ORDER.client_order_id: rows} if rows else {}
    return judge([Asked(ORDER, 1000.0, told)], book, by="client_order_id", deadlines=deadlines)


@pytest.mark.parametrize(
    ("told", "rows", "column"),
    [
        (Told(PLACED, FIRST.txid), (FIRST,), "placed_once"),
        (REFUSED, (), "not_placed"),
        (None, (), "not_placed"),
        (Told(PLACED, FIRST.txid), (FIRST, SECOND), "doubled"),
        (REFUSED, (FIRST, SECOND), "doubled"),
        (Told(PLACED, FIRST.txid), (), "lost"),
        (Told(PLACED, FIRST.txid), (SECOND,), "lost"),
        (REFUSED, (FIRST,), "lost"),
        (Told(IN_DOUBT), (FIRST,), "lost"),
        (None, (FIRST,), "lost"),
        (Told(IN_DOUBT), (), "in_doubt"),
    ],
)
def test_an_order_counts_once_under_what_became_of_it(told: Told | None, rows: tuple[Row, ...], column: str) -> None:
    found = judged(told, *rows)
    columns = ("placed_once", "not_placed", "doubled", "lost", "in_doubt")
    assert {name: getattr(found, name) for name in columns} == dict.fromkeys(columns, 0) | {column: 1}
    assert found.clean == (column in ("placed_once", "not_placed"))
    assert bool(found.wrong) != found.clean


@pytest.mark.parametrize(("opened_s", "late"), [(1000.4, 0), (1000.6, 1)])
def test_what_is_opened_after_the_deadline_is_found(opened_s: float, late: int) -> None:
    row = Row(FIRST.txid, opened_s + ORDER.deadline_s)
    told = Told(PLACED, row.txid)
    assert (judged(told, row).after_deadline, judged(told, row).clean) == (late, not late)
    assert judged(told, row, deadlines=False).clean, "the others send no deadline"


def test_an_order_that_nobody_asked_for_is_found() -> None:
    found = judge([Asked(ORDER, 1000.0, REFUSED)], {"another": [FIRST]}, by="client_order_id", deadlines=True)
    assert (found.unasked, found.clean) == (1, False)


def test_a_seed_makes_one_plan_with_every_kind_of_order() -> None:
    plan = planned(7, 500, 4)
    assert plan == planned(7, 500, 4) != planned(8, 500, 4)
    assert len({order.client_order_id for order in plan}) == len({order.userref for order in plan}) == 500
    assert {order.order_type for order in plan} == {"limit", "market"}
    assert {order.account for order in plan} == set(range(4))


def test_every_fault_of_the_simulator_is_among_the_rules() -> None:
    from sealane.simulator.fault_fields import KINDS

    simulator = Simulator(clock="frozen")
    for rule in fault_rules():
        simulator.add_fault(**rule)
    assert {rule["kind"] for rule in simulator.faults()} == set(KINDS)


def test_orders_are_shared_out_whole() -> None:
    plan = planned(3, 200, 4)
    shares = shared_out(plan, {0: [0, 1], 1: [0, 1], 2: [1], 3: [0]})
    assert sorted(order.number for share in shares for orders in share.values() for order in orders) == list(range(200))
    assert [sorted(share) for share in shares] == [[0, 1, 3], [0, 1, 2]]


def test_reasons_are_counted_without_what_differs_from_order_to_order() -> None:
    told = [Told(NOT_PLACED, why=f"Unavailable: {number} s") for number in range(3)]
    assert whys([Asked(ORDER, 0, one) for one in told]) == Counter({"not placed: Unavailable": 3})
