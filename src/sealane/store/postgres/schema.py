"""The schema of an engine, made and brought up to date by the numbered files in ``sql/``.

1. All files that are missing are applied in one transaction, which holds an advisory lock: several processes that
   start together apply each once, and a failure leaves nothing behind.
2. Files are only added. A file that changes what a function takes gives it another name: processes of the version
   before go on while the schema is newer, but start no more.
3. A schema that is up to date needs no right to make anything.
"""

from __future__ import annotations

import hashlib
import re
import threading
from functools import cache
from importlib import resources
from typing import Any

from psycopg import Cursor

from sealane.errors import SettingsError, Unavailable
from sealane.store.postgres.limit import Limit
from sealane.store.postgres.wire import Connection, Failure, Wires, error_of

_THERE = (
    "SELECT EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE n.nspname = %s::text AND c.relname = 'migrations')"
)
OLDEST = 130_000
"""PostgreSQL 13, as libpq counts."""


@cache
def files() -> tuple[tuple[int, str, str], ...]:
    """Number, name and text of each file, in their order."""
    folder = resources.files("sealane.store.postgres").joinpath("sql")
    names = sorted(entry.name for entry in folder.iterdir() if re.fullmatch(r"\d{4}_\w+\.sql", entry.name))
    return tuple((int(name[:4]), name, folder.joinpath(name).read_text("utf-8")) for name in names)


def channel(schema: str) -> str:
    """The channel on which hosts of a schema tell each other; short and plain, whatever the schema is called."""
    return f"sealane_{hashlib.sha256(schema.encode()).hexdigest()[:24]}"


class Schema:
    """Whether the schema is there, asked once; ``forget`` where it turned out to be gone."""

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self._name = wires.address.schema
        self.after_fork()

    def after_fork(self) -> None:
        """In a forked child: ask again."""
        self._mutex = threading.Lock()
        self._ready = False

    def forget(self) -> None:
        """Ask again."""
        self._ready = False

    def ensure(self, limit: Limit) -> None:
        """Return when the schema is up to date; SettingsError where it cannot be, Unavailable where nobody says."""
        if self._ready:
            return
        if not self._mutex.acquire(timeout=limit.left_s()):
            raise Unavailable(f"PostgreSQL at {self._wires.address.shown} cannot be had: its schema is being made")
        try:
            if not self._ready:
                answer = self._wires.run(self._bring_up, limit)
                if isinstance(answer, Failure):
                    raise error_of(answer, self._wires.address)
                self._ready = True
        finally:
            self._mutex.release()

    def _bring_up(self, connection: Connection) -> None:
        self._check_server(connection)
        latest = files()[-1][0]
        if (number := self._number(connection)) < latest:
            with connection.transaction():
                connection.execute("SELECT set_config('lock_timeout', '4000', true)")
                connection.execute("SELECT pg_advisory_xact_lock(%s::bigint)", (self._lock(),))
                self._apply(connection, self._number(connection))
        elif number > latest:
            raise SettingsError(
                f"the schema {self._name} at {self._wires.address.shown} is at step {number}, and this Sealane knows "
                f"{latest}: update Sealane here, as was done on another host"
            )

    def _check_server(self, connection: Connection) -> None:
        if connection.info.server_version < OLDEST:
            version = connection.info.server_version // 10_000
            raise SettingsError(f"{self._wires.address.shown} is PostgreSQL {version}: 13 is the oldest that will do")

    def _number(self, connection: Connection) -> int:
        """Of the last file that was applied, 0 for none."""
        # Not to_regclass(): its cache may not know yet what was made while this transaction waited for the lock.
        there = connection.execute(_THERE, (self._name,))
        if not _first(there):
            return 0
        return int(_first(connection.execute(self._filled("SELECT max(number) FROM {schema}.migrations"))) or 0)

    def _apply(self, connection: Connection, number: int) -> None:
        named = connection.execute("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s::text)", (self._name,))
        if not _first(named):  # asked, as IF NOT EXISTS wants the right to make one all the same
            connection.execute(self._filled("CREATE SCHEMA {schema}"))
        note = self._filled("INSERT INTO {schema}.migrations (number, name) VALUES (%s, %s)")
        for file_number, name, text in files():
            if file_number > number:
                connection.execute(self._filled(text))
                connection.execute(note, (file_number, name))

    def _filled(self, text: str) -> bytes:
        return filled(text, self._name)

    def _lock(self) -> int:
        return int.from_bytes(hashlib.sha256(f"sealane {self._name}".encode()).digest()[:8], signed=True)


def filled(text: str, schema: str) -> bytes:
    """A statement for a schema, whose name is a plain identifier."""
    return text.replace("{schema}", schema).replace("{channel}", channel(schema)).encode()


def _first(cursor: Cursor[Any]) -> Any:
    row = cursor.fetchone()
    return row[0] if row else None
