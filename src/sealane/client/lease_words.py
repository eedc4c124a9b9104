"""A lane's lease in words and as JSON: one form for the command line, the health document and the page."""

from __future__ import annotations

from datetime import UTC, datetime

from sealane.core.nonce import NS_PER_S
from sealane.store.port import LeaseView


def lease_document(lease: LeaseView) -> dict[str, object]:
    """As plain JSON values; times are Unix seconds, None where there is none."""
    return {
        "engine": lease.engine,
        "host": lease.host,
        "hostname": lease.hostname,
        "holder": lease.holder or None,
        "holder_hostname": lease.holder_hostname or None,
        "is_ours": lease.is_ours,
        "standby": lease.is_standby,
        "epoch": lease.epoch,
        "since": lease.since_ns / NS_PER_S or None,
        "expires": lease.expires_ns / NS_PER_S or None,
        "floor": lease.floor,
        "waiters": list(lease.waiters),
        "quiet": lease.quiet,
        "error": lease.error or None,
    }


def told_lease(lease: LeaseView) -> str:
    """Who has the lane, since when, and with which epoch."""
    if lease.error:
        held = ", and this host still holds it for a moment" if lease.is_ours else ""
        return f"not known{held}: {lease.error}"
    if not lease.holder:
        return f"held by nobody{'; nothing is granted for a moment, as the engine is new' if lease.quiet else ''}"
    since = datetime.fromtimestamp(lease.since_ns // NS_PER_S, UTC).isoformat().replace("+00:00", "Z")
    return f"held by {holder_named(lease)} since {since}, epoch {lease.epoch}"


def holder_named(lease: LeaseView) -> str:
    """The holder by its machine's name and its own: ``this host (web-1 3f2a…)``."""
    machine = f"{lease.holder_hostname} " if lease.holder_hostname else ""
    return f"{'this host' if lease.holder == lease.host else 'host'} ({machine}{lease.holder})"
