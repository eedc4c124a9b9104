"""A host's side of a lease: until when it may use a lane, up to which nonce, and what it must fence first.

The invariant: a host sends nothing after ``ends_boot_ns``, which is earlier than the engine's expiry by all that the
two clocks may differ, because it counts from before it asked, and stops a tenth of the lease earlier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from sealane.core.lease import NS_PER_MS, Grant

MARGIN_PART = 10
"""The tenth part of a lease is left unused: clocks that run apart, and a request that is slow to leave."""

ROOM_PART, ROOM_MIN = 1_000, 1_000
"""How many nonces above the last one a lease has room for, as a part of its length, and at least."""

SEVERAL = "several"


@dataclass(frozen=True, slots=True)
class Hold:
    """What a host keeps of its lease, shared by its processes.

    Attributes:
        epoch: of the grant, 0 for none.
        host: whose lease it is; a record of another host, or of an earlier boot, is nobody's.
        since_ns: Unix time of the grant.
        ends_boot_ns: nothing is sent at or after this, by the time since boot.
        ceiling: no nonce goes above it before it is raised at the engine.
        fence_epoch: keys that were not fenced in or after this epoch are fenced before their next write.
        user: the process that used the lane last; it renews, and lets go.
        untold: which process alone wrote keys' states that the engine may not have heard; SEVERAL, or "" for none.
        let_go: the last epoch that the engine was asked to take back; as it may hear late, it is not used again.
    """

    epoch: int = 0
    host: str = ""
    since_ns: int = 0
    ends_boot_ns: int = 0
    ceiling: int = 0
    fence_epoch: int = 0
    user: str = ""
    let_go: int = 0
    untold: str = ""

    @classmethod
    def loaded(cls, stored: Mapping[str, object]) -> Hold:
        """The record that a host kept; none where it cannot be read."""
        try:
            return cls(**stored)  # type: ignore[arg-type]
        except TypeError:
            return cls()

    def stored(self) -> dict[str, object]:
        """The record as plain JSON values."""
        return asdict(self)

    def is_of(self, host: str, boot_ns: int) -> bool:
        """Whether the host may send now."""
        return bool(self.epoch) and self.host == host and boot_ns < self.ends_boot_ns

    def untold_by(self, process: str) -> Hold:
        """A process is about to write a key's state: the engine has not heard of it."""
        return replace(self, untold=process if self.untold in ("", process) else SEVERAL)

    def ended(self) -> Hold:
        """Let go, or lost; what has to be fenced stays known."""
        return replace(self, epoch=0, ends_boot_ns=0)


def held(before: Hold, grant: Grant, host: str, *, asked_boot_ns: int, wall_ns: int, lease_ms: int) -> Hold:
    """The record after a grant or a renewal that was asked for at ``asked_boot_ns``."""
    span_ns = lease_ms * NS_PER_MS
    same = before.epoch == grant.epoch and before.host == host
    return replace(
        before,
        epoch=grant.epoch,
        host=host,
        since_ns=before.since_ns if same else wall_ns,
        ends_boot_ns=asked_boot_ns + span_ns - span_ns // MARGIN_PART,
        ceiling=grant.ceiling,
        fence_epoch=before.fence_epoch if same or grant.clean else grant.epoch,
    )


def ceiling(last: int, wall_ns: int, lease_ms: int, unit_ns: int) -> int:
    """What this host's nonces will not exceed within a lease asked for now: twice its length ahead of the clock.

    Nonces that stand ahead of the clock go up one by one, so they need little room: else each host that dies would put
    them further ahead.
    """
    span = 2 * lease_ms * NS_PER_MS // unit_ns
    return max(wall_ns // unit_ns + span, last + max(ROOM_MIN, span // ROOM_PART)) + 1
