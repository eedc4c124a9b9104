"""The steps of a turn, made visible: every effect, every verb of the disk, every movement on the wire.

A program under watch can be told to stop at the n-th step of its next call. It then reports where it is and stays
there, until it is killed or told to go on.
"""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import sealane.store.file
from sealane.core import effects
from sealane.runtime import threads
from sealane.store.disk import OsDisk
from sealane.transport.http import HttpTransport


class Saying(Protocol):
    """Where a stop is reported, and where the word to go on comes from."""

    def say(self, **message: Any) -> None: ...

    def __next__(self) -> dict[str, Any]: ...


class Steps:
    """Counts the steps of one thread."""

    def __init__(self, line: Saying) -> None:
        self._line = line
        self._thread = threading.get_ident()
        self.arm(None)

    def arm(self, stop_at: int | None) -> None:
        self.names: list[str] = []
        self._stop_at = stop_at

    def at(self, name: str) -> None:
        if threading.get_ident() != self._thread:
            return
        self.names.append(name)
        if len(self.names) == self._stop_at:
            self._line.say(step=name, steps=self.names)
            if next(self._line, None) is None:  # its maker is gone
                os._exit(1)


class WatchedDisk:
    """The real disk; every verb is a step, and so is the middle of a write to anything but a nonce file.

    (The nonce file is exempt because a kill does not end a write of 19 bytes half way: its content is a promise.)
    """

    def __init__(self, steps: Steps) -> None:
        self._steps, self._disk = steps, OsDisk()
        self._names: dict[int, str] = {}

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        act: Callable[..., Any] = getattr(self._disk, verb)

        def watched(*given: Any) -> Any:
            name = self._name(given)
            self._steps.at(f"{verb} {name}")
            if verb == "write" and not name.endswith(".txt"):
                self._half(name, *given)
            result = act(*given)
            if verb == "open":
                self._names[result] = given[0].name
            return result

        return watched

    def _half(self, name: str, fd: int, content: bytes, offset: int = 0) -> None:
        self._disk.write(fd, content[: len(content) // 2], offset)
        self._steps.at(f"write half of {name}")

    def _name(self, given: tuple[Any, ...]) -> str:
        first = given[0] if given else ""
        return first.name if isinstance(first, Path) else self._names.get(first, "")


class WatchedSocket(socket.socket):
    """A connection of which each movement is a step, the middle of a request too."""

    steps: Steps

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.steps.at("send")
        super().sendall(data[: len(data) // 2], flags)
        self.steps.at("half sent")
        super().sendall(data[len(data) // 2 :], flags)
        self.steps.at("sent")

    def recv_into(self, *given: Any) -> int:
        self.steps.at("receive")
        size = super().recv_into(*given)
        self.steps.at("received")
        return size


class WatchedTransport(HttpTransport):
    """HTTP over watched connections."""

    def __init__(self, url: str, steps: Steps) -> None:
        super().__init__(url)
        self._steps = steps

    def _connect(self) -> socket.socket:
        self._steps.at("connect")
        wire = WatchedSocket(fileno=super()._connect().detach())
        wire.steps = self._steps
        return wire


def watch(steps: Steps) -> None:
    """From now on all effects and all files of this process are watched."""
    sealane.store.file.OsDisk = lambda: WatchedDisk(steps)  # type: ignore[assignment,misc]
    perform = threads._perform

    def watched(effect: effects.Effect, *rest: Any) -> object:
        steps.at(type(effect).__name__)
        answer = perform(effect, *rest)
        steps.at(f"{type(effect).__name__} done")
        return answer

    threads._perform = watched


def take_the_locks_away() -> None:
    """A broken store, to see whether the judge finds it out: nobody waits for anybody."""
    OsDisk.lock = OsDisk.unlock = lambda self, fd: None  # type: ignore[method-assign]
    OsDisk.try_lock = lambda self, fd: True  # type: ignore[method-assign]
