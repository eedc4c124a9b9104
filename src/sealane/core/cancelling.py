"""Cancels: they may be sent twice, so a lost answer is answered by another one.

1. A cancel whose answer was lost is sent again under a new nonce until Kraken answers or the caller's time is up.
2. ``EOrder:Unknown order`` after a doubt is no end: the order is looked at. Cancelled: this is what was wanted.
3. Where several orders are cancelled together and Kraken counts fewer, each is looked at: each has its own end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sealane.core.call import private_call
from sealane.core.effects import Caller, Flow, Now, Sleep
from sealane.core.nonce import NS_PER_S
from sealane.core.order import ANSWERED, FOUND, REPLAYED
from sealane.errors import Fenced, InDoubt, Refused, Unavailable

RETRY_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits before a cancel is sent again; the last one before all further ones."""
UNKNOWN = "unknown order"
GONE = ("canceled", "expired")
CLOSED = "closed"


@dataclass(frozen=True)
class Cancelled:
    """What was named is cancelled. ``count`` is how many orders this call cancelled, as far as Kraken said."""

    count: int
    how: str


@dataclass(frozen=True)
class NotCancelled:
    """Nothing was cancelled: it was closed already, unknown, or Kraken could not be reached and nothing was sent.

    ``is_closed``: Kraken shows that it was closed already.
    """

    reason: str
    kraken_error: str | None = None
    is_closed: bool = False


Cancellation = Cancelled | NotCancelled


def cancel(caller: Caller, order: Mapping[str, object], until_ns: int, *, doubted: bool = False) -> Flow[Cancellation]:
    """Cancel what ``{"txid": …}`` or ``{"cl_ord_id": …}`` names; InDoubt where nobody answers by ``until_ns``.

    ``doubted``: the same cancel was sent before and its answer lost.
    """
    count, doubted, refusal = yield from _insist(caller, "CancelOrder", order, until_ns, doubted)
    if refusal is None:
        return Cancelled(count, REPLAYED if doubted else ANSWERED)
    if isinstance(refusal, Unavailable):
        return NotCancelled(str(refusal))
    if doubted:  # the one whose answer was lost may have done it, whatever the next one was told
        try:
            status = yield from _status(caller, order)
        except (Unavailable, Refused) as error:
            raise InDoubt("CancelOrder", 0, str(error)) from error
        return _end(status, ", ".join(refusal.errors))
    return NotCancelled("Kraken refused it", ", ".join(refusal.errors))


def cancel_everything(caller: Caller, until_ns: int, *, doubted: bool = False) -> Flow[Cancellation]:
    """Cancel all open orders of the account; ``doubted`` as for ``cancel``."""
    count, doubted, refusal = yield from _insist(caller, "CancelAll", {}, until_ns, doubted)
    if refusal is None:
        return Cancelled(count, REPLAYED if doubted else ANSWERED)
    if doubted:
        raise InDoubt("CancelAll", 0, str(refusal)) from refusal
    return NotCancelled(str(refusal), ", ".join(refusal.errors) if isinstance(refusal, Refused) else None)


def cancel_several(caller: Caller, txids: Sequence[str], until_ns: int) -> Flow[dict[str, Cancellation]]:
    """Cancel up to 50 orders by their transaction ids, in one call; the end of each."""
    count, doubted, refusal = yield from _insist(caller, "CancelOrderBatch", {"orders": list(txids)}, until_ns)
    if isinstance(refusal, Unavailable):
        return {txid: NotCancelled(str(refusal)) for txid in txids}
    how = REPLAYED if doubted else ANSWERED
    if refusal is None and count == len(txids):
        return {txid: Cancelled(1, how) for txid in txids}
    error = ", ".join(refusal.errors) if refusal is not None else None
    if error is not None and not doubted and UNKNOWN not in error.casefold():
        return {txid: NotCancelled("Kraken refused it", error) for txid in txids}
    try:
        rows = yield from _rows(caller, "QueryOrders", {"txid": ",".join(txids)}, "")
    except (Unavailable, Refused) as trouble:
        raise InDoubt("CancelOrderBatch", 0, str(trouble)) from trouble
    return {txid: _end(str(rows.get(txid, {}).get("status", "")), error) for txid in txids}


def _end(status: str, error: str | None) -> Cancellation:
    if status in GONE:
        return Cancelled(1, FOUND)
    return NotCancelled(f"the order is {status or 'not known'}", error, status == CLOSED)


def _insist(
    caller: Caller, method: str, params: Mapping[str, object], until_ns: int, doubted: bool = False
) -> Flow[tuple[int, bool, Refused | Unavailable | None]]:
    """Send until there is an answer: how many were cancelled, whether an answer was lost before, or why not."""
    tries = 0
    while True:
        try:
            result = yield from private_call(caller, method, params)
            count = result.get("count") if isinstance(result, Mapping) else None
            return count if isinstance(count, int) else 0, doubted, None
        except Refused as refusal:
            return 0, doubted, refusal
        except (Unavailable, Fenced) as error:
            trouble = Unavailable(str(error))
        except InDoubt as error:
            doubted, trouble = True, Unavailable(error.detail)
        pause_s = RETRY_PAUSES_S[min(tries, len(RETRY_PAUSES_S) - 1)]
        if (yield Now()) + pause_s * NS_PER_S > until_ns:
            if doubted:
                raise InDoubt(method, 0, str(trouble))
            return 0, False, trouble
        yield Sleep(pause_s)
        tries += 1


def _status(caller: Caller, order: Mapping[str, object]) -> Flow[str]:
    """An order's status in Kraken's word, "" where it is not known."""
    if "txid" in order:
        looks: tuple[tuple[str, str], ...] = (("QueryOrders", ""),)
    else:
        looks = (("OpenOrders", "open"), ("ClosedOrders", "closed"))
    for method, part in looks:
        for row in (yield from _rows(caller, method, order, part)).values():
            return str(row.get("status", ""))
    return ""


def _rows(
    caller: Caller, method: str, params: Mapping[str, object], part: str
) -> Flow[dict[str, Mapping[str, object]]]:
    """The orders that an answer shows, by txid; none where Kraken knows none of them."""
    try:
        result = yield from private_call(caller, method, params)
    except Refused as refusal:
        if UNKNOWN in str(refusal).casefold():
            return {}
        raise
    except Fenced as error:
        raise Unavailable(str(error)) from error
    found = result.get(part) if part and isinstance(result, Mapping) else result
    if not isinstance(found, Mapping):
        raise Unavailable(f"{method} answered without a list of orders")
    return {str(txid): row for txid, row in found.items() if isinstance(row, Mapping)}
