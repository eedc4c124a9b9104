"""An order in Coinbase's words, and what its answers say of it. Pure: no wire, no clock.

1. Amounts are Decimal or text, never float.
2. An answer is an end only where it says so in words that are known; anything else leaves the order in doubt.
3. A client order id is one order for ever: Coinbase answers an id that it knows with the first order of that id.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sealane.core.order import FOUND, NotPlaced, Placed, amount
from sealane.errors import SettingsError

DEADLINE_S = 10.0
TIMEOUT_S = 90.0
TIMEOUT_MAX_S = 3_600.0
ID_CHARACTERS_MAX = 128
_SIDES = ("buy", "sell")
_LIMITS = {"gtc": "limit_limit_gtc", "ioc": "sor_limit_ioc", "fok": "limit_limit_fok"}
_NAMES = (
    "pair", "side", "volume", "quote_volume", "order_type", "price", "time_in_force", "post_only",
    "client_order_id", "deadline_s", "timeout_s", "validate",
)  # fmt: skip


@dataclass(frozen=True)
class OrderForm:
    """One order as it is asked for.

    Attributes:
        product_id, side, configuration: as Coinbase takes them.
        client_order_id: its id for ever.
        fresh: the id was made here, so no order of that id is older than this call.
        deadline_s: it is not sent again later than this after it was first sent.
        timeout_s: how long to find out what became of it.
        validate: have it looked at only.
    """

    product_id: str
    side: str
    configuration: Mapping[str, Mapping[str, object]]
    client_order_id: str
    fresh: bool
    deadline_s: float
    timeout_s: float
    validate: bool

    def checked_fields(self) -> dict[str, object]:
        """What ``preview_order`` takes."""
        return {"product_id": self.product_id, "side": self.side, "order_configuration": self.configuration}

    def fields(self) -> dict[str, object]:
        """What ``create_order`` takes."""
        return {"client_order_id": self.client_order_id, **self.checked_fields()}


def order_form(order: Mapping[str, Any]) -> OrderForm:
    """Check the words of ``place_order``; raises SettingsError for what cannot be meant."""
    unknown = sorted(set(order) - set(_NAMES))
    if unknown:
        raise SettingsError(f"Coinbase orders have no {', '.join(unknown)}: give some of {', '.join(_NAMES)}")
    side, given = order.get("side"), order.get("client_order_id")
    if side not in _SIDES:
        raise SettingsError(f"side is {side!r}: give buy or sell")
    return OrderForm(
        product_id=product_id(order.get("pair")),
        side=side.upper(),
        configuration=_configuration(order),
        client_order_id=str(uuid.uuid4()) if given is None else checked_id(given),
        fresh=given is None,
        deadline_s=_seconds("deadline_s", order.get("deadline_s", DEADLINE_S)),
        timeout_s=_seconds("timeout_s", order.get("timeout_s", TIMEOUT_S)),
        validate=_switch("validate", order),
    )


def product_id(pair: object) -> str:
    """A pair by Coinbase's name: ``BTC-USD``, also for ``BTC/USD``; raises SettingsError for what is none."""
    text = pair.strip().upper().replace("/", "-") if isinstance(pair, str) else ""
    if not text.replace("-", "").isalnum() or not text.isascii() or "-" not in text.strip("-"):
        raise SettingsError(f"pair is {pair!r}: give a product of Coinbase such as 'BTC-USD'")
    return text


def end_of(answer: Mapping[str, Any], form: OrderForm, how: str) -> Placed | NotPlaced | str:
    """What the answer to ``create_order`` says; a text where it is no end, and why."""
    if answer.get("success") is True:
        return _placed(answer.get("success_response"), form, how)
    said = answer.get("error_response")
    words = said.get("error") if isinstance(said, dict) else None
    if answer.get("success") is not False or not isinstance(words, str) or not words or words.startswith("UNKNOWN"):
        return "Coinbase's answer does not say whether it was placed"
    message = said.get("message") if isinstance(said, dict) else None
    return NotPlaced(f"Coinbase refused it: {message or words}", words, form.client_order_id)


def _placed(told: object, form: OrderForm, how: str) -> Placed | NotPlaced | str:
    row = told if isinstance(told, dict) else {}
    order_id, name = row.get("order_id"), row.get("client_order_id", form.client_order_id)
    if not isinstance(order_id, str) or not order_id or name != form.client_order_id:
        return "Coinbase's answer says that an order was placed, and not that it is this one"
    return _if_same(row, form) or Placed(order_id, form.client_order_id, described(form), how)


