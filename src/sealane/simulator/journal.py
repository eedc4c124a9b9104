"""The request journal: what came in, when, and whether two calls of one key were ever on the way at the same time.

It is the witness against which a client is judged, so it decides nothing and believes nothing:

1. A private call is *in flight* from the moment its whole request was read until its answer was written, its
   connection was closed by a fault, or the client hung up, whichever came first. A request that is still delayed
   after its client left is a ghost: it is carried out later, but it is no longer in flight.
2. Whether nonces rose is found by walking the accepted ones in the order of acceptance, without asking the check
   that accepted them.
3. The summary counts every request since the start or the last `clear`; only the entries are bounded.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from sealane.simulator.facts import ORDERS_LIMIT, REST_RATE_LIMIT, TRADING_RATE_LIMIT

LIMITS = {REST_RATE_LIMIT: "refused_rate", TRADING_RATE_LIMIT: "refused_rate", ORDERS_LIMIT: "refused_orders"}
ENTRIES_KEPT = 100_000
UNKNOWN_KEY = "unknown"  # the account name under which calls with a missing or unknown key are counted


@dataclass(slots=True)
class Entry:
    """One private call. `outcome` is one of

    - `accepted`: its nonce was accepted, whatever the method then answered (see `error`),
    - `refused`: its nonce was not accepted, for the reason in `error`,
    - `dropped`: a fault kept it from being looked at,
    - `pending`: still delayed.

    `in_flight_at_arrival` counts the calls of the same key in flight, this one included: 1 means alone.
    `answered_ns` is None when no answer was written.
    """

    n: int
    account: str
    method: str
    nonce: str
    arrived_ns: int
    in_flight_at_arrival: int
    answered_ns: int | None = None
    outcome: str = "pending"
    error: str | None = None
    fault: str | None = None

    def document(self) -> dict[str, Any]:
        """The entry as JSON; `account` is null for an unknown key."""
        account = None if self.account == UNKNOWN_KEY else self.account
        return {name: getattr(self, name) for name in self.__slots__} | {"account": account}


@dataclass(slots=True)
class Tally:
    """Running figures of one account.

    A call refused by a limit is among `accepted` or `refused_other` too: the first says what became of its nonce.
    `refused_unseen` are the late calls whose nonce was refused when nobody waited for the answer any more.
    `nonces_excused` says that somebody lowered the highest nonce or opened the window by hand.
    """

    requests: int = 0
    accepted: int = 0
    refused_nonce: int = 0
    refused_other: int = 0
    refused_unseen: int = 0
    refused_rate: int = 0
    refused_orders: int = 0
    nonces_rose: bool = True
    nonces_excused: bool = False
    max_overlap: int = 0
    overlapping: int = 0
    last_accepted_nonce: int | None = None

    def document(self) -> dict[str, Any]:
        """The figures as JSON; the nonce as text, because 19 digits do not fit a JavaScript number."""
        last = self.last_accepted_nonce
        figures = {name: getattr(self, name) for name in self.__slots__}
        return figures | {"last_accepted_nonce": None if last is None else str(last)}


@dataclass(slots=True)
class Ticket:
    """A call's hold on the journal; every method may be called once, later calls of `end` do nothing."""

    journal: "Journal"
    entry: Entry
    generation: int
    ended: bool = False
    unseen: bool = False

    def accept(self, nonce: int) -> None:
        """The nonce was accepted."""
        self.entry.outcome = "accepted"
        if self.generation == self.journal.generation:
            self.journal.note_accepted(self.entry.account, nonce)

    def refuse(self, error: str, *, nonce_refused: bool) -> None:
        """The call was answered with an error; unless its nonce was accepted before, it was refused."""
        self.entry.error = error
        current = self.generation == self.journal.generation
        if current:
            self.journal.note_limit(self.entry.account, error)
        if self.entry.outcome == "accepted":
            return
        self.entry.outcome = "refused"
        if current and self.unseen and nonce_refused:
            self.journal.note_unseen(self.entry.account)
        elif current:
            self.journal.note_refused(self.entry.account, nonce_refused=nonce_refused)

    def drop(self) -> None:
        """A fault kept the call from being looked at."""
        self.entry.outcome = "dropped"

    def end(self, answered_ns: int | None) -> None:
        """The call is no longer in flight; `answered_ns` when its answer was written."""
        if not self.ended:
            self.ended = True
            self.entry.answered_ns = answered_ns
            self.journal.leave(self.entry.account)


