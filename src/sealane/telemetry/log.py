"""Events as log lines of the logger ``sealane.lane``; what is routine goes out at DEBUG."""

from __future__ import annotations

import logging

from sealane.core import events
from sealane.core.verdict import Outcome

logger = logging.getLogger("sealane.lane")
_windows_told: set[str] = set()


def log_event(event: events.Event) -> None:
    """One line an event, with the words that a person on call searches for."""
    match event:
        case events.CallSettled(account, method, nonce, outcome, detail):
            level = logging.DEBUG if outcome is Outcome.ACCEPTED else logging.WARNING
            logger.log(level, "%s %s nonce %d: %s %s", account, method, nonce, outcome.value, detail)
        case events.NonceRefused(account, nonce, answer):
            logger.warning("Kraken API error: EAPI:Invalid nonce for %s (nonce %d); next: %s", account, nonce, answer)
        case events.LaneJumped(account, refused, floor):
            logger.warning("jumped the nonce floor for %s from %d to %d", account, refused, floor)
        case events.KeyQuarantined(account, diagnosis):
            logger.error("the key of %s is quarantined: %s", account, diagnosis)
        case events.UnfinishedTurnFound(fingerprint, method, nonce):
            logger.warning(
                "a process died with %s (nonce %d) under way on key %s; fencing that key before its next write",
                method,
                nonce,
                fingerprint,
            )
        case events.EndNotNoted(account, method, detail):
            logger.error("the end of %s for %s could not be noted: %s", method, account, detail)
        case events.CallRepeated(account, method, pause_s, detail):
            logger.info("%s %s had no usable answer (%s); again in %.1f s", account, method, detail, pause_s)
        case _:
            _log_of_limits_and_orders(event)


def _log_of_limits_and_orders(event: events.Event) -> None:
    match event:
        case events.RoomAwaited(account, method, wait_s, counter):
            logger.info("%s %s waits %.1f s for room in Kraken's counter %s", account, method, wait_s, counter)
        case events.CounterContradicted(account, method, detail):
            logger.warning("Kraken refused %s of %s for a limit (%s); it waits and goes again", method, account, detail)
        case events.NonceWindowOpen(account, window):
            _warn_of_window(account, window)
        case events.DoubtResolved(account, method, intent, looks):
            logger.info("%s %s %s is out of doubt after %d looks", account, method, intent, looks)


def _warn_of_window(account: str, window: int) -> None:
    """Said once: every order would say it."""
    if account not in _windows_told:
        _windows_told.add(account)
        logger.warning(
            "the key of %s has a nonce window of %d: nothing is sent twice with it, so lost answers take longer to "
            "resolve. Set the key's nonce window to 0",
            account,
            window,
        )
