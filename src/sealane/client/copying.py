"""Copy what one store keeps into another: floors, keys' states, counters and the records of orders.

1. A floor is only ever raised, and what the target knows already is never taken back: a copy may be made again, and
   while programs use either store.
2. The source is only read. The target is written in turns of its own, as by any program.
3. Every key that comes with a state is fenced at the target before its first write there, and so is the key of a write
   that is under way at the source. A key that the target knows keeps its state there.
4. An order that a living program of the source works on stays with that program; the next copy brings its end.

Not copied: notes of when single orders were placed (without one, an order counts as new), the claims of calls that are
running, and Kraken's own memory of a nonce, which the floors cover.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sealane.core.rates import Rates
from sealane.core.recovery import KeyState
from sealane.core.travel import taken_over, travelling
from sealane.errors import SettingsError
from sealane.runtime import threads
from sealane.runtime.lanes import TURN_WAIT_S, Lane, close_lane, current_owner, open_lane
from sealane.store.floors import GLOBAL_LANE
from sealane.store.intents import SETTLED_KEPT
from sealane.store.port import IntentLog, LaneContents, Store

KEY_LANE = "kraken_key_"
Document = Mapping[str, object]


@dataclass(frozen=True)
class LaneCopied:
    """What became of one lane.

    Attributes:
        lane: its name.
        floor: the source's; stands: the target's now, which is not below.
        raised: it was below.
        keys: keys whose states were written; kept: keys that the target knew, and kept.
        stopped: of these, those that are quarantined at the source and not at the target.
        accounts: accounts whose counters were taken over.
    """

    lane: str
    floor: int
    stands: int
    raised: bool
    keys: tuple[str, ...]
    kept: tuple[str, ...]
    stopped: tuple[str, ...]
    accounts: tuple[str, ...]


@dataclass(frozen=True)
class OrdersCopied:
    """How many records of orders were written, were known already, and stay with living programs of the source."""

    written: int
    known: int
    under_way: int


@dataclass(frozen=True)
class Copied:
    """What a copy did."""

    lanes: tuple[LaneCopied, ...]
    orders: OrdersCopied


def copy_store(source: Store, target: Store, key_unit_ns: int = 1) -> Copied:
    """Copy; ``key_unit_ns`` is the unit of keys' own lanes, as in SEALANE_NONCE_UNIT.

    Waits for the turn of each lane of the target, a minute at most. Raises SettingsError where the source holds no
    lane or the two are one place, Unavailable or NotDurable where either cannot be had: what was copied until then
    stays, and it may be done again.
    """
    if _place(source) == _place(target):
        raise SettingsError("both are the same store: there is nothing to copy")
    names = source.lanes()
    if not names:
        raise SettingsError(f"{_place(source)} holds no lane: is it the store that was meant?")
    lanes = [_copy_lane(name, source, target, 1 if name == GLOBAL_LANE else key_unit_ns) for name in names]
    return Copied(tuple(lanes), _copy_orders(source.intents(), target.intents()))


def _place(store: Store) -> str:
    return store.identity.partition(" on ")[0]  # of an engine the address, whoever's host this is


# --- lanes ------------------------------------------------------------------------------------------------------------


def _copy_lane(name: str, source: Store, target: Store, unit_ns: int) -> LaneCopied:
    lane = open_lane(target, name, unit_ns)
    owner = current_owner()
    try:
        threads.enter(lane, owner, TURN_WAIT_S)
        try:
            return _copy_within_turn(lane, source.contents(name))
        finally:
            lane.leave(owner)
    finally:
        close_lane(target, lane)


def _copy_within_turn(lane: Lane, found: LaneContents) -> LaneCopied:
    """The turn of the target's lane is held. The floor goes first: the rest matters to who calls, and calls need it."""
    before = lane.store.last()
    stands = lane.store.raise_floor(found.floor)
    written: list[str] = []
    kept: list[str] = []
    stopped: list[str] = []
    for fingerprint in _keys(lane.name, found):
        theirs, ours = found.keys.get(fingerprint, {}), lane.store.read_key(fingerprint)
        fence = bool(ours) and found.turn.get("fingerprint") == fingerprint
        state = carried(theirs, ours, fence=fence)
        if state is None:
            kept.append(fingerprint)
        else:
            lane.store.write_key(fingerprint, state)
            (kept if ours else written).append(fingerprint)
        if ours and KeyState.loaded(theirs).quarantined_ns and not KeyState.loaded(ours).quarantined_ns:
            stopped.append(fingerprint)
    accounts = _copy_rates(lane, found)
    return LaneCopied(
        lane.name, found.floor, stands, stands > before, tuple(written), tuple(kept), tuple(stopped), accounts
    )


def _keys(lane: str, found: LaneContents) -> list[str]:
    """The keys that call on a lane, as far as the source knows: a folder keeps those of all its lanes together."""
    left = found.turn.get("fingerprint")
    known = {*found.keys, *([left] if isinstance(left, str) else [])}
    return sorted(key for key in known if lane in (GLOBAL_LANE, KEY_LANE + key))


def carried(theirs: Document, ours: Document, *, fence: bool) -> dict[str, object] | None:
    """The state that a key has at the target afterwards, None where it stays as it is.

    ``theirs`` is the source's and ``ours`` the target's, {} where it knows none; ``fence`` where a write is under way.
    """
    there = KeyState.loaded(theirs)
    if not ours:
        return replace(there, fence_due=True).stored()
    here = KeyState.loaded(ours)
    after = replace(
        here,
        fence_due=here.fence_due or there.fence_due or fence,
        locked_until_ns=max(here.locked_until_ns, there.locked_until_ns),
    )
    return None if after == here else after.stored()


def _copy_rates(lane: Lane, found: LaneContents) -> tuple[str, ...]:
    """Counters of the lane's accounts; of a key's own lane those of the accounts that name the key."""
    copied = []
    for account, stored in found.rates.items():
        rates = Rates.loaded(stored)
        concerned = {name.removeprefix("key ") for name in rates.counters} | {*rates.blocked_ns}
        if rates == Rates() or (lane.name != GLOBAL_LANE and lane.name.removeprefix(KEY_LANE) not in concerned):
            continue
        _take_over(lane, account, travelling(stored))
        copied.append(account)
    return tuple(copied)


def _take_over(lane: Lane, account: str, theirs: Document) -> None:
    lane.store.revise_rates(account, lambda ours: (taken_over(theirs, ours), None))


# --- orders -----------------------------------------------------------------------------------------------------------


def _copy_orders(source: IntentLog, target: IntentLog) -> OrdersCopied:
    """Oldest first, so that the target forgets the oldest first."""
    written = known = under_way = 0
    for intent_id, document in _all(source):
        settled = document.get("settled") is True
        mine = target.read(intent_id)
        if not settled and source.is_alive(str(document.get("owner", ""))):
            under_way += 1
        elif mine is None or (settled and mine.get("settled") is not True):
            target.write(intent_id, document, sync=not settled)
            written += 1
        else:
            known += 1
    return OrdersCopied(written, known, under_way)


def _all(log: IntentLog) -> Iterable[tuple[str, Document]]:
    latest = dict(log.unsettled()) | dict(reversed(log.recent(SETTLED_KEPT)))
    return latest.items()
