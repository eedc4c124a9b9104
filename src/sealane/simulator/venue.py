"""The venue: accounts and books brought together; orders come, wait, rest, are filled and end.

1. Time moves when `advance` is called, never by itself. What was due meanwhile happens in its order: a second's price
   first, then what was set for a time (`starttm`, `expiretm`, the cancel-all timer).
2. At a new price resting orders are filled first, best price first, then triggers go off, oldest first.
3. A live order holds what it can come to cost. No fill takes more than that, so no balance falls below zero.
4. Everything follows from the seed, the calls and their times.
"""

import heapq
import itertools
import random
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from sealane.simulator import fills
from sealane.simulator.accounts import Account
from sealane.simulator.book import Book
from sealane.simulator.clock import NS_PER_S
from sealane.simulator.facts import MAKER_FEE, TAKER_FEE
from sealane.simulator.facts.trading import NOTHING_LEFT, OUT_OF_FUNDS, POST_ONLY_LATE, SELF_TRADE, TIMED_OUT
from sealane.simulator.fills import Bill, Plan
from sealane.simulator.market import Market
from sealane.simulator.orders import ZERO, Order, Tally, new_id
from sealane.simulator.records import LedgerEntry, Trade
from sealane.simulator.triggers import follow, met, thresholds

EVERY_ORDER = ""  # in place of an order id: the cancel-all timer


