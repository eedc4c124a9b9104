"""Orders and what becomes of them: the ends, the intent that is kept meanwhile, and an order's parameters.

1. Every order has a client order id. It says nothing, and is how the order is found again.
2. An *intent* is stored before the order's bytes leave and settled after. It holds what is needed to find out, after
   any death, what became of them: key, nonce, ids, deadline. No secret.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from sealane.errors import SettingsError

ANSWERED, REPLAYED, FOUND = "answered", "replayed", "found"
"""How an end became known: by the answer, by a repeat of the same bytes, by looking."""
VALIDATED = "validated only"
AMOUNTS = ("volume", "price", "price2", "displayvol")
_SIDES = ("buy", "sell")
_PREFIXES = ("+", "-", "#")


@dataclass(frozen=True)
class Placed:
    """The order was placed. It may be open, filled, cancelled or expired since.

    Attributes:
        txid: Kraken's id of the order.
        client_order_id: ours, as ``cl_ord_id``.
        descr: Kraken's sentence about it, such as ``"buy 0.10000000 XBTUSD @ limit 25000.1"``.
        how: ``"answered"``, ``"replayed"`` or ``"found"``.
    """

    txid: str
    client_order_id: str
    descr: str
    how: str


@dataclass(frozen=True)
class NotPlaced:
    """The order was not placed and never will be.

    Attributes:
        reason: why, for a person.
        kraken_error: Kraken's own words where it refused, else None.
        client_order_id: as in Placed.
    """

    reason: str
    kraken_error: str | None = None
    client_order_id: str = ""


@dataclass(frozen=True)
class Amended:
    """The order was amended; ``txid`` or client order id as it was named, ``how`` as in Placed."""

    order: str
    how: str


@dataclass(frozen=True)
class NotAmended:
    """The order is as it was; ``reason`` and ``kraken_error`` as in NotPlaced."""

    reason: str
    kraken_error: str | None = None


End = Placed | NotPlaced | Amended | NotAmended
_ENDS = {kind.__name__: kind for kind in (Placed, NotPlaced, Amended, NotAmended)}


@dataclass(frozen=True)
class Intent:
    """What is kept of a write while its end is not known, and for a while after.

    Attributes:
        id: the client order id, or of several orders the first one's; of an order that another program asked for a
            name of its own, because two programs may have used one client order id.
        account, fingerprint, method: whose key, and which of Kraken's methods.
        order_ids: the client order ids of what it places.
        found_by: the field by which Kraken's rows are known to be ours: ``cl_ord_id``, else ``userref``.
        shows: by order id, what its row must show too, because another order may have been found by the same id: side,
            type, amounts.
        replaces: of an edit, the txid of the order that it replaces, which is not what it is found as.
        aliases: further names under which the same request may be asked for again.
        market: it is filled rather than open, so it is sought among closed orders first.
        unguarded: the key's nonce window is open, or not known: a later nonce is no fence, only the deadline is.
        changes: of an amendment, the order by ``txid`` or ``cl_ord_id``, and what its row shows once it is made.
        digest: of what was asked for, so that the same order asked for again is known.
        deadline_ns: Kraken does not execute it after this.
        nonce, sent_ns: of the last attempt, 0 before the first.
        fenced_ns: when a later nonce of the key had been accepted, 0 while none was.
        owner: the process that goes on with it while it lives.
        ends: by order id.
    """

    id: str
    account: str
    fingerprint: str
    method: str
    order_ids: tuple[str, ...]
    digest: str
    deadline_ns: int
    found_by: str = "cl_ord_id"
    market: bool = False
    unguarded: bool = False
    changes: Mapping[str, str] = field(default_factory=dict)
    shows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    replaces: str = ""
    nonce: int = 0
    sent_ns: int = 0
    fenced_ns: int = 0
    owner: str = ""
    ends: Mapping[str, End] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Whether all its ends are known."""
        return set(self.ends) >= set(self.order_ids)

    @property
    def names(self) -> tuple[str, ...]:
        """What the same order, asked for again, would be known by."""
        return self.order_ids if self.id in self.order_ids else (*self.aliases, self.id)

    @property
    def came_to_nothing(self) -> bool:
        """Whether it has its ends, and nothing was or will be done."""
        return self.settled and all(isinstance(end, (NotPlaced, NotAmended)) for end in self.ends.values())

    def sent(self, nonce: int, now_ns: int, *, unguarded: bool) -> Intent:
        """As it is of its next attempt."""
        return self._with(nonce=nonce, sent_ns=now_ns, unguarded=unguarded)

    def with_ends(self, ends: Mapping[str, End]) -> Intent:
        """With these ends known too."""
        return self._with(ends={**self.ends, **ends})

    def _with(self, **changes: object) -> Intent:
        """``dataclasses.replace`` in a fraction of its time: every order pays for it twice."""
        other = object.__new__(Intent)
        other.__dict__.update(self.__dict__, **changes)
        return other

    def stored(self) -> dict[str, object]:
        """The intent as plain JSON values."""
        ends = {name: {"end": type(end).__name__, **vars(end)} for name, end in self.ends.items()}
        return {
            **vars(self),
            "changes": dict(self.changes),
            "shows": dict(self.shows),
            "ends": ends,
            "settled": self.settled,
        }

    @classmethod
    def loaded(cls, stored: Mapping[str, object]) -> Intent:
        """The intent that a store kept; raises ValueError where that is none."""
        known = {name: value for name, value in stored.items() if name in cls.__dataclass_fields__}
        ends = known.pop("ends", {})
        ids, aliases = known.pop("order_ids", ()), known.pop("aliases", ())
        if (
            not isinstance(ends, Mapping)
            or not isinstance(ids, (list, tuple))
            or not isinstance(aliases, (list, tuple))
        ):
            raise ValueError("an intent without its orders")
        try:
            told = {name: _end(row) for name, row in ends.items()}
            found = cls(order_ids=tuple(ids), aliases=tuple(aliases), ends=told, **known)  # type: ignore[arg-type]
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not an intent: {error}") from error
        return found


