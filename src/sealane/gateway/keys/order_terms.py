"""How large an order is and how far its prices lie from the market, from the fields that Kraken takes. Pure.

1. What cannot be read for certain is Unreadable, and so denied: a text that is no plain number, a type of order that
   is not known here, a field that is missing.
2. Of what an order may come to, the dearer end counts: a sell below the market fills at the market, so it is valued
   there; ``#5`` may add or subtract, so it is taken to add.
3. A change (EditOrder, AmendOrder) makes an order that is judged as a whole for its size, and for its prices where it
   gives one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

CHARACTERS_MAX = 40
_FLOAT_MAX = 1e15  # above, a float is no longer exact to the unit
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
_PRICE = re.compile(r"([+\-#]?)([0-9.]+)(%?)")
_AT_MARKET = frozenset({"market", "settle-position"})
_LIMIT = frozenset({"limit", "iceberg"})
_TRIGGER = frozenset({"stop-loss", "take-profit", "trailing-stop"})
_TRIGGER_LIMIT = frozenset({"stop-loss-limit", "take-profit-limit", "trailing-stop-limit"})
_TRAILING = frozenset({"trailing-stop", "trailing-stop-limit"})
_EDITED = frozenset({"volume", "price", "price2", "oflags"})
_AMENDED = {"order_qty": "volume", "limit_price": "price", "trigger_price": "price"}
_PERCENT = Decimal(100)
_OTHER_SIDE = {"buy": "sell", "sell": "buy"}


class Unreadable(ValueError):
    """An order, or a part of one, that cannot be judged; the message says which, for a person."""


@dataclass(frozen=True)
class Terms:
    """What an order comes to.

    Attributes:
        volume: in base. value: in quote; both at the dearer end of what may be.
        off: how far its limit price is from the last price, as a fraction of that; 0 where it gives none.
    """

    volume: Decimal
    value: Decimal
    off: Decimal


@dataclass(frozen=True)
class _Price:
    """What a price may come to: ``high`` the dearer end, ``off`` the distance from the last price, in quote."""

    high: Decimal
    off: Decimal


def orders_in(params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Every order of a call: itself, or those of a batch; raises Unreadable."""
    if "orders" not in params:
        return [params]
    if any(name in params for name in ("ordertype", "type", "txid", *_EDITED, *_AMENDED)):
        raise Unreadable("the call has an order beside its orders: which one counts cannot be told")
    orders = params["orders"]
    if not isinstance(orders, Sequence) or isinstance(orders, (str, bytes)) or not orders:
        raise Unreadable("the orders of a batch must be a list")
    for order in orders:
        if not isinstance(order, Mapping) or "pair" in order or "orders" in order:
            raise Unreadable("an order of a batch must be an object without pair or orders of its own")
    return list(orders)


def terms_of(order: Mapping[str, Any], last: Decimal, existing: Mapping[str, Any] | None) -> Iterator[Terms]:
    """The terms of an order, or of what an order becomes, and then of the one that closes it; raises Unreadable.

    ``existing`` is the order that is changed, with Kraken's names of fields (pair, type, ordertype, volume, price …).
    """
    whole = _whole(order, existing)
    yield _terms(whole, last, judge_price=_gives_price(order))
    closing = _closing(whole)
    if closing:
        yield _terms(closing, last, judge_price=True)


