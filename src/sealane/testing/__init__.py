"""What Sealane is tested with, for whoever builds on it: a store's contract, a clock and a disk that obey.

``StoreContract`` is the store port as tests: derive from it and every store proves the same promises.
``FakeClock`` goes when it is told to. ``SimVolume`` and ``SimDisk`` are a disk in memory that loses power, fails
and fills up on demand, and ``NonceOrder`` is the judge of what a lane gave out. ``Simulator`` is a Kraken on this
machine; ``pytest_plugins = ["sealane.testing.pytest_plugin"]`` gives it to tests as the fixture ``kraken_simulator``.
"""

from sealane.simulator import Simulator
from sealane.testing.clock import FakeClock
from sealane.testing.contract import StoreContract
from sealane.testing.contract_engine import EngineContract
from sealane.testing.order import NonceOrder, OutOfOrder
from sealane.testing.sim_disk import Killed, SimDisk, WouldBlock
from sealane.testing.sim_volume import SimVolume
from sealane.testing.table_engine import TableEngine

__all__ = [
    "EngineContract",
    "FakeClock",
    "Killed",
    "NonceOrder",
    "OutOfOrder",
    "SimDisk",
    "SimVolume",
    "Simulator",
    "StoreContract",
    "TableEngine",
    "WouldBlock",
]
