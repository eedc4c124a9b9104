"""The intents that a log holds: the latest document of each id, in the order of their age. No disk, no locks.

1. A document is kept as the JSON text that it was written as, so that nobody shares it with the log.
2. An id has its place from its first document on, and a new one, at the end, when it is settled.
3. What is unsettled is never dropped. Of the settled, the newest are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from sealane.errors import SettingsError

SETTLED_KEPT = 1_000
"""Settled intents that are kept at least; of older ones nothing is promised."""
DOCUMENT_BYTES_MAX = 32_768
"""A document is small: what is longer is a caller's mistake."""
ID_CHARS_MAX = 64
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True)
class Intent:
    """One document of one id; ``text`` is its JSON."""

    intent_id: str
    text: str
    settled: bool
    others: tuple[str, ...] = ()

    def line(self) -> bytes:
        """As one line of a log: what ``intent_in`` reads."""
        return f"[{_encode(self.intent_id)},{self.text}]".encode()

    def document(self) -> dict[str, object]:
        """The document, the caller's own."""
        found: dict[str, object] = json.loads(self.text)
        return found


def intent_in(text: bytes) -> Intent | None:
    """The intent that a line of a log holds, None where it holds none."""
    try:
        intent_id, document = json.loads(text)
        return Intent(
            str(intent_id), _encode(document), document.get("settled") is True, _others(str(intent_id), document)
        )
    except (ValueError, TypeError, AttributeError):
        return None


def intent_of(intent_id: str, document: Mapping[str, object]) -> Intent:
    """Check and freeze a document; raises SettingsError for one that cannot be kept as it is."""
    if not 1 <= len(intent_id) <= ID_CHARS_MAX:
        raise SettingsError(f"an intent's id has 1 to {ID_CHARS_MAX} characters, not {len(intent_id)}")
    try:
        text = _encode(dict(document))
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingsError(f"the intent {intent_id} is no plain JSON: {error}") from error
    if len(text) > DOCUMENT_BYTES_MAX:
        raise SettingsError(f"the intent {intent_id} has {len(text)} bytes: {DOCUMENT_BYTES_MAX} is the most")
    return Intent(intent_id, text, document.get("settled") is True, _others(intent_id, document))


def _others(intent_id: str, document: Mapping[str, object]) -> tuple[str, ...]:
    """The further names under which a document is asked for: its own, or the orders of a batch named by its first."""
    aliases = document.get("aliases")
    if isinstance(aliases, (list, tuple)) and aliases:
        return tuple(map(str, aliases))
    names = document.get("order_ids")
    is_named_by_first = isinstance(names, (list, tuple)) and bool(names) and names[0] == intent_id
    return tuple(map(str, names[1:])) if isinstance(names, (list, tuple)) and is_named_by_first else ()


class Intents:
    """The latest intent of each id; iterating gives them oldest first."""

    def __init__(self) -> None:
        self.unsettled_count = 0
        self._latest: dict[str, Intent] = {}
        self._batch_of: dict[str, str] = {}

    def __iter__(self) -> Iterator[Intent]:
        return iter(self._latest.values())

    def __len__(self) -> int:
        return len(self._latest)

    def note(self, intent: Intent) -> None:
        """Take in a document that was written after all the others."""
        before = self._latest.get(intent.intent_id)
        self.unsettled_count += (not intent.settled) - (before is not None and not before.settled)
        if before is not None and (intent.settled or before.settled):
            del self._latest[intent.intent_id]
        self._latest[intent.intent_id] = intent
        self._batch_of.update(dict.fromkeys(intent.others, intent.intent_id))

    def read(self, intent_id: str) -> dict[str, object] | None:
        """See ``port.IntentLog``."""
        found = self.find(intent_id)
        return found.document() if found else None

    def find(self, intent_id: str) -> Intent | None:
        """The latest intent of an id, or the batch that lists it."""
        return self._latest.get(intent_id) or self._latest.get(self._batch_of.get(intent_id, ""))

    def unsettled(self) -> dict[str, Mapping[str, object]]:
        """See ``port.IntentLog``."""
        return {intent.intent_id: intent.document() for intent in self if not intent.settled}

    def recent(self, limit: int) -> list[tuple[str, Mapping[str, object]]]:
        """See ``port.IntentLog``."""
        newest = islice(reversed(self._latest.values()), max(0, limit))
        return [(intent.intent_id, intent.document()) for intent in newest]

    def kept(self, settled_max: int) -> Intents:
        """A copy with all that is unsettled and the newest of the settled, in the same order."""
        spare = len(self) - self.unsettled_count - settled_max
        copy = Intents()
        for intent in self:
            if intent.settled and spare > 0:
                spare -= 1
            else:
                copy.note(intent)
        return copy
