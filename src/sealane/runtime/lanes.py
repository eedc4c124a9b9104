"""The lanes of this process: who waits, who holds, who is woken.

1. There is one Lane object for a store's lane in a process, whoever uses it: clients of both colours and the
   process-wide functions share its order, so that an owner can nest.
2. ``Turns`` decides under the mutex; kernel waits and wake-ups happen outside it.
3. The store is asked by one ticket at a time. Where the turn is not free at once, a waiter thread waits for it, and
   what it gets belongs to whoever is at the front then; with nobody there it is given back.
4. A process keeps the turn for a slice of ``SLICE_NS`` while others wait, if its next call comes within ``LINGER_NS``
   of the last: handing a lane on costs about as much as a call to a server on the same machine. A call to Kraken takes
   longer than a slice, so there the turn goes round call by call.
5. After a fork the child starts with empty queues: the turns, locks and connections it inherited are the parent's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import weakref
from collections.abc import Hashable
from typing import Protocol

from sealane.core.lane import Ticket, Turns
from sealane.core.nonce import NS_PER_S
from sealane.errors import LaneBusy
from sealane.runtime.clock import SYSTEM_CLOCK, Clock
from sealane.runtime.waiters import GUARDS, TIDIERS, WAITERS
from sealane.store.port import LaneStore, LaneView, Store

TURN_WAIT_S = 60.0
"""How long a caller waits for its turn before it is told that the lane is busy."""
SLICE_NS = 6_000_000
"""How long a process may keep a contended turn over several calls."""
LINGER_NS = 1_000_000
"""How long it may keep it between two of them."""
ASKING_S = 6.0
"""How long the engine of a leased lane is asked for a view: longer than it takes to say itself what is wrong."""
CLOCK_ASK_NS = 60_000_000_000
"""While the clock is doubted, Kraken's is asked this often."""

logger = logging.getLogger("sealane.lane")


