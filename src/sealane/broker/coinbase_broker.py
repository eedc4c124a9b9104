"""A Coinbase account as a broker, on Coinbase's own SDK.

1. Making one asks nothing, opens nothing and imports no SDK; ``connect()`` does, or the first call that needs it.
2. Only failed fetches of the balance count as errors. An order that Coinbase refuses says nothing about the account.
3. Every order drops the account's cached balance, before it goes and after it ended.
4. The environment has one Coinbase account, MASTER. A user's key is given by hand.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from sealane.broker.account_broker import AccountBroker, label_of, position
from sealane.broker.coinbase_errors import Lost
from sealane.broker.coinbase_key import CoinbaseKey, coinbase_key, key_and_host, key_from_env, url_from_env
from sealane.broker.coinbase_orders import checked_id, order_form
from sealane.broker.coinbase_placing import GONE_AFTER_S, Placing, find
from sealane.broker.port import BALANCE_CACHE_S, AccountType
from sealane.broker.recovery import pause
from sealane.broker.shared import shared_balance
from sealane.broker.standing import Holdings, exact_sum
from sealane.client.accounts import MASTER
from sealane.client.settings import buys_are_off
from sealane.core.buying import BUYS_OFF
from sealane.core.nonce import NS_PER_S
from sealane.core.order import NotPlaced, Placed
from sealane.errors import SettingsError
from sealane.runtime.clock import SYSTEM_CLOCK, Clock
from sealane.runtime.lanes import rebuilt_after_fork
from sealane.transport.http import Timeouts, checked_url, limits

if TYPE_CHECKING:
    from coinbase.rest import RESTClient

    from sealane.broker.coinbase_wire import CoinbaseWire
    from sealane.broker.port import Broker

TIMEOUT_S = 15.0
FETCH_LIMIT_S = 60.0
"""No further page of the list of accounts is asked for later than this: those who wait do so for 90 s."""
USD, USDT = "USD", "USDT"


class CoinbaseBroker(AccountBroker):
    """One Coinbase account.

    Args:
        account_type: MASTER, whose key is in the environment unless it is given, or USER.
        account_name: a user's name, as the log speaks of it.
        balance_cache_s: for how long a fetched balance serves all callers of the account; 0 asks every time.
        api_key, api_secret: the key's name and its private half (a PEM, or base64), both or neither.
        url: Coinbase's base URL instead of ``COINBASE_API_URL``.
        timeout_s: limit of one request in seconds, from its first byte to its answer's last.
        client: an SDK ``RESTClient`` that is there. Its key and host are used, on connections of the broker's own and
            within its limits; the client itself is not called, changed or closed.
        clock: what tells how old a balance is.

    Raises SettingsError where the arguments contradict each other. A key that is missing from the environment, and an
    SDK that is not installed, are told by ``connect()``.
    """

    exchange: ClassVar[str] = "Coinbase"

    def __init__(
        self,
        account_type: AccountType | str = AccountType.MASTER,
        account_name: str | None = None,
        *,
        balance_cache_s: float = BALANCE_CACHE_S,
        api_key: str | None = None,
        api_secret: str | None = None,
        url: str | None = None,
        timeout_s: float = TIMEOUT_S,
        client: RESTClient | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._key = _given_key(api_key, api_secret)
        if client is not None:
            self._key, url = _of_client(client, self._key, url)
        account = _account(account_type, account_name, self._key)
        super().__init__(account, label_of(account), balance_cache_s, clock)
        self._url = None if url is None else checked_url(url, "url")
        self._timeouts = limits(timeout_s)
        self._wire: CoinbaseWire | None = None
        self._closing = threading.Event()
        self._doubts: dict[str, int] = {}
        self._buys_off = False
        self.after_fork()
        rebuilt_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: a thread of the parent may hold the mutex."""
        self._mutex = threading.Lock()

    def _ready(self) -> None:
        with self._mutex:
            if self._closing.is_set():
                raise SettingsError(f"the broker of {self._label} is closed: make a new one")
            if self._wire is None:
                self._buys_off = buys_are_off(os.environ)
                key, url = self._key or key_from_env(os.environ), self._url or url_from_env(os.environ)
                self._wire = _wire(url, key, self._timeouts)
                self._balance = shared_balance((key.name, url), self.exchange, self._label, self._clock)
                self._balance.join(self)

    def _open(self) -> CoinbaseWire:
        self._ready()
        wire = self._wire
        if wire is None:
            raise SettingsError(f"the broker of {self._label} was closed meanwhile: make a new one")
        return wire

    def fetch_holdings(self) -> Holdings:
        """Ask Coinbase for all accounts now; raises CoinbaseRefused and Unavailable."""
        wire, as_of, asked_ns = self._open(), self._clock.wall_ns() / NS_PER_S, self._clock.boot_ns()
        amounts = amounts_of(wire.accounts(lambda: self._clock.boot_ns() - asked_ns < FETCH_LIMIT_S * NS_PER_S))
        nothing = Decimal(0)
        holdings = Holdings(amounts, amounts.get(USD, nothing), amounts.get(USDT, nothing), as_of, asked_ns)
        self._tell_balance(holdings)
        return holdings

    def get_positions(self) -> list[dict[str, Any]]:
        """What is held besides USD and USDT: ``{"asset": "BTC", "symbol": "BTC", "amount": Decimal("0.5")}`` each.

        USDC is a position: it does not count into the balance. Raises BalanceUnknown where Coinbase cannot be asked.
        """
        amounts = self._fresh(self._asked()).amounts
        return [
            position(asset, asset, amount)
            for asset, amount in sorted(amounts.items())
            if amount and asset not in (USD, USDT)
        ]

    def place_order(self, **order: Any) -> Placed | NotPlaced:
        """Place one order, once or not at all.

        Args (by name, amounts as Decimal or str):
            pair: Coinbase's product, such as ``"BTC-USD"``.
            side: ``"buy"`` or ``"sell"``.
            order_type: ``"limit"`` (with ``volume`` and ``price``) or ``"market"`` (with ``volume``, or with
                ``quote_volume`` in what it is paid in, which is what Coinbase documents for market buys).
            time_in_force, post_only: of a limit order; ``"gtc"``, ``"ioc"`` or ``"fok"``.
            client_order_id: by default a new UUID. The same order asked for again under the same id has the same end,
                also after a restart: keep your own where that matters. Coinbase answers any other order under that id
                with the first one.
            deadline_s: it is not sent again later than this (10).
            timeout_s: how long to find out what became of it (90).
            validate: have it looked at only; ``kraken_error`` is then Coinbase's word against it.

        Returns ``Placed`` (``txid`` is Coinbase's order id) or ``NotPlaced``. Raises CoinbaseInDoubt (an InDoubt) where
        its end could not be found out within ``timeout_s``, SettingsError where nothing was sent.
        """
        form = order_form(order)
        name, wire = form.client_order_id, self._open()
        placing = Placing(
            form, wire, self._clock, lambda seconds: pause(self._closing, seconds), self._doubts.get(name)
        )
        if form.validate:
            return placing.preview()
        if self._buys_off and form.side != "SELL":
            return placing.hold_back(BUYS_OFF)
        self._balance.drop()
        try:
            end = placing.place()
        except BaseException:
            self._note_doubt(name)
            raise
        finally:
            self._balance.drop()
        self._doubts.pop(name, None)
        return end

    def _note_doubt(self, client_order_id: str) -> None:
        """Keep when it was in doubt last, and forget those of which no copy can be taken any more."""
        now_ns = self._clock.boot_ns()
        with self._mutex:
            young = {name: at_ns for name, at_ns in self._doubts.items() if now_ns - at_ns <= GONE_AFTER_S * NS_PER_S}
            self._doubts = young | {client_order_id: now_ns}

    def find_order(self, client_order_id: str) -> Placed | NotPlaced | None:
        """What became of an order, by its client order id: None where Coinbase's list does not show it (yet).

        Goes through the whole list where it has to. Raises CoinbaseRefused and Unavailable.
        """
        end = find(self._open().orders(None), checked_id(client_order_id))
        if end is not None:
            self._doubts.pop(client_order_id, None)
        return end

    def close(self) -> None:
        """Stop background work and close connections; what is called after raises SettingsError."""
        self._closing.set()
        with self._mutex:
            wire, self._wire = self._wire, None
        super().close()
        if wire is not None:
            wire.close()


