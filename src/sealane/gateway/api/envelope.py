"""Answers as Kraken gives them: ``{"error":[…],"result":…}``, HTTP status 200 whatever the error.

What Kraken answered goes on byte for byte. What the gateway says by itself is said in Kraken's own strings, so that a
program does what it would do at Kraken: a refusal that was not executed looks like one, and a doubt like a doubt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from sealane.client.forwarding import Forwarded
from sealane.core.buying import BATCH_BUYS_OFF, BUYS_OFF
from sealane.core.order import Amended, End, NotAmended, NotPlaced, Placed
from sealane.core.resolving import NOT_FOUND
from sealane.core.verdict import Outcome, Verdict
from sealane.errors import (
    Fenced,
    InDoubt,
    LaneBusy,
    NameTaken,
    NotDurable,
    Quarantined,
    Refused,
    SealaneError,
    SettingsError,
)

INVALID_KEY = "EAPI:Invalid key"
INVALID_SIGNATURE = "EAPI:Invalid signature"
INVALID_NONCE = "EAPI:Invalid nonce"
RATE_LIMIT = "EAPI:Rate limit exceeded"
DENIED = "EGeneral:Permission denied"
LOCKED = "EGeneral:Temporary lockout"
UNKNOWN_METHOD = "EGeneral:Unknown method"
INVALID_ARGUMENTS = "EGeneral:Invalid arguments"
UNKNOWN_ORDER = "EOrder:Unknown order"
NAME_TAKEN = "EOrder:Duplicate cl_ord_id"
BUSY = "EService:Busy"
UNAVAILABLE = "EService:Unavailable"
IN_DOUBT = "EService:Deadline elapsed"
"""Of a write: it may have been executed, so a program looks before it sends it again."""

_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode
_NOT_PLACED = {BUYS_OFF: DENIED, BATCH_BUYS_OFF: DENIED, NOT_FOUND: UNAVAILABLE}


@dataclass(frozen=True)
class Answer:
    """What goes back: the body, and what is told beside it in headers.

    ``errors`` are those in the body; ``outcome`` is a word of ``gateway.traffic`` for what became of the call;
    ``told`` is written down with the decision.
    """

    body: bytes
    outcome: str = "answered"
    errors: tuple[str, ...] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[str, object] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Of a cancel, how many orders it cancelled."""
        found = json.loads(self.body).get("result")
        count = found.get("count") if isinstance(found, dict) else None
        return count if isinstance(count, int) else 0


def refusal(error: str, outcome: str = "denied", *, detail: str = "", status: int = 200) -> Answer:
    """The gateway's own no. ``detail`` is for the log of decisions, and for the header ``X-Sealane-Why``."""
    headers = {"x-sealane-why": _on_one_line(detail)} if detail else {}
    return Answer(_encode({"error": [error]}).encode(), outcome, (error,), status, headers)


def throttled(detail: str) -> Answer:
    """Too much is asked at once. Of Kraken's texts for it this is the one that clients take for an error of their own:
    python-kraken-sdk hands ``EService: Throttled`` on as if it were the answer.
    """
    return refusal(RATE_LIMIT, "throttled", detail=detail)


def result(value: object) -> Answer:
    """An answer that the gateway makes by itself."""
    return Answer(_encode({"error": [], "result": value}).encode())


def of_verdict(verdict: Verdict) -> Answer:
    """What Kraken answered, yes or no, as it came."""
    if verdict.outcome is Outcome.ACCEPTED:
        return Answer(verdict.body, errors=verdict.warnings)
    return Answer(verdict.body, "refused", verdict.errors)


def of_error(error: SealaneError) -> Answer:
    """What an error of the client's means to a program."""
    if isinstance(error, Refused):
        return Answer(_encode({"error": list(error.errors)}).encode(), "refused", error.errors)
    if BUYS_OFF in str(error):
        return refusal(DENIED, detail=str(error))
    for kind, text, outcome in _ERRORS:
        if isinstance(error, kind):
            return refusal(text, outcome, detail=str(error))
    return refusal(UNAVAILABLE, "unavailable", detail=str(error))


_ERRORS: tuple[tuple[type[SealaneError], str, str], ...] = (
    (NameTaken, NAME_TAKEN, "denied"),
    (SettingsError, INVALID_ARGUMENTS, "denied"),
    (InDoubt, IN_DOUBT, "in_doubt"),
    (Quarantined, LOCKED, "unavailable"),
    (LaneBusy, BUSY, "unavailable"),
    (Fenced, BUSY, "unavailable"),
    (NotDurable, UNAVAILABLE, "unavailable"),
)
TOLD_MAX = 200


def _on_one_line(text: str) -> str:
    """A text as a header can carry it: printable ASCII, on one line."""
    line = " ".join(text.split()).encode("ascii", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in line)[:TOLD_MAX]


def of_order(forwarded: Forwarded, method: str) -> Answer:
    """What became of an order: Kraken's own answer where there was one, else its end in the same form."""
    ends = tuple(forwarded.ends.values())
    if forwarded.body:
        errors = tuple(json.loads(forwarded.body)["error"])
        refused = tuple(error for error in errors if not error.startswith("W"))
        return Answer(forwarded.body, "refused" if refused else "answered", errors, headers=_ended(ends))
    if method == "AddOrderBatch":
        return _of_batch(ends)
    end = ends[0]
    if isinstance(end, Placed):
        document: object = {"descr": {"order": end.descr}, "txid": [end.txid]}
        if method == "EditOrder":
            document = {"descr": {"order": end.descr}, "txid": end.txid, "status": "ok"}
        return Answer(result(document).body, headers=_ended(ends))
    if isinstance(end, Amended):
        return Answer(result({"amend_id": ""}).body, headers=_ended(ends))
    return _not_done(end, ends)


def _of_batch(ends: tuple[End, ...]) -> Answer:
    if all(isinstance(end, NotPlaced) for end in ends):
        return _not_done(ends[0], ends)
    return Answer(result({"orders": [_part(end) for end in ends]}).body, headers=_ended(ends))


def _part(end: End) -> dict[str, object]:
    if isinstance(end, Placed):
        return {"descr": {"order": end.descr}, "txid": end.txid}
    return {"error": _why(end)}


def _not_done(end: End, ends: tuple[End, ...]) -> Answer:
    text = _why(end)
    told = end.reason if isinstance(end, (NotPlaced, NotAmended)) else ""
    headers = {**_ended(ends), "x-sealane-why": _on_one_line(told)}
    errors = tuple(text.split(", "))
    outcome = "refused" if isinstance(end, (NotPlaced, NotAmended)) and end.kraken_error else "unavailable"
    return Answer(_encode({"error": list(errors)}).encode(), outcome, errors, headers=headers)


def _why(end: End) -> str:
    if isinstance(end, (NotPlaced, NotAmended)):
        return end.kraken_error or _NOT_PLACED.get(end.reason, BUSY)
    return UNAVAILABLE


def _ended(ends: tuple[End, ...]) -> dict[str, str]:
    """How an order ended, and how that is known."""
    words = {
        f"placed; {end.how}" if isinstance(end, Placed) else f"amended; {end.how}"
        for end in ends
        if hasattr(end, "how")
    }
    return {"x-sealane-order": ", ".join(sorted(words)) or "not placed"}
