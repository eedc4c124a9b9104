"""What every guarded client passes: one private call at a time, with nonces of the lane.

The invariant: between taking the turn and leaving it at most one call of the client is on its way, and every nonce it
signs with was drawn in between.

1. The turn is taken before the client signs and left after its answer or error, whatever happens between.
2. A blocking call's turn belongs to the thread (and task) that makes it, so that calls nest as they do in ``Kraken``.
3. An awaited call runs in a task of its own, and the turn is left when that task ends: a call whose caller was
   cancelled is seen to its end in the background (``awaited.py``).
4. A record that a dead holder left in the turn is for the next ``Kraken``: it is carried along, never cleared here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sealane.client.session import NS_PER_MS, Session
from sealane.core.turn import rest_s
from sealane.errors import SettingsError
from sealane.plugins import awaited
from sealane.runtime import threads
from sealane.runtime.desk import last_ended_ns
from sealane.runtime.lanes import current_owner

T = TypeVar("T")


class Turnstile:
    """One guarded client's way to its lane. ``key_of`` gives the client's key as it is now."""

    def __init__(self, session: Session, key_of: Callable[[], str]) -> None:
        self.lane = session.lane
        self.account = session.account
        self._wait_s = session.turn_wait_s
        self._interval_ns = session.settings.min_interval_ms * NS_PER_MS
        self._key_of = key_of
        self._key = key_of()

    def draw(self) -> int:
        """The next nonce of the lane, stored; raises NotDurable where it cannot be."""
        return self.lane.draw()

    def check_key(self) -> None:
        """Raise SettingsError if the client was given another key: that one may belong on another lane."""
        if self._key_of() != self._key:
            raise SettingsError(
                f"the API key of this client ({self.account}) was changed after it was guarded: make a new client with "
                "the new key and guard that"
            )

    def run(self, call: Callable[[], T]) -> T:
        """Make one private call in a turn; raises what the call raises, and Unavailable where no turn comes."""
        self.check_key()
        with self._turn():
            if left_s := self._rest_s():
                time.sleep(left_s)
            try:
                return call()
            finally:
                self._note_end()

    async def run_async(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """See ``run``."""
        self.check_key()

        async def noted() -> T:
            try:
                return await call()
            finally:
                self._note_end()

        return await awaited.run(self.lane, self._wait_s, self._prepare, noted)

    async def _prepare(self) -> None:
        if self.lane.must_sync():
            # The loop must not wait for the disk: a thread does, and the number it draws is burned.
            await asyncio.to_thread(self.lane.draw)
        if left_s := self._rest_s():
            await asyncio.sleep(left_s)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        owner = current_owner()
        depth = self.lane.depth(owner)
        try:
            threads.enter(self.lane, owner, self._wait_s)
            yield
        finally:  # by depth: an interrupt may come between the turn's arrival and its note here
            while self.lane.depth(owner) > depth:
                self.lane.leave(owner)

    def _rest_s(self) -> float:
        """Turn held: how long the lane's spacing, where one is set, asks to wait still."""
        if not self._interval_ns:
            return 0.0
        return rest_s(self._interval_ns, last_ended_ns(self.lane.store.read_turn()), self.lane.clock.wall_ns())

    def _note_end(self) -> None:
        if self._interval_ns:
            record = self.lane.store.read_turn()
            self.lane.store.write_turn({**record, "ended_ns": self.lane.clock.wall_ns()})
