"""Who looks: three threads that go round, and a few that ask Kraken. Nobody else does, least of all a request.

1. ``look`` reads what is local (lanes, keys, orders in doubt, how brokers stand), ``store`` writes something into the
   store, ``accounts`` has every account's balance asked for. They share nothing, so that a disk that hangs, or Kraken,
   stops one of them and shows: each says when it last came to its end.
2. Each account is asked by one thread at a time, at most ``ASKERS_MAX`` at once, and not at all while its broker is
   recovering: that asks by itself, in the rhythm that the trouble wants. Once its quarantine was lifted, by whoever
   did that anywhere, it is asked at once.
3. With the balance an asker asks now and then what the key may do; what was told stays known until it is told anew.
4. What an asker brought is looked at as soon as it is there, not at the next round.
5. ``seen()`` waits for nothing: it hands out what the threads left.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sealane.core.nonce import NS_PER_S
from sealane.errors import SealaneError
from sealane.gateway.fleet import Fleet, Served, held_since, standing
from sealane.gateway.sightings import AccountSeen, KeySeen, LaneSeen, RoundSeen, Sighting, StoreSeen
from sealane.gateway.watch_settings import ASKERS_MAX, LOOK_S, PERMISSIONS_S, STORE_TRIAL_S, WATCH_S
from sealane.runtime.clock import Clock
from sealane.runtime.waiters import WaiterPool

logger = logging.getLogger("sealane.gateway")


class Round:
    """One job, again and again, on a thread of its own; what it raises is logged, and it goes on."""

    def __init__(self, name: str, every_s: float, job: Callable[[], None], clock: Clock) -> None:
        self.name, self.every_s, self._job, self._clock = name, every_s, job, clock
        self._ending = False
        self._due = threading.Event()
        self._at_it = threading.Lock()
        self._began_ns: int | None = None
        self._ended_ns: int | None = None
        self._thread = threading.Thread(target=self._go, name=f"sealane-{name}", daemon=True)

    def begin(self) -> None:
        """Go round from now on."""
        self._thread.start()

    def _go(self) -> None:
        while True:
            self._due.clear()  # before the look at the end, which sets both
            if self._ending:
                return
            self.once()
            self._due.wait(self.every_s)

    def soon(self) -> None:
        """Go round once more without waiting, as soon as the round under way is over."""
        self._due.set()

    def once(self) -> None:
        """One round, on the caller's thread; one at a time, so that what was seen first is never put last."""
        with self._at_it:
            self._once()

    def _once(self) -> None:
        self._began_ns = self._clock.boot_ns()
        try:
            self._job()
            self._ended_ns = self._clock.boot_ns()
        except Exception:  # a round that failed did not come to its end, and that shows
            logger.exception("the watcher's '%s' failed, and goes on", self.name)
        finally:
            self._began_ns = None

    def seen(self) -> RoundSeen:
        """How it stands."""
        return RoundSeen(self.name, self.every_s, self._thread.is_alive(), self._ended_ns, self._began_ns)

    def end(self) -> None:
        """Begin no further round."""
        self._ending = True
        self._due.set()

    def join(self, limit_s: float) -> bool:
        """Wait until it has ended; False where that takes longer."""
        if self._thread.ident is not None:
            self._thread.join(limit_s)
        return not self._thread.is_alive()


@dataclass(frozen=True)
class _Asking:
    """Since when an account is being asked, how long that took the last time, and whether there was a first time.

    ``permissions`` are those that Kraken told last, at ``permissions_ns``; ``permissions_due_ns`` is when to ask again.
    """

    was_asked: bool = False
    asking_ns: int | None = None
    took_s: float = 0.0
    permissions: tuple[str, ...] | None = None
    permissions_ns: int | None = None
    permissions_due_ns: int = 0


