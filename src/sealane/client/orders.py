"""Orders as a client of either colour makes them: arguments checked and turned into flows.

Each flow runs under one id, its intent's. Where its caller is gone before the end (an interrupt, a cancelled task, its
time is up), the intent is handed to the background.
"""

from __future__ import annotations

import math
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar, cast

from sealane.client.forwarding import BATCH_MAX, BATCH_MIN, Forwarded, Prepared
from sealane.client.resolver import Resolver
from sealane.core.buying import BATCH_BUYS_OFF, BUYS_OFF, buys, call_buys
from sealane.core.call import private_call
from sealane.core.cancelling import Cancellation, cancel, cancel_everything, cancel_several
from sealane.core.effects import Caller, Flow
from sealane.core.nonce import NS_PER_S
from sealane.core.order import (
    VALIDATED,
    Amended,
    End,
    Intent,
    NotAmended,
    NotPlaced,
    Placed,
    amount,
    checked_id,
    digest_of,
    no_float,
    order_fields,
)
from sealane.core.placing import Order
from sealane.core.resolving import exactly_once, held_back, resolve
from sealane.errors import InDoubt, Refused, SettingsError
from sealane.runtime.desk import intent_in, read_intent
from sealane.store.port import IntentLog

DEADLINE_S = 10.0
TIMEOUT_S = 90.0
DEADLINE_MIN_S, DEADLINE_MAX_S = 3.0, 60.0
"""Kraken takes 2 to 60 s; the way there takes its part."""
TIMEOUT_MAX_S = 3_600.0
CANCEL_MAX = 50
USERREF_BITS = 31
KNOWN_SEARCHED = 10_000

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """How long an order is good for, and how long its caller waits for its end, in seconds."""

    deadline_s: float
    timeout_s: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, (int, float)):
                raise SettingsError(f"{name} is {value!r}: give a number of seconds")
        if not DEADLINE_MIN_S <= self.deadline_s <= DEADLINE_MAX_S:
            raise SettingsError(
                f"deadline_s is {self.deadline_s}: give {DEADLINE_MIN_S:.0f} … {DEADLINE_MAX_S:.0f} seconds"
            )
        if not 0 < self.timeout_s <= TIMEOUT_MAX_S:
            raise SettingsError(f"timeout_s is {self.timeout_s}: give more than 0 and at most {TIMEOUT_MAX_S:.0f} s")


