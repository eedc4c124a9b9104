"""Kraken's names for assets: which are dollars, which are Tether's, and what people call the others.

Kraken has two names for its oldest assets (``ZUSD`` and ``USD``, ``XXBT`` and ``XBT``) and appends a suffix where an
asset stands apart: earning (``.F`` ``.B`` ``.S`` ``.M`` ``.P``), tokenized (``.T``), on hold (``.HOLD``).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache

from sealane.broker.standing import exact_sum

SUFFIXES = (".F", ".B", ".S", ".M", ".T", ".P", ".HOLD")
USD = frozenset({"ZUSD", "USD"})
USDT = frozenset({"USDT"})
NAMES_KEPT = 4_096
"""Kraken lists fewer assets than that, suffixes included."""
_OLD = frozenset({"XETC", "XETH", "XLTC", "XMLN", "XREP", "XXBT", "XXDG", "XXLM", "XXMR", "XXRP", "XZEC"}) | frozenset(
    {"ZAUD", "ZCAD", "ZEUR", "ZGBP", "ZJPY", "ZUSD"}
)
_SPOKEN = {"XBT": "BTC", "XDG": "DOGE"}


def without_suffix(asset: str) -> str:
    """``"USD.HOLD"`` as ``"USD"``. A suffix that is not Kraken's stays: what is not known is not counted as money."""
    name = asset
    while (cut := next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)) is not None:
        name = name.removesuffix(cut)
    return name


@lru_cache(NAMES_KEPT)
def _money(asset: str) -> frozenset[str] | None:
    name = without_suffix(asset)
    return next((names for names in (USD, USDT) if name in names), None)


def is_cash(asset: str) -> bool:
    """Whether it counts into the balance."""
    return _money(asset) is not None


def cash(amounts: Mapping[str, Decimal]) -> tuple[Decimal, Decimal]:
    """All that is USD, and all that is USDT, under any of Kraken's names for them."""
    usd = [amount for asset, amount in amounts.items() if _money(asset) is USD]
    usdt = [amount for asset, amount in amounts.items() if _money(asset) is USDT]
    return exact_sum(*usd), exact_sum(*usdt)


def symbol(asset: str) -> str:
    """What people call it: ``"XXBT"`` and ``"XBT.F"`` are both ``"BTC"``."""
    name = without_suffix(asset)
    name = name[1:] if name in _OLD else name
    return _SPOKEN.get(name, name)
