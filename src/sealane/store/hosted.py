"""Lanes of many hosts: an engine leases a lane to a host, and the file store orders the processes of that host.

1. Who holds the lane's turn in the folder, and whose host holds its lease (``lessee.py``), has the turn. A host that is
   alone on a lane asks the engine at its first call, and once in a while in the background.
2. No nonce is drawn, and no private request sent, without a lease that is good by the time since boot, and of the epoch
   in which the turn was taken. Without it the caller hears Fenced, and nothing was sent.
3. Where another host waits, the lane goes there when a turn ends, in the background; and where nobody of this host has
   used it for as long as a lease lasts, it is let go of.
4. Keys' states and accounts' counters travel with the lane. Notes of single orders stay: without one, an order is taken
   for a new one, which costs room and nothing else.
5. After an unclean change every key is fenced before its next write; which are still due travels too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from sealane.core.hold import Hold
from sealane.core.lease import NS_PER_MS
from sealane.errors import LaneBusy, NotDurable, SealaneError, Unavailable
from sealane.store.file import FileLane
from sealane.store.host import Host
from sealane.store.lane_documents import STAMPS
from sealane.store.lease_file import LeaseFile
from sealane.store.lease_view import LeaseViewer
from sealane.store.lessee import GoOn, Lessee, NotLeased
from sealane.store.port import LaneView, awaited

HANDING_OVER_MAX_S = 30.0
TURN_MAX_S = 300.0
"""A turn held for longer makes no progress: its lease is not renewed."""
DRAW_WAIT_S = 60.0
"""How long a draw outside any turn waits for the lane, as a caller waits for its turn."""
TENDS_A_LEASE = 4
"""So many times within a lease each lane is looked at."""

logger = logging.getLogger("sealane.store")


class HostedLane:
    """One lane: a FileLane behind a lease."""

    def __init__(self, files: FileLane, lease: LeaseFile, host: Host, unit_ns: int) -> None:
        self.name = files.name
        self._files, self._host = files, host
        self._lessee = Lessee(files, lease, host, unit_ns)
        self.renew, self.revise_rates = self._lessee.renew, self._lessee.revise_rates
        self._viewer = LeaseViewer(host)
        self.reserve, self.check = files.reserve, self._lessee.check
        self.confirm_clock, self.clock_doubted = files.confirm_clock, files.clock_doubted
        self.read_turn, self.write_turn = files.read_turn, files.write_turn
        self.rates, self.note, self.noted, self.last = files.rates, files.note, files.noted, files.last
        self._start()

    def _start(self) -> None:
        self._mutex = threading.Lock()
        self._is_asking = False
        self._turn_since_ns = 0
        self._handed_over = threading.Event()
        self._handed_over.set()
        self._hands = self._host.hands()

    @property
    def loaded_from(self) -> str:
        """See ``port.LaneStore``."""
        return self._files.loaded_from

    @property
    def reserve_due(self) -> bool:
        """See ``port.LaneStore``."""
        return self._files.reserve_due

    @property
    def wanted(self) -> bool:
        """Whether another host waits for the lane."""
        return self._lessee.wanted

    @wanted.setter
    def wanted(self, wanted: bool) -> None:
        self._lessee.wanted = wanted

    # --- the turn -------------------------------------------------------------------------------------------------

    def try_enter(self) -> bool:
        """See ``port.LaneStore``. Never waits for the engine, nor for one who does: it may run on an event loop."""
        if not self._asks() or not (self._lessee.has_turn or self._files.try_enter()):
            return False
        self._lessee.has_turn = True
        hold = self._lessee.read()
        return hold.user == self._host.process and self._began(hold)

    def _asks(self) -> bool:
        """From now until the turn's end the lane is not let go in the background; False while it is just then."""
        with self._mutex:
            self._is_asking = self._handed_over.is_set()
            return self._is_asking

    def wait_enter(self, is_awaited: Callable[[], bool] = awaited) -> bool:
        """See ``port.LaneStore``. Raises Unavailable where the engine cannot be had for ``ENGINE_PATIENCE_S``."""
        while not self._asks():
            if not self._handed_over.wait(HANDING_OVER_MAX_S):
                raise Unavailable(f"lane {self.name} is still being handed over after {HANDING_OVER_MAX_S:.0f} s")
        try:
            if not self._lessee.has_turn:
                self._files.wait_enter()
                self._lessee.has_turn = True
            while not self._began(self._leased(0, partial(_go_on_while, is_awaited))):
                pass
        except NobodyWaits:
            self._withdraw()
            self._end_turn()
            return False
        except BaseException:
            self._end_turn()
            raise
        return True

    def _withdraw(self) -> None:
        """Turn held: nobody waits for the lease any more, unless a sibling waits for the turn."""
        if not self._files.is_contended():
            self._lessee.withdraw()

    def _began(self, hold: Hold) -> bool:
        if not self._lessee.begins_turn(hold):
            return False
        self._turn_since_ns = self._lessee.used_ns
        return True

    def _leased(self, at_least: int, go_on: GoOn) -> Hold:
        self._host.tend(self)
        return self._lessee.leased(at_least, go_on)

    def leave(self) -> None:
        """See ``port.LaneStore``. Where another host waits the lane goes there, in the background."""
        if self.wanted and self._lessee.turn_epoch:
            self._handed_over.clear()
            try:
                self._hands.submit(self._hand_over)
            except RuntimeError:  # the interpreter ends, and starts no more threads
                self._hand_over()
        else:
            self._end_turn()

    def _end_turn(self) -> None:
        self._lessee.has_turn, self._lessee.turn_epoch, self._turn_since_ns = False, 0, 0
        self._files.leave()
        self._is_asking = False

    def _hand_over(self) -> None:
        try:
            self._lessee.release()
        except SealaneError as error:
            logger.warning("lane %s could not be handed over, and runs out instead: %s", self.name, error)
        finally:
            self._end_turn()
            self._handed_over.set()

    def is_contended(self) -> bool:
        """See ``port.LaneStore``."""
        return self.wanted or self._files.is_contended()

    def _release_if_idle(self) -> None:
        """Let the lease go where nobody of this host has the turn, or is about to in this process."""
        with self._mutex:
            if self._is_asking or not self._handed_over.is_set() or not self._files.enter_if_free():
                return
            self._handed_over.clear()
        self._hand_over()

    def tend(self, now_ns: int) -> None:
        """Once in a while, in the background: renew what is in use, let go of what is not."""
        span_ns, idle_ns = self._host.engine.lease_ms * NS_PER_MS, now_ns - self._lessee.used_ns
        hold = self._lessee.read()
        if hold.user != self._host.process or not hold.is_of(self._host.name, now_ns):
            return
        in_turn, soon_s = self._turn_since_ns, span_ns / TENDS_A_LEASE / 1e9
        if in_turn:
            if now_ns - in_turn < TURN_MAX_S * 1e9:
                self.renew(soon_s)
        elif self.wanted or idle_ns > span_ns:
            self._release_if_idle()
        elif idle_ns < span_ns and not self._lessee.turn_is_elsewhere():
            self.renew(soon_s)

    # --- nonces ---------------------------------------------------------------------------------------------------

    def draw(self, wall_ns: int, boot_ns: int) -> int:
        """See ``port.LaneStore``. Outside any turn it waits for the lease; within a turn that lost it, it is Fenced.

        Raises LaneBusy where the lease is not to be had for ``DRAW_WAIT_S``.
        """
        go_on: GoOn | None = None
        while True:
            try:
                return self._files.draw(wall_ns, boot_ns)
            except NotLeased:
                go_on = go_on or self._drawing()
                go_on(lambda: "its lease is over each time")
                self._leased_for_nonce(self._lessee.upcoming(wall_ns), go_on)
                boot_ns = self._host.clock.boot_ns()

    def _leased_for_nonce(self, at_least: int, go_on: GoOn) -> None:
        try:
            self._leased(at_least, go_on)
        except LaneBusy:
            if not self._files.turn_is_held():  # else its holder waits too
                self._lessee.withdraw()
            raise

    def _drawing(self) -> GoOn:
        """To wait with for the lease of a nonce: within a turn only while that is good."""
        began_ns = self._host.clock.boot_ns()

        def go_on(why: Callable[[], str]) -> None:
            if self._lessee.turn_epoch:
                self.check()
            elif self._host.clock.boot_ns() - began_ns >= DRAW_WAIT_S * 1e9:
                raise LaneBusy(f"lane {self.name} was not to be had for {DRAW_WAIT_S:g} s: {why()}. Nothing was issued")

        return go_on

    def must_sync(self, wall_ns: int) -> bool:
        """See ``port.LaneStore``. Also where the engine would have to be asked."""
        return self._lessee.must_ask(wall_ns) or self._files.must_sync(wall_ns)

    def raise_floor(self, floor: int) -> int:
        """See ``port.LaneStore``. The engine hears of it first, so that who comes after a death starts above."""
        if self._lessee.turn_epoch and floor:
            self.check()
        if floor:
            self._leased_for_nonce(floor, self._drawing())
            if self._lessee.turn_epoch:
                self.check()
        return self._files.raise_floor(floor)

    # --- keys and counters ----------------------------------------------------------------------------------------

    def read_key(self, fingerprint: str) -> Mapping[str, object]:
        """See ``port.LaneStore``. A key that was not fenced since an unclean change shows that this is due."""
        state = dict(self._files.read_key(fingerprint))
        if self._lessee.fence_due(state):
            state["fence_due"] = True
        return {name: value for name, value in state.items() if name not in STAMPS}

    def write_key(self, fingerprint: str, state: Mapping[str, object]) -> None:
        """See ``port.LaneStore``. Written through to the engine: it changes only when there was trouble."""
        if self._lessee.turn_epoch:
            self.check()
        try:
            self._lessee.write_key(fingerprint, state)
            if not self.renew():
                raise self._lessee.fenced()
        except Unavailable as error:
            raise NotDurable(f"the key's state stands on this host alone, if at all: {error}") from error

    def view(self, wall_ns: int, *, asking_s: float = 0.0) -> LaneView:
        """See ``port.LaneStore``. The engine is asked who holds the lane."""
        lease = self._viewer.view(self.name, self._lessee.read(), asking_s)
        return replace(self._files.view(wall_ns), lease=lease)

    # --- files ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """See ``port.LaneStore``. The lane is let go first."""
        self.let_go()
        self._files.close()
        self._lessee.close()

    def let_go(self) -> None:
        """Release the lease where this process used the lane last and nobody of the host is in a turn.

        Wait for it no longer either: only at the program's end is anybody waiting then.
        """
        self._handed_over.wait(HANDING_OVER_MAX_S)
        if self._lessee.has_turn and not self._lessee.turn_epoch:
            self._withdraw()
        if self._lessee.read().user == self._host.process:
            self._release_if_idle()

    def after_fork(self) -> None:
        """See ``port.LaneStore``."""
        self._start()
        self._lessee.after_fork()
        self._files.after_fork()


class NobodyWaits(Exception):
    """Whoever waited for the turn had a limit of their own, and it is over."""


def _go_on_while(is_awaited: Callable[[], bool], _: Callable[[], str]) -> None:
    if not is_awaited():
        raise NobodyWaits
