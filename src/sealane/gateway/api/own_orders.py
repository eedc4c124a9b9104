"""Which of an account's orders a virtual key placed: by what was noted of them, else by what Kraken shows."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from sealane.client.forwarder import Forwarder
from sealane.core.verdict import Outcome, Verdict
from sealane.errors import Unavailable
from sealane.gateway.api.market import Market
from sealane.gateway.keys.ledger import Ledger

Params = Mapping[str, object]
Rows = Mapping[str, Mapping[str, object]]
Named = list[tuple[str, str]]
"""Orders by ("txid" or "cl_ord_id", its value)."""


class OwnOrders:
    """Looks orders up in the ledger and, where that does not tell, at Kraken."""

    def __init__(self, ledger: Ledger, market: Market) -> None:
        self.ledger, self._market = ledger, market

    async def are_own(self, forwarder: Forwarder, key: str, named: Named) -> bool:
        """Whether all these orders are the key's; False for none."""
        txids = [name for by, name in named if by == "txid" and not self.ledger.is_own(key, txid=name)]
        names = [name for by, name in named if by != "txid" and not self.ledger.is_placed(key, name)]
        if not named or not all(self.ledger.is_own(key, cl_ord_id=name) for name in names):
            return False
        rows = await self.rows_of(forwarder, "txid", ",".join(txids)) if txids else {}
        if not set(txids) <= set(self.ledger.own_among(key, rows)):
            return False
        return all([await self._is_shown(forwarder, key, name) for name in names])

    async def _is_shown(self, forwarder: Forwarder, key: str, name: str) -> bool:
        """Whether the open order of a name that the key asked for is its own: it may be another's of that name."""
        rows = await self.rows_of(forwarder, "cl_ord_id", name)
        return bool(rows) and len(self.ledger.own_among(key, rows)) == len(rows)

    async def rows_of(self, forwarder: Forwarder, by: str, name: str) -> Rows:
        """What Kraken shows of orders by their txid, or of open ones by client order id; none where it does not."""
        if by == "txid":
            verdict, part = await forwarder.forward("QueryOrders", {"txid": name}), ""
        else:
            verdict, part = await forwarder.forward("OpenOrders", {"cl_ord_id": name}), "open"
        return rows_in(verdict, part) if verdict.outcome is Outcome.ACCEPTED else {}

    async def open_ones(self, forwarder: Forwarder, key: str, filters: Params) -> Verdict | list[str]:
        """The txids of the key's open orders; Kraken's refusal where it does not tell them."""
        verdict = await forwarder.forward("OpenOrders", filters)
        if verdict.outcome is not Outcome.ACCEPTED:
            return verdict
        with contextlib.suppress(Unavailable):  # then pairs are compared as they are spelled
            await self._market.canonical()
        return self.ledger.own_among(key, rows_in(verdict, "open"))


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