def current_owner() -> Hashable:
    """Who is calling: the thread, and the asyncio task where there is one."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), task


class Lane:
    """One lane in this process; see the rules at the head of this file."""

    def __init__(self, store: LaneStore, clock: Clock = SYSTEM_CLOCK, unit_ns: int = 1) -> None:
        self.store = store
        self.clock = clock
        self._unit_ns = unit_ns
        self.name = store.name
        self.serialized = True
        self.issued = 0
        self._clock_asked_ns = -CLOCK_ASK_NS
        self._announced = False
        self._start()
        _forkable.add(self)

    def _start(self) -> None:
        self._mutex = threading.Lock()
        self._count_mutex = threading.Lock()
        self._turns = Turns()
        self._kernel_wait = False
        self._reserving = False
        self._lingering = self._guarding = False
        self._closing = False
        self._slice_ends_ns = self._linger_ends_ns = 0

    # --- nonces ---------------------------------------------------------------------------------------------------

    def draw(self) -> int:
        """The next nonce, stored. Waits for no call in flight."""
        if not self._announced:
            self.announce()
        nonce = self.store.draw(self.clock.wall_ns(), self.clock.boot_ns())
        with self._count_mutex:
            self.issued += 1
        if self.store.reserve_due and not self._reserving:
            self._reserving = True
            TIDIERS.submit(self._reserve)
        return nonce

    def announce(self) -> int:
        """Say in the log where the lane's nonces go on from; returns that number, the clock's where none was kept."""
        floor, now = self.store.raise_floor(0), self.clock.wall_ns() // self._unit_ns
        self._announced = True
        if floor:
            source = self.store.loaded_from
            origin = "" if source in ("file", "clock") else f" (from: {source})"
            logger.info("Loaded persisted nonce: %d, using: %d%s", floor, max(floor + 1, now), origin)
        else:
            logger.info("No persisted nonce found, initializing with current time: %d", now)
        return floor or now

    def _reserve(self) -> None:
        try:
            self.store.reserve(self.clock.wall_ns())
        finally:
            self._reserving = False

    def asks_clock(self) -> bool:
        """Whether Kraken is to be asked the time now: the clock is doubted, and it was not asked a moment ago."""
        now_ns = self.clock.boot_ns()
        if not self.store.clock_doubted() or now_ns - self._clock_asked_ns < CLOCK_ASK_NS:
            return False
        self._clock_asked_ns = now_ns
        return True

    def confirm_clock(self, server_ns: int) -> bool:
        """Follow the clock again if the exchange's time agrees with it."""
        return self.store.confirm_clock(server_ns, self.clock.wall_ns(), self.clock.boot_ns())

    def must_sync(self) -> bool:
        """Whether the next draw waits for the disk."""
        return self.store.must_sync(self.clock.wall_ns())

    def view(self, asking_s: float = ASKING_S) -> LaneView:
        """What the lane's store shows; the engine of a leased one is asked for ``asking_s`` at most."""
        return self.store.view(self.clock.wall_ns(), asking_s=asking_s)

    @property
    def waiting(self) -> int:
        """Callers of this process that wait for the turn."""
        return self._turns.waiting

    @property
    def held(self) -> bool:
        """Whether a caller of this process holds the turn."""
        return self._turns.held

    def depth(self, owner: Hashable) -> int:
        """How many levels of the turn are this owner's."""
        return self._turns.depth(owner)

    # --- the turn -------------------------------------------------------------------------------------------------

    def enter(self, ticket: Ticket) -> bool:
        """Ask for the turn; True when it is the ticket's now, else the ticket is woken later."""
        if not self.serialized:
            return True
        with self._mutex:
            if self._turns.reenter(ticket.owner):
                ticket.granted = True
                return True
            if not self._turns.arrive(ticket):
                return False
        self._ask_store(ticket)
        return ticket.granted

    def leave(self, owner: Hashable) -> None:
        """End one level of the owner's turn. One who holds none (after a fork, or unserialized) leaves nothing."""
        with self._mutex:
            if not self._turns.is_held_by(owner) or not self._turns.leave(owner):
                return
            # Inside the mutex: a lock asked for again before it is dropped would be dropped under its new holder.
            if not self._linger():
                self.store.leave()
        self._ask_store()
        self._close_if_due()

    def _linger(self) -> bool:
        """Mutex held: whether the turn is kept for this process's next call, for a moment."""
        now_ns = self.clock.boot_ns()
        try:
            if now_ns >= self._slice_ends_ns or not self.store.is_contended():
                return False
        except Exception:  # a turn whose neighbours cannot be seen is simply given back
            logger.exception("lane %s could not tell whether others wait", self.name)
            return False
        self._lingering = True
        self._linger_ends_ns = min(now_ns + LINGER_NS, self._slice_ends_ns)
        if not self._guarding:
            self._guarding = True
            GUARDS.submit(self._guard)
        return True

    def _guard(self) -> None:
        """Give the turn back when the next call did not come; ends with the slice."""
        while True:
            time.sleep(LINGER_NS / NS_PER_S)
            with self._mutex:
                now_ns = self.clock.boot_ns()
                if self._lingering and now_ns >= self._linger_ends_ns:
                    self._lingering = False
                    self.store.leave()
                if not self._lingering and now_ns >= self._slice_ends_ns:
                    self._guarding = False
                    break
        self._close_if_due()

    def withdraw(self, ticket: Ticket) -> bool:
        """Give up waiting; False when the turn came in the meantime and is the ticket's."""
        with self._mutex:
            if ticket.granted:
                return False
            was_front = self._turns.withdraw(ticket)
        if was_front:
            self._ask_store()
        return True

    def _ask_store(self, asking: Ticket | None = None) -> None:
        """Get the turn for whoever is at the front, unless a waiter thread is out for it.

        ``asking`` is the caller's own ticket, which needs no waking.
        """
        while True:
            with self._mutex:
                if self._kernel_wait or self._turns.front is None or self._turns.held:
                    return
                kept, self._lingering = self._lingering, False
                ticket = self._turns.grant() if kept else None
                self._kernel_wait = not kept
            if ticket is not None:
                self._wake(ticket, asking)
                return
            try:
                at_once = self.store.try_enter()
            except Exception as error:
                self._fail(error)
                continue
            except BaseException:  # an interrupt of this thread alone: another goes on asking for the others
                WAITERS.submit(self._wait_for_store)
                raise
            if at_once:
                self._granted(asking)
            else:
                WAITERS.submit(self._wait_for_store)
            return

    def _wait_for_store(self) -> None:
        try:
            entered = self.store.wait_enter(self._is_awaited)
        except Exception as error:
            self._fail(error)
        else:
            if entered:
                self._granted(None)
                return
            with self._mutex:
                self._kernel_wait = False
        self._ask_store()
        self._close_if_due()

    def _is_awaited(self) -> bool:
        """Whether anybody waits for the turn; the store asks, on a thread that waits for it."""
        with self._mutex:
            return self._turns.front is not None

    def _granted(self, asking: Ticket | None) -> None:
        """The store's turn is this process's: it goes to the front, or back where nobody waits any more."""
        with self._mutex:
            self._kernel_wait = False
            if self._turns.front is None:
                self.store.leave()
                ticket = None
            else:
                self._slice_ends_ns = self.clock.boot_ns() + SLICE_NS
                ticket = self._turns.grant()
        if ticket is None:
            self._close_if_due()
        else:
            self._wake(ticket, asking)

    def _wake(self, ticket: Ticket, asking: Ticket | None = None) -> None:
        if ticket is asking:
            return
        try:
            ticket.wake()
        except RuntimeError:  # its event loop was closed meanwhile: nobody will ever leave this turn
            logger.warning("a caller of lane %s was gone when its turn came", self.name)
            if ticket.granted:
                self.leave(ticket.owner)

    def _fail(self, error: BaseException) -> None:
        """The store could not be asked: the front is told, and forgotten."""
        with self._mutex:
            self._kernel_wait = False
            ticket = self._turns.front
            if ticket is not None:
                self._turns.withdraw(ticket)
        if ticket is not None:
            ticket.error = error
            self._wake(ticket)

    def close(self) -> None:
        """Let go of the store's files; where the turn is held or asked for, once that is over."""
        self._closing = True
        with self._mutex:
            if self._lingering:  # nobody here calls again
                self._lingering = False
                self.store.leave()
        self._close_if_due()

    def reopen(self) -> None:
        """Somebody uses the lane again."""
        self._closing = False

    def _close_if_due(self) -> None:
        if not self._closing:
            return
        with self._mutex:
            if self._closing and not (self._kernel_wait or self._turns.front or self._lingering):
                self._closing = False
                self.store.close()

    def after_fork(self) -> None:
        """In a forked child: nothing that the parent holds is ours."""
        self._start()
        self.store.after_fork()

    def __repr__(self) -> str:
        state = "held" if self.held else "free"
        return f"<Lane {self.name} {state}, {self.waiting} waiting, {self.issued} issued>"


