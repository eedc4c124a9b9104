"""The service without its HTTP: accounts, watcher and counts together, and the state of now."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from sealane import telemetry
from sealane.gateway.fleet import Fleet
from sealane.gateway.health import is_stuck
from sealane.gateway.sightings import Sighting
from sealane.gateway.state import State, state_now
from sealane.gateway.tallies import Tallies
from sealane.gateway.watch_settings import WATCH_S
from sealane.gateway.watcher import Watcher

CALLS_STOP_S = 7.0

logger = logging.getLogger("sealane.gateway")


class Service:
    """Watches a fleet while it is entered, and closes it in the end.

    ``watch_s`` is how often the accounts are asked, ``simulation`` why they live on the built-in simulator ("":
    they do not), and ``before_asking`` is called once, on a thread, before the first of them is asked.
    ``gateway_trouble`` is to be set to what tells what is wrong with the gateway, from any thread and at once.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        watch_s: float = WATCH_S,
        simulation: str = "",
        before_asking: Callable[[], None] = lambda: None,
    ) -> None:
        self.fleet = fleet
        self.watcher = Watcher(fleet, watch_s=watch_s, simulation=simulation, before_asking=before_asking)
        self.gateway_trouble: Callable[[], str] = str
        self._tallies = Tallies(fleet.fingerprints, fleet.clock.wall_ns)

    def state(self) -> State:
        """The state of now; waits for nobody."""
        return state_now(self._seen, self._tallies.now, self.fleet.clock)

    def _seen(self) -> Sighting:
        return replace(self.watcher.seen(), gateway=self.gateway_trouble())

    def is_well(self) -> bool:
        """Whether no restart of this process would mend anything; waits for nobody."""
        return not is_stuck(self.watcher.seen().rounds, self.fleet.clock.boot_ns())

    def __enter__(self) -> Self:
        self._unsubscribe = telemetry.subscribe(self._tallies.hear)
        self.watcher.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.watcher.end(CALLS_STOP_S):
            logger.warning("calls were still under way after %.0f s, and are left", CALLS_STOP_S)
        self._unsubscribe()
        self.fleet.close()
