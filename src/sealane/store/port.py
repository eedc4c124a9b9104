"""What a store must do, and nothing more.

1. ``draw`` gives each number once, greater than all before it, to any thread or process, and only after it is stored
   so that a kill at any instant, and power loss, cannot take it back. What cannot be stored raises NotDurable.
2. Between a granted ``try_enter`` or ``wait_enter`` and ``leave`` nobody else anywhere is granted the same lane.
   A holder that dies loses it without anybody's help.
3. ``wait_enter`` is the only verb that may block for long; the runtime calls it on a thread of its own. Processes
   are granted the turn in the order of asking as far as the engine allows, and none is starved.
4. Turn records and key states are whole: a reader sees one that was written, never half of one.
5. An account's counters, and notes of its orders, are changed by one at a time, turn or no turn.
6. An intent written with ``sync`` outlives power loss once ``write`` has returned, and any write the death of its
   process. A reader sees whole documents only, and what is unsettled is never dropped.
7. Time is passed in: ``wall_ns`` is the wall clock, ``boot_ns`` the machine's time since boot, sleep included.

``sealane.testing.StoreContract`` is this page as tests; every store passes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class LeaseView:
    """Who drives a lane that an engine leases to hosts.

    Attributes:
        engine: its address, without a password.
        host, hostname: this host's name at the engine, and its machine's.
        holder, holder_hostname: who has the lane, or for whom it is kept; "" for nobody, and where it is not known.
        is_ours: this host may send now.
        epoch: of the holder's grant, or of the last.
        since_ns, expires_ns: of the holder's lease, by the engine's clock (Unix), 0 for none.
        floor: what the engine knows every later nonce to be above; while a lease is in use, its holder knows more.
        waiters: the hosts that wait, in the order of asking.
        quiet: the engine is new or was restarted, and grants nothing for the length of one lease.
        error: why the engine was not asked, or did not answer; then the rest is what this host knows by itself.
        misses: how many times in a row it did not answer.
    """

    engine: str
    host: str
    hostname: str
    holder: str = ""
    holder_hostname: str = ""
    is_ours: bool = False
    epoch: int = 0
    since_ns: int = 0
    expires_ns: int = 0
    floor: int = 0
    waiters: tuple[str, ...] = ()
    quiet: bool = False
    error: str = ""
    misses: int = 0

    @property
    def is_standby(self) -> bool:
        """Whether another host has the lane."""
        return bool(self.holder) and self.holder != self.host and not self.is_ours


@dataclass(frozen=True)
class LaneView:
    """What a lane shows of itself, read without waiting for anybody.

    ``mark`` is the durable high-water mark (0 where the store keeps none), ``stored_age_s`` the seconds since the
    last nonce was stored (None before the first), ``turn`` the record of the write under way, if any, and ``lease`` who
    drives it where an engine leases it to hosts.
    """

    name: str
    last_nonce: int
    mark: int
    stored_age_s: float | None
    clock_doubted: bool
    turn: Mapping[str, object] | None
    where: str
    lease: LeaseView | None = None


@dataclass(frozen=True)
class LaneContents:
    """What a place keeps of a lane, for another place to take over: as it stands, read without a turn.

    Attributes:
        floor: no nonce that was issued is above; it may be a few seconds' worth higher.
        keys: keys' states by fingerprint. rates: accounts' counters by name. Other lanes' may be among them.
        turn: the record of the write under way, {} for none.
    """

    floor: int
    keys: Mapping[str, Mapping[str, object]]
    rates: Mapping[str, Mapping[str, object]]
    turn: Mapping[str, object]


def awaited() -> bool:
    """Somebody waits, whatever happens."""
    return True


class LaneStore(Protocol):
    """One lane of a store. Verbs under "turn held" may only be called by the turn's holder."""

    name: str

    @property
    def loaded_from(self) -> str:
        """What set the floor when the lane was opened: "file", "mark", "older file", "clock" and the like."""

    @property
    def reserve_due(self) -> bool:
        """Whether ``reserve`` should be called soon; otherwise a later draw has to wait for the disk itself."""

    def try_enter(self) -> bool:
        """Take the turn if it is free now. After False ``wait_enter`` must follow: a place in the order may be kept."""

    def wait_enter(self, is_awaited: Callable[[], bool] = awaited) -> bool:
        """Block until the turn is granted, which is True.

        A store may give up where ``is_awaited`` says, whenever it is asked, that nobody awaits it any more: False then.
        """

    def leave(self) -> None:
        """Turn held: end it."""

    def is_contended(self) -> bool:
        """Turn held: whether another process or host waits for it."""

    def check(self) -> None:
        """Turn held, before each private request: raise Fenced where the turn is another's by now."""

    def draw(self, wall_ns: int, boot_ns: int) -> int:
        """The next nonce, stored."""

    def must_sync(self, wall_ns: int) -> bool:
        """Whether the next draw has to wait for the disk; then an event loop draws on a thread."""

    def reserve(self, wall_ns: int) -> None:
        """Extend the durable mark ahead of use."""

    def last(self) -> int:
        """The highest nonce issued so far, by anybody."""

    def raise_floor(self, floor: int) -> int:
        """Every later nonce is above ``floor``; a floor only rises. Returns the floor in force, stored."""

    def clock_doubted(self) -> bool:
        """Whether the wall clock leaped and is not followed."""

    def confirm_clock(self, server_ns: int, wall_ns: int, boot_ns: int) -> bool:
        """Follow the clock again if the exchange's time agrees with it."""

    def read_turn(self) -> Mapping[str, object]:
        """Turn held: the record that the last holder left, {} for none."""

    def write_turn(self, record: Mapping[str, object]) -> None:
        """Turn held: replace the record."""

    def read_key(self, fingerprint: str) -> Mapping[str, object]:
        """A key's state, {} for none."""

    def write_key(self, fingerprint: str, state: Mapping[str, object]) -> None:
        """Turn held: replace a key's state."""

    def rates(self, account: str) -> Mapping[str, object]:
        """The document of an account's counters, {} for none."""

    def revise_rates(self, account: str, change: Callable[[Mapping[str, object]], tuple[Mapping[str, object], T]]) -> T:
        """Replace an account's document by what ``change`` makes of it, while nobody else anywhere can.

        Returns the second thing that ``change`` returned. Whole after a kill; power loss may take it back.
        """

    def note(self, account: str, name: str, text: str) -> None:
        """Keep a short note under a name. The oldest may be forgotten at any time."""

    def noted(self, account: str, name: str) -> str | None:
        """A note, None where there is none any more."""

    def view(self, wall_ns: int, *, asking_s: float = 0.0) -> LaneView:
        """What the lane shows of itself. Another machine is asked for ``asking_s`` at most, and not at all for 0."""

    def close(self) -> None:
        """Let go of files and connections; the next verb takes them up again."""

    def after_fork(self) -> None:
        """In a forked child: drop what is shared with the parent, without releasing the parent's locks."""


