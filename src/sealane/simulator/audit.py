"""The simulator judged by itself: a second opinion on its own counters, nonces, holds and figures.

What is worked out here is worked out another way than where it is decided: counters in whole numbers from the notes,
holds from the open orders, nonces from the order of acceptance. A finding is a sentence; none is good.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from sealane.simulator.facts import AGE_PENALTIES, FREE_CALLS, HISTORY_CALLS, OTHER_TRADING_CALLS, Switches
from sealane.simulator.limits import REST, TIERS, Limits, Note
from sealane.simulator.touches import Touch

if TYPE_CHECKING:
    from sealane.simulator.accounts import Account
    from sealane.simulator.exchange import Exchange

UNITS = 10**11  # a point in units: drains have two decimals, a second has 10**9 ns


class AuditFailed(AssertionError):
    """The simulator did something wrong by its own rules; the text lists the findings."""


@dataclass
class Replay:
    """The counters, followed from the notes alone. Levels are whole units; `wrong` is what could not be right."""

    tiers: dict[str, str] = field(default_factory=dict)
    levels: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def take(self, notes: Iterable[Note], switches: Switches) -> None:
        """Follow these notes, in the order in which they were written."""
        for note in notes:
            if note.tier is not None:
                self._change_tier(note, note.tier)
            else:
                self._follow(note, switches)

    def level(self, account: str, pair: str, now_ns: int) -> int:
        """A counter's level at that time, in units."""
        level, at_ns = self.levels.get((account, pair), (0, now_ns))
        passed_ns = now_ns - at_ns if now_ns > at_ns else 0
        left = level - passed_ns * self._bound(account, pair, "drain_per_s") // 10**9
        return max(0, left)

    def _bound(self, account: str, pair: str, which: str) -> int:
        tier = TIERS[self.tiers.get(account, "off")]
        name = f"rest_{which}" if pair == REST else f"trading_{which}"
        return 0 if tier is None else int(getattr(tier, name) * UNITS)

    def _change_tier(self, note: Note, tier: str) -> None:
        for account, pair in list(self.levels):
            if account == note.account:
                self.levels[account, pair] = (self.level(account, pair, note.at_ns), note.at_ns)
                if tier == "off":
                    del self.levels[account, pair]
        self.tiers[note.account] = tier

    def _follow(self, note: Note, switches: Switches) -> None:
        cost = _call_units(note.method, switches) if note.pair == REST else _touch_units(note.touches, switches)
        level = self.level(note.account, note.pair, note.at_ns)
        fits = level + cost <= self._bound(note.account, note.pair, "maximum")
        if fits != note.allowed and not (note.allowed and _let_through(note, switches)):
            verb = "let through" if note.allowed else "refused"
            self.wrong.append(f"{note.account}: {note.method or note.pair} was {verb} at level {level / UNITS}")
        charged = note.allowed or switches.refused_calls_count
        self.levels[note.account, note.pair] = (level + cost * charged, note.at_ns)


def _let_through(note: Note, switches: Switches) -> bool:
    adds = [touch for touch in note.touches if touch.what not in ("cancel", "batch_cancel", "cancel_all")]
    return note.pair != REST and not adds and not switches.cancel_refused_over_limit


def _call_units(method: str, switches: Switches) -> int:
    costs = dict.fromkeys(OTHER_TRADING_CALLS, switches.other_trading_call_cost)
    costs |= dict.fromkeys(HISTORY_CALLS, switches.history_cost) | dict.fromkeys(FREE_CALLS, 0)
    return costs.get(method, 1) * UNITS


def _touch_units(touches: Iterable[Touch], switches: Switches) -> int:
    units = 0
    for touch in touches:
        halves = {"add": 2, "amend": 2, "edit": 2, "batch_add": 1, "cancel_all": 2 * switches.cancel_all_cost}
        older = [points for age_s, points in AGE_PENALTIES.get(touch.what, []) if age_s > touch.age_s]
        units += touch.count * (halves.get(touch.what, 0) * UNITS // 2 + max(older, default=0) * UNITS)
    return units


def wrong_counters(limits: Limits, replay: Replay, now_ns: int) -> list[str]:
    """Where the live counters are not what the notes say; the notes are used up."""
    replay.take(limits.notes, limits.switches)
    limits.notes.clear()
    found = list(replay.wrong)
    for account, standing in limits.standings.items():
        tier = TIERS[standing.tier]
        if tier is None:
            continue
        for pair, counter in standing.counters.items():
            drain_per_s = tier.rest_drain_per_s if pair == REST else tier.trading_drain_per_s
            live, replayed = counter.at(now_ns, drain_per_s) * UNITS, replay.level(account, pair, now_ns)
            if live != replayed:
                found.append(f"{account}: counter {pair or 'REST'} is {live / UNITS}, the notes say {replayed / UNITS}")
    return found


def wrong_holds(account: "Account") -> list[str]:
    """Where what is held, or the index of client ids, is not what the open orders say."""
    held: dict[str, Decimal] = {}
    for order in account.open.values():
        held[order.hold_asset] = held.get(order.hold_asset, Decimal(0)) + order.hold
    assets = {asset for asset in held.keys() | account.held.keys() if held.get(asset, 0) != account.held.get(asset, 0)}
    found = [f"{account.name}: held {asset} is not what its open orders hold" for asset in sorted(assets)]
    ids = {order.cl_ord_id: order.txid for order in account.open.values() if order.cl_ord_id is not None}
    if ids != account.open_client_ids:
        found.append(f"{account.name}: the index of client ids is not what its open orders say")
    both = account.open.keys() & account.closed.keys()
    return found + [f"{account.name}: order {txid} is both open and closed" for txid in sorted(both)]


def findings(exchange: "Exchange") -> list[str]:
    """Everything that is wrong, as sentences. Call it with the exchange's lock held."""
    found = wrong_counters(exchange.limits, exchange.replay, exchange.clock.now_ns())
    for account in exchange.accounts.values():
        found += wrong_holds(account)
    for name, tally in exchange.journal.tallies.items():
        excused = tally.nonces_excused or (name in exchange.accounts and exchange.accounts[name].nonce_window > 0)
        if not tally.nonces_rose and not excused:
            found.append(f"{name}: a nonce was accepted that was not above the one accepted before it")
        if tally.accepted + tally.refused_nonce + tally.refused_other + tally.refused_unseen > tally.requests:
            found.append(f"{name}: more calls ended than came in")
    under_way = sum(exchange.journal.in_flight.values())
    if under_way != exchange.journal.in_flight_all or min(exchange.journal.in_flight.values(), default=0) < 0:
        found.append(f"the journal counts {exchange.journal.in_flight_all} calls in flight, by key {under_way}")
    return found
