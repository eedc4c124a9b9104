"""What a method of the exchange is given besides its arguments."""

import random
from dataclasses import dataclass

from sealane.simulator.accounts import Account
from sealane.simulator.facts import Switches
from sealane.simulator.market import Market
from sealane.simulator.venue import Venue


@dataclass(frozen=True)
class Context:
    """One private call that has passed every check.

    `previous_nonce` is the key's highest nonce before this call; `ids` is where order ids are drawn from.
    """

    account: Account
    market: Market
    switches: Switches
    now_ns: int
    ids: random.Random
    previous_nonce: int
    venue: Venue
