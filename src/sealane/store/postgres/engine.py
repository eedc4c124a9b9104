"""The engine on PostgreSQL: each verb is one statement on some connection, in a transaction of its own.

See the package for what is promised when the server fails, and ``sql/`` for the decisions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sealane.core.lease import Grant, Lost, Record, Wait, Waiter
from sealane.core.nonce import MAX_NONCE
from sealane.store.engine import ENGINE_LIMIT_S, Documents, Shown
from sealane.store.postgres.address import address_of
from sealane.store.postgres.limit import Limit
from sealane.store.postgres.listener import Listener
from sealane.store.postgres.schema import Schema, channel, filled
from sealane.store.postgres.wire import Failure, Wires, error_of

_STATEMENTS = {
    "acquire": "SELECT {schema}.acquire(%s::text, %s::text, %s::bigint, %s::bigint)",
    "renew": "SELECT {schema}.renew(%s::text, %s::text, %s::bigint, %s::bigint, %s::text[], %s::text[], %s::bigint)",
    "release": "SELECT {schema}.release(%s::text, %s::text, %s::bigint, %s::bigint, %s::text[], %s::text[],"
    " %s::bigint)",
    "withdraw": "SELECT {schema}.withdraw(%s::text, %s::text, %s::bigint)",
    "show": "SELECT {schema}.clock_ms(), {schema}.documents_of(asked.lane), l.lane IS NOT NULL, l.incarnation,"
    " l.quiet_until_ms, l.epoch, l.host, l.claimed, l.since_ms, l.expires_ms, l.floor, l.ceiling, l.clean,"
    " l.waiting, l.waiting_until_ms"
    " FROM (SELECT %s::text AS lane) AS asked LEFT JOIN {schema}.lanes AS l ON l.lane = asked.lane",
    "lanes": 'SELECT lane FROM {schema}.lanes ORDER BY lane COLLATE "C"',
    "fsync": "SELECT current_setting('fsync')",
    "now": "SELECT {schema}.clock_ms()",
    "write": "SELECT {schema}.write_intent(%s::text, %s::text[], %s::text, %s::boolean, %s::boolean)",
    "read": "SELECT document FROM {schema}.intents WHERE intent_id = coalesce("
    "(SELECT intent_id FROM {schema}.intents WHERE intent_id = %s::text),"
    " (SELECT intent_id FROM {schema}.intent_names WHERE name = %s::text))",
    "unsettled": "SELECT intent_id, document FROM {schema}.intents WHERE NOT settled ORDER BY place",
    "recent": "SELECT intent_id, document FROM {schema}.intents ORDER BY place DESC LIMIT %s::bigint",
    "beat": "SELECT {schema}.beat(%s::text, %s::bigint)",
    "lives": "SELECT until_ms > {schema}.clock_ms() FROM {schema}.owners WHERE owner = %s::text",
}
_GONE = ("42P01", "42883", "3F000")
"""No such table, function, schema: somebody dropped it, or put back a copy from before it was made."""
Rows = list[tuple[Any, ...]]


class PostgresEngine:
    """See ``store.engine.Engine``. Connects at its first verb; ``url`` is as in SEALANE_STORE.

    Raises SettingsError for a bad URL, a schema of a newer version or one that this role may not use.
    """

    def __init__(self, url: str) -> None:
        self._address = address_of(url)
        schema = self._address.schema
        self._wires = Wires(self._address)
        self._schema = Schema(self._wires)
        self._listener = Listener(self._wires, channel(schema))
        self._statements = {name: filled(text, schema) for name, text in _STATEMENTS.items()}

    def __repr__(self) -> str:
        return f"<PostgresEngine {self._address.shown}>"

    @property
    def identity(self) -> str:
        """See ``Engine``."""
        return self._address.identity

    @property
    def lease_ms(self) -> int:
        """See ``Engine``."""
        return self._address.lease_ms

    # --- lanes ----------------------------------------------------------------------------------------------------

    def acquire(self, lane: str, host: str, ceiling: int) -> tuple[Grant | Wait, Documents]:
        """See ``Engine``."""
        self._listener.expect(lane, host)
        said = self._step("acquire", lane, host, min(ceiling, MAX_NONCE), self.lease_ms)
        if said["kind"] == "grant":
            return _grant(said), said["documents"]
        self._listener.begin()
        return Wait(said["holder"], said["epoch"], said["ahead"], said["again_ms"]), {}

    def renew(self, lane: str, host: str, epoch: int, ceiling: int, documents: Documents) -> Grant | Lost:
        """See ``Engine``."""
        carried = list(documents), list(documents.values())
        said = self._step("renew", lane, host, epoch, min(ceiling, MAX_NONCE), *carried, self.lease_ms)
        return _grant(said) if said["kind"] == "grant" else Lost(said["holder"], said["epoch"])

    def release(self, lane: str, host: str, epoch: int, last: int, documents: Documents) -> str | Lost:
        """See ``Engine``."""
        carried = list(documents), list(documents.values())
        said = self._step("release", lane, host, epoch, last, *carried, self.lease_ms)
        return str(said["next"]) if said["kind"] == "released" else Lost(said["holder"], said["epoch"])

    def withdraw(self, lane: str, host: str) -> None:
        """See ``Engine``."""
        self._step("withdraw", lane, host, self.lease_ms)

    def await_turn(self, lane: str, host: str, limit_s: float) -> None:
        """See ``Engine``."""
        self._listener.await_turn(lane, host, limit_s)

    def listen(self, host: str, wanted: Callable[[str], None]) -> Callable[[], None]:
        """See ``Engine``."""
        return self._listener.listen(host, wanted)

    def show(self, lane: str) -> Shown:
        """See ``Engine``."""
        now_ms, documents, there, *known, hosts, until_ms = self._ask("show", lane)[0]
        if not there:
            return Shown(None, now_ms, documents)
        waiters = tuple(Waiter(*waiter) for waiter in zip(hosts, until_ms, strict=True))
        return Shown(replace(Record(*known), waiters=waiters), now_ms, documents)

    def lanes(self) -> list[str]:
        """See ``Engine``."""
        return [str(lane) for (lane,) in self._ask("lanes")]

    def now_ms(self) -> int:
        """See ``Engine``."""
        return int(self._ask("now")[0][0])

    # --- intents and processes ------------------------------------------------------------------------------------

    def write_intent(self, intent_id: str, others: tuple[str, ...], text: str, *, settled: bool, sync: bool) -> None:
        """See ``Engine``."""
        self._ask("write", intent_id, list(others), text, settled, sync)

    def read_intent(self, intent_id: str) -> str | None:
        """See ``Engine``."""
        rows = self._ask("read", intent_id, intent_id)
        return str(rows[0][0]) if rows else None

    def unsettled_intents(self) -> list[tuple[str, str]]:
        """See ``Engine``."""
        return [(intent_id, text) for intent_id, text in self._ask("unsettled")]

    def recent_intents(self, limit: int) -> list[tuple[str, str]]:
        """See ``Engine``."""
        return [(intent_id, text) for intent_id, text in self._ask("recent", max(0, limit))]

    def beat(self, owner: str, span_ms: int) -> None:
        """See ``Engine``."""
        self._ask("beat", owner, span_ms)

    def lives(self, owner: str) -> bool:
        """See ``Engine``."""
        rows = self._ask("lives", owner)
        return bool(rows and rows[0][0])

    # --- itself ---------------------------------------------------------------------------------------------------

    def weakness(self) -> str:
        """See ``Engine``. What a session may set otherwise, each step sets for itself."""
        if self._ask("fsync")[0][0] == "on":
            return ""
        return "its disk is never waited for (fsync off): power loss may spoil all it keeps"

    def close(self) -> None:
        """See ``Engine``."""
        self._listener.close()
        self._wires.close()

    def after_fork(self) -> None:
        """See ``Engine``."""
        self._listener.after_fork()
        self._wires.after_fork()
        self._schema.after_fork()

    def _step(self, name: str, *arguments: object) -> dict[str, Any]:
        """A step of a lane: what its function answers."""
        self._listener.go_on()
        answer: dict[str, Any] = self._ask(name, *arguments)[0][0]
        return answer

    def _ask(self, name: str, *arguments: object) -> Rows:
        limit = Limit(ENGINE_LIMIT_S)
        rows = self._answer(name, arguments, limit)
        if isinstance(rows, Failure) and rows.sqlstate in _GONE:
            self._schema.forget()
            rows = self._answer(name, arguments, limit)
        if isinstance(rows, Failure):
            raise error_of(rows, self._address)
        return rows

    def _answer(self, name: str, arguments: tuple[object, ...], limit: Limit) -> Rows | Failure:
        self._schema.ensure(limit)
        statement = self._statements[name]
        return self._wires.run(lambda wire: wire.execute(statement, arguments).fetchall(), limit)


def _grant(said: dict[str, Any]) -> Grant:
    return Grant(said["epoch"], said["floor"], said["ceiling"], said["clean"], said["wanted"])
