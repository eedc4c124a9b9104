"""A client's figures: counted from its events, shown as one frozen snapshot."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

from sealane.core import events
from sealane.core.verdict import Outcome


@dataclass(frozen=True)
class Statistics:
    """One client at one moment. Counts are since the client was made; health, metrics and CLI all show these.

    Attributes:
        account, key, url, lane: whose client this is; the key as its last four characters.
        sent: private requests that came to an outcome, repeats and fences included.
        accepted, refused, not_sent, in_doubt: those by outcome.
        nonce_refusals: of the refused, those for their nonce.
        jumps: raised floors. repeated: reads sent again.
        quarantined: the diagnosis where the key is stopped, "" otherwise.
        last_nonce: the lane's highest nonce, by any process. nonces_issued: those by this process.
        clock_doubted: the clock leaped forward and is not followed.
        waiting: callers in this process that wait for the lane. busy: whether one holds it.
        uptime_s: seconds since the client was made.
    """

    account: str
    key: str
    url: str
    lane: str
    sent: int
    accepted: int
    refused: int
    not_sent: int
    in_doubt: int
    nonce_refusals: int
    jumps: int
    repeated: int
    quarantined: str
    last_nonce: int
    nonces_issued: int
    clock_doubted: bool
    waiting: int
    busy: bool
    uptime_s: float


class Tally:
    """Counts events; safe from any thread."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.after_fork()

    def after_fork(self) -> None:
        """In a forked child: a thread of the parent may hold the mutex, and does not exist here."""
        self._mutex = threading.Lock()

    def hear(self, event: events.Event) -> None:
        """Count one event."""
        with self._mutex:
            match event:
                case events.CallSettled():
                    self._counts["sent"] += 1
                    self._counts[event.outcome.value] += 1
                case events.NonceRefused():
                    self._counts["nonce_refusals"] += 1
                case events.LaneJumped():
                    self._counts["jumps"] += 1
                case events.CallRepeated():
                    self._counts["repeated"] += 1

    def __getitem__(self, name: str | Outcome) -> int:
        with self._mutex:
            return self._counts[name.value if isinstance(name, Outcome) else name]
