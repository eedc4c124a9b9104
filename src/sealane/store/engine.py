"""What a shared engine must do so that lanes can be leased to hosts: Redis, PostgreSQL, or a table in memory for tests.

1. Each step of a lane (``acquire``, ``renew``, ``release``, ``withdraw``) is made while nobody else can make one of the
   same lane, decides as ``sealane.core.lease`` does, by the engine's own clock, and is durable before it is answered as
   far as the engine is set up to be. Nonces are exact to their last digit.
2. A step whose answer was lost may be made again: ``acquire``, ``renew`` and ``withdraw`` change nothing the second
   time, a repeated ``release`` is answered Lost.
3. ``await_turn`` and ``listen`` are hints: they may come late, twice or not at all; nothing rests on them but speed.
4. Documents of a lane travel with it: what the holder stored last is what the next holder is given. One who no longer
   holds the lane stores nothing.
5. An intent is the latest document of its id, whoever wrote it; what is unsettled is never dropped.
6. What cannot be done within ``ENGINE_LIMIT_S`` raises Unavailable with the engine's address, never its password.
   Nothing rests on a session: each step may come on another connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sealane.core.lease import Grant, Lost, Record, Wait

ENGINE_LIMIT_S = 5.0
"""How long one step may take, a new connection included."""
LEASE_MS = 3_000
"""How long a lease lasts where nothing else is set."""

Documents = Mapping[str, str]
"""JSON texts by name, such as ``"key 0123abcd"`` and ``"rates MASTER"``."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A lane's record, None for none, with times by the engine's clock; that clock; and the lane's documents."""

    record: Record | None
    now_ms: int
    documents: Documents


class Engine(Protocol):
    """See the rules at the head of this file. Safe from any thread; all verbs block."""

    @property
    def identity(self) -> str:
        """The address without its password: engines of equal identity hold the same lanes."""

    @property
    def lease_ms(self) -> int:
        """How long this engine's leases last."""

    # --- lanes ----------------------------------------------------------------------------------------------------

    def acquire(self, lane: str, host: str, ceiling: int) -> tuple[Grant | Wait, Documents]:
        """See ``core.lease.acquire``. With a Grant come the lane's documents, else none.

        The first time that a host has to wait behind a holder, the holder is told that its lane is wanted.
        """

    def renew(self, lane: str, host: str, epoch: int, ceiling: int, documents: Documents) -> Grant | Lost:
        """See ``core.lease.renew``; ``documents`` are those that changed, stored in the same step unless it is Lost."""

    def release(self, lane: str, host: str, epoch: int, last: int, documents: Documents) -> str | Lost:
        """See ``core.lease.release``; stores documents as ``renew`` does, and wakes the host that is next."""

    def withdraw(self, lane: str, host: str) -> None:
        """See ``core.lease.withdraw``; wakes the host that is next."""

    def await_turn(self, lane: str, host: str, limit_s: float) -> None:
        """Block until this host is woken for the lane, for ``limit_s`` at most."""

    def listen(self, host: str, wanted: Callable[[str], None]) -> Callable[[], None]:
        """Call ``wanted(lane)``, on a thread of the engine's, whenever a lane that the host holds is wanted by another.

        Returns what ends it.
        """

    def show(self, lane: str) -> Shown:
        """What the engine knows of a lane, whoever holds it, in one round trip: for people, and for copies."""

    def lanes(self) -> list[str]:
        """The names of all lanes that have a record, in order. For people: it may look at all that the engine keeps."""

    def now_ms(self) -> int:
        """The engine's clock."""

    # --- intents --------------------------------------------------------------------------------------------------

    def write_intent(self, intent_id: str, others: tuple[str, ...], text: str, *, settled: bool, sync: bool) -> None:
        """Keep a document, found by its id and by its ``others``; with ``sync`` as durably as the engine can."""

    def read_intent(self, intent_id: str) -> str | None:
        """The latest document of an id, or of the intent that lists it among its others."""

    def unsettled_intents(self) -> list[tuple[str, str]]:
        """Ids and documents that are not settled, oldest first."""

    def recent_intents(self, limit: int) -> list[tuple[str, str]]:
        """Ids and documents, newest first: by when an id was settled, or else first written."""

    # --- processes ------------------------------------------------------------------------------------------------

    def beat(self, owner: str, span_ms: int) -> None:
        """The process of this token lives, and is taken to do so for ``span_ms`` more."""

    def lives(self, owner: str) -> bool:
        """Whether the process of a token was heard of within its span."""

    # --- itself ---------------------------------------------------------------------------------------------------

    def weakness(self) -> str:
        """What of the engine's set-up may lose what it answered, in one sentence; "" where it tells of nothing."""

    def close(self) -> None:
        """Let go of connections; the next verb takes them up again."""

    def after_fork(self) -> None:
        """In a forked child: drop the parent's connections without a word on them."""
