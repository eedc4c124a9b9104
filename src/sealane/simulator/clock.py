"""The one place where the simulator reads the time.

A server owns one `Clock` and hands it down; nothing else in this package asks the system for the time. A later
version can put a clock in its place that is frozen or moved by hand.
"""

import time
from datetime import UTC, datetime

NS_PER_S = 1_000_000_000


class Clock:
    """Wall clock time in nanoseconds since 1970 (UTC)."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970, as an int of 19 digits."""
        return time.time_ns()


def seconds(ns: int) -> float:
    """The float of seconds that Kraken shows in `opentm` and `closetm`, to a tenth of a millisecond."""
    return round(ns / NS_PER_S, 4)


def iso(ns: int) -> str:
    """RFC 3339 in UTC with whole seconds, as in `SystemStatus`: `2026-11-21T09:33:00Z`."""
    return datetime.fromtimestamp(ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc1123(ns: int) -> str:
    """The date form of Kraken's `Time`: `Sat, 21 Nov 26 09:33:00 +0000`."""
    return datetime.fromtimestamp(ns // NS_PER_S, UTC).strftime("%a, %d %b %y %H:%M:%S +0000")
