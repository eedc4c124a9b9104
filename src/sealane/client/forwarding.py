"""Orders as another program asked for them, in Kraken's own words: what is added to them, and which are the same.

1. An order goes as it was asked for. Only where it has neither ``cl_ord_id`` nor ``userref`` a userref is added, so
   that it is found again (Kraken edits no order that has a client order id); and a deadline, where it has none.
2. Asked for again it is the same order: under one ``Idempotency-Key`` or ``cl_ord_id`` always (with other contents it
   is an error), under one ``userref`` with the same contents for ``REPEAT_S``, because Kraken's users give one
   ``userref`` to many orders. Without any of these two requests are two orders.
3. Each asker has names of its own: what two programs call alike are two orders.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from sealane.core.nonce import NS_PER_S
from sealane.core.order import End, checked_id, digest_of
from sealane.errors import SettingsError

REPEAT_S = 3_600.0
"""So long the same order under the same userref is taken for a repeat: longer than any program tries again."""
BATCH_MIN, BATCH_MAX = 2, 15
USERREF_MASK = 2**31 - 1
NAME_DIGITS = 20
_WORDS = {"type": "type", "ordertype": "ordertype"}
_AMOUNTS = {"volume": "vol", "price": "price"}
"""An order's fields, and under which names its row shows them."""
_AMENDED = ("order_qty", "display_qty", "limit_price", "trigger_price", "post_only")


@dataclass(frozen=True)
class Asked:
    """A request for an order.

    Attributes:
        method: AddOrder, AddOrderBatch, AmendOrder or EditOrder.
        params: as they were sent, without the nonce.
        asker: who asks; no other asker's orders are confused with its own.
        repeat_key: the Idempotency-Key, "" without one.
    """

    method: str
    params: Mapping[str, object]
    asker: str
    repeat_key: str = ""


@dataclass(frozen=True)
class Prepared:
    """An order that lacks only its nonce and, where ``deadline_ns`` is 0, its deadline.

    ``name`` is its intent's id; the rest is as in ``core.order.Intent`` and ``core.placing.Order``.
    """

    method: str
    params: Mapping[str, object]
    name: str
    order_ids: tuple[str, ...]
    digest: str
    found_by: str = "cl_ord_id"
    market: bool = False
    fresh: bool = False
    repeat_s: float = math.inf
    deadline_ns: int = 0
    changes: Mapping[str, str] = field(default_factory=dict)
    shows: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Forwarded:
    """The ends of what was asked for, by order id, and Kraken's answer where it was given to this very request."""

    ends: Mapping[str, End]
    body: bytes


def prepared(asked: Asked) -> Prepared:
    """What is sent for a request; raises SettingsError for one that cannot be meant."""
    given = {name: value for name, value in asked.params.items() if name != "deadline"}
    method, digest = asked.method, digest_of(asked.method, given)
    unnamed = _Name(asked, digest)
    deadline_ns = _deadline_ns(asked.params.get("deadline"))
    if method == "AddOrder":
        return _one(method, given, unnamed, deadline_ns)
    if method == "AddOrderBatch":
        return _several(method, given, unnamed, deadline_ns)
    if method == "EditOrder":
        return _edit(method, given, unnamed, deadline_ns)
    return _amend(method, given, unnamed, deadline_ns)


class _Name:
    """How a request is recognised when it comes again."""

    def __init__(self, asked: Asked, digest: str) -> None:
        self._asked, self.digest = asked, digest
        self.key = asked.repeat_key

    @property
    def is_fresh(self) -> bool:
        """Whether nothing but the call itself tells which order it is."""
        return not self.key

    def drawn(self, number: int = 0) -> uuid.UUID:
        """A new id; the same one for the same repeat key."""
        if not self.key:
            return uuid.uuid4()
        return uuid.UUID(bytes=self._hash("drawn", self.key, str(number))[:16], version=4)

    def of(self, *words: str) -> str:
        """The intent's id: by the repeat key where there is one, else by these words."""
        told = ("key", self.key) if self.key else words
        return f"{self._asked.asker}:{self._hash(*told).hex()[:NAME_DIGITS]}"

    def _hash(self, *words: str) -> bytes:
        return hashlib.sha256("\0".join((self._asked.asker, *words)).encode()).digest()


def _one(method: str, given: Mapping[str, object], name: _Name, deadline_ns: int) -> Prepared:
    by, value, params = _identified(given, name)
    fresh = name.is_fresh and not _names(given)
    words = (by, value, name.digest) if by == "userref" else (by, value)
    return Prepared(
        method,
        params,
        str(uuid.uuid4()) if fresh else name.of(*words),
        (value,),
        name.digest,
        found_by=by,
        market=given.get("ordertype") == "market",
        fresh=fresh,
        repeat_s=REPEAT_S if by == "userref" and not name.key else math.inf,
        deadline_ns=deadline_ns,
        shows=_shown(given) if by == "userref" else {},
    )