def amounts_of(accounts: Sequence[Mapping[str, Any]]) -> dict[str, Decimal]:
    """Each currency's sum of what is available and what is on hold, over all accounts; raises Lost where one is bad."""
    if not accounts:
        raise Lost("Coinbase listed no account at all: the balance is unknown, which is not zero")
    amounts: dict[str, Decimal] = {}
    for row in accounts:
        currency = row.get("currency")
        if not isinstance(currency, str) or not currency:
            raise Lost("Coinbase listed an account without its currency: the balance is unknown, which is not zero")
        parts = (_amount(currency, row.get(name)) for name in ("available_balance", "hold"))
        amounts[currency] = exact_sum(amounts.get(currency, Decimal(0)), *parts)
    return amounts


def _amount(currency: str, part: object) -> Decimal:
    text = part.get("value") if isinstance(part, Mapping) else None
    try:
        amount = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite():
        raise Lost(f"Coinbase gave an amount of {currency} as {text!r}: it is unknown, which is not zero")
    return amount


def _given_key(api_key: str | None, api_secret: str | None) -> CoinbaseKey | None:
    if api_key is None and api_secret is None:
        return None
    if not api_key or not api_secret:
        missing = "api_secret" if api_key else "api_key"
        raise SettingsError(f"{missing} is missing, though its other half is given: give both or neither")
    return coinbase_key(api_key, api_secret)


