"""The order of callers, against a model: a plain list of who came when."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from sealane.core.counter import CANCELS, ORDERS, QUERIES
from sealane.core.lane import OVERTAKEN_MAX, Ticket, TurnError, Turns


def ticket(owner):
    return Ticket(owner, lambda: None)


class TurnsAgainstAList(RuleBasedStateMachine):
    tickets = Bundle("tickets")

    def __init__(self):
        super().__init__()
        self.turns = Turns()
        self.line = []
        self.depth = 0
        self.owners = iter(range(10**6))

    @rule(target=tickets)
    def arrive(self):
        new = ticket(next(self.owners))
        assert self.turns.arrive(new) is (not self.line)
        self.line.append(new)
        return new

    @precondition(lambda self: self.line and not self.depth)
    @rule()
    def grant(self):
        assert self.turns.grant() is self.line[0]
        assert self.line[0].granted
        self.depth = 1

    @precondition(lambda self: self.depth)
    @rule()
    def nest(self):
        assert self.turns.reenter(self.line[0].owner)
        self.depth += 1

    @precondition(lambda self: self.depth)
    @rule()
    def leave(self):
        self.depth -= 1
        assert self.turns.leave(self.line[0].owner) is (not self.depth)
        if not self.depth:
            self.line.pop(0)

    @rule(gone=consumes(tickets))
    def withdraw(self, gone):
        if gone not in self.line:
            assert not self.turns.withdraw(gone)
        elif gone.granted:
            with pytest.raises(TurnError):
                self.turns.withdraw(gone)
        else:
            assert self.turns.withdraw(gone) is (gone is self.line[0])
            self.line.remove(gone)

    @rule(owner=st.integers(10**7, 10**7 + 5))
    def strangers_get_nothing(self, owner):
        assert not self.turns.reenter(owner)
        with pytest.raises(TurnError):
            self.turns.leave(owner)

    @precondition(lambda self: not self.line or self.depth)
    @rule()
    def no_turn_is_granted_twice_or_to_nobody(self):
        with pytest.raises(TurnError):
            self.turns.grant()

    @invariant()
    def looks_like_the_list(self):
        assert self.turns.front is (self.line[0] if self.line else None)
        assert self.turns.held is bool(self.depth)
        assert self.turns.waiting == len(self.line) - bool(self.depth)


TestTurns = TurnsAgainstAList.TestCase
TestTurns.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def order_of(ranks):
    """In which order tickets of these ranks, all there while a turn is held, come to hold it."""
    turns = Turns()
    turns.arrive(ticket("holder"))
    turns.grant()
    for number, rank in enumerate(ranks):
        turns.arrive(Ticket(number, lambda: None, rank))
    turns.leave("holder")
    owners = []
    for _ in ranks:
        owners.append(turns.grant().owner)
        turns.leave(owners[-1])
    return owners


def test_cancels_come_before_orders_and_orders_before_queries():
    assert order_of([QUERIES, ORDERS, CANCELS, QUERIES, CANCELS, ORDERS]) == [2, 4, 1, 5, 0, 3]


def test_nobody_is_overtaken_for_ever():
    order = order_of([QUERIES, *[CANCELS] * (OVERTAKEN_MAX + 10)])
    assert order.index(0) == OVERTAKEN_MAX


@given(st.lists(st.sampled_from([CANCELS, ORDERS, QUERIES]), max_size=200))
def test_one_rank_keeps_its_order_and_none_is_overtaken_too_often(ranks):
    order = order_of(ranks)
    for rank in (CANCELS, ORDERS, QUERIES):
        assert [owner for owner in order if ranks[owner] == rank] == [n for n, own in enumerate(ranks) if own == rank]
    for place, owner in enumerate(order):
        assert sum(before > owner for before in order[:place]) <= OVERTAKEN_MAX
