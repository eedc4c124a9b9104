"""``kill -9`` at random instants, with siblings running: nothing is refused, nobody waits for the dead.

The seed is printed; ``SEALANE_SEED`` repeats a run, ``SEALANE_SOAK=1`` makes it ten times longer.
"""

import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from crew import Crew, Worker
from judge import Death, judge

from sealane.simulator import Simulator

pytestmark = pytest.mark.kill

KILLS = 100 * (10 if os.environ.get("SEALANE_SOAK") == "1" else 1)
WORKERS, THREADS = 4, 3
BOTH = ["MASTER", "user1"]
GO_ON_S = 10.0
"""A sibling's next call comes to its end within this time after a death."""
SPREAD_S = 0.004
"""Kills fall this long after a call began: over every part of it, its wait for the turn included."""


def seed() -> int:
    chosen = int(os.environ.get("SEALANE_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEALANE_SEED={chosen}")
    return chosen


def spin(seconds: float) -> None:
    """Let less time pass than a sleep could measure."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def start(crew: Crew, rng: random.Random, floor: int) -> Worker:
    env = {"KRAKEN_LAST_NONCE": str(floor)} if floor else {}
    return crew.start("traffic", seed=rng.random(), threads=THREADS, accounts=BOTH, report=True, env=env)


def kill_one(workers: list[Worker], rng: random.Random) -> tuple[int, Death]:
    """Kill any of them, some way into any call."""
    chosen = rng.randrange(len(workers))
    workers[chosen].forget()
    workers[chosen].hear_about("begun", GO_ON_S)
    spin(rng.uniform(0, SPREAD_S))
    return chosen, workers[chosen].kill()


def whole_nonces(folder: Path, lanes: int) -> list[int]:
    """What the nonce files hold: each one plain integer of 19 digits, whatever happened."""
    contents = [path.read_bytes() for path in folder.glob("kraken_*.txt")]
    assert len(contents) == lanes
    assert all(re.fullmatch(rb"[1-9][0-9]{18}", content) for content in contents), contents
    return [int(content) for content in contents]


@pytest.mark.parametrize(("lanes", "ahead_s"), [("global", 3600), ("global", 0), ("per-key", 3600)])
def test_kill_at_random_instants(
    kraken: Simulator, crew_of: Callable[[str], Crew], tmp_path: Path, lanes: str, ahead_s: int
) -> None:
    """Ahead of the clock, where the clock's going on would hide a number that was lost, and by the clock."""
    crew, rng = crew_of(lanes), random.Random(seed())
    floor = time.time_ns() + ahead_s * 10**9 if ahead_s else 0
    workers = [start(crew, rng, floor) for _ in range(WORKERS)]
    for worker in workers:
        worker.hear_about("done", GO_ON_S)
    deaths: list[Death] = []
    for _ in range(KILLS):
        chosen, death = kill_one(workers, rng)
        deaths.append(death)
        whole_nonces(tmp_path, 1 if lanes == "global" else 2)
        for number, sibling in enumerate(workers):
            if number != chosen:
                sibling.forget()
                sibling.hear_about("done", GO_ON_S)
        workers[chosen] = start(crew, rng, floor)
    for worker in workers:
        worker.ask("end")
        assert worker.hear_about("refused", GO_ON_S) == 0, "a living client saw a nonce refused"
    found = judge(kraken.journal()["entries"], deaths, one_lane=lanes == "global")
    assert found.clean, found
    assert found.orphans > KILLS / 20, "too few kills fell while a request was on the way to say anything"
    highest = max(int(account["highest_nonce"]) for account in kraken.state()["accounts"].values())
    assert highest <= max(whole_nonces(tmp_path, 1 if lanes == "global" else 2))
