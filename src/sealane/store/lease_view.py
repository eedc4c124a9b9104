"""Who drives a leased lane, for people: asked of the engine within a limit, and never an error.

A host's name is a hash. So the holder stores its machine's name among the lane's documents, under ``HOLDER``, with its
first renewal.
"""

from __future__ import annotations

import json
import platform
import threading
from concurrent.futures import Future

from sealane.core.hold import Hold
from sealane.core.lease import NS_PER_MS, Record
from sealane.errors import SealaneError, Unavailable
from sealane.store.engine import Documents, Shown
from sealane.store.host import Host
from sealane.store.lane_documents import HOLDER
from sealane.store.port import LeaseView

SILENT_NS = 2_000_000_000
"""So long after it did not answer it is not asked again: what it said then is told at once."""
NOT_ASKED = "not asked"


def holder_document(host: Host) -> str:
    """Which machine the host is on, as JSON."""
    return json.dumps({"host": host.name, "hostname": platform.node()})


class LeaseViewer:
    """Views of one lane for one process; safe from any thread."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._failed: tuple[int, str] | None = None
        self._misses = 0
        self._reason = ""

    def view(self, lane: str, hold: Hold, asking_s: float) -> LeaseView:
        """What the engine says within ``asking_s``; or this host's own record, and why there is no more."""
        if not asking_s:
            return self._own(hold, NOT_ASKED)
        now_ns = self._host.clock.boot_ns()
        if self._failed is not None and now_ns - self._failed[0] < SILENT_NS:
            return self._own(hold, self._failed[1], self._misses)
        try:
            shown = self._asked(lane, asking_s)
        except SealaneError as error:
            self._failed, self._misses = (self._host.clock.boot_ns(), str(error)), self._misses + 1
            return self._own(hold, str(error), self._misses)
        self._failed, self._misses = None, 0
        return self._told(hold, shown)

    def _own(self, hold: Hold, error: str, misses: int = 0) -> LeaseView:
        host, now_ns = self._host, self._host.clock.boot_ns()
        blank = LeaseView(host.engine.identity, host.name, platform.node(), error=error, misses=misses)
        if not hold.is_of(host.name, now_ns):
            return blank
        return LeaseView(
            engine=blank.engine,
            host=host.name,
            hostname=blank.hostname,
            holder=host.name,
            holder_hostname=blank.hostname,
            is_ours=True,
            epoch=hold.epoch,
            since_ns=hold.since_ns,
            expires_ns=host.clock.wall_ns() + hold.ends_boot_ns - now_ns,
            error=error,
            misses=misses,
        )

    def _asked(self, lane: str, limit_s: float) -> Shown:
        answer: Future[Shown] = Future()

        def ask() -> None:
            try:
                shown = self._host.engine.show(lane)
                self._reason = ""
                answer.set_result(shown)
            except BaseException as error:
                self._reason = str(error) if isinstance(error, SealaneError) else ""
                answer.set_exception(error)

        threading.Thread(target=ask, name="sealane-lease-view", daemon=True).start()
        try:
            return answer.result(limit_s)
        except TimeoutError:
            before = f"; what it said before: {self._reason}" if self._reason else ""
            raise Unavailable(f"{self._host.engine.identity} did not answer within {limit_s:g} s{before}") from None

    def _told(self, hold: Hold, shown: Shown) -> LeaseView:
        host, known, now_ms, documents = self._host, shown.record or Record("", 0), shown.now_ms, shown.documents
        holder = known.host if known.expires_ms > now_ms else ""
        return LeaseView(
            engine=host.engine.identity,
            host=host.name,
            hostname=platform.node(),
            holder=holder,
            holder_hostname=platform.node() if holder == host.name else _machine(holder, documents),
            is_ours=hold.is_of(host.name, host.clock.boot_ns()),
            epoch=known.epoch,
            since_ns=known.since_ms * NS_PER_MS if holder else 0,
            expires_ns=known.expires_ms * NS_PER_MS if holder else 0,
            floor=known.floor,
            waiters=tuple(waiter.host for waiter in known.waiters if waiter.until_ms > now_ms),
            quiet=known.quiet_until_ms > now_ms,
        )


def _machine(holder: str, documents: Documents) -> str:
    """The holder's machine, "" where it did not say so yet."""
    try:
        told = json.loads(documents.get(HOLDER, "{}"))
        return str(told["hostname"]) if holder and told.get("host") == holder else ""
    except (ValueError, KeyError, AttributeError):
        return ""
