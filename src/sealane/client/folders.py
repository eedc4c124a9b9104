"""Where data lie: the folder of the environment, and the one beside it for what is simulated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SIMULATED = "simulator"


def data_folder(environ: Mapping[str, str]) -> Path:
    """``DATA_DIR``, by default ``./data``."""
    return Path(environ.get("DATA_DIR", "").strip() or "data").expanduser()


def simulated_folder(environ: Mapping[str, str]) -> Path:
    """What a service keeps that has no key of Kraken and so simulates: never among real nonces and keys."""
    return data_folder(environ) / SIMULATED
