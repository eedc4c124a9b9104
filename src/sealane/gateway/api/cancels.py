"""Cancels: seen to their end, and kept to a virtual key's own orders where its policy says so.

1. A cancel may be sent twice, so one whose answer was lost is sent again and looked at (``core/cancelling.py``).
2. Kraken's CancelAll and its dead-man switch act on the whole account. For a key that may touch its own orders alone
   they are made of smaller ones: its open orders, in batches.
3. The dead-man switch of such a key is the gateway's: it is kept in the ledger, and fires after a restart as well. It
   cannot fire while no gateway runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from sealane.client.forwarder import Forwarder
from sealane.core.cancelling import UNKNOWN, Cancelled, NotCancelled
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
from sealane.gateway.keys.ledger import OPENED_WITHIN_S

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
    if method == "CancelOrderBatch" and (txids := _txids(params)):
        return _of_ends(await forwarder.cancel_orders(txids, timeout_s=INSIST_S), none=UNKNOWN_ORDER)
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


def _of_ends(ends: Mapping[str, Cancelled | NotCancelled], *, none: str = "") -> Answer:
    """Of orders that are cancelled together; ``none`` is the error where all were closed already.

    Those that Kraken does not know, because they are too new or long gone, are told beside the count.
    """
    left = [end for end in ends.values() if isinstance(end, NotCancelled) and not end.is_closed]
    unknown = [end for end in left if UNKNOWN in (end.kraken_error or "").casefold()]
    if len(left) > len(unknown):
        return _of_end(next(end for end in left if end not in unknown))
    count = sum(isinstance(end, Cancelled) for end in ends.values())
    answer = refusal(none, "refused") if none and not count else result({"count": count})
    return replace(answer, told={"unknown": len(unknown)}) if unknown else answer


class Cancels:
    """Cancels of keys that may touch their own orders alone."""

    def __init__(self, own: OwnOrders) -> None:
        self._own = own

    async def cancel(self, forwarder: Forwarder, key: str, method: str, params: Params, now_s: float) -> Answer:
        """Any of the four methods."""
        if method == "CancelAll":
            return await self.cancel_all(forwarder, key, now_s)
        if method == "CancelAllOrdersAfter":
            return self._arm(key, params, now_s)
        if method == "CancelOrder" and _is_userref(params.get("txid")):
            return await self._cancel_open(forwarder, key, {"userref": str(params["txid"])}, now_s)
        txids = await self._own.txids_of(forwarder, key, _named(method, params))
        if not txids:
            return refusal(UNKNOWN_ORDER, detail=NOT_OWN)
        return await insist(forwarder, method, {"txid": txids[0]} if method == "CancelOrder" else {"orders": txids})

    async def cancel_all(self, forwarder: Forwarder, key: str, now_s: float) -> Answer:
        """Every open order of the key."""
        return await self._cancel_open(forwarder, key, {}, now_s)

    def is_unclear(self, key: str, now_s: float) -> bool:
        """Whether an order of the key may be placed yet that nobody knows of: a look for what is open may miss it."""
        return self._own.ledger.is_unclear(key, now_s - OPENED_WITHIN_S)

    async def _cancel_open(self, forwarder: Forwarder, key: str, filters: Params, now_s: float) -> Answer:
        unknown = bool(filters)
        own = await self._own.open_ones(forwarder, key, filters, now_s)
        if isinstance(own, Verdict):
            return of_verdict(own)
        if unknown and not own:
            return refusal(UNKNOWN_ORDER, detail=NOT_OWN)
        ends: dict[str, Cancelled | NotCancelled] = {}
        doubt: InDoubt | None = None
        for start in range(0, len(own), BATCH_MAX):
            try:
                ends |= await forwarder.cancel_orders(own[start : start + BATCH_MAX], timeout_s=INSIST_S)
            except InDoubt as error:  # the others are cancelled all the same
                doubt = error
        if doubt is not None:
            raise doubt
        return _of_ends(ends, none=UNKNOWN_ORDER if unknown else "")

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


def _txids(params: Params) -> list[str]:
    """The orders of a batch, where all are named by their txid; none otherwise."""
    named = params.get("orders")
    if params.get("cl_ord_ids") or not isinstance(named, list):
        return []
    return named if all(isinstance(name, str) and not _is_userref(name) for name in named) else []


def _is_userref(value: object) -> bool:
    """Kraken takes a userref where it takes a txid: a whole number."""
    return isinstance(value, int) or (isinstance(value, str) and value.removeprefix("-").isdecimal())


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(int(at_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
