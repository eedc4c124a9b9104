"""What the watcher saw, as frozen values: health, metrics and the page are all made of these.

Every value says when it was seen, by the machine's time since boot (``…_ns``, which never steps); Unix times are in
seconds (``…_s``, or ``as_of``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from sealane.broker.port import ErrorKind
from sealane.client.statistics import CounterFigures
from sealane.store.port import LeaseView

GLOBAL = "global"
"""How the one lane of all accounts is called here; a key's own lane is called by its account."""


@dataclass(frozen=True)
class RoundSeen:
    """One of the watcher's threads.

    Attributes:
        name: what it does: ``"look"``, ``"store"`` or ``"accounts"``.
        every_s: how often it does it.
        alive: whether the thread lives, now.
        ended_ns: when it last came to its end, None before the first.
        began_ns: since when it is at it, None while it rests.
    """

    name: str
    every_s: float
    alive: bool
    ended_ns: int | None = None
    began_ns: int | None = None


@dataclass(frozen=True)
class StoreSeen:
    """The last trial write into the store, and what kind of store it is.

    ``error`` is "" where it was written. ``is_replaced``: its folder is another than the first that was written to.
    """

    kind: str
    error: str
    tried_ns: int
    is_replaced: bool = False


@dataclass(frozen=True)
class LaneSeen:
    """One lane. ``name`` is ``GLOBAL`` or the account's.

    Attributes:
        last_nonce: the highest by any process; unit_ns: the length of one of its units.
        stored_s: when a nonce was last stored, as Unix time; None before the first.
        issued: nonces by this process. serialized: one call in flight at a time.
        waiting, busy: callers of this process.
        holder: the process that has the turn, this one included, as far as it can be seen; "" for none.
        held_ns: since when it has it without any nonce being drawn; None where nobody has it.
        under_way: the write that is on the wire, or that a dead process left, "" for none.
        clock_doubted: the clock leaped and is not followed.
        lease: who drives it, where an engine leases it to hosts.
        error: why it could not be read, "" where it could.
    """

    name: str
    seen_ns: int
    last_nonce: int = 0
    unit_ns: int = 1
    stored_s: float | None = None
    issued: int = 0
    serialized: bool = True
    waiting: int = 0
    busy: bool = False
    holder: str = ""
    held_ns: int | None = None
    under_way: str = ""
    clock_doubted: bool = False
    lease: LeaseView | None = None
    error: str = ""

    @property
    def is_awaited(self) -> bool:
        """Whether this process waits for a turn that another one has."""
        return bool(self.waiting) and not self.busy


@dataclass(frozen=True)
class KeySeen:
    """What the store says of an account's key, whichever process did it.

    Attributes:
        diagnosis: why the key is quarantined, "" where it is not; quarantined_s since when (Unix time).
        refused_in_a_row: nonce refusals since the last accepted call. jumps: within the recovery's window.
        locked_s: for how much longer Kraken's temporary lockout is taken to last.
        doubts: orders whose end is not known. oldest_doubt_s: when the oldest was sent (Unix time), 0 for none.
        counters: Kraken's counters.
        error: why it could not be read, "" where it could.
    """

    seen_ns: int
    diagnosis: str = ""
    quarantined_s: float = 0.0
    refused_in_a_row: int = 0
    jumps: int = 0
    locked_s: float = 0.0
    doubts: int = 0
    oldest_doubt_s: float = 0.0
    counters: tuple[CounterFigures, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class AccountSeen:
    """How an account's broker stands. Its amounts are shown on the dashboard alone, in no probe and no metric.

    Attributes:
        available, error_count: False from the third error in a row on; errors in a row.
        error: why the last balance was not fresh, "" where it was.
        as_of: of the last balance that is known, as Unix time; None where there never was one.
        error_kind: what kind of trouble ``error`` is.
        asked_ns: when the broker last had an answer or an error, whoever asked; None before the first.
        asking_ns: since when it waits for one, None where it does not.
        took_s: how long the last asking took, with the wait for the lane.
        next_try_s: seconds until the broker's own recovery asks again, None where it does not.
        total: USD and USDT together as last known, None where nothing is; amounts: every asset, by Kraken's names.
        permissions: what Kraken lets the key do, None where it was not told; permissions_ns: when it told.
    """

    seen_ns: int
    available: bool = True
    error_count: int = 0
    error: str = ""
    error_kind: ErrorKind = ErrorKind.NONE
    as_of: float | None = None
    asked_ns: int | None = None
    asking_ns: int | None = None
    took_s: float = 0.0
    next_try_s: float | None = None
    total: Decimal | None = None
    amounts: Mapping[str, Decimal] | None = None
    permissions: tuple[str, ...] | None = None
    permissions_ns: int | None = None


@dataclass(frozen=True)
class Member:
    """An account as it is named to people: ``key`` is its last four characters."""

    account: str
    key: str
    lane: str


@dataclass(frozen=True)
class Sighting:
    """All that was seen by now; ``simulation`` tells why the accounts are simulated, "" where they are real.

    ``gateway`` is what is wrong with the gateway, "" for nothing.
    """

    members: tuple[Member, ...]
    watch_s: float
    simulation: str
    lanes_setting: str
    started_ns: int
    rounds: tuple[RoundSeen, ...] = ()
    store: StoreSeen | None = None
    lanes: tuple[LaneSeen, ...] = ()
    keys: dict[str, KeySeen] = field(default_factory=dict)
    accounts: dict[str, AccountSeen] = field(default_factory=dict)
    gateway: str = ""

    @property
    def simulated(self) -> bool:
        """Whether the exchange is the built-in simulator."""
        return bool(self.simulation)
