"""A program that uses Sealane, to be killed: it is started by ``crew.py`` and talks to it in JSON lines.

Run as a script it is a nursery: it has everything imported and forks one worker for every socket that it is handed,
before it opened any lane itself. So a killed worker is followed by a new one within milliseconds.

A worker has one of two roles. ``obey`` does one command at a time, and can be made to stop for good at any step of a
turn. ``traffic`` makes calls from several threads and asyncio tasks at once.
"""

import asyncio
import json
import logging
import os
import random
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from steps import Steps, WatchedTransport, take_the_locks_away, watch

from sealane import AsyncKraken, Kraken
from sealane.client import resolver
from sealane.core.events import NonceRefused
from sealane.errors import Refused, SealaneError
from sealane.global_nonce import get_global_kraken_nonce, get_global_nonce_manager, get_kraken_api_lock
from sealane.telemetry import subscribe

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.001", "price": "1000", "validate": True}
CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Balance", {}),
    ("AddOrder", ORDER),
    ("OpenOrders", {}),
    ("CancelOrder", {"txid": "OAAAAA-AAAAA-AAAAAA"}),  # of no order: a write that Kraken refuses for its content
)


class Line:
    """The worker's end of its socket: JSON lines both ways."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._lines = self._socket.makefile("r")
        self._mutex = threading.Lock()

    def say(self, **message: Any) -> None:
        with self._mutex:
            try:
                self._socket.sendall(json.dumps(message).encode() + b"\n")
            except BrokenPipeError:  # its maker is gone
                os._exit(1)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(next(self._lines))
        return message


def nursery() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead
    control = socket.socket(fileno=0)
    while True:
        message, fds, *_ = socket.recv_fds(control, 65536, 1)
        if not message:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            _work(Line(fds[0]), json.loads(message))
            os._exit(0)
        os.close(fds[0])


def _work(line: Line, config: dict[str, Any]) -> None:
    os.environ.update(config["env"])
    logging.getLogger("sealane").setLevel(logging.ERROR)
    line.say(pid=os.getpid())
    resolver.SCAN_S = 0.2  # a test has less patience than a trader
    if config.get("locks") is False:
        take_the_locks_away()
    ROLES[config["role"]](line, config)


# --- one command at a time --------------------------------------------------------------------------------------------


def _obey(line: Line, config: dict[str, Any]) -> None:
    steps = Steps(line)
    watch(steps)
    clients: dict[str, Kraken] = {}
    for command in line:
        steps.arm(command.get("stop_at"))
        try:
            line.say(result=_carry_out(command, clients, config, steps), steps=steps.names)
        except SealaneError as error:
            line.say(error=type(error).__name__, text=str(error), steps=steps.names)


def _carry_out(command: dict[str, Any], clients: dict[str, Kraken], config: dict[str, Any], steps: Steps) -> Any:
    account = command.get("account", "MASTER")
    if command["do"] in ("call", "order") and account not in clients:
        transport = WatchedTransport(os.environ["KRAKEN_SPOT_URL"], steps)
        wait_s = config.get("turn_wait_s", 30)
        clients[account] = Kraken.from_env(account, turn_wait_s=wait_s, transport=transport)
    match command["do"]:
        case "call":
            return clients[account].private(command["method"], command.get("params") or {})
        case "order":
            return asdict(clients[account].place_order(**command["order"]))
        case "draw":
            return get_global_kraken_nonce()
        case "lock":
            return get_kraken_api_lock().acquire(timeout=command.get("wait_s", 30))
        case "unlock":
            return get_kraken_api_lock().release()
        case other:
            raise ValueError(other)


# --- many calls at once -----------------------------------------------------------------------------------------------


def _traffic(line: Line, config: dict[str, Any]) -> None:
    """Calls from threads and tasks; each a fixed number of them, or without end until the line says something."""
    refused: list[int] = []
    subscribe(lambda event: refused.append(event.nonce) if isinstance(event, NonceRefused) else None)
    if config.get("serialized") is False:
        get_global_nonce_manager().disable_api_serialization()
    stop = threading.Event()
    sources = [threading.Thread(target=_from_thread, args=(line, config, n, stop)) for n in range(config["threads"])]
    if config.get("tasks"):
        sources.append(threading.Thread(target=lambda: asyncio.run(_from_tasks(line, config))))
    for source in sources:
        source.start()
    if not config.get("calls"):
        next(line, None)
        stop.set()
    for source in sources:
        source.join()
    line.say(refused=len(refused))


def _plan(config: dict[str, Any], source: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Which call of which account comes next, by the seed."""
    rng = random.Random(f"{config['seed']} {source}")
    left = config.get("calls") or 1 << 62
    while left:
        left -= 1
        yield rng.choice(config["accounts"]), *rng.choice(CALLS[:1] if config.get("reads") else CALLS)


def _from_thread(line: Line, config: dict[str, Any], number: int, stop: threading.Event) -> None:
    clients = {name: Kraken.from_env(name) for name in config["accounts"]}
    for account, method, params in _plan(config, f"thread {number}"):
        if stop.is_set():
            break
        if config.get("report"):
            line.say(begun=method)
        try:
            clients[account].private(method, params)
        except Refused as error:
            if error.errors != ("EOrder:Unknown order",):
                raise
        if config.get("report"):
            line.say(done=method)


async def _from_tasks(line: Line, config: dict[str, Any]) -> None:
    clients = {name: AsyncKraken.from_env(name) for name in config["accounts"]}
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(config["tasks"]):
                group.create_task(_from_task(clients, config, number))
    finally:
        for client in clients.values():
            await client.close()


async def _from_task(clients: dict[str, AsyncKraken], config: dict[str, Any], number: int) -> None:
    for account, method, params in _plan(config, f"task {number}"):
        try:
            await clients[account].private(method, params)
        except Refused as error:
            if error.errors != ("EOrder:Unknown order",):
                raise


ROLES: dict[str, Callable[[Line, dict[str, Any]], None]] = {"obey": _obey, "traffic": _traffic}

if __name__ == "__main__":
    nursery()