class Watcher:
    """See the rules at the head of this file.

    ``watch_s`` is how often the accounts are asked, ``simulation`` why they are simulated ("": they are not), and
    ``before_asking`` is called once on the thread that then asks for the first time.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        watch_s: float = WATCH_S,
        simulation: str = "",
        before_asking: Callable[[], None] = lambda: None,
    ) -> None:
        self.fleet, self.clock = fleet, fleet.clock
        self._first = Sighting(
            members=tuple(one.member for one in fleet.served),
            watch_s=watch_s,
            simulation=simulation,
            lanes_setting=fleet.settings.lanes,
            started_ns=self.clock.boot_ns(),
        )
        self._before_asking: Callable[[], None] | None = before_asking
        self._lanes: tuple[LaneSeen, ...] = ()
        self._keys: dict[str, KeySeen] = {}
        self._accounts: dict[str, AccountSeen] = {}
        self._store: StoreSeen | None = None
        self._askings: dict[str, _Asking] = {one.member.account: _Asking() for one in fleet.served}
        self._askers = WaiterPool(ASKERS_MAX)
        self._mutex = threading.Lock()
        self._idle = threading.Condition(self._mutex)
        self._ending = False
        self.rounds = (
            Round("look", LOOK_S, self._look, self.clock),
            Round("store", STORE_TRIAL_S, self._try_store, self.clock),
            Round("accounts", watch_s, self._ask_all, self.clock),
        )

    def begin(self) -> None:
        """Look from now on."""
        for one in self.rounds:
            one.begin()

    def look_once(self) -> None:
        """One round of each, on the caller's thread; the askers may still be under way afterwards."""
        for one in reversed(self.rounds):
            one.once()

    def seen(self) -> Sighting:
        """All that was seen by now; waits for nothing."""
        return replace(
            self._first,
            rounds=tuple(one.seen() for one in self.rounds),
            store=self._store,
            lanes=self._lanes,
            keys=self._keys,
            accounts=self._with_askings(self._accounts),
        )

    def _with_askings(self, accounts: dict[str, AccountSeen]) -> dict[str, AccountSeen]:
        askings = self._askings
        return {name: _with_asking(account, askings[name]) for name, account in accounts.items()}

    # --- the rounds -------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        now_ns = self.clock.boot_ns()
        lanes = {lane.name: lane for lane in self._lanes}
        self._lanes = tuple(held_since(lane, lanes.get(lane.name)) for lane in self.fleet.lanes())
        before, self._keys = self._keys, self.fleet.keys()
        self._accounts = {one.member.account: standing(one, now_ns) for one in self.fleet.served}
        for one in self.fleet.served:
            if is_lifted(before.get(one.member.account), self._keys[one.member.account]):
                self._ask_soon(one)

    def _try_store(self) -> None:
        self._store = self.fleet.try_store()

    def _ask_all(self) -> None:
        first, self._before_asking = self._before_asking, None
        if first is not None:
            first()
        for one in self.fleet.served:
            if one.broker.figures().recovery.next_try_in_s is None:
                self._ask_soon(one)

    def _ask_soon(self, one: Served) -> None:
        if self._begins(one.member.account):
            self._askers.submit(lambda: self._ask(one))

    def _begins(self, account: str) -> bool:
        with self._mutex:
            before = self._askings[account]
            if before.asking_ns is not None or self._ending:
                return False
            self._askings[account] = replace(before, asking_ns=self.clock.boot_ns())
            return True

    def _ask(self, one: Served) -> None:
        before_ns, first = self.clock.boot_ns(), not self._askings[one.member.account].was_asked
        try:
            if not self._ending:
                one.broker.connect() if first else one.broker.get_account_balance_detailed()
            self._asked(one, was_asked=True, took_s=(self.clock.boot_ns() - before_ns) / NS_PER_S)
            self._ask_permissions(one)
        finally:
            self._asked(one, was_asked=True, asking_ns=None)

    def _ask_permissions(self, one: Served) -> None:
        now_ns, asking = self.clock.boot_ns(), self._askings[one.member.account]
        if self._ending or now_ns < asking.permissions_due_ns or one.broker.figures().error_count:
            return
        self._asked(one, permissions_due_ns=now_ns + int(PERMISSIONS_S * NS_PER_S))
        try:
            self._asked(one, permissions=one.broker.ask_permissions(), permissions_ns=now_ns)
        except SealaneError as error:
            logger.info("what the key of %s may do was not told: %s", one.member.account, error)

    def _asked(self, one: Served, **changes: Any) -> None:
        with self._idle:
            self._askings[one.member.account] = replace(self._askings[one.member.account], **changes)
            self._idle.notify_all()
        self.rounds[0].soon()

    # --- the end ----------------------------------------------------------------------------------------------------

    def end(self, limit_s: float) -> bool:
        """Begin nothing more and let calls under way end; False where they take longer than ``limit_s``."""
        until_ns = self.clock.boot_ns() + int(limit_s * NS_PER_S)
        for one in self.rounds:
            one.end()
        with self._idle:
            self._ending = True
            ended = self._idle.wait_for(self._nobody_asks, limit_s)
        for one in self.rounds:
            ended &= one.join(max(0.0, (until_ns - self.clock.boot_ns()) / NS_PER_S))
        return ended

    def wait_for_askers(self, limit_s: float) -> bool:
        """Until nobody is being asked any more; False where that takes longer."""
        with self._idle:
            return self._idle.wait_for(self._nobody_asks, limit_s)

    def _nobody_asks(self) -> bool:
        return all(asking.asking_ns is None for asking in self._askings.values())


def _with_asking(account: AccountSeen, asking: _Asking) -> AccountSeen:
    return replace(
        account,
        asking_ns=asking.asking_ns,
        took_s=asking.took_s,
        permissions=asking.permissions,
        permissions_ns=asking.permissions_ns,
    )


def is_lifted(before: KeySeen | None, now: KeySeen) -> bool:
    """Whether a person ended a key's quarantine between two looks."""
    return before is not None and bool(before.diagnosis) and not now.diagnosis and not now.error
