"""Which of an account's orders a virtual key placed: by what was noted of them, else by what Kraken shows."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from sealane.client.forwarder import Forwarder
from sealane.core.verdict import Outcome, Verdict
from sealane.errors import Unavailable
from sealane.gateway.api.market import Market
from sealane.gateway.keys.ledger import Ledger

LOOK_MAX = 50
OVER = ("closed", "canceled", "expired")

Params = Mapping[str, object]
Rows = Mapping[str, Mapping[str, object]]
Named = list[tuple[str, str]]
"""Orders by ("txid" or "cl_ord_id", its value)."""


class OwnOrders:
    """Looks orders up in the ledger and, where that does not tell, at Kraken."""

    def __init__(self, ledger: Ledger, market: Market) -> None:
        self.ledger, self._market = ledger, market

    async def txids_of(self, forwarder: Forwarder, key: str, named: Named) -> list[str]:
        """The txids of orders that are named, all of them the key's own; [] where one is not, or none is named.

        What is done to own orders is done by their txids: another's open order may have the same client order id.
        """
        by_name = [await self._txid_of(forwarder, key, name) for by, name in named if by == "cl_ord_id"]
        by_txid = [name for by, name in named if by == "txid"]
        unknown = [txid for txid in by_txid if not self.ledger.is_own(key, txid=txid)]
        rows = await self.rows_of(forwarder, "txid", ",".join(unknown)) if unknown else {}
        are_own = set(unknown) <= set(self.ledger.own_among(key, rows))
        return [*by_txid, *filter(None, by_name)] if are_own and all(by_name) else []

    async def _txid_of(self, forwarder: Forwarder, key: str, name: str) -> str:
        """The key's own order of this client order id, the last; "" for none."""
        if self.ledger.is_awaited(key, name):
            rows = await self.rows_of(forwarder, "cl_ord_id", name)
            if own := self.ledger.own_among(key, rows):
                return own[-1]
        placed = self.ledger.placed_as(key, name, "cl_ord_id")
        return placed[0] if placed else ""

    async def rows_of(self, forwarder: Forwarder, by: str, name: str) -> Rows:
        """What Kraken shows of orders by their txid, or of open ones by client order id; none where it does not."""
        if by == "txid":
            verdict, part = await forwarder.forward("QueryOrders", {"txid": name}), ""
        else:
            verdict, part = await forwarder.forward("OpenOrders", {"cl_ord_id": name}), "open"
        return rows_in(verdict, part) if verdict.outcome is Outcome.ACCEPTED else {}

    async def open_ones(self, forwarder: Forwarder, key: str, filters: Params, now_s: float) -> Verdict | list[str]:
        """The txids of the key's open orders, shown or not yet; a refusal of Kraken's where it is one."""
        verdict = await forwarder.forward("OpenOrders", filters)
        if verdict.outcome is not Outcome.ACCEPTED:
            return verdict
        with contextlib.suppress(Unavailable):  # then pairs are compared as they are spelled
            await self._market.canonical()
        rows = rows_in(verdict, "open")
        own = self.ledger.own_among(key, rows)
        return own if filters else [*own, *(await self._hidden(forwarder, key, rows, now_s - forwarder.lag_s))]

    async def _hidden(self, forwarder: Forwarder, key: str, shown: Rows, since_s: float) -> list[str]:
        """The key's orders of late that the list of open ones does not have, and that are not known to be over."""
        new = [txid for txid in self.ledger.placed_since(key, since_s) if txid not in shown]
        rows: dict[str, Mapping[str, object]] = {}
        for start in range(0, len(new), LOOK_MAX):
            rows |= await self.rows_of(forwarder, "txid", ",".join(new[start : start + LOOK_MAX]))
        return [txid for txid in new if rows.get(txid, {}).get("status") not in OVER]


def rows_in(verdict: Verdict, part: str) -> Rows:
    """The orders in an answer, by txid."""
    found = verdict.result
    if part and isinstance(found, Mapping):
        found = found.get(part)
    rows = found.items() if isinstance(found, Mapping) else ()
    return {str(txid): row for txid, row in rows if isinstance(row, Mapping)}


def order_named(params: Params) -> Named:
    """The one order that a call names by its txid or client order id; none where it names none, or two."""
    found = [(by, str(params[by])) for by in ("txid", "cl_ord_id") if params.get(by) not in (None, "")]
    return found if len(found) == 1 else []
