"""The exchange that orders are placed on: a simulator in a process of its own, which is also who judges."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.order_callers import Access
from bench.order_judge import Row
from bench.order_plan import BALANCES, VISIBILITY_LAG_S
from sealane.simulator import Probe, SimAccount

START_LIMIT_S = 20.0
CONTROL_LIMIT_S = 120.0


@dataclass(frozen=True)
class Exchange:
    """A running simulator, as its users see it."""

    url: str
    accounts: Sequence[Access]

    def control(self, verb: str, path: str, document: Any = None) -> Any:
        """One control call; its document."""
        with Probe(self.url, SimAccount("", "", ""), timeout_s=CONTROL_LIMIT_S) as probe:
            status, answer = probe.control(verb, path, document)
        if status != 200:
            raise RuntimeError(f"{verb} {path}: {answer}")
        return answer

    def book(self, by: str) -> dict[str, list[Row]]:
        """All orders that the exchange ever took, by one of their ids."""
        found: dict[str, list[Row]] = {}
        for account in self.control("GET", "/sim/state")["accounts"].values():
            for txid, row in account["orders"].items():
                found.setdefault(str(row.get(by)), []).append(Row(txid, row["opentm"]))
        return found


@contextmanager
def exchange(accounts: int, seed: int) -> Iterator[Exchange]:
    """An exchange whose accounts have enough of everything; it ends with the block."""
    command = [sys.executable, "-m", "sealane.cli", "sim", "--port", "0", "--json"]
    command += ["--accounts", str(accounts), "--seed", str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        stop = threading.Timer(START_LIMIT_S, process.kill)
        stop.start()
        try:
            line = process.stdout.readline()
        finally:
            stop.cancel()
        try:
            document = json.loads(line)
            url, rows = document["url"], document["accounts"]
            found = Exchange(url, [Access(row["name"], url, row["api_key"], row["api_secret"]) for row in rows])
            for access in found.accounts:
                found.control("POST", f"/sim/accounts/{access.name}", {"balances": BALANCES})
            yield found
        finally:
            process.kill()


def environment(accounts: Sequence[Access], folder: Path) -> dict[str, str]:
    """What a program finds in its environment: each account on a lane of its own."""
    found = {
        "KRAKEN_SPOT_URL": accounts[0].url,
        "DATA_DIR": str(folder),
        "SEALANE_LANES": "per-key",
        "SEALANE_VISIBILITY_LAG_S": f"{VISIBILITY_LAG_S:g}",
    }
    for access in accounts:
        prefix = "KRAKEN" if access.name == "MASTER" else f"KRAKEN_USER_{access.name}"
        found |= {f"{prefix}_API_KEY": access.api_key, f"{prefix}_API_SECRET": access.api_secret}
    return found
