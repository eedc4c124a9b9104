"""Connections to a PostgreSQL server, each work on one of them within a limit.

1. A work ends within its limit, whatever the server, the network or the resolver of names does: connections are made
   on threads that can be left behind, and each wait for the server ends in time.
2. A work is a step that may be repeated. What failed on the way is tried again, at first at once (an idle connection
   was cut), then after pauses, until the limit; what the server refuses is told at once.
3. A connection that a work did not end well on is closed. None is handed out twice, nor keeps anything for the next
   work: nothing rests on a session, so a pooler in transaction mode may stand between.
4. No error of the driver leaves this file, nor hangs on one that does: they carry connections, and with them passwords.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

from sealane.errors import SealaneError, SettingsError, Unavailable
from sealane.store.postgres.address import Address
from sealane.store.postgres.limit import Limit

CONNECTIONS_MAX = 8
"""In use at once by one process; who comes later waits."""
REUSED_LIMIT_S = 1.0
"""How long an idle connection has to answer: where it was lost without a word, there is time left for a new one."""
PAUSES_S = (0.0, 0.05, 0.1, 0.2, 0.4)
"""Before each new attempt; the last goes on."""
LATEST_STARTED_S = 0.05
"""With less than this left, no attempt is made."""
# Class 08: connection; 40: serialisation, deadlock; 53300: too many; 57P0x: going down, coming up; 25006: a standby.
_CLASH = "40"
_PASSING = ("08", _CLASH, "53300", "57P01", "57P02", "57P03", "25006")
_PASSING_WORDS = (
    "starting up",
    "shutting down",
    "recovery",
    "too many",
    "slots",
    "no more",
    "try again",
    "not yet",
    "terminating",
)
_SILENCE = "no answer"
T = TypeVar("T")


class TooLate(Exception):
    """The limit of a work was reached while the server was silent."""


@dataclass(frozen=True)
class Failure:
    """What ended an attempt: in words, by SQLSTATE ("" where the server said none), and whether it may pass."""

    reason: str
    sqlstate: str = ""
    passing: bool = False


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """One whose every wait for the server ends at ``limit``."""

    limit = Limit(None)

    def __del__(self, *_: Any) -> None:
        """No warning: one that is kept for the next step ends with the program, and a parent's is its own to close."""

    def drop(self) -> None:
        """In a forked child: without a word on it to the server. The driver ends nothing that it did not begin."""
        with suppress(OSError, psycopg.Error):
            os.close(self.fileno())

    def wait(self, gen: PQGen[T], *arguments: Any, **named: Any) -> T:
        """See psycopg."""
        return super().wait(self._limited(gen), *arguments, **named)

    def _limited(self, gen: PQGen[T]) -> PQGen[T]:
        # psycopg resumes a wait ten times a second, ready or not.
        try:
            awaited = next(gen)
            while True:
                ready = yield awaited
                awaited = gen.send(ready)
                if not self.limit.left_s():
                    gen.close()
                    raise TooLate
        except StopIteration as end:
            value: T = end.value
            return value


