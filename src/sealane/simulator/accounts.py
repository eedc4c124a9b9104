"""Accounts: who may call, with which nonce, and what they own.

An account has exactly one key here. Kraken keeps nonces, permissions and the nonce window per *key*, and balances
and orders per *account*; the difference does not show with one key each.
"""

import base64
import hashlib
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sealane.simulator.facts import DEFAULT_PERMISSIONS
from sealane.simulator.orders import ZERO, Order
from sealane.simulator.records import LedgerEntry, Trade

CLOSED_KEPT = 100_000  # closed orders and trades an account remembers, so that a long run stays within memory
LEDGERS_KEPT = 2 * CLOSED_KEPT
START_BALANCES = {
    "ZUSD": Decimal(100_000),
    "ZEUR": Decimal(50_000),
    "XXBT": Decimal(5),
    "XETH": Decimal(50),
    "USDT": Decimal(20_000),
    "USDC": Decimal(20_000),
    "SOL": Decimal(500),
    "XXDG": Decimal(100_000),
}


@dataclass(frozen=True)
class SimAccount:
    """What a client needs to use an account: its name, API key (56 characters) and secret (base64 of 64 bytes)."""

    name: str
    api_key: str
    api_secret: str

    def __repr__(self) -> str:
        return f"SimAccount(name={self.name!r}, api_key='…{self.api_key[-4:]}', api_secret='…')"

    def document(self) -> dict[str, str]:
        """The account for the start-up document, with the secret: it is worth nothing outside this simulator."""
        return {"name": self.name, "api_key": self.api_key, "api_secret": self.api_secret}


def make_accounts(count: int, seed: int) -> tuple[SimAccount, ...]:
    """`MASTER`, `user1`, `user2`, … with keys that follow from the seed. ValueError when `count` is below 1."""
    if count < 1:
        raise ValueError("accounts must be 1 or more: the first one is MASTER")
    return tuple(_make_account(index, seed) for index in range(count))


def _make_account(index: int, seed: int) -> SimAccount:
    name = "MASTER" if index == 0 else f"user{index}"
    key = hashlib.sha512(f"sealane simulator key {seed} {name}".encode()).digest()[:42]
    secret = hashlib.sha512(f"sealane simulator secret {seed} {name}".encode()).digest()
    return SimAccount(name, base64.b64encode(key).decode(), base64.b64encode(secret).decode())


@dataclass
class Account:
    """The exchange's side of an account. Amounts are Decimal, in units of the asset."""

    public: SimAccount
    secret: bytes
    balances: dict[str, Decimal]
    created_ns: int
    held: dict[str, Decimal] = field(default_factory=dict)
    highest_nonce: int = 0
    nonce_window: int = 0
    window_nonces: set[int] = field(default_factory=set)
    permissions: frozenset[str] = frozenset(DEFAULT_PERMISSIONS)
    otp: str | None = None
    ip_allowlist: tuple[str, ...] = ()
    valid_until_s: int = 0
    open: dict[str, Order] = field(default_factory=dict)
    closed: dict[str, Order] = field(default_factory=dict)
    open_client_ids: dict[str, str] = field(default_factory=dict)
    trades: dict[str, Trade] = field(default_factory=dict)
    ledgers: dict[str, LedgerEntry] = field(default_factory=dict)
    cancel_all_ns: int | None = None
    last_used_ns: int = 0

    @property
    def name(self) -> str:
        """The account's name: `MASTER`, `user1`, …"""
        return self.public.name

    def available(self, asset: str) -> Decimal:
        """What may be spent: the balance without what live orders hold."""
        return self.balances.get(asset, ZERO) - self.held.get(asset, ZERO)

    def open_in(self, pair_name: str) -> int:
        """How many live orders it has on a pair (internal name): what Kraken's limit of open orders counts."""
        return sum(order.pair.name == pair_name for order in self.open.values())

    def order(self, txid: str) -> Order | None:
        """An order of this account, live or ended."""
        return self.open.get(txid) or self.closed.get(txid)

    def move(self, asset: str, amount: Decimal) -> None:
        """Add to a balance, or take from it."""
        self.balances[asset] = self.balances.get(asset, ZERO) + amount

    def hold(self, order: Order, asset: str, amount: Decimal) -> None:
        """Let an order hold `amount` instead of what it held."""
        for name, change in ((order.hold_asset, -order.hold), (asset, amount)):
            if change:
                self.held[name] = self.held.get(name, ZERO) + change
        order.hold_asset, order.hold = asset, amount

    def enter(self, order: Order) -> None:
        """Take up a new order."""
        self.open[order.txid] = order
        if order.cl_ord_id is not None:
            self.open_client_ids[order.cl_ord_id] = order.txid

    def leave(self, order: Order) -> None:
        """Remember an order as ended, the newest `CLOSED_KEPT` of them, and release what it held."""
        del self.open[order.txid]
        self.hold(order, order.hold_asset, ZERO)
        if order.cl_ord_id is not None:
            self.open_client_ids.pop(order.cl_ord_id, None)
        self.closed[order.txid] = order
        _forget_oldest(self.closed, CLOSED_KEPT)

    def record(self, trade: Trade, entries: tuple[LedgerEntry, ...]) -> None:
        """Keep a trade and its ledger entries."""
        self.trades[trade.txid] = trade
        _forget_oldest(self.trades, CLOSED_KEPT)
        for entry in entries:
            self.ledgers[entry.id] = entry
        _forget_oldest(self.ledgers, LEDGERS_KEPT)


def _forget_oldest(rows: dict[str, Any], kept: int) -> None:
    while len(rows) > kept:
        del rows[next(iter(rows))]


def open_account(public: SimAccount, index: int, now_ns: int) -> Account:
    """A fresh account. Each has 1,000 USD more than the one before, so that a mixed-up reply shows."""
    balances = dict(START_BALANCES)
    balances["ZUSD"] += 1_000 * index
    return Account(public, base64.b64decode(public.api_secret), balances, now_ns)
