"""The demo's arena: a simulator in a process of its own, workers around it, and a hand that kills them."""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from sealane.cli.demo.worker import THREADS

WORKERS = 4
THREADS_SHOWN = f"{WORKERS} processes with {THREADS} threads each"
POLL_S = 0.25
KILL_EVERY_S = 0.5
START_LIMIT_S = 20.0
STOP_LIMIT_S = 5.0
CONTROL_LIMIT_S = 5.0


@dataclass(frozen=True)
class Figures:
    """How a phase stands, by the simulator's own journal."""

    elapsed_s: float
    calls: int
    refused: int
    kills: int
    max_overlap: int


class Arena:
    """Runs phases against one simulator; see ``open_arena``."""

    def __init__(self, document: dict[str, Any], folder: str, seed: int) -> None:
        self.url = str(document["url"])
        account = document["accounts"][0]
        self._random = random.Random(seed)  # noqa: S311 - which worker dies wants a seed, not secrecy
        theirs = ("KRAKEN_", "SEALANE_")  # what the user has set for bots of their own is not for these
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(theirs)} | {
            "KRAKEN_API_KEY": account["api_key"],
            "KRAKEN_API_SECRET": account["api_secret"],
            "KRAKEN_SPOT_URL": self.url,
            "DATA_DIR": folder,
        }
        self._direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def run(self, mode: str, seconds: float, *, killing: bool) -> Iterator[Figures]:
        """Run one phase, with figures several times a second; the last ones are final."""
        self._control("POST", "/sim/reset")
        workers = [self._worker(mode) for _ in range(WORKERS)]
        kills, began = 0, time.monotonic()
        next_kill = began + 2 * KILL_EVERY_S
        try:
            while (now := time.monotonic()) < began + seconds:
                if killing and now >= next_kill:
                    self._kill_one(workers, mode)
                    kills, next_kill = kills + 1, now + KILL_EVERY_S
                yield self._figures(now - began, kills)
                time.sleep(POLL_S)
        finally:
            for worker in workers:
                _end(worker)
        yield self._figures(time.monotonic() - began, kills)

    def _worker(self, mode: str) -> subprocess.Popen[bytes]:
        return _started(mode, env=self._environment)

    def _kill_one(self, workers: list[subprocess.Popen[bytes]], mode: str) -> None:
        """SIGKILL at an instant nobody chose, and a new one at once."""
        place = self._random.randrange(len(workers))
        workers[place].kill()
        _end(workers[place])
        workers[place] = self._worker(mode)

    def _figures(self, elapsed_s: float, kills: int) -> Figures:
        summary = self._control("GET", "/sim/journal?limit=0")["summary"]
        return Figures(elapsed_s, summary["requests"], summary["refused_nonce"], kills, summary["max_overlap"])

    def _control(self, verb: str, path: str) -> dict[str, Any]:
        request = urllib.request.Request(self.url + path, method=verb, data=b"" if verb == "POST" else None)  # noqa: S310
        with self._direct.open(request, timeout=CONTROL_LIMIT_S) as answer:
            document: dict[str, Any] = json.load(answer)
            return document


@contextmanager
def open_arena(seed: int) -> Iterator[Arena]:
    """Start the simulator and a folder for the lane; both are gone afterwards."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sealane-demo-"))
        simulator = _started("exchange", stdout=subprocess.PIPE)
        stack.callback(_end, simulator)
        yield Arena(_first_line(simulator), folder, seed)


def _started(mode: str, **options: Any) -> subprocess.Popen[bytes]:
    """A process of the demo. It holds our pipe's other end as its standard input, so it ends when we do."""
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "sealane.cli.demo.worker", mode],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        **options,
    )


def _first_line(simulator: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert simulator.stdout is not None  # noqa: S101 - asked for as a pipe
    ready, _, _ = select.select([simulator.stdout], [], [], START_LIMIT_S)
    line = simulator.stdout.readline() if ready else b""
    if not line:
        raise RuntimeError(f"the simulator did not start within {START_LIMIT_S:.0f} s; try 'sealane sim' by itself")
    document: dict[str, Any] = json.loads(line)
    return document


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_LIMIT_S)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
