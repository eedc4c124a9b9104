"""Events as log lines of the logger ``sealane.lane``; what is routine goes out at DEBUG."""

from __future__ import annotations

import logging

from sealane.core import events
from sealane.core.verdict import Outcome

logger = logging.getLogger("sealane.lane")


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
