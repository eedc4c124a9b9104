"""Orders of virtual keys: judged by their key's policy, noted, and sent exactly once or not at all.

1. An order is noted under its key before it is sent, so that it is known for that key's own whatever happens here; the
   note goes where nothing was placed.
2. What became of an order is told as it is, also where it cannot be noted.
3. Changes of one limited key are judged and sent one after the other: two that are each within its limits may not be
   together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field

from sealane.client.forwarder import Forwarder
from sealane.client.forwarding import Asked, Forwarded, Prepared, prepared
from sealane.core.order import FOUND, Placed
from sealane.core.resolving import described
from sealane.errors import InDoubt, LaneBusy, NotDurable, SealaneError
from sealane.gateway.api.cancels import NOT_OWN
from sealane.gateway.api.envelope import (
    INVALID_ARGUMENTS,
    NAME_TAKEN,
    UNKNOWN_ORDER,
    Answer,
    of_order,
    of_verdict,
    refusal,
)
from sealane.gateway.api.market import Market
from sealane.gateway.api.own_orders import OwnOrders, Params, order_named
from sealane.gateway.api.request import Signed, Unreadable, validates
from sealane.gateway.keys.key_file import Held
from sealane.gateway.keys.ledger import DIGEST, DRAWN, By
from sealane.gateway.keys.pairs import Pair
from sealane.gateway.keys.policy import priced, row_as_order, size_refusal

ORDERS = frozenset({"AddOrder", "AddOrderBatch", "AmendOrder", "EditOrder"})
CHANGES = frozenset({"AmendOrder", "EditOrder"})
CHECKED = ORDERS - {"AmendOrder"}
"""Those that Kraken can be asked to check only."""

CHANGE_WAIT_S = 8.0
"""How long a change waits for another one: as long as an order waits for its turn."""

logger = logging.getLogger("sealane.gateway")


class Denied(Exception):
    """A policy says no; the text says why, for the log of decisions."""


@dataclass(frozen=True)
class OrderDesk:
    """Where orders of one exchange are judged and sent."""

    own: OwnOrders
    market: Market
    _changing: dict[str, asyncio.Lock] = field(default_factory=dict)

    def in_turn(self, held: Held, method: str) -> AbstractAsyncContextManager[object]:
        """One change of a limited key at a time; everything else at once."""
        if method in CHANGES and priced(held.policy, method):
            return self._one_at_a_time(held.name)
        return nullcontext()

    @asynccontextmanager
    async def _one_at_a_time(self, key: str) -> AsyncIterator[None]:
        lock = self._changing.setdefault(key, asyncio.Lock())
        try:
            await asyncio.wait_for(lock.acquire(), CHANGE_WAIT_S)
        except TimeoutError:
            raise LaneBusy(
                f"another change of {key} is under way for {CHANGE_WAIT_S:.0f} s; nothing was sent"
            ) from None
        try:
            yield
        finally:
            lock.release()

    async def judge(self, forwarder: Forwarder, held: Held, method: str, params: Params) -> None:
        """Raises Denied where the order is larger or further off than allowed; Unavailable where nobody can tell."""
        if not priced(held.policy, method):
            return
        existing = await self._existing(forwarder, params) if method in CHANGES else None
        pair = await self._pair(params.get("pair"), (existing or {}).get("pair"))
        why = size_refusal(held.policy, params, pair, await self.market.last_price(pair), existing)
        if why:
            raise Denied(why)

    async def _pair(self, named: object, changed: object) -> Pair:
        """The pair of an order: as the call names it, or of the order that is changed; where both are told, one."""
        canonical = await self.market.canonical()
        found = []
        for name in [one for one in (named, changed) if one] or [named]:
            try:
                found.append(canonical(str(name)))
            except KeyError:
                raise Denied(f"pair {str(name)[:40]!a} is not known") from None
        if found[0] != found[-1]:
            raise Denied(f"the order that it changes is on {found[-1].altname}, not on {found[0].altname}")
        return found[0]

    async def _existing(self, forwarder: Forwarder, params: Params) -> Mapping[str, object] | None:
        """The order that is changed: as Kraken shows it, because it may have been changed since it was placed."""
        named = order_named(params)
        rows = await self.own.rows_of(forwarder, *named[0]) if named else {}
        return row_as_order(next(iter(rows.values()))) if len(rows) == 1 else None

    async def send(self, forwarder: Forwarder, held: Held, signed: Signed, now_s: float) -> Answer:
        """The order, seen to its end, or checked by Kraken; raises what ``Forwarder.forward_order`` does."""
        params = {name: value for name, value in signed.params.items() if name != "validate"}
        if signed.method in CHANGES and held.policy.own_orders:
            txids = await self.own.txids_of(forwarder, held.name, order_named(params))
            if not txids:
                return refusal(UNKNOWN_ORDER, detail=NOT_OWN)
            params = {name: value for name, value in params.items() if name != "cl_ord_id"} | {"txid": txids[0]}
        if is_only_checked(signed):
            return of_verdict(await forwarder.forward(signed.method, {**params, "validate": True}))
        order = prepared(Asked(signed.method, params, held.name, signed.repeat_key))
        if forgotten := await self._forgotten(forwarder, held, order):
            return forgotten
        notes = self._note(held, order, now_s)
        try:
            forwarded = await forwarder.forward_order(order)
        except InDoubt:
            raise
        except SealaneError:  # nothing left
            self._settle(held, order, notes, {})
            raise
        self._settle(held, order, notes, forwarded.ends)
        return of_order(forwarded, signed.method)

    async def _forgotten(self, forwarder: Forwarder, held: Held, order: Prepared) -> Answer | None:
        """The end of an order that was placed under its name so long ago that the store has forgotten it."""
        if order.fresh or (_by(order) == "userref" and not order.is_drawn):
            return None
        known = {name: self.own.ledger.placed_as(held.name, name, _by(order)) for name in order.order_ids}
        found = {name: told for name, told in known.items() if told is not None}
        if not found or await forwarder.is_known(order):
            return None
        txids = [txid for txid, _ in found.values()]
        rows = await self.own.rows_of(forwarder, "txid", ",".join(txids))
        is_same = all(told.get(DIGEST) == order.digest for _, told in found.values())
        if not is_same or len(found) < len(order.order_ids) or not set(txids) <= set(rows):
            return refusal(NAME_TAKEN, detail=f"the order was placed before, as {txids[0]}")
        ends = {name: Placed(txid, name, described(rows[txid]), FOUND) for name, (txid, _) in found.items()}
        return of_order(Forwarded(ends, b""), order.method)

    def _note(self, held: Held, order: Prepared, now_s: float) -> list[int]:
        """The numbers of the notes of the orders that are about to be sent."""
        if order.method == "AmendOrder":
            return []
        rows = order.params.get("orders") if order.method == "AddOrderBatch" else None
        parts = rows if isinstance(rows, list) else [order.params]
        told = {"pair": order.params.get("pair"), DIGEST: order.digest} | ({DRAWN: True} if order.is_drawn else {})
        return [
            self.own.ledger.asked(held.name, name, _by(order), {**told, **part}, now_s, account=held.account)
            for name, part in zip(order.order_ids, parts, strict=True)
        ]

    def _settle(self, held: Held, order: Prepared, notes: list[int], ends: Mapping[str, object]) -> None:
        try:
            for name, number in zip(order.order_ids, notes, strict=bool(notes)):
                end = ends.get(name)
                if isinstance(end, Placed):
                    self.own.ledger.placed(held.name, name, _by(order), end.txid, number=number)
                else:
                    self.own.ledger.not_placed(held.name, name, _by(order), number=number)
                if end is not None:
                    self.own.ledger.forget_awaited(held.name, name, _by(order), order.digest)
        except NotDurable as error:
            logger.error("which key placed an order could not be noted: %s", error)


def is_only_checked(signed: Signed) -> bool:
    """Whether Kraken is to check an order and place nothing; raises Unreadable where that cannot be told."""
    wanted = validates(signed.params)
    if wanted and signed.method not in CHECKED:
        raise Unreadable(f"{INVALID_ARGUMENTS}:validate", f"{signed.method} cannot be checked only: it would be done")
    return wanted


def _by(order: Prepared) -> By:
    return "userref" if order.found_by == "userref" else "cl_ord_id"