def row_as_order(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of OpenOrders or QueryOrders with the names that an order has: what ``existing`` wants."""
    told = row.get("descr")
    fields = dict(told) if isinstance(told, Mapping) else {}
    names = ("pair", "type", "ordertype", "price", "price2")
    return {name: fields.get(name) for name in names} | {"volume": row.get("vol"), "oflags": row.get("oflags")}


# --- the order as a whole ---------------------------------------------------------------------------------------------


def _is_change(order: Mapping[str, Any]) -> bool:
    """EditOrder and AmendOrder name an order, and have no type of their own: one that is given says nothing."""
    return "ordertype" not in order or "txid" in order or any(name in order for name in _AMENDED)


def _gives_price(order: Mapping[str, Any]) -> bool:
    return not _is_change(order) or any(order.get(name) is not None for name in ("price", "price2", "limit_price"))


def _whole(order: Mapping[str, Any], existing: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if not _is_change(order):
        return order
    if existing is None:
        raise Unreadable("the order that it changes is not known here, so what it comes to cannot be told")
    edited = {name: order[name] for name in _EDITED if order.get(name) is not None}
    amended = {_own_name(name, existing): order[name] for name in _AMENDED if order.get(name) is not None}
    if edited and amended:
        raise Unreadable("it has the fields of EditOrder and of AmendOrder: which ones count cannot be told")
    return {**existing, **edited, **amended}


def _own_name(name: str, existing: Mapping[str, Any]) -> str:
    """Where AmendOrder's names for prices stand in an order of that type."""
    kind = _kind(existing)
    if name == "limit_price" and kind in _TRIGGER_LIMIT:
        return "price2"
    if (name == "limit_price" and kind not in _LIMIT) or (name == "trigger_price" and kind in _LIMIT):
        raise Unreadable(f"{name} is not of an order of type {_shown(kind)}")
    return _AMENDED[name]


def _closing(whole: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The order that Kraken adds once this one is filled, if one is asked for."""
    nested = whole.get("close")
    if nested is not None and not isinstance(nested, Mapping):
        raise Unreadable("close must be an object")
    named = {name: whole[f"close[{name}]"] for name in ("ordertype", "price", "price2") if f"close[{name}]" in whole}
    if named and nested:
        raise Unreadable("close is given twice")
    if not named and not nested:
        return None
    return {**named, **(nested or {}), "volume": whole.get("volume"), "type": _OTHER_SIDE[_side(whole)]}


# --- what it comes to -------------------------------------------------------------------------------------------------


def _terms(order: Mapping[str, Any], last: Decimal, *, judge_price: bool) -> Terms:
    if not last.is_finite() or last <= 0:
        raise Unreadable("the last price is not known")
    at, limit = _priced(order, last)
    volume = number("volume", order.get("volume"))
    if volume == 0:
        raise Unreadable("volume is 0, which Kraken takes for all of a position")
    off = limit.off / last if limit and judge_price else Decimal(0)
    if "viqc" in _flags(order):
        if order.get("ordertype") != "market" or _side(order) != "buy":
            raise Unreadable("viqc says that its volume is in the quote currency, which holds for a market buy alone")
        return Terms(volume / last, volume, off)
    return Terms(volume, volume * at, off)


def _priced(order: Mapping[str, Any], last: Decimal) -> tuple[Decimal, _Price | None]:
    """The price at which it is valued, and its limit price if it has one."""
    kind, is_buy = _kind(order), _side(order) == "buy"
    if kind in _AT_MARKET:
        return last, None
    if kind in _LIMIT:
        limit = _price("price", order.get("price"), last)
        return (limit.high if is_buy else max(limit.high, last)), limit
    trigger = _price("price", order.get("price"), last, offset=kind in _TRAILING)
    if kind in _TRIGGER:
        return max(trigger.high, last), None
    limit = _limit_of_trigger(kind, order, trigger, last)
    return (limit.high if is_buy else max(limit.high, trigger.high, last)), limit


def _limit_of_trigger(kind: str, order: Mapping[str, Any], trigger: _Price, last: Decimal) -> _Price:
    """The limit price of an order with a trigger: of a trailing one an offset from where its trigger may lie."""
    if kind in _TRAILING:
        further = _price("price2", order.get("price2"), trigger.high, offset=True)
        return _Price(further.high, trigger.off + further.off)
    if str(order.get("price2"))[:1] in ("+", "-", "#"):
        raise Unreadable("price2 is relative: what it comes to cannot be told before the order is triggered")
    return _price("price2", order.get("price2"), last)


def _price(name: str, value: object, base: Decimal, *, offset: bool = False) -> _Price:
    """A price as given, or relative to ``base``. An ``offset`` is relative without a sign too."""
    match = _PRICE.fullmatch(value) if isinstance(value, str) and len(value) <= CHARACTERS_MAX else None
    sign, amount, percent = match.groups() if match else ("", value, "")
    plain = number(name, amount)
    if not sign and not offset:
        if percent or plain == 0:
            raise Unreadable(f"{name} is {_shown(value)}: not a price")
        return _Price(plain, abs(plain - base))
    distance = base * plain / _PERCENT if percent else plain
    high = base - distance if sign == "-" and not offset else base + distance
    if high <= 0:
        raise Unreadable(f"{name} is {_shown(value)}: it comes to less than nothing")
    return _Price(high, distance)


def number(name: str, value: object) -> Decimal:
    """A number as Kraken writes them: digits and a point. Signs, exponents and NaN are Unreadable."""
    if isinstance(value, float):
        value = format(Decimal(repr(value)), "f") if abs(value) < _FLOAT_MAX else None
    elif isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        value = _written(Decimal(value))
    if not isinstance(value, str) or len(value) > CHARACTERS_MAX or not _NUMBER.fullmatch(value):
        raise Unreadable(f"{name} is {_shown(value)}: not a plain number")
    return Decimal(value)


def _written(number: Decimal) -> str | None:
    """It without an exponent; None where it has one, and where it is long beyond reason."""
    exponent = number.as_tuple().exponent
    plain = isinstance(exponent, int) and -CHARACTERS_MAX < exponent <= 0
    return format(number, "f") if plain else None


def _side(order: Mapping[str, Any]) -> str:
    side = order.get("type")
    if side not in ("buy", "sell"):
        raise Unreadable(f"type is {_shown(side)}: not buy or sell")
    return str(side)


def _kind(order: Mapping[str, Any]) -> str:
    kind = order.get("ordertype")
    if not isinstance(kind, str) or kind not in _AT_MARKET | _LIMIT | _TRIGGER | _TRIGGER_LIMIT:
        raise Unreadable(f"ordertype {_shown(kind)} is not one whose size is known")
    return kind


def _flags(order: Mapping[str, Any]) -> list[str]:
    flags = order.get("oflags")
    parts = flags if isinstance(flags, (list, tuple)) else str(flags or "").split(",")
    return [str(part).strip().lower() for part in parts]


def _shown(value: object) -> str:
    """A value as a message may repeat it: short, on one line, in ASCII, for it may stand in a header."""
    return "missing" if value is None else ascii(value)[:CHARACTERS_MAX]
