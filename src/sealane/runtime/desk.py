"""The effects that both shells perform alike: everything but waiting and the wire."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from sealane.core import effects
from sealane.core.events import Event
from sealane.core.order import Intent, Placed, plain_id
from sealane.core.rates import Rates
from sealane.core.recovery import KeyState
from sealane.core.transaction import ALIAS, Note
from sealane.runtime.clock import Clock
from sealane.runtime.lanes import Lane
from sealane.store.port import IntentLog


@dataclass(frozen=True, slots=True)
class PublicDesk:
    """What a public call works with: a clock; it has no lane."""

    clock: Clock

    def depth(self) -> int:
        """A public call holds no turn."""
        return 0

    def leave_down_to(self, depth: int) -> None:
        """See ``depth``."""

    def check(self) -> None:
        """A public request needs no turn."""

    def perform(self, effect: effects.Effect) -> object:
        """Do one effect and return its answer."""
        if isinstance(effect, effects.Now):
            return self.clock.wall_ns()
        raise TypeError(f"{type(effect).__name__} is no effect of a public call")


@dataclass(frozen=True, slots=True)
class Desk:
    """What one private call works with: its lane, its owner, and who hears of its events."""

    lane: Lane
    owner: Hashable
    tell: Callable[[Event], None]
    intents: IntentLog

    def perform(self, effect: effects.Effect) -> object:
        """Do one effect and return its answer."""
        try:
            handler = _HANDLERS[type(effect)]
        except KeyError:
            raise TypeError(f"{type(effect).__name__} is an effect of the shell's own") from None
        return handler(self, effect)

    def depth(self) -> int:
        """How many levels of the turn the owner holds."""
        return self.lane.depth(self.owner)

    def leave_down_to(self, depth: int) -> None:
        """Leave what an interrupted call may still hold; nothing after one that came to its end."""
        while self.lane.depth(self.owner) > depth:
            self.lane.leave(self.owner)

    def check(self) -> None:
        """Before a request: raise Fenced where the turn was lost to another host."""
        if self.lane.serialized:
            self.lane.store.check()

    def entered(self) -> effects.Entered:
        """What a caller finds who was just given the turn; gives it back where that cannot be read."""
        try:
            record = self.lane.store.read_turn()
            return effects.Entered(_turn(record), last_ended_ns(record), self.lane.asks_clock())
        except BaseException:
            self.lane.leave(self.owner)
            raise

    def revise(self, effect: effects.Revise) -> object:
        """Change the account's counters."""

        def change(stored: Mapping[str, object]) -> tuple[Mapping[str, object], object]:
            after, answer = effect.change(Rates.loaded(stored), self.lane.clock.wall_ns())
            return after.stored(), answer

        return self.lane.store.revise_rates(effect.account, change)

    def recall(self, effect: effects.Recall) -> dict[str, Note]:
        """The notes of those orders that have one."""
        found = {}
        for name in effect.orders:
            kept = name
            text = self.lane.store.noted(effect.account, name) or ""
            if text.startswith(ALIAS):
                kept = text.removeprefix(ALIAS)
                text = self.lane.store.noted(effect.account, kept) or ""
            if (note := Note.read(kept, text)) is not None:
                found[name] = note
        return found

    def remember(self, effect: effects.Remember) -> None:
        """Keep notes of orders."""
        for name, note in effect.notes.items():
            self.lane.store.note(effect.account, name, note)

    def keep_intent(self, effect: effects.KeepIntent) -> None:
        """Store an intent, as this process's own while it has no end."""
        intent = effect.intent
        document = intent.stored()
        if not intent.settled:
            document["owner"] = self.intents.owner()
        self.intents.write(intent.id, document, sync=effect.sync)

    def read_intent(self, order_ids: tuple[str, ...]) -> Intent | None:
        """The intent that one of these orders belongs to: of several one of which something came, or may come."""
        found = [intent for name in order_ids if (intent := read_intent(self.intents, name)) is not None]
        return next((intent for intent in found if not intent.came_to_nothing), found[0] if found else None)

    def other_orders(self, intent_id: str, order_ids: tuple[str, ...]) -> frozenset[str]:
        """The txids of orders with one of these ids among the newest, but this intent's."""
        ids = set(map(plain_id, order_ids))
        others = [intent_in(document) for name, document in self.intents.recent(OTHERS_SEARCHED) if name != intent_id]
        ends = [item for intent in others if intent is not None for item in intent.ends.items()]
        return frozenset(end.txid for name, end in ends if isinstance(end, Placed) and plain_id(name) in ids)


OTHERS_SEARCHED = 1_000


def read_intent(log: IntentLog, order_id: str) -> Intent | None:
    """The intent of an order; None where there is none that can be read."""
    return intent_in(log.read(order_id))


def intent_in(stored: Mapping[str, object] | None) -> Intent | None:
    """The intent that a document holds."""
    try:
        return None if stored is None else Intent.loaded(stored)
    except ValueError:
        return None


_HANDLERS: dict[type[object], Callable[[Desk, Any], object]] = {
    effects.Now: lambda desk, _: desk.lane.clock.wall_ns(),
    effects.Leave: lambda desk, _: desk.lane.leave(desk.owner),
    effects.Draw: lambda desk, _: desk.lane.draw(),
    effects.LastNonce: lambda desk, _: desk.lane.store.last(),
    effects.RaiseFloor: lambda desk, effect: desk.lane.store.raise_floor(effect.floor),
    effects.LoadKey: lambda desk, effect: KeyState.loaded(desk.lane.store.read_key(effect.fingerprint)),
    effects.SaveKey: lambda desk, effect: desk.lane.store.write_key(effect.fingerprint, effect.state.stored()),
    effects.Record: lambda desk, effect: desk.lane.store.write_turn(_stored(effect.turn, effect.ended_ns)),
    effects.ConfirmClock: lambda desk, effect: desk.lane.confirm_clock(effect.server_ns),
    effects.Revise: lambda desk, effect: desk.revise(effect),
    effects.LoadRates: lambda desk, effect: Rates.loaded(desk.lane.store.rates(effect.account)),
    effects.Recall: lambda desk, effect: desk.recall(effect),
    effects.Remember: lambda desk, effect: desk.remember(effect),
    effects.KeepIntent: lambda desk, effect: desk.keep_intent(effect),
    effects.ReadIntent: lambda desk, effect: desk.read_intent(effect.order_ids),
    effects.OtherOrders: lambda desk, effect: desk.other_orders(effect.intent_id, effect.order_ids),
    effects.Tell: lambda desk, effect: desk.tell(effect.event),
}


def _stored(turn: effects.TurnRecord | None, ended_ns: int) -> dict[str, object]:
    if turn is None:
        return {"ended_ns": ended_ns}
    record: dict[str, object] = {"fingerprint": turn.fingerprint, "method": turn.method, "nonce": turn.nonce}
    return record | {"ended_ns": ended_ns} | ({"intent": turn.intent} if turn.intent else {})


def _turn(record: Mapping[str, object]) -> effects.TurnRecord | None:
    match record:
        case {"fingerprint": str(fingerprint), "method": str(method), "nonce": int(nonce)}:
            intent = record.get("intent")
            return effects.TurnRecord(fingerprint, method, nonce, intent if isinstance(intent, str) else "")
        case _:
            return None


def last_ended_ns(record: Mapping[str, object]) -> int:
    """When the lane's last call ended, by its turn record; 0 where that was not kept."""
    value = record.get("ended_ns")
    return value if isinstance(value, int) else 0
