"""What a virtual key may do. Pure: whoever asks brings the pairs, the last price and the order that is changed.

1. What is not allowed is denied, also a method that nobody knows, and a parameter that cannot be read.
2. ``refusal`` needs nothing but the call. Where ``priced`` says so, ``size_refusal`` is asked as well, with a price.
3. A refusal is a sentence for the bot's owner, in ASCII. It repeats what the bot sent, shortened, and no secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sealane.broker.kraken_assets import symbol
from sealane.core.methods import HARMLESS, METHODS, method_named
from sealane.errors import SettingsError
from sealane.gateway.keys.order_terms import Terms, Unreadable, orders_in, row_as_order, terms_of
from sealane.gateway.keys.pairs import Pair, Pairs

__all__ = [
    "CLASSES", "DEFAULT_ALLOW", "WS_TOKEN", "Cap", "Pair", "Pairs", "Policy", "method_class", "orders_in", "priced",
    "refusal", "row_as_order", "size_refusal", "told",
]  # fmt: skip

READ, TRADE, CANCEL, FUND, WS_TOKEN = "read", "trade", "cancel", "fund", "ws-token"
CLASSES = (READ, TRADE, CANCEL, FUND, WS_TOKEN)
DEFAULT_ALLOW = frozenset({READ, TRADE, CANCEL})
_TRADES = frozenset({"AddOrder", "AddOrderBatch", "AmendOrder", "EditOrder"})
_CANCELS = frozenset({"CancelOrder", "CancelOrderBatch", "CancelAll", "CancelAllOrdersAfter"})
_EXPORTS = frozenset({"AddExport", "RemoveExport"})
_FUNDS = frozenset({"WalletTransfer", "CreateSubaccount", "AccountTransfer"})
_SPOKEN = {FUND: "move funds", WS_TOKEN: "take WebSocket tokens"}
_NO = ("", "0", "false", "none")
_NEW_ORDER = {"type", "ordertype", "volume", "price", "price2"}
_AMENDMENT = {"order_qty", "limit_price", "trigger_price"}
_ELSEWHERE = {
    "AddOrder": frozenset({"orders", *_AMENDMENT}),
    "AddOrderBatch": frozenset({*_NEW_ORDER, *_AMENDMENT}),
    "EditOrder": frozenset({"orders", "type", "ordertype", *_AMENDMENT}),
    "AmendOrder": frozenset({"orders", *_NEW_ORDER}),
}
"""Fields of other methods. Kraken passes over them, but sizes are read by them: they would show another order."""


@dataclass(frozen=True)
class Cap:
    """The largest order: an amount of an asset, or of the pair's quote currency where ``asset`` is None."""

    amount: Decimal
    asset: str | None = None

    def __str__(self) -> str:
        return f"{self.amount:f} {self.asset}" if self.asset else f"{self.amount:f}"


@dataclass(frozen=True)
class Policy:
    """What is allowed.

    Attributes:
        allow: classes (read, trade, cancel, fund), ``ws-token``, and names of methods.
        pairs: on which orders may be placed, None for all.
        max_order: None for no limit.
        price_band: how far a limit price may be from the last, as a fraction of that; None for no limit.
        own_orders: whether it sees to its own orders alone: it cancels and changes what it placed, nothing else.
        share: of the account's rate budget, as a fraction; None for no limit.
    """

    allow: frozenset[str] = DEFAULT_ALLOW
    pairs: frozenset[str] | None = None
    max_order: Cap | None = None
    price_band: Decimal | None = None
    own_orders: bool = True
    share: Decimal | None = None

    def __post_init__(self) -> None:
        _check(self)

    def stored(self) -> dict[str, Any]:
        """The policy as plain JSON values."""
        return {
            "allow": sorted(self.allow),
            "pairs": None if self.pairs is None else sorted(self.pairs),
            "max_order": self.max_order and {"amount": f"{self.max_order.amount:f}", "asset": self.max_order.asset},
            "price_band": None if self.price_band is None else f"{self.price_band:f}",
            "own_orders": self.own_orders,
            "share": None if self.share is None else f"{self.share:f}",
        }

    @classmethod
    def loaded(cls, stored: Mapping[str, Any]) -> Policy:
        """The policy that ``stored`` wrote. A field that is missing or not known is a SettingsError: it may forbid."""
        if set(stored) != set(cls.__dataclass_fields__):
            raise SettingsError(f"not a policy: it has the fields {', '.join(map(str, stored))}")
        try:
            return cls(**{name: _FIELDS[name](value) for name, value in stored.items()})
        except (TypeError, KeyError, ValueError, ArithmeticError) as error:
            raise SettingsError(f"not a policy: {error}") from None


