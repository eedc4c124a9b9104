"""The order book of one pair: the accounts' orders, and the made-up ladder behind them.

1. Orders of one side stand by price, then by their place in the queue. An account's order goes before the ladder's at
   the same price (chosen).
2. A made-up order never stands at or through an account's order of the other side: the book is never crossed.
3. Of an iceberg only the displayed part has its place; each further part goes behind all others of that price.
"""

from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby, islice

from sealane.simulator.ladder import Ladder
from sealane.simulator.orders import Order
from sealane.simulator.pairs import Pair

OTHER_SIDE = {"buy": "sell", "sell": "buy"}


@dataclass(frozen=True)
class Offer:
    """Something to trade with: `order` is an account's, None for the ladder."""

    price: Decimal
    volume: Decimal
    order: Order | None = None


class Book:
    """Resting and waiting orders of one pair. `last` is the price around which the ladder stands."""

    def __init__(self, pair: Pair, ladder: Ladder, last: Decimal) -> None:
        self.pair, self.last = pair, last
        self._ladder = ladder
        self.resting: dict[str, list[Order]] = {"buy": [], "sell": []}
        self.waiting: list[Order] = []

    @property
    def busy(self) -> bool:
        """Whether a move of the price can matter to an account."""
        return bool(self.waiting or self.resting["buy"] or self.resting["sell"])

    def rest(self, order: Order) -> None:
        """Put an order with a limit in its place."""
        insort(self.resting[order.side], order, key=_place)

    def wait(self, order: Order) -> None:
        """Keep an order until its trigger is met."""
        order.waiting = True
        self.waiting.append(order)

    def remove(self, order: Order) -> None:
        """Take an order out, wherever it is; nothing happens when it is in neither list."""
        order.waiting = False
        for orders in (self.resting[order.side], self.waiting):
            if order in orders:
                orders.remove(order)

    def best(self, side: str) -> Decimal | None:
        """The best price of that side, accounts and ladder together; None for an empty side."""
        return next((offer.price for offer in self.offers(side)), None)

    def depth(self, side: str, count: int) -> list[tuple[Decimal, Decimal]]:
        """(price, volume) of the best `count` prices; of icebergs the displayed part."""
        shown = (Offer(price, volume) for price, volume in self._made_up(side))
        resting = (Offer(order.limit or Decimal(0), order.shown) for order in self.resting[side])
        levels = groupby(_merged(side, resting, shown), key=lambda offer: offer.price)
        return [(price, sum((offer.volume for offer in offers), Decimal(0))) for price, offers in islice(levels, count)]

    def offers(self, side: str) -> Iterator[Offer]:
        """Everything on that side, in the order in which it is taken."""
        resting = (Offer(order.limit or Decimal(0), order.left, order) for order in self.resting[side])
        made_up = (Offer(price, volume) for price, volume in self._made_up(side))
        for _, offers in groupby(_merged(side, resting, made_up), key=lambda offer: offer.price):
            yield from _in_parts(offers)

    def _made_up(self, side: str) -> Iterator[tuple[Decimal, Decimal]]:
        against = self.resting[OTHER_SIDE[side]]
        limit = against[0].limit if against else None
        for price, volume in self._ladder.offers(side, self.last):
            if limit is None or (price > limit if side == "sell" else price < limit):
                yield price, volume

    def reach(self, side: str, limit: Decimal) -> Decimal:
        """The ladder's volume that an order of `side` with this limit can be filled with at the present price."""
        volume = Decimal(0)
        for price, offered in self._ladder.offers(OTHER_SIDE[side], self.last):
            if price > limit if side == "buy" else price < limit:
                break
            volume += offered
        return volume


def _place(order: Order) -> tuple[Decimal, int]:
    limit = order.limit or Decimal(0)
    return (-limit if order.side == "buy" else limit), order.queue


def _merged(side: str, resting: Iterator[Offer], made_up: Iterator[Offer]) -> Iterator[Offer]:
    """Both by price, best first; the accounts' first at one price."""
    sign = 1 if side == "sell" else -1
    ours, theirs = next(resting, None), next(made_up, None)
    while ours is not None or theirs is not None:
        if theirs is None or (ours is not None and sign * (ours.price - theirs.price) <= 0):
            if ours is not None:
                yield ours
            ours = next(resting, None)
        else:
            yield theirs
            theirs = next(made_up, None)


def _in_parts(offers: Iterable[Offer]) -> Iterator[Offer]:
    """Offers of one price, icebergs part by part."""
    row = deque((offer, offer.volume) for offer in offers)
    first = {offer.order.txid for offer, _ in row if offer.order is not None}
    while row:
        offer, left = row.popleft()
        order = offer.order
        if order is None or order.display is None:
            yield offer
            continue
        part = min(left, order.shown if order.txid in first else order.display)
        first.discard(order.txid)
        yield Offer(offer.price, part, order)
        if left > part:
            row.append((offer, left - part))
