import pytest

from sealane.simulator import Simulator


@pytest.fixture
def sim():
    """A simulated Kraken with MASTER and one user, no latency."""
    with Simulator(accounts=2, seed=11) as simulator:
        yield simulator


@pytest.fixture
def keys(sim, monkeypatch):
    """The environment of a program whose MASTER and one user live on the simulator."""
    master, user = sim.accounts
    monkeypatch.setenv("KRAKEN_SPOT_URL", sim.url)
    monkeypatch.setenv("KRAKEN_API_KEY", master.api_key)
    monkeypatch.setenv("KRAKEN_API_SECRET", master.api_secret)
    monkeypatch.setenv("KRAKEN_USER_daivon_frazier_API_KEY", user.api_key)
    monkeypatch.setenv("KRAKEN_USER_daivon_frazier_API_SECRET", user.api_secret)
    return sim
