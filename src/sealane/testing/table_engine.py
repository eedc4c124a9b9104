"""An engine in memory: ``core.lease`` with a clock that obeys. What the contract and simulations of leases run on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sealane.core import lease
from sealane.core.lease import Grant, Lost, Record, Wait
from sealane.store.engine import LEASE_MS, Documents, Shown
from sealane.store.intents import SETTLED_KEPT, Intents, intent_in

NS_PER_MS = 1_000_000


@dataclass
class _Lane:
    record: Record | None = None
    documents: dict[str, str] = field(default_factory=dict)


class TableEngine:
    """Lanes, intents and processes in one process's memory; ``now_ms`` is its clock, ``incarnation`` its life."""

    def __init__(self, now_ms: Callable[[], int], *, lease_ms: int = LEASE_MS, name: str = "table") -> None:
        self.identity = name
        self.lease_ms = lease_ms
        self.incarnation = "1"
        self.now_ms = now_ms
        self._lanes: dict[str, _Lane] = {}
        self._listeners: list[tuple[str, Callable[[str], None]]] = []
        self._woken: set[tuple[str, str]] = set()
        self._intents = Intents()
        self._beats: dict[str, int] = {}
        self._changed = threading.Condition()

    # --- lanes ----------------------------------------------------------------------------------------------------

    def acquire(self, lane: str, host: str, ceiling: int) -> tuple[Grant | Wait, Documents]:
        """See ``Engine``."""
        with self._changed:
            known = self._lanes.setdefault(lane, _Lane())
            before = known.record
            known.record, answer = lease.acquire(before, self._moment(), host, ceiling)
            if isinstance(answer, Grant):
                return answer, dict(known.documents)
            newcomer = before is None or host not in {waiter.host for waiter in before.waiters}
            holder = known.record.host
        if newcomer and holder:
            self._tell(holder, lane)
        return answer, {}

    def renew(self, lane: str, host: str, epoch: int, ceiling: int, documents: Documents) -> Grant | Lost:
        """See ``Engine``."""
        with self._changed:
            known = self._lanes.setdefault(lane, _Lane())
            known.record, answer = lease.renew(known.record, self._moment(), host, epoch, ceiling)
            if isinstance(answer, Grant):
                known.documents.update(documents)
            return answer

    def release(self, lane: str, host: str, epoch: int, last: int, documents: Documents) -> str | Lost:
        """See ``Engine``."""
        with self._changed:
            known = self._lanes.setdefault(lane, _Lane())
            known.record, answer = lease.release(known.record, self._moment(), host, epoch, last)
            if isinstance(answer, str):
                known.documents.update(documents)
                self._wake(lane, answer)
            return answer

    def withdraw(self, lane: str, host: str) -> None:
        """See ``Engine``."""
        with self._changed:
            known = self._lanes.setdefault(lane, _Lane())
            known.record, woken = lease.withdraw(known.record, self._moment(), host)
            self._wake(lane, woken)

    def await_turn(self, lane: str, host: str, limit_s: float) -> None:
        """See ``Engine``."""
        with self._changed:
            self._changed.wait_for(lambda: (lane, host) in self._woken, limit_s)
            self._woken.discard((lane, host))

    def listen(self, host: str, wanted: Callable[[str], None]) -> Callable[[], None]:
        """See ``Engine``."""
        listener = host, wanted
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def show(self, lane: str) -> Shown:
        """See ``Engine``."""
        with self._changed:
            known = self._lanes.get(lane, _Lane())
            return Shown(known.record, self.now_ms(), dict(known.documents))

    def lanes(self) -> list[str]:
        """See ``Engine``."""
        with self._changed:
            return sorted(name for name, known in self._lanes.items() if known.record is not None)

    def _moment(self) -> lease.Engine:
        return lease.Engine(self.incarnation, self.now_ms(), self.lease_ms)

    def _wake(self, lane: str, host: str) -> None:
        if host:
            self._woken.add((lane, host))
            self._changed.notify_all()

    def _tell(self, holder: str, lane: str) -> None:
        for host, wanted in tuple(self._listeners):
            if host == holder:
                wanted(lane)

    # --- intents and processes ------------------------------------------------------------------------------------

    def write_intent(self, intent_id: str, others: tuple[str, ...], text: str, *, settled: bool, sync: bool) -> None:
        """See ``Engine``."""
        intent = intent_in(f'["{intent_id}",{text}]'.encode())
        if intent is None:
            raise ValueError(f"{text[:40]} is no document")
        with self._changed:
            self._intents.note(replace(intent, settled=settled, others=others))
            if len(self._intents) > 2 * SETTLED_KEPT + self._intents.unsettled_count:
                self._intents = self._intents.kept(SETTLED_KEPT)

    def read_intent(self, intent_id: str) -> str | None:
        """See ``Engine``."""
        with self._changed:
            found = self._intents.find(intent_id)
            return found.text if found else None

    def unsettled_intents(self) -> list[tuple[str, str]]:
        """See ``Engine``."""
        with self._changed:
            return [(intent.intent_id, intent.text) for intent in self._intents if not intent.settled]

    def recent_intents(self, limit: int) -> list[tuple[str, str]]:
        """See ``Engine``."""
        with self._changed:
            newest = [(intent.intent_id, intent.text) for intent in self._intents][::-1]
            return newest[: max(0, limit)]

    def beat(self, owner: str, span_ms: int) -> None:
        """See ``Engine``."""
        with self._changed:
            self._beats[owner] = self.now_ms() + span_ms

    def lives(self, owner: str) -> bool:
        """See ``Engine``."""
        with self._changed:
            return self._beats.get(owner, 0) > self.now_ms()

    # --- itself ---------------------------------------------------------------------------------------------------

    def restart(self, *, losing_all: bool = False, back_to: dict[str, Record | None] | None = None) -> None:
        """A new incarnation: with everything, with nothing, or with lanes' records as they once were."""
        with self._changed:
            self.incarnation += "+"
            if losing_all:
                self._lanes.clear()
            for lane, record in (back_to or {}).items():
                self._lanes.setdefault(lane, _Lane()).record = record

    def has_known(self, lane: str) -> None:
        """From now on the lane is one that was let go cleanly, long ago and before any nonce."""
        with self._changed:
            self._lanes.setdefault(lane, _Lane()).record = Record(self.incarnation, 0, clean=True)

    def weakness(self) -> str:
        """See ``Engine``."""
        return "it is in one process's memory: nothing outlives that process"

    def close(self) -> None:
        """See ``Engine``."""

    def after_fork(self) -> None:
        """See ``Engine``."""
        self._changed = threading.Condition()