def _several(method: str, given: Mapping[str, object], name: _Name, deadline_ns: int) -> Prepared:
    orders = given.get("orders")
    if not isinstance(orders, list) or not BATCH_MIN <= len(orders) <= BATCH_MAX:
        raise SettingsError(f"orders is to be a list of {BATCH_MIN} to {BATCH_MAX} orders")
    if not all(isinstance(order, Mapping) for order in orders):
        raise SettingsError("orders holds what is no order: give mappings of Kraken's fields")
    named = {by for order in orders for by in _names(order)}
    if len(named) > 1:
        raise SettingsError("some orders of the batch have a cl_ord_id and some a userref: give all of them the same")
    added = next(iter(named), "userref")
    found = [_identified(order, name, added=added, number=number) for number, order in enumerate(orders)]
    ids = tuple(value for _, value, _ in found)
    if len(set(ids)) < len(ids):
        raise SettingsError("two orders of the batch have the same cl_ord_id or userref: give each its own")
    fresh = name.is_fresh and not named
    return Prepared(
        method,
        {**given, "orders": [order for _, _, order in found]},
        str(uuid.uuid4()) if fresh else name.of("batch", *ids, *([name.digest] if added == "userref" else [])),
        ids,
        name.digest,
        found_by=added,
        fresh=fresh,
        repeat_s=REPEAT_S if added == "userref" and not name.key else math.inf,
        deadline_ns=deadline_ns,
    )


def _edit(method: str, given: Mapping[str, object], name: _Name, deadline_ns: int) -> Prepared:
    """Kraken takes no client order id here, and keeps no userref over an edit: one is added where there is none."""
    named = given.get("userref") is not None
    userref = _userref(given["userref"]) if named else str(name.drawn().int & USERREF_MASK)
    return Prepared(
        method,
        {**given, "userref": userref},
        name.of("edit", userref, name.digest),
        (userref,),
        name.digest,
        found_by="userref",
        fresh=name.is_fresh and not named,
        repeat_s=math.inf if name.key else REPEAT_S,
        deadline_ns=deadline_ns,
    )


def _amend(method: str, given: Mapping[str, object], name: _Name, deadline_ns: int) -> Prepared:
    named = [by for by in ("txid", "cl_ord_id") if given.get(by) is not None]
    if len(named) != 1:
        raise SettingsError("name the order by txid or by cl_ord_id, one of the two")
    own = str(name.drawn())
    wanted = {field: str(given[field]) for field in _AMENDED if given.get(field) is not None}
    changes = {"order": str(given[named[0]]), "by": named[0], **wanted}
    fresh = name.is_fresh
    return Prepared(
        method, given, name.of("amend", own), (own,), name.digest, fresh=fresh, deadline_ns=deadline_ns, changes=changes
    )


def _names(given: Mapping[str, object]) -> list[str]:
    """By which of its fields an order is named already."""
    return [by for by in ("cl_ord_id", "userref") if given.get(by) not in (None, "")]


def _identified(
    given: Mapping[str, object], name: _Name, *, added: str = "userref", number: int = 0
) -> tuple[str, str, Mapping[str, object]]:
    """What an order is found by, its value, and the order as it is sent: with that ``added`` where it had none."""
    names = _names(given)
    if len(names) > 1:
        raise SettingsError("an order has a cl_ord_id or a userref, not both")
    if names == ["cl_ord_id"]:
        return "cl_ord_id", checked_id(str(given["cl_ord_id"])), given
    if names == ["userref"]:
        return "userref", _userref(given["userref"]), given
    drawn = name.drawn(number)
    value = str(drawn) if added == "cl_ord_id" else str(drawn.int & USERREF_MASK)
    return added, value, {**given, added: value}


def _userref(value: object) -> str:
    try:
        return str(int(str(value)))
    except ValueError:
        raise SettingsError(f"userref is {value!r}: give a whole number of 32 bits") from None


def _shown(given: Mapping[str, object]) -> dict[str, str]:
    """What an order's row at Kraken shows of what was asked for: words, and plain amounts."""
    names = dict(_WORDS)
    if "viqc" not in str(given.get("oflags", "")):  # else its volume is in another currency than its row's
        names |= _AMOUNTS
    told = {shown: str(given[name]) for name, shown in names.items() if given.get(name) not in (None, "")}
    return {name: text for name, text in told.items() if name in _WORDS or (text[:1] + text[-1:]).isdigit()}


def _deadline_ns(given: object) -> int:
    """A deadline of the asker's own, 0 without one."""
    if given is None or given == "":
        return 0
    try:
        at = datetime.fromisoformat(str(given).strip())
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # no time, or one before the year 1
        raise SettingsError(f"deadline is {str(given)[:40]!r}: give a time such as 2026-11-21T10:00:00.000Z") from None
    moment = Decimal(str(at.timestamp()))
    return int(moment * NS_PER_S)
