"""A simulated exchange without a server: calls go straight to the methods, and time is moved by hand."""

import random
from decimal import Decimal

from sealane.simulator.accounts import make_accounts, open_account
from sealane.simulator.clock import NS_PER_S
from sealane.simulator.context import Context
from sealane.simulator.facts import Refused, Switches
from sealane.simulator.fills import needs
from sealane.simulator.market import Market
from sealane.simulator.methods import PRIVATE
from sealane.simulator.params import Params
from sealane.simulator.public import PUBLIC
from sealane.simulator.touches import touches
from sealane.simulator.venue import Venue

START_NS = 1_763_718_000 * NS_PER_S
PLAIN = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.1"}


class Desk:
    """`call` answers a method's result, `said` its refusal, `after` lets time pass; `touched` is of the last call."""

    def __init__(self, *, seed=3, volatility=0.0, accounts=2, **switches):
        self.now_ns, self.touched = START_NS, []
        self._switches = Switches(**switches)
        self._ids = random.Random(f"ids {seed}")
        publics = make_accounts(accounts, seed)
        self.accounts = {public.name: open_account(public, index, START_NS) for index, public in enumerate(publics)}
        self.started_with = {name: dict(account.balances) for name, account in self.accounts.items()}
        self.market = Market(seed, volatility=volatility, start_ns=START_NS)
        self.venue = Venue(self.market, self.accounts, self._ids)
        self._end = self.venue.end
        self.venue.end = self._watch_end

    def call(self, method, *, by="MASTER", **fields):
        self.venue.advance(self.now_ns)
        account, params = self.accounts[by], Params(fields)
        context = Context(account, self.market, self._switches, self.now_ns, self._ids, 0, self.venue)
        self.touched = touches(method, context, params)
        return PRIVATE[method].run(context, params)

    def said(self, method, **fields):
        try:
            answer = self.call(method, **fields)
        except Refused as refused:
            return refused.error
        raise AssertionError(f"{method} was not refused: {answer}")

    def public(self, method, **fields):
        self.venue.advance(self.now_ns)
        return PUBLIC[method](self.market, self.now_ns, Params(fields))

    def place(self, *, by="MASTER", **fields):
        """AddOrder of a plain order with these changes; its id."""
        wanted = {name: value for name, value in (PLAIN | fields).items() if value is not None}
        return self.call("AddOrder", by=by, **wanted)["txid"][0]

    def order(self, txid, *, by="MASTER"):
        return self.call("QueryOrders", by=by, txid=txid, trades="true")[txid]

    def after(self, seconds):
        self.now_ns += round(seconds * NS_PER_S)
        self.venue.advance(self.now_ns)

    @property
    def bitcoin(self):
        """The quote of XBTUSD as it stands."""
        return self.market.quote(self.market.pairs["XXBTZUSD"])

    def fund(self, by, **amounts):
        self.accounts[by].balances.update({asset: Decimal(amount) for asset, amount in amounts.items()})
        self.started_with[by] = dict(self.accounts[by].balances)

    # --- what must always hold ---

    def _watch_end(self, order, status, reason, now_ns):
        """An order that is filled whole has used up its hold to the last digit."""
        assert status != "closed" or order.hold == 0, order
        self._end(order, status, reason, now_ns)

    def audit(self):
        for name, account in self.accounts.items():
            self._audit_holds(account)
            self._audit_ledgers(account, self.started_with[name])
            self._audit_orders(account)
        self._audit_books()

    def _audit_holds(self, account):
        held = {}
        for order in account.open.values():
            assert order.hold == self._needed(order)
            held[order.hold_asset] = held.get(order.hold_asset, 0) + order.hold
        for asset in held.keys() | account.held.keys():
            assert account.held.get(asset, 0) == held.get(asset, 0), asset
            assert 0 <= held.get(asset, 0) <= account.balances.get(asset, 0), asset

    def _needed(self, order):
        """What an order must hold: what its rest costs at most, exact where that is known."""
        if order.status == "pending" or order.waiting:
            return order.hold if order.hold > 0 else None
        whole, rate = (order.tally.volume + order.left, order.limit), Decimal("0.0025")
        assets = self.market.assets
        return needs(assets, order, *whole, rate) - needs(assets, order, order.tally.volume, order.limit, rate)

    def _audit_ledgers(self, account, started_with):
        balances = dict(started_with)
        for entry in account.ledgers.values():
            asset = entry.asset.name
            balances[asset] = balances.get(asset, Decimal(0)) + entry.amount - entry.fee
            assert balances[asset] == entry.balance >= 0
            assert entry.fee >= 0
        assert balances == account.balances
        assert len(account.ledgers) == 2 * len(account.trades)

    def _audit_orders(self, account):
        for order in (*account.open.values(), *account.closed.values()):
            trades = [account.trades[txid] for txid in order.trades]
            assert order.filled == sum(trade.volume for trade in trades)
            assert (order.cost, order.fee) == (sum(t.cost for t in trades), sum(t.fee for t in trades))
            assert order.live is (order.txid in account.open)
            assert order.in_quote or order.filled <= order.volume
            assert order.live or order.hold == 0
            if order.status == "closed" and not order.in_quote:
                assert order.filled == order.volume
        assert set(account.open_client_ids.values()) <= set(account.open)

    def _audit_books(self):
        standing = set()
        for book in self.market.books.values():
            bid, ask = book.best("buy"), book.best("sell")
            assert bid < ask
            for orders in (*book.resting.values(), book.waiting):
                standing |= {order.txid for order in orders}
        live = [order for account in self.accounts.values() for order in account.open.values()]
        assert standing == {order.txid for order in live if order.status != "pending"}