class IntentLog(Protocol):
    """What a place remembers of orders: the latest document of each id. One log for all lanes and processes of a place.

    A document is plain JSON with no secret in it. It is settled when its ``"settled"`` is true; of the settled, the
    newest thousand are kept at least. Every verb raises NotDurable where the place cannot be had.
    """

    def write(self, intent_id: str, document: Mapping[str, object], *, sync: bool) -> None:
        """Store a document; with ``sync`` it survives power loss before this returns.

        After NotDurable it does not count as stored, though a crash at that moment may leave it. Raises SettingsError
        for what is no plain JSON, or no small document.
        """

    def read(self, intent_id: str) -> Mapping[str, object] | None:
        """The latest document of an id, None for none.

        A document is also found by its ``aliases``, or by its further ``order_ids`` where the first of them is its id.
        """

    def unsettled(self) -> dict[str, Mapping[str, object]]:
        """The latest document of each id that is not settled, oldest first."""

    def recent(self, limit: int) -> list[tuple[str, Mapping[str, object]]]:
        """Ids and their latest documents, newest first: by when an id was settled, or else first written."""

    def owner(self) -> str:
        """A token of this process for its documents, good for the life of the process."""

    def is_alive(self, owner: str) -> bool:
        """Whether the process of a token lives; a stopped one does. False for what was never a token here."""

    def close(self) -> None:
        """Let go of the log's file; the next verb takes it up again. The owner's token goes on."""

    def after_fork(self) -> None:
        """In a forked child: drop what is shared with the parent, the token too, without ending the parent's."""


class Store(Protocol):
    """A place for lanes. Stores of equal ``identity`` hold the same lanes."""

    identity: str

    def lane(self, name: str, unit_ns: int = 1) -> LaneStore:
        """Open a lane; ``unit_ns`` is the length of one nonce unit. Creates it above every nonce the place knows."""

    def intents(self) -> IntentLog:
        """The log of intents: the same object each time."""

    def lanes(self) -> list[str]:
        """The names of all lanes that the place knows, in order. Creates nothing."""

    def contents(self, name: str) -> LaneContents:
        """What the place keeps of a lane, whoever drives it. Creates nothing, and waits for nobody's turn."""
