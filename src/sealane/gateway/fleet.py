"""The accounts that are served: for each its lane, its key's state in the store, and its broker.

What is read here is local (files, this process's queues) and may wait for a disk, so only the watcher's threads do it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from sealane.broker.port import ErrorKind
from sealane.client.accounts import account_names, all_credentials
from sealane.client.settings import Settings
from sealane.client.statistics import CounterFigures, counter_figures
from sealane.core.nonce import NS_PER_S, unit_ns
from sealane.core.rates import Rates
from sealane.core.recovery import WINDOW_S, KeyState
from sealane.core.secret import Credentials
from sealane.errors import SealaneError, SettingsError
from sealane.gateway.sightings import GLOBAL, AccountSeen, KeySeen, LaneSeen, Member, StoreSeen
from sealane.gateway.watch_settings import ENGINE_ASKED_S
from sealane.runtime.clock import SYSTEM_CLOCK, Clock
from sealane.runtime.lanes import Lane, close_lane, open_lane
from sealane.store import Store
from sealane.store.lock_holders import lock_holders

TRIAL = "(health)"
"""Under this name, which no account can have, the trial document is written."""
ERROR_CHARACTERS_MAX = 400


class RecoveryFigures(Protocol):
    """When a broker asks again by itself."""

    @property
    def next_try_in_s(self) -> float | None:
        """Seconds, None where it does not."""


class BrokerFigures(Protocol):
    """How a broker stands, as ``KrakenBroker.figures()`` tells it."""

    @property
    def available(self) -> bool:
        """False from the third error in a row on."""

    @property
    def error_count(self) -> int:
        """Errors in a row."""

    @property
    def last_error(self) -> str | None:
        """Why the last balance did not come."""

    @property
    def as_of(self) -> float | None:
        """Of the last known balance."""

    @property
    def error_kind(self) -> ErrorKind:
        """What kind of trouble that is."""

    @property
    def tried_ns(self) -> int | None:
        """When it last had an answer or an error, in nanoseconds since boot."""

    @property
    def recovery(self) -> RecoveryFigures:
        """How it goes about its errors."""

    @property
    def total(self) -> Decimal | None:
        """USD and USDT together, as last known."""

    @property
    def amounts(self) -> Mapping[str, Decimal] | None:
        """Every asset, as last known."""


class WatchedBroker(Protocol):
    """What the watcher needs of a broker."""

    def connect(self) -> bool:
        """Ask for the balance, the first time."""

    def get_account_balance_detailed(self) -> object:
        """Ask for the balance, unless it was asked for a moment ago; does not raise for what the exchange did."""

    def ask_permissions(self) -> tuple[str, ...]:
        """Ask what the key may do; raises a SealaneError where that is not told."""

    def figures(self) -> BrokerFigures:
        """How it stands; asks nobody."""

    def close(self) -> None:
        """Stop its background."""


MakeBroker = Callable[[str], WatchedBroker]
"""A broker of an account of this environment."""


@dataclass(frozen=True)
class Served:
    """One account with all that belongs to it."""

    member: Member
    fingerprint: str
    lane: Lane
    broker: WatchedBroker


class Fleet:
    """The accounts of one environment; raises SettingsError where a variable is wrong or there is no account."""

    def __init__(self, environ: Mapping[str, str], make_broker: MakeBroker, clock: Clock = SYSTEM_CLOCK) -> None:
        if not account_names(environ):
            raise SettingsError("no account has a key: set KRAKEN_API_KEY and KRAKEN_API_SECRET")
        self.settings = Settings.from_env(environ)
        self.clock = clock
        self._store = self.settings.open()
        self._unit_ns = unit_ns(self.settings.nonce_unit)
        self._tier = self.settings.limits()
        self._folder: _Folder | None = None
        self.served = tuple(self._served(who, make_broker) for who in all_credentials(environ))

    def _served(self, who: Credentials, make_broker: MakeBroker) -> Served:
        lane = open_lane(self._store, self.settings.lane_name(who.fingerprint), self._unit_ns)
        name = GLOBAL if self.settings.lanes == GLOBAL else who.account
        return Served(Member(who.account, who.shown_key, name), who.fingerprint, lane, make_broker(who.account))

    @property
    def fingerprints(self) -> dict[str, str]:
        """The accounts' names by their keys' fingerprints."""
        return {one.fingerprint: one.member.account for one in self.served}

    @property
    def store(self) -> Store:
        """Where the lanes are."""
        return self._store

    @property
    def store_kind(self) -> str:
        """``"file"``, ``"memory"``: the store's scheme."""
        return self._store.identity.partition(":")[0]

    # --- looking, on the watcher's threads --------------------------------------------------------------------------

    def try_store(self) -> StoreSeen:
        """Write something into the store, where nothing reads it."""

        def change(stored: Mapping[str, object]) -> tuple[Mapping[str, object], None]:
            return {"tried_ns": self.clock.wall_ns()}, None

        error, is_replaced = "", False
        try:
            self.served[0].lane.store.revise_rates(TRIAL, change)
            is_replaced = self.store_kind == "file" and not self._is_same_folder()
        except SealaneError as trouble:
            error = shortened(str(trouble))
        return StoreSeen(self.store_kind, error, self.clock.boot_ns(), is_replaced)

    def _is_same_folder(self) -> bool:
        if self._folder is None:
            self._folder = _Folder(Path(self.served[0].lane.view().where).parent)
        return self._folder.is_same()

    def lanes(self) -> tuple[LaneSeen, ...]:
        """Every lane once."""
        lanes = {one.member.lane: one.lane for one in self.served}
        return tuple(self._lane(name, lane) for name, lane in lanes.items())

    def _lane(self, name: str, lane: Lane) -> LaneSeen:
        now_ns = self.clock.boot_ns()
        try:
            view = lane.view(ENGINE_ASKED_S)
        except SealaneError as error:
            return LaneSeen(name, now_ns, error=shortened(str(error)))
        age_s, method = view.stored_age_s, (view.turn or {}).get("method")
        return LaneSeen(
            name=name,
            seen_ns=now_ns,
            last_nonce=view.last_nonce,
            unit_ns=self._unit_ns,
            stored_s=None if age_s is None else self.clock.wall_ns() / NS_PER_S - age_s,
            issued=lane.issued,
            serialized=lane.serialized,
            waiting=lane.waiting,
            busy=lane.held,
            holder=self._holder(Path(view.where)),
            under_way=method if isinstance(method, str) else "",
            clock_doubted=view.clock_doubted,
            lease=view.lease,
        )

    def _holder(self, nonce_file: Path) -> str:
        if self.store_kind != "file":
            return ""
        return ", ".join(map(str, lock_holders(nonce_file.with_suffix(".turn"))))

    def keys(self) -> dict[str, KeySeen]:
        """Every key's state, by account."""
        try:
            doubts = self._doubts()
        except SealaneError as error:
            failed = KeySeen(self.clock.boot_ns(), error=shortened(str(error)))
            return {one.member.account: failed for one in self.served}
        return {one.member.account: self._key(one, doubts.get(one.fingerprint, [])) for one in self.served}

    def _doubts(self) -> dict[str, list[float]]:
        """When the orders without an end were sent, by fingerprint."""
        found: dict[str, list[float]] = {}
        for stored in self._store.intents().unsettled().values():
            sent_ns = stored.get("sent_ns")
            if isinstance(sent_ns, int) and sent_ns:  # one that was never sent is not in doubt
                found.setdefault(str(stored.get("fingerprint")), []).append(sent_ns / NS_PER_S)
        return found

    def _key(self, one: Served, doubts: list[float]) -> KeySeen:
        now_ns, store = self.clock.wall_ns(), one.lane.store
        try:
            key = KeyState.loaded(store.read_key(one.fingerprint))
            counters = self._counters(one, now_ns)
        except SealaneError as error:
            return KeySeen(self.clock.boot_ns(), error=shortened(str(error)))
        return KeySeen(
            seen_ns=self.clock.boot_ns(),
            diagnosis=key.diagnosis if key.quarantined_ns else "",
            quarantined_s=key.quarantined_ns / NS_PER_S,
            refused_in_a_row=key.refused_in_a_row,
            jumps=sum(now_ns - WINDOW_S * NS_PER_S < at <= now_ns for at in key.jumps_ns),
            locked_s=max(0.0, (key.locked_until_ns - now_ns) / NS_PER_S),
            doubts=len(doubts),
            oldest_doubt_s=min(doubts, default=0.0),
            counters=counters,
        )

    def _counters(self, one: Served, now_ns: int) -> tuple[CounterFigures, ...]:
        if self._tier is None:
            return ()
        rates = Rates.loaded(one.lane.store.rates(one.member.account))
        return counter_figures(rates, self._tier, one.fingerprint, now_ns)

    def close(self) -> None:
        """Close the brokers, give the lanes back."""
        for one in self.served:
            one.broker.close()
            close_lane(self._store, one.lane)
        if self._folder is not None:
            self._folder.close()


