"""A process that places orders and may be killed at any instant: one thread an account, all at once.

What it has begun and what it was told goes to its line before it goes on, so that its death takes none of it along.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from bench.order_callers import CLIENTS, Access, Place, Told
from bench.order_plan import Planned


@dataclass(frozen=True)
class Job:
    """What one process is to do: its orders by account, in the order in which they are asked for."""

    client: str
    env: Mapping[str, str]
    accounts: Sequence[Access]
    orders: Mapping[int, Sequence[Planned]]


@dataclass(frozen=True)
class Begun:
    """An order is about to be asked for; ``at_s`` in Unix seconds."""

    number: int
    at_s: float


@dataclass(frozen=True)
class Ended:
    """An order's caller was told its end."""

    number: int
    told: Told


@dataclass(frozen=True)
class Done:
    """All orders of the process have been asked for. It stays until its line is closed."""


def work(line: Connection, job: Job) -> None:
    """The process."""
    os.environ.update(job.env)
    logging.getLogger("sealane").setLevel(logging.CRITICAL)
    mutex = threading.Lock()

    def say(message: object) -> None:
        with mutex:
            line.send(message)

    def place_all(place: Place, orders: Sequence[Planned]) -> None:
        for order in orders:
            say(Begun(order.number, time.time()))
            say(Ended(order.number, place(order)))

    make = CLIENTS[job.client]
    threads = [
        threading.Thread(target=place_all, args=(make(job.accounts[account]), orders), daemon=True)
        for account, orders in job.orders.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    say(Done())
    while line.poll(None):
        line.recv()


def main(line: Connection, job: Job) -> None:
    """``work`` until the line is closed."""
    try:
        work(line, job)
    except (EOFError, OSError):  # whoever started it is done, or gone
        os._exit(0)