def _end(row: Mapping[str, object]) -> End:
    kind = _ENDS[str(row["end"])]
    return kind(**{name: value for name, value in row.items() if name in kind.__dataclass_fields__})  # type: ignore[arg-type]


def order_fields(
    *,
    side: str,
    volume: object,
    order_type: str,
    price: object,
    client_order_id: str,
    more: Mapping[str, object],
) -> dict[str, object]:
    """An order's own fields in Kraken's names; raises SettingsError for what cannot be meant."""
    if side not in _SIDES:
        raise SettingsError(f"side is {side!r}: give buy or sell")
    for name in ("cl_ord_id", "userref", "ordertype", "type", "deadline", "nonce"):
        if name in more:
            raise SettingsError(f"{name} cannot be given here: {_INSTEAD.get(name, 'it is set by place_order')}")
    if order_type == "market" and price is not None:
        raise SettingsError(f"a market order has no price: leave price={price} out, or give order_type='limit'")
    fields: dict[str, object] = {"type": side, "ordertype": order_type, "volume": amount("volume", volume)}
    if price is not None:
        fields["price"] = amount("price", price)
    fields |= {name: amount(name, value) if name in AMOUNTS else no_float(name, value) for name, value in more.items()}
    return fields | {"cl_ord_id": client_order_id}


_INSTEAD = {
    "cl_ord_id": "use client_order_id",
    "userref": "Kraken takes it or a client order id, and the order is found again by the latter",
    "ordertype": "use order_type",
    "type": "use side",
    "deadline": "use deadline_s",
}


def amount(name: str, value: object) -> str:
    """An amount as Kraken reads it; a float is refused, because it is not the number that was written."""
    if isinstance(value, (bool, float)):
        raise SettingsError(f"{name} is a {type(value).__name__}: give a Decimal or a str, such as Decimal('0.1')")
    if isinstance(value, (int, Decimal)):
        text = format(Decimal(value), "f")
    elif isinstance(value, str):
        text = value.strip()
    else:
        raise SettingsError(f"{name} is a {type(value).__name__}: give a Decimal or a str")
    bare = text.removesuffix("%")
    bare = bare[1:] if bare.startswith(_PREFIXES) else bare
    if not bare.isascii() or not bare.replace(".", "", 1).isdigit():
        raise SettingsError(f"{name} is {text!r}: give a number such as '0.1'")
    return text


def no_float(name: str, value: object) -> object:
    """A further field as it was given; a float in it is refused, because it is not the number that was written."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else (value,)
    if any(isinstance(part, float) for part in parts):
        raise SettingsError(f"{name} is or holds a float: give a Decimal or a str, such as Decimal('0.1')")
    return value


def checked_id(client_order_id: str) -> str:
    """A client order id that Kraken takes: a UUID, or up to 18 printable ASCII characters."""
    compact = client_order_id.replace("-", "")
    uuid = len(compact) == 32 and all(letter in "0123456789abcdefABCDEF" for letter in compact)
    short = 0 < len(client_order_id) <= 18 and client_order_id.isascii() and client_order_id.isprintable()
    if not uuid and not short:
        raise SettingsError(
            f"client_order_id is {client_order_id!r}: give a UUID, or up to 18 ASCII characters, or leave it out"
        )
    return client_order_id


def same_id(one: str, other: str) -> bool:
    """Whether two spellings are one id: of a UUID, dashes and capitals say nothing."""
    return plain_id(one) == plain_id(other)


def plain_id(name: str) -> str:
    """An id in one spelling of those that Kraken takes for the same."""
    digits = name.replace("-", "").casefold()
    return digits if len(digits) == 32 else name


def digest_of(method: str, params: Mapping[str, object]) -> str:
    """What was asked for, as 32 hexadecimal digits; its deadline apart."""
    asked = {name: value for name, value in params.items() if name != "deadline"}
    return hashlib.sha256(_sorted_json([method, asked]).encode()).hexdigest()[:32]


_sorted_json = json.JSONEncoder(sort_keys=True, default=str, separators=(",", ":")).encode
