"""A Kraken account as a broker: MASTER or a user, by the keys in the environment or through a client that is there.

1. Making one asks nothing and opens nothing; ``connect()`` does, or the first call that needs the client.
2. Only failed fetches of the balance count as errors. An order that Kraken refuses says nothing about the account.
3. Every write of any client of the account in this process drops its cached balance, before it goes and after it
   ended, and so does an order that comes out of doubt.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from sealane.broker.account_broker import AccountBroker, label_of, position
from sealane.broker.kraken_assets import cash, is_cash, symbol
from sealane.broker.port import BALANCE_CACHE_S, AccountType, Broker
from sealane.broker.shared import shared_balance
from sealane.broker.standing import Holdings
from sealane.client import Kraken, NotPlaced, Placed
from sealane.client.accounts import MASTER
from sealane.client.own_writes import hear_writes
from sealane.client.settings import Settings
from sealane.core.balance import Balance
from sealane.core.methods import HARMLESS, method_named
from sealane.errors import Refused, SealaneError, SettingsError, Unavailable
from sealane.global_nonce import get_global_nonce_manager
from sealane.runtime.clock import SYSTEM_CLOCK, Clock
from sealane.runtime.lanes import rebuilt_after_fork

ORDER_NEEDS = ("pair", "side", "volume")


class KrakenBroker(AccountBroker):
    """One Kraken account.

    Args:
        account_type: MASTER, or USER together with ``account_name``.
        account_name: the user's name as in ``KRAKEN_USER_<name>_API_KEY``.
        balance_cache_s: for how long a fetched balance serves all callers of the account; 0 asks every time.
        client: a ``Kraken`` to use instead of one from the environment; ``close()`` leaves it open.
        clock: what tells how old a balance is.

    Raises SettingsError where the arguments contradict each other. A key that is missing is told by ``connect()``.
    """

    exchange: ClassVar[str] = "Kraken"

    def __init__(
        self,
        account_type: AccountType | str = AccountType.MASTER,
        account_name: str | None = None,
        *,
        balance_cache_s: float = BALANCE_CACHE_S,
        client: Kraken | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        account = _account(account_type, account_name, client)
        super().__init__(account, label_of(account), balance_cache_s, clock)
        self._client, self._is_own, self._is_closed = client, client is None, False
        self.after_fork()
        rebuilt_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: a thread of the parent may hold the mutex."""
        self._mutex = threading.Lock()
        self._is_sharing = False

    @property
    def client(self) -> Kraken:
        """The account's client, made now where there was none; raises SettingsError where the key is missing."""
        self._ready()
        client = self._client
        if client is None:
            raise self._closed()
        return client

    def _closed(self) -> SettingsError:
        return SettingsError(f"the broker of {self._label} is closed: make a new one")

    def _ready(self) -> None:
        if self._is_sharing:
            return
        with self._mutex:
            if self._is_closed:
                raise self._closed()
            if self._client is None:
                self._client = Kraken.from_env(self._account)
                _announce_lane()
            self._account = self._client.account  # as it is spelled in the environment
            self._label = label_of(self._account)
            if not self._is_sharing:
                self._balance = shared_balance(self._client.identity, self.exchange, self._label, self._clock)
                self._balance.join(self)
                hear_writes(self._client.identity, self._balance.drop)
                self._is_sharing = True

    def fetch_holdings(self) -> Holdings:
        """Ask Kraken for the balance now; raises as ``Kraken.private`` does."""
        return self._holdings(self.client.fresh_balance)

    def fetch_briefly(self) -> Holdings:
        """As ``fetch_holdings``, once and for ``BRIEF_ANSWER_S``: the lane is other accounts' too."""
        return self._holdings(self.client.brief_balance)

    def _holdings(self, fetch: Callable[[], Balance]) -> Holdings:
        asked_ns = self._clock.boot_ns()
        balance = fetch()
        usd, usdt = cash(balance.amounts)
        holdings = Holdings(balance.amounts, usd, usdt, balance.as_of, asked_ns)
        self._tell_balance(holdings)
        return holdings

    def holds_turn(self) -> bool:
        """Whether the calling thread has the lane's turn: inside ``get_kraken_api_lock()``, or in a listener."""
        client = self._client
        return client is not None and client.holds_turn()

    def get_positions(self) -> list[dict[str, Any]]:
        """What is held besides USD and USDT, by Kraken's names: ``{"asset": "XXBT", "symbol": "BTC", "amount":
        Decimal("0.5")}`` each.

        Raises BalanceUnknown where Kraken cannot be asked: a list has no room to say that it is old.
        """
        amounts = self._fresh(self._asked()).amounts
        return [
            position(asset, symbol(asset), amount)
            for asset, amount in sorted(amounts.items())
            if amount and not is_cash(asset)
        ]

    def place_order(self, **order: Any) -> Placed | NotPlaced:
        """Place one order, once or not at all, in the words of ``Kraken.place_order``.

        ``pair``, ``side``, ``volume``, and where wanted ``order_type`` (``"limit"``), ``price``, ``client_order_id``,
        ``validate`` and Kraken's own fields. Returns its end; raises as ``Kraken.place_order`` does, InDoubt too.
        """
        missing = [name for name in ORDER_NEEDS if order.get(name) is None]
        if missing:
            raise SettingsError(f"{', '.join(missing)} missing from the order: give {', '.join(ORDER_NEEDS)}")
        client = self.client
        self._balance.drop()
        try:
            return client.place_order(**order)
        finally:
            self._balance.drop()

    def ask_permissions(self) -> tuple[str, ...]:
        """What the key may do, by Kraken's names such as ``"modify-trades"``: one call, which needs no permission.

        Raises as ``Kraken.private`` does, and Unavailable where the answer says nothing of permissions. It does not
        touch the error count.
        """
        info = self.client.private(HARMLESS)
        names = info.get("permissions") if isinstance(info, dict) else None
        if not isinstance(names, list):
            raise Unavailable("Kraken's answer says nothing of the key's permissions")
        return tuple(sorted(map(str, names)))

    def _kraken_private_call(self, method: str, params: Mapping[str, object] | None = None) -> dict[str, Any]:
        """One private call on the account's lane, in the documents' shape: ``{"error": [], "result": …}``.

        Where Kraken refused, ``{"error": ["EOrder:Insufficient funds"]}``, without a result. What is no answer of
        Kraken's is raised: Unavailable, InDoubt, Quarantined, NotDurable, SettingsError. It does not touch the error
        count. Orders belong to ``place_order``: ``AddOrder`` from here is sent once, and its end may be in doubt.
        """
        client, writes = self.client, method_named(method).write
        if writes:
            self._balance.drop()
        try:
            result = client.private(method, params)
        except Refused as error:
            return {"error": list(error.errors)}
        finally:
            if writes:
                self._balance.drop()
        return {"error": []} if result is None else {"error": [], "result": result}

    def close(self) -> None:
        """Stop background work, and close the client unless it was given; what is called after raises SettingsError."""
        with self._mutex:
            self._is_closed, self._is_sharing = True, False
            client, self._client = self._client, None
        super().close()
        if client is not None and self._is_own:
            client.close()


