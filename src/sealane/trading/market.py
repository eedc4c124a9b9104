"""One look at the market for every account of a round: three public calls, which wait for no lane.

What cannot be had or read is said, never made up: a scan has a market or an error, and a pair that Kraken does not
know, or whose rows are not whole, is left out with the reason. One unknown pair costs a few calls more: Kraken refuses
a list that has one, so it is asked for in halves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol, TypeVar

from sealane.errors import Refused, SealaneError
from sealane.trading.views import MarketView, PairRules, Quote, compact

ONLINE = "online"
_UNKNOWN_PAIR = "Unknown asset pair"
_NOT_KNOWN = "Kraken does not know it: check the spelling"

T = TypeVar("T")


class PublicCalls(Protocol):
    """What asks Kraken, such as ``Kraken().public``."""

    def __call__(self, method: str, /, **params: object) -> Any:
        """The call's result; raises Refused or Unavailable."""
        ...


@dataclass(frozen=True)
class Scan:
    """What was seen.

    Attributes:
        status: Kraken's SystemStatus, such as ``"online"``; "" where it is not known.
        market: the pairs that can be traded, None where they are not known.
        error: why something is not known, "" where all is.
    """

    status: str = ""
    market: MarketView | None = None
    error: str = ""


def scan(public: PublicCalls, pairs: Sequence[str], now_ns: Callable[[], int]) -> Scan:
    """Ask for the status, the rules of the pairs and their prices; never raises for what Kraken or the network did."""
    status = ""
    try:
        status = _text(_row(public("SystemStatus")), "status")
        return Scan(status, _market(public, pairs, now_ns))
    except (SealaneError, ValueError) as error:
        return Scan(status, None, str(error))


def _market(public: PublicCalls, pairs: Sequence[str], now_ns: Callable[[], int]) -> MarketView:
    if not pairs:
        return MarketView(now_ns(), {}, {})
    pairs = list(dict.fromkeys(compact(pair) for pair in pairs))
    found = {_text(row, "altname"): (key, row) for key, row in _asset_pairs(public, pairs).items()}
    rules, left_out = _readable(found, lambda name: _rules(name, found[name][1]))
    left_out |= {name: f"it is {row.status}" for name, row in rules.items() if row.status != ONLINE}
    open_pairs = [name for name in rules if name not in left_out]
    asked_ns = now_ns()
    tickers = _row(public("Ticker", pair=",".join(open_pairs))) if open_pairs else {}
    quotes, unquoted = _readable(open_pairs, lambda name: _quote(name, tickers.get(found[name][0]), asked_ns))
    spellings = {spelling: name for name, (key, row) in found.items() for spelling in _spellings(name, key, row)}
    wanted = dict.fromkeys(spellings.get(pair, pair) for pair in pairs)
    missing = {name: _NOT_KNOWN for name in wanted if name not in found}
    quotes = {name: quotes[name] for name in wanted if name in quotes}
    return MarketView(
        now_ns(), quotes, {name: rules[name] for name in quotes}, left_out | unquoted | missing, spellings
    )


def _asset_pairs(public: PublicCalls, pairs: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """The rows of those that Kraken knows."""
    try:
        found = _row(public("AssetPairs", pair=",".join(pairs)))
    except Refused as error:
        if not any(_UNKNOWN_PAIR in said for said in error.errors):
            raise
        half = len(pairs) // 2
        return {**_asset_pairs(public, pairs[:half]), **_asset_pairs(public, pairs[half:])} if half else {}
    return {key: _row(row) for key, row in found.items()}


def _readable(names: Iterable[str], read: Callable[[str], T]) -> tuple[dict[str, T], dict[str, str]]:
    """Those that can be read, and why the others cannot."""
    good: dict[str, T] = {}
    bad: dict[str, str] = {}
    for name in names:
        try:
            good[name] = read(name)
        except ValueError as error:
            bad[name] = str(error)
    return good, bad


def _rules(name: str, row: Mapping[str, Any]) -> PairRules:
    decimals = row.get("lot_decimals")
    if not isinstance(decimals, int):
        raise ValueError(f"Kraken gave lot_decimals as {decimals!r}")
    return PairRules(
        pair=name,
        base=_text(row, "base"),
        quote=_text(row, "quote"),
        status=_text(row, "status"),
        ordermin=_amount(row, "ordermin"),
        costmin=_amount(row, "costmin"),
        tick_size=_amount(row, "tick_size"),
        lot_decimals=decimals,
    )


def _quote(name: str, row: object, asked_ns: int) -> Quote:
    ticker = _row(row)
    bid, ask, last = (_amount({side: _first(ticker.get(side))}, side) for side in "bac")
    if not 0 < bid <= ask or last <= 0:
        raise ValueError(f"Kraken gave no usable price: bid {bid:f}, ask {ask:f}, last {last:f}")
    return Quote(name, bid, ask, last, asked_ns)


def _spellings(name: str, key: str, row: Mapping[str, Any]) -> set[str]:
    return {name, compact(name), compact(key), compact(str(row.get("wsname", name)))}


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else None


def _row(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"Kraken gave a {type(value).__name__} where rows were expected")
    return value


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"Kraken gave {name} as {value!r}")
    return value


def _amount(row: Mapping[str, Any], name: str) -> Decimal:
    try:
        amount = Decimal(row[name])
    except (KeyError, TypeError, ValueError, InvalidOperation):
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise ValueError(f"Kraken gave {name} as {row.get(name)!r}")
    return amount
