"""The documents' process-wide nonce functions, on the lane ``kraken_global_nonce``.

    from sealane.global_nonce import get_global_kraken_nonce, get_kraken_api_lock

    with get_kraken_api_lock():          # one private call at a time, over threads, tasks and processes
        kraken.private("Balance")        # the owner of the lock passes: it is the same lane

A number from ``get_global_kraken_nonce()`` outside the lock is unique and rising, and that is all: it waits for no
call in flight and may overtake one. Inside the lock its use is ordered too.
"""

from __future__ import annotations

import logging
import os
import threading
from types import TracebackType
from typing import TypedDict

from sealane.client.settings import Settings
from sealane.core.nonce import NS_PER_S
from sealane.errors import SettingsError, Unavailable
from sealane.runtime import tasks, threads
from sealane.runtime.lanes import TURN_WAIT_S, Lane, current_owner, open_lane
from sealane.store.floors import GLOBAL_LANE

logger = logging.getLogger("sealane.global_nonce")


class NonceStats(TypedDict):
    """What ``get_global_nonce_stats`` returns; nonces are integers, times Unix seconds.

    ``total_nonces_issued`` counts this process's numbers since its manager was made; ``last_nonce`` is the lane's.
    """

    last_nonce: int
    total_nonces_issued: int
    uptime_seconds: float
    nonces_per_second: float
    initialized_at: float
    api_serialization_enabled: bool


class ApiCallLock:
    """The lane's turn with the manners of ``threading.RLock``: re-entrant for its owner, a (thread, task) pair.

    Works in ``with`` and, inside asyncio, in ``async with``, which lets other tasks run while it waits. Between
    processes it is the same lock for all that share ``DATA_DIR``; it falls free when its holder dies. Unlike an RLock
    it raises Unavailable where the lane stays busy for a minute.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the turn; False where it is not to be had at once (``blocking=False``) or within ``timeout`` seconds."""
        if blocking and timeout < 0:
            threads.enter(self._lane, current_owner(), TURN_WAIT_S)
            return True
        try:
            threads.enter(self._lane, current_owner(), max(0.0, timeout) if blocking else 0.0)
        except Unavailable:
            return False
        return True

    def release(self) -> None:
        """Leave the turn; one who does not hold it leaves nothing."""
        self._lane.leave(current_owner())

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    async def __aenter__(self) -> bool:
        await tasks.enter(self._lane, current_owner(), TURN_WAIT_S)
        return True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<ApiCallLock of {self._lane!r}>"


class GlobalKrakenNonceManager:
    """The lane ``kraken_global_nonce`` of this process's environment, under the documents' names.

    Raises SettingsError for a wrong variable, NotDurable where the nonce file cannot be kept.
    """

    def __init__(self) -> None:
        self._settings = Settings.from_env(os.environ)
        store = self._settings.open()
        self._lane = open_lane(store, GLOBAL_LANE)
        self._initialized_ns = self._lane.clock.wall_ns()
        self._started_ns = self._lane.clock.boot_ns()
        self._issued_before = self._lane.issued
        self._announce()

    def _announce(self) -> None:
        logger.info(
            "Global Kraken Nonce Manager initialized (persisted nonce: %d, API serialization: %s)",
            self._lane.announce(),
            "ENABLED" if self._lane.serialized else "DISABLED",
        )

    def get_nonce(self) -> int:
        """The next nonce in nanoseconds, stored before it is returned; raises NotDurable where it cannot be.

        Where an engine leases the lane to another host it waits, for a minute at most, and raises LaneBusy then.
        """
        return self._lane.draw()

    def get_api_call_lock(self) -> ApiCallLock:
        """The lock around private calls; refused with per-key lanes, where no one lock orders all keys."""
        if self._settings.lanes != "global":
            raise SettingsError(
                "with SEALANE_LANES=per-key every key has a lane of its own, and no one lock orders them all: make the "
                "calls through sealane.Kraken, which takes the key's lane, or set SEALANE_LANES=global"
            )
        return ApiCallLock(self._lane)

    def enable_api_serialization(self) -> None:
        """One private call in flight at a time on this lane (the default)."""
        self._lane.serialized = True
        logger.info("Kraken API call serialization ENABLED")

    def disable_api_serialization(self) -> None:
        """For tests only: calls of this process no longer wait for each other, and nonces may arrive out of order."""
        self._lane.serialized = False
        logger.warning("Kraken API call serialization DISABLED (not recommended)")

    def get_stats(self) -> NonceStats:
        """The figures, as a dict."""
        issued = self._lane.issued - self._issued_before
        uptime_s = (self._lane.clock.boot_ns() - self._started_ns) / NS_PER_S
        return {
            "last_nonce": self._lane.store.last(),
            "total_nonces_issued": issued,
            "uptime_seconds": uptime_s,
            "nonces_per_second": issued / uptime_s if uptime_s > 0 else 0.0,
            "initialized_at": self._initialized_ns / NS_PER_S,
            "api_serialization_enabled": self._lane.serialized,
        }


_manager: GlobalKrakenNonceManager | None = None
_mutex = threading.Lock()


def _after_fork() -> None:
    global _mutex  # noqa: PLW0603 - the parent's other threads may hold the old one, and do not exist here
    _mutex = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def get_global_nonce_manager() -> GlobalKrakenNonceManager:
    """This process's one manager, made at the first call."""
    global _manager  # noqa: PLW0603 - the documents ask for one object a process
    if _manager is None:
        with _mutex:
            if _manager is None:
                _manager = GlobalKrakenNonceManager()
    return _manager


def get_global_kraken_nonce() -> int:
    """The next nonce of the global lane, in nanoseconds."""
    return get_global_nonce_manager().get_nonce()


def get_kraken_nonce() -> int:
    """The older name of ``get_global_kraken_nonce``."""
    return get_global_kraken_nonce()


def get_kraken_api_lock() -> ApiCallLock:
    """The lock under which private calls go one at a time."""
    return get_global_nonce_manager().get_api_call_lock()


def get_global_nonce_stats() -> NonceStats:
    """The global lane's figures."""
    return get_global_nonce_manager().get_stats()