def _account(account_type: AccountType | str, account_name: str | None, client: Kraken | None) -> str:
    """Whose account it is; raises SettingsError unless type, name and client agree."""
    kind = _kind(account_type)
    of_client = client.account if client is not None else None
    if client is not None and not client.account:
        raise SettingsError("the client has no API key: make it with Kraken.from_env or with api_key and api_secret")
    if kind is AccountType.MASTER:
        name = _agreed(MASTER, account_name, "account_type is MASTER", "AccountType.USER for a user")
        return _agreed(name, of_client, "account_type is MASTER", "AccountType.USER with a user's client")
    name = account_name or of_client or ""
    if not name:
        raise SettingsError("account_name is missing: a USER is named as in KRAKEN_USER_<name>_API_KEY")
    if name.casefold() == MASTER.casefold():
        raise SettingsError(f"account_name is {name}, and account_type USER: use AccountType.MASTER")
    return _agreed(of_client or name, account_name, f"the client is of {of_client}", "both of one account")


def _announce_lane() -> None:
    """Make the process-wide manager of the documents, so that the log has its line.

    Where it cannot be made, calls cannot either: they say why.
    """
    with suppress(SealaneError):
        if Settings.from_env(os.environ).lanes == "global":
            get_global_nonce_manager()


def _kind(account_type: AccountType | str) -> AccountType:
    try:
        return AccountType(str(account_type).lower())
    except ValueError:
        raise SettingsError(f"account_type is {account_type!r}: use AccountType.MASTER or AccountType.USER") from None


def _agreed(account: str, other: str | None, why: str, remedy: str) -> str:
    if other is not None and other.casefold() != account.casefold():
        raise SettingsError(f"{why}, but the account is {other}: give {remedy}")
    return account


if TYPE_CHECKING:
    _as_promised: type[Broker] = KrakenBroker
