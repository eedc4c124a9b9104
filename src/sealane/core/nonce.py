"""Nonce arithmetic, and whether the clock may be followed.

Rules, in the order in which they bind:

1. A nonce is greater than every nonce of its lane before it. Nothing else is needed by Kraken, so nothing
   below may ever break this.
2. ``next = max(last + 1, now)``: the clock is only a good place to start from, never a limit.
3. A nonce is at most ``MAX_NONCE``: Kraken's prose says unsigned 64-bit, its schema says int64.
4. A wall clock that leaped forward against the machine's own running time is not followed, because a nonce
   cannot be taken back; nonces then go on from ``last + 1``.
"""

from __future__ import annotations

from collections.abc import Iterable

from sealane.errors import NotDurable, SettingsError

MAX_NONCE = 2**63 - 1
NS_PER_S = 1_000_000_000
NONCE_BYTES = 64
"""More than any nonce needs, spaces included: what is longer is none."""
LEAP_NS = 3600 * NS_PER_S
"""A forward leap larger than this against boot time is not followed."""

NONCE_UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000}
"""Length of one nonce unit in nanoseconds, by its name in ``SEALANE_NONCE_UNIT``."""


def unit_ns(name: str) -> int:
    """Nanoseconds in one nonce unit; raises SettingsError for a name that is none."""
    try:
        return NONCE_UNITS_NS[name]
    except KeyError:
        raise SettingsError(f"SEALANE_NONCE_UNIT is {name!r}: choose one of {', '.join(NONCE_UNITS_NS)}") from None


def next_nonce(last: int, now: int) -> int:
    """The nonce after ``last`` at time ``now``, both in the lane's unit."""
    nonce = now if now > last else last + 1
    if nonce > MAX_NONCE:
        raise NotDurable(f"the lane's nonces are used up: {last} is the largest that Kraken takes; make a new API key")
    return nonce


def parse_nonce(content: bytes) -> int:
    """The nonce that a file or variable holds; raises ValueError where it is not one plain decimal integer."""
    text = content.strip()
    if len(content) > NONCE_BYTES or not text.isdigit():
        raise ValueError("not one plain decimal integer")
    nonce = int(text)
    if not 0 < nonce <= MAX_NONCE:
        raise ValueError(f"outside 1 … {MAX_NONCE}")
    return nonce


class ClockGuard:
    """Tells whether the wall clock may be followed, by comparing it with the time since boot.

    ``offset_ns`` is the largest trusted wall time minus boot time. A step back needs no guard (rule 1 covers it)
    and leaves the reference where it was, so that the way forward again is no leap.
    """

    def __init__(self, offsets_ns: Iterable[int] = ()) -> None:
        self.offset_ns: int | None = max(offsets_ns, default=None)

    def follows(self, wall_ns: int, boot_ns: int) -> bool:
        """Whether this reading is trusted; a trusted one becomes part of the reference."""
        offset = wall_ns - boot_ns
        known = self.offset_ns
        if known is None or known < offset <= known + LEAP_NS:
            self.offset_ns = offset
            return True
        return offset <= known

    def confirm(self, server_ns: int, wall_ns: int, boot_ns: int) -> bool:
        """Take Kraken's own time as a witness; returns whether it agrees with the wall clock."""
        if abs(server_ns - wall_ns) > LEAP_NS:
            return False
        self.offset_ns = wall_ns - boot_ns
        return True
