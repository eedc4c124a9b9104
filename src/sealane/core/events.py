"""What happened on a lane, as frozen values: telemetry, statistics and logs all live from these.

No event holds a secret or a whole key: accounts go by name, keys by fingerprint.
"""

from __future__ import annotations

from dataclasses import dataclass

from sealane.core.verdict import Outcome


@dataclass(frozen=True, slots=True)
class CallSettled:
    """One request came to its outcome. ``detail`` is Kraken's error or what was seen instead of an answer."""

    account: str
    method: str
    nonce: int
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NonceRefused:
    """Kraken refused a nonce; ``answer`` names what follows: again, jump or quarantine."""

    account: str
    nonce: int
    answer: str


@dataclass(frozen=True, slots=True)
class LaneJumped:
    """The lane's floor was raised for an account's key."""

    account: str
    refused: int
    floor: int


@dataclass(frozen=True, slots=True)
class KeyQuarantined:
    """A key was stopped until a person acts."""

    account: str
    diagnosis: str


@dataclass(frozen=True, slots=True)
class UnfinishedTurnFound:
    """The lane's last holder died with a write under way; that key is fenced before its next write.

    ``intent`` names what is kept about it, "" for nothing.
    """

    fingerprint: str
    method: str
    nonce: int
    intent: str = ""


@dataclass(frozen=True, slots=True)
class CallRepeated:
    """A read without a usable answer is sent again after ``pause_s``."""

    account: str
    method: str
    pause_s: float
    detail: str


@dataclass(frozen=True, slots=True)
class EndNotNoted:
    """A request came to its end, and the store could not take it: the key's next write will be fenced for nothing."""

    account: str
    method: str
    detail: str


@dataclass(frozen=True, slots=True)
class RoomAwaited:
    """A call waits ``wait_s`` until one of Kraken's counters has drained, or until orders of a full pair close."""

    account: str
    method: str
    wait_s: float
    counter: str


@dataclass(frozen=True, slots=True)
class CounterContradicted:
    """Kraken said that a limit was reached where there seemed to be room."""

    account: str
    method: str
    detail: str


@dataclass(frozen=True, slots=True)
class NonceWindowOpen:
    """The key's nonce window is above 0: a nonce may be taken twice, so nothing is ever sent a second time."""

    account: str
    window: int


@dataclass(frozen=True, slots=True)
class DoubtResolved:
    """An order whose answer was lost has its end; ``looks`` is how often it was looked for."""

    account: str
    method: str
    intent: str
    looks: int


Event = (
    CallSettled
    | NonceRefused
    | LaneJumped
    | KeyQuarantined
    | UnfinishedTurnFound
    | CallRepeated
    | EndNotNoted
    | RoomAwaited
    | CounterContradicted
    | NonceWindowOpen
    | DoubtResolved
)
