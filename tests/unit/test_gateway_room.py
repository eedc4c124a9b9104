"""Room for calls: what is promised is there to be had, and nobody takes it all."""

from __future__ import annotations

import resource
from contextlib import ExitStack

import pytest

from sealane.gateway.api.waiting import CLASS_MAX, Crowded, Waiting
from sealane.gateway.descriptors import calls_max, connections_max

ALL = 512


def filled(stack, waiting, key, *kinds):
    """How many calls of a key found room."""
    found = 0
    for kind in kinds:
        for _ in range(ALL):
            try:
                stack.enter_context(waiting.room(key, kind))
            except Crowded:
                break
            found += 1
    return found


@pytest.mark.parametrize(
    ("soft", "connections", "calls"),
    [(1_024, 576, 512), (10**6, 576, 512), (-1, 576, 512), (256, 144, 128), (20, 16, 14)],
)
def test_calls_stay_below_connections_and_these_below_descriptors(monkeypatch, soft, connections, calls):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert (connections_max(), calls_max()) == (connections, calls)
    assert Waiting().all_max == calls


def test_a_key_has_its_room_in_every_class_and_gives_it_back():
    waiting = Waiting(ALL)
    for _ in range(2):
        with ExitStack() as stack:
            for kind, room in CLASS_MAX.items():
                assert filled(stack, waiting, "one", kind) == room
    assert not waiting._of_class + waiting._of_key + waiting._in_all


@pytest.mark.parametrize("keys", [1, 5, 10])
def test_where_keys_take_what_they_can_the_next_finds_room(keys):
    waiting = Waiting(ALL)
    with ExitStack() as stack:
        for number in range(keys):
            filled(stack, waiting, str(number), "read", "trade")
        assert filled(stack, waiting, "next", "read") >= 1
        assert filled(stack, waiting, "next", "cancel") == CLASS_MAX["cancel"]


def test_a_few_keys_leave_as_much_as_each_of_them_has():
    waiting = Waiting(120)
    with ExitStack() as stack:
        took = [filled(stack, waiting, str(number), "read", "trade") for number in range(3)]
        assert took == [45, 23, 11]
        assert filled(stack, waiting, "next", "read") == 6
        assert filled(stack, waiting, "next", "cancel") == 18


def test_the_last_quarter_is_for_cancels_alone():
    waiting = Waiting(ALL)
    with ExitStack() as stack:
        others = sum(filled(stack, waiting, str(number), "read", "trade") for number in range(1_000))
        assert others <= ALL * 3 // 4
        cancels = sum(filled(stack, waiting, str(number), "cancel") for number in range(1_000))
        assert others + cancels <= ALL
        assert cancels >= ALL // 4 - 1


def test_nobody_else_s_cancels_take_the_room_of_the_others():
    waiting = Waiting(ALL)
    with ExitStack() as stack:
        for number in range(5):
            filled(stack, waiting, str(number), "cancel")
        assert filled(stack, waiting, "next", "read") > 0
