"""Which orders a virtual key placed, in one SQLite file; and when its dead-man switch is due.

1. An order is noted before it is sent and its txid after: a gateway that was killed in between still knows it by the
   name that it went under, its ``cl_ord_id`` or ``userref``.
2. ``key`` is a virtual key's *name*, which a rotation keeps. An order is one key's: where its txid is known, that
   decides. To have asked under a name makes no order of that name one's own: it must have been placed, or have been
   opened since. Of two keys that asked, it is the later one's.
3. A ``userref`` names many orders and guards nothing, so a row is known by it only together with pair, side and
   volume, and when it was opened; one that the gateway drew by chance is enough by itself.
4. Used by one thread (SQLite enforces it). WAL without a sync at every write: kill -9 loses nothing, power loss may
   lose the last moments. What is not known is not own: an order that was forgotten is left alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

from sealane.errors import NotDurable
from sealane.gateway.keys.pairs import compact
from sealane.gateway.keys.private_files import FILE_MODE, make_folder

By = Literal["cl_ord_id", "userref"]
DRAWN = "drawn"
"""Set in an order whose userref the gateway drew by chance: it is nobody else's, whatever its terms."""
DIGEST = "digest"
"""Set in an order: of what was asked for, so that the same order is known when it is asked for again."""
BUSY_S = 0.25
"""How long another process's write is waited for."""
CLOCKS_APART_S = 10.0
"""How far this machine's clock may be ahead of Kraken's for an order to be known by its userref."""
OPENED_WITHIN_S = 150.0
"""An order is opened so soon after it was asked for, if at all: its wait, its deadline, and what clocks differ by."""
_UUID_DIGITS = 32
_SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY, account TEXT NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    fields TEXT NOT NULL, asked_s REAL NOT NULL, txid TEXT
);
CREATE INDEX IF NOT EXISTS orders_by_name ON orders (kind, name);
CREATE INDEX IF NOT EXISTS orders_by_txid ON orders (txid) WHERE txid IS NOT NULL;
CREATE INDEX IF NOT EXISTS orders_without_txid ON orders (kind, name, key) WHERE txid IS NULL;
CREATE INDEX IF NOT EXISTS orders_by_time ON orders (asked_s);
CREATE TABLE IF NOT EXISTS timers (key TEXT PRIMARY KEY, at_s REAL NOT NULL) WITHOUT ROWID;
"""
_MOVE_AWAY = "Move it away to begin anew: orders that are open now are then no key's own, and left alone"
_INSERT = "INSERT INTO orders (account, key, kind, name, fields, asked_s) VALUES (?, ?, ?, ?, ?, ?)"
_NAMED = "kind = ? AND name = ? AND key = ?"
_PLACED_AS = f"SELECT txid, fields FROM orders WHERE {_NAMED} AND txid IS NOT NULL ORDER BY id DESC LIMIT 1"  # noqa: S608
_FORGET_AWAITED = f"DELETE FROM orders WHERE {_NAMED} AND txid IS NULL AND json_extract(fields, '$.digest') = ?"  # noqa: S608
_PLACED_SINCE = "SELECT txid FROM orders WHERE key = ? AND asked_s >= ? AND txid IS NOT NULL"
_AWAITED = "SELECT 1 FROM orders WHERE kind = 'cl_ord_id' AND name = ? AND key = ? AND txid IS NULL LIMIT 1"
_ASKER = (
    "SELECT key FROM orders WHERE txid IS NULL AND asked_s BETWEEN ? AND ? AND kind = 'cl_ord_id' AND name = ? AND "
    "(key = ? OR account != '' AND account IN "
    "(SELECT account FROM orders WHERE kind = 'cl_ord_id' AND name = ? AND key = ?)) ORDER BY id DESC LIMIT 1"
)
_UNCLEAR = "SELECT 1 FROM orders WHERE key = ? AND asked_s >= ? AND txid IS NULL LIMIT 1"
_MEANT = f"id = (SELECT min(id) FROM orders WHERE {_NAMED} AND txid IS NULL AND id = coalesce(?, id))"  # noqa: S608


class Ledger:
    """The orders of all virtual keys. Every verb raises NotDurable where the file cannot be read or written.

    ``pair_name`` makes one name of a pair's spellings. Orders of before ``KEPT_S`` are forgotten when it is opened.
    """

    def __init__(self, path: Path, pair_name: Callable[[str], str] = compact) -> None:
        self.path, self._pair_name = path, pair_name
        with self._told():
            make_folder(path.parent)
            path.touch(FILE_MODE)
            self._db = _opened(path)

    def asked(self, key: str, name: str, by: By, order: Mapping[str, Any], at_s: float, *, account: str = "") -> int:
        """An order is about to be sent. ``order`` has Kraken's names: pair, type, ordertype, volume, price …

        ``account`` tells one account's names from another's. Returns the note's number: of orders that share a
        ``userref``, ``placed`` and ``not_placed`` know by it which one is meant.
        """
        row = (account, key, by, _plain(by, name), json.dumps(dict(order), default=str), at_s)
        return self._change(_INSERT, row).lastrowid or 0

    def placed(self, key: str, name: str, by: By, txid: str, *, number: int | None = None) -> None:
        """Kraken's id of the order that was asked for under this name; of several, the first without one.

        Where the id is noted already, of this key or another, the order was asked for again: that note goes.
        """
        if self._owner_of(txid) is not None:
            self.not_placed(key, name, by, number=number)
            return
        self._change(
            f"UPDATE orders SET txid = ? WHERE {_MEANT}",  # noqa: S608 - the statement is a constant
            (txid, by, _plain(by, name), key, number),
        )

    def not_placed(self, key: str, name: str, by: By, *, number: int | None = None) -> None:
        """The order that was asked for under this name never will be; of several, the first without a txid."""
        self._change(f"DELETE FROM orders WHERE {_MEANT}", (by, _plain(by, name), key, number))  # noqa: S608 - as above

    def forget_awaited(self, key: str, name: str, by: By, digest: str) -> None:
        """It is known what became of this order: the notes of earlier times that it was asked for go."""
        self._change(_FORGET_AWAITED, (by, _plain(by, name), key, digest))

    def is_own(self, key: str, *, txid: str) -> bool:
        """Whether this is known for an order of the key."""
        return self._owner_of(txid) == key

    def is_awaited(self, key: str, cl_ord_id: str) -> bool:
        """Whether the key asked for an order of this name of which it is not known what became."""
        return bool(self._run(_AWAITED, (_plain("cl_ord_id", cl_ord_id), key)))

    def is_unclear(self, key: str, since_s: float) -> bool:
        """Whether the key asked since then for an order of which it is not known what became."""
        return bool(self._run(_UNCLEAR, (key, since_s)))

    def placed_since(self, key: str, since_s: float) -> list[str]:
        """The txids of the key's orders that were asked for since then."""
        return [str(txid) for (txid,) in self._run(_PLACED_SINCE, (key, since_s))]

    def placed_as(self, key: str, name: str, by: By) -> tuple[str, Mapping[str, Any]] | None:
        """The txid of the last order that the key placed under a name, and the order as it was asked for."""
        rows = self._run(_PLACED_AS, (by, _plain(by, name), key))
        return (str(rows[0][0]), json.loads(rows[0][1])) if rows else None

    def own_among(self, key: str, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """The txids of those rows of OpenOrders that the key placed, in their order."""
        return [txid for txid, row in rows.items() if self._is_own_row(key, txid, row)]

    def _is_own_row(self, key: str, txid: str, row: Mapping[str, Any]) -> bool:
        owner = self._owner_of(txid)
        if owner is not None:
            return owner == key
        cl_ord_id, userref = row.get("cl_ord_id"), row.get("userref")
        if isinstance(cl_ord_id, str) and cl_ord_id:
            return self._asker(cl_ord_id, key, _amount(row.get("opentm"))) == key
        return userref is not None and self._is_asked_for(key, str(userref), row)

    def _is_asked_for(self, key: str, userref: str, row: Mapping[str, Any]) -> bool:
        asked = self._run(
            "SELECT fields, asked_s FROM orders WHERE kind = 'userref' AND name = ? AND key = ? AND txid IS NULL",
            (userref, key),
        )
        opened_s = _amount(row.get("opentm"))
        told = row.get("descr")
        if opened_s is None or not isinstance(told, Mapping):
            return False
        shown = self._terms({**told, "volume": row.get("vol")})
        since = [json.loads(fields) for fields, asked_s in asked if _may_be_opened(asked_s, float(opened_s))]
        is_told = shown[-1] is not None  # without a volume that is a number it looks like no order
        return any(order.get(DRAWN) is True or (is_told and self._terms(order) == shown) for order in since)

    def _terms(self, order: Mapping[str, Any]) -> tuple[str, Any, Decimal | None]:
        named = str(order.get("pair"))
        try:
            pair = self._pair_name(named)
        except KeyError:
            pair = named
        return pair, order.get("type"), _amount(order.get("volume"))

    def _owner_of(self, txid: str) -> str | None:
        rows = self._run("SELECT key FROM orders WHERE txid = ? ORDER BY id DESC LIMIT 1", (txid,))
        return str(rows[0][0]) if rows else None

    def _asker(self, name: str, key: str, opened_s: Decimal | None) -> str | None:
        """Who asked last for an order of this name that is known by its name alone, before it was opened."""
        if opened_s is None:
            return None
        name, seconds = _plain("cl_ord_id", name), float(opened_s)
        rows = self._run(_ASKER, (seconds - OPENED_WITHIN_S, seconds + CLOCKS_APART_S, name, key, name, key))
        return str(rows[0][0]) if rows else None

    # --- timers -----------------------------------------------------------------------------------------------------

    def arm(self, key: str, at_s: float | None) -> None:
        """Set the key's dead-man switch to a time (Unix, seconds), or put it off with None."""
        if at_s is None:
            self._change("DELETE FROM timers WHERE key = ?", (key,))
        else:
            self._change("INSERT OR REPLACE INTO timers (key, at_s) VALUES (?, ?)", (key, at_s))

    def due(self, now_s: float) -> dict[str, float]:
        """The keys whose switch is due and since when, the longest due first; they stay so to ``arm`` or ``fired``."""
        rows = self._run("SELECT key, at_s FROM timers WHERE at_s <= ? ORDER BY at_s", (now_s,))
        return {str(key): float(at_s) for key, at_s in rows}

    def fired(self, key: str, at_s: float) -> None:
        """The key's switch of this time is done with; one that was set to another meanwhile stays."""
        self._change("DELETE FROM timers WHERE key = ? AND at_s = ?", (key, at_s))

    def armed(self) -> dict[str, float]:
        """Every switch that is set, with its time."""
        return {str(key): float(at_s) for key, at_s in self._run("SELECT key, at_s FROM timers", ())}

    def forget_before(self, at_s: float) -> int:
        """Forget orders that were asked for before; returns how many. One that is still open is then nobody's."""
        return self._change("DELETE FROM orders WHERE asked_s < ?", (at_s,)).rowcount

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _run(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._told():
            return self._db.execute(statement, values).fetchall()

    def _change(self, statement: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        with self._told():
            return self._db.execute(statement, values)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            remedy = _MOVE_AWAY if _is_damaged(error) else "Free space, or make its folder writable"
            raise NotDurable(f"Could not keep which key placed an order: {self.path}: {error}. {remedy}") from error


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _SCHEMA)
    except BaseException:
        db.close()
        raise
    return db


def _may_be_opened(asked_s: float, opened_s: float) -> bool:
    """Whether an order that was asked for then may have been opened at that time by Kraken's clock."""
    return asked_s - CLOCKS_APART_S <= opened_s <= asked_s + OPENED_WITHIN_S


def _is_damaged(error: Exception) -> bool:
    """Whether it is the file's content rather than what is around it."""
    return type(error) is sqlite3.DatabaseError


def _plain(kind: str, name: object) -> str:
    """A name without the choices in spelling it: of a UUID, dashes and capitals say nothing."""
    text = str(name)
    digits = text.replace("-", "").casefold()
    is_uuid = kind == "cl_ord_id" and len(digits) == _UUID_DIGITS and all(one in "0123456789abcdef" for one in digits)
    return digits if is_uuid else text


def _amount(value: object) -> Decimal | None:
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
