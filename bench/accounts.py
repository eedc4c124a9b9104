"""A thousand accounts in one process, each on its key's own lane: calls a second beside one account, and memory."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.fast_server import SECRET, FastServer, fast_server
from bench.report import Figure, Result
from bench.rounds import in_turns, percentile
from sealane.client import AsyncKraken

TITLE = "accounts on per-key lanes in one process and one event loop, a fast server on loopback"
ACCOUNTS = 1000
ROUNDS = 4
CALLS_OF_ONE = 400
CALLS_OF_EACH = 2
OPENED_AT_ONCE = 50
FILES_EACH = 4
"""A connection, and the files of a lane: the store closes those of idle lanes, and here all are busy at once."""
SPARE_FILES = 128
STATM = Path("/proc/self/statm")


@dataclass(frozen=True)
class Opening:
    """What it took to make the clients and to let each call for the first time."""

    bytes_made: int
    bytes_called: int
    seconds: float


class Accounts:
    """The clients, each with its own key, lane and connection."""

    def __init__(self, server: FastServer, folder: Path, count: int, prefix: str = "account") -> None:
        self.waits: dict[int, list[float]] = {}
        self._clients = [
            AsyncKraken(
                api_key=f"bench-key-of-{prefix}-{number}",
                api_secret=SECRET,
                url=server.url,
                store=folder,
                account=f"{prefix}{number}",
            )
            for number in range(count)
        ]

    async def rate(self, size: int, calls_each: int) -> float:
        """Calls a second of the first ``size`` accounts, all at the same time."""
        waits = self.waits.setdefault(size, [])
        started = time.perf_counter()
        await asyncio.gather(*(self._call(client, calls_each, waits) for client in self._clients[:size]))
        return size * calls_each / (time.perf_counter() - started)

    async def _call(self, client: AsyncKraken, calls: int, waits: list[float]) -> None:
        for _ in range(calls):
            asked = time.perf_counter()
            await client.private("Balance")
            waits.append(time.perf_counter() - asked)

    async def first_calls(self) -> None:
        """Open every lane and connection."""
        for start in range(0, len(self._clients), OPENED_AT_ONCE):
            some = self._clients[start : start + OPENED_AT_ONCE]
            await asyncio.gather(*(client.private("Balance") for client in some))

    async def close(self) -> None:
        """Close all of them."""
        for client in self._clients:
            await client.close()


def run(folder: Path) -> Result:
    """See the head of this file."""
    os.environ["SEALANE_LANES"] = "per-key"
    count = _accounts_allowed()
    with fast_server() as server, asyncio.Runner() as loop:
        first = Accounts(server, folder, 1, "first")  # what it loads is not to count as a lane's memory
        loop.run(first.first_calls())
        loop.run(first.close())
        empty = _resident_bytes()
        accounts = Accounts(server, folder, count)
        made = _resident_bytes()
        started = time.perf_counter()
        loop.run(accounts.first_calls())
        opening = Opening(made - empty, _resident_bytes() - empty, time.perf_counter() - started)
        ways = {
            "one": lambda: loop.run(accounts.rate(1, CALLS_OF_ONE)),
            "all": lambda: loop.run(accounts.rate(count, CALLS_OF_EACH)),
        }
        rates = in_turns(ways, ROUNDS)
        refused = server.counts().refused
        loop.run(accounts.close())
    figures = [
        rates.figure("one account", "one", "calls/s"),
        rates.figure(f"{count} accounts together", "all", "calls/s"),
        rates.ratio(f"{count} accounts : one", "all", "one"),
        *_waits(accounts, count),
        *_opening_figures(opening, count),
        Figure("nonces refused", refused, "", at_most=0),
    ]
    return Result("accounts", TITLE, tuple(figures), _notes(count))


def _waits(accounts: Accounts, count: int) -> list[Figure]:
    return [
        Figure(f"from asking to answer, {size} of them, p{share * 100:g}", percentile(waits, share) * 1000, "ms")
        for size in (1, count)
        for waits in (accounts.waits[size],)
        for share in (0.5, 0.99)
    ]


def _opening_figures(opening: Opening, count: int) -> list[Figure]:
    return [
        Figure("memory of an account: client and lane", opening.bytes_made / count / 1024, "KiB"),
        Figure("the same after its first call, connection open", opening.bytes_called / count / 1024, "KiB"),
        Figure("first calls, lane and connection opened", count / opening.seconds, "calls/s"),
    ]


def _notes(count: int) -> tuple[str, ...]:
    return () if count == ACCOUNTS else (f"{count} accounts instead of {ACCOUNTS}: ulimit -n allows no more files",)


def _accounts_allowed() -> int:
    """Raise this process's limit of open files as far as needed and allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ACCOUNTS * FILES_EACH + SPARE_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(ACCOUNTS, (soft - SPARE_FILES) // FILES_EACH))


def _resident_bytes() -> int:
    """This process's memory, as Linux tells it, or elsewhere ``ps``."""
    if STATM.exists():
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    command = ["ps", "-o", "rss=", "-p", str(os.getpid())]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) * 1024
