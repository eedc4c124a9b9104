"""What a strategy is, what it says, and how one is loaded from ``module:name``.

A strategy decides and does nothing else: it is given what is known and the time, and answers with signals. Limits,
gates and placing are not its business, so that no strategy can get around them.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from sealane.errors import SettingsError
from sealane.trading.views import AccountView, MarketView

SIDES = ("buy", "sell")
ORDER_TYPES = ("limit", "market")
SIGNALS_MAX = 20
"""How many signals a strategy may give for one account in one round: more is taken for a mistake."""


@dataclass(frozen=True)
class Signal:
    """One order that a strategy wants.

    Attributes:
        pair: such as ``"XBTUSD"``. side: ``"buy"`` or ``"sell"``.
        volume: in base currency, a Decimal above 0.
        price: of a limit order, a Decimal above 0; None for a market order.
        order_type: ``"limit"`` or ``"market"``; left out, it follows from the price.
        reason: why, for the people who read what was done.

    Raises SettingsError where it is none of this; a float is refused, because it is not the number that was written.
    """

    pair: str
    side: str
    volume: Decimal
    price: Decimal | None = None
    order_type: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        if not self.order_type:
            object.__setattr__(self, "order_type", "market" if self.price is None else "limit")
        if self.side not in SIDES:
            raise SettingsError(f"a signal's side is {self.side!r}: give buy or sell")
        if self.order_type not in ORDER_TYPES:
            raise SettingsError(f"a signal's order_type is {self.order_type!r}: give limit or market")
        if (self.price is None) != (self.order_type == "market"):
            raise SettingsError(f"a {self.order_type} signal has price {self.price}: a limit needs one, a market none")
        for name, value in (("volume", self.volume), ("price", self.price)):
            if value is not None and not _is_amount(value):
                raise SettingsError(f"a signal's {name} is {value!r}: give a Decimal above 0")

    def __str__(self) -> str:
        at = "at the market" if self.price is None else f"at {self.price:f}"
        return f"{self.side} {self.volume:f} {self.pair} {at}"


def _is_amount(value: object) -> bool:
    return isinstance(value, Decimal) and value.is_finite() and value > 0


@runtime_checkable
class Strategy(Protocol):
    """Market and account in, signals out."""

    def decide(self, market: MarketView, account: AccountView) -> Sequence[Signal]:
        """What to do now, in the order in which it is to be done; ``market.now_ns`` is the time."""
        ...


def signals_of(strategy: Strategy, market: MarketView, account: AccountView) -> tuple[Signal, ...]:
    """Ask a strategy; raises SettingsError where its answer is no list of signals."""
    found: object = strategy.decide(market, account)
    if inspect.iscoroutine(found):
        found.close()
        raise SettingsError("decide() is async: make it an ordinary function")
    if not isinstance(found, (list, tuple)) or not all(isinstance(signal, Signal) for signal in found):
        raise SettingsError(f"decide() returned {type(found).__name__}: return a list of Signal, empty for none")
    if len(found) > SIGNALS_MAX:
        raise SettingsError(f"decide() returned {len(found)} signals: at most {SIGNALS_MAX} are taken in a round")
    return tuple(found)


def load_strategy(path: str) -> Callable[[], Strategy]:
    """What makes a strategy: from ``"module:Class"`` one for each account, from ``"module:object"`` that one for all.

    One for all is called by several threads at once.

    The current folder is searched too. Raises SettingsError that names what is missing.
    """
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise SettingsError(f"strategy {path!r}: write module:Class, such as sealane.trading.example:Rebalance")
    found: object = _module(module_name, path)
    for part in name.split("."):
        if not hasattr(found, part):
            raise SettingsError(f"strategy {path!r}: {module_name} has no {name!r}")
        found = getattr(found, part)
    if not callable(getattr(found, "decide", None)):
        raise SettingsError(f"strategy {path!r}: {name} has no method decide(market, account)")
    strategy = found
    return lambda: _made(strategy, path)


def _module(name: str, path: str) -> object:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except Exception as error:  # whatever the module does when it is imported
        raise SettingsError(f"strategy {path!r}: {name} cannot be imported: {type(error).__name__}: {error}") from error


def _made(strategy: object, path: str) -> Strategy:
    if not isinstance(strategy, type):
        return cast(Strategy, strategy)
    try:
        return cast(Strategy, strategy())
    except Exception as error:  # whatever its constructor does
        raise SettingsError(
            f"strategy {path!r} cannot be made without arguments: {type(error).__name__}: {error}"
        ) from error
