"""The verdict on what was seen: pass, warn or fail, and why. Pure: it is given what was seen, and the time.

1. ``fail`` (503) means: nothing here can be relied on, or it cannot be told. ``warn`` (200) means: it works, and a
   person should look. A process that waits for its turn as the holder of a lane warns, and does not fail: otherwise a
   rollout would wait for it for ever. So does a standby, whose lane another host has.
2. One account's trouble is that account's: the whole fails for accounts only where none is usable.
3. What was not seen lately is not known, and what is not known is never ``pass``. Asking for this page refreshes
   nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sealane.broker.port import ErrorKind
from sealane.client.lease_words import told_lease
from sealane.core.nonce import NS_PER_S
from sealane.gateway.sightings import AccountSeen, KeySeen, LaneSeen, Member, RoundSeen, Sighting, StoreSeen
from sealane.gateway.watch_settings import (
    AWAITED_ROUND_S,
    AWAITED_S,
    DOUBT_GRACE_S,
    ENGINE_MISSES_MAX,
    HUNG_S,
    LANE_AWAITED,
    LATE_ROUNDS,
    LATE_SLACK_S,
)


class Status(enum.StrEnum):
    """In the words of the health-check format, from good to bad."""

    PASS = "pass"  # noqa: S105 - a verdict, no password
    WARN = "warn"
    FAIL = "fail"

    @property
    def rank(self) -> int:
        """0, 1 or 2."""
        return _RANKS[self]


REPLACED = (
    "the data folder is another than at the start: it was moved, removed or mounted over, so what it held of nonces, "
    "stopped keys and orders in doubt is not read. Put it back, or restart this process to go on with the new one"
)
_RANKS = {Status.PASS: 0, Status.WARN: 1, Status.FAIL: 2}


@dataclass(frozen=True)
class Finding:
    """One reason for a status; ``text`` says it to the person on call."""

    status: Status
    text: str


@dataclass(frozen=True)
class Check:
    """A part of the whole with what was found; nothing found is ``pass``."""

    name: str
    findings: tuple[Finding, ...] = ()

    @property
    def status(self) -> Status:
        """The worst of its findings."""
        return worst(finding.status for finding in self.findings)

    @property
    def output(self) -> str:
        """Its findings in one line, "" for none."""
        return "; ".join(finding.text for finding in self.findings)


@dataclass(frozen=True)
class Verdict:
    """The whole: ``checks`` decide it; ``accounts`` is each account's own, by name."""

    checks: tuple[Check, ...]
    accounts: dict[str, Check]

    @property
    def status(self) -> Status:
        """The worst of the checks."""
        return worst(check.status for check in self.checks)

    @property
    def reasons(self) -> list[str]:
        """Why it is not ``pass``, the worst first."""
        found = [finding for check in self.checks for finding in check.findings]
        return [finding.text for finding in sorted(found, key=lambda finding: -finding.status.rank)]


def worst(statuses: Iterable[Status]) -> Status:
    """The worst of them, ``pass`` for none."""
    return max(statuses, key=lambda status: status.rank, default=Status.PASS)


def judged(seen: Sighting, now_ns: int, now_s: float) -> Verdict:
    """The verdict by now; ``now_ns`` since boot, ``now_s`` Unix time."""
    accounts = {
        member.account: Check(member.account, tuple(_of_account(seen, member, now_ns, now_s)))
        for member in seen.members
    }
    checks = (
        *((Check("exchange", (Finding(Status.WARN, f"SIMULATOR: {seen.simulation}"),)),) if seen.simulated else ()),
        Check("watcher", tuple(_of_watcher(seen.rounds, now_ns))),
        Check("store", tuple(_of_store(seen, now_ns))),
        Check("lanes", tuple(_of_lanes(seen, now_ns))),
        Check("accounts", tuple(_of_accounts(accounts))),
        *((Check("gateway", (Finding(Status.WARN, f"gateway: {seen.gateway}"),)),) if seen.gateway else ()),
    )
    return Verdict(checks, accounts)


def judged_by_store(seen: Sighting, now_s: float) -> Verdict:
    """The verdict on lanes and keys alone, for whoever reads them without a watcher and asks no account."""
    accounts = {
        member.account: Check(member.account, tuple(_of_key(seen.keys[member.account], now_s)))
        for member in seen.members
    }
    lanes = Check("lanes", tuple(_of_lanes(seen, seen.started_ns)))
    return Verdict((lanes, Check("accounts", tuple(_of_accounts(accounts)))), accounts)


def late_after_s(every_s: float) -> float:
    """How old the result of something may be that is done so often."""
    return every_s * LATE_ROUNDS + LATE_SLACK_S


def age_s(then_ns: int, now_ns: int) -> float:
    """Seconds between two moments since boot."""
    return max(0, now_ns - then_ns) / NS_PER_S


