"""The lanes of many hosts, put together: an engine, a data folder, and what is done in the background."""

from __future__ import annotations

import atexit
import os
import secrets
import weakref

from sealane.store.engine import Engine
from sealane.store.engine_intents import EngineIntents
from sealane.store.file import FileStore
from sealane.store.host import Clock, Host, HostClock, host_name
from sealane.store.hosted import HostedLane
from sealane.store.keeper import Keeper
from sealane.store.lease_file import LeaseFile


class HostedStore:
    """See ``port.Store``. ``files`` is this host's data folder."""

    def __init__(self, engine: Engine, files: FileStore, clock: Clock | None = None) -> None:
        self.identity = f"{engine.identity} on {files.identity}"
        self.engine = engine
        self._files, self._clock = files, clock or HostClock()
        self._intents = EngineIntents(engine, files.intents(), clock)
        self._parts: tuple[Host, Keeper] | None = None
        _stores.add(self)

    def _made(self) -> tuple[Host, Keeper]:
        """The host and its keeper; nothing is touched on disk before the first lane."""
        if self._parts is None:
            host = Host(host_name(self._files.disk, self._files.folder), _token(), self.engine, self._clock)
            keeper = Keeper(host, self._intents)
            host.tend = keeper.keep
            self._parts = host, keeper
            atexit.register(keeper.let_go)
        return self._parts

    def lane(self, name: str, unit_ns: int = 1) -> HostedLane:
        """See ``port.Store``."""
        host, _ = self._made()
        lease = LeaseFile(self._files.disk, self._files.folder / f"{name}.lease")
        return HostedLane(self._files.lane(name, unit_ns), lease, host, unit_ns)

    def intents(self) -> EngineIntents:
        """See ``port.Store``."""
        return self._intents

    def after_fork(self) -> None:
        """In a forked child: another process of the same host, with connections of its own."""
        self.engine.after_fork()
        if self._parts is not None:
            host, keeper = self._parts
            host.process = _token()
            keeper.after_fork()


def _token() -> str:
    return secrets.token_hex(6)


_stores: weakref.WeakSet[HostedStore] = weakref.WeakSet()


def _after_fork() -> None:
    for store in tuple(_stores):
        store.after_fork()


os.register_at_fork(after_in_child=_after_fork)
