"""Orders of virtual keys: judged by their key's policy, noted, and sent exactly once or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sealane.client.forwarder import Forwarder
from sealane.client.forwarding import Asked, Prepared, prepared
from sealane.core.order import NotPlaced, Placed
from sealane.gateway.api.cancels import OwnOrders, order_named
from sealane.gateway.api.envelope import UNKNOWN_ORDER, Answer, of_order, refusal
from sealane.gateway.api.market import Market
from sealane.gateway.api.request import Signed
from sealane.gateway.keys.key_file import Held
from sealane.gateway.keys.ledger import By, Ledger
from sealane.gateway.keys.pairs import Pair
from sealane.gateway.keys.policy import Policy, priced, row_as_order, size_refusal

Params = Mapping[str, object]


class Denied(Exception):
    """A policy says no; the text says why, for the log of decisions."""


@dataclass(frozen=True)
class OrderDesk:
    """Where orders of one exchange are judged and sent."""

    ledger: Ledger
    own: OwnOrders
    market: Market

    async def judge(self, forwarder: Forwarder, key: str, policy: Policy, method: str, params: Params) -> None:
        """Raises Denied where the order is larger or further off than allowed; Unavailable where nobody can tell."""
        if not priced(policy, method):
            return
        existing = await self._existing(forwarder, key, params) if method in ("AmendOrder", "EditOrder") else None
        pair = await self._pair(params.get("pair"), (existing or {}).get("pair"))
        why = size_refusal(policy, params, pair, await self.market.last_price(pair), existing)
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
                raise Denied(f"pair {str(name)[:40]!r} is not known") from None
        if found[0] != found[-1]:
            raise Denied(f"the order that it changes is on {found[-1].altname}, not on {found[0].altname}")
        return found[0]

    async def _existing(self, forwarder: Forwarder, key: str, params: Params) -> Mapping[str, object] | None:
        """The order that is changed: as Kraken shows it, because it may have been changed since it was placed."""
        named = order_named(params)
        if not named:
            return None
        by, name = named[0]
        rows = await self.own.rows_of(forwarder, by, name)
        return row_as_order(next(iter(rows.values()))) if len(rows) == 1 else None

    async def send(self, forwarder: Forwarder, held: Held, signed: Signed, now_s: float) -> Answer:
        """The order, seen to its end; raises what ``Forwarder.forward_order`` does."""
        key, policy = held.name, held.policy
        is_change = signed.method in ("AmendOrder", "EditOrder")
        if is_change and policy.own_orders and not await self.own.are_own(forwarder, key, order_named(signed.params)):
            return refusal(UNKNOWN_ORDER, detail="the order is not one that this virtual key placed")
        order = prepared(Asked(signed.method, signed.params, key, signed.repeat_key))
        if signed.method != "AmendOrder":
            self._note(held, order, now_s)
        forwarded = await forwarder.forward_order(order)
        for name, end in forwarded.ends.items():
            if isinstance(end, Placed):
                self.ledger.placed(key, name, _by(order), end.txid)
            elif isinstance(end, NotPlaced):
                self.ledger.not_placed(key, name, _by(order))
        return of_order(forwarded, signed.method)

    def _note(self, held: Held, order: Prepared, now_s: float) -> None:
        """Before it is sent: whatever happens to this process, the key's orders are known for its own."""
        rows = order.params.get("orders") if order.method == "AddOrderBatch" else None
        parts = rows if isinstance(rows, list) else [order.params]
        for name, part in zip(order.order_ids, parts, strict=True):
            fields = {"pair": order.params.get("pair"), **part}
            self.ledger.asked(held.name, name, _by(order), fields, now_s, account=held.account)


def _by(order: Prepared) -> By:
    return "userref" if order.found_by == "userref" else "cl_ord_id"
