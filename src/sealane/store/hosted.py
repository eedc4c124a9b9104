"""Lanes of many hosts: an engine leases a lane to a host, and the file store orders the processes of that host.

1. Who holds the lane's turn in the folder, and whose host holds its lease, has the turn. A host that is alone on a lane
   asks the engine at its first call, and once in a while in the background.
2. No nonce is drawn, and no private request sent, without a lease that is good by the time since boot, and of the epoch
   in which the turn was taken. Without it the caller hears Fenced, and nothing was sent.
3. No nonce goes above the lease's ceiling; the engine raises it first.
4. A lease is let go by who holds the turn, under the draw lock: so the last nonce that the engine is told is the last
   one there was, and nobody is in the midst of a call. Where the end of a write is not known it is not let go, but runs
   out, and every key is fenced.
5. Keys' states and accounts' counters travel with the lane. Notes of single orders stay: without one, an order is taken
   for a new one, which costs room and nothing else.
6. After an unclean change every key is fenced before its next write; which are still due travels too.
7. An epoch that the engine was asked to take back is not used again, though it may not have heard: it may yet.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import replace

from sealane.core.hold import Hold, ceiling, held
from sealane.core.lease import NS_PER_MS, Grant, Wait
from sealane.errors import Fenced, NotDurable, SealaneError, Unavailable
from sealane.store.engine import Documents
from sealane.store.file import FileLane
from sealane.store.host import Host
from sealane.store.lane_documents import EPOCH, FENCE, LaneDocuments, written_in
from sealane.store.lease_file import LeaseFile
from sealane.store.lease_view import LeaseViewer, holder_document
from sealane.store.port import LaneView

ENGINE_PATIENCE_S = 10.0
"""How long a turn waits for an engine that cannot be reached, before its caller is told so."""
ENGINE_PAUSE_S = 0.25
HANDING_OVER_MAX_S = 30.0
TURN_MAX_S = 300.0
"""A turn held for longer makes no progress: its lease is not renewed."""

logger = logging.getLogger("sealane.store")


class NotLeased(Exception):
    """Inside the draw lock: the host has no lease, or its ceiling is too low for the number."""


class HostedLane:
    """One lane: a FileLane behind a lease."""

    def __init__(self, files: FileLane, lease: LeaseFile, host: Host, unit_ns: int) -> None:
        self.name = files.name
        self._files, self._lease, self._host, self._unit_ns = files, lease, host, unit_ns
        files.nonces.permit = self._permit
        self._documents = LaneDocuments(files, host.clock)
        self.revise_rates = self._documents.revise_rates
        self._viewer = LeaseViewer(host)
        self.reserve = files.reserve
        self.confirm_clock, self.clock_doubted = files.confirm_clock, files.clock_doubted
        self.read_turn, self.write_turn = files.read_turn, files.write_turn
        self.rates, self.note, self.noted, self.last = files.rates, files.note, files.noted, files.last
        self._start()

    def _start(self) -> None:
        self._mutex = threading.Lock()
        self._has_turn = self._is_asking = False
        self._turn_epoch = 0
        self._turn_since_ns = 0
        self._used_ns = 0
        self.wanted = False
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

    # --- the turn -------------------------------------------------------------------------------------------------

    def try_enter(self) -> bool:
        """See ``port.LaneStore``. Never waits for the engine, nor for one who does: it may run on an event loop."""
        if not self._asks() or not (self._has_turn or self._files.try_enter()):
            return False
        self._has_turn = True
        hold = self._lease.read()
        return hold.user == self._host.process and self._began(hold)

    def _asks(self) -> bool:
        """From now until the turn's end the lane is not let go in the background; False while it is just then."""
        with self._mutex:
            self._is_asking = self._handed_over.is_set()
            return self._is_asking

    def wait_enter(self) -> None:
        """See ``port.LaneStore``. Raises Unavailable where the engine cannot be had for ``ENGINE_PATIENCE_S``."""
        while not self._asks():
            if not self._handed_over.wait(HANDING_OVER_MAX_S):
                raise Unavailable(f"lane {self.name} is still being handed over after {HANDING_OVER_MAX_S:.0f} s")
        try:
            if not self._has_turn:
                self._files.wait_enter()
                self._has_turn = True
            while not self._began(self._leased()):
                pass
        except BaseException:
            self._end_turn()
            raise

    def _began(self, hold: Hold) -> bool:
        now_ns = self._host.clock.boot_ns()
        if not hold.is_of(self._host.name, now_ns):
            return False
        self._turn_epoch, self._turn_since_ns, self._used_ns = hold.epoch, now_ns, now_ns
        if hold.user != self._host.process:
            self._host.tend(self)
            with self._lease.locked():
                current = self._lease.read()
                if current.epoch != hold.epoch:
                    return False
                self._lease.write(replace(current, user=self._host.process))
        return True

    def leave(self) -> None:
        """See ``port.LaneStore``. Where another host waits the lane goes there, in the background."""
        if self.wanted and self._turn_epoch:
            self._handed_over.clear()
            try:
                self._hands.submit(self._hand_over)
            except RuntimeError:  # the interpreter ends, and starts no more threads
                self._hand_over()
        else:
            self._end_turn()

    def _end_turn(self) -> None:
        self._has_turn, self._turn_epoch, self._turn_since_ns = False, 0, 0
        self._files.leave()
        self._is_asking = False

    def _hand_over(self) -> None:
        try:
            self.release()
        except SealaneError as error:
            logger.warning("lane %s could not be handed over, and runs out instead: %s", self.name, error)
        finally:
            self._end_turn()
            self._handed_over.set()

    def is_contended(self) -> bool:
        """See ``port.LaneStore``."""
        return self.wanted or self._files.is_contended()

    def check(self) -> None:
        """Turn held, before a private request: raise Fenced unless it may still be sent."""
        hold = self._lease.read()
        if not hold.is_of(self._host.name, self._host.clock.boot_ns()) or hold.epoch != self._turn_epoch:
            raise self._fenced()

    def _fenced(self) -> Fenced:
        return Fenced(
            f"this host's lease of lane {self.name} (epoch {self._turn_epoch}) is over, and nothing is sent "
            "under it; the next call waits until it is this host's turn again"
        )

    # --- nonces ---------------------------------------------------------------------------------------------------

    def draw(self, wall_ns: int, boot_ns: int) -> int:
        """See ``port.LaneStore``. Outside any turn it waits for the lease; within a turn that lost it, it is Fenced."""
        while True:
            try:
                return self._files.draw(wall_ns, boot_ns)
            except NotLeased:
                if self._turn_epoch:
                    self.check()
                self._leased(at_least=max(self._files.last() + 1, wall_ns // self._unit_ns))
                boot_ns = self._host.clock.boot_ns()

    def must_sync(self, wall_ns: int) -> bool:
        """See ``port.LaneStore``. Also where the engine would have to be asked."""
        hold, upcoming = self._lease.read(), max(self._files.last() + 1, wall_ns // self._unit_ns)
        good = upcoming <= hold.ceiling and hold.is_of(self._host.name, self._host.clock.boot_ns())
        return not good or self._files.must_sync(wall_ns)

    def _permit(self, nonce: int, boot_ns: int) -> None:
        hold = self._lease.read()
        lost = self._turn_epoch and hold.epoch != self._turn_epoch
        if lost or not hold.is_of(self._host.name, boot_ns) or nonce > hold.ceiling:
            raise NotLeased

    def raise_floor(self, floor: int) -> int:
        """See ``port.LaneStore``. The engine hears of it first, so that who comes after a death starts above."""
        if self._turn_epoch and floor:
            self.check()
        if floor:
            self._leased(at_least=floor)
            if self._turn_epoch:
                self.check()
        return self._files.raise_floor(floor)

    def take_lease(self) -> None:
        """Have the lease, where it is to be had; a turn or a draw does so by itself."""
        self._leased()

    # --- the lease ------------------------------------------------------------------------------------------------

    def _leased(self, at_least: int = 0) -> Hold:
        """A lease that is good, with a ceiling well above ``at_least``; asks the engine where there is none."""
        with self._lease.locked():
            hold, now_ns = self._lease.read(), self._host.clock.boot_ns()
            if hold.is_of(self._host.name, now_ns) and at_least <= hold.ceiling:
                return hold
            self._host.tend(self)
            self._used_ns = now_ns
            failing_ns = 0  # since when, in a row
            while True:
                try:
                    granted = self._ask(at_least)
                except Unavailable:
                    failing_ns = failing_ns or self._host.clock.boot_ns()
                    if self._host.clock.boot_ns() - failing_ns > ENGINE_PATIENCE_S * 1e9:
                        raise
                    self._host.clock.pause(ENGINE_PAUSE_S)
                    continue
                failing_ns = 0
                if granted is not None:
                    return granted

    def _ask(self, at_least: int) -> Hold | None:
        """Ask once; None where this host has to wait, after a wait."""
        engine, hold, limit = self._host.engine, self._lease.read(), self._ceiling(at_least)
        if hold.epoch and hold.host == self._host.name:
            return self._renewed(hold, limit)
        asked_ns = self._host.clock.boot_ns()
        answer, documents = engine.acquire(self.name, self._host.name, limit)
        if isinstance(answer, Wait):
            self._host.await_turn(self.name, answer.again_ms / 1_000)
            return None
        if answer.epoch == hold.let_go:
            due = hold.fence_epoch if answer.clean else answer.epoch + 1
            self._give_back(replace(hold, fence_epoch=due), self._files.last())
            return None
        self._take_over(hold, answer, documents)
        return self._keep(hold, answer, asked_ns, documents)

    def _ceiling(self, at_least: int) -> int:
        highest = max(self._files.last(), at_least)
        return ceiling(highest, self._host.clock.wall_ns(), self._host.engine.lease_ms, self._unit_ns)

    def _keep(self, before: Hold, grant: Grant, asked_ns: int, documents: Documents | None = None) -> Hold:
        clock, engine = self._host.clock, self._host.engine
        hold = held(
            before,
            grant,
            self._host.name,
            asked_boot_ns=asked_ns,
            wall_ns=clock.wall_ns(),
            lease_ms=engine.lease_ms,
        )
        if documents is not None:
            due = int(json.loads(documents.get(FENCE, "0")))
            hold = replace(hold, fence_epoch=max(due, 0 if grant.clean else grant.epoch))
            self._documents.holder = holder_document(self._host)
        if not before.is_of(self._host.name, clock.boot_ns()):
            hold = replace(hold, user=self._host.process)
        self.wanted = grant.wanted
        self._lease.write(hold)
        return hold

    def _take_over(self, before: Hold, grant: Grant, documents: Documents) -> None:
        """What the last holder left, into this host's files.

        An engine that knows less than they do has lost steps, and maybe holders: this host goes on above what it was
        bound to itself, by a span at which no other started.
        """
        floor = grant.floor
        if not grant.clean and floor < self._files.last():
            floor = before.ceiling + self._host.engine.lease_ms * NS_PER_MS // self._unit_ns
        if floor:
            self._files.raise_floor(floor)
        self._documents.take(documents, grant.epoch)

    def _renewed(self, hold: Hold, limit: int) -> Hold | None:
        """Lease lock held: make it last; None where it is over, which is noted."""
        asked_ns = self._host.clock.boot_ns()
        answer = self._documents.giving(
            hold, lambda documents: self._host.engine.renew(self.name, self._host.name, hold.epoch, limit, documents)
        )
        if isinstance(answer, Grant):
            return self._keep(hold, answer, asked_ns)
        logger.warning("lane %s is %s's now (epoch %d)", self.name, answer.holder or "nobody", answer.epoch)
        self._lease.write(hold.ended())
        return None

    def renew(self) -> bool:
        """In the background: make the lease last; False where it is over."""
        with self._lease.locked():
            hold = self._lease.read()
            good = hold.is_of(self._host.name, self._host.clock.boot_ns())
            return good and self._renewed(hold, self._ceiling(0)) is not None

    def release(self) -> None:
        """Turn held: let the lease go cleanly; nothing happens where it is not held."""
        with self._lease.locked():
            hold = self._lease.read()
            if not hold.is_of(self._host.name, self._host.clock.boot_ns()) or "nonce" in self._files.read_turn():
                return

            def let_go(last: int) -> int:
                self._lease.write(replace(hold.ended(), let_go=hold.epoch))
                return last

            last = self._files.nonces.last_with(let_go)
            self.wanted = False
            self._give_back(self._lease.read(), last)

    def _give_back(self, hold: Hold, last: int) -> None:
        engine, host = self._host.engine, self._host.name
        self._documents.giving(hold, lambda documents: engine.release(self.name, host, hold.let_go, last, documents))

    def _release_if_idle(self) -> None:
        """Let the lease go where nobody of this host has the turn, or is about to in this process."""
        with self._mutex:
            if self._is_asking or not self._handed_over.is_set() or not self._files.enter_if_free():
                return
            self._handed_over.clear()
        self._hand_over()

    def tend(self, now_ns: int) -> None:
        """Once in a while, in the background: renew what is in use, let go of what is not."""
        span_ns = self._host.engine.lease_ms * NS_PER_MS
        hold = self._lease.read()
        if hold.user != self._host.process or not hold.is_of(self._host.name, now_ns):
            return
        in_turn = self._turn_since_ns
        if in_turn:
            if now_ns - in_turn < TURN_MAX_S * 1e9:
                self.renew()
        elif self.wanted or now_ns - self._used_ns > span_ns:
            self._release_if_idle()
        elif now_ns - self._used_ns < span_ns:
            self.renew()

    # --- keys and counters ----------------------------------------------------------------------------------------

    def read_key(self, fingerprint: str) -> Mapping[str, object]:
        """See ``port.LaneStore``. A key that was not fenced since an unclean change shows that this is due."""
        state = dict(self._files.read_key(fingerprint))
        written, hold = written_in(state), self._lease.known if self._turn_epoch else self._lease.read()
        if written < hold.fence_epoch or written > hold.epoch > 0:  # later than now: of an engine that lost its place
            state["fence_due"] = True
        state.pop(EPOCH, None)
        return state

    def write_key(self, fingerprint: str, state: Mapping[str, object]) -> None:
        """See ``port.LaneStore``. Written through to the engine: it changes only when there was trouble."""
        if self._turn_epoch:
            self.check()
        stamped = {**state, EPOCH: self._lease.read().epoch}
        self._files.write_key(fingerprint, stamped)
        self._documents.changed(fingerprint)
        try:
            if not self.renew():
                raise self._fenced()
        except Unavailable as error:
            raise NotDurable(f"the key's state stands on this host alone: {error}") from error

    def view(self, wall_ns: int, *, asking: bool = True) -> LaneView:
        """See ``port.LaneStore``. The engine is asked who holds the lane, unless told otherwise."""
        return replace(self._files.view(wall_ns), lease=self._viewer.view(self.name, self._lease.read(), asking=asking))

    # --- files ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """See ``port.LaneStore``. The lane is let go first."""
        self.let_go()
        self._files.close()
        self._lease.close()

    def let_go(self) -> None:
        """Release the lease where this process used the lane last and nobody of the host is in a turn."""
        self._handed_over.wait(HANDING_OVER_MAX_S)
        if self._lease.read().user == self._host.process:
            self._release_if_idle()

    def after_fork(self) -> None:
        """See ``port.LaneStore``."""
        self._start()
        self._documents.after_fork()
        self._files.after_fork()
        self._lease.after_fork()
