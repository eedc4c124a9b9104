"""Orders as another program asked for them, in Kraken's own words: what is added to them, and which are the same.

1. An order goes as it was asked for. Only where it has neither ``cl_ord_id`` nor ``userref`` a userref is added, so
   that it is found again (Kraken edits no order that has a client order id); and a deadline, where it has none.
2. Asked for again it is the same order: under one ``cl_ord_id``, however spelled and in whatever batch, or else under
   one ``Idempotency-Key`` (with other contents it is an error), or else under one ``userref`` with the same contents
   for ``REPEAT_S``, because Kraken's users give one ``userref`` to many orders. Without any of these two requests are
   two orders. What came to nothing may be asked for anew.
3. Each asker has names of its own: what two programs call alike are two orders.
"""

from __future__ import annotations

import hashlib
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from sealane.core.nonce import NS_PER_S
from sealane.core.order import End, checked_id, digest_of, plain_id
from sealane.errors import SettingsError

REPEAT_S = 3_600.0
"""So long the same order under the same userref is taken for a repeat: longer than any program tries again."""
BATCH_MIN, BATCH_MAX = 2, 15
USERREF_MASK = 2**31 - 1
USERREF = re.compile(r"-?[0-9]{1,10}")
NAME_DIGITS = 20
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

    ``name`` is its intent's id; ``is_drawn``: what it is found by was drawn here, and is nobody else's; the rest is as
    in ``core.order.Intent`` and ``core.placing.Order``.
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
    shows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    is_drawn: bool = False
    replaces: str = ""


@dataclass(frozen=True)
class Forwarded:
    """The ends of what was asked for, by order id and in their order, and Kraken's answer to this very request."""

    ends: Mapping[str, End]
    body: bytes


def prepared(asked: Asked) -> Prepared:
    """What is sent for a request; raises SettingsError for one that cannot be meant."""
    given = {name: value for name, value in asked.params.items() if name != "deadline"}
    method, digest = asked.method, digest_of(asked.method, given)
    name, deadline_ns = _Name(asked, digest), _deadline_ns(asked.params.get("deadline"))
    build = {"AddOrder": _one, "AddOrderBatch": _several, "EditOrder": _edit}.get(method, _amend)
    return build(method, given, name, deadline_ns)


class _Name:
    """How a request is recognised when it comes again."""

    def __init__(self, asked: Asked, digest: str) -> None:
        self._asker, self.key, self.digest = asked.asker, asked.repeat_key, digest

    def drawn(self, number: int = 0) -> uuid.UUID:
        """A new id; the same one for the same repeat key."""
        if not self.key:
            return uuid.uuid4()
        return uuid.UUID(bytes=self._hash("drawn", self.key, str(number))[:16], version=4)

    def of_id(self, client_order_id: str) -> str:
        """The alias of an order with a client order id: whatever intent had it last is found by it."""
        return self._told("cl_ord_id", plain_id(client_order_id))

    def of_order(self, client_order_id: str) -> str:
        """The intent's id of a single order with a client order id, whatever repeat key it has."""
        return self._told("order", plain_id(client_order_id))

    def otherwise(self, *words: str) -> str:
        """An intent's id: by its repeat key, else by these words; without any, one that never was."""
        if self.key:
            return self._told("key", self.key)
        return self._told(*words) if words else str(uuid.uuid4())

    def _told(self, *words: str) -> str:
        return f"{self._asker}:{self._hash(*words).hex()[:NAME_DIGITS]}"

    def _hash(self, *words: str) -> bytes:
        return hashlib.sha256("\0".join((self._asker, *words)).encode()).digest()


