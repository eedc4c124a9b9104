"""What a reply, or the lack of one, means: one pure function over one table.

The rules behind the table:

1. HTTP 200 with Kraken's envelope is the only thing that tells a request's end. Any other status, a body that is
   not the envelope, a time-out or a reset says nothing about whether the request was executed: in doubt.
2. An entry that starts with ``W`` is a warning beside a result, never a refusal.
3. What Kraken says about itself (``EService``, ``EDatabase``) rather than about the request leaves it in doubt, and
   so does an error of a kind that nobody has described.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import Enum


class Outcome(Enum):
    """What happened to a request."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_SENT = "not sent"
    IN_DOUBT = "in doubt"


class Advice(Enum):
    """What to do about it, beside telling the caller."""

    NONE = "none"
    STOP = "stop"
    NONCE = "recover the nonce"
    COUNTER = "wait for the key's counter"
    PAIR_COUNTER = "wait for the pair's counter"
    THROTTLED = "wait until the time that Kraken names"
    LOCKOUT = "stop the key for minutes"
    GATE = "the market takes no such order now"
    BUSINESS = "an answer for the caller to read"
    RETRY = "a read may be repeated"
    LOOK = "look before anything else"


@dataclass(frozen=True)
class Reply:
    """An HTTP answer: its status, its body and Kraken's trace id ("" where it sent none)."""

    status: int
    body: bytes
    trace_id: str = ""


@dataclass(frozen=True)
class Failure:
    """No answer. ``sent`` is False only where it is certain that no byte of the request left."""

    sent: bool
    detail: str


@dataclass(frozen=True)
class Verdict:
    """The meaning of one reply or failure.

    ``until_s`` is a Unix time where Kraken named one. ``fenced``: it shows that the request's nonce, or a later one,
    was taken, so that nothing of it can begin to execute any more. ``body`` is the answer as it came, where it is
    Kraken's envelope.
    """

    outcome: Outcome
    advice: Advice
    result: object = None
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    until_s: float | None = None
    detail: str = ""
    fenced: bool = False
    body: bytes = field(default=b"", repr=False, compare=False)


_TABLE: tuple[tuple[str, Outcome, Advice], ...] = (
    ("eapi:invalid nonce", Outcome.REFUSED, Advice.NONCE),
    ("eapi:rate limit exceeded", Outcome.REFUSED, Advice.COUNTER),
    ("egeneral:too many requests", Outcome.REFUSED, Advice.COUNTER),
    ("eauth:rate limit exceeded", Outcome.REFUSED, Advice.COUNTER),
    ("eservice:throttled", Outcome.REFUSED, Advice.THROTTLED),
    ("egeneral:temporary lockout", Outcome.REFUSED, Advice.LOCKOUT),
    ("egeneral:internal error", Outcome.IN_DOUBT, Advice.RETRY),
    ("eservice:deadline elapsed", Outcome.IN_DOUBT, Advice.LOOK),
    ("eservice:market in ", Outcome.REFUSED, Advice.GATE),
    ("eservice:", Outcome.IN_DOUBT, Advice.RETRY),
    ("edatabase:", Outcome.IN_DOUBT, Advice.RETRY),
    ("eorder:rate limit exceeded", Outcome.REFUSED, Advice.PAIR_COUNTER),
    ("eorder:orders limit exceeded", Outcome.REFUSED, Advice.PAIR_COUNTER),
    ("eorder:domain rate limit exceeded", Outcome.REFUSED, Advice.PAIR_COUNTER),
    ("eorder:", Outcome.REFUSED, Advice.BUSINESS),
    ("etrade:", Outcome.REFUSED, Advice.BUSINESS),
    ("efunding:", Outcome.REFUSED, Advice.STOP),
    ("equery:", Outcome.REFUSED, Advice.STOP),
    ("eaccount:", Outcome.REFUSED, Advice.STOP),
    ("eauth:", Outcome.REFUSED, Advice.STOP),
    ("eapi:", Outcome.REFUSED, Advice.STOP),
    ("egeneral:", Outcome.REFUSED, Advice.STOP),
)
_UNKNOWN = (Outcome.IN_DOUBT, Advice.RETRY)
_TIMESTAMP = re.compile(r"(\d{9,})")
_SHOWN_BODY = 80


def judge(answer: Reply | Failure) -> Verdict:
    """Classify what came back. Never raises: what cannot be read is in doubt."""
    if isinstance(answer, Failure):
        if answer.sent:
            return _doubt(answer.detail)
        return Verdict(Outcome.NOT_SENT, Advice.RETRY, detail=answer.detail)
    if answer.status != 200:
        return _doubt(f"HTTP status {answer.status}")
    envelope = _envelope(answer.body)
    if envelope is None:
        return _doubt(f"an answer that is not Kraken's: {answer.body[:_SHOWN_BODY]!r}")
    entries, result = envelope
    errors = tuple(entry for entry in entries if not entry.startswith(("W", "w")))
    warnings = tuple(entry for entry in entries if entry not in errors)
    if not errors:
        return Verdict(Outcome.ACCEPTED, Advice.NONE, result, warnings=warnings, body=answer.body)
    return _refusal(errors, warnings, answer.body)


def _doubt(detail: str) -> Verdict:
    return Verdict(Outcome.IN_DOUBT, Advice.RETRY, detail=detail)


def _envelope(body: bytes) -> tuple[list[str], object] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    entries = document.get("error") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        return None
    return entries, document.get("result")


def _refusal(errors: tuple[str, ...], warnings: tuple[str, ...], body: bytes) -> Verdict:
    """The gravest entry decides: where one leaves the request in doubt, the others cannot end it."""
    rows = [_row(error) for error in errors]
    outcome, advice = next((row for row in rows if row[0] is Outcome.IN_DOUBT), rows[0])
    until_s = _named_time(errors) if advice is Advice.THROTTLED else None
    detail = ", ".join(errors)
    return Verdict(outcome, advice, errors=errors, warnings=warnings, until_s=until_s, detail=detail, body=body)


def _row(error: str) -> tuple[Outcome, Advice]:
    folded = ":".join(part.strip() for part in error.casefold().split(":"))
    return next(((outcome, advice) for start, outcome, advice in _TABLE if folded.startswith(start)), _UNKNOWN)


def _named_time(errors: tuple[str, ...]) -> float | None:
    found = next((match for error in errors if (match := _TIMESTAMP.search(error))), None)
    return float(found.group(1)) if found else None
