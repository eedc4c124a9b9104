"""This host's side of one lane's lease: it is asked for, kept, and let go of.

1. A lease is asked for under the lease file's lock, by one thread of one process of the host; what comes of it is
   written there, for all of them.
2. No nonce goes above the lease's ceiling; the engine raises it first.
3. A lease is let go of by who holds the turn, under the draw lock: so the last nonce that the engine is told is the
   last one there was, and nobody is in the midst of a call. Where the end of a write is not known it is not let go of,
   but runs out, and every key is fenced.
4. An epoch that the engine was asked to take back is not used again, though it may not have heard: it may yet.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace

from sealane.core.hold import Hold, ceiling, held
from sealane.core.lease import NS_PER_MS, Grant, Wait
from sealane.errors import Fenced, Unavailable
from sealane.store.engine import Documents
from sealane.store.file import FileLane
from sealane.store.host import Host
from sealane.store.lane_documents import EPOCH, FENCE, LaneDocuments, written_in
from sealane.store.lease_file import LeaseFile
from sealane.store.lease_view import holder_document

ENGINE_PATIENCE_S = 10.0
"""How long a turn waits for an engine that cannot be reached, before its caller is told so."""
ENGINE_PAUSE_S = 0.25

logger = logging.getLogger("sealane.store")


class NotLeased(Exception):
    """Inside the draw lock: the host has no lease, or its ceiling is too low for the number."""


class Lessee:
    """See the head of this file.

    Attributes:
        turn_epoch: in which this process took the turn that it has, 0 outside any.
        wanted: another host waits for the lane.
        used_ns: when this process last asked for the lease, or began a turn, by the time since boot.
    """

    def __init__(self, files: FileLane, lease: LeaseFile, host: Host, unit_ns: int) -> None:
        self.name = files.name
        self._files, self._file, self._host, self._unit_ns = files, lease, host, unit_ns
        files.nonces.permit = self._permit
        self._documents = LaneDocuments(files, host.clock)
        self.revise_rates, self.changed = self._documents.revise_rates, self._documents.changed
        self.read, self.close = lease.read, lease.close
        self._start()

    def _start(self) -> None:
        self.wanted = False
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
        self.turn_epoch = hold.epoch
        self.used_ns = now_ns
        if hold.user != self._host.process:
            with self._file.locked():
                current = self._file.read()
                if current.epoch != hold.epoch:
                    return False
                self._file.write(replace(current, user=self._host.process))
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

    def stamped(self, state: Mapping[str, object]) -> dict[str, object]:
        """A key's state, with the epoch in which it is written."""
        return {**state, EPOCH: self._file.read().epoch}

    # --- asking ---------------------------------------------------------------------------------------------------

    def leased(self, at_least: int = 0) -> Hold:
        """A lease that is good, with a ceiling well above ``at_least``; asks the engine where there is none."""
        with self._file.locked():
            hold, now_ns = self._file.read(), self._host.clock.boot_ns()
            if hold.is_of(self._host.name, now_ns) and at_least <= hold.ceiling:
                return hold
            self.used_ns = now_ns
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
        engine, hold, limit = self._host.engine, self._file.read(), self._ceiling(at_least)
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
            return self._keep(hold, answer, asked_ns)
        logger.warning("lane %s is %s's now (epoch %d)", self.name, answer.holder or "nobody", answer.epoch)
        self._file.write(hold.ended())
        return None

    def renew(self) -> bool:
        """In the background: make the lease last; False where it is over."""
        with self._file.locked():
            hold = self._file.read()
            good = hold.is_of(self._host.name, self._host.clock.boot_ns())
            return good and self._renewed(hold, self._ceiling(0)) is not None

    def release(self) -> None:
        """Turn held: let the lease go cleanly; nothing happens where it is not held."""
        with self._file.locked():
            hold = self._file.read()
            if not hold.is_of(self._host.name, self._host.clock.boot_ns()) or "nonce" in self._files.read_turn():
                return

            def let_go(last: int) -> int:
                self._file.write(replace(hold.ended(), let_go=hold.epoch))
                return last

            last = self._files.nonces.last_with(let_go)
            self.wanted = False
            self._give_back(self._file.read(), last)

    def _give_back(self, hold: Hold, last: int) -> None:
        engine, host = self._host.engine, self._host.name
        self._documents.giving(hold, lambda documents: engine.release(self.name, host, hold.let_go, last, documents))