def _of_client(client: RESTClient, key: CoinbaseKey | None, url: str | None) -> tuple[CoinbaseKey, str]:
    """The key and the URL of a client that is there; raises SettingsError where another is given beside it."""
    if key is not None:
        raise SettingsError("client has an API key of its own: leave api_key and api_secret out")
    found, host = key_and_host(client)
    if url is not None and urlsplit(url).netloc != host:
        raise SettingsError(f"url is {url}, but the client is for {host}: leave url out")
    return found, url or f"https://{host}"


def _account(account_type: AccountType | str, account_name: str | None, key: CoinbaseKey | None) -> str:
    """Whose account it is; raises SettingsError unless type, name and key agree."""
    try:
        kind = AccountType(str(account_type).lower())
    except ValueError:
        raise SettingsError(f"account_type is {account_type!r}: use AccountType.MASTER or AccountType.USER") from None
    is_master = (account_name or MASTER).casefold() == MASTER.casefold()
    if kind is AccountType.MASTER:
        if not is_master:
            raise SettingsError(f"account_type is MASTER and account_name {account_name}: use AccountType.USER")
        return MASTER
    if is_master or key is None:
        raise SettingsError("a USER on Coinbase has account_name, api_key and api_secret: the environment has MASTER's")
    return str(account_name)


def _wire(url: str, key: CoinbaseKey, timeouts: Timeouts) -> CoinbaseWire:
    try:
        from sealane.broker.coinbase_wire import CoinbaseWire
    except ImportError as error:
        raise SettingsError(
            f'Coinbase needs its SDK, and {error.name} is missing: pip install "sealane[coinbase]"'
        ) from error
    wire = CoinbaseWire(url, key, timeouts)
    rebuilt_after_fork(wire)
    return wire


if TYPE_CHECKING:
    _as_promised: type[Broker] = CoinbaseBroker
