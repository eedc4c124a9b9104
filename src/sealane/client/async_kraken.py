"""The asyncio client: any number of tasks of one event loop, beside threads and processes that share the store."""

from __future__ import annotations

import asyncio
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
from sealane.errors import SettingsError
from sealane.runtime import tasks
from sealane.runtime.lanes import TURN_WAIT_S, rebuilt_after_fork
from sealane.store import Store
from sealane.transport.http import READ_TIMEOUT_S, AsyncHttpTransport, HttpTransport, limits
from sealane.transport.port import AsyncTransport

T = TypeVar("T")


class AsyncKraken:
    """``Kraken`` for asyncio: the same arguments, calls and errors; calls and ``close`` are awaited.

    A call whose task is cancelled before it is sent leaves nothing behind. One that is on the wire keeps its turn
    until its outcome is known, in the background.
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
        transport: AsyncTransport | None = None,
    ) -> None:
        session = Session.made_of(api_key, api_secret, url, store, account=account, otp=otp, turn_wait_s=turn_wait_s)
        self._start(session, transport or AsyncHttpTransport(session.settings.url, limits(timeout_s)))

    def _start(self, session: Session, transport: AsyncTransport) -> None:
        self._session = session
        self._loop: asyncio.AbstractEventLoop | None = None
        self._transport = transport
        rebuilt_after_fork(self._transport)
        # What nobody awaits is found out on threads, whatever becomes of the event loop.
        self._background = HttpTransport(session.settings.url)
        rebuilt_after_fork(self._background)
        session.resolve_doubts(self._background)

    @classmethod
    def from_env(
        cls,
        account: str = MASTER,
        *,
        turn_wait_s: float = TURN_WAIT_S,
        timeout_s: float = READ_TIMEOUT_S,
        transport: AsyncTransport | None = None,
    ) -> Self:
        """See ``Kraken.from_env``."""
        client = cls.__new__(cls)
        session = Session.from_env(account, turn_wait_s=turn_wait_s)
        client._start(session, transport or AsyncHttpTransport(session.settings.url, limits(timeout_s)))
        return client

    def _bind(self) -> None:
        """Connections belong to the event loop that made them, and so does this client from its first call on."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise SettingsError(
                "this AsyncKraken was used in another event loop: make one inside each asyncio.run(), or use Kraken"
            )

    async def private(self, method: str, /, params: Mapping[str, object] | None = None, **more: object) -> Any:
        """See ``Kraken.private``."""
        flow, desk = self._session.private(method, params, more)
        self._bind()
        return await tasks.run(flow, desk, self._transport, self._session.turn_wait_s)

    async def public(self, method: str, /, **params: object) -> Any:
        """See ``Kraken.public``."""
        flow, desk = self._session.public(method, params)
        self._bind()
        return await tasks.run(flow, desk, self._transport, self._session.turn_wait_s)

    async def balance(self) -> Balance:
        """See ``Kraken.balance``."""
        flow, desk = self._session.balance()
        self._bind()
        return self._session.remember(await tasks.run(flow, desk, self._transport, self._session.turn_wait_s))

    # --- orders ---------------------------------------------------------------------------------------------------

    async def place_order(
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
        """See ``Kraken.place_order``."""
        order = {
            "side": side,
            "volume": volume,
            "order_type": order_type,
            "price": price,
            "client_order_id": client_order_id,
            **kraken_fields,
        }
        return await self._run(
            self._session.orders.place(pair, order, Limits(deadline_s, timeout_s), validate=validate)
        )

    async def place_orders(
        self,
        *,
        pair: str,
        orders: Sequence[Mapping[str, object]],
        deadline_s: float = DEADLINE_S,
        timeout_s: float = TIMEOUT_S,
    ) -> tuple[Placed | NotPlaced, ...]:
        """See ``Kraken.place_orders``."""
        return await self._run(self._session.orders.place_several(pair, orders, Limits(deadline_s, timeout_s)))

    async def amend_order(
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
        """See ``Kraken.amend_order``."""
        changes = changed(volume, price, kraken_fields, ("order_qty", "limit_price"))
        limits = Limits(deadline_s, timeout_s)
        return await self._run(self._session.orders.amend(named(txid, client_order_id), changes, limits))

    async def edit_order(
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
        """See ``Kraken.edit_order``."""
        changes = changed(volume, price, kraken_fields, ("volume", "price"))
        return await self._run(self._session.orders.edit(txid, pair, changes, Limits(deadline_s, timeout_s)))

    async def cancel_order(
        self, *, txid: str | None = None, client_order_id: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> Cancelled | NotCancelled:
        """See ``Kraken.cancel_order``."""
        return await self._run(self._session.orders.cancel(named(txid, client_order_id), timeout_s))

    async def cancel_orders(
        self, txids: Sequence[str], *, timeout_s: float = TIMEOUT_S
    ) -> dict[str, Cancelled | NotCancelled]:
        """See ``Kraken.cancel_orders``."""
        return await self._run(self._session.orders.cancel_several(txids, timeout_s))

    async def cancel_all(self, *, timeout_s: float = TIMEOUT_S) -> Cancelled | NotCancelled:
        """See ``Kraken.cancel_all``."""
        return await self._run(self._session.orders.cancel_everything(timeout_s))

    def orders(self, *, in_doubt: bool = False, limit: int = 100) -> tuple[Intent, ...]:
        """See ``Kraken.orders``."""
        return self._session.orders.known(in_doubt=in_doubt, limit=limit)

    def order(self, client_order_id: str) -> End:
        """See ``Kraken.order``."""
        return self._session.orders.end(client_order_id)

    async def await_order(self, client_order_id: str, *, timeout_s: float = TIMEOUT_S) -> End:
        """See ``Kraken.await_order``."""
        return await self._run(self._session.orders.awaited(client_order_id, timeout_s))

    async def _run(self, flow: Flow[T]) -> T:
        self._bind()
        desk = self._session.desk()
        return await tasks.run(self._session.writing(flow), desk, self._transport, self._session.turn_wait_s)

    def statistics(self) -> Statistics:
        """A frozen snapshot of this client's figures."""
        return self._session.statistics()

    async def close(self) -> None:
        """Wait for calls whose callers were cancelled, close connections and give the lane back."""
        try:
            await tasks.finish_leftovers()
            if self._loop in (None, asyncio.get_running_loop()):  # else its connections went with their loop
                await self._transport.close()
        finally:
            await asyncio.to_thread(self._session.close)  # an engine may have to hear of it
            self._background.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return self._session.status_line(type(self).__name__)