def _amount(stored: object) -> Decimal | None:
    return None if stored is None else Decimal(_text(stored))


def _stored_cap(stored: Any) -> Cap | None:
    if stored is None:
        return None
    return Cap(Decimal(_text(stored["amount"])), None if stored["asset"] is None else _text(stored["asset"]))


def _texts(stored: Any) -> frozenset[str]:
    if not isinstance(stored, list):
        raise TypeError(f"{stored!r} is no list")
    return frozenset(map(_text, stored))


def _text(stored: object) -> str:
    if not isinstance(stored, str):
        raise TypeError(f"{stored!r} is no text")
    return stored


_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "allow": _texts,
    "pairs": lambda stored: None if stored is None else _texts(stored),
    "max_order": _stored_cap,
    "price_band": _amount,
    "own_orders": lambda stored: stored,
    "share": _amount,
}


def _check(policy: Policy) -> None:
    unknown = sorted(word for word in policy.allow if word not in CLASSES and word not in METHODS)
    if unknown or not policy.allow:
        raise SettingsError(f"allow names {', '.join(unknown) or 'nothing'}: give {', '.join(CLASSES)}, or methods")
    if policy.pairs is not None and not policy.pairs:
        raise SettingsError("pairs names none: leave it out for all pairs")
    if policy.max_order is not None and not 0 < policy.max_order.amount < Decimal("Infinity"):
        raise SettingsError(f"max-order is {policy.max_order}: give an amount above 0")
    if policy.price_band is not None and not 0 < policy.price_band <= 1:
        raise SettingsError(f"price-band is {policy.price_band}: give more than 0 and at most 100%")
    if policy.share is not None and not 0 < policy.share <= 1:
        raise SettingsError(f"share is {policy.share}: give more than 0 and at most 100%")
    if not isinstance(policy.own_orders, bool):
        raise SettingsError(f"own_orders is {policy.own_orders!r}: it is true or false")


# --- methods ----------------------------------------------------------------------------------------------------------


def method_class(method: str, params: Mapping[str, Any]) -> str:
    """``"read"``, ``"trade"``, ``"cancel"``, ``"fund"``, ``"ws-token"``; "" for a method that is not known."""
    if method not in METHODS:
        return ""
    if method in _TRADES or method in _CANCELS:
        return TRADE if method in _TRADES else CANCEL
    if method == "GetWebSocketsToken":
        return WS_TOKEN
    if _moves_funds(method, params):
        return FUND
    return READ if method in _EXPORTS or not method_named(method).write else FUND


def _moves_funds(method: str, params: Mapping[str, Any]) -> bool:
    if method == "DepositAddresses":
        return str(params.get("new") or "").strip().lower() not in _NO
    return method in _FUNDS or method.startswith("Earn/") or (method.startswith("Withdraw") and "Status" not in method)


def _allows(policy: Policy, method: str, params: Mapping[str, Any]) -> bool:
    if method == HARMLESS:
        return True
    kind = method_class(method, params)
    by_name = method in policy.allow and not (method == "DepositAddresses" and kind == FUND)
    return kind in policy.allow or (by_name and kind != "")


def refusal(policy: Policy, method: str, params: Mapping[str, Any], canonical: Callable[[str], Pair]) -> str | None:
    """Why a call is denied, whatever its prices; None where it is not.

    ``canonical`` gives the pair of any of its names, and raises KeyError for one that is not known.
    """
    if not _allows(policy, method, params):
        kind = method_class(method, params)
        return f"this key is not allowed {f'{kind}: {method}' if kind else f'{method[:40]!a}, which is not known here'}"
    if method not in _TRADES:
        return None
    strays = sorted(_ELSEWHERE[method] & params.keys())
    if strays and (policy.pairs is not None or policy.max_order is not None or policy.price_band is not None):
        return f"{method} has no {strays[0]}: with it, what the order comes to cannot be told"
    if policy.pairs is None:
        return None
    try:
        orders_in(params)
        return _named_pair_refusal(policy, method, params.get("pair"), canonical)
    except Unreadable as trouble:
        return str(trouble)


