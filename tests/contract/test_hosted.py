"""A leased lane keeps the store's contract: one host over an engine in memory."""

from pathlib import Path

from sealane.store.file import FileStore
from sealane.store.hosted import HostedLane
from sealane.store.hosted_store import HostedStore
from sealane.testing import StoreContract, TableEngine
from sealane.testing.contract_base import LANE

LEASE_MS = 60_000


class TestHostedStore(StoreContract):
    between_processes = False

    def setup_method(self) -> None:
        super().setup_method()
        self._waited_ms = 0
        self._engine = TableEngine(lambda: self.clock.wall_ns() // 1_000_000 + self._waited_ms, lease_ms=LEASE_MS)

    def make_store(self, place: Path) -> HostedStore:
        return HostedStore(self._engine, FileStore(place), self.clock)

    def make_broken_store(self, place: Path) -> HostedStore:
        (place / "file").write_text("not a folder")
        return HostedStore(self._engine, FileStore(place / "file" / "data"), self.clock)

    def open_lane(self, place: Path, name: str = LANE, unit_ns: int = 1) -> HostedLane:
        """With its lease: the first turn on a host has to wait for that."""
        lane = super().open_lane(place, name, unit_ns)
        if self._engine.show(name) is None:
            self._engine.acquire(name, "nobody", 0)
            self._engine.withdraw(name, "nobody")
            self._waited_ms += LEASE_MS
        lane.take_lease()
        return lane
