"""Hosts that die, stop and go on, and engines that die, with orders under way over each engine.

The exchange's own book is the judge. The long form is ``make hosts``.
"""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts import Running, Scene, running, scene
from sealane.simulator import Simulator

pytestmark = pytest.mark.kill
LONG = bool(os.environ.get("SEALANE_SOAK"))
KILLS, ENGINE_KILLS, ZOMBIES, DEPLOYS = (150, 25, 25, 100) if LONG else (2, 1, 1, 1)


@pytest.fixture(scope="module", params=["redis", "postgres"])
def engine(request, tmp_path_factory) -> Iterator[Running]:
    with running(request.param, tmp_path_factory.mktemp("engine")) as made:
        yield made


@pytest.fixture
def hosts(kraken: Simulator, engine: Running, tmp_path: Path) -> Iterator[Scene]:
    with scene(kraken, tmp_path, engine) as made:
        yield made


def test_hosts_are_killed_with_orders_under_way(hosts: Scene) -> None:
    rng = random.Random(1)
    living = [hosts.start(name) for name in "abc"]
    for process in living:
        process.await_ended()
    for _ in range(KILLS):
        victim = rng.choice(living)
        victim.catch_up()
        victim.await_begun()
        hosts.kill(victim)
        living.remove(victim)
        rng.choice(living).await_ended(2)
        living.append(hosts.start(victim.host))
    hosts.end_all()
    print(hosts.judge(), f"longest gap {hosts.longest_gap_s():.2f} s")


def test_a_dead_hosts_order_is_finished_by_a_living_one(hosts: Scene) -> None:
    """Its answer never comes, it is killed, and nobody is on its host any more."""
    first, second = hosts.start("a", threads=1), hosts.start("b", threads=1, reads=True)
    first.await_ended(2)
    hosts.kraken.add_fault("drop_after", methods=["AddOrder"])
    first.await_begun()
    hosts.kill(first)
    doubtful = [name for name, end in first.told.items() if end is None]
    second.catch_up()
    second.await_ended(2)
    hosts.await_settled()
    hosts.end_all()
    assert len(doubtful) == 1
    hosts.judge()


def test_stopped_hosts_that_go_on_send_nothing_stale(hosts: Scene) -> None:
    living = [hosts.start(name) for name in "ab"]
    for process in living:
        process.await_ended()
    for number in range(ZOMBIES):
        zombie, other = living[number % 2], living[1 - number % 2]
        zombie.catch_up()
        zombie.await_begun()
        hosts.stop(zombie)
        other.catch_up()
        other.await_ended(2)
        hosts.go_on(zombie)
        zombie.await_ended(2)
    hosts.end_all()
    print(hosts.judge(), "fenced requests that Kraken refused:", hosts.refused())


def test_the_engine_is_killed_with_orders_under_way(hosts: Scene) -> None:
    living = [hosts.start(name) for name in "ab"]
    for process in living:
        process.await_ended()
    for _ in range(ENGINE_KILLS):
        living[0].await_begun()
        hosts.running.kill()
        hosts.running.start()
        for process in living:
            process.catch_up()
            process.await_ended(2)
    hosts.end_all()
    print(hosts.judge(), f"longest gap {hosts.longest_gap_s():.2f} s")


def test_a_rolling_deploy(hosts: Scene) -> None:
    """Old and new overlap, each with a folder of its own; then the old one is killed."""
    old = hosts.start("v0")
    old.await_ended(2)
    for number in range(1, DEPLOYS + 1):
        new = hosts.start(f"v{number}")
        new.await_ended(2)
        hosts.kill(old)
        new.await_ended(2)
        old = new
    hosts.end_all()
    ends = hosts.judge()
    assert hosts.refused() == 0
    print(ends, f"longest gap {hosts.longest_gap_s():.2f} s")


def test_a_copy_of_a_folder_in_use_is_another_host(hosts: Scene) -> None:
    first = hosts.start("a")
    first.await_ended(3)
    shutil.copytree(hosts.folder / "a", hosts.folder / "copy")
    second = hosts.start("copy")
    for process in (second, first, second):
        process.catch_up()
        process.await_ended(3)
    hosts.end_all()
    hosts.judge()
    assert hosts.refused() == 0
