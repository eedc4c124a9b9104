"""Signals become orders, one after the other, each within the hard limits.

1. Every signal ends: placed, validated, not placed, blocked, in doubt or not reached, with a reason.
2. Unless it is live, an order is sent with ``validate``: Kraken checks it and places nothing.
3. An order in doubt, and trouble that is not about one order (no answer, a quarantined key), stops the signals behind.
4. A stop asked for meanwhile lets the order in flight end; no further one starts.
5. A buy that was placed, or may have been, is no longer capital for those behind it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sealane.broker import Broker
from sealane.core.order import VALIDATED, NotPlaced, Placed
from sealane.errors import InDoubt, Refused, SealaneError, SettingsError
from sealane.trading.limits import HardLimits, why_blocked, worth_in
from sealane.trading.passage import Passage
from sealane.trading.strategy import Signal
from sealane.trading.views import MarketView

logger = logging.getLogger("sealane.trading")


class End(StrEnum):
    """How a signal ended."""

    PLACED = "placed"
    VALIDATED = "validated"
    NOT_PLACED = "not placed"
    BLOCKED = "blocked"
    IN_DOUBT = "in doubt"
    NOT_REACHED = "not reached"


@dataclass(frozen=True)
class Execution:
    """What became of a signal.

    ``txid`` and ``client_order_id`` are Kraken's and ours, "" where there is none. ``stops``: none behind it is tried.
    """

    signal: Signal
    end: End
    reason: str
    txid: str = ""
    client_order_id: str = ""
    stops: bool = False

    @property
    def went_through(self) -> bool:
        """Whether Kraken took it."""
        return self.end in (End.PLACED, End.VALIDATED)


@dataclass(frozen=True)
class Executor:
    """Places signals through one account's broker.

    Attributes:
        limits: what it never goes beyond.
        live: orders are placed; False has Kraken check them only.
        now_ns: the wall clock.
        stopping: asked before each signal; True starts no further one.
        passage: through which each order goes; once it is shut none starts.
    """

    broker: Broker
    limits: HardLimits
    live: bool
    now_ns: Callable[[], int]
    stopping: Callable[[], bool] = lambda: False
    passage: Passage = field(default_factory=Passage)

    def execute(self, signals: Sequence[Signal], market: MarketView, free: Decimal) -> tuple[Execution, ...]:
        """The end of each signal, in their order; never raises for what became of an order.

        ``free`` is what the account can spend before the first, in dollars.
        """
        ends: list[Execution] = []
        for signal in signals:
            before = next((end for end in ends if end.stops), None)
            if before is not None:
                ends.append(Execution(signal, End.NOT_REACHED, f"stopped by the one before: {before.signal}"))
            elif self.stopping():
                ends.append(Execution(signal, End.NOT_REACHED, "stopping"))
            else:
                ends.append(self._one(signal, market, free))
                free -= _spent(ends[-1], market)
        return tuple(ends)

    def _one(self, signal: Signal, market: MarketView, free: Decimal) -> Execution:
        blocked = why_blocked(signal, self.limits, market, free, self.now_ns())
        if blocked:
            return Execution(signal, End.BLOCKED, blocked)
        with self.passage.order() as may_go:
            if not may_go:
                return Execution(signal, End.NOT_REACHED, "stopping")
            try:
                end = self._placed(signal, market.named(signal.pair))
            except Exception as error:  # whatever the broker raised: a signal has an end all the same
                return _raised(signal, error, live=self.live)
        return _ended(signal, end, live=self.live)

    def _placed(self, signal: Signal, pair: str) -> Any:
        price = {} if signal.price is None else {"price": signal.price}
        return self.broker.place_order(
            pair=pair,
            side=signal.side,
            volume=signal.volume,
            order_type=signal.order_type,
            validate=not self.live,
            **price,
        )


def _spent(done: Execution, market: MarketView) -> Decimal:
    """What a signal took of the capital, or may have taken. A sale's proceeds count when Kraken shows them."""
    if done.signal.side == "buy" and done.end in (End.PLACED, End.IN_DOUBT):
        return worth_in(market, done.signal)
    return Decimal(0)


def _ended(signal: Signal, end: object, *, live: bool) -> Execution:
    match end:
        case Placed():
            return Execution(signal, End.PLACED, end.descr, end.txid, end.client_order_id)
        case NotPlaced(reason=reason) if reason == VALIDATED:
            return Execution(signal, End.VALIDATED, "Kraken would take it")
        case NotPlaced():
            reason = end.reason if end.kraken_error is None else f"{end.reason}: {end.kraken_error}"
            return Execution(signal, End.NOT_PLACED, reason, "", end.client_order_id)
        case _:
            error = TypeError(f"the broker answered with a {type(end).__name__}")
            return _raised(signal, error, live=live)


def _raised(signal: Signal, error: Exception, *, live: bool) -> Execution:
    """An error as an end. One that is none of Sealane's tells nothing about an order that may have been sent."""
    match error:
        case InDoubt():
            return Execution(signal, End.IN_DOUBT, str(error), "", error.client_order_id, stops=True)
        case Refused() | SettingsError():
            return Execution(signal, End.NOT_PLACED, str(error))
        case SealaneError():
            return Execution(signal, End.NOT_PLACED, f"{type(error).__name__}: {error}", stops=True)
    logger.error("placing %s raised %s: %s", signal, type(error).__name__, error, exc_info=error)
    said = f"{type(error).__name__}: {error}"
    if live:
        return Execution(signal, End.IN_DOUBT, f"{said}; look for the order before it is sent again", stops=True)
    return Execution(signal, End.NOT_PLACED, said, stops=True)
