"""``kill -9`` among guarded clients of three kinds, in two processes with threads: the living are never refused.

About one kill in two hundred leaves a request that Kraken reads only after the next one, and refuses, with nobody left
to hear of it: ``judge.py`` tells these from the others.

The seed is printed; ``SEALANE_SEED`` repeats a run, ``SEALANE_SOAK=1`` makes it ten times longer.
"""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crew import Crew, Worker, environment
from judge import Death, judge

from sealane.simulator import Simulator

pytestmark = pytest.mark.kill

KILLS = 20 * (10 if os.environ.get("SEALANE_SOAK") == "1" else 1)
PROCESSES, THREADS_A_KIND = 2, 2
KINDS = {"ccxt", "krakenex", "python-kraken-sdk"}
GO_ON_S = 10.0
SPREAD_S = 0.008
"""Kills fall this long after a call began: some while it waits for its turn, some while it is on the way."""


@pytest.fixture
def crew(kraken: Simulator, tmp_path: Path) -> Iterator[Crew]:
    variables = environment(kraken, tmp_path) | {"SEALANE_TIER": "off"}
    with Crew(variables, "guarded_worker.py") as started:
        yield started


def start(crew: Crew, kraken: Simulator) -> Worker:
    account = kraken.accounts[0]
    keys = {"url": kraken.url, "api_key": account.api_key, "api_secret": account.api_secret}
    return crew.start("guarded", threads=THREADS_A_KIND, **keys)


def hear(worker: Worker, name: str) -> Any:
    return worker.hear_about(name, GO_ON_S)


def kill(worker: Worker, rng: random.Random) -> Death:
    worker.forget()
    hear(worker, "begun")
    end = time.perf_counter() + rng.uniform(0, SPREAD_S)
    while time.perf_counter() < end:  # less than a sleep could measure
        pass
    return worker.kill()


def test_guarded_clients_go_on_in_order_after_kills(kraken: Simulator, crew: Crew) -> None:
    seed = int(os.environ.get("SEALANE_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEALANE_SEED={seed}")
    rng = random.Random(seed)
    workers = [start(crew, kraken) for _ in range(PROCESSES)]
    for worker in workers:
        hear(worker, "done")
    deaths: list[Death] = []
    for _ in range(KILLS):
        chosen = rng.randrange(PROCESSES)
        deaths.append(kill(workers[chosen], rng))
        for worker in workers[:chosen] + workers[chosen + 1 :]:
            worker.forget()
            hear(worker, "done")
        workers[chosen] = start(crew, kraken)
        hear(workers[chosen], "done")
    for worker in workers:
        seen: set[str] = set()
        while seen != KINDS:
            seen.add(hear(worker, "done"))
        worker.ask("end")
        assert hear(worker, "failures") == []
    found = judge(kraken.journal()["entries"], deaths, one_lane=True)
    assert found.clean, found
    assert found.orphans > KILLS / 10, "too few kills fell while a request was on the way to say anything"
    assert kraken.journal()["summary"]["nonces_rose"]
