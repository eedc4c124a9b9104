"""The log of intents in a shared engine, so that any host can finish what another left.

A process shows that it lives in two ways: to those of its own host by the kernel's lock, as in the file store; to
others by telling the engine again and again. One that cannot tell it for ``BEAT_SPAN_MS`` is taken for dead by other
hosts: they fence its orders before they look for them, so a process that was stopped does no harm when it goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TypeVar

from sealane.errors import NotDurable, Unavailable
from sealane.store.clock import SYSTEM_CLOCK, WaitingClock
from sealane.store.engine import Engine
from sealane.store.intents import intent_of
from sealane.store.port import IntentLog

BEAT_SPAN_MS = 10_000
PATIENCE_S = 3.0
"""How long a record waits for an engine that is being started again."""
PAUSE_S = 0.1

T = TypeVar("T")


class EngineIntents:
    """See ``port.IntentLog``. ``local`` is the file store's log of this host: its owners' tokens are used."""

    def __init__(self, engine: Engine, local: IntentLog, clock: WaitingClock | None = None) -> None:
        self._engine, self._local, self._clock = engine, local, clock or SYSTEM_CLOCK
        self._token = ""

    def write(self, intent_id: str, document: Mapping[str, object], *, sync: bool) -> None:
        """See ``port.IntentLog``. It may be written twice, which is once."""
        intent = intent_of(intent_id, document)
        text, settled = intent.text, intent.settled
        self._asked(lambda: self._engine.write_intent(intent_id, intent.others, text, settled=settled, sync=sync))

    def read(self, intent_id: str) -> Mapping[str, object] | None:
        """See ``port.IntentLog``."""
        text = self._asked(lambda: self._engine.read_intent(intent_id))
        return None if text is None else _document(text)

    def unsettled(self) -> dict[str, Mapping[str, object]]:
        """See ``port.IntentLog``."""
        return {name: _document(text) for name, text in self._asked(self._engine.unsettled_intents)}

    def recent(self, limit: int) -> list[tuple[str, Mapping[str, object]]]:
        """See ``port.IntentLog``."""
        found = self._asked(lambda: self._engine.recent_intents(max(0, limit)))
        return [(name, _document(text)) for name, text in found]

    def owner(self) -> str:
        """See ``port.IntentLog``. The engine hears of it before anything is written under it."""
        token = self._local.owner()
        if token != self._token:
            self._asked(lambda: self._engine.beat(token, BEAT_SPAN_MS))
            self._token = token
        return token

    def beat(self) -> None:
        """In the background, several times in ``BEAT_SPAN_MS``: this process lives."""
        if self._token:
            self._engine.beat(self._token, BEAT_SPAN_MS)

    def is_alive(self, owner: str) -> bool:
        """See ``port.IntentLog``."""
        return self._local.is_alive(owner) or self._asked(lambda: self._engine.lives(owner))

    def close(self) -> None:
        """See ``port.IntentLog``. The engine's connections are the lanes' as well, and stay."""
        self._local.close()

    def after_fork(self) -> None:
        """See ``port.IntentLog``."""
        self._token = ""
        self._local.after_fork()

    def _asked(self, verb: Callable[[], T]) -> T:
        """What a verb answers; all of them may be repeated, so an engine that was away for a moment is waited for."""
        until_ns = self._clock.boot_ns() + PATIENCE_S * 1e9
        while True:
            try:
                return verb()
            except Unavailable as error:
                if self._clock.boot_ns() >= until_ns:
                    raise NotDurable(f"the orders' records cannot be had: {error}. Nothing was sent on them") from error
            self._clock.pause(PAUSE_S)


def _document(text: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(text)
    return found