class Orders:
    """One session's orders. ``now_ns`` is the wall clock. With ``buys_off`` nothing that buys is sent."""

    def __init__(
        self,
        caller: Callable[[], Caller],
        log: IntentLog,
        resolver: Resolver,
        now_ns: Callable[[], int],
        *,
        lag_s: float,
        sync: bool,
        buys_off: bool = False,
    ) -> None:
        self._caller, self._log, self._resolver, self._now_ns = caller, log, resolver, now_ns
        self._lag_s, self._sync, self._buys_off = lag_s, sync, buys_off

    # --- orders ---------------------------------------------------------------------------------------------------

    def place(
        self, pair: str, order: Mapping[str, object], limits: Limits, *, validate: bool
    ) -> Flow[Placed | NotPlaced]:
        """One order, in the words of ``Kraken.place_order``."""
        if not isinstance(validate, bool):  # what is not True would be a real order
            raise SettingsError(f"validate is {validate!r}: give True or False")
        fields = one_order(order)
        client_order_id = str(fields["cl_ord_id"])
        params = {"pair": pair, **fields}
        if validate:
            return (yield from self._validated("AddOrder", params, client_order_id))
        intent = self._intent("AddOrder", params, (client_order_id,), limits, market=fields["ordertype"] == "market")
        fresh = order.get("client_order_id") is None
        blocked = BUYS_OFF if self._buys_off and buys(fields) else ""
        ends = yield from self._seen_through(intent, params, limits, fresh=fresh, blocked=blocked)
        return cast(Placed | NotPlaced, ends[client_order_id])

    def place_several(
        self, pair: str, orders: Sequence[Mapping[str, object]], limits: Limits
    ) -> Flow[tuple[Placed | NotPlaced, ...]]:
        """Two to fifteen orders of a pair in one call, each with its own end."""
        if not BATCH_MIN <= len(orders) <= BATCH_MAX:
            raise SettingsError(f"a batch has {BATCH_MIN} to {BATCH_MAX} orders, not {len(orders)}")
        several = [one_order(order) for order in orders]
        ids = tuple(str(order["cl_ord_id"]) for order in several)
        if len(set(ids)) < len(ids):
            raise SettingsError("two orders of the batch have the same client_order_id: give each its own")
        params = {"pair": pair, "orders": several}
        intent = self._intent("AddOrderBatch", params, ids, limits)
        blocked = BATCH_BUYS_OFF if self._buys_off and any(map(buys, several)) else ""
        ends = yield from self._seen_through(intent, params, limits, blocked=blocked)
        return tuple(cast(Placed | NotPlaced, ends[name]) for name in ids)

    def amend(
        self, order: Mapping[str, str], changes: Mapping[str, object], limits: Limits
    ) -> Flow[Amended | NotAmended]:
        """Change an order in place; ``order`` is its txid or cl_ord_id, ``changes`` in Kraken's names."""
        (by, name), name_of_this = next(iter(order.items())), str(uuid.uuid4())
        wanted = {field: _written(value) for field, value in changes.items()}
        params = {**order, **wanted}
        intent = self._intent(
            "AmendOrder", params, (name_of_this,), limits, changes={"order": name, "by": by, **wanted}
        )
        ends = yield from self._seen_through(intent, params, limits, fresh=True)
        return cast(Amended | NotAmended, ends[name_of_this])

    def edit(self, txid: str, pair: str, fields: Mapping[str, object], limits: Limits) -> Flow[Placed | NotPlaced]:
        """Replace an order by a new one. Kraken takes no client order id here: a random userref is how it is found."""
        userref = str(secrets.randbits(USERREF_BITS))
        params = {"txid": txid, "pair": pair, "userref": userref, **fields}
        intent = self._intent("EditOrder", params, (userref,), limits, found_by="userref")
        ends = yield from self._seen_through(intent, params, limits)
        return cast(Placed | NotPlaced, ends[userref])

    def forward(self, asked: Prepared, limits: Limits) -> Flow[Forwarded]:
        """An order of another program's, as that program asked for it."""
        if asked.deadline_ns > self._now_ns() + DEADLINE_MAX_S * NS_PER_S:
            raise SettingsError(
                f"the deadline is more than {DEADLINE_MAX_S:.0f} s ahead, and Kraken takes none that is"
            )
        drawn = self._intent(asked.method, asked.params, asked.order_ids, limits, market=asked.market)
        intent = replace(
            drawn,
            id=asked.name,
            digest=asked.digest,
            found_by=asked.found_by,
            changes=asked.changes,
            shows=asked.shows,
            aliases=asked.aliases,
            replaces=asked.replaces,
            deadline_ns=asked.deadline_ns or drawn.deadline_ns,
        )
        order = self._order(intent, asked.params, fresh=asked.fresh, repeat_s=asked.repeat_s, anew=True)
        blocked = BUYS_OFF if self._buys_off and call_buys(asked.method, asked.params) else ""
        ends = yield from self._ends(order, limits, blocked)
        of_these = (order.known or intent).order_ids  # what was drawn for it the first time, where it is a repeat
        return Forwarded({name: ends[name] for name in of_these}, order.answer)

    def _validated(self, method: str, params: Mapping[str, object], client_order_id: str) -> Flow[NotPlaced]:
        try:
            yield from private_call(self._caller(), method, {**params, "validate": True})
        except Refused as error:
            return NotPlaced("Kraken refused it", ", ".join(error.errors), client_order_id)
        except InDoubt as error:  # nothing can have been placed, whatever became of the check
            return NotPlaced(f"Kraken could not be asked to check it: {error.detail}", None, client_order_id)
        return NotPlaced(VALIDATED, None, client_order_id)

    def _intent(
        self,
        method: str,
        params: Mapping[str, object],
        ids: tuple[str, ...],
        limits: Limits,
        *,
        market: bool = False,
        found_by: str = "cl_ord_id",
        changes: Mapping[str, str] | None = None,
    ) -> Intent:
        caller = self._caller()
        deadline_ns = self._now_ns() + int(limits.deadline_s * NS_PER_S)
        return Intent(
            id=ids[0],
            account=caller.account,
            fingerprint=caller.fingerprint,
            method=method,
            order_ids=ids,
            digest=digest_of(method, params),
            deadline_ns=deadline_ns,
            market=market,
            found_by=found_by,
            changes=changes or {},
        )

    def _seen_through(
        self,
        intent: Intent,
        params: Mapping[str, object],
        limits: Limits,
        *,
        fresh: bool = False,
        blocked: str = "",
    ) -> Flow[Mapping[str, End]]:
        return (yield from self._ends(self._order(intent, params, fresh=fresh), limits, blocked))

    def _order(
        self,
        intent: Intent,
        params: Mapping[str, object],
        *,
        fresh: bool,
        repeat_s: float = math.inf,
        anew: bool = False,
    ) -> Order:
        asked = {**params, "deadline": rfc3339(intent.deadline_ns)}
        return Order(self._caller(), intent, asked, sync=self._sync, fresh=fresh, repeat_s=repeat_s, anew=anew)

    def _ends(self, order: Order, limits: Limits, blocked: str) -> Flow[Mapping[str, End]]:
        until_ns = self._now_ns() + int(limits.timeout_s * NS_PER_S)
        with self._resolver.held(order.intent.id) as is_alone:
            order.anew &= is_alone  # else somebody may yet note the end of the attempt before
            if blocked:
                return (yield from held_back(order, blocked, self._lag_s, until_ns))
            return (yield from exactly_once(order, self._lag_s, until_ns))

    # --- what became of them --------------------------------------------------------------------------------------

    def end(self, client_order_id: str) -> End:
        """An order's end by what is known here; raises InDoubt while it has none, SettingsError where it is unknown."""
        intent = self._known(client_order_id)
        if client_order_id not in intent.ends:
            raise InDoubt(intent.method, intent.nonce, "its end is not known yet", client_order_id=client_order_id)
        return intent.ends[client_order_id]

    def awaited(self, client_order_id: str, timeout_s: float) -> Flow[End]:
        """An order's end, found out now where it is not known; raises InDoubt where that takes too long."""
        intent = self._known(client_order_id)
        if client_order_id in intent.ends:
            return intent.ends[client_order_id]
        until_ns = self._now_ns() + int(timeout_s * NS_PER_S)
        with self._resolver.held(intent.id):
            found = yield from resolve(self._caller(), intent, self._lag_s, until_ns)
        return found.ends[client_order_id]

    def known(self, *, in_doubt: bool, limit: int) -> tuple[Intent, ...]:
        """The account's newest orders, or those in doubt."""
        fingerprint = self._caller().fingerprint
        stored = list(reversed(self._log.unsettled().values())) if in_doubt else self._documents()
        found = (intent_in(document) for document in stored)
        mine = (intent for intent in found if intent is not None and intent.fingerprint == fingerprint)
        return tuple(mine if in_doubt else islice(mine, limit))

    def is_known(self, names: Sequence[str]) -> bool:
        """Whether there is a record of an order that was asked for under one of these."""
        return any(self._log.read(name) is not None for name in names)

    def _documents(self) -> list[Mapping[str, object]]:
        return [document for _, document in self._log.recent(KNOWN_SEARCHED)]

    def _known(self, client_order_id: str) -> Intent:
        intent = read_intent(self._log, client_order_id)
        if intent is not None and intent.fingerprint != self._caller().fingerprint:
            raise SettingsError(f"order {client_order_id!r} is of {intent.account}: ask with a client of that key")
        if intent is None:
            raise SettingsError(
                f"no order {client_order_id!r} is known here: it was placed elsewhere, or long ago and forgotten"
            )
        return intent

    # --- cancels --------------------------------------------------------------------------------------------------

    def cancel(self, order: Mapping[str, str], timeout_s: float, *, doubted: bool = False) -> Flow[Cancellation]:
        """Cancel one order; ``doubted``: the same cancel was sent before and its answer lost."""
        return cancel(self._caller(), order, self._until_ns(timeout_s), doubted=doubted)

    def cancel_everything(self, timeout_s: float, *, doubted: bool = False) -> Flow[Cancellation]:
        """Cancel all open orders of the account."""
        return cancel_everything(self._caller(), self._until_ns(timeout_s), doubted=doubted)

    def cancel_several(self, txids: Sequence[str], timeout_s: float) -> Flow[dict[str, Cancellation]]:
        """Cancel up to fifty orders in one call."""
        if isinstance(txids, str) or not 1 <= len(txids) <= CANCEL_MAX:
            raise SettingsError(f"give 1 to {CANCEL_MAX} txids, not {len(txids)}")
        return cancel_several(self._caller(), txids, self._until_ns(timeout_s))

    def _until_ns(self, timeout_s: float) -> int:
        return self._now_ns() + int(Limits(DEADLINE_S, timeout_s).timeout_s * NS_PER_S)


