"""The judge of the kill tests finds what it is there to find, and excuses what a death explains."""

from typing import Any

import pytest
from judge import Entry, judge


def entry(nonce: int, arrived: int, answered: int | None, method: str = "Balance", **more: Any) -> Entry:
    return {
        "account": "MASTER",
        "method": method,
        "nonce": str(nonce),
        "arrived_ns": arrived,
        "answered_ns": answered,
        "outcome": "accepted",
    } | more


def test_an_ordered_journal_is_clean() -> None:
    assert judge([entry(1, 10, 12), entry(2, 13, 15), entry(3, 16, 18)], [], one_lane=True).clean


FAULTS = {
    "overlaps": [entry(1, 10, 20), entry(2, 15, 25)],
    "refused": [entry(2, 10, 12), entry(1, 13, 14, outcome="refused")],
    "not_risen": [entry(2, 10, 12), entry(1, 13, 14)],
    "not_fenced": [entry(1, 10, None, "AddOrder"), entry(2, 20, 21, "AddOrder")],
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found(name: str) -> None:
    found = judge(FAULTS[name], [], one_lane=True)
    assert not found.clean
    assert getattr(found, name)


def test_accounts_may_overlap_on_lanes_of_their_own() -> None:
    row = [entry(1, 10, 20), entry(2, 15, 25, account="user1")]
    assert judge(row, [], one_lane=False).clean
    assert judge(row, [], one_lane=True).overlaps


@pytest.mark.parametrize(
    "row",
    [
        [entry(1, 10, None), entry(2, 15, 25)],  # its sender died
        [entry(1, 10, 20), entry(2, 15, 25)],  # answered after its sender's death at 12
        [entry(2, 14, 25), entry(1, 15, None, outcome="refused")],  # read late, from a dead sender's socket
        [entry(1, 10, None, "AddOrder"), entry(2, 14, 15, "GetApiKeyInfo"), entry(3, 16, 17, "AddOrder")],
    ],
)
def test_a_death_explains_what_it_leaves_on_the_way(row: list[Entry]) -> None:
    assert judge(row, [(12, 13)], one_lane=True).clean


def test_a_death_does_not_explain_an_overlap_of_the_living() -> None:
    assert judge([entry(1, 10, 20), entry(2, 15, 25)], [(5, 6), (30, 31)], one_lane=True).overlaps


def test_a_dead_sender_with_a_higher_number_did_not_wait_its_turn() -> None:
    assert judge([entry(1, 10, 20), entry(2, 15, None)], [(40, 41)], one_lane=True).overlaps
