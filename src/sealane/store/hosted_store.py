"""The lanes of many hosts, put together: an engine, a data folder, and what is done in the background."""

from __future__ import annotations

import atexit
import json
import os
import secrets
import weakref
from collections.abc import Mapping
from pathlib import Path

from sealane.core.hold import Hold
from sealane.core.lease import Record
from sealane.store.clock import SYSTEM_CLOCK, WaitingClock
from sealane.store.engine import Documents, Engine
from sealane.store.engine_intents import EngineIntents
from sealane.store.file import FileStore
from sealane.store.host import Host, host_name, lease_name
from sealane.store.hosted import HostedLane
from sealane.store.keeper import Keeper
from sealane.store.lane_documents import FENCE, KEY, RATES, STAMPS, written_in
from sealane.store.lease_file import LeaseFile
from sealane.store.port import LaneContents


class HostedStore:
    """See ``port.Store``. ``files`` is this host's data folder."""

    def __init__(self, engine: Engine, files: FileStore, clock: WaitingClock | None = None) -> None:
        self.identity = f"{engine.identity} on {files.identity}"
        self.engine = engine
        self._files, self._clock = files, clock or SYSTEM_CLOCK
        self._intents = EngineIntents(engine, files.intents(), clock)
        self._parts: tuple[Host, Keeper] | None = None
        _stores.add(self)

    def _made(self) -> tuple[Host, Keeper]:
        """The host and its keeper; nothing is touched on disk before the first lane."""
        if self._parts is None:
            name = host_name(self._files.disk, self._files.folder, self.engine.identity)
            host = Host(name, _token(), self.engine, self._clock)
            keeper = Keeper(host, self._intents)
            host.tend = keeper.keep
            self._parts = host, keeper
            atexit.register(keeper.let_go)
        return self._parts

    def lane(self, name: str, unit_ns: int = 1) -> HostedLane:
        """See ``port.Store``."""
        host, _ = self._made()
        return HostedLane(self._files.lane(name, unit_ns), self._lease_file(name), host, unit_ns)

    def intents(self) -> EngineIntents:
        """See ``port.Store``."""
        return self._intents

    def lanes(self) -> list[str]:
        """See ``port.Store``."""
        return self.engine.lanes()

    def contents(self, name: str) -> LaneContents:
        """See ``port.Store``. Of a lane that this host holds, its files say more than the engine knows yet."""
        shown = self.engine.show(name)
        found, hold = _contents(shown.record, shown.documents), self._hold(name)
        if hold is None:
            return found
        here = self._files.contents(name)
        keys = {key: _key(state, hold.fence_epoch) for key, state in here.keys.items()}
        floor = max(found.floor, here.floor)
        return LaneContents(floor, {**found.keys, **keys}, {**found.rates, **here.rates}, here.turn)

    def _hold(self, name: str) -> Hold | None:
        """This host's lease of a lane, where it has one now; makes no file."""
        if self._files.disk.content(self._lease_path(name), 1) is None:
            return None
        lease = self._lease_file(name)
        try:
            hold = lease.read()
        finally:
            lease.close()
        return hold if hold.is_of(self._made()[0].name, self._clock.boot_ns()) else None

    def _lease_path(self, name: str) -> Path:
        return self._files.folder / lease_name(name, self.engine.identity)

    def _lease_file(self, name: str) -> LeaseFile:
        return LeaseFile(self._files.disk, self._lease_path(name))

    def close(self) -> None:
        """Let go of the engine, and tend nothing any more; the lanes were closed before."""
        parts, self._parts = self._parts, None
        if parts is not None:
            atexit.unregister(parts[1].let_go)
            parts[1].close()
        self._intents.close()
        self.engine.close()

    def after_fork(self) -> None:
        """In a forked child: another process of the same host, with connections of its own."""
        self.engine.after_fork()
        if self._parts is not None:
            host, keeper = self._parts
            host.process = _token()
            keeper.after_fork()


def _contents(record: Record | None, documents: Documents) -> LaneContents:
    """What the engine says. A lease that is not over, or ended uncleanly, may have been used up to its ceiling."""
    known = record or Record("", 0)
    settled = known.clean and not known.host
    fence = json.loads(documents.get(FENCE, "0"))
    keys = {
        name.removeprefix(KEY): _key(json.loads(text), fence if known.clean else known.epoch + 1)
        for name, text in documents.items()
        if name.startswith(KEY)
    }
    rates = {name.removeprefix(RATES): json.loads(text) for name, text in documents.items() if name.startswith(RATES)}
    return LaneContents(known.floor if settled else max(known.floor, known.ceiling), keys, rates, {})


def _key(stored: Mapping[str, object], fence_epoch: int) -> dict[str, object]:
    """A key's state; one that was not fenced since an unclean change has that before it."""
    state = {name: value for name, value in stored.items() if name not in STAMPS}
    return {**state, "fence_due": True} if written_in(stored) < fence_epoch else state


def _token() -> str:
    return secrets.token_hex(6)


_stores: weakref.WeakSet[HostedStore] = weakref.WeakSet()


def _after_fork() -> None:
    for store in tuple(_stores):
        store.after_fork()


os.register_at_fork(after_in_child=_after_fork)
