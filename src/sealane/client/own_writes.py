"""Who wants to know when an account is written to: told before and after each write of this process's clients.

An account is a client's ``identity``. Listeners are held weakly and must be quick: they run inside the call.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from weakref import WeakMethod, ref

Identity = tuple[str, str, str]
Listener = Callable[[], None]

_listeners: list[tuple[Identity, ref[Listener]]] = []  # appended to and removed from whole: needs no mutex


def hear_writes(identity: Identity, listener: Listener) -> None:
    """Call ``listener``, a method, before and after every write to this account, while its object lives."""

    def forget(gone: ref[Listener]) -> None:
        with suppress(ValueError):  # heard of once more than it was kept
            _listeners.remove((identity, gone))

    entry = identity, WeakMethod(listener, forget)
    if entry not in _listeners:
        _listeners.append(entry)


def tell_write(identity: Identity) -> None:
    """A write to this account begins, or has ended."""
    for of, listener in tuple(_listeners):
        heard = listener() if of == identity else None
        if heard is not None:
            heard()
