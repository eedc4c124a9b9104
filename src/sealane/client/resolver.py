"""Orders in doubt that nobody waits for: found out in the background, on threads of their own.

1. An intent is taken up by a session that has its key: where its caller gave up, or where its owner is dead. For the
   latter every process looks through the log when a session is made, when it meets a dead holder's turn, and every
   ``SCAN_S``: so the living finish what the dead left, whichever key they use.
2. An intent whose owner lives in another process is left to it, and each is taken up once in a process.
3. The work goes on until the order has its end, the session is closed, or the process ends: then the next one goes on.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol
from weakref import WeakSet

from sealane.core.effects import Caller
from sealane.core.order import Intent
from sealane.core.resolving import resolve
from sealane.errors import NotDurable, SealaneError
from sealane.runtime import threads
from sealane.runtime.desk import Desk, intent_in, read_intent
from sealane.runtime.lanes import rebuilt_after_fork
from sealane.runtime.waiters import WaiterPool
from sealane.store.port import IntentLog
from sealane.transport.port import Transport

RESOLVERS_MAX = 16
"""Orders that are looked for in the background at the same time."""
SCAN_S = 5.0
"""How often a process looks for what the dead left, if nothing tells it to look at once."""

logger = logging.getLogger("sealane.orders")


class Resolves(Protocol):
    """A session, as seen from here."""

    def caller(self) -> Caller:
        """Who asks; its calls raise SettingsError once the session is closed."""

    def desk(self) -> Desk:
        """What its flows work with, on this thread."""

    def background(self) -> Transport:
        """What carries the requests."""

    @property
    def lag_s(self) -> float:
        """How long Kraken may take to show an order."""


class Resolver:
    """One session's part in finding out. ``log`` is where the intents are, ``fingerprint`` whose they are."""

    def __init__(self, session: Resolves, log: IntentLog, fingerprint: str, turn_wait_s: float) -> None:
        self._session, self._log, self._fingerprint, self._turn_wait_s = session, log, fingerprint, turn_wait_s
        self._is_closed = False
        _office.join(self)

    def close(self) -> None:
        """Take up nothing more, and leave what is open to whoever is there."""
        self._is_closed = True
        _office.leave(self)
        self._disown()

    def _disown(self) -> None:
        """This process may live on without a client: its open intents are nobody's from here on."""
        with suppress(NotDurable):
            for intent_id, stored in self._log.unsettled().items():
                mine = stored.get("owner") == self._log.owner() and stored.get("fingerprint") == self._fingerprint
                if mine and not _office.is_under_way(self._name(intent_id)):
                    self._log.write(intent_id, {**stored, "owner": ""}, sync=False)

    def take_up_all(self) -> None:
        """Take up what is unsettled with this key and whose owner is dead, or is this process with nobody at it."""
        with suppress(NotDurable):  # the place cannot be had now: there is another time
            for stored in self._log.unsettled().values():
                intent = intent_in(stored)
                if intent is not None and intent.fingerprint == self._fingerprint and not self._is_anothers(intent):
                    self._take_up(intent.id)

    def _is_anothers(self, intent: Intent) -> bool:
        return intent.owner != self._log.owner() and self._log.is_alive(intent.owner)

    @contextmanager
    def held(self, intent_id: str) -> Iterator[bool]:
        """While a caller sees to an order itself; where it leaves without the end, the background goes on.

        Tells whether it is the only one of this process that is at this order.
        """
        is_alone = _office.share(self._name(intent_id))
        has_ended = False
        try:
            yield is_alone
            has_ended = True
        finally:
            _office.end(self._name(intent_id))
            if not has_ended:
                self._left()

    def _left(self) -> None:
        if self._is_closed:
            self._disown()
        _office.look_now()

    def _take_up(self, intent_id: str) -> None:
        if _office.begin(self._name(intent_id)):
            _office.pool.submit(lambda: self._run(intent_id, lambda: _office.end(self._name(intent_id))))

    def _name(self, intent_id: str) -> tuple[int, str]:
        return id(self._log), intent_id

    def _run(self, intent_id: str, done: Callable[[], None]) -> None:
        try:
            intent = read_intent(self._log, intent_id)
            if intent is None or intent.settled:
                return
            logger.warning("order %s of %s is in doubt and being looked for", intent.id, intent.account)
            # Whoever sent it is dead, or has left it: nobody is about to send it again.
            flow = resolve(self._session.caller(), intent, self._session.lag_s, None, is_own=True)
            ended = threads.run(flow, self._session.desk(), self._session.background(), self._turn_wait_s)
            for name, end in ended.ends.items():
                logger.warning("order %s: %s", name, end)
        except SealaneError as error:
            logger.warning("order %s stays in doubt for now: %s", intent_id, error)
        finally:
            done()
            if self._is_closed:
                self._disown()


class _Office:
    """What the resolvers of one process share: which intents are under way, and the thread that looks for others."""

    def __init__(self) -> None:
        self.pool = WaiterPool(RESOLVERS_MAX)
        self.resolvers: WeakSet[Resolver] = WeakSet()
        self.after_fork()

    def after_fork(self) -> None:
        """In a forked child: the parent's orders are the parent's, and its threads do not exist here."""
        self._mutex = threading.Lock()
        self._under_way: Counter[tuple[int, str]] = Counter()
        self._look = threading.Event()
        self._looking = False
        self.pool.after_fork()

    def join(self, resolver: Resolver) -> None:
        """One more resolver, which looks at once."""
        with self._mutex:
            self.resolvers.add(resolver)
        self.look_now()

    def leave(self, resolver: Resolver) -> None:
        """One fewer."""
        with self._mutex:
            self.resolvers.discard(resolver)

    def is_under_way(self, name: tuple[int, str]) -> bool:
        """Whether somebody of this process is at an intent."""
        with self._mutex:
            return name in self._under_way

    def begin(self, name: tuple[int, str]) -> bool:
        """Whether an intent is this caller's from now on; False while another in this process is at it."""
        with self._mutex:
            is_free = name not in self._under_way
            if is_free:
                self._under_way[name] = 1
        self._be_looking()
        return is_free

    def share(self, name: tuple[int, str]) -> bool:
        """One more is at an intent; whether nobody else was."""
        with self._mutex:
            self._under_way[name] += 1
            is_alone = self._under_way[name] == 1
        self._be_looking()
        return is_alone

    def _be_looking(self) -> None:
        if not self._looking:  # in a forked child nobody is yet
            self.look_now()

    def end(self, name: tuple[int, str]) -> None:
        """One fewer is at an intent."""
        with self._mutex:
            self._under_way[name] -= 1
            if self._under_way[name] <= 0:
                del self._under_way[name]

    def look_now(self) -> None:
        """Have the log looked through soon."""
        self._look.set()
        with self._mutex:
            begin, self._looking = not self._looking, True
        if begin:
            threading.Thread(target=self._go_round, name="sealane-orders", daemon=True).start()

    def _go_round(self) -> None:
        look = self._look
        while True:
            look.wait(SCAN_S)
            look.clear()
            with self._mutex:
                there = tuple(self.resolvers)
                if not there:
                    self._looking = False
                    return
            for resolver in there:
                try:
                    resolver.take_up_all()
                except Exception:
                    logger.exception("could not look for what the dead left")


_office = _Office()
rebuilt_after_fork(_office)


def look_now() -> None:
    """A dead holder's turn was met: look for what it left."""
    _office.look_now()
