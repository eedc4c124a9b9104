"""What happens on the lanes, told to whoever listens: logs, metrics, tests.

Listeners get the frozen values of ``sealane.core.events``, on the thread where the thing happened. A listener that
raises is logged and kept out of the lane's way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from sealane.core.events import Event
from sealane.telemetry.lines import log_to
from sealane.telemetry.log import log_event

__all__ = ["Listener", "log_to", "publish", "subscribe"]

Listener = Callable[[Event], None]

logger = logging.getLogger("sealane")
_listeners: list[Listener] = [log_event]


def subscribe(listener: Listener) -> Callable[[], None]:
    """Call ``listener`` for every event of this process; returns what ends the subscription."""
    _listeners.append(listener)

    def unsubscribe() -> None:
        if listener in _listeners:
            _listeners.remove(listener)

    return unsubscribe


def publish(event: Event) -> None:
    """Tell all listeners."""
    for listener in tuple(_listeners):
        try:
            listener(event)
        except Exception:
            logger.exception("a telemetry listener failed and was passed over")
