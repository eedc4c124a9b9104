"""The contract of engines, on real PostgreSQL servers."""

import hashlib

import pytest
from postgres_server import shared

from sealane.store.postgres import open_engine
from sealane.testing.contract_engine import SHORT_LEASE_MS, EngineContract


@pytest.fixture(scope="module", params=["bundled", "debian"])
def server(request):
    return shared(request.param)


class TestPostgresEngine(EngineContract):
    @pytest.fixture(autouse=True)
    def _on(self, server):
        self._server = server

    def make_engine(self, place):
        schema = f"t{hashlib.sha256(str(place).encode()).hexdigest()[:16]}"
        return open_engine(self._server.url(schema=schema, lease_ms=SHORT_LEASE_MS))
