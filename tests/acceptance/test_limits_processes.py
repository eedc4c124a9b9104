"""Processes that share a key's budget at a real exchange's pace, while some of them are killed."""

import time
from pathlib import Path

import pytest
from crew import Crew, environment

from sealane.simulator import Simulator

pytestmark = pytest.mark.kill

PROCESSES, THREADS = 3, 3
BURST, A_SECOND = 20, 1.0  # of the REST counter at tier pro
SECONDS = 8.0
LEAST_USED = 0.9  # of a few seconds, in which the first kills cost their claims


def test_nobody_is_refused_for_a_limit_and_the_budget_is_used(tmp_path: Path) -> None:
    with (
        Simulator(accounts=1, tier="pro", latency_ms=5) as kraken,
        Crew(environment(kraken, tmp_path) | {"SEALANE_TIER": "pro"}) as crew,
    ):
        config = {"threads": THREADS, "accounts": ["MASTER"], "reads": True}
        workers = [crew.start("traffic", seed=number, **config) for number in range(PROCESSES)]
        started = time.monotonic()
        for kill_at_s in (2.0, 5.0):
            while time.monotonic() - started < kill_at_s:
                kraken.state()
            workers.pop(0).kill()
            workers.append(crew.start("traffic", seed=int(kill_at_s), **config))
        while time.monotonic() - started < SECONDS:
            kraken.state()
        summary = kraken.journal()["summary"]
        kraken.audit()
    assert summary["refused_limit"] == {"rate": 0, "orders": 0}
    assert summary["nonces_rose"]
    killed_claims = 2 * THREADS
    assert summary["requests"] >= LEAST_USED * (BURST + SECONDS * A_SECOND - killed_claims)
