"""Who among many hosts may drive a lane: the decisions of an engine that leases lanes, as steps of one record.

An engine (Redis, PostgreSQL) keeps one record a lane and makes each step below while nobody else can; it does so in
its own language, and is held to this page by the same tests.

1. A lease belongs to a *host*, not to a process, and has an *epoch*. Epochs only grow: each is greater than the last
   and not below the engine's clock in microseconds, so that they grow over the loss of all that the engine knew.
2. A lease ends at its expiry by the engine's clock, unless it is renewed before. Its holder counts the same span from
   before it asked, and stops a margin earlier, so it has stopped when the engine grants the lane to another.
3. Let go cleanly, a lane carries the last nonce used, and the next holder goes on above that. A lease that ran out is
   unclean: the next holder goes on above the *ceiling*, below which its predecessor was bound to stay.
4. An engine that was restarted, replaced by its replica or emptied may have forgotten a grant. It shows a new
   *incarnation* then, or no record: it grants nothing for the length of one lease, by which time every grant that it
   may have forgotten is over. Who held the lane before goes on, but lets go uncleanly: what it stored may be lost.
5. An engine whose clock steps forward lets a lease run out early. Two hosts may overlap then, and the second starts
   above the ceiling of the first: no nonce is issued twice, and the exchange refuses what comes late. One whose clock
   steps back keeps nobody for longer: no time that it kept counts for more than it could from now on.
6. Hosts wait in the order in which they asked, and are passed over once they have not asked again for ``PATIENCE_MS``.
   A lane that was let go is kept for the first of them for ``CLAIM_MS``; it is its own once it has asked for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

PATIENCE_MS = 2_000
"""How long a host that waits is waited for after it last asked."""
CLAIM_MS = 1_000
"""How long a lane is kept for the host whose turn it is."""
NS_PER_MS = 1_000_000
US_PER_MS = 1_000


@dataclass(frozen=True, slots=True)
class Waiter:
    """A host that waits; it is passed over after ``until_ms``."""

    host: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class Record:
    """What an engine knows of a lane; times are the engine's own, in milliseconds.

    Attributes:
        incarnation: of the engine that wrote this.
        quiet_until_ms: nothing is granted before.
        epoch: of the last grant.
        host: who holds the lane, or for whom it is kept; "" for nobody.
        claimed: the holder has asked for it, and may have used it.
        since_ms, expires_ms: of the grant.
        floor: what the holder's nonces are above. ceiling: what they do not exceed.
        clean: the floor is the last nonce used; otherwise a predecessor's lease ran out.
        waiters: in the order of asking.
    """

    incarnation: str
    quiet_until_ms: int
    epoch: int = 0
    host: str = ""
    claimed: bool = False
    since_ms: int = 0
    expires_ms: int = 0
    floor: int = 0
    ceiling: int = 0
    clean: bool = False
    waiters: tuple[Waiter, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """The lane is the asker's until ``lease_ms`` after it asked; ``wanted`` when others wait for it."""

    epoch: int
    floor: int
    ceiling: int
    clean: bool
    wanted: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """The lane is not to be had now: ask again when woken, and after ``again_ms`` at the latest."""

    holder: str
    epoch: int
    ahead: int
    again_ms: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The lease is another's by now, or ran out and nobody's."""

    holder: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine at one moment: its incarnation, its clock, and how long its leases last."""

    incarnation: str
    now_ms: int
    lease_ms: int


def acquire(record: Record | None, engine: Engine, host: str, ceiling: int) -> tuple[Record, Grant | Wait]:
    """Ask for the lane; ``ceiling`` is what the asker's nonces will not exceed within the lease.

    The holder's lease is made to last from now on; but not while the engine is quiet: it may have forgotten that this
    host let go. One that knows its epoch renews.
    """
    known = _settled(record, engine)
    quiet = engine.now_ms < known.quiet_until_ms
    if known.host == host and not quiet:
        return _held(known, engine, ceiling)
    if known.host or quiet or _first(known) not in ("", host):
        return _queued(known, engine, host)
    return _held(_granted(known, engine, host, engine.lease_ms), engine, ceiling)


