"""Every engine, one suite; those that need a server are in tests/engines."""

from pathlib import Path

from sealane.testing.contract_engine import SHORT_LEASE_MS, EngineContract
from sealane.testing.table_engine import TableEngine


class TestTableEngine(EngineContract):
    def setup_method(self) -> None:
        super().setup_method()
        self._now_ms = 1_800_000_000_000
        self._engine = TableEngine(lambda: self._now_ms, lease_ms=SHORT_LEASE_MS)

    def make_engine(self, place: Path) -> TableEngine:
        return self._engine

    def pass_ms(self, passed_ms: int) -> None:
        self._now_ms += passed_ms
