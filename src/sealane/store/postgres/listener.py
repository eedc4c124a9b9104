"""One connection that listens, and a thread that passes on what it hears.

1. Hints only: while nothing is heard (no server, a pooler in transaction mode between) waits end by their limit.
2. Once it listens (again), everybody who waits is woken: what was said meanwhile is lost.
3. The thread ends at ``close``, and begins when it is next needed. It tries to connect at ever longer intervals.
"""

from __future__ import annotations

import json
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import psycopg

from sealane.store.engine import ENGINE_LIMIT_S
from sealane.store.postgres.limit import Limit
from sealane.store.postgres.wire import Connection, Failure, TooLate, Wires

BACKOFF_S = (0.1, 0.3, 1.0, 3.0)
"""Between attempts to connect; the last goes on."""
HEARTBEAT_S = 10.0
"""How often a silent connection is asked whether it is still one."""
CLOSE_S = 1.0
"""How long ``close`` waits for the thread; one that is connecting ends by itself later."""


class Listener:
    """Who waits for a turn, who wants to be told, and the thread that hears for them."""

    def __init__(self, wires: Wires, channel: str) -> None:
        self._wires, self._channel = wires, channel
        self._begin()

    def after_fork(self) -> None:
        """In a forked child: nobody waits here yet."""
        if self._ears:
            self._ears.drop()
        self._begin()

    def _begin(self) -> None:
        self._mutex = threading.Lock()
        self._turns: dict[tuple[str, str], threading.Event] = {}
        self._told: list[tuple[str, Callable[[str], None]]] = []
        self._ears: _Ears | None = None

    def expect(self, lane: str, host: str) -> None:
        """Remember a turn that is given from now on, so that ``await_turn`` returns at once."""
        with self._mutex:
            self._turns.setdefault((lane, host), threading.Event())

    def begin(self) -> None:
        """Have the thread run."""
        with self._mutex:
            if self._ears is None:
                self._ears = _Ears(self._wires, self._channel, self._heard, self._wake_all)

    def go_on(self) -> None:
        """Have the thread run if somebody wants to be told."""
        if self._told and self._ears is None:
            self.begin()

    def await_turn(self, lane: str, host: str, limit_s: float) -> None:
        """Block until woken, or for ``limit_s``."""
        self.begin()
        with self._mutex:
            turn = self._turns.setdefault((lane, host), threading.Event())
        turn.wait(max(0.0, limit_s))
        turn.clear()

    def listen(self, host: str, wanted: Callable[[str], None]) -> Callable[[], None]:
        """See ``Engine``. Waits for the connection, for what is said before it listens is not heard."""
        entry = host, wanted
        with self._mutex:
            self._told.append(entry)
        self.begin()
        ears = self._ears
        if ears:
            ears.listening.wait(ENGINE_LIMIT_S)

        def stop() -> None:
            with self._mutex:
                self._told = [other for other in self._told if other is not entry]

        return stop

    def close(self) -> None:
        """End the thread, and wake who waits."""
        with self._mutex:
            ears, self._ears = self._ears, None
        if ears:
            ears.close()
        self._wake_all()

    def _wake_all(self) -> None:
        with self._mutex:
            turns = tuple(self._turns.values())
        for turn in turns:
            turn.set()

    def _heard(self, kind: str, host: str, lane: str) -> None:
        with self._mutex:
            turn = self._turns.get((lane, host))
            told = [wanted for to, wanted in self._told if to == host]
        if kind == "turn" and turn:
            turn.set()
        if kind == "wanted":
            for wanted in told:
                with suppress(Exception):  # it is the caller's, and the others want to hear too
                    wanted(lane)


class _Ears:
    """The thread with its connection, from ``begin`` to ``close``."""

    def __init__(
        self, wires: Wires, channel: str, heard: Callable[[str, str, str], None], begun: Callable[[], None]
    ) -> None:
        self._wires, self._statement = wires, f'LISTEN "{channel}"'.encode()
        self._heard, self._begun = heard, begun
        self.listening = threading.Event()
        self._closed = threading.Event()
        self._nudged, self._nudge = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="sealane-postgres-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        with suppress(OSError):
            self._nudge.send(b".")
        if self._thread is not threading.current_thread():
            self._thread.join(CLOSE_S)

    def drop(self) -> None:
        """In a forked child, where the thread is not."""
        self._nudged.close()
        self._nudge.close()

    def _run(self) -> None:
        with self._nudged, self._nudge:
            tries = 0
            while not self._closed.is_set():
                connection = self._wires.opened(Limit(ENGINE_LIMIT_S))
                if not isinstance(connection, Failure) and self._heard_on(connection):
                    tries = 0
                self._closed.wait(BACKOFF_S[min(tries, len(BACKOFF_S) - 1)])
                tries += 1

    def _heard_on(self, connection: Connection) -> bool:
        """Pass on what comes until the connection ends; whether it had been listening."""
        try:
            self._asked(connection, self._statement)
            self.listening.set()
            self._begun()
            while not self._closed.is_set():
                self._pass_on(connection)
        except (psycopg.Error, TooLate, OSError):
            pass
        finally:
            was_listening = self.listening.is_set()
            self.listening.clear()
            self._wires.shut(connection)
        return was_listening

    def _pass_on(self, connection: Connection) -> None:
        for said in connection.notifies(timeout=0):
            self._understood(said.payload)
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._nudged, selectors.EVENT_READ)
            quiet = not selector.select(HEARTBEAT_S)
        if quiet:
            self._asked(connection, b"SELECT 1")

    def _understood(self, payload: str) -> None:
        try:
            kind, host, lane = json.loads(payload)
        except (ValueError, TypeError):
            return  # anybody may say anything on a channel
        self._heard(str(kind), str(host), str(lane))

    def _asked(self, connection: Connection, statement: bytes) -> None:
        connection.limit = Limit(ENGINE_LIMIT_S)
        connection.execute(statement)
        connection.limit = Limit(None)
