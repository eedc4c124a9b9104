"""The engine that leases lanes to hosts: whether it answers, how long its leases last, whether it keeps what it says.

It alone keeps the nonces then: the data folder need not last, and findings that say it must are taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sealane.client.settings import Settings
from sealane.core.nonce import NS_PER_S
from sealane.doctor.finding import Finding, Level, fault, ok, skipped, warning
from sealane.doctor.folder import FolderFacts
from sealane.errors import SealaneError
from sealane.runtime.clock import Clock
from sealane.store.hosted_store import HostedStore

LEASE_MS_LOW, LEASE_MS_HIGH = 1_000, 15_000
FAR_MS = 50.0
NEED_NOT_LAST = "the engine keeps the nonces, so this folder need not last"
_LASTING = ("platform-volume", "folder-disk", "folder-there")


@dataclass(frozen=True)
class EngineFacts:
    """What the engine answered; ``address`` is without a password.

    Attributes:
        error: why it could not be asked, "" where it could; then nothing else is known.
        lease_ms: how long its leases last. answer_ms: how long one answer took.
        weakness: how it may forget, "" for nothing known.
    """

    address: str
    error: str = ""
    lease_ms: int = 0
    answer_ms: float = 0.0
    weakness: str = ""


def ask_engine(settings: Settings, clock: Clock) -> EngineFacts | None:
    """Ask the store's engine, None where the store has none. Takes nobody's lane."""
    store = settings.open()
    if not isinstance(store, HostedStore):
        return None
    engine = store.engine
    try:
        weakness = engine.weakness()
        asked_ns = clock.boot_ns()  # the connection is made by now
        engine.now_ms()
        answer_ms = (clock.boot_ns() - asked_ns) * 1_000 / NS_PER_S
    except SealaneError as error:
        return EngineFacts(engine.identity, str(error))
    return EngineFacts(engine.identity, "", engine.lease_ms, answer_ms, weakness)


def judge_engine(facts: EngineFacts) -> Iterator[Finding]:
    """What it means."""
    if facts.error:
        yield fault(
            "engine",
            facts.address,
            f"it cannot be used, so no call can be made: {facts.error}",
            "mend SEALANE_STORE, or start the engine and open the way to it",
        )
        return
    told = f"answers in {facts.answer_ms:.1f} ms"
    if facts.answer_ms > FAR_MS:
        yield warning(
            "engine",
            facts.address,
            f"it {told}: each hand-over between hosts takes several such answers",
            "use an engine in the same region as the programs",
        )
    else:
        yield ok("engine", facts.address, f"it {told}")
    yield _lease(facts)
    yield _keeps(facts)


def _lease(facts: EngineFacts) -> Finding:
    told = f"a lease lasts {facts.lease_ms:,} ms"
    if facts.lease_ms < LEASE_MS_LOW:
        message = f"{told}: a host that pauses for so long, or is cut off from the engine, loses its lanes"
        return warning("engine-lease", "lease_ms", message, "take lease_ms out of SEALANE_STORE for 3,000")
    if facts.lease_ms > LEASE_MS_HIGH:
        message = f"{told}: so long a dead host's lane is nobody's, and so long a restarted engine grants nothing"
        return warning("engine-lease", "lease_ms", message, "take lease_ms out of SEALANE_STORE for 3,000")
    return ok("engine-lease", "lease_ms", told)


def _keeps(facts: EngineFacts) -> Finding:
    if not facts.weakness:
        return ok("engine-keeps", facts.address, "it keeps what it answers on its disk")
    return warning(
        "engine-keeps",
        facts.address,
        f"{facts.weakness}. Nonces then start from the clock, and orders in doubt are not looked for",
        "have it keep what it answers: appendonly yes at Redis or Valkey, fsync on at PostgreSQL",
    )


def without_lasting(findings: Iterable[Finding], folder: FolderFacts) -> Iterator[Finding]:
    """Findings about the data folder, without those that want it to last; locks and room are wanted still."""
    network = folder.mount is not None and folder.mount.is_network
    for found in findings:
        if (
            found.level in (Level.OK, Level.SKIPPED)
            or found.check not in _LASTING
            or network
            or (found.check == "folder-there" and found.level is Level.FAULT)
        ):
            yield found
        else:
            yield _taken_back(found)


def _taken_back(found: Finding) -> Finding:
    if found.check == "platform-volume":
        return skipped("platform-volume", found.subject, NEED_NOT_LAST)
    if found.check == "folder-disk":
        return skipped("folder-disk", found.subject, NEED_NOT_LAST)
    return skipped("folder-there", found.subject, f"it is made with the first nonce; {NEED_NOT_LAST}")
