"""The engine's contract on real servers: Valkey, and Redis where one is installed."""

import hashlib

import pytest
from redis_server import BINARIES, serving

from sealane.store.redis.engine import RedisEngine
from sealane.testing.contract_engine import SHORT_LEASE_MS, EngineContract


def prefix(place):
    return "t" + hashlib.sha256(str(place).encode()).hexdigest()[:12]


@pytest.fixture(scope="module", params=["valkey", "redis"])
def server(request, tmp_path_factory):
    if not BINARIES.get(request.param):
        pytest.skip(f"no {request.param}-server on this machine")
    with serving(tmp_path_factory.mktemp(request.param), binary=BINARIES[request.param]) as server:
        yield server


class TestRedisEngine(EngineContract):
    @pytest.fixture(autouse=True)
    def _on(self, server):
        self.server = server

    def make_engine(self, place):
        return RedisEngine(self.server.url(lease_ms=SHORT_LEASE_MS, prefix=prefix(place)))
