"""PostgreSQL for a test: the shared server, a place of the test's own on it, engines that are closed at its end.

A file about another engine has a ``server`` of its own.
"""

import uuid

import pytest
from postgres_server import LONG_MS, SHORT_MS, pass_ms, shared

from sealane.core.lease import Wait
from sealane.store import open as stores
from sealane.store.hosted_store import HostedStore
from sealane.store.postgres import open_engine

LANE = "kraken_global_nonce"


@pytest.fixture
def server():
    return shared()


@pytest.fixture
def database(server):
    """A database of this test's own."""
    name = f"d{uuid.uuid4().hex[:12]}"
    server.sql(f"CREATE DATABASE {name}")
    yield name
    if server.process.poll() is not None:
        server.start()
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def place(database):
    """Where the engines of this test keep all: options of their URLs."""
    return {"database": database}


@pytest.fixture
def opened(server, place):
    """Opens engines, and closes them at the end."""
    made = []

    def make(**options):
        made.append(open_engine(server.url(**{"lease_ms": LONG_MS} | place | options)))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def lane(opened):
    """One that the engine has known for a lease, so that it is to be had at once."""
    engine = opened(lease_ms=SHORT_MS)
    assert isinstance(engine.acquire(LANE, "nobody", 0)[0], Wait)
    engine.withdraw(LANE, "nobody")
    pass_ms(SHORT_MS)
    engine.close()
    return LANE


@pytest.fixture
def own_stores(monkeypatch):
    """The stores of this test, let go of at its end."""
    found = {}
    monkeypatch.setattr(stores, "_shared", found)
    yield
    for store in found.values():
        if isinstance(store, HostedStore):
            store.close()
