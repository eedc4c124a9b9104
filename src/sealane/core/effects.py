"""What a flow asks of its shell, as frozen values: a flow decides, a shell does and sends back what came of it.

A flow is a generator that yields effects. A shell drives it by ``next`` and ``send``, throws into it whatever an
effect raised, and always runs it to its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sealane.core import events
from sealane.core.counter import QUERIES
from sealane.core.order import Intent
from sealane.core.rates import Rates
from sealane.core.recovery import KeyState
from sealane.core.signing import Request
from sealane.core.tiers import Tier


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """The write that a turn's holder has under way, and its intent where it has one."""

    fingerprint: str
    method: str
    nonce: int
    intent: str = ""


@dataclass(frozen=True, slots=True)
class Entered:
    """The answer to ``Enter``: what the last holder left unfinished, and when the lane's last call ended."""

    unfinished: TurnRecord | None
    last_ended_ns: int
    clock_doubted: bool


@dataclass(frozen=True, slots=True)
class Enter:
    """Take the lane's turn; answered with Entered.

    ``rank`` is of ``core.counter``: who goes before whom. ``limit_s`` bounds the wait where the caller's own is
    longer.
    """

    rank: int = QUERIES
    limit_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Leave:
    """End the turn."""


@dataclass(frozen=True, slots=True)
class Now:
    """Answered with the wall clock in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Answered with the next nonce, stored already."""


@dataclass(frozen=True, slots=True)
class LastNonce:
    """Answered with the highest nonce that the lane issued to anybody."""


@dataclass(frozen=True, slots=True)
class RaiseFloor:
    """Every later nonce of the lane is above ``floor``."""

    floor: int


@dataclass(frozen=True, slots=True)
class LoadKey:
    """Answered with the KeyState of a fingerprint."""

    fingerprint: str


@dataclass(frozen=True, slots=True)
class SaveKey:
    """Store a key's state."""

    fingerprint: str
    state: KeyState


@dataclass(frozen=True, slots=True)
class Record:
    """Write down the write under way, or None for none, and when the lane's last call ended, where that is kept."""

    turn: TurnRecord | None
    ended_ns: int = 0


@dataclass(frozen=True, slots=True)
class Exchange:
    """Send one request; answered with a Reply or a Failure."""

    request: Request


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ConfirmClock:
    """Kraken's own time, as a witness for a clock that leaped."""

    server_ns: int


@dataclass(frozen=True, slots=True)
class Revise:
    """Change an account's counters while nobody else can; answered with the second thing that ``change`` returns.

    ``change`` is given the counters and the wall clock, read while nobody else can change them: a time from before
    would drain them twice.
    """

    account: str
    change: Callable[[Rates, int], tuple[Rates, object]]


@dataclass(frozen=True, slots=True)
class LoadRates:
    """Answered with an account's counters, as they were stored last."""

    account: str


@dataclass(frozen=True, slots=True)
class Recall:
    """Answered with the notes of those of these orders that have one."""

    account: str
    orders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep notes of orders, as texts by name."""

    account: str
    notes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class KeepIntent:
    """Store an intent; with ``sync`` it survives power loss before the next effect."""

    intent: Intent
    sync: bool


@dataclass(frozen=True, slots=True)
class ReadIntent:
    """Answered with the first intent that has one of these order ids, or None."""

    order_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OtherOrders:
    """Answered with the txids of orders of other intents than this one that have one of these order ids too."""

    intent_id: str
    order_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tell:
    """Publish an event."""

    event: events.Event


Effect = (
    Enter
    | Leave
    | Now
    | Draw
    | LastNonce
    | RaiseFloor
    | LoadKey
    | SaveKey
    | Record
    | Exchange
    | Sleep
    | ConfirmClock
    | Revise
    | LoadRates
    | Recall
    | Remember
    | KeepIntent
    | ReadIntent
    | OtherOrders
    | Tell
)
T = TypeVar("T")
Flow = Generator[Effect, Any, T]


class Drafted(Protocol):
    """A private call that lacks only its nonce."""

    def signed(self, nonce: int, /) -> Request:
        """The request with this nonce."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and how: the parts of a call that stay the same over its attempts.

    ``draft`` checks and encodes a method and its parameters. ``tier`` holds the limits that are kept, None for none;
    ``patience_s`` is how long the call may wait for room in all; ``repeats``: a read without an answer is sent again.
    """

    account: str
    fingerprint: str
    unit_ns: int
    min_interval_ns: int
    draft: Callable[[str, Mapping[str, object]], Drafted]
    tier: Tier | None = None
    patience_s: float = 60.0
    repeats: bool = True
