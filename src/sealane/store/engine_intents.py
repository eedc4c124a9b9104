"""The log of intents in a shared engine, so that any host can finish what another left.

A process shows that it lives in two ways: to those of its own host by the kernel's lock, as in the file store; to others
by telling the engine again and again. One that cannot tell it for ``BEAT_SPAN_MS`` is taken for dead by other hosts: they
fence its orders before they look for them, so a process that was merely stopped does no harm when it goes on.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping

from sealane.errors import NotDurable, Unavailable
from sealane.store.engine import Engine
from sealane.store.intents import intent_of
from sealane.store.port import IntentLog

BEAT_SPAN_MS = 10_000


class EngineIntents:
    """See ``port.IntentLog``. ``local`` is the file store's log of this host: its owners' tokens are used."""

    def __init__(self, engine: Engine, local: IntentLog) -> None:
        self._engine, self._local = engine, local
        self._beating = False
        self._mutex = threading.Lock()

    def write(self, intent_id: str, document: Mapping[str, object], *, sync: bool) -> None:
        """See ``port.IntentLog``."""
        intent = intent_of(intent_id, document)
        try:
            self._engine.write_intent(intent_id, intent.others, intent.text, settled=intent.settled, sync=sync)
        except Unavailable as error:
            raise NotDurable(f"the order's record could not be stored: {error}. Nothing was sent on it") from error

    def read(self, intent_id: str) -> Mapping[str, object] | None:
        """See ``port.IntentLog``."""
        text = self._asked(lambda: self._engine.read_intent(intent_id))
        return None if text is None else _document(text)

    def unsettled(self) -> dict[str, Mapping[str, object]]:
        """See ``port.IntentLog``."""
        return {name: _document(text) for name, text in self._asked(self._engine.unsettled_intents)}

    def recent(self, limit: int) -> list[tuple[str, Mapping[str, object]]]:
        """See ``port.IntentLog``."""
        return [(name, _document(text)) for name, text in self._asked(lambda: self._engine.recent_intents(limit))]
