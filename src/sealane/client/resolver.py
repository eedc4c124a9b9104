"""Orders in doubt that nobody waits for: found out in the background, on threads of their own.

1. An intent is taken up once in a process, by a session that has its key: where its caller gave up, where its process
   died (``IntentLeftBehind``), or where it was found unsettled when the session was made.
2. An intent whose owner lives in another process is left to it.
3. The work goes on until the order has its end, the session is closed, or the process ends: then the next one goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakValueDictionary

from sealane.core.effects import Caller
from sealane.core.order import Intent
from sealane.core.resolving import resolve
from sealane.errors import NotDurable, SealaneError
from sealane.runtime import threads
from sealane.runtime.desk import Desk, read_intent
from sealane.runtime.waiters import WaiterPool
from sealane.store.port import IntentLog
from sealane.transport.port import Transport

RESOLVERS_MAX = 16
"""Orders that are looked for in the background at the same time."""

logger = logging.getLogger("sealane.orders")
_pool = WaiterPool(RESOLVERS_MAX)
_under_way: set[tuple[int, str]] = set()
_mutex = threading.Lock()


class Resolves(Protocol):
    """A session, as seen from here."""

    def caller(self) -> Caller:
        """Who asks; raises SettingsError once the session is closed."""

    def desk(self) -> Desk:
        """What its flows work with, on this thread."""

    def background(self) -> Transport:
        """What carries the requests."""

    @property
    def lag_s(self) -> float:
        """How long Kraken may take to show an order."""


@dataclass
class Hold:
    """A caller's hold on an order. ``over``: its end is known and stored, so that nothing is left to be done."""

    over: bool = False


class Resolver:
    """One session's part in finding out. ``log`` is where the intents are, ``fingerprint`` whose they are."""

    def __init__(self, session: Resolves, log: IntentLog, fingerprint: str, turn_wait_s: float) -> None:
        self._session, self._log, self._fingerprint, self._turn_wait_s = session, log, fingerprint, turn_wait_s
        _by_key[fingerprint] = self

    def take_up_all(self) -> int:
        """Take up what dead processes left unsettled with this key; how many those are."""
        try:
            left = [Intent.loaded(stored) for stored in self._log.unsettled().values()]
        except (NotDurable, ValueError) as error:
            logger.warning("orders in doubt could not be read: %s", error)
            return 0
        mine = [intent for intent in left if intent.fingerprint == self._fingerprint]
        return sum(self.take_up(intent.id) for intent in mine if not self._is_anothers(intent))

    def _is_anothers(self, intent: Intent) -> bool:
        return intent.owner != self._log.owner() and self._log.is_alive(intent.owner)

    def take_up(self, intent_id: str) -> bool:
        """Find out an order's end in the background, unless that is under way here."""
        name = id(self._log), intent_id
        with _mutex:
            if name in _under_way:
                return False
            _under_way.add(name)
        _pool.submit(lambda: self._run(intent_id, lambda: _under_way.discard(name)))
        return True

    @contextmanager
    def held(self, intent_id: str) -> Iterator[Hold]:
        """While a caller sees to an order itself; where it leaves without the end, the background goes on."""
        hold = Hold()
        name = id(self._log), intent_id
        with _mutex:
            mine = name not in _under_way
            _under_way.add(name)
        try:
            yield hold
        finally:
            if mine:
                _under_way.discard(name)
            if mine and not hold.over:
                self._go_on(intent_id)

    def _go_on(self, intent_id: str) -> None:
        with suppress(NotDurable):
            intent = read_intent(self._log, intent_id)
            if intent is not None and not intent.settled:
                self.take_up(intent_id)

    def _run(self, intent_id: str, done: Callable[[], None]) -> None:
        try:
            intent = read_intent(self._log, intent_id)
            if intent is None or intent.settled:
                return
            logger.warning("order %s of %s is in doubt and being looked for", intent.id, intent.account)
            flow = resolve(self._session.caller(), intent, self._session.lag_s, None)
            ended = threads.run(flow, self._session.desk(), self._session.background(), self._turn_wait_s)
            for name, end in ended.ends.items():
                logger.warning("order %s: %s", name, end)
        except SealaneError as error:
            logger.warning("order %s stays in doubt for now: %s", intent_id, error)
        finally:
            done()


_by_key: WeakValueDictionary[str, Resolver] = WeakValueDictionary()


def take_up_anywhere(fingerprint: str, intent_id: str) -> None:
    """Have an intent of any key taken up, if a session of this process has the key."""
    resolver = _by_key.get(fingerprint)
    if resolver is not None:
        resolver.take_up(intent_id)


def after_fork() -> None:
    """In a forked child: the parent's orders are the parent's."""
    global _mutex  # noqa: PLW0603 - another thread of the parent may hold it
    _mutex = threading.Lock()
    _under_way.clear()