def renew(record: Record | None, engine: Engine, host: str, epoch: int, ceiling: int) -> tuple[Record, Grant | Lost]:
    """Make the lease last from now on, and let its nonces go up to ``ceiling``."""
    known = _settled(record, engine)
    if known.host != host or known.epoch != epoch:
        return known, Lost(known.host, known.epoch)
    return _held(known, engine, ceiling)


def release(record: Record | None, engine: Engine, host: str, epoch: int, last: int) -> tuple[Record, str | Lost]:
    """Let go cleanly after the nonce ``last``; gives the host for whom the lane is kept now, "" for none."""
    known = _settled(record, engine)
    if known.host != host or known.epoch != epoch:
        return known, Lost(known.host, known.epoch)
    clean = known.since_ms >= known.quiet_until_ms
    free = replace(known, host="", claimed=False, floor=max(known.floor, last), clean=clean)
    kept = _kept_for_next(free, engine)
    return kept, kept.host


def withdraw(record: Record | None, engine: Engine, host: str) -> tuple[Record, str]:
    """Wait no longer. What was kept for the host is kept for the next, who is returned; a lease that is used stays."""
    known = _settled(record, engine)
    left = replace(known, waiters=tuple(waiter for waiter in known.waiters if waiter.host != host))
    if known.host != host or known.claimed:
        return left, ""
    kept = _kept_for_next(replace(left, host=""), engine)
    return kept, kept.host


def _settled(record: Record | None, engine: Engine) -> Record:
    """The record as of now: of this incarnation, without who is gone, and with no time further ahead than it can be."""
    lease_from_now_ms = engine.now_ms + engine.lease_ms
    if record is None:
        return Record(engine.incarnation, lease_from_now_ms)
    if record.incarnation != engine.incarnation:
        record = replace(record, incarnation=engine.incarnation, quiet_until_ms=lease_from_now_ms, clean=False)
    record = replace(
        record,
        quiet_until_ms=min(record.quiet_until_ms, lease_from_now_ms),
        since_ms=min(record.since_ms, engine.now_ms),
        expires_ms=min(record.expires_ms, lease_from_now_ms),
    )
    if record.host and engine.now_ms >= record.expires_ms:
        record = replace(record, host="", claimed=False, clean=record.clean and not record.claimed)
    patient_until_ms = engine.now_ms + PATIENCE_MS
    waiters = tuple(
        Waiter(waiter.host, min(waiter.until_ms, patient_until_ms))
        for waiter in record.waiters
        if waiter.until_ms > engine.now_ms
    )
    return replace(record, waiters=waiters)


def _first(record: Record) -> str:
    return record.waiters[0].host if record.waiters else ""


def _queued(record: Record, engine: Engine, host: str) -> tuple[Record, Wait]:
    place = next((at for at, waiter in enumerate(record.waiters) if waiter.host == host), len(record.waiters))
    mine = Waiter(host, engine.now_ms + PATIENCE_MS)
    waiters = (*record.waiters[:place], mine, *record.waiters[place + 1 :])
    due_ms = max(record.expires_ms if record.host else 0, record.quiet_until_ms)
    again_ms = min(max(1, due_ms - engine.now_ms), PATIENCE_MS // 2)
    return replace(record, waiters=waiters), Wait(record.host, record.epoch, place, again_ms)


def _granted(record: Record, engine: Engine, host: str, span_ms: int) -> Record:
    return replace(
        record,
        epoch=max(record.epoch + 1, engine.now_ms * US_PER_MS),
        host=host,
        claimed=False,
        since_ms=engine.now_ms,
        expires_ms=engine.now_ms + span_ms,
        floor=record.floor if record.clean else max(record.floor, record.ceiling),
        ceiling=0,
        waiters=tuple(waiter for waiter in record.waiters if waiter.host != host),
    )


def _kept_for_next(record: Record, engine: Engine) -> Record:
    """Kept for the first who waits, unless nothing is granted now."""
    first = _first(record)
    if not first or engine.now_ms < record.quiet_until_ms:
        return record
    return _granted(record, engine, first, CLAIM_MS)


def _held(record: Record, engine: Engine, ceiling: int) -> tuple[Record, Grant]:
    held = replace(
        record,
        claimed=True,
        expires_ms=engine.now_ms + engine.lease_ms,
        ceiling=max(record.ceiling, record.floor, ceiling),
    )
    return held, Grant(held.epoch, held.floor, held.ceiling, held.clean, bool(held.waiters))
