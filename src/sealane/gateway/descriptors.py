"""How many connections and calls there may be at once: what is promised must be there to be had.

1. Connections stay below the descriptors that this process may have; what is left is for files, and for Kraken.
2. Calls under way stay below the connections: so a call beyond its limit is answered, a probe has a connection of its
   own, and who waits for an answer is never put out for another.
"""

from __future__ import annotations

import resource

CONNECTIONS_MAX, CONNECTIONS_MIN = 576, 16
"""Connections at once; 576 take the usual limit of 1,024 descriptors."""
CALLS_MAX = 512


def connections_max() -> int:
    """How many connections there may be at once: nine of sixteen descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    share = soft * 9 // 16 if soft > 0 else CONNECTIONS_MAX
    return max(CONNECTIONS_MIN, min(CONNECTIONS_MAX, share))


def calls_max() -> int:
    """How many calls there may be under way: eight of nine connections."""
    return min(CALLS_MAX, connections_max() * 8 // 9)
