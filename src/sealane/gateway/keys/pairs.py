"""Pairs under all their names: ``XBTUSD``, ``XXBTZUSD``, ``XBT/USD`` and ``BTC/USD`` are one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SPELLINGS = (("BTC", "XBT"), ("DOGE", "XDG"))


@dataclass(frozen=True)
class Pair:
    """One of Kraken's pairs: ``name`` as answers are keyed (``XXBTZUSD``), ``altname`` as requests have it.

    ``base`` and ``quote`` are Kraken's names of the assets, such as ``"XXBT"`` and ``"ZUSD"``.
    """

    name: str
    altname: str
    base: str
    quote: str

    def goes_by(self, spelling: str) -> bool:
        """Whether a person or a bot may have meant this pair."""
        return compact(spelling) in (compact(self.name), compact(self.altname))


def compact(spelling: str) -> str:
    """A pair without the choices in spelling it: ``btc/usd`` as ``XBTUSD``. Two names of one pair may remain."""
    parts = spelling.strip().upper().split("/")
    if len(parts) == 2:
        return "".join(dict(_SPELLINGS).get(part, part) for part in parts)
    name = "".join(parts)
    for other, own in _SPELLINGS:
        name = own + name.removeprefix(other) if name.startswith(other) else name
        name = name.removesuffix(other) + own if name.endswith(other) else name
    return name


class Pairs:
    """The pairs of an answer to ``AssetPairs``; rows that are not whole are left out."""

    def __init__(self, asset_pairs: Mapping[str, Any]) -> None:
        found = [pair for key, row in asset_pairs.items() if (pair := _pair(key, row))]
        self._by_spelling = {compact(pair.altname): pair for pair in found} | {
            compact(pair.name): pair for pair in found
        }

    def canonical(self, spelling: str) -> Pair:
        """The pair that goes by this spelling; raises KeyError where there is none."""
        return self._by_spelling[compact(spelling)]


def _pair(key: str, row: object) -> Pair | None:
    if not isinstance(row, Mapping):
        return None
    texts = [row.get(name) for name in ("altname", "base", "quote")]
    return Pair(key, *(str(text) for text in texts)) if all(isinstance(text, str) and text for text in texts) else None
