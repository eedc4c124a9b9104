"""A thread that is told which lanes of a host are wanted. Hints: what is published while it reconnects is missed.

It asks for a sign of life where it hears nothing, since a connection may have been cut without a word.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

from sealane.errors import SealaneError
from sealane.store.redis.wire import Connection, Reply, Wire

QUIET_S = 5.0
"""After so long without a word a sign of life is asked for, and waited for as long."""
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.05, 2.0
FIRST_S = 1.0
"""How long whoever starts a listener waits until it hears."""
END_S = 5.0
logger = logging.getLogger("sealane.store")


class Listener:
    """Calls ``wanted`` with each lane that is published on a channel, until ``end``."""

    def __init__(self, wire: Wire, channel: str, wanted: Callable[[str], None]) -> None:
        self._wire, self._channel, self._wanted = wire, channel, wanted
        self._ended, self._hears = threading.Event(), threading.Event()
        self._mutex = threading.Lock()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name=f"sealane listens to {channel}", daemon=True)

    def start(self) -> None:
        """Returns once it hears, or after a while: the server may come later."""
        self._thread.start()
        self._hears.wait(FIRST_S)

    def end(self) -> None:
        """Stop for good; may be called more than once, also by ``wanted``."""
        self._ended.set()
        with self._mutex:
            if self._connection is not None:
                self._connection.disconnect()
        if threading.current_thread() is not self._thread:
            self._thread.join(END_S)

    def _run(self) -> None:
        backoff_s = BACKOFF_MIN_S
        while not self._ended.is_set():
            with contextlib.suppress(SealaneError):
                connection = self._wire.subscription(self._channel)
                if self._is_taken(connection):
                    backoff_s = BACKOFF_MIN_S
                    self._listen(connection)
                connection.disconnect()
            self._ended.wait(backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    def _is_taken(self, connection: Connection) -> bool:
        with self._mutex:
            if self._ended.is_set():
                return False
            self._connection = connection
        self._hears.set()
        return True

    def _listen(self, connection: Connection) -> None:
        asked = False
        while not self._ended.is_set():
            try:
                if connection.can_read(QUIET_S):
                    asked = False
                    self._hear(connection.read_response())
                elif asked:
                    return
                else:
                    asked = True
                    connection.send_command("PING")
            except Exception:  # whatever it is, a new connection is the answer; ending it from outside is one cause
                return

    def _hear(self, said: Reply) -> None:
        if said[0] == "message" and not self._ended.is_set():
            try:
                self._wanted(said[-1])
            except Exception:
                logger.exception("whoever is told that a lane is wanted failed")
