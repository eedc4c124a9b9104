"""The replay guards of the virtual keys, each opened when its key first calls."""

from __future__ import annotations

from pathlib import Path

from sealane.gateway.keys.key_file import Held
from sealane.gateway.keys.replay_guard import ReplayGuard


class Replays:
    """One guard a key text: a key that was rotated begins anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guards: dict[str, ReplayGuard] = {}

    def accept(self, held: Held, nonce: int) -> bool:
        """Whether this key has not used the nonce before; raises NotDurable where that cannot be kept."""
        guard = self._guards.get(held.key)
        if guard is None:
            guard = self._guards[held.key] = ReplayGuard(self._folder / f"{held.name}.{held.fingerprint}")
        return guard.accept(nonce)

    def close(self) -> None:
        """Close their files."""
        for guard in self._guards.values():
            guard.close()
        self._guards.clear()
