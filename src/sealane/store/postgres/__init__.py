"""Lanes leased among hosts by a PostgreSQL server of version 13 or newer: see ``store.engine`` for what it must do.

``address`` reads the URL and hides the password, ``wire`` keeps connections and limits, ``schema`` applies the files in
``sql/``, ``listener`` hears who is woken, ``engine`` puts them together. Each step of a lane is one statement, which
calls a function that locks the lane's row and decides as ``core.lease`` does.

What PostgreSQL promises when it fails, and what follows ("quiet": another incarnation, nothing is granted for one
lease; a holder goes on):

- Killed, or its machine lost power: every step that was answered is on disk, also where ``synchronous_commit`` is off
  by default, as a step turns it on for its own commit. Quiet.
- One backend crashed: nothing is lost, so the incarnation stays.
- Not to be reached, hung, starting: a verb tries until ``ENGINE_LIMIT_S``, then raises Unavailable. Nothing is issued
  from memory.
- A connection cut, idle or in mid-answer: the step is made again on a new one; each is safe to repeat.
- Failed over to a synchronous standby: nothing is lost. Quiet.
- Failed over to an asynchronous standby: the last steps may be forgotten. Quiet: every grant that was forgotten is
  over by the end, and whoever is next goes on above the ceiling that is known, and above its clock.
- Two primaries at once, one cut off and not stopped: hosts of the one do not see those of the other. Only fencing in
  the cluster, or a synchronous standby, prevents it.
- Loaded from a dump or a base backup: quiet.
- Its clock set forward: leases end early, and the next holder starts above the ceiling of the last. Set back: late.
- A pooler in transaction mode between: all works but waking, as ``LISTEN`` is never heard; who waits asks again by
  itself, once a second at least.
- Refusing writes (a standby): other hosts of the URL are tried until the limit, then Unavailable.

Not seen as another incarnation: a machine put back to a snapshot of its memory while the server ran.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealane.errors import SettingsError

if TYPE_CHECKING:
    from sealane.store.postgres.engine import PostgresEngine


def open_engine(url: str) -> PostgresEngine:
    """The engine at a ``postgresql://`` URL, which connects at its first verb; SettingsError for a URL that is none."""
    try:
        from sealane.store.postgres.engine import PostgresEngine
    except ImportError as error:
        raise SettingsError(
            f"SEALANE_STORE is a postgresql: URL and its driver is not here ({error}): pip install 'sealane[postgres]'"
        ) from error
    return PostgresEngine(url)
