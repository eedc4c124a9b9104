"""An account without an exchange: a broker, a client and a market that say what a test wants."""

import threading
import types
from decimal import Decimal

from sealane.core.order import VALIDATED, NotPlaced, Placed
from sealane.trading.limits import HardLimits
from sealane.trading.market import Scan
from sealane.trading.rounds import Rules
from sealane.trading.seats import Seat
from sealane.trading.views import MarketView, PairRules, Quote

NOW_NS = 1_800_000_000 * 10**9
LIMITS = HardLimits(max_order_usd=Decimal(100), min_capital_usd=Decimal(50), allowed_pairs=("XBTUSD", "ETHUSD"))


class FakeBroker:
    """Has 1000 USD and half a coin. `raises` or `ends` decide on orders, in turn; `orders` are those it was given."""

    def __init__(self, account="MASTER", *, usd="1000", amounts=None, error=None, stale=False, ends=()):
        self.account, self.orders, self.balances_asked = account, [], 0
        self.usd = None if usd is None else Decimal(usd)
        self.amounts = {"ZUSD": self.usd, "XXBT": Decimal("0.5")} if amounts is None else amounts
        self.error, self.stale = error, stale
        self.available, self.errors = True, 0
        self.ends = list(ends)
        self.on_balance = lambda: None

    def connect(self):
        return True

    def get_account_balance(self):
        return self.usd

    def get_account_balance_detailed(self):
        self.balances_asked += 1
        self.on_balance()
        known = self.usd is not None
        return {
            "account": self.account,
            "usd": self.usd,
            "usdt": Decimal(0) if known else None,
            "total": self.usd,
            "amounts": self.amounts if known else None,
            "error": self.error,
            "stale": self.stale,
            "as_of": 1_800_000_000.0 if known else None,
            "age_s": 7.0 if known else None,
            "error_count": self.errors,
            "available": self.available,
        }

    def place_order(self, **order):
        self.orders.append(order)
        end = self.ends.pop(0) if self.ends else None
        if isinstance(end, BaseException):
            raise end
        if end is not None:
            return end
        number = f"our-{len(self.orders)}"
        return NotPlaced(VALIDATED, None, number) if order["validate"] else Placed("OX", number, "done", "answered")

    def get_positions(self):
        return []

    def is_available(self):
        return self.available

    def get_error_count(self):
        return self.errors

    def close(self):
        pass


class FakeClient:
    def __init__(self):
        self.quarantined, self.doubtful = "", ()

    def statistics(self):
        return types.SimpleNamespace(quarantined=self.quarantined)

    def orders(self, *, in_doubt=False, limit=100):
        return [types.SimpleNamespace(id=name) for name in self.doubtful]


class AskedClient(FakeClient):
    """Can be asked what is free: its answer, or an error that is raised."""

    def __init__(self, answer):
        super().__init__()
        self.answer, self.asked = answer, []

    def private(self, method, /):
        self.asked.append(method)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def seat(account="MASTER", **broker):
    return Seat(account, FakeBroker(account, **broker), FakeClient())


def rules_of(pair, base, quote="ZUSD", **changes):
    return PairRules(
        **{
            "pair": pair,
            "base": base,
            "quote": quote,
            "status": "online",
            "ordermin": Decimal("0.00005"),
            "costmin": Decimal("0.5"),
            "tick_size": Decimal("0.1"),
            "lot_decimals": 8,
            **changes,
        }
    )


def market(now_ns=NOW_NS, *, left_out=None, **quotes):
    """XBTUSD at 49999 and 50000, ETHUSD at 2999 and 3000, XBTEUR at 44999 and 45000; or these pairs as (bid, ask)."""
    prices = quotes or {"XBTUSD": ("49999", "50000"), "ETHUSD": ("2999", "3000"), "XBTEUR": ("44999", "45000")}
    rules = {"XBTUSD": rules_of("XBTUSD", "XXBT"), "ETHUSD": rules_of("ETHUSD", "XETH")}
    rules |= {"XBTEUR": rules_of("XBTEUR", "XXBT", "ZEUR")}
    return MarketView(
        now_ns,
        {pair: Quote(pair, Decimal(bid), Decimal(ask), Decimal(ask), now_ns) for pair, (bid, ask) in prices.items()},
        {pair: rules[pair] for pair in prices},
        left_out or {},
        {"XXBTZUSD": "XBTUSD"},
    )


def seen(**quotes):
    return Scan("online", market(**quotes))


def rules(limits=LIMITS, *, live=False, now_ns=lambda: NOW_NS, stopping=lambda: False):
    return Rules(limits, live, now_ns, stopping)


class Latch:
    """Lets threads through once it is opened; `reached` is set when the first one comes."""

    def __init__(self, patience_s=20):
        self.reached, self._open, self._patience_s = threading.Event(), threading.Event(), patience_s

    def __call__(self):
        self.reached.set()
        assert self._open.wait(self._patience_s), "nobody opened the latch"

    def open(self):
        self._open.set()