# --- the watcher ------------------------------------------------------------------------------------------------------


def _of_watcher(rounds: tuple[RoundSeen, ...], now_ns: int) -> Iterator[Finding]:
    if not rounds:
        yield Finding(Status.FAIL, "nothing has been looked at yet")
    for found in rounds:
        if not found.alive:
            yield Finding(Status.FAIL, f"the watcher's thread '{found.name}' has ended: restart this process")
        elif found.ended_ns is None:
            yield Finding(Status.FAIL, f"the watcher's '{found.name}' has not come to its end yet")
        elif (late_s := age_s(found.ended_ns, now_ns)) > late_after_s(found.every_s):
            yield Finding(Status.FAIL, f"the watcher's '{found.name}' last ended {late_s:.0f} s ago: it hangs")


def is_stuck(rounds: tuple[RoundSeen, ...], now_ns: int) -> bool:
    """Whether a restart of this process would mend the watcher: a thread of it has ended, or hangs for good.

    ``look`` and ``store`` may wait for a disk, and so may the first of ``accounts``: no restart would mend that.
    """
    return any(not found.alive or (found.name == "accounts" and _hangs(found, now_ns)) for found in rounds)


def _hangs(found: RoundSeen, now_ns: int) -> bool:
    is_first = found.ended_ns is None
    return not is_first and found.began_ns is not None and age_s(found.began_ns, now_ns) > HUNG_S


# --- the store and the lanes ------------------------------------------------------------------------------------------


def _of_store(seen: Sighting, now_ns: int) -> Iterator[Finding]:
    store = seen.store
    if store is None:
        yield Finding(Status.FAIL, "the store has not been tried yet")
    else:
        yield from _of_trial(store)
    hung = next((found for found in seen.rounds if found.name == "store" and found.began_ns is not None), None)
    if hung is not None and hung.began_ns is not None and (for_s := age_s(hung.began_ns, now_ns)) > LATE_SLACK_S:
        yield Finding(Status.FAIL, f"a trial write into the store has been under way for {for_s:.0f} s")
    if any(_is_not_durable(account) for account in seen.accounts.values()):
        yield Finding(Status.FAIL, "nonces cannot be stored, so nothing is sent: see the accounts' errors")


def _of_trial(store: StoreSeen) -> Iterator[Finding]:
    if store.error:
        yield Finding(Status.FAIL, f"the store cannot be written: {store.error}")
    elif store.is_replaced:
        yield Finding(Status.FAIL, REPLACED)


def _is_not_durable(account: AccountSeen) -> bool:
    return account.error_count > 0 and account.error_kind is ErrorKind.NOT_DURABLE


def _of_lanes(seen: Sighting, now_ns: int) -> Iterator[Finding]:
    for lane in seen.lanes:
        if lane.error:
            yield Finding(Status.FAIL, f"lane {lane.name} cannot be read: {lane.error}")
        if lane.clock_doubted:
            yield Finding(Status.WARN, f"the clock leaped; lane {lane.name} counts on until Kraken's time agrees")
        if not lane.serialized:
            yield Finding(Status.WARN, f"API serialization is disabled on lane {lane.name}: for tests only")
        if lane.is_awaited and lane.held_ns is not None and (held_s := age_s(lane.held_ns, now_ns)) >= AWAITED_S:
            text = f"lane {lane.name} has been {_held(lane)} for {held_s:.0f} s, and calls of this process wait for it"
            yield Finding(Status.WARN, text)
        yield from _of_lease(lane)


def _of_lease(lane: LaneSeen) -> Iterator[Finding]:
    """Orders cannot be recorded without the engine, and calls go on for what is left of a lease at most."""
    lease = lane.lease
    if lease is None:
        return
    if lease.error:
        left = "calls go on to the end of this host's lease" if lease.is_ours else "no call can be made"
        status = Status.FAIL if lease.misses >= ENGINE_MISSES_MAX else Status.WARN
        yield Finding(status, f"lane {lane.name}: the engine cannot be asked, so {left}: {lease.error}")
    elif lease.is_standby:
        yield Finding(Status.WARN, f"standby: lane {lane.name} is {told_lease(lease)}")
    elif lease.quiet and not lease.is_ours:
        yield Finding(
            Status.WARN, f"lane {lane.name} is granted to nobody for the length of a lease: the engine is new"
        )


def _held(lane: LaneSeen) -> str:
    return f"held by process {lane.holder}" if lane.holder else "held by a process that cannot be seen from here"


# --- accounts ---------------------------------------------------------------------------------------------------------