class _Folder:
    """The data folder as it was when it was first seen. It is kept open, so that no other gets its number."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def is_same(self) -> bool:
        """Whether the path still names it. Remembers it at the first time; raises nothing."""
        try:
            if self._fd is None:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            return os.path.samestat(os.fstat(self._fd), self._path.stat())
        except OSError:
            return False

    def close(self) -> None:
        """Let it go."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def held_since(now: LaneSeen, before: LaneSeen | None) -> LaneSeen:
    """A lane with the time since when its holder has had it: while no nonce was drawn, it was the same turn."""
    if not now.holder:
        return now
    is_same = before is not None and (before.holder, before.last_nonce) == (now.holder, now.last_nonce)
    return replace(now, held_ns=before.held_ns if before is not None and is_same else now.seen_ns)


def standing(one: Served, now_ns: int) -> AccountSeen:
    """How an account's broker stands now; asks nobody."""
    figures = one.broker.figures()
    return AccountSeen(
        seen_ns=now_ns,
        available=figures.available,
        error_count=figures.error_count,
        error=shortened(figures.last_error or ""),
        error_kind=figures.error_kind,
        as_of=figures.as_of,
        asked_ns=figures.tried_ns,
        next_try_s=figures.recovery.next_try_in_s,
        total=figures.total,
        amounts=figures.amounts,
    )


def shortened(text: str) -> str:
    """An error on one line of bearable length."""
    line = " ".join(text.split())
    return line if len(line) <= ERROR_CHARACTERS_MAX else f"{line[: ERROR_CHARACTERS_MAX - 1]}…"
