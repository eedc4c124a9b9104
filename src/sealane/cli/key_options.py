"""The words of ``sealane keys`` that mean a policy, a time or an address; each raises SettingsError with the remedy."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

from sealane.errors import SettingsError
from sealane.gateway.keys.policy import DEFAULT_ALLOW, Cap, Policy

ORDERS = {"own": True, "all": False}
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"([0-9]{1,9})([smhdw])")
_NUMBER = r"[0-9]{1,30}(?:\.[0-9]{1,30})?"
_FRACTION = re.compile(rf"({_NUMBER})(%?)")
_CAP = re.compile(rf"({_NUMBER}) ?((?![eE][0-9])[A-Za-z][A-Za-z0-9.]{{1,15}})?")
_ADDRESS = re.compile(r"(https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)/?")
_PAIR = re.compile(r"[A-Z0-9.]{2,20}(/[A-Z0-9.]{2,20})?")


def policy_in(
    *,
    allow: str | None,
    pairs: str | None,
    max_order: str | None,
    price_band: str | None,
    orders: str,
    share: str | None,
) -> Policy:
    """The policy that options ask for; None where one was not given."""
    if orders not in ORDERS:
        raise SettingsError(f"--orders is {orders!r}: give own or all")
    return Policy(
        allow=DEFAULT_ALLOW if allow is None else frozenset(_words("--allow", allow)),
        pairs=None if pairs is None else frozenset(_pair(word) for word in _words("--pairs", pairs)),
        max_order=None if max_order is None else _cap(max_order),
        price_band=None if price_band is None else _fraction("--price-band", price_band),
        own_orders=ORDERS[orders],
        share=None if share is None else _fraction("--share", share),
    )


def span_s(option: str, text: str) -> float:
    """A span of time, such as ``90s``, ``1h`` or ``30d``, in seconds; ``0`` for none."""
    match = _SPAN.fullmatch(text)
    if match:
        return float(int(match[1]) * _UNITS_S[match[2]])
    if text == "0":
        return 0.0
    raise SettingsError(f"{option} is {text!r}: give a span such as 90s, 15m, 1h, 30d or 2w")


def moment_s(text: str, now_s: float) -> float:
    """A moment as Unix time: a span from now, or a date or time of ISO 8601, in UTC unless it says otherwise."""
    if _SPAN.fullmatch(text):
        return now_s + span_s("--expires", text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"--expires is {text!r}: give a span such as 30d, or a date such as 2027-01-31") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def address(text: str) -> str:
    """The gateway's base address, without the slash at its end."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise SettingsError(f"{text!r} is no address of a gateway: give one such as http://127.0.0.1:8710 in --url")
    return match[1]


def _words(option: str, text: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise SettingsError(f"{option} is {text!r}: give names by commas")
    return words


def _pair(word: str) -> str:
    if not _PAIR.fullmatch(word.upper()):
        raise SettingsError(f"--pairs names {word!r}, which is no pair: write XBTUSD or XBT/USD")
    return word.upper()


def _cap(text: str) -> Cap:
    match = _CAP.fullmatch(text)
    if match is None:
        raise SettingsError(f"--max-order is {text!r}: give 500 (in the pair's quote currency), 500USD or 0.5XBT")
    return Cap(Decimal(match[1]), match[2] and match[2].upper())


def _fraction(option: str, text: str) -> Decimal:
    match = _FRACTION.fullmatch(text)
    if match is None:
        raise SettingsError(f"{option} is {text!r}: give a percentage such as 5%, or a fraction such as 0.05")
    return Decimal(match[1]) / (100 if match[2] else 1)
