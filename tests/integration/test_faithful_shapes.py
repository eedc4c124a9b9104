"""Every answer of the simulator has the fields, and the forms, that Kraken documents: none missing, none more."""

from collections.abc import Iterator
from typing import Any

import pytest

from sealane.simulator import Probe, Simulator
from sealane.simulator.methods import PRIVATE
from sealane.simulator.public import PUBLIC
from shapes.forms import DECIMAL, ORDER_ID, SECONDS, Difference, Fields, Keyed, ListOf, Maybe, Row, check, unseen
from shapes.private_answers import PRIVATE_ANSWERS
from shapes.public_answers import PUBLIC_ANSWERS
from shapes.scene import AS_JSON, ASKED, ASKED_PUBLICLY, Scene, play, result, unknown

NEVER_SHOWN = {  # documented fields for which the simulator has nothing to show
    "OpenPositions": "*",
    "GetApiKeyInfo": "ipAllowlist",
}


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Simulator(seed=5) as simulator, Probe(simulator.url, simulator.accounts[0]) as probe:
        yield play(simulator, probe)


def judge(method: str, shape: Any, answer: Any) -> None:
    found = check(shape, answer)
    assert found.differences == [], [str(difference) for difference in found.differences]
    hidden = NEVER_SHOWN.get(method)
    missed = {path for path in unseen(shape, found) if hidden is None or not path.startswith(hidden)}
    assert missed == set(), f"{method} showed nothing to check there"


def passed_over(method: str) -> None:
    reason = unknown(method)
    if reason:
        pytest.skip(reason)


@pytest.mark.parametrize("method", PRIVATE_ANSWERS)
def test_a_private_answer_is_as_documented(scene: Scene, method: str) -> None:
    passed_over(method)
    fields = ASKED[method](scene)
    judge(method, PRIVATE_ANSWERS[method], result(scene.probe, method, as_json=method in AS_JSON, **fields))


@pytest.mark.parametrize("method", PUBLIC_ANSWERS)
def test_a_public_answer_is_as_documented(scene: Scene, method: str) -> None:
    passed_over(method)
    answer = scene.probe.public(method, **ASKED_PUBLICLY[method])
    assert answer["error"] == []
    judge(method, PUBLIC_ANSWERS[method], answer["result"])


def test_a_validated_order_shows_no_id(scene: Scene) -> None:
    answer = result(scene.probe, "AddOrder", **ASKED["AddOrder"](scene), validate="true")
    assert check(PRIVATE_ANSWERS["AddOrder"], answer).differences == []
    assert "txid" not in answer


def test_every_method_of_the_simulator_has_a_shape() -> None:
    assert sorted(PRIVATE.keys() - PRIVATE_ANSWERS.keys()) == []
    assert sorted(PUBLIC.keys() - PUBLIC_ANSWERS.keys()) == []
    assert PRIVATE_ANSWERS.keys() == ASKED.keys()
    assert PUBLIC_ANSWERS.keys() == ASKED_PUBLICLY.keys()


# --- the checker finds what it is there to find -----------------------------------------------------------------------

ORDERS = Fields({"open": Keyed(ORDER_ID, Fields({"vol": DECIMAL, "opentm": SECONDS, "userref": Maybe(DECIMAL)}))})
ID = "OUF4EM-FRGI2-MQMWZD"


@pytest.mark.parametrize(
    ("answer", "difference"),
    [
        ({}, Difference("open", "missing", "object")),
        ({"open": []}, Difference("open", "mistyped", "object", "list")),
        ({"open": {ID: {"vol": "1.0"}}}, Difference("open.*.opentm", "missing", "unix seconds")),
        ({"open": {ID: {"vol": 1.5, "opentm": 1.7e9}}}, Difference("open.*.vol", "mistyped", "decimal text", "number")),
        (
            {"open": {ID: {"vol": "1", "opentm": "1.7e9"}}},
            Difference("open.*.opentm", "mistyped", "unix seconds", "text"),
        ),
        (
            {"open": {ID: {"vol": "1", "opentm": 1.7e9, "x": None}}},
            Difference("open.*.x", "unexpected", "", "null"),
        ),
        (
            {"open": {"TAB": {"vol": "1", "opentm": 1.7e9}}},
            Difference("open.*", "mistyped", "order id as its name", "text"),
        ),
    ],
)
def test_a_difference_is_found(answer: Any, difference: Difference) -> None:
    assert check(ORDERS, answer).differences == [difference]
    assert difference.path in str(difference)


def test_what_an_empty_answer_could_not_show_is_told() -> None:
    found = check(ORDERS, {"open": {}})
    assert found.differences == []
    assert unseen(ORDERS, found) == {"open.*.vol", "open.*.opentm"}
    assert unseen(ORDERS, check(ORDERS, {"open": {ID: {"vol": "1.0", "opentm": 1.7e9}}})) == set()


def test_rows_have_a_place_for_each_value() -> None:
    shape = ListOf(Row((DECIMAL, SECONDS)))
    assert check(shape, [["1.0", 1.7e9]]).differences == []
    assert check(shape, [["1.0", 1.7e9, 3]]).differences == [Difference("[]", "mistyped", "list of 2", "list")]
    assert check(shape, [["1.0", True]]).differences == [
        Difference("[][1]", "mistyped", "unix seconds", "true or false")
    ]


def test_no_difference_holds_a_value() -> None:
    answer = {"open": {ID: {"vol": 12345.678, "more": "98765.4", ID: {}}}}
    told = [str(each) for each in check(ORDERS, answer).differences]
    assert len(told) == 4
    assert not any(secret in text for text in told for secret in ("12345", "98765", ID))
