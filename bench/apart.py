"""Each benchmark in a process of its own: what it loads, sets and leaves in memory is not the next one's."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import tempfile
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from bench.report import LATEST, Result

LIMIT_S = 120.0
"""A benchmark that takes longer is stopped and counts as failed."""
END_LIMIT_S = 5.0
_SETTINGS = ("SEALANE_", "KRAKEN_", "COINBASE_", "DATA_DIR")


def run_apart(name: str) -> Result:
    """Run ``bench.<name>`` in a fresh process, with a folder of its own on the disk where the project is."""
    started = time.perf_counter()
    LATEST.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=LATEST.parent) as folder:
        result = _result(name, Path(folder))
    return replace(result, took_s=time.perf_counter() - started)


def _result(name: str, folder: Path) -> Result:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_child, args=(name, folder, theirs))
    process.start()
    theirs.close()
    try:
        return _answer(name, ours)
    finally:
        process.join(END_LIMIT_S)
        process.kill()
        process.join()


def _answer(name: str, ours: Connection) -> Result:
    try:
        if not ours.poll(LIMIT_S):
            return Result(name, "", error=f"not done within {LIMIT_S:.0f} s")
        answer = ours.recv()
    except EOFError:
        return Result(name, "", error="its process ended without a result")
    return answer if isinstance(answer, Result) else Result(name, "", error=f"unexpected answer: {answer!r}")


def _child(name: str, folder: Path, answer: Connection) -> None:
    """In the fresh process: none of the caller's settings or proxies."""
    for variable in list(os.environ):
        if variable.startswith(_SETTINGS) or variable.lower().endswith("_proxy"):
            del os.environ[variable]
    try:
        result: Result = importlib.import_module(f"bench.{name}").run(folder)
    except Exception as error:
        result = Result(name, "", error=f"{type(error).__name__}: {error}")
    answer.send(result)
