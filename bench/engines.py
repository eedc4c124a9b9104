"""Engines of a benchmark's own: the servers that the tests start, in folders of their own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KINDS = {"redis": "Valkey", "postgres": "PostgreSQL"}
SERVERS = Path(__file__).parent.parent / "tests" / "engines"


@contextmanager
def running(kind: str, folder: Path) -> Iterator[str]:
    """A server of the kind; its URL, as in SEALANE_STORE. Ended with the block."""
    if str(SERVERS) not in sys.path:
        sys.path.append(str(SERVERS))
    servers = importlib.import_module(f"{kind}_server")
    if kind == "redis":
        with servers.serving(folder, "--appendonly", "yes") as server:
            yield server.url()
        return
    binaries = next(iter(servers.BINARIES.values()))
    server = servers.Server(servers.within_reach(binaries), synchronous_commit="on")
    try:
        yield server.url()
    finally:
        server.close()
