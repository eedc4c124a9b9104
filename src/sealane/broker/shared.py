"""One account's balance, as all its brokers in this process share it: its standing, its cache, its recovery.

1. Callers who come while a balance is being fetched wait for that one, at most ``FETCH_WAIT_S``; not the thread that
   holds the turn which that fetch waits for. With the cache off each asks for itself.
2. An order drops the cache, and what was asked for before it neither fills the cache nor serves those who come after.
3. A fetch that failed is one error, however many wait for it.
4. Decided under the mutex, and whether there is recovery with it: no recovery ends for a success that a failure has
   followed. The exchange is asked, and the log written, outside it.
5. The background asks briefly, and nobody waits for its try: one that gives up early says little.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakMethod, WeakSet, WeakValueDictionary

from sealane.broker.port import ERRORS_MAX, ErrorKind
from sealane.broker.recovery import Attempt, Recovery, RecoveryFigures
from sealane.broker.standing import Holdings, Standing
from sealane.errors import LaneBusy, NotDurable, Quarantined, Refused, SealaneError, SettingsError
from sealane.runtime.clock import SYSTEM_CLOCK, Clock
from sealane.runtime.lanes import rebuilt_after_fork

FETCH_WAIT_S = 90.0
"""How long a caller waits for a fetch that another began, before it makes its own: a turn's wait and an answer's."""
PERSON_S = 300.0
"""How often the background asks where only a person can mend it: a wrong key, a permission."""
FOR_A_PERSON = ("eapi:invalid key", "eapi:invalid signature", "egeneral:permission denied", "eauth:account")

logger = logging.getLogger("sealane.broker")


class Source(Protocol):
    """Where a balance comes from: a broker with its client."""

    def fetch_holdings(self) -> Holdings:
        """Ask the exchange now; raises where it gives no balance."""
        ...

    def fetch_briefly(self) -> Holdings:
        """As ``fetch_holdings``, but tried once and not for long."""
        ...

    def holds_turn(self) -> bool:
        """Whether the calling thread holds what a fetch waits for: it must not wait for another's then."""
        ...


@dataclass(frozen=True)
class Reading:
    """What one caller learned. ``error`` and ``cause`` tell why ``standing.known`` is not fresh, None where it is."""

    standing: Standing
    error: str | None = None
    cause: Exception | None = None


@dataclass
class _Fetch:
    """A fetch under way, and who makes it."""

    thread: int
    orders: int
    over: threading.Event = field(default_factory=threading.Event)
    reading: Reading | None = None


