"""The order of callers, against a model: a plain list of who came when."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from sealane.core.lane import Ticket, TurnError, Turns


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
