"""Events as log lines of the logger ``sealane.lane``; what is routine goes out at DEBUG.

Each record carries its event as the attribute ``event``, from which the JSON form takes its fields.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from sealane.core import events
from sealane.core.verdict import Outcome

logger = logging.getLogger("sealane.lane")
_windows_told: set[str] = set()

Line = tuple[Any, ...]
"""Level, format, and what fills the format."""


def log_event(event: events.Event) -> None:
    """One line an event, with the words that a person on call searches for."""
    line = _LINES[type(event)](event)
    if line is not None:
        level, form, *fill = line
        logger.log(level, form, *fill, extra={"event": event})


def _of_call(call: events.CallSettled) -> Line:
    level = logging.DEBUG if call.outcome is Outcome.ACCEPTED else logging.WARNING
    return level, "%s %s nonce %d: %s %s", call.account, call.method, call.nonce, call.outcome.value, call.detail


def _of_unfinished_turn(turn: events.UnfinishedTurnFound) -> Line:
    form = "a process died with %s (nonce %d) under way on key %s; fencing that key before its next write"
    return logging.WARNING, form, turn.method, turn.nonce, turn.fingerprint


def _of_contradiction(limit: events.CounterContradicted) -> Line:
    form = "Kraken refused %s of %s for a limit (%s); it waits and goes again"
    return logging.WARNING, form, limit.method, limit.account, limit.detail


def _of_window(found: events.NonceWindowOpen) -> Line | None:
    """Said once: every order would say it."""
    if found.account in _windows_told:
        return None
    _windows_told.add(found.account)
    form = (
        "the key of %s has a nonce window of %d: nothing is sent twice with it, so lost answers take longer to "
        "resolve. Set the key's nonce window to 0"
    )
    return logging.WARNING, form, found.account, found.window


def _lines(level: int, form: str, *fields: str) -> Callable[[Any], Line]:
    """The lines of a kind of event: a format filled with the event's fields."""
    return lambda event: (level, form, *(getattr(event, field) for field in fields))


_LINES: dict[type, Callable[[Any], Line | None]] = {
    events.CallSettled: _of_call,
    events.UnfinishedTurnFound: _of_unfinished_turn,
    events.CounterContradicted: _of_contradiction,
    events.NonceWindowOpen: _of_window,
    events.NonceRefused: _lines(
        logging.WARNING,
        "❌ Kraken API error: EAPI:Invalid nonce for %s (nonce %d); next: %s",
        "account",
        "nonce",
        "answer",
    ),
    events.LaneJumped: _lines(
        logging.WARNING, "jumped the nonce floor for %s from %d to %d", "account", "refused", "floor"
    ),
    events.KeyQuarantined: _lines(logging.ERROR, "the key of %s is quarantined: %s", "account", "diagnosis"),
    events.EndNotNoted: _lines(
        logging.ERROR, "the end of %s for %s could not be noted: %s", "method", "account", "detail"
    ),
    events.CallRepeated: _lines(
        logging.INFO, "%s %s had no usable answer (%s); again in %.1f s", "account", "method", "detail", "pause_s"
    ),
    events.RoomAwaited: _lines(
        logging.INFO,
        "%s %s waits %.1f s for room in Kraken's counter %s",
        "account",
        "method",
        "wait_s",
        "counter",
    ),
    events.DoubtResolved: _lines(
        logging.INFO, "%s %s %s is out of doubt after %d looks", "account", "method", "intent", "looks"
    ),
}
