"""One private call's way to Kraken: what was asked for it, and what keeps the rest of it from being asked.

1. A write that waited for its turn leaves only if its key may still make it: a key that was revoked, paused or rotated
   out meanwhile is told so, and nothing left. What left once is seen to its end: a repeat is never stopped.
2. A program that cancels what it does not own makes the gateway look it up, at the account's expense. Each key has a
   small budget for that, so that none spends what all live on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sealane.client.forwarder import Timing
from sealane.core.methods import method_named
from sealane.core.signing import PRIVATE
from sealane.errors import Refused
from sealane.gateway.api.envelope import DENIED

LOOKING = frozenset({"CancelOrder", "CancelOrderBatch"})
"""Calls that cost nothing at Kraken, and a look where the gateway has to find out whose order it is."""
LOOK = "QueryOrders"


class LooksSpent(Exception):
    """The key's budget for looks at orders that are not known is used up."""


@dataclass(slots=True)
class Way(Timing):
    """The way of a call of ``method``.

    ``forbids`` tells why its key may not make it any more, "" where it may; ``may_look`` takes a look out of its
    budget. ``wrote``: something that writes has left, and ``is_first``: the last of them alone.
    ``stopped`` is why it was kept back, "" where it was not.
    """

    method: str = ""
    forbids: Callable[[], str] = str
    may_look: Callable[[], bool] = lambda: True
    wrote: bool = False
    stopped: str = ""
    is_first: bool = False

    def asks(self, method: str) -> None:
        """Raises LooksSpent."""
        if method == LOOK and self.method in LOOKING and not self.may_look():
            raise LooksSpent
        Timing.asks(self, method)

    def leaves(self, target: str, now_ns: int) -> None:
        """Raises Refused."""
        name = target.removeprefix(PRIVATE)
        if name != target and method_named(name).write:
            if name == self.method and not self.wrote and (why := self.forbids()):
                self.stopped = why
                raise Refused(name, (DENIED,))
            self.is_first, self.wrote = not self.wrote, True
        Timing.leaves(self, target, now_ns)

    def stayed(self) -> None:
        """Where it was the first of them, none has left yet."""
        self.wrote = self.wrote and not self.is_first

    @property
    def made(self) -> list[str]:
        """What was asked of Kraken in place of the call, or beside it; [] where it was the call alone."""
        return [] if self.asked in ([], [self.method]) else self.asked