def _of_accounts(accounts: dict[str, Check]) -> Iterator[Finding]:
    by_status = {status: [name for name, row in accounts.items() if row.status is status] for status in Status}
    failed = by_status[Status.FAIL]
    if failed and len(failed) == len(accounts):
        yield Finding(Status.FAIL, f"no account is usable: {_named(failed)}")
    elif failed:
        yield Finding(Status.WARN, f"not usable: {_named(failed)}")
    if by_status[Status.WARN]:
        yield Finding(Status.WARN, f"in need of a look: {_named(by_status[Status.WARN])}")


def _named(names: list[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _of_account(seen: Sighting, member: Member, now_ns: int, now_s: float) -> Iterator[Finding]:
    key, account = seen.keys.get(member.account), seen.accounts.get(member.account)
    if key is None or account is None:
        yield Finding(Status.FAIL, "not looked at yet")
        return
    yield from _of_key(key, now_s)
    if not key.diagnosis:  # its broker would say the same once more
        lane = next((lane for lane in seen.lanes if lane.name == member.lane), None)
        awaited = _awaits_turn(account, lane, now_ns)
        yield from _of_wait(account, lane) if awaited else _of_broker(account)
        yield from _of_asking(account, late_after_s(seen.watch_s) + (AWAITED_ROUND_S if awaited else 0), now_ns)


def is_usable(key: KeySeen | None, account: AccountSeen) -> bool:
    """Whether calls with an account's key can be expected to succeed."""
    is_stopped = key is not None and bool(key.diagnosis)
    return account.available and not is_stopped and account.error_kind is not ErrorKind.REFUSED_KEY


def _awaits_turn(account: AccountSeen, lane: LaneSeen | None, now_ns: int) -> bool:
    """Whether all that is wrong is that others have the lane; a short wait of one that fares well is no trouble."""
    lease = lane.lease if lane is not None else None
    if lease is not None and lease.misses < ENGINE_MISSES_MAX and not lease.is_ours:  # another's, or about to be let go
        return any(sign in account.error for sign in LANE_AWAITED) if account.error else account.as_of is None
    if account.error_count:
        return account.error_kind is ErrorKind.LANE_BUSY
    if lane is None or not lane.is_awaited or account.asking_ns is None:
        return False
    return account.as_of is None or age_s(account.asking_ns, now_ns) >= AWAITED_S


def _of_wait(account: AccountSeen, lane: LaneSeen | None) -> Iterator[Finding]:
    held = f", {_held(lane)}" if lane is not None and lane.is_awaited else ""
    error = f"; the last try: {account.error}" if account.error else ""
    yield Finding(Status.WARN, f"waits for its turn on lane {lane.name if lane else '?'}{held}{error}")


def _of_key(key: KeySeen, now_s: float) -> Iterator[Finding]:
    if key.error:
        yield Finding(Status.FAIL, f"the key's state cannot be read: {key.error}")
    if key.diagnosis:
        yield Finding(Status.FAIL, f"key quarantined: {key.diagnosis}")
    elif key.refused_in_a_row or key.jumps:
        text = (
            f"nonce refusals: {key.refused_in_a_row} in a row, {key.jumps} jumps lately; does another program use it?"
        )
        yield Finding(Status.WARN, text)
    if key.locked_s:
        yield Finding(Status.WARN, f"Kraken locked the key out; nothing is sent for another {key.locked_s:.0f} s")
    waited_s = now_s - key.oldest_doubt_s
    if key.doubts and waited_s >= DOUBT_GRACE_S:
        yield Finding(Status.WARN, f"orders in doubt: {key.doubts}, the oldest for {waited_s:.0f} s")
    blocked_s = max((counter.blocked_s for counter in key.counters), default=0.0)
    if blocked_s:
        yield Finding(Status.WARN, f"Kraken throttles the key for another {blocked_s:.0f} s")


def _of_broker(account: AccountSeen) -> Iterator[Finding]:
    if account.as_of is None and not account.error:
        yield Finding(Status.FAIL, "no answer from Kraken yet")
    elif account.error_count and account.error_kind is ErrorKind.REFUSED_KEY:
        yield Finding(Status.FAIL, f"Kraken refuses this key until a person acts: {account.error}{_next(account)}")
    elif not account.available:
        yield Finding(Status.FAIL, f"unavailable after {account.error_count} errors in a row: {account.error}")
    elif account.error_count and account.as_of is None:
        yield Finding(Status.FAIL, f"never answered so far: {account.error}")
    elif account.error_count:
        yield Finding(Status.WARN, f"errors in a row: {account.error_count}, the last: {account.error}")


def _next(account: AccountSeen) -> str:
    return "" if account.next_try_s is None else f"; it is asked again within {account.next_try_s:.0f} s"


def _of_asking(account: AccountSeen, late_s: float, now_ns: int) -> Iterator[Finding]:
    if account.asked_ns is not None:
        ago_s = age_s(account.asked_ns, now_ns)
        if ago_s > late_s:
            yield Finding(Status.FAIL, f"last asked {ago_s:.0f} s ago")