def found_end(row: Mapping[str, Any], client_order_id: str, form: OrderForm | None = None) -> Placed | NotPlaced:
    """What a row of the list of orders says of the order whose id it has; ``form`` is what it should be."""
    if row.get("status") == "FAILED":
        words = str(row.get("reject_reason") or "FAILED")
        said = row.get("reject_message") or words
        return NotPlaced(f"Coinbase took it and it failed: {said}", words, client_order_id)
    other = _if_same(row, form) if form else None
    descr = described(form) if form else f"{str(row.get('side')).lower()} {row.get('product_id')}"
    return other or Placed(str(row.get("order_id")), client_order_id, descr, FOUND)


def _if_same(row: Mapping[str, Any], form: OrderForm) -> NotPlaced | None:
    """Not placed, where the id is another order's. Quotes are not compared: USD and USDC share books and names."""
    product, side = str(row.get("product_id", form.product_id)), str(row.get("side", form.side))
    if product.partition("-")[0] == form.product_id.partition("-")[0] and side == form.side:
        return None
    other = f"{side} {product} ({row.get('order_id')})"
    return NotPlaced(f"its client_order_id is already that of another order, {other}", None, form.client_order_id)


def described(form: OrderForm) -> str:
    """A sentence about an order, such as ``"buy 0.1 BTC-USD @ limit 25000"``."""
    ((kind, sizes),) = form.configuration.items()
    size = sizes.get("base_size") or f"for {sizes.get('quote_size')}"
    price = f"limit {sizes['limit_price']}" if "limit_price" in sizes else "market"
    return f"{form.side.lower()} {size} {form.product_id} @ {price}" + (f" {kind[-3:]}" if kind.endswith("ok") else "")


def _configuration(order: Mapping[str, Any]) -> dict[str, dict[str, object]]:
    kind = order.get("order_type", "limit")
    if kind == "market":
        return {"market_market_ioc": _market_sizes(order)}
    if kind != "limit":
        raise SettingsError(f"order_type is {kind!r}: give limit or market")
    force = str(order.get("time_in_force", "gtc")).lower()
    if force not in _LIMITS:
        raise SettingsError(f"time_in_force is {force!r}: give {', '.join(_LIMITS)}")
    if order.get("quote_volume") is not None:
        raise SettingsError("quote_volume is for market orders: give volume")
    sizes: dict[str, object] = {"base_size": _size("volume", order), "limit_price": _size("price", order)}
    if _switch("post_only", order):
        if force != "gtc":
            raise SettingsError(f"post_only goes with time_in_force gtc, not {force}")
        sizes["post_only"] = True
    return {_LIMITS[force]: sizes}


def _market_sizes(order: Mapping[str, Any]) -> dict[str, object]:
    given = [name for name in ("volume", "quote_volume") if order.get(name) is not None]
    if len(given) != 1:
        raise SettingsError("a market order has one of volume (of the asset) and quote_volume (of what it is paid in)")
    for name in ("price", "time_in_force", "post_only"):
        if order.get(name):
            raise SettingsError(f"{name} cannot be given for a market order: leave it out, or give order_type='limit'")
    return {"base_size" if given == ["volume"] else "quote_size": _size(given[0], order)}


def _size(name: str, order: Mapping[str, Any]) -> str:
    if order.get(name) is None:
        raise SettingsError(f"{name} is missing: give a Decimal or a str")
    text = amount(name, order[name])
    if not text.replace(".", "", 1).isdigit() or not text.strip("0."):
        raise SettingsError(f"{name} is {text!r}: give a number above zero such as '0.1'")
    return text


def checked_id(given: object) -> str:
    """A client order id that is kept as it is; raises SettingsError for what is none."""
    text = given if isinstance(given, str) else ""
    if not 0 < len(text) <= ID_CHARACTERS_MAX or not text.isascii() or not text.isprintable():
        raise SettingsError(
            f"client_order_id is {given!r}: give a UUID, or up to {ID_CHARACTERS_MAX} ASCII characters, or leave it out"
        )
    return text


def _switch(name: str, order: Mapping[str, Any]) -> bool:
    value = order.get(name, False)
    if not isinstance(value, bool):
        raise SettingsError(f"{name} is {value!r}: give True or False")
    return value


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= TIMEOUT_MAX_S:
        raise SettingsError(f"{name} is {value!r}: give more than 0 and at most {TIMEOUT_MAX_S:.0f} seconds")
    return float(value)