class SharedBalance:
    """See the rules at the head of this file. ``exchange`` and ``label`` are how the log speaks of the account."""

    def __init__(self, exchange: str, label: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self.exchange, self.label, self.clock = exchange, label, clock
        self._standing = Standing()
        self._orders = 0
        self._sources: WeakSet[Source] = WeakSet()
        self._recovery = Recovery(_weakly(WeakMethod(self._recover)), clock)
        self.after_fork()
        rebuilt_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: what is known stays known, and the parent's fetches are the parent's."""
        self._mutex = threading.Lock()
        self._fetch: _Fetch | None = None

    @property
    def standing(self) -> Standing:
        """How the account stands."""
        return self._standing

    def join(self, source: Source) -> None:
        """From now on the background may fetch through ``source``, while it lives."""
        with self._mutex:
            self._sources.add(source)

    def leave(self, source: Source) -> None:
        """A broker was closed; with the last one recovery ends."""
        with self._mutex:
            self._sources.discard(source)
            if not self._sources:
                self._recovery.end()

    def apart(self) -> SharedBalance:
        """What a closed broker keeps: the same knowledge, and errors that are nobody else's."""
        own = SharedBalance(self.exchange, self.label, self.clock)
        own._standing = self._standing.dropped()
        return own

    def drop(self) -> None:
        """An order goes out, or has: the next caller asks the exchange."""
        with self._mutex:
            self._orders += 1
            self._standing = self._standing.dropped()

    def recovery(self) -> RecoveryFigures:
        """How recovery in the background goes."""
        return self._recovery.figures()

    # --- asking ---------------------------------------------------------------------------------------------------

    def ask(self, source: Source, cache_s: float) -> Reading:
        """The balance: from the cache where it is younger than ``cache_s``, else from the exchange. Never raises for
        what the exchange or the network did."""
        if cache_s <= 0:
            return self._fetched(source, self._orders)
        with self._mutex:
            if self._standing.is_fresh(cache_s, self.clock.boot_ns()):
                return Reading(self._standing)
        return self.ask_now(source)

    def ask_now(self, source: Source) -> Reading:
        """The balance from the exchange, together with whoever asks at the same time."""
        waits_for_nobody = source.holds_turn()
        me = threading.get_ident()
        with self._mutex:
            others = self._fetch
            mine = _Fetch(me, self._orders)
            if others is None or others.orders != self._orders or others.thread == me or waits_for_nobody:
                self._fetch, others = mine, None
        if others is None:
            return self._led(mine, source)
        others.over.wait(FETCH_WAIT_S)
        return others.reading or self._fetched(source, self._orders)

    def _led(self, mine: _Fetch, source: Source) -> Reading:
        try:
            mine.reading = self._fetched(source, mine.orders)
            return mine.reading
        finally:
            with self._mutex:
                if self._fetch is mine:
                    self._fetch = None
            mine.over.set()

    def _fetched(self, source: Source, orders: int, *, briefly: bool = False) -> Reading:
        try:
            holdings = source.fetch_briefly() if briefly else source.fetch_holdings()
        except Exception as error:
            return self._failed(error)
        return self._succeeded(holdings, orders)

    def _succeeded(self, holdings: Holdings, orders: int) -> Reading:
        with self._mutex:
            before = self._standing
            done = before.succeeded(holdings, cached=orders == self._orders)
            self._standing = now = done.tried(self.clock.boot_ns())
            self._recovery.end()
        if before.errors:
            logger.info("✅ %s available again (%s) after %d errors", self.exchange, self.label, before.errors)
        return Reading(now)

    def _failed(self, error: Exception) -> Reading:
        told = error_text(error)
        with self._mutex:
            self._standing = now = self._standing.failed(told, error_kind(error)).tried(self.clock.boot_ns())
            may_recover = bool(self._sources) and not isinstance(error, SettingsError)
            trouble = self._recovery.begin(_at_least_s(error)) if may_recover else ""
        self._tell(error, told, now)
        if trouble:
            logger.warning("no recovery in the background: %s", trouble)
        return Reading(now, told, error)

    def _tell(self, error: Exception, told: str, now: Standing) -> None:
        if not isinstance(error, SealaneError):
            logger.error("%s failed unexpectedly (%s)", self.exchange, self.label, exc_info=error)
        what = "not connected" if isinstance(error, SettingsError) else "API error"
        logger.error("❌ %s %s: %s (%s)", self.exchange, what, told, self.label)
        if now.errors == ERRORS_MAX:
            logger.error(
                "❌ %s marked unavailable after %d consecutive errors (%s)", self.exchange, ERRORS_MAX, self.label
            )

    def _recover(self) -> float | None:
        with self._mutex:
            source, orders, others = next(iter(self._sources), None), self._orders, self._fetch
            if source is None or not self._standing.errors:
                self._recovery.end()
                return None
        if others is not None:  # somebody asks already
            others.over.wait(FETCH_WAIT_S)
        reading = (others and others.reading) or self._fetched(source, orders, briefly=True)
        cause = reading.cause
        if isinstance(cause, SettingsError):  # its client was closed: the next one's turn
            self.leave(source)
            return 0.0
        return None if cause is None else _at_least_s(cause)


def _weakly(recover: WeakMethod[Attempt]) -> Attempt:
    """So that an account without brokers is forgotten at once, and not when the collector comes round."""

    def attempt() -> float | None:
        bound = recover()
        return None if bound is None else bound()

    return attempt


def error_text(error: Exception) -> str:
    """Why a fetch failed; what Kraken said in its own words, first."""
    if isinstance(error, Refused):
        return ", ".join(error.errors)
    if isinstance(error, Quarantined):
        return f"EAPI:Invalid nonce: {error}"
    return str(error) if isinstance(error, SealaneError) else f"{type(error).__name__}: {error}"


def error_kind(error: Exception) -> ErrorKind:
    """What kind of trouble a failed fetch is."""
    if isinstance(error, Refused) and _refuses_key(error):
        return ErrorKind.REFUSED_KEY
    if isinstance(error, LaneBusy):
        return ErrorKind.LANE_BUSY
    return ErrorKind.NOT_DURABLE if isinstance(error, NotDurable) else ErrorKind.OTHER


def _at_least_s(error: Exception) -> float:
    if isinstance(error, Quarantined):
        return PERSON_S
    if not isinstance(error, Refused):
        return 0.0
    return max(error.wait_s or 0.0, PERSON_S if _refuses_key(error) else 0.0)


def _refuses_key(error: Refused) -> bool:
    return any(said.lower().startswith(FOR_A_PERSON) for said in error.errors)


_all: WeakValueDictionary[Hashable, SharedBalance] = WeakValueDictionary()
_all_mutex = threading.Lock()


def shared_balance(identity: Hashable, exchange: str, label: str, clock: Clock = SYSTEM_CLOCK) -> SharedBalance:
    """The balance of an account, the same object for all its brokers in this process while one of them lives.

    ``identity`` tells accounts apart: the key, the address and the store, never a secret itself.
    """
    key = exchange, identity, clock
    with _all_mutex:
        shared = _all.get(key)
        if shared is None:
            shared = _all[key] = SharedBalance(exchange, label, clock)
        return shared


class _Registry:
    @staticmethod
    def after_fork() -> None:
        """In a forked child: a thread of the parent may hold the mutex."""
        global _all_mutex  # noqa: PLW0603 - it has to be made anew
        _all_mutex = threading.Lock()


_registry = _Registry()
rebuilt_after_fork(_registry)