@dataclass
class Journal:
    """All private calls since the start or the last `clear`. The exchange's lock guards it."""

    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=ENTRIES_KEPT))
    tallies: dict[str, Tally] = field(default_factory=dict)
    in_flight: dict[str, int] = field(default_factory=dict)
    in_flight_all: int = 0
    max_overlap_all_keys: int = 0
    numbered: int = 0
    generation: int = 0

    def arrive(self, account: str | None, method: str, nonce: str, arrived_ns: int) -> Ticket:
        """A call's request was read to its end."""
        name = account or UNKNOWN_KEY
        overlap = self.in_flight[name] = self.in_flight.get(name, 0) + 1
        self.in_flight_all += 1
        self.numbered += 1
        self._note_arrival(self._tally(name), overlap)
        entry = Entry(self.numbered, name, method, nonce, arrived_ns, overlap)
        self.entries.append(entry)
        return Ticket(self, entry, self.generation)

    def _tally(self, name: str) -> Tally:
        return self.tallies.setdefault(name, Tally())

    def _note_arrival(self, tally: Tally, overlap: int) -> None:
        tally.requests += 1
        tally.max_overlap = max(tally.max_overlap, overlap)
        tally.overlapping += overlap > 1
        self.max_overlap_all_keys = max(self.max_overlap_all_keys, self.in_flight_all)

    def note_accepted(self, name: str, nonce: int) -> None:
        """Count an accepted nonce and compare it with the one accepted before it."""
        tally = self._tally(name)
        tally.accepted += 1
        if tally.last_accepted_nonce is not None and nonce <= tally.last_accepted_nonce:
            tally.nonces_rose = False
        tally.last_accepted_nonce = nonce

    def note_refused(self, name: str, *, nonce_refused: bool) -> None:
        """Count a refusal, for its nonce or for another reason."""
        tally = self._tally(name)
        tally.refused_nonce += nonce_refused
        tally.refused_other += not nonce_refused

    def note_unseen(self, name: str) -> None:
        """Count a late call whose nonce was refused, unseen by its client."""
        self._tally(name).refused_unseen += 1

    def note_limit(self, name: str, error: str) -> None:
        """Count a refusal by a limit, if the error is one."""
        figure = LIMITS.get(error)
        if figure is not None:
            tally = self._tally(name)
            setattr(tally, figure, getattr(tally, figure) + 1)

    def excuse(self, name: str) -> None:
        """Nonces of this account may fall from now on, because somebody changed the key by hand."""
        self._tally(name).nonces_excused = True

    def leave(self, name: str) -> None:
        """A call is no longer in flight."""
        self.in_flight[name] -= 1
        self.in_flight_all -= 1

    def clear(self) -> None:
        """Forget entries and figures. Calls still in flight stay in flight, but belong to the time before."""
        self.entries.clear()
        self.tallies.clear()
        self.max_overlap_all_keys = self.numbered = 0
        self.generation += 1

    def summary(self) -> dict[str, Any]:
        """The figures over all; `max_overlap` is the largest of any one key, `max_overlap_all_keys` over all keys."""
        tallies = self.tallies.values()
        sums = ("requests", "accepted", "refused_nonce", "refused_other", "refused_unseen", "overlapping")
        limits = {name: sum(getattr(tally, f"refused_{name}") for tally in tallies) for name in ("rate", "orders")}
        return {
            **{name: sum(getattr(tally, name) for tally in tallies) for name in sums},
            "refused_limit": limits,
            "nonces_rose": all(tally.nonces_rose for tally in tallies),
            "max_overlap": max((tally.max_overlap for tally in tallies), default=0),
            "max_overlap_all_keys": self.max_overlap_all_keys,
            "in_flight": self.in_flight_all,
            "by_account": {name: tally.document() for name, tally in self.tallies.items()},
        }

    def newest(self, *, limit: int | None = None, account: str | None = None) -> list[Entry]:
        """The newest `limit` entries, oldest first, of one account if it is named."""
        wanted = [entry for entry in self.entries if account in (None, entry.account)]
        return wanted if limit is None else wanted[max(0, len(wanted) - limit) :]
