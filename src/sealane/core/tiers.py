"""Kraken's limits by verification tier, and what each transaction adds to them.

Source: Kraken's pages on REST and Spot trading rate limits. Where they disagree the cost is a setting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sealane.core.counter import Limit
from sealane.core.methods import HISTORY, HISTORY_COST, method_named

STARTER = "starter"
ADD, AMEND, EDIT, CANCEL = "add", "amend", "edit", "cancel"


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier: the REST counter of a key, the trading counter and the open orders of an account's pair."""

    name: str
    rest: Limit
    trading: Limit
    open_orders: int
    history_cost: float = HISTORY_COST

    def rest_cost(self, method: str) -> float:
        """What a method adds to the REST counter."""
        return self.history_cost if method in HISTORY else method_named(method).cost

    def trusted(self) -> Tier:
        """The tier as a client keeps it."""
        return replace(self, rest=self.rest.trusted(), trading=self.trading.trusted())


TIERS = {
    tier.name: tier
    for tier in (
        Tier(STARTER, Limit(15, 0.33), Limit(60, 1.0), 60),
        Tier("intermediate", Limit(20, 0.5), Limit(125, 2.34), 80),
        Tier("pro", Limit(20, 1.0), Limit(180, 3.75), 225),
    )
}

_FIXED = {ADD: 1.0, AMEND: 1.0, EDIT: 1.0, CANCEL: 0.0}
_PENALTIES: dict[str, tuple[tuple[float, float], ...]] = {  # (younger than so many seconds, more)
    ADD: (),
    AMEND: ((5, 3), (10, 2), (15, 1)),
    EDIT: ((5, 6), (10, 5), (15, 4), (45, 2), (90, 1)),
    CANCEL: ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1)),
}
BATCH_ADD_COST = 0.5
"""What each order of an AddOrderBatch adds."""
REMEMBERED_S = 300
"""An order older than this costs nothing to cancel."""


def fixed_cost(what: str) -> float:
    """The part that is charged whatever becomes of the transaction."""
    return _FIXED[what]


def penalty(what: str, age_s: float) -> float:
    """What an order's age, in seconds since it was made or last amended, adds."""
    return next((more for younger_s, more in _PENALTIES[what] if age_s < younger_s), 0.0)


def next_step_s(what: str, age_s: float) -> float | None:
    """Seconds until the penalty falls; None where it has none any more."""
    return next((younger_s - age_s for younger_s, _ in _PENALTIES[what] if age_s < younger_s), None)