def one_order(order: Mapping[str, object]) -> dict[str, object]:
    """An order in Kraken's names, with a client order id of its own where none was given."""
    more = {name: value for name, value in order.items() if name not in _WORDS and value is not None}
    given = order.get("client_order_id")
    missing = [name for name in ("side", "volume") if order.get(name) is None]
    if missing:
        raise SettingsError(f"{missing[0]} is missing from the order")
    return order_fields(
        side=str(order["side"]),
        volume=order["volume"],
        order_type=str(order.get("order_type") or "limit"),
        price=order.get("price"),
        client_order_id=str(uuid.uuid4()) if given is None else checked_id(str(given)),
        more=more,
    )


_WORDS = ("side", "volume", "order_type", "price", "client_order_id")


def named(txid: str | None, client_order_id: str | None) -> dict[str, str]:
    """Which order is meant; raises SettingsError unless it is exactly one."""
    if (txid is None) == (client_order_id is None):
        raise SettingsError("name the order by txid or by client_order_id, one of the two")
    return {"txid": txid} if txid is not None else {"cl_ord_id": str(client_order_id)}


def changed(volume: object, price: object, more: Mapping[str, object], names: tuple[str, str]) -> dict[str, object]:
    """What an amendment or edit changes; ``names`` are Kraken's for volume and price."""
    given = zip(names, (volume, price), strict=True)
    fields: dict[str, object] = {name: amount(name, value) for name, value in given if value is not None}
    for name in ("userref", "cl_ord_id", "txid", "deadline", "nonce", "validate"):
        if name in more:
            raise SettingsError(f"{name} cannot be given here: it is set by Sealane, or names another order")
    fields |= {name: no_float(name, value) for name, value in more.items() if value is not None}
    if not fields:
        raise SettingsError("nothing is to be changed: give volume, price or another field")
    return fields


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def rfc3339(at_ns: int) -> str:
    """Kraken's form of a deadline: ``2026-11-21T10:00:00.000Z``."""
    at = datetime.fromtimestamp(at_ns // 1_000_000 / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