def _named_pair_refusal(policy: Policy, method: str, named: object, canonical: Callable[[str], Pair]) -> str | None:
    if named is None:
        return None if method == "AmendOrder" else "pair is missing"
    try:
        return pair_refusal(policy, canonical(str(named)))
    except KeyError:
        return f"pair {str(named)[:40]!a} is not known"


def pair_refusal(policy: Policy, pair: Pair) -> str | None:
    """Why orders on a pair are denied, None where they are not."""
    if policy.pairs is None or any(pair.goes_by(spelling) for spelling in policy.pairs):
        return None
    return f"this key may not place orders on {pair.altname}"


# --- sizes and prices -------------------------------------------------------------------------------------------------


def priced(policy: Policy, method: str) -> bool:
    """Whether ``size_refusal`` is to be asked, for which a last price is needed, and the order that is changed."""
    limited = policy.max_order is not None or policy.price_band is not None
    foreign = method == "AmendOrder" and policy.pairs is not None and not policy.own_orders
    return method in _TRADES and (limited or foreign)


def size_refusal(
    policy: Policy, order: Mapping[str, Any], pair: Pair, last_price: Decimal, existing: Mapping[str, Any] | None = None
) -> str | None:
    """Why an order is denied for its size or its price, None where it is not.

    ``order`` is what the call says, of a batch the whole call or one order of it. ``existing`` is the order that an
    EditOrder or AmendOrder changes, with an order's names (see ``row_as_order``), None where it is not known.
    """
    denied = pair_refusal(policy, pair)
    if denied or (policy.max_order is None and policy.price_band is None):
        return denied
    try:
        found = [terms for one in orders_in(order) for terms in terms_of(one, last_price, existing)]
    except Unreadable as trouble:
        return str(trouble)
    return next((why for terms in found if (why := _terms_refusal(policy, terms, pair))), None)


def _terms_refusal(policy: Policy, terms: Terms, pair: Pair) -> str | None:
    if policy.price_band is not None and terms.off > policy.price_band:
        off, most = _percent(terms.off), _percent(policy.price_band)
        return f"its price is {off} off the last price of {pair.altname}, more than this key's {most}"
    cap = policy.max_order
    if cap is None:
        return None
    of = symbol(cap.asset or pair.quote)
    amounts = {symbol(pair.quote): terms.value, symbol(pair.base): terms.volume}
    if of not in amounts:
        return f"this key's largest order is in {of}, which says nothing of {pair.altname}"
    if amounts[of] > cap.amount:
        return f"the order comes to {_rounded(amounts[of])} {of}, more than this key's {cap.amount:f} {of}"
    return None


def _percent(fraction: Decimal) -> str:
    return f"{_rounded(fraction * 100)}%"


def _rounded(amount: Decimal) -> str:
    """Ten digits of it, without an exponent."""
    text = f"{amount:.{max(0, 9 - amount.adjusted())}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# --- for people -------------------------------------------------------------------------------------------------------


def told(policy: Policy) -> str:
    """The policy in one sentence."""
    parts = [f"may {_listed([_SPOKEN.get(word, word) for word in sorted(policy.allow, key=_rank)])}"]
    if policy.pairs is not None:
        parts.append(f"orders on {_listed(sorted(policy.pairs))} only")
    if policy.max_order is not None:
        in_quote = "" if policy.max_order.asset else " of the pair's quote currency"
        parts.append(f"each of at most {policy.max_order}{in_quote}")
    if policy.price_band is not None:
        parts.append(f"limit prices within {_percent(policy.price_band)} of the last")
    parts.append("its own orders only" if policy.own_orders else "all orders of the account")
    if policy.share is not None:
        parts.append(f"at most {_percent(policy.share)} of the account's rate budget")
    return "; ".join(parts)


def _rank(word: str) -> tuple[int, str]:
    return (CLASSES.index(word) if word in CLASSES else len(CLASSES), word)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
