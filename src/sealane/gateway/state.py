"""One moment of the service, from which the health document, the metrics and the page are all made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sealane.core.nonce import NS_PER_S
from sealane.gateway.health import Check, Verdict, age_s, is_usable, judged
from sealane.gateway.sightings import AccountSeen, KeySeen, LaneSeen, Member, Sighting
from sealane.gateway.tallies import CALLS, Tally
from sealane.runtime.clock import Clock

ACCEPTED = "accepted"


@dataclass(frozen=True)
class AccountState:
    """All that is known of one account; what was not seen yet is None."""

    member: Member
    check: Check
    key: KeySeen | None
    broker: AccountSeen | None

    @property
    def available(self) -> bool | None:
        """Whether calls with its key can be expected to succeed; None where that was not seen yet."""
        return None if self.broker is None else is_usable(self.key, self.broker)


@dataclass(frozen=True)
class State:
    """What was seen, what was counted, and the verdict; ``now_ns`` since boot, ``now_s`` Unix time."""

    seen: Sighting
    tally: Tally
    verdict: Verdict
    now_ns: int
    now_s: float

    @property
    def accounts(self) -> tuple[AccountState, ...]:
        """The accounts, in their order."""
        seen, checks = self.seen, self.verdict.accounts
        return tuple(
            AccountState(one, checks[one.account], seen.keys.get(one.account), seen.accounts.get(one.account))
            for one in seen.members
        )

    @property
    def uptime_s(self) -> float:
        """Since the service was made."""
        return age_s(self.seen.started_ns, self.now_ns)

    @property
    def last_nonce(self) -> int | None:
        """The highest of all lanes; None before the first look."""
        return max((lane.last_nonce for lane in self.seen.lanes), default=None)

    @property
    def issued(self) -> int:
        """Nonces by this process."""
        return sum(lane.issued for lane in self.seen.lanes)

    @property
    def serialized(self) -> bool:
        """Whether every lane has one call in flight at a time."""
        return all(lane.serialized for lane in self.seen.lanes)

    def ahead_s(self, lane: LaneSeen) -> float:
        """How far a lane's last nonce is ahead of the clock; behind it, negative."""
        return lane.last_nonce * lane.unit_ns / NS_PER_S - self.now_s

    def calls(self, account: str) -> tuple[int, int]:
        """An account's calls of this process: all, and those that were not accepted."""
        rows = self.tally.counts.get(CALLS, {})
        mine = {labels: count for labels, count in rows.items() if labels[0] == account}
        return int(sum(mine.values())), int(sum(count for labels, count in mine.items() if labels[2] != ACCEPTED))


def state_now(seen: Callable[[], Sighting], tally: Callable[[], Tally], clock: Clock) -> State:
    """The state at this moment; waits for nobody."""
    now_ns, now_s = clock.boot_ns(), clock.wall_ns() / NS_PER_S
    sighting = seen()
    return State(sighting, tally(), judged(sighting, now_ns, now_s), now_ns, now_s)
