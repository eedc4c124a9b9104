"""What a call to a hooked method was given, whether by position, by name or by default."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any


def argument(signature: inspect.Signature, name: str, args: tuple[Any, ...], more: Mapping[str, Any]) -> Any:
    """One argument; None for a call that does not fit the signature, which the method itself will refuse."""
    return arguments(signature, args, more).get(name)


def arguments(signature: inspect.Signature, args: tuple[Any, ...], more: Mapping[str, Any]) -> Mapping[str, Any]:
    """All arguments; none for a call that does not fit the signature, which the method itself will refuse."""
    try:
        bound = signature.bind(*args, **more)
    except TypeError:
        return {}
    bound.apply_defaults()
    return bound.arguments
