"""What every acceptance test stands on: a simulated Kraken that judges, and processes that may die."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crew import Crew, environment

from sealane.simulator import Simulator


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