def _one(method: str, given: Mapping[str, object], name: _Name, deadline_ns: int) -> Prepared:
    by, value, order = _identified(given, name)
    is_named = bool(_names(given))
    has_id = by == "cl_ord_id"
    return Prepared(
        method,
        order,
        name.of_order(value) if has_id else name.otherwise(*(("userref", value, name.digest) if is_named else ())),
        (value,),
        name.digest,
        found_by=by,
        market=given.get("ordertype") == "market",
        fresh=not is_named and not name.key,
        repeat_s=REPEAT_S if is_named and by == "userref" and not name.key else math.inf,
        deadline_ns=deadline_ns,
        shows={value: _shown(given)},
        aliases=(name.of_id(value),) if has_id else (),
        is_drawn=not is_named,
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
    by = next(iter(named), "userref")
    found = [_identified(order, name, added=by, number=number) for number, order in enumerate(orders)]
    ids = tuple(value for _, value, _ in found)
    if len(set(map(plain_id, ids))) < len(ids):
        raise SettingsError("two orders of the batch have the same cl_ord_id or userref: give each its own")
    words = ("batch", name.digest) if named else ()
    aliases = tuple(name.of_id(value) for value in ids) if by == "cl_ord_id" else ()
    return Prepared(
        method,
        {**given, "orders": [order for _, _, order in found]},
        name.otherwise(*words),
        ids,
        name.digest,
        found_by=by,
        fresh=not named and not name.key,
        repeat_s=REPEAT_S if named == {"userref"} and not name.key else math.inf,
        deadline_ns=deadline_ns,
        shows={value: _shown(order) for _, value, order in found},
        aliases=aliases,
        is_drawn=not named,
    )


def _edit(method: str, given: Mapping[str, object], name: _Name, deadline_ns: int) -> Prepared:
    """Kraken takes no client order id here, and keeps no userref over an edit: one is added where there is none."""
    is_named = given.get("userref") not in (None, "")
    userref = _userref(given["userref"]) if is_named else str(name.drawn().int & USERREF_MASK)
    words = ("edit", userref, name.digest) if is_named else ()
    return Prepared(
        method,
        {**given, "userref": userref},
        name.otherwise(*words),
        (userref,),
        name.digest,
        found_by="userref",
        fresh=not is_named and not name.key,
        repeat_s=math.inf if name.key else REPEAT_S,
        deadline_ns=deadline_ns,
        is_drawn=not is_named,
        replaces=str(given.get("txid", "")),
    )


def _amend(method: str, given: Mapping[str, object], name: _Name, deadline_ns: int) -> Prepared:
    named = [by for by in ("txid", "cl_ord_id") if given.get(by) not in (None, "")]
    if len(named) != 1:
        raise SettingsError("name the order by txid or by cl_ord_id, one of the two")
    own = str(name.drawn())
    wanted = {field: str(given[field]) for field in _AMENDED if given.get(field) is not None}
    changes = {"order": str(given[named[0]]), "by": named[0], **wanted}
    fresh = not name.key
    return Prepared(
        method, given, name.otherwise(), (own,), name.digest, fresh=fresh, deadline_ns=deadline_ns, changes=changes
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
        value = _userref(given["userref"])
        return "userref", value, {**given, "userref": value}
    drawn = name.drawn(number)
    value = str(drawn) if added == "cl_ord_id" else str(drawn.int & USERREF_MASK)
    return added, value, {**given, added: value}


def _userref(value: object) -> str:
    """A userref in the one way in which it is sent and sought."""
    text = str(value)
    if not USERREF.fullmatch(text) or not -USERREF_MASK - 1 <= int(text) <= USERREF_MASK:
        raise SettingsError(f"userref is {text[:40]!r}: give a whole number of 32 bits")
    return str(int(text))


def _shown(given: Mapping[str, object]) -> dict[str, str]:
    """What an order's row at Kraken shows for certain of what was asked for.

    Only that: an order that is not recognised is called not placed. Kraken settles the volume of some orders itself.
    """
    flags, is_limit = str(given.get("oflags", "")), given.get("ordertype") == "limit"
    told = {"type": "type"} | ({"price": "price"} if is_limit else {})
    if "viqc" not in flags and given.get("reduce_only") in (None, "", False, "false"):
        told |= {"volume": "vol"}
    found = {shown: str(given[name]) for name, shown in told.items() if given.get(name) not in (None, "")}
    return {name: text for name, text in found.items() if name == "type" or _is_plain_amount(text)}


def _is_plain_amount(text: str) -> bool:
    """Whether it is above zero and nothing but digits: not relative to anything."""
    return text.isascii() and text.replace(".", "", 1).isdigit() and any(digit in text for digit in "123456789")


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
