"""What every acceptance test stands on: a simulated Kraken that judges, and processes that may die."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crew import Crew

from sealane.simulator import Simulator


def environment(kraken: Simulator, folder: Path, lanes: str = "global") -> dict[str, str]:
    """The variables by which a program finds the simulator's accounts and its data folder."""
    env = {"KRAKEN_SPOT_URL": kraken.url, "DATA_DIR": str(folder), "SEALANE_LANES": lanes}
    for account in kraken.accounts:
        prefix = "KRAKEN" if account.name == "MASTER" else f"KRAKEN_USER_{account.name}"
        env |= {f"{prefix}_API_KEY": account.api_key, f"{prefix}_API_SECRET": account.api_secret}
    return env


@pytest.fixture
def kraken() -> Iterator[Simulator]:
    """Two accounts, and a way of one millisecond."""
    with Simulator(accounts=2, seed=11, latency_ms=1) as simulator:
        yield simulator


@pytest.fixture
def crew(kraken: Simulator, tmp_path: Path) -> Iterator[Crew]:
    """Processes on the global lane of one folder."""
    with Crew(environment(kraken, tmp_path)) as started:
        yield started


@pytest.fixture
def crew_of(kraken: Simulator, tmp_path: Path) -> Iterator[Callable[[str], Crew]]:
    """Processes on lanes of the named kind."""
    started: list[Crew] = []

    def start(lanes: str) -> Crew:
        started.append(Crew(environment(kraken, tmp_path, lanes)).__enter__())
        return started[-1]

    yield start
    for one in started:
        one.__exit__(None, None, None)
