"""A leased lane keeps the store's contract: one host over an engine in memory."""

from pathlib import Path

from sealane.store.file import FileStore
from sealane.store.hosted import HostedLane
from sealane.store.hosted_store import HostedStore
from sealane.store.port import LaneStore
from sealane.testing import StoreContract, TableEngine
from sealane.testing.contract_base import LANE

LEASE_MS = 60_000


class TestHostedStore(StoreContract):
    between_processes = False
    keeps_durable = False

    def setup_method(self) -> None:
        super().setup_method()
        self._engines: dict[Path, TableEngine] = {}

    def engine(self, place: Path) -> TableEngine:
        """One for each place: another folder would be another host of the same lanes."""
        if place not in self._engines:
            self._engines[place] = TableEngine(lambda: self.clock.wall_ns() // 1_000_000, lease_ms=LEASE_MS)
        return self._engines[place]

    def make_store(self, place: Path) -> HostedStore:
        return HostedStore(self.engine(place), FileStore(place), self.clock)

    def enter(self, lane: LaneStore) -> bool:
        """A lease may have been let go since."""
        if not lane.try_enter():
            lane.wait_enter()
        return True

    def open_lane(self, place: Path, name: str = LANE, unit_ns: int = 1) -> HostedLane:
        """With its lease: the first turn on a host has to wait for that."""
        lane = super().open_lane(place, name, unit_ns)
        if self.engine(place).show(name).record is None:
            self.engine(place).has_known(name)
        lane.wait_enter()
        lane.leave()
        return lane