class Venue:
    """Carries orders out. `ids` is where trade and ledger ids are drawn from."""

    def __init__(self, market: Market, accounts: dict[str, Account], ids: random.Random) -> None:
        self.market, self.accounts = market, accounts
        self._ids = ids
        self._queue, self._trades = itertools.count(1), itertools.count(1)
        self._due: list[tuple[int, int, str, str]] = []
        self._appointments = itertools.count()

    # --- time ---

    def advance(self, now_ns: int) -> None:
        """Let everything happen that was due up to now. An earlier time than before changes nothing."""
        while self._due and self._due[0][0] <= now_ns:
            self._walk(self.market.second_at(self._due[0][0]))
            due_ns, _, owner, txid = heapq.heappop(self._due)
            self._keep_appointment(due_ns, self.accounts[owner], txid)
        self._walk(self.market.second_at(now_ns))

    def _walk(self, until_s: int) -> None:
        """Move prices on, with a stop at every second at which one of them matters to an order."""
        while (second := self._next_move(until_s)) is not None:
            self.market.move_to(second)
            for book in self._busy():
                self._at_new_price(book, self.market.time_of(second))
        if until_s > self.market.second:
            self.market.move_to(until_s)

    def _busy(self) -> list[Book]:
        return [book for book in self.market.books.values() if book.busy]

    def _next_move(self, until_s: int) -> int | None:
        at_s = self.market.second
        found = [self.market.paths[book.pair.name].first(at_s, until_s, *thresholds(book)) for book in self._busy()]
        return min((second for second in found if second is not None), default=None)

    def _at_new_price(self, book: Book, at_ns: int) -> None:
        for side in ("buy", "sell"):
            self._fill_from_ladder(book, side, at_ns)
        for order in list(book.waiting):
            follow(order, book.last)
            if order.waiting and met(order, book.last):
                book.remove(order)
                self._go_off(order, at_ns)

    def _fill_from_ladder(self, book: Book, side: str, at_ns: int) -> None:
        """Fill resting orders that the price has come to, as far as the ladder's volume goes."""
        used = ZERO
        while book.resting[side]:
            order = book.resting[side][0]
            limit = order.limit or ZERO
            volume = min(order.left, book.reach(side, limit) - used)
            if volume <= 0:
                return
            used += volume
            self._fill_resting(order, volume, limit, at_ns, public=True)

    def _appoint(self, at_ns: int, owner: str, txid: str) -> None:
        heapq.heappush(self._due, (at_ns, next(self._appointments), owner, txid))

    def _keep_appointment(self, due_ns: int, account: Account, txid: str) -> None:
        order = account.open.get(txid)
        if txid == EVERY_ORDER and account.cancel_all_ns == due_ns:
            account.cancel_all_ns = None
            self.cancel(list(account.open.values()), due_ns, TIMED_OUT)
        elif order is not None and order.expiretm and order.expiretm * NS_PER_S <= due_ns:
            self.end(order, "expired", None, due_ns)
        elif order is not None and order.status == "pending" and order.starttm * NS_PER_S <= due_ns:
            order.status, order.extreme = "open", None
            self._begin(order, due_ns)

    # --- orders come ---

    def look(self, order: Order, now_ns: int) -> Plan:
        """What the order would take if it came now; nothing changes."""
        if self._waits(order, now_ns):
            return Plan(order.left)
        return fills.plan(self._book(order), order)

    def needs(self, order: Order, made: Plan, now_ns: int) -> Decimal:
        """What the order takes and holds of the asset it pays with."""
        if self._waits(order, now_ns):
            return fills.waiting_needs(self.market.assets, order, self._book(order).last)
        return fills.plan_needs(self.market.assets, order, made)

    def _waits(self, order: Order, now_ns: int) -> bool:
        return order.starttm * NS_PER_S > now_ns or not (order.triggered or met(order, self._book(order).last))

    def place(self, order: Order, now_ns: int) -> None:
        """Take up an order that was checked; it has its id and its owner."""
        account = self.accounts[order.owner]
        account.enter(order)
        if order.expiretm:
            self._appoint(order.expiretm * NS_PER_S, order.owner, order.txid)
        if order.starttm * NS_PER_S > now_ns:
            order.status = "pending"
            self._hold_waiting(order)
            self._appoint(order.starttm * NS_PER_S, order.owner, order.txid)
        else:
            self._begin(order, now_ns)

    def _begin(self, order: Order, now_ns: int) -> None:
        book = self._book(order)
        follow(order, book.last)
        if order.trigger is not None and not met(order, book.last):
            self._hold_waiting(order)
            book.wait(order)
        elif order.trigger is not None:
            self._go_off(order, now_ns)
        else:
            self.match(order, now_ns)

    def _go_off(self, order: Order, now_ns: int) -> None:
        order.triggered = True
        self.match(order, now_ns)

    def _hold_waiting(self, order: Order) -> None:
        amount = fills.waiting_needs(self.market.assets, order, self._book(order).last)
        self.accounts[order.owner].hold(order, fills.spent_asset(order), amount)

    def _book(self, order: Order) -> Book:
        return self.market.books[order.pair.name]

    # --- orders are filled ---

    def match(self, order: Order, now_ns: int) -> None:
        """Take what the order crosses; the rest stays in the book or ends. What cannot be paid ends whole."""
        account, book = self.accounts[order.owner], self._book(order)
        account.hold(order, fills.spent_asset(order), ZERO)
        made = fills.plan(book, order)
        if fills.plan_needs(self.market.assets, order, made) > account.available(fills.spent_asset(order)):
            self.end(order, "canceled", OUT_OF_FUNDS, now_ns)
        elif takes(order, made) and "post" in order.flags:
            self.end(order, "canceled", POST_ONLY_LATE, now_ns)
        else:
            self._take(order, made, now_ns)

    def _take(self, order: Order, made: Plan, now_ns: int) -> None:
        self.cancel(made.evicted, now_ns, SELF_TRADE)
        order.tally = Tally()
        for match in made.matches:
            self._settle(order, self._charge(order, match.volume, match.price, TAKER_FEE), match, now_ns, public=True)
            if match.maker is not None:
                self._fill_resting(match.maker, match.volume, match.price, now_ns, public=False)
        if made.left <= 0:
            self.end(order, "closed", None, now_ns)
        elif made.ended is not None:
            self.end(order, "canceled", made.ended, now_ns)
        else:
            self.rest(order)

    def rest(self, order: Order, *, keep_place: bool = False) -> None:
        """Put what is left of an order with a limit into the book, and hold what it may cost."""
        order.tally = Tally()
        needed = fills.needs(self.market.assets, order, order.left, order.limit or ZERO, MAKER_FEE)
        self.accounts[order.owner].hold(order, fills.spent_asset(order), needed)
        order.queue = order.queue if keep_place else next(self._queue)
        order.shown = order.left if order.display is None else min(order.display, order.left)
        self._book(order).rest(order)

    def _fill_resting(self, order: Order, volume: Decimal, price: Decimal, at_ns: int, *, public: bool) -> None:
        account, charged = self.accounts[order.owner], self._charge(order, volume, price, MAKER_FEE)
        taken = fills.spent(order, charged, volume)
        if taken > account.balances.get(order.hold_asset, ZERO):  # its balances were changed from outside
            self.end(order, "canceled", OUT_OF_FUNDS, at_ns)
            return
        account.hold(order, order.hold_asset, order.hold - taken)
        self._settle(order, charged, fills.Match(price, volume, order), at_ns, public=public)
        order.shown -= min(volume, order.shown)
        if order.left <= 0:
            self.end(order, "closed", None, at_ns)
        elif order.shown <= 0:
            self._show_next_part(order)

    def _show_next_part(self, order: Order) -> None:
        book = self._book(order)
        book.remove(order)
        order.queue, order.shown = next(self._queue), min(order.display or order.left, order.left)
        book.rest(order)

    def _charge(self, order: Order, volume: Decimal, price: Decimal, rate: Decimal) -> Bill:
        return fills.bill(self.market.assets, order, order.tally, volume=volume, price=price, rate=rate)

    def _settle(self, order: Order, charged: Bill, match: fills.Match, at_ns: int, *, public: bool) -> None:
        """Move the money of one fill and write it down; `public`: it is the one of its two sides to be shown."""
        txid, sign = new_id(self._ids, "T"), 1 if order.side == "buy" else -1
        parts = (
            (order.pair.base, sign * match.volume, charged.base_fee),
            (order.pair.quote, -sign * charged.cost, charged.quote_fee),
        )
        entries = tuple(self._enter(order.owner, txid, part, at_ns) for part in parts)
        trade = Trade(
            txid=txid,
            ordertxid=order.txid,
            pair=order.pair,
            time_ns=at_ns,
            side=order.side,
            ordertype=order.ordertype,
            price=match.price,
            cost=charged.cost,
            fee=charged.fee,
            volume=match.volume,
            maker=match.maker is order,
            number=next(self._trades),
            ledgers=tuple(entry.id for entry in entries),
        )
        self.accounts[order.owner].record(trade, entries)
        _add_to(order, match, charged, txid)
        if public:
            self.market.prints[order.pair.name].append(trade)

    def _enter(self, owner: str, refid: str, part: tuple[str, Decimal, Decimal], at_ns: int) -> LedgerEntry:
        account, (asset, amount, fee) = self.accounts[owner], part
        account.move(asset, amount - fee)
        return LedgerEntry(
            id=new_id(self._ids, "L"),
            refid=refid,
            time_ns=at_ns,
            type="trade",
            asset=self.market.assets[asset],
            amount=amount,
            fee=fee,
            balance=account.balances[asset],
        )

    # --- orders are changed ---

    def amend(self, order: Order, changes: Mapping[str, Any], now_ns: int) -> None:
        """Change a live order in place. It keeps its place in the queue unless its price changes or it grows."""
        before = (order.limit, order.volume, order.display or ZERO)
        self._book(order).remove(order)
        for name, value in changes.items():
            setattr(order, name, value)
        order.amended_ns = now_ns
        if order.left <= 0:
            self.end(order, "canceled", NOTHING_LEFT, now_ns)
        elif order.status == "pending":
            self._hold_waiting(order)
        elif order.trigger is not None and not order.triggered:
            self._begin(order, now_ns)
        elif order.limit == before[0] and order.volume <= before[1] and (order.display or ZERO) <= before[2]:
            self.rest(order, keep_place=True)
        else:
            self.match(order, now_ns)

    # --- orders end ---

    def end(self, order: Order, status: str, reason: str | None, now_ns: int) -> None:
        """Take an order out of the book, release what it holds, remember it."""
        self._book(order).remove(order)
        order.close(status, now_ns, reason)
        self.accounts[order.owner].leave(order)

    def cancel(self, orders: Iterable[Order], now_ns: int, reason: str) -> int:
        """End live orders as canceled; how many."""
        ended = list(orders)
        for order in ended:
            self.end(order, "canceled", reason, now_ns)
        return len(ended)

    def cancel_all_at(self, account: Account, at_ns: int | None) -> None:
        """Set the account's cancel-all timer anew, or with None switch it off."""
        account.cancel_all_ns = at_ns
        if at_ns is not None:
            self._appoint(at_ns, account.name, EVERY_ORDER)


def takes(order: Order, made: Plan) -> bool:
    """Whether the order would take from the book, or meet an order of its own account there."""
    return bool(made.matches or made.evicted) or (made.ended is not None and order.limit is not None)


def _add_to(order: Order, match: fills.Match, charged: Bill, txid: str) -> None:
    order.filled += match.volume
    order.paid += match.volume * match.price
    order.cost += charged.cost
    order.fee += charged.fee
    order.trades.append(txid)
