"""Hosts of one leased lane over an engine in memory and a clock that goes when it is told to."""

from pathlib import Path

from sealane.store.file import FileStore
from sealane.store.host import Host
from sealane.store.hosted import HostedLane
from sealane.store.lease_file import LeaseFile
from sealane.testing import FakeClock, SimDisk, TableEngine
from sealane.testing.sim_volume import SimVolume

LANE, LEASE_MS = "kraken_key_00000000000000aa", 3_000


class SteppedEngine(TableEngine):
    """Whoever waits lets time pass."""

    def __init__(self, clock):
        super().__init__(lambda: clock.wall_ns() // 10**6, lease_ms=LEASE_MS)
        self.clock = clock

    def await_turn(self, lane, host, limit_s):
        self.clock.advance(limit_s)


class Scene:
    """An engine that knows the lane, a clock that all go by, and hosts made as they are named."""

    def __init__(self):
        self.clock = FakeClock()
        self.engine = SteppedEngine(self.clock)
        self.engine.has_known(LANE)
        self.volumes = {}

    def lane(self, host, process="1"):
        volume = self.volumes.setdefault(host, SimVolume(self.clock.wall_ns))
        disk, folder = SimDisk(volume), Path("/data")
        files = FileStore(folder, disk=disk).lane(LANE)
        made = Host(host, f"{host}{process}", self.engine, self.clock)
        return HostedLane(files, LeaseFile(disk, folder / f"{LANE}.lease"), made, 1)

    def draw(self, lane):
        return lane.draw(self.clock.wall_ns(), self.clock.boot_ns())

    def raise_above_ceiling(self, lane):
        lane.raise_floor(lane._lessee.read().ceiling + 1)

    def tend(self, lane):
        lane.tend(self.clock.boot_ns())


def enter(lane):
    if not lane.try_enter():
        lane.wait_enter()
