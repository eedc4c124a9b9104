"""Lanes of many hosts: an engine leases a lane to a host, and the file store orders the processes of that host.

1. Who holds the lane's turn in the folder, and whose host holds its lease, has the turn. A host that is alone on a lane
   asks the engine at its first call, and once in a while in the background.
2. No nonce is drawn, and no private request sent, without a lease that is good by the time since boot, and of the epoch
   in which the turn was taken. Without it the caller hears Fenced, and nothing was sent.
3. No nonce goes above the lease's ceiling; the engine raises it first.
4. A lease is let go by one who holds the turn, or when nobody does, under the draw lock: so the last nonce that the
   engine is told is the last one there was.
5. Keys' states and accounts' counters travel with the lane. Notes of single orders stay: without one, an order is taken
   for a new one, which costs room and nothing else.
6. After an unclean change every key is fenced before its next write; which are still due travels too.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from sealane.core.hold import Hold, ceiling, held
from sealane.core.lease import Grant, Lost, Wait
from sealane.core.travel import taken_over, travelling
from sealane.errors import Fenced, SealaneError, Unavailable
from sealane.store.engine import Documents
from sealane.store.file import FileLane
from sealane.store.floors import GLOBAL_LANE
from sealane.store.host import Host
from sealane.store.lease_file import LeaseFile
from sealane.store.lease_view import HOLDER, LeaseViewer, holder_document
from sealane.store.port import LaneView

ENGINE_PATIENCE_S = 10.0
"""How long a turn waits for an engine that cannot be reached, before its caller is told so."""
ENGINE_PAUSE_S = 0.25
HANDING_OVER_MAX_S = 30.0
TURN_MAX_S = 300.0
"""A turn held for longer makes no progress: its lease is not renewed."""
WRITTEN_SLACK_S = 1.0
KEY, RATES, FENCE, EPOCH = "key ", "rates ", "fence", "epoch"

T = TypeVar("T")
logger = logging.getLogger("sealane.store")


class NotLeased(Exception):
    """Inside the draw lock: the host has no lease, or its ceiling is too low for the number."""


class HostedLane:
    """One lane: a FileLane behind a lease."""

    def __init__(self, files: FileLane, lease: LeaseFile, host: Host, unit_ns: int) -> None:
        self.name = files.name
        self._files, self._lease, self._host, self._unit_ns = files, lease, host, unit_ns
        files.nonces.permit = self._permit
        self._changed: dict[str, str] = {}
        self._given_ns = 0
        self._mine: set[str] = set()
        self._viewer = LeaseViewer(host)
        self.reserve, self.must_sync = files.reserve, files.must_sync
        self.confirm_clock, self.clock_doubted = files.confirm_clock, files.clock_doubted
        self.read_turn, self.write_turn = files.read_turn, files.write_turn
        self.rates, self.note, self.noted, self.last = files.rates, files.note, files.noted, files.last
        self._start()

    def _start(self) -> None:
        self._mutex = threading.Lock()
        self._has_turn = False
        self._turn_epoch = 0
        self._turn_since_ns = 0
        self._used_ns = 0
        self.wanted = False
        self._handed_over = threading.Event()
        self._handed_over.set()
        self._hands = ThreadPoolExecutor(1, thread_name_prefix="sealane-hand-over")

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
        """See ``port.LaneStore``. Never asks the engine: it may be called on an event loop."""
        if not self._handed_over.is_set() or not (self._has_turn or self._files.try_enter()):
            return False
        self._has_turn = True
        return self._began(self._lease.read())

    def wait_enter(self) -> None:
        """See ``port.LaneStore``. Raises Unavailable where the engine cannot be had for ``ENGINE_PATIENCE_S``."""
        if not self._handed_over.wait(HANDING_OVER_MAX_S):
            raise Unavailable(f"lane {self.name} is still being handed over after {HANDING_OVER_MAX_S:.0f} s")
        if not self._has_turn:
            self._files.wait_enter()
            self._has_turn = True
        try:
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
            self._hands.submit(self._hand_over)
        else:
            self._end_turn()

    def _end_turn(self) -> None:
        self._has_turn, self._turn_epoch, self._turn_since_ns = False, 0, 0
        self._files.leave()

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
            f"this host's lease of lane {self.name} (epoch {self._turn_epoch}) is over; nothing was sent. The next "
            "call waits until it is this host's turn again"
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

    def _permit(self, nonce: int, boot_ns: int) -> None:
        hold = self._lease.read()
        lost = self._turn_epoch and hold.epoch != self._turn_epoch
        if lost or not hold.is_of(self._host.name, boot_ns) or nonce > hold.ceiling:
            raise NotLeased

    def raise_floor(self, floor: int) -> int:
        """See ``port.LaneStore``. The engine hears of it first, so that who comes after a death starts above."""
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
            started_ns = now_ns
            while True:
                try:
                    granted = self._ask(at_least)
                except Unavailable:
                    if self._host.clock.boot_ns() - started_ns > ENGINE_PATIENCE_S * 1e9:
                        raise
                    time.sleep(ENGINE_PAUSE_S)
                    continue
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
            engine.await_turn(self.name, self._host.name, answer.again_ms / 1_000)
            return None
        self._take_over(answer, documents)
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
            if hold.fence_epoch != due:
                self._changed[FENCE] = json.dumps(hold.fence_epoch)
            self._changed[HOLDER] = holder_document(self._host)
        self.wanted = grant.wanted
        self._lease.write(replace(hold, user=self._host.process))
        return hold

    def _take_over(self, grant: Grant, documents: Documents) -> None:
        """What the last holder left, into this host's files."""
        if grant.floor:
            self._files.raise_floor(grant.floor)
        for name, text in documents.items():
            if name.startswith(KEY):
                self._files.write_key(name.removeprefix(KEY), json.loads(text))
            elif name.startswith(RATES):
                self._merge_rates(name.removeprefix(RATES), json.loads(text))

    def _merge_rates(self, account: str, theirs: Mapping[str, object]) -> None:
        self._files.revise_rates(account, lambda ours: (taken_over(theirs, ours), None))

    def _renewed(self, hold: Hold, limit: int) -> Hold | None:
        """Lease lock held: make it last; None where it is over, which is noted."""
        asked_ns = self._host.clock.boot_ns()
        answer = self._giving(
            lambda documents: self._host.engine.renew(self.name, self._host.name, hold.epoch, limit, documents)
        )
        if isinstance(answer, Grant):
            return self._keep(hold, answer, asked_ns)
        logger.warning("lane %s is %s's now (epoch %d)", self.name, answer.holder or "nobody", answer.epoch)
        self._lease.write(hold.ended())
        return None

    def _giving(self, step: Callable[[Documents], T]) -> T:
        """Make a step with the documents that the engine does not have yet; they are forgotten once it has them."""
        since_ns, changed = self._host.clock.wall_ns(), dict(self._changed)
        rates = {RATES + name: json.dumps(travelling(self._files.rates(name))) for name in self._accounts(since_ns)}
        answer = step(changed | rates)
        if not isinstance(answer, Lost):
            self._given_ns = since_ns
            self._changed = {name: text for name, text in self._changed.items() if changed.get(name) != text}
        return answer

    def _accounts(self, wall_ns: int) -> Iterable[str]:
        """Whose counters may have changed: on the lane of all accounts, any that this host's processes wrote to."""
        if self.name != GLOBAL_LANE:
            return tuple(self._mine)
        return self._files.accounts(wall_ns, (wall_ns - self._given_ns) / 1e9 + WRITTEN_SLACK_S)

    def revise_rates(self, account: str, change: Callable[[Mapping[str, object]], tuple[Mapping[str, object], T]]) -> T:
        """See ``port.LaneStore``. What changed travels with the next renewal."""
        self._mine.add(account)
        return self._files.revise_rates(account, change)

    def renew(self) -> bool:
        """In the background: make the lease last; False where it is over."""
        with self._lease.locked():
            hold = self._lease.read()
            good = hold.is_of(self._host.name, self._host.clock.boot_ns())
            return good and self._renewed(hold, self._ceiling(0)) is not None

    def release(self) -> None:
        """Let the lane go cleanly; nothing happens where it is not held."""
        with self._lease.locked():
            hold = self._lease.read()
            if not hold.is_of(self._host.name, self._host.clock.boot_ns()):
                return

            def let_go(last: int) -> int:
                self._lease.write(hold.ended())
                return last

            last = self._files.nonces.last_with(let_go)
            self.wanted = False
            engine, host = self._host.engine, self._host.name
            self._giving(lambda documents: engine.release(self.name, host, hold.epoch, last, documents))

    def tend(self, now_ns: int) -> None:
        """Once in a while, in the background: renew what is in use, let go of what is not."""
        span_ns = self._host.engine.lease_ms * 1_000_000
        hold = self._lease.read()
        if hold.user != self._host.process or not hold.is_of(self._host.name, now_ns):
            return
        in_turn = self._turn_since_ns
        if in_turn:
            if now_ns - in_turn < TURN_MAX_S * 1e9:
                self.renew()
        elif self.wanted or now_ns - self._used_ns > span_ns:
            self.release()
        elif now_ns - self._used_ns < span_ns:
            self.renew()

    # --- keys and counters ----------------------------------------------------------------------------------------

    def read_key(self, fingerprint: str) -> Mapping[str, object]:
        """See ``port.LaneStore``. A key that was not fenced since an unclean change shows that this is due."""
        state = dict(self._files.read_key(fingerprint))
        fenced = state.pop(EPOCH, 0)
        if isinstance(fenced, int) and fenced < self._lease.read().fence_epoch:
            state["fence_due"] = True
        return state

    def write_key(self, fingerprint: str, state: Mapping[str, object]) -> None:
        """See ``port.LaneStore``. Written through to the engine: it changes only when there was trouble."""
        if self._turn_epoch:
            self.check()
        stamped = {**state, EPOCH: self._lease.read().epoch}
        self._files.write_key(fingerprint, stamped)
        self._changed[KEY + fingerprint] = json.dumps(stamped)
        if not self.renew():
            raise self._fenced()

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
        try:
            if not self._turn_since_ns and self._lease.read().user == self._host.process:
                self.release()
        except SealaneError as error:
            logger.warning("lane %s could not be let go, and runs out instead: %s", self.name, error)

    def after_fork(self) -> None:
        """See ``port.LaneStore``."""
        self._start()
        self._files.after_fork()
        self._lease.after_fork()
