"""The form of the document that ``/statistics`` answers with, field by field, and what is asked of a virtual key.

Times are Unix seconds (``at``, ``…_at``, ``as_of``, ``time``), ages and durations seconds (``…_s``), amounts texts of
exact decimals. What is not known is None, never 0.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, TypedDict

FORM = 1
"""Rises when a field changes its meaning or goes; new fields may come at any time."""
GATEWAY, STORE = "gateway", "store"
"""Where a document is from: a running gateway, or the store read directly."""


class CounterRow(TypedDict):
    """One of Kraken's counters, as ``CounterFigures`` has it."""

    name: str
    level: float
    limit: float
    drain_s: float
    waited_for: float
    blocked_s: float
    open_orders: int | None
    open_orders_limit: int | None


class AmountRow(TypedDict):
    """One asset: Kraken's name, what people call it, and how much."""

    asset: str
    symbol: str
    amount: str


class BalanceRow(TypedDict):
    """What is known of an account's balance. ``total`` is USD and USDT together; None where it is not shown."""

    as_of: float | None
    age_s: float | None
    stale: bool
    error: str | None
    total: str | None
    amounts: list[AmountRow] | None


class PermissionsRow(TypedDict):
    """What Kraken lets a key do, as it said so long ago."""

    names: list[str]
    age_s: float


class TroubleRow(TypedDict):
    """An account's last call that was not accepted."""

    age_s: float
    method: str
    detail: str


class KeyStateRow(TypedDict):
    """What the store says of an account's key at Kraken."""

    quarantined: str | None
    quarantined_for_s: float | None
    locked_out_s: float
    refused_in_a_row: int
    orders_in_doubt: int | None
    oldest_doubt_age_s: float | None
    counters: list[CounterRow]


class AccountRow(KeyStateRow):
    """One account; what was not seen yet is None."""

    account: str
    key: str
    lane: str
    status: str
    reasons: list[str]
    available: bool | None
    balance: BalanceRow | None
    permissions: PermissionsRow | None
    error_count: int | None
    next_try_s: float | None
    calls: int
    call_errors: int
    nonce_refusals: int
    jumps: int
    last_trouble: TroubleRow | None


class RefusalRow(TypedDict):
    """The last nonce that was refused on a lane: whose, how long ago, and why, as far as that can be told."""

    account: str
    age_s: float
    cause: str


class LaneRow(TypedDict):
    """One lane."""

    name: str
    accounts: list[str]
    last_nonce: int
    last_nonce_text: str
    ahead_of_clock_s: float | None
    stored_age_s: float | None
    issued: int
    serialized: bool
    waiting: int
    in_flight: bool
    holder: str | None
    held_s: float | None
    write_under_way: str | None
    clock_doubted: bool
    refusals: int
    jumps: int
    last_refusal: RefusalRow | None
    lease: dict[str, object] | None
    lease_told: str | None
    error: str | None


class KeyRow(TypedDict):
    """One virtual key; ``state`` is active, paused, expired or revoked. Counts are since the gateway started."""

    name: str
    account: str
    state: str
    allow: list[str]
    expires_at: float | None
    expires_in_s: float | None
    calls: int
    outcomes: dict[str, int]
    waiting: int
    last_call_age_s: float | None


class MinuteRow(TypedDict):
    """One minute of the last hour, by its beginning."""

    at: float
    calls: int
    refusals: int
    failures: int
    wait_p50_s: float | None
    wait_max_s: float | None


class ErrorRow(TypedDict):
    """A call that was not answered."""

    at: float
    age_s: float
    key: str
    account: str
    method: str
    outcome: str
    text: str


class DoubtsRow(TypedDict):
    """Orders whose end is not known; ``known`` is False where an account's could not be read."""

    count: int
    oldest_age_s: float | None
    known: bool


class StoreRow(TypedDict):
    """The last trial write."""

    kind: str
    error: str | None
    tried_age_s: float


class Document(TypedDict):
    """The whole."""

    form: int
    version: str
    source: str
    time: float
    uptime_s: float
    status: str
    reasons: list[str]
    simulated: bool
    simulation: str
    amounts_shown: bool
    watch_s: float
    lanes_setting: str
    looked_age_s: float | None
    store: StoreRow | None
    accounts: list[AccountRow]
    lanes: list[LaneRow]
    doubts: DoubtsRow
    virtual_keys: list[KeyRow]
    calls: int
    minutes: list[MinuteRow]
    errors: list[ErrorRow]


# --- what it is made of ----------------------------------------------------------------------------------------------


class KeyPolicy(Protocol):
    """What is shown of a virtual key's policy."""

    @property
    def allow(self) -> Collection[str]:
        """Classes of methods, and single ones."""


class KnownKey(Protocol):
    """What is shown of a virtual key; times are Unix seconds, None for never."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def account(self) -> str:
        """Whose calls it makes."""

    @property
    def policy(self) -> KeyPolicy:
        """What it may do."""

    @property
    def expires_s(self) -> float | None:
        """When it ends by itself."""

    @property
    def paused(self) -> bool:
        """Whether it is stopped for now."""

    @property
    def revoked_s(self) -> float | None:
        """When it was stopped for good."""
