"""What a process does in the background for its leases: renew what is in use, let go of what is not, say that it lives.

Each lane is looked at several times within a lease, and as often within its span a process says that it lives.

One daemon thread a store, from the first lane that is leased; it ends with the process, or when the store is closed. A
process that is stopped renews nothing.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from functools import partial

from sealane.errors import SealaneError
from sealane.store.engine_intents import BEAT_SPAN_MS, EngineIntents
from sealane.store.host import Host
from sealane.store.hosted import TENDS_A_LEASE, HostedLane

logger = logging.getLogger("sealane.store")


class Keeper:
    """See the head of this file."""

    def __init__(self, host: Host, intents: EngineIntents) -> None:
        self._host, self._intents = host, intents
        self._start()

    def _start(self) -> None:
        self._lanes: weakref.WeakSet[HostedLane] = weakref.WeakSet()
        self._failing: set[str] = set()
        self._wake = threading.Event()
        self._mutex = threading.Lock()
        self._stop_listening: Callable[[], None] | None = None

    def keep(self, lane: HostedLane) -> None:
        """From now on tend this lane."""
        with self._mutex:
            self._lanes.add(lane)
            if self._stop_listening is None:
                self._stop_listening = self._host.engine.listen(self._host.name, self._wanted)
                threading.Thread(target=self._run, name="sealane-leases", daemon=True).start()

    def _wanted(self, name: str) -> None:
        """Another host waits for a lane of ours."""
        for lane in tuple(self._lanes):
            if lane.name == name:
                lane.wanted = True
        self._wake.set()

    def _run(self) -> None:
        wake, stop = self._wake, self._stop_listening
        while self._stop_listening is stop is not None:
            wake.wait(min(self._host.engine.lease_ms, BEAT_SPAN_MS) / TENDS_A_LEASE / 1_000)
            wake.clear()
            for lane in tuple(self._lanes):
                self._try(f"the lease of {lane.name}", partial(lane.tend, self._host.clock.boot_ns()))
            self._try("the sign of life", self._intents.beat)

    def _try(self, what: str, step: Callable[[], None]) -> None:
        """One that fails keeps none of the others; it is told once, and when it works again."""
        try:
            step()
        except SealaneError as error:
            if what not in self._failing:
                logger.warning("%s cannot be kept now: %s", what, error)
            self._failing.add(what)
        except Exception:
            logger.exception("%s could not be kept", what)
        else:
            if what in self._failing:
                self._failing.discard(what)
                logger.warning("%s is kept again", what)

    def let_go(self) -> None:
        """At the end of the process: what it used last, or waited for, is another's from now on."""
        self._host.ends = True
        for lane in tuple(self._lanes):
            lane.let_go()
        self.close()

    def close(self) -> None:
        """Tend nothing any more."""
        with self._mutex:
            stop, self._stop_listening = self._stop_listening, None
            self._lanes.clear()
        if stop is not None:
            stop()
        self._wake.set()

    def after_fork(self) -> None:
        """In a forked child: the thread is the parent's, and so are the lanes until they are used here."""
        self._start()
