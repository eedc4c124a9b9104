"""What happened in this process since it started, counted from its events by account.

Labels are bounded: an account or a method that is not known counts under ``OTHER``.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sealane.core import events
from sealane.core.methods import METHODS
from sealane.core.verdict import Outcome

OTHER = "other"

CALLS, REPEATS, REFUSALS, JUMPS = "calls", "repeats", "nonce_refusals", "jumps"
QUARANTINES, UNFINISHED, NOT_NOTED = "quarantines", "unfinished_turns", "ends_not_noted"
ROOM_WAITS, ROOM_WAIT_S, LIMITS, RESOLVED = "room_waits", "room_wait_s", "limit_refusals", "doubts_resolved"


@dataclass(frozen=True)
class Trouble:
    """The last call of an account that was not accepted: when (Unix time), which, and what was seen."""

    at_s: float
    method: str
    detail: str


@dataclass(frozen=True)
class Tally:
    """The counts at one moment: by name, then by labels, of which the account comes first.

    ``last_answer`` is what an account's last refused nonce led to: ``again``, ``jump`` or ``stop``.
    """

    counts: Mapping[str, Mapping[tuple[str, ...], float]]
    last_trouble: Mapping[str, Trouble]
    last_refusal_s: Mapping[str, float]
    last_answer: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str, *labels: str) -> float:
        """One count, 0 where it never happened."""
        return self.counts.get(name, {}).get(labels, 0)


class Tallies:
    """Counts events; safe from any thread.

    ``accounts`` are the accounts by their keys' fingerprints, ``wall_ns`` the clock.
    """

    def __init__(self, accounts: Mapping[str, str], wall_ns: Callable[[], int]) -> None:
        self._accounts, self._by_fingerprint = frozenset(accounts.values()), accounts
        self._wall_ns = wall_ns
        self._mutex = threading.Lock()
        self._counts: dict[str, collections.Counter[tuple[str, ...]]] = collections.defaultdict(collections.Counter)
        self._trouble: dict[str, Trouble] = {}
        self._refused_s: dict[str, float] = {}
        self._answers: dict[str, str] = {}

    def hear(self, event: events.Event) -> None:
        """Count one event."""
        account = self._account(event)
        with self._mutex:
            match event:
                case events.CallSettled(_, method, _, outcome, detail):
                    self._add(CALLS, account, method if method in METHODS else OTHER, outcome.name.lower())
                    if outcome is not Outcome.ACCEPTED:
                        self._trouble[account] = Trouble(self._wall_ns() / 1e9, method, detail)
                case events.RoomAwaited(_, _, wait_s, _):
                    self._add(ROOM_WAITS, account)
                    self._add(ROOM_WAIT_S, account, by=wait_s)
                case events.NonceRefused(_, _, answer):
                    self._add(REFUSALS, account)
                    self._answers[account] = answer
                    self._refused_s[account] = self._wall_ns() / 1e9
                case _:
                    if (name := _NAMES.get(type(event))) is not None:
                        self._add(name, account)

    def _account(self, event: events.Event) -> str:
        if isinstance(event, events.UnfinishedTurnFound):
            return self._by_fingerprint.get(event.fingerprint, OTHER)
        return event.account if event.account in self._accounts else OTHER

    def _add(self, name: str, *labels: str, by: float = 1) -> None:
        self._counts[name][labels] += by  # type: ignore[assignment]  # a Counter counts in floats as well

    def now(self) -> Tally:
        """The counts so far."""
        with self._mutex:
            counts = {name: dict(rows) for name, rows in self._counts.items()}
            return Tally(counts, dict(self._trouble), dict(self._refused_s), dict(self._answers))


_NAMES: dict[type[events.Event], str] = {
    events.CallRepeated: REPEATS,
    events.LaneJumped: JUMPS,
    events.KeyQuarantined: QUARANTINES,
    events.UnfinishedTurnFound: UNFINISHED,
    events.EndNotNoted: NOT_NOTED,
    events.CounterContradicted: LIMITS,
    events.DoubtResolved: RESOLVED,
}
