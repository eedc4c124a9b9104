"""Sealane gives every Kraken API key one ordered lane.

    from sealane import Kraken
    kraken = Kraken.from_env()
    kraken.private("Balance")

What it promises stands in GUARANTEES.md, how it is built in ARCHITECTURE.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealane.errors import (
    Fenced,
    InDoubt,
    NotDurable,
    Quarantined,
    Refused,
    SealaneError,
    SettingsError,
    Unavailable,
)

if TYPE_CHECKING:
    from sealane.client import (
        Amended,
        AsyncKraken,
        Balance,
        Cancelled,
        Kraken,
        NotAmended,
        NotCancelled,
        NotPlaced,
        Placed,
        Statistics,
    )

__version__ = "0.1.0"

__all__ = [
    "Amended",
    "AsyncKraken",
    "Balance",
    "Cancelled",
    "Fenced",
    "InDoubt",
    "Kraken",
    "NotAmended",
    "NotCancelled",
    "NotDurable",
    "NotPlaced",
    "Placed",
    "Quarantined",
    "Refused",
    "SealaneError",
    "SettingsError",
    "Statistics",
    "Unavailable",
]


def __getattr__(name: str) -> object:
    """The clients bring the HTTP library with them, so they are imported when they are asked for."""
    if name in __all__:
        from sealane import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
