"""A program that uses other clients under ``guard``, to be killed: ``worker.py`` with one more role.

``guarded`` lets every kind of client call from threads of its own, all on one key, until the line says something.
"""

import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # bench is no part of the installed package

import ccxt  # noqa: F401 - what takes long to import is there before the first fork
import krakenex  # noqa: F401
import worker
from bench.guarded import CLIENTS, Way
from kraken.spot import User  # noqa: F401

from sealane.plugins import guard


def guarded(line: worker.Line, config: dict[str, Any]) -> None:
    """Clients in ``config["threads"]`` threads of each kind, one client object a kind."""
    way, stop = Way(*(config[name] for name in ("url", "api_key", "api_secret"))), threading.Event()
    calls = {kind: make(way, guard) for kind, make in CLIENTS.items()}
    failures: list[str] = []

    def call_on(kind: str) -> None:
        while not stop.is_set():
            line.say(begun=kind)
            try:
                calls[kind]()
            except Exception as error:
                failures.append(f"{kind}: {error!r}"[:300])
            line.say(done=kind)

    threads = [threading.Thread(target=call_on, args=(kind,)) for kind in calls for _ in range(config["threads"])]
    for thread in threads:
        thread.start()
    next(iter(line), None)
    stop.set()
    for thread in threads:
        thread.join()
    line.say(failures=failures)


worker.ROLES["guarded"] = guarded

if __name__ == "__main__":
    worker.nursery()
