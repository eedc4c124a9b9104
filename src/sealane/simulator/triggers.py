"""When a waiting order goes off, and how a trailing one follows the price.

A stop-loss or trailing stop that buys waits for a rise, one that sells for a fall; a take-profit the other way round.
A trigger that is met when the order arrives goes off at once (chosen).
"""

from decimal import Decimal

from sealane.simulator.book import Book
from sealane.simulator.facts.trading import HALF_SPREAD_TICKS
from sealane.simulator.orders import Order, whole_ticks
from sealane.simulator.prices import NEVER_ABOVE, NEVER_BELOW


def for_a_rise(order: Order) -> bool:
    """Whether the order waits for a price at or above its trigger, not at or below."""
    return (order.side == "buy") != order.ordertype.startswith("take-profit")


def met(order: Order, last: Decimal) -> bool:
    """Whether the trigger is met at this price."""
    trigger = order.trigger
    if trigger is None:
        return True
    return last >= trigger if for_a_rise(order) else last <= trigger


def follow(order: Order, last: Decimal) -> None:
    """Let a trailing order's trigger, and its limit, follow the best price since it was placed."""
    if order.trail is None:
        return
    better = min if order.side == "buy" else max
    order.extreme = last if order.extreme is None else better(order.extreme, last)
    away = order.trail.distance(order.extreme) * (1 if order.side == "buy" else -1)
    tick = order.pair.tick_size
    order.trigger = whole_ticks(order.extreme + away, tick)
    if order.limit_offset is not None:
        order.limit = order.limit_offset.of(order.trigger, 1 if order.side == "buy" else -1, tick)


def thresholds(book: Book) -> tuple[int, int]:
    """The prices in ticks, (this or lower, this or higher), at which something happens to an order of the book."""
    tick = book.pair.tick_size
    lows, highs = [NEVER_BELOW], [NEVER_ABOVE]
    lows += [int((order.limit or 0) / tick) - HALF_SPREAD_TICKS for order in book.resting["buy"][:1]]
    highs += [int((order.limit or 0) / tick) + HALF_SPREAD_TICKS for order in book.resting["sell"][:1]]
    for order in book.waiting:
        (highs if for_a_rise(order) else lows).append(int((order.trigger or 0) / tick))
        if order.extreme is not None:
            (lows if order.side == "buy" else highs).append(
                int(order.extreme / tick) + (-1 if order.side == "buy" else 1)
            )
    return max(lows), min(highs)