class Forkable(Protocol):
    """What has to be made anew in a forked child."""

    def after_fork(self) -> None:
        """Drop what is shared with the parent."""


_forkable: weakref.WeakSet[Forkable] = weakref.WeakSet()
_lanes: dict[tuple[str, str], tuple[Lane, int]] = {}
_closed: weakref.WeakValueDictionary[tuple[str, str], Lane] = weakref.WeakValueDictionary()
"""Lanes without users, which calls under way may still hold: whoever opens one again meets them in the same queue."""
_lanes_mutex = threading.Lock()


def open_lane(store: Store, name: str, unit_ns: int = 1) -> Lane:
    """This process's Lane for a store's lane; every ``open_lane`` is matched by a ``close_lane``."""
    key = store.identity, name
    with _lanes_mutex:
        lane, users = _lanes.get(key, (None, 0))
        if lane is None:
            lane = _closed.get(key) or Lane(store.lane(name, unit_ns), unit_ns=unit_ns)
            lane.reopen()
        _lanes[key] = lane, users + 1
        return lane


def close_lane(store: Store, lane: Lane) -> None:
    """Give a Lane back; with its last user gone, its files are closed."""
    key = store.identity, lane.name
    with _lanes_mutex:
        known, users = _lanes.get(key, (None, 0))
        if known is not lane:
            return
        if users > 1:
            _lanes[key] = lane, users - 1
            return
        del _lanes[key]
        _closed[key] = lane
    lane.close()


def rebuilt_after_fork(thing: Forkable) -> None:
    """Have ``thing.after_fork()`` called in every forked child while the thing lives."""
    _forkable.add(thing)


def _after_fork() -> None:
    global _lanes_mutex  # noqa: PLW0603 - the parent's other threads may hold the old one, and do not exist here
    _lanes_mutex = threading.Lock()
    for thing in tuple(_forkable):
        thing.after_fork()


os.register_at_fork(after_in_child=_after_fork)


def busy(lane: Lane, limit_s: float) -> LaneBusy:
    """The error for a turn that did not come within its limit, with what is known of who has it."""
    turn = lane.store.view(lane.clock.wall_ns()).turn or {}  # it may be told on an event loop
    method = f"; {turn['method']} (nonce {turn['nonce']}) is under way" if turn.get("method") else ""
    here = f"{lane.waiting} wait in this process" + (", which holds it" if lane.held else "")
    return LaneBusy(f"lane {lane.name} was busy for {limit_s:g} s: {here}{method}. Nothing was sent")
