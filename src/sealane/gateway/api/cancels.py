"""Cancels: seen to their end, and kept to a virtual key's own orders where its policy says so.

1. A cancel may be sent twice, so one whose answer was lost is sent again and looked at (``core/cancelling.py``).
2. Kraken's CancelAll and its dead-man switch act on the whole account. For a key that may touch its own orders alone
   they are made of smaller ones: its open orders, in batches.
3. The dead-man switch of such a key is the gateway's: it is kept in the ledger, and fires after a restart as well. It
   cannot fire while no gateway runs.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sealane.client.forwarder import Forwarder
from sealane.core.cancelling import Cancelled, NotCancelled
from sealane.core.verdict import Verdict
from sealane.errors import InDoubt
from sealane.gateway.api.envelope import (
    INVALID_ARGUMENTS,
    UNAVAILABLE,
    UNKNOWN_ORDER,
    Answer,
    of_verdict,
    refusal,
    result,
)
from sealane.gateway.api.own_orders import Named, OwnOrders, Params, order_named
from sealane.gateway.api.request import Unreadable

BATCH_MAX = 50
INSIST_S = 20.0
TRIES = 3
TIMER_MAX_S = 86_400
NOT_OWN = "the order is not one that this virtual key placed"


async def insist(forwarder: Forwarder, method: str, params: Params) -> Answer:
    """A cancel as it was asked for, seen to its end; raises what ``AsyncKraken.cancel_order`` does."""
    try:
        return of_verdict(await forwarder.forward(method, params))
    except InDoubt as doubt:
        return await _again(forwarder, method, params, doubt)


async def _again(forwarder: Forwarder, method: str, params: Params, doubt: InDoubt) -> Answer:
    named = order_named(params)
    if method == "CancelAll":
        return _of_end(await forwarder.cancel_again({}, timeout_s=INSIST_S))
    if method == "CancelOrder" and named and not (named[0][0] == "txid" and _is_userref(named[0][1])):
        return _of_end(await forwarder.cancel_again(dict(named), timeout_s=INSIST_S))
    for _ in range(TRIES):
        try:
            return of_verdict(await forwarder.forward(method, params))
        except InDoubt as error:
            doubt = error
    raise doubt


def _of_end(end: Cancelled | NotCancelled) -> Answer:
    if isinstance(end, Cancelled):
        return result({"count": end.count})
    return refusal(end.kraken_error or UNAVAILABLE, "refused", detail=end.reason)


class Cancels:
    """Cancels of keys that may touch their own orders alone."""

    def __init__(self, own: OwnOrders) -> None:
        self._own = own

    async def cancel(self, forwarder: Forwarder, key: str, method: str, params: Params, now_s: float) -> Answer:
        """Any of the four methods."""
        if method == "CancelAll":
            return await self.cancel_all(forwarder, key)
        if method == "CancelAllOrdersAfter":
            return self._arm(key, params, now_s)
        if method == "CancelOrder" and _is_userref(params.get("txid")):
            return await self._cancel_open(forwarder, key, {"userref": str(params["txid"])}, unknown=True)
        named = _named(method, params)
        if not await self._own.are_own(forwarder, key, named):
            return refusal(UNKNOWN_ORDER, detail=NOT_OWN)
        return await insist(forwarder, method, _as_checked(method, named))

    async def cancel_all(self, forwarder: Forwarder, key: str) -> Answer:
        """Every open order of the key."""
        return await self._cancel_open(forwarder, key, {}, unknown=False)

    async def _cancel_open(self, forwarder: Forwarder, key: str, filters: Params, *, unknown: bool) -> Answer:
        own = await self._own.open_ones(forwarder, key, filters)
        if isinstance(own, Verdict):
            return of_verdict(own)
        if unknown and not own:
            return refusal(UNKNOWN_ORDER, detail=NOT_OWN)
        count = 0
        for start in range(0, len(own), BATCH_MAX):
            answer = await insist(forwarder, "CancelOrderBatch", {"orders": own[start : start + BATCH_MAX]})
            if answer.errors:
                return answer
            count += answer.count
        return result({"count": count})

    def _arm(self, key: str, params: Params, now_s: float) -> Answer:
        text = str(params.get("timeout", ""))
        if not (text.isascii() and text.isdecimal() and len(text) <= 6 and int(text) < TIMER_MAX_S):
            return refusal(f"{INVALID_ARGUMENTS}:timeout", detail="give the seconds, 0 to end it")
        at_s = now_s + int(text) if int(text) else None
        self._own.ledger.arm(key, at_s)
        return result({"currentTime": _iso(now_s), "triggerTime": "0" if at_s is None else _iso(at_s)})


def _named(method: str, params: Params) -> Named:
    """Which orders a call names; raises Unreadable where that can be read in two ways."""
    if method == "CancelOrder":
        return order_named(params)
    lists = (("txid", params.get("orders", [])), ("cl_ord_id", params.get("cl_ord_ids", [])))
    if not all(isinstance(names, list) for _, names in lists):
        raise Unreadable(f"{INVALID_ARGUMENTS}:orders", "orders and cl_ord_ids are lists")
    found = [(by, name) for by, names in lists if isinstance(names, list) for name in names]
    if not all(isinstance(name, str) and not (by == "txid" and _is_userref(name)) for by, name in found):
        raise Unreadable(f"{INVALID_ARGUMENTS}:orders", "name the orders of a batch by txid or cl_ord_id")
    return [(by, str(name)) for by, name in found]


def _as_checked(method: str, named: Named) -> Params:
    """The cancel of these orders, and of nothing that was said beside them."""
    if method == "CancelOrder":
        return dict(named)
    parts = (("orders", "txid"), ("cl_ord_ids", "cl_ord_id"))
    return {part: names for part, of in parts if (names := [name for by, name in named if by == of])}


def _is_userref(value: object) -> bool:
    """Kraken takes a userref where it takes a txid: a whole number."""
    return isinstance(value, int) or (isinstance(value, str) and value.removeprefix("-").isdecimal())


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(int(at_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
