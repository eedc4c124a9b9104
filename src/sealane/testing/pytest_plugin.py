"""The simulator as a pytest fixture. Put ``pytest_plugins = ["sealane.testing.pytest_plugin"]`` into a ``conftest.py``.

It is not registered by an entry point: that would load it into every test run of everybody who has Sealane installed.

    @pytest.mark.kraken_simulator(accounts=2, tier="pro", clock="frozen")
    def test_my_bot(kraken_simulator):
        my_bot(kraken_simulator.url, kraken_simulator.accounts[0])
        assert kraken_simulator.journal()["summary"]["refused_nonce"] == 0

Each test gets a simulator of its own on a free port, with seed 0 unless the marker gives another one: the same keys,
prices, order ids and dice at every run. Afterwards it judges itself, and a test during which it broke its own rules
fails, because what such a test has shown is worth nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sealane.simulator import Simulator


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, for those who run with ``--strict-markers``."""
    config.addinivalue_line("markers", "kraken_simulator(**settings): what the fixture's Simulator is made with")


@pytest.fixture
def kraken_simulator(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """A running ``Simulator``, made with the keywords of the marker ``kraken_simulator``, audited at the end."""
    marker = request.node.get_closest_marker("kraken_simulator")
    simulator = Simulator(**({} if marker is None else marker.kwargs))
    with simulator:
        yield simulator
    simulator.audit()
