"""This host's side of one lane's lease: it is asked for, kept, and let go of.

1. A lease is asked for under the lease file's lock, by one thread of one process of the host; what comes of it is
   written there, for all of them.
2. No nonce goes above the lease's ceiling; the engine raises it first.
3. A lease is let go of by who holds the turn, under the draw lock: so the last nonce that the engine is told is the
   last one there was, and nobody is in the midst of a call. Where the end of a write is not known it is not let go of,
   but runs out, and every key is fenced.
4. An epoch that the engine was asked to take back is not used again, though it may not have heard: it may yet.
5. While a process has the turn, it alone makes the lease last: one that was stopped in its turn loses it, whatever
   its siblings draw outside any. They may have the ceiling raised, which keeps the lane for one lease more at most.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from sealane.core.hold import Hold, ceiling, held
from sealane.core.lease import NS_PER_MS, Grant, Lost, Wait
from sealane.errors import Fenced, Unavailable
from sealane.store.engine import Documents
from sealane.store.file import FileLane
from sealane.store.host import Host
from sealane.store.lane_documents import FENCE, LaneDocuments, written_in
from sealane.store.lease_file import LeaseFile
from sealane.store.lease_view import holder_document
from sealane.store.lock_holders import told_remedy

ENGINE_PATIENCE_S = 10.0
"""How long a turn waits for an engine that cannot be reached, before its caller is told so."""
ENGINE_PAUSE_S = 0.25
LOCK_PAUSE_S = 0.005
"""Between two looks at what another process of the host does."""
LOCK_LIMIT_S = 10.0
"""How long who has the turn waits for one who asks for the lease outside any."""

GoOn = Callable[[Callable[[], str]], None]
"""Told what is waited for; it raises where that has been long enough."""

logger = logging.getLogger("sealane.store")


class NotLeased(Exception):
    """Inside the draw lock: the host has no lease, or its ceiling is too low for the number."""


class Lessee:
    """See the head of this file.

    Attributes:
        has_turn: this process has the folder's turn.
        turn_epoch: in which this process took the turn that it has, 0 outside any.
        wanted: another host waits for the lane.
        used_ns: when this process last asked for the lease, or began a turn, by the time since boot.
    """

    def __init__(self, files: FileLane, lease: LeaseFile, host: Host, unit_ns: int) -> None:
        self.name = files.name
        self._files, self._file, self._host, self._unit_ns = files, lease, host, unit_ns
        files.nonces.permit = self._permit
        self._documents = LaneDocuments(files, host)
        self.revise_rates = self._documents.revise_rates
        self.read, self.close = lease.read, lease.close
        self._start()

    def _start(self) -> None:
        self.wanted = self.has_turn = False
        self.turn_epoch = self.used_ns = 0

    def after_fork(self) -> None:
        """In a forked child: the lease is its host's too, the turn is the parent's."""
        self._start()
        self._documents.after_fork()
        self._file.after_fork()

    def is_good(self, hold: Hold) -> bool:
        """Whether this host may send under it, now."""
        return hold.is_of(self._host.name, self._host.clock.boot_ns())

    def begins_turn(self, hold: Hold) -> bool:
        """The turn is this process's from now on, under this lease; False where it is over."""
        now_ns = self._host.clock.boot_ns()
        if not hold.is_of(self._host.name, now_ns):
            return False
        if hold.user != self._host.process:
            with self._file.locked(self._within(LOCK_LIMIT_S)):
                current = self._file.read()
                if current.epoch != hold.epoch:
                    return False
                self._file.write(replace(current, user=self._host.process))
        self.turn_epoch, self.used_ns = hold.epoch, now_ns
        return True

    def check(self) -> None:
        """Turn held: raise Fenced unless the lease under which it was taken is good."""
        hold = self._file.read()
        if not self.is_good(hold) or hold.epoch != self.turn_epoch:
            raise self.fenced()

    def fenced(self) -> Fenced:
        """The error for a turn whose lease is over."""
        return Fenced(
            f"this host's lease of lane {self.name} (epoch {self.turn_epoch}) is over, and nothing is sent "
            "under it; the next call waits until it is this host's turn again"
        )

    def upcoming(self, wall_ns: int) -> int:
        """The number that a draw would give now."""
        return max(self._files.last() + 1, wall_ns // self._unit_ns)

    def must_ask(self, wall_ns: int) -> bool:
        """Whether a draw would have to ask the engine first."""
        hold = self._file.read()
        return self.upcoming(wall_ns) > hold.ceiling or not self.is_good(hold)

    def _permit(self, nonce: int, boot_ns: int) -> None:
        hold = self._file.read()
        lost = self.turn_epoch and hold.epoch != self.turn_epoch
        if lost or not hold.is_of(self._host.name, boot_ns) or nonce > hold.ceiling:
            raise NotLeased

    def fence_due(self, state: Mapping[str, object]) -> bool:
        """Whether a key in this state was not fenced since an unclean change."""
        written, hold = written_in(state), self._file.known if self.turn_epoch else self._file.read()
        # later than now: of an engine that lost its place
        return written < hold.fence_epoch or written > hold.epoch > 0

    def write_key(self, fingerprint: str, state: Mapping[str, object]) -> None:
        """Write a key's state here; the engine is told of it at the next renewal, whichever process makes it."""
        with self._file.locked(self._within(LOCK_LIMIT_S)):
            hold = self._file.read()
            if (marked := hold.untold_by(self._host.process)) != hold:
                self._file.write(marked)
            self._documents.write_key(fingerprint, state, hold.epoch)

    # --- asking ---------------------------------------------------------------------------------------------------

    def leased(self, at_least: int, go_on: GoOn) -> Hold:
        """A lease that is good, with a ceiling not below ``at_least``; the engine is asked where there is none.

        ``go_on`` is told time and again what is waited for; it raises where that has been long enough.
        """
        while True:
            with self._file.locked(self._pausing(go_on, self._asked_elsewhere)):
                hold = self._had(at_least, go_on)
            if hold is not None:
                return hold
            self._pausing(go_on, self._kept_elsewhere)()

    def _asked_elsewhere(self) -> str:
        return f"another process of this host asks for it. {told_remedy(self._file.path)}"

    def _kept_elsewhere(self) -> str:
        return f"a process of this host keeps its turn, and goes on no more. {told_remedy(self._files.turn_path)}"

    def _pausing(self, go_on: GoOn, why: Callable[[], str]) -> Callable[[], None]:
        def wait() -> None:
            go_on(why)
            self._host.clock.pause(LOCK_PAUSE_S)

        return wait

    def _within(self, limit_s: float) -> Callable[[], None]:
        """To wait with for a lock that others have while they ask."""
        until_ns = self._host.clock.boot_ns() + limit_s * 1e9

        def go_on(why: Callable[[], str]) -> None:
            if self._host.clock.boot_ns() >= until_ns:
                raise Unavailable(f"lane {self.name} was not to be had for {limit_s:g} s: {why()}")

        return self._pausing(go_on, self._asked_elsewhere)

    def turn_is_elsewhere(self) -> bool:
        """Whether another process of this host has the turn."""
        return not self.has_turn and self._files.turn_is_held()

    def _had(self, at_least: int, go_on: GoOn) -> Hold | None:
        """Lease lock held: the lease; None where only the process that has the turn may ask for it."""
        failing_ns = 0  # since when, in a row
        waits: Wait | None = None
        while True:
            hold = self._file.read()
            if self.is_good(hold):
                if at_least <= hold.ceiling:
                    return hold
            elif self.turn_is_elsewhere():
                return None
            go_on(partial(_told, waits))
            if self._host.ends:
                raise Unavailable(f"lane {self.name} is not to be had any more: this program ends")
            self.used_ns = self._host.clock.boot_ns()
            try:
                answer = self._ask(at_least)
            except Unavailable:
                failing_ns = failing_ns or self._host.clock.boot_ns()
                if self._host.clock.boot_ns() - failing_ns > ENGINE_PATIENCE_S * 1e9:
                    raise
                self._host.clock.pause(ENGINE_PAUSE_S)
                continue
            failing_ns = 0
            if isinstance(answer, Hold):
                return answer
            waits = answer

    def _ask(self, at_least: int) -> Hold | Wait | None:
        """Ask once; no Hold where this host has to ask again: at once, or after a wait, which was made."""
        engine, hold, limit = self._host.engine, self._file.read(), self._ceiling(at_least)
        if hold.epoch and hold.host == self._host.name:
            return self._renewed(hold, limit)
        asked_ns = self._host.clock.boot_ns()
        answer, documents = engine.acquire(self.name, self._host.name, limit)
        if isinstance(answer, Wait):
            self._host.await_turn(self.name, answer.again_ms / 1_000)
            return answer
        if answer.epoch == hold.let_go:
            due = hold.fence_epoch if answer.clean else answer.epoch + 1
            self._give_back(replace(hold, fence_epoch=due), self._files.last())
            return None
        self._take_over(hold, answer, documents)
        return self._keep(hold, answer, asked_ns, documents)

    def _ceiling(self, at_least: int) -> int:
        highest = max(self._files.last(), at_least)
        return ceiling(highest, self._host.clock.wall_ns(), self._host.engine.lease_ms, self._unit_ns)

    def _keep(
        self, before: Hold, grant: Grant, asked_ns: int, documents: Documents | None = None, *, lasting: bool = True
    ) -> Hold:
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
        if not lasting:
            hold = replace(hold, ends_boot_ns=before.ends_boot_ns)
        if not before.is_of(self._host.name, clock.boot_ns()):
            hold = replace(hold, user=self._host.process)
        self.wanted = grant.wanted
        self._file.write(hold)
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
            return self._keep(replace(hold, untold=""), answer, asked_ns, lasting=not self.turn_is_elsewhere())
        logger.warning("lane %s is %s's now (epoch %d)", self.name, answer.holder or "nobody", answer.epoch)
        self._file.write(hold.ended())
        return None

    def renew(self, limit_s: float = LOCK_LIMIT_S) -> bool:
        """Make the lease last, unless another process has the turn; False where it is over.

        Raises Unavailable where the engine cannot be had, or another process asks for the lease for ``limit_s``.
        """
        with self._file.locked(self._within(limit_s)):
            hold = self._file.read()
            good = hold.is_of(self._host.name, self._host.clock.boot_ns())
            return good and self._renewed(hold, self._ceiling(0)) is not None

    def release(self) -> None:
        """Turn held: let the lease go cleanly; nothing happens where it is not held."""
        with self._file.locked(self._within(LOCK_LIMIT_S)):
            hold = self._file.read()
            if not hold.is_of(self._host.name, self._host.clock.boot_ns()) or "nonce" in self._files.read_turn():
                return

            def let_go(last: int) -> int:
                self._file.write(replace(hold.ended(), let_go=hold.epoch))
                return last

            last = self._files.nonces.last_with(let_go)
            self.wanted = False
            self._give_back(self._file.read(), last)

    def withdraw(self) -> None:
        """Nobody of this host waits any more: the engine keeps the lane for the next. Lost, it only costs time."""
        with suppress(Unavailable):
            self._host.engine.withdraw(self.name, self._host.name)

    def _give_back(self, hold: Hold, last: int) -> None:
        engine, host = self._host.engine, self._host.name
        answer = self._documents.giving(
            hold, lambda documents: engine.release(self.name, host, hold.let_go, last, documents)
        )
        if hold.untold and not isinstance(answer, Lost):
            self._file.write(replace(self._file.read(), untold=""))


def _told(waits: Wait | None) -> str:
    return f"host {waits.holder} has it" if waits and waits.holder else "the engine has not granted it yet"
