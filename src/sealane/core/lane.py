"""The order of callers on one lane inside one process.

The invariant: at most one ticket is at the *front*, and only the front may *hold* the turn.

1. Tickets come to the front by rank (cancels, orders, queries), those of one rank in the order in which they asked.
   None is overtaken more than ``OVERTAKEN_MAX`` times.
2. The front holds the turn only once the store has granted it (a kernel lock, later a lease): between the two it is
   *awaiting*. So a process never queues at the store more than once a lane.
3. The holder's own calls nest: an owner is a (thread, asyncio task) pair, and only the last of its leaves counts.
4. A ticket withdrawn before it holds is forgotten; the next one takes its place, and the store's grant with it.

This machine decides and never waits: the shell that owns threads and loops asks it under a mutex.

    EMPTY --arrive--> AWAITING --grant--> HELD --leave(depth 0)--> EMPTY or AWAITING (the next ticket)
                      AWAITING --withdraw--> EMPTY or AWAITING (the next ticket)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from sealane.core.counter import ORDERS

OVERTAKEN_MAX = 32
"""So many callers of a higher rank may go before one who was there first."""


class TurnError(RuntimeError):
    """A step that the machine does not allow; its state is as it was before."""


@dataclass(eq=False, slots=True)
class Ticket:
    """One caller's place in the order; ``wake`` is called once, when it holds or when ``error`` tells why it cannot."""

    owner: Hashable
    wake: Callable[[], None]
    rank: int = ORDERS
    overtaken: int = 0
    granted: bool = False
    error: BaseException | None = None


class Turns:
    """The tickets of one lane; see the rules at the head of this file."""

    def __init__(self) -> None:
        self._front: Ticket | None = None
        self._held = False
        self._depth = 0
        self._behind: deque[Ticket] = deque()

    @property
    def front(self) -> Ticket | None:
        """The ticket whose turn it is or will be next."""
        return self._front

    @property
    def held(self) -> bool:
        """Whether the front holds the turn."""
        return self._held

    @property
    def waiting(self) -> int:
        """How many tickets wait, the awaiting front included."""
        return len(self._behind) + (self._front is not None and not self._held)

    def reenter(self, owner: Hashable) -> bool:
        """Nest one level deeper if ``owner`` holds the turn already."""
        if not self.is_held_by(owner):
            return False
        self._depth += 1
        return True

    def depth(self, owner: Hashable) -> int:
        """How many levels of the turn are this owner's."""
        return self._depth if self.is_held_by(owner) else 0

    def is_held_by(self, owner: Hashable) -> bool:
        """Whether the turn is this owner's now."""
        return self._held and self._front is not None and self._front.owner == owner

    def arrive(self, ticket: Ticket) -> bool:
        """Join the order; True when the ticket came straight to the front and the store is to be asked."""
        if self._front is None:
            self._front = ticket
            return True
        self._behind.insert(self._place(ticket), ticket)
        return False

    def _place(self, ticket: Ticket) -> int:
        """Where a ticket goes: before those behind it in rank who were not overtaken too often."""
        place = len(self._behind)
        while place and self._behind[place - 1].rank > ticket.rank:
            if self._behind[place - 1].overtaken >= OVERTAKEN_MAX:
                break
            place -= 1
        for overtaken in range(place, len(self._behind)):
            self._behind[overtaken].overtaken += 1
        return place

    def grant(self) -> Ticket:
        """The store granted the turn: the front holds it."""
        if self._front is None or self._held:
            raise TurnError("a turn was granted to nobody, or twice")
        self._held, self._depth = True, 1
        self._front.granted = True
        return self._front

    def leave(self, owner: Hashable) -> bool:
        """End one level of the turn; True when it was the last, and the store is to be told."""
        if not self.is_held_by(owner):
            raise TurnError("a turn was left by one who does not hold it")
        self._depth -= 1
        if self._depth:
            return False
        self._advance()
        return True

    def withdraw(self, ticket: Ticket) -> bool:
        """Forget a ticket that does not hold; True when it was the front, so that another may be there now."""
        if ticket is self._front:
            if self._held:
                raise TurnError("a held turn is left, not withdrawn")
            self._advance()
            return True
        if ticket in self._behind:
            self._behind.remove(ticket)
        return False

    def _advance(self) -> None:
        self._held, self._depth = False, 0
        self._front = self._behind.popleft() if self._behind else None
