import pytest
from gateway_bench import Key, OnThread, served

from sealane.simulator import Simulator


@pytest.fixture
def sim():
    """A simulated Kraken with MASTER and one user, no latency; it judges itself at the end."""
    with Simulator(accounts=2, seed=11) as simulator:
        yield simulator
    simulator.audit()


@pytest.fixture
def into_environment(monkeypatch):
    """Put a simulator's address and its accounts' keys into the environment: MASTER, and the users by these names."""

    def put(simulator, *users):
        monkeypatch.setenv("KRAKEN_SPOT_URL", simulator.url)
        prefixes = ("KRAKEN", *(f"KRAKEN_USER_{user}" for user in users))
        for prefix, account in zip(prefixes, simulator.accounts, strict=True):
            monkeypatch.setenv(f"{prefix}_API_KEY", account.api_key)
            monkeypatch.setenv(f"{prefix}_API_SECRET", account.api_secret)

    return put


@pytest.fixture
def keys(sim, into_environment):
    """The environment of a program whose MASTER and one user live on the simulator."""
    into_environment(sim, "daivon_frazier")
    return sim


@pytest.fixture(scope="session")
def gateway(tmp_path_factory):
    """``sealane serve`` in front of a simulator, with one account for each client that is tried on it."""
    with Simulator(accounts=60, seed=17) as simulator, served(simulator, tmp_path_factory.mktemp("gateway")) as bench:
        yield bench
        for name, tally in simulator.journal()["summary"]["by_account"].items():
            assert tally["nonces_rose"]
            assert tally["refused_nonce"] == 0 or name in bench.excused
    simulator.audit()


@pytest.fixture
def bot(gateway):
    """A virtual key of an account of its own; its name is the account's."""
    return gateway.fresh()


@pytest.fixture(scope="session")
def desk(tmp_path_factory):
    """The same application on a thread of this process, by a clock that can be moved; for its policies."""
    with Simulator(accounts=45, seed=23) as simulator, OnThread(simulator, tmp_path_factory.mktemp("desk")) as bench:
        yield bench
    summary = simulator.journal()["summary"]
    assert (summary["refused_nonce"], summary["nonces_rose"]) == (0, True)
    simulator.audit()


@pytest.fixture
def make(desk):
    """Makes virtual keys of one account, which no other test has."""
    account, made = next(desk.users), []

    def new(name="bot", **policy):
        made.append(Key(desk, account, f"{name}-{account}", **policy))
        return made[-1]

    yield new
    for key in made:
        key.close()
