"""What a method of the exchange is given besides its arguments."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from sealane.simulator.accounts import Account
from sealane.simulator.facts import Switches
from sealane.simulator.market import Market
from sealane.simulator.orders import Order
from sealane.simulator.venue import Venue


@dataclass(frozen=True)
class Touch:
    """That a call acts on an order of a pair, for the trading counters.

    `what` is add, amend, edit, cancel, batch_add or batch_cancel. `age_s` is the age of the order it acts on, from its
    creation or last amend; None where there is none. `count` is how many orders a batch_add has; of a cancel of several
    orders each has its own Touch.
    """

    pair: str
    what: str
    age_s: float | None = None
    count: int = 1


def _let_pass(_touch: Touch) -> None:
    """No counter: everything passes."""


@dataclass(frozen=True)
class Context:
    """One private call that has passed every check.

    `previous_nonce` is the key's highest nonce before this call; `ids` is where order ids are drawn from. `touched` is
    filled by the methods that trade, before they check anything else: `on_touch` is asked first and may refuse.
    """

    account: Account
    market: Market
    switches: Switches
    now_ns: int
    ids: random.Random
    previous_nonce: int
    venue: Venue
    on_touch: Callable[[Touch], None] = _let_pass
    touched: list[Touch] = field(default_factory=list)

    def touch(self, pair_name: str, what: str, order: Order | None = None, *, count: int = 1) -> None:
        """Note that the call acts on an order; Refused when `on_touch` says no."""
        touch = Touch(pair_name, what, None if order is None else order.age_s(self.now_ns), count)
        self.touched.append(touch)
        self.on_touch(touch)
