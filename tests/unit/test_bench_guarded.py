"""The benchmark of guarded clients: what counts as met, and that no call may be missing from the count."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # bench is no part of the installed package

from bench.guarded import CLIENTS, TOTAL, Outcome, _figures
from bench.report import Result

BARE = Outcome(made=TOTAL, answered=200, requests=TOTAL, accepted=200, refused=200, rose=True, overlap=8)
GUARDED = Outcome(made=TOTAL, answered=TOTAL, requests=TOTAL, accepted=TOTAL, refused=0, rose=True, overlap=1)


def missed(guarded: Outcome) -> list[str]:
    return [figure.name for figure in Result("guarded", "", tuple(_figures("ccxt", BARE, guarded))).missed]


def test_a_bare_client_is_shown_and_a_guarded_one_is_held_to_order() -> None:
    assert missed(GUARDED) == []
    assert [figure.value for figure in _figures("ccxt", BARE, GUARDED)[:2]] == [200, 0]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"refused": 1}, "ccxt guarded, refused"),
        ({"answered": TOTAL - 1}, "ccxt guarded, answered"),
        ({"rose": False}, "ccxt guarded, accepted in rising order"),
        ({"overlap": 2}, "ccxt guarded, in flight at once"),
    ],
)
def test_one_call_out_of_order_misses_the_target(change: dict[str, int], name: str) -> None:
    assert missed(replace(GUARDED, **change)) == [name]


@pytest.mark.parametrize(
    ("bare", "guarded"),
    [
        (replace(BARE, made=TOTAL - 1), GUARDED),
        (BARE, replace(GUARDED, made=TOTAL - 1)),
        (BARE, replace(GUARDED, requests=TOTAL + 1)),
    ],
)
def test_a_call_that_is_missing_from_the_count_fails_the_benchmark(bare: Outcome, guarded: Outcome) -> None:
    with pytest.raises(RuntimeError, match=str(TOTAL)):
        _figures("ccxt", bare, guarded)


def test_the_three_clients_take_part() -> None:
    assert list(CLIENTS) == ["ccxt", "krakenex", "python-kraken-sdk"]