class Wires:
    """The connections of one process to one server."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._begin()

    def run(self, work: Callable[[Connection], T], limit: Limit) -> T | Failure:
        """What ``work`` returns, on some connection; or why it could not be done, at the latest when the limit ends."""
        failed, tries = Failure("all connections are in use"), 0
        while limit.left_s() > LATEST_STARTED_S and self._free.acquire(timeout=limit.left_s()):
            try:
                done = self._attempt(work, limit)
            finally:
                self._free.release()
            if not isinstance(done, Failure) or not done.passing:
                return done
            # What was said before tells more than the silence at the end.
            failed = failed if tries and done.reason.startswith(_SILENCE) else done
            self._paused.wait(min(PAUSES_S[min(tries, len(PAUSES_S) - 1)], limit.left_s()))
            tries += 1
        return failed

    def opened(self, limit: Limit) -> Connection | Failure:
        """A new connection, or why there is none."""
        if not self._opening.acquire(timeout=limit.left_s()):
            return Failure("connections are being made, and none arrives", passing=True)
        coming: Future[Connection | Failure] = Future()
        making = threading.Thread(target=self._open, args=(coming, self._opening), name="sealane-postgres", daemon=True)
        try:
            making.start()
        except RuntimeError as error:  # the interpreter is ending
            self._opening.release()
            return Failure(str(error))
        try:
            return coming.result(limit.left_s())
        except Late:
            return Failure(f"{_SILENCE} to a new connection", passing=True) if coming.cancel() else coming.result()

    def shut(self, connection: Connection) -> None:
        """Close a connection."""
        with self._mutex:
            self._open_ones.discard(connection)
        connection.close()

    def close(self) -> None:
        """Close what is idle; what is in use is closed when its work is done."""
        with self._mutex:
            idle = self._idle[:]
            self._idle.clear()
            self._generation += 1
        for connection in idle:
            self.shut(connection)

    def after_fork(self) -> None:
        """In a forked child: drop the parent's connections."""
        for connection in self._open_ones:
            connection.drop()
        self._begin()

    def _begin(self) -> None:
        self._open_ones: set[Connection] = set()
        self._mutex = threading.Lock()
        self._idle: list[Connection] = []
        self._generation = 0
        self._free = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._opening = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._paused = threading.Event()
        self._welcome = False

    def _attempt(self, work: Callable[[Connection], T], limit: Limit) -> T | Failure:
        with self._mutex:
            connection, generation = (self._idle.pop() if self._idle else None), self._generation
        reused = connection is not None
        if connection is None:
            fresh = self.opened(limit)
            if isinstance(fresh, Failure):
                return fresh
            connection = fresh
            connection.add_notify_handler(lambda _: None)  # a pooler may pass on what another asked for
        connection.limit = limit.within(REUSED_LIMIT_S) if reused else limit
        done = self._worked(connection, work)
        if isinstance(done, Failure) and done.passing and not done.sqlstate.startswith(_CLASH):
            self.close()  # one was cut, or its server is no primary any more: so it is with the others
        self._put_back(connection, generation)
        return done

    def _worked(self, connection: Connection, work: Callable[[Connection], T]) -> T | Failure:
        try:
            return work(connection)
        except TooLate:
            self.shut(connection)
            return Failure(_SILENCE, passing=True)
        except psycopg.Error as error:
            return self._failure(error)
        except BaseException:
            self.shut(connection)
            raise

    def _put_back(self, connection: Connection, generation: int) -> None:
        idle = psycopg.pq.TransactionStatus.IDLE
        with self._mutex:
            if generation == self._generation and connection.info.transaction_status == idle:
                self._idle.append(connection)
                return
        self.shut(connection)

    def _open(self, coming: Future[Connection | Failure], opening: threading.BoundedSemaphore) -> None:
        """On a thread of its own: looking up a name cannot be ended from outside."""
        made: Connection | Failure
        try:
            made = Connection.connect(
                self.address.parameters.reveal().decode(), autocommit=True, prepare_threshold=None
            )
            self._welcome = True
            with self._mutex:
                self._open_ones.add(made)
        except Exception as error:
            made = self._refusal(error)
        finally:
            opening.release()
        if coming.set_running_or_notify_cancel():
            coming.set_result(made)
        elif isinstance(made, Connection):
            self.shut(made)

    def _refusal(self, error: Exception) -> Failure:
        """A server that says no ("FATAL") is not asked again, unless it says that it will soon say yes."""
        text = self.address.cleaned(str(error))
        passing = "FATAL" not in text or any(word in text for word in _PASSING_WORDS)
        return Failure(text, "" if passing or self._welcome else "28000", passing=passing)

    def _failure(self, error: psycopg.Error) -> Failure:
        state = error.sqlstate or ""
        lost = not state and isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        text = self.address.cleaned(error.diag.message_primary or str(error))
        if isinstance(error, psycopg.DataError):
            state = state or "22000"
        return Failure(text, state, passing=lost or state.startswith(_PASSING))


def error_of(failure: Failure, address: Address) -> SealaneError:
    """What is raised for a failure, by whose it is."""
    where = address.shown
    if failure.sqlstate.startswith(("28", "3D")):
        return SettingsError(f"PostgreSQL at {where} refuses us: {failure.reason}; check SEALANE_STORE")
    if failure.sqlstate == "42501":
        return SettingsError(f"at {where}: {failure.reason}. Let the owner run: {grants(address.schema)}")
    if failure.sqlstate.startswith("22"):
        return SettingsError(f"what PostgreSQL at {where} cannot keep: {failure.reason}")
    return Unavailable(f"PostgreSQL at {where} cannot be had: {failure.reason}; nothing was issued")


def grants(schema: str) -> str:
    """What a role needs where another made the schema, or needs so as to make it."""
    return (
        f"GRANT USAGE ON SCHEMA {schema} TO <role>; "
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO <role>; "
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO <role>; "
        f"or, so that it makes the schema itself: GRANT CREATE ON DATABASE <database> TO <role>"
    )
