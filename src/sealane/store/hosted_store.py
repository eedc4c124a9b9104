"""The lanes of many hosts, put together: an engine, a data folder, and what is done in the background."""

from __future__ import annotations

import atexit
import secrets

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
        self._intents = EngineIntents(engine, files.intents())
        self._parts: tuple[Host, Keeper] | None = None

    def _made(self) -> tuple[Host, Keeper]:
        """The host and its keeper; nothing is touched on disk before the first lane."""
        if self._parts is None:
            host = Host(host_name(self._files.disk, self._files.folder), secrets.token_hex(6), self.engine, self._clock)
            self._parts = host, Keeper(host, self._intents)
            atexit.register(self._parts[1].let_go)
        return self._parts

    def lane(self, name: str, unit_ns: int = 1) -> HostedLane:
        """See ``port.Store``."""
        host, keeper = self._made()
        lease = LeaseFile(self._files.disk, self._files.folder / f"{name}.lease")
        lane = HostedLane(self._files.lane(name, unit_ns), lease, host, unit_ns)
        keeper.keep(lane)
        return lane

    def intents(self) -> EngineIntents:
        """See ``port.Store``."""
        return self._intents
