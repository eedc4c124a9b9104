"""The benchmarks' report: which figures count as met, what a failed benchmark does, and the arithmetic of rounds."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # bench is no part of the installed package

from bench.report import Figure, Result, one_line, report_document, save, show, shown
from bench.rounds import Rates, in_turns, jain, per_second, percentile


@pytest.mark.parametrize(
    ("figure", "met", "target"),
    [
        (Figure("a", 0.6, "×", at_least=0.6), True, "≥ 0.6"),
        (Figure("a", 0.59, "×", at_least=0.6), False, "≥ 0.6"),
        (Figure("a", 0, "", at_most=0), True, "≤ 0"),
        (Figure("a", 1, "", at_most=0), False, "≤ 0"),
        (Figure("a", 1, "ms"), None, ""),
    ],
)
def test_a_figure_knows_whether_its_target_was_met(figure, met, target):
    assert (figure.met, figure.target, figure.document()["met"]) == (met, target, met)


def test_a_missed_target_and_a_failed_benchmark_each_fail_the_run():
    good = Result("good", "", (Figure("fast", 2, "×", at_least=1),))
    slow = Result("slow", "", (Figure("fast", 0.5, "×", at_least=1), Figure("shown", 3, "ms")))
    broken = Result("broken", "", error="it broke")
    assert report_document([good], {})["passed"] is True
    document = report_document([good, slow, broken], {"cpus": 2})
    assert document["passed"] is False
    assert document["missed"] == ["slow: fast", "broken: it broke"]
    assert document["cpus"] == 2


def test_the_document_is_one_line_of_json_and_is_kept(tmp_path):
    document = report_document([Result("name", "title", (Figure("a", 1.23456, "×", 1, 2, at_least=1),))], {})
    assert "\n" not in one_line(document)
    save(document, tmp_path / "results" / "latest.json")
    kept = json.loads((tmp_path / "results" / "latest.json").read_text())
    assert kept == json.loads(one_line(document))
    assert kept["benchmarks"][0]["figures"] == [
        {"name": "a", "value": 1.2346, "unit": "×", "low": 1, "high": 2, "at_least": 1, "at_most": None, "met": True}
    ]


def test_the_table_names_every_figure_and_what_was_missed():
    out = io.StringIO()
    figures = (Figure("quick", 2.5, "×", 2.0, 3.0, at_least=2), Figure("slow [1]", 0.5, "×", at_least=1))
    show([Result("name", "title", figures, ("a note",)), Result("other", "", error="[it] broke")], out)
    for text in ("quick", "2.50 ×", "2 – 3", "met", "slow [1]", "missed", "a note", "[it] broke"):
        assert text in out.getvalue()


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1234.5, "1,234"), (123.45, "123.5"), (2.5, "2.50"), (0.5, "0.500")]
)
def test_numbers_have_as_many_digits_as_mean_something(value, text):
    assert shown(value) == text


def test_a_ratio_is_the_median_of_the_rounds_own_ratios():
    rates = Rates({"a": [10, 20, 90], "b": [10, 10, 10]})
    assert rates.ratio("a : b", "a", "b", at_least=3) == Figure("a : b", 2, "×", 1, 9, at_least=3)
    assert rates.difference("a - b", "a", "b", "ms") == Figure("a - b", 10, "ms", 0, 80)
    assert rates.figure("a", "a", "/s") == Figure("a", 20, "/s", 10, 90)


def test_every_way_is_measured_once_a_round_and_none_always_first():
    order = []
    ways = {name: lambda name=name: order.append(name) or 1.0 for name in "abc"}
    rates = in_turns(ways, 3)
    assert order == list("abcbcacab")
    assert rates.of("b") == [1.0, 1.0, 1.0]


def test_batches_are_checked_and_counted():
    batches, checks = [], []
    rate = per_second(batches.append, 5, 0.001, lambda: checks.append(1))
    assert rate > 0
    assert set(batches) == {5}
    assert len(checks) == len(batches)


def test_fairness_and_percentiles():
    assert jain([5, 5, 5, 5]) == 1
    assert jain([8, 0, 0, 0]) == 0.25
    assert jain([0, 0]) == 0
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([3, 1, 2], 0.99) == 3
