from typing import Any

import pytest

from sealane.simulator.faults import ControlError, FaultRules


def rules(seed: int = 0) -> FaultRules:
    return FaultRules(seed, {"AddOrder", "Balance", "Time"}, ["MASTER", "user1"])


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({}, "kind: None is no fault; use one of drop_before"),
        ({"kind": "explode"}, "kind: 'explode'"),
        ({"kind": "drop_after", "methods": "AddOrder"}, "methods: give a list"),
        ({"kind": "drop_after", "methods": []}, "methods: give a list"),
        ({"kind": "drop_after", "methods": ["AddOrders"]}, "methods: AddOrders: no such method"),
        ({"kind": "drop_after", "account": "user7"}, "account: 'user7' is not here; use one of MASTER, user1"),
        ({"kind": "drop_after", "count": 0}, "count: 0 is not right"),
        ({"kind": "drop_after", "count": True}, "count: True"),
        ({"kind": "drop_after", "count": 1, "probability": 0.5}, "count: give either"),
        ({"kind": "drop_after", "probability": 1.5}, "probability: 1.5"),
        ({"kind": "drop_after", "status": 503}, "status: the kind drop_after does not take it"),
        ({"kind": "http_before", "status": 200}, "status: 200"),
        ({"kind": "http_before", "staus": 503}, "staus: the kind http_before does not take it; it takes account"),
        ({"kind": "error"}, "error: missing"),
        ({"kind": "error", "error": "Busy"}, "error: 'Busy' is not right; give an error string"),
        ({"kind": "delay"}, "delay_s: missing"),
        ({"kind": "delay", "delay_s": -1}, "delay_s: -1"),
        ({"kind": "hang", "hang_s": "long"}, "hang_s: 'long'"),
        ({"kind": "hang", "applied": 1}, "applied: 1"),
    ],
)
def test_a_bad_rule_names_the_field_and_the_remedy(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(ControlError) as caught:
        rules().add(rule)
    assert str(caught.value).startswith(said)


def test_a_rule_counts_down_and_the_first_that_fits_is_used() -> None:
    kept = rules()
    kept.add({"kind": "drop_after", "methods": ["AddOrder"], "count": 2})
    kept.add({"kind": "error", "error": "EService:Busy", "account": "user1"})
    hits = [kept.pick(method, account, private=True) for method, account in [("Balance", "MASTER"), ("AddOrder", None)]]
    assert [hit.kind if hit else None for hit in hits] == [None, "drop_after"]
    assert [rule["remaining"] for rule in kept.documents()] == [1, 1]
    hits = [kept.pick("AddOrder", "user1", private=True) for _ in range(3)]
    assert [hit.kind if hit else None for hit in hits] == ["drop_after", "error", None]


@pytest.mark.parametrize("methods", [None, "*", ["*"]])
def test_all_methods_means_all_private_ones(methods: object) -> None:
    kept = rules()
    kept.add({"kind": "drop_after", "methods": methods, "count": 9})
    assert kept.pick("Time", None, private=False) is None
    assert kept.pick("Balance", None, private=True)
    kept.add({"kind": "html", "methods": ["Time"]})
    hit = kept.pick("Time", None, private=False)
    assert hit is not None
    assert (hit.status, hit.applied) == (502, False)


def test_the_dice_follow_the_seed() -> None:
    def rolls(kept: FaultRules) -> list[bool]:
        kept.add({"kind": "drop_before", "probability": 0.5})
        return [kept.pick("Balance", None, private=True) is not None for _ in range(64)]

    first = rules(seed=1)
    once = rolls(first)
    first.reset()
    assert rolls(first) == once == rolls(rules(seed=1)) != rolls(rules(seed=2))
    assert 16 < sum(once) < 48
