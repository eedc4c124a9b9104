"""``guard``: recognise a client, find its key's lane, hook the two together."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, TypeVar

from sealane.client.session import Session
from sealane.core.secret import masked
from sealane.errors import SettingsError
from sealane.plugins.families import Family, family_of
from sealane.plugins.turnstile import Turnstile
from sealane.runtime.lanes import TURN_WAIT_S
from sealane.store import Store

T = TypeVar("T")

MARK = "_sealane_guard"
"""The attribute by which a guarded client is known."""

_mutex = threading.Lock()


def _after_fork() -> None:
    global _mutex  # noqa: PLW0603 - the parent's other threads may hold the old one, and do not exist here
    _mutex = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def guard(client: T, *, account: str | None = None, store: Store | str | Path | None = None) -> T:
    """Put a client's private calls on its key's lane, and return the same client.

    The lane is the one on which ``Kraken`` goes with that key in this environment, so that both may share a key,
    also between processes. Public calls wait for nothing. A lane stays open while the process lives.

    Args:
        client: a ``krakenex.API``, a ``kraken`` of ccxt (plain, ``async_support`` or ``pro``), or a Spot client of
            python-kraken-sdk, plain or async, with its key set.
        account: the name under which logs and errors speak of this key.
        store: where the lane lives, as for ``Kraken``: a Store, a store URL or a folder.

    Raises SettingsError where the client is of another kind, of a version that lacks what is hooked, without a key,
    or guarded already in another store. A guarded client's private calls may raise, beside what the client itself
    raises: Unavailable (no turn within a minute), NotDurable (no nonce could be stored), SettingsError (the client's
    key was changed after it was guarded). In all three cases nothing was sent.
    """
    family = family_of(client)
    with _mutex:
        known: Turnstile | None = vars(client).get(MARK)
        if known is None:
            turnstile = Turnstile(_session(client, family, account, store), lambda: family.key_pair(client)[0])
            family.hook(client, turnstile)
            setattr(client, MARK, turnstile)
        else:
            known.check_key()
            if store is not None:
                _must_be_there(known, _session(client, family, account, store))
    return client


def _session(client: Any, family: Family, account: str | None, store: Store | str | Path | None) -> Session:
    """The session that ``Kraken`` would have with the client's key: its lane is the one to share."""
    key, secret = family.key_pair(client)
    if not key or not secret:
        raise SettingsError(
            f"this {family.name} has no API key and secret: give it both before it is guarded; a client for public "
            "calls alone needs no guard"
        )
    name = account or f"key {masked(key)}"
    return Session.made_of(key, secret, None, store, account=name, otp=None, turn_wait_s=TURN_WAIT_S)


def _must_be_there(known: Turnstile, wanted: Session) -> None:
    """A second guard changes nothing, so it is refused where another store is asked for."""
    try:
        if wanted.lane is not known.lane:
            raise SettingsError(
                f"this client is guarded already, on lane {known.lane.name} of another store: make a new client"
            )
    finally:
        wanted.close()
