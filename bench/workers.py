"""Processes of a benchmark, each at the end of a pipe."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

END_LIMIT_S = 5


@contextmanager
def spawned(count: int, target: Callable[..., None], *more: object) -> Iterator[list[Connection]]:
    """So many processes that run ``target(pipe, *more)``, by our ends of their pipes; ended with the block."""
    spawn = multiprocessing.get_context("spawn")
    pairs = [spawn.Pipe() for _ in range(count)]
    processes = [spawn.Process(target=target, args=(theirs, *more), daemon=True) for _, theirs in pairs]
    for process in processes:
        process.start()
    for _, theirs in pairs:
        theirs.close()  # so that one that died is seen as the end of its pipe
    try:
        yield [ours for ours, _ in pairs]
    finally:
        for ours, _ in pairs:
            ours.close()
        for process in processes:
            process.join(END_LIMIT_S)
            process.kill()
