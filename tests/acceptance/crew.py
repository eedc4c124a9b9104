"""The test's side of the workers: start them, talk to them, stop and kill them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sealane.simulator import Simulator

LIMIT_S = 20.0
"""How long anything that should happen at once may take on a busy machine."""


class Gone(Exception):
    """The worker's line ended: it is dead."""


class Worker:
    """One process, by its line."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._rest = b""
        self._heard: deque[dict[str, Any]] = deque()
        self.pid: int = self.hear()["pid"]

    def ask(self, do: str, **command: Any) -> None:
        """Send a command; ``hear`` gives what came of it."""
        self._line.sendall(json.dumps({"do": do, **command}).encode() + b"\n")

    def order(self, do: str, *, limit_s: float = LIMIT_S, **command: Any) -> dict[str, Any]:
        """Send a command and wait for what comes of it."""
        self.ask(do, **command)
        return self.hear(limit_s)

    def hear(self, limit_s: float = LIMIT_S) -> dict[str, Any]:
        """The next message; TimeoutError after the limit, Gone when the worker is dead."""
        self._line.settimeout(limit_s)
        while not self._heard:
            try:
                content = self._line.recv(65536)
            except ConnectionResetError:
                content = b""
            if not content:
                raise Gone
            *lines, self._rest = (self._rest + content).split(b"\n")
            self._heard.extend(map(json.loads, lines))
        return self._heard.popleft()

    def hear_about(self, name: str, limit_s: float = LIMIT_S) -> Any:
        """The value of the next message that has ``name``; others are passed over."""
        end = time.monotonic() + limit_s
        while name not in (message := self.hear(max(0.001, end - time.monotonic()))):
            pass
        return message[name]

    def forget(self) -> None:
        """Pass over all that was said so far."""
        self._heard.clear()
        self._line.setblocking(False)
        try:
            while content := self._line.recv(65536):
                self._rest = (self._rest + content).rpartition(b"\n")[2]
        except BlockingIOError:
            pass

    def pause(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> tuple[int, int]:
        """SIGKILL; returns the wall clock in nanoseconds before it and after the death."""
        before = time.time_ns()
        os.kill(self.pid, signal.SIGKILL)
        self._line.settimeout(LIMIT_S)
        try:
            while self._line.recv(65536):
                pass
        except ConnectionResetError:
            pass
        self._line.close()
        return before, time.time_ns()

    def close(self) -> None:
        """Let it go: it ends when its line does."""
        self._line.close()


def environment(kraken: Simulator, folder: Path, lanes: str = "global") -> dict[str, str]:
    """The variables by which a program finds the simulator's accounts and its data folder."""
    env = {"KRAKEN_SPOT_URL": kraken.url, "DATA_DIR": str(folder), "SEALANE_LANES": lanes}
    for account in kraken.accounts:
        prefix = "KRAKEN" if account.name == "MASTER" else f"KRAKEN_USER_{account.name}"
        env |= {f"{prefix}_API_KEY": account.api_key, f"{prefix}_API_SECRET": account.api_secret}
    return env


class Crew:
    """All workers of a test, in one environment; a context manager that leaves none behind.

    ``script`` is the program that forks them: ``worker.py``, or one that adds roles to it.
    """

    def __init__(self, env: dict[str, str], script: str = "worker.py") -> None:
        self.env = env
        self._script = Path(__file__).with_name(script)
        self._workers: list[Worker] = []

    def __enter__(self) -> Self:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._nursery = subprocess.Popen([sys.executable, str(self._script)], stdin=theirs)
        return self

    def start(self, role: str, **config: Any) -> Worker:
        """A new process in the role ``obey`` or ``traffic``; see ``worker.py``."""
        env = self.env | config.pop("env", {})
        mine, theirs = socket.socketpair()
        with theirs:
            message = json.dumps({"role": role, "env": env, **config}).encode()
            socket.send_fds(self._control, [message], [theirs.fileno()])
        worker = Worker(mine)
        self._workers.append(worker)
        return worker

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.close()
        self._control.close()
        self._nursery.wait(LIMIT_S)
