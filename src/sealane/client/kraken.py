"""The blocking client: safe to use from any number of threads, and from every process that shares the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sealane.client.accounts import MASTER
from sealane.client.orders import DEADLINE_S, TIMEOUT_S, Limits, changed, named
from sealane.client.session import Session
from sealane.client.statistics import Statistics
from sealane.core.balance import Balance
from sealane.core.cancelling import Cancelled, NotCancelled
from sealane.core.effects import Flow
from sealane.core.order import Amended, End, Intent, NotAmended, NotPlaced, Placed
from sealane.runtime import threads
from sealane.runtime.lanes import TURN_WAIT_S, rebuilt_after_fork
from sealane.store import Store
from sealane.transport.http import READ_TIMEOUT_S, HttpTransport, limits
from sealane.transport.port import Transport

T = TypeVar("T")


class Kraken:
    """One account's calls to Kraken, each private one on the account's lane.

    Args:
        api_key, api_secret: one key pair; leave both out for public calls alone.
        url: base URL, by default ``KRAKEN_SPOT_URL`` or Kraken's.
        store: where the lane lives: a Store, a store URL such as ``"file:./data"``, or a folder.
        account: the name under which figures, errors and logs speak of this key.
        otp: the static password of a key with two-factor authentication.
        turn_wait_s: how long a call waits for its turn before it raises Unavailable.
        timeout_s: how long an answer may take, from the first byte sent to the last received.
        transport: what carries the requests, by default HTTP with limits on every wait.

    Raises SettingsError where an argument or a variable is wrong.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        api_secret: str | None = None,
        url: str | None = None,
        store: Store | str | Path | None = None,
        account: str = MASTER,
        otp: str | None = None,
        turn_wait_s: float = TURN_WAIT_S,
        timeout_s: float = READ_TIMEOUT_S,
        transport: Transport | None = None,
    ) -> None:
        session = Session.made_of(api_key, api_secret, url, store, account=account, otp=otp, turn_wait_s=turn_wait_s)
        self._start(session, transport or HttpTransport(session.settings.url, limits(timeout_s)))

    def _start(self, session: Session, transport: Transport) -> None:
        self._session = session
        self._transport = transport
        rebuilt_after_fork(self._transport)
        session.resolve_doubts(transport)

    @classmethod
    def from_env(
        cls,
        account: str = MASTER,
        *,
        turn_wait_s: float = TURN_WAIT_S,
        timeout_s: float = READ_TIMEOUT_S,
        transport: Transport | None = None,
    ) -> Self:
        """The client of an account whose key is in the environment.

        ``MASTER`` is ``KRAKEN_API_KEY`` and ``KRAKEN_API_SECRET``; any other name is a user's, from
        ``KRAKEN_USER_<name>_API_KEY`` and ``_API_SECRET``.
        """
        client = cls.__new__(cls)
        session = Session.from_env(account, turn_wait_s=turn_wait_s)
        client._start(session, transport or HttpTransport(session.settings.url, limits(timeout_s)))
        return client

    def private(self, method: str, /, params: Mapping[str, object] | None = None, **more: object) -> Any:
        """Make one private call and return Kraken's ``result`` (None where Kraken sent none).

        Waits for the lane, then sends once; a refused nonce is recovered from, a read without a usable answer is
        repeated within about 2 s, a write never is.

        Raises:
            SettingsError: a parameter cannot be sent.
            Refused: Kraken said no.
            Unavailable: no answer to a read, or no turn within the limit.
            InDoubt: a write was sent and its end is unknown.
            Quarantined: this key is stopped until a person acts.
            NotDurable: the nonce could not be stored, so nothing was sent.
            Fenced: the lane was lost to another host again and again, and nothing was sent.
        """
        flow, desk = self._session.private(method, params, more)
        return threads.run(flow, desk, self._transport, self._session.turn_wait_s)

    def public(self, method: str, /, **params: object) -> Any:
        """Make one public call and return its ``result``; it waits for no lane. Raises Refused or Unavailable."""
        flow, desk = self._session.public(method, params)
        return threads.run(flow, desk, self._transport, self._session.turn_wait_s)

    def balance(self) -> Balance:
        """What the account holds, as Decimal amounts with their time.

        Where Kraken cannot be asked now, the last balance this client had, with ``stale``, ``error`` and ``age_s`` set;
        where it has had none, the error is raised: an unknown balance is never zero. Raises as ``private`` does.
        """
        flow, desk = self._session.balance()
        return self._session.remember(threads.run(flow, desk, self._transport, self._session.turn_wait_s))

    def fresh_balance(self) -> Balance:
        """As ``balance``, but raises where Kraken cannot be asked now, whatever was known before."""
        flow, desk = self._session.balance(fresh=True)
        return self._session.remember(threads.run(flow, desk, self._transport, self._session.turn_wait_s))

    def brief_balance(self) -> Balance:
        """As ``fresh_balance``, tried once and within ``BRIEF_ANSWER_S``: for tries that nobody waits for."""
        flow, desk = self._session.balance(fresh=True, brief=True)
        return self._session.remember(threads.run(flow, desk, self._transport, self._session.turn_wait_s))

    @property
    def account(self) -> str:
        """The account's name, "" without a key."""
        return self._session.account

    @property
    def identity(self) -> tuple[str, str, str]:
        """What two clients of one account have alike: the key's fingerprint, the address and the store. No secret."""
        return self._session.identity

    def holds_turn(self) -> bool:
        """Whether the calling thread has the lane's turn, and so must wait for nobody who waits for it."""
        return self._session.holds_turn()

    # --- orders ---------------------------------------------------------------------------------------------------

    def place_order(
        self,
        *,
        pair: str,
        side: str,
        volume: Decimal | str,
        order_type: str = "limit",
        price: Decimal | str | None = None,
        client_order_id: str | None = None,
        deadline_s: float = DEADLINE_S,
        timeout_s: float = TIMEOUT_S,
        validate: bool = False,
        **kraken_fields: object,
    ) -> Placed | NotPlaced:
        """Place one order, exactly once or not at all.

        Args:
            pair, side, volume, order_type, price: in Kraken's words; amounts as Decimal or str.
            client_order_id: a UUID or up to 18 ASCII characters, by default a new UUID. The same order asked for
                again under the same id has the same end, and is not placed twice.
            deadline_s: Kraken does not execute it later than this after now; 3 to 60.
            timeout_s: how long to find out what became of it.
            validate: let Kraken check it only; then nothing is placed, and ``kraken_error`` tells what is wrong.
            kraken_fields: further fields of AddOrder, such as ``oflags="post"``.

        Returns ``Placed``, or ``NotPlaced`` for certain. Raises InDoubt only where Kraken could not be asked within
        ``timeout_s``; it goes on being resolved then (``order``, ``await_order``). Raises SettingsError, Quarantined
        and NotDurable where nothing was sent.
        """
        order = {
            "side": side,
            "volume": volume,
            "order_type": order_type,
            "price": price,
            "client_order_id": client_order_id,
            **kraken_fields,
        }
        return self._run(self._session.orders.place(pair, order, Limits(deadline_s, timeout_s), validate=validate))

    def place_orders(
        self,
        *,
        pair: str,
        orders: Sequence[Mapping[str, object]],
        deadline_s: float = DEADLINE_S,
        timeout_s: float = TIMEOUT_S,
    ) -> tuple[Placed | NotPlaced, ...]:
        """Place 2 to 15 orders of one pair in one call; each in the words of ``place_order``, each with its own end."""
        return self._run(self._session.orders.place_several(pair, orders, Limits(deadline_s, timeout_s)))

    def amend_order(
        self,
        *,
        txid: str | None = None,
        client_order_id: str | None = None,
        volume: Decimal | str | None = None,
        price: Decimal | str | None = None,
        deadline_s: float = DEADLINE_S,
        timeout_s: float = TIMEOUT_S,
        **kraken_fields: object,
    ) -> Amended | NotAmended:
        """Change an open order in place, keeping its id; ends and errors as for ``place_order``."""
        changes = changed(volume, price, kraken_fields, ("order_qty", "limit_price"))
        limits = Limits(deadline_s, timeout_s)
        return self._run(self._session.orders.amend(named(txid, client_order_id), changes, limits))

    def edit_order(
        self,
        *,
        txid: str,
        pair: str,
        volume: Decimal | str | None = None,
        price: Decimal | str | None = None,
        deadline_s: float = DEADLINE_S,
        timeout_s: float = TIMEOUT_S,
        **kraken_fields: object,
    ) -> Placed | NotPlaced:
        """Replace an open order by a new one, with a new txid; ends and errors as for ``place_order``."""
        changes = changed(volume, price, kraken_fields, ("volume", "price"))
        return self._run(self._session.orders.edit(txid, pair, changes, Limits(deadline_s, timeout_s)))

    def cancel_order(
        self, *, txid: str | None = None, client_order_id: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> Cancelled | NotCancelled:
        """Cancel one order; sent again until Kraken answers. Raises InDoubt where nobody does within ``timeout_s``."""
        return self._run(self._session.orders.cancel(named(txid, client_order_id), timeout_s))

    def cancel_orders(
        self, txids: Sequence[str], *, timeout_s: float = TIMEOUT_S
    ) -> dict[str, Cancelled | NotCancelled]:
        """Cancel up to 50 orders in one call; the end of each by its txid."""
        return self._run(self._session.orders.cancel_several(txids, timeout_s))

    def cancel_all(self, *, timeout_s: float = TIMEOUT_S) -> Cancelled | NotCancelled:
        """Cancel all open orders of the account, whoever placed them."""
        return self._run(self._session.orders.cancel_everything(timeout_s))

    def orders(self, *, in_doubt: bool = False, limit: int = 100) -> tuple[Intent, ...]:
        """The newest orders of this account that are known here, with the ends they have; or those in doubt, all."""
        return self._session.orders.known(in_doubt=in_doubt, limit=limit)

    def order(self, client_order_id: str) -> End:
        """What became of an order, by what is known here; raises InDoubt while that is not known."""
        return self._session.orders.end(client_order_id)

    def await_order(self, client_order_id: str, *, timeout_s: float = TIMEOUT_S) -> End:
        """What became of an order, found out now where it is not known; raises InDoubt after ``timeout_s``."""
        return self._run(self._session.orders.awaited(client_order_id, timeout_s))

    def _run(self, flow: Flow[T]) -> T:
        desk = self._session.desk()
        return threads.run(self._session.writing(flow), desk, self._transport, self._session.turn_wait_s)

    def statistics(self) -> Statistics:
        """A frozen snapshot of this client's figures."""
        return self._session.statistics()

    def close(self) -> None:
        """Close connections and give the lane back; calls under way end as they would."""
        self._transport.close()
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return self._session.status_line(type(self).__name__)
