"""Settings from the environment, checked once and frozen. Empty counts as unset."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sealane.core.methods import HISTORY_COST
from sealane.core.nonce import parse_nonce, unit_ns
from sealane.core.tiers import STARTER, TIERS, Tier
from sealane.errors import SettingsError
from sealane.store import Store, open_store
from sealane.store.floors import GLOBAL_LANE
from sealane.transport.http import checked_url, is_loopback

KRAKEN_URL = "https://api.kraken.com"
LANES = ("global", "per-key")
OFF = "off"
HISTORY_COSTS = (2, 4)
MIN_INTERVAL_MAX_MS = 60_000
VISIBILITY_LAG_MAX_S = 3_600.0
_SWITCH = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}

logger = logging.getLogger("sealane")


@dataclass(frozen=True)
class Settings:
    """What the environment says.

    Attributes:
        url: base URL of Kraken Spot (``KRAKEN_SPOT_URL``).
        store: URL of the store (``SEALANE_STORE``), by default the folder named by ``DATA_DIR``.
        folder: where this host keeps its files while an engine leases it lanes (``DATA_DIR``).
        lanes: ``"global"`` or ``"per-key"`` (``SEALANE_LANES``).
        tier: Kraken's verification tier (``SEALANE_TIER``), whose limits are kept, or ``"off"``. Where it is unset:
            starter for Kraken; off for a loopback address, where a simulator or a gateway counts for itself.
        history_cost: what ClosedOrders, TradesHistory and Ledgers add to the REST counter (``SEALANE_HISTORY_COST``).
        min_interval_ms: spacing of private calls (``SEALANE_MIN_INTERVAL_MS``), 0 for none.
        nonce_unit: ``"ns"``, ``"us"`` or ``"ms"`` (``SEALANE_NONCE_UNIT``).
        visibility_lag_s: how long Kraken may take to show an order (``SEALANE_VISIBILITY_LAG_S``).
        sync_intents: an order's intent is synced to disk before the order leaves (``SEALANE_SYNC_INTENTS``).
        last_nonce: ``KRAKEN_LAST_NONCE``, 0 where it is unset or bad.
        hard_buy_off: no client of these settings buys (``HARD_BUY_OFF``).
    """

    url: str = KRAKEN_URL
    store: str = field(default="file:./data", repr=False)  # it may hold a password
    folder: str = "./data"
    lanes: str = "global"
    tier: str | None = None
    history_cost: int = HISTORY_COST
    min_interval_ms: int = 0
    nonce_unit: str = "ns"
    visibility_lag_s: float = 60.0
    sync_intents: bool = True
    last_nonce: int = 0
    hard_buy_off: bool = False

    def __post_init__(self) -> None:
        checked_url(self.url)
        _one_of("SEALANE_LANES", self.lanes, LANES)
        _one_of("SEALANE_TIER", self.tier or OFF, (*TIERS, OFF))
        _one_of("SEALANE_HISTORY_COST", self.history_cost, HISTORY_COSTS)
        unit_ns(self.nonce_unit)
        if self.lanes == "global" and self.nonce_unit != "ns":
            raise SettingsError(
                f"SEALANE_NONCE_UNIT={self.nonce_unit} needs SEALANE_LANES=per-key: "
                "the global lane holds one number for every key, and that is in nanoseconds"
            )
        if not 0 <= self.visibility_lag_s <= VISIBILITY_LAG_MAX_S:
            raise SettingsError(
                f"SEALANE_VISIBILITY_LAG_S is {self.visibility_lag_s}: give 0 … {VISIBILITY_LAG_MAX_S:.0f} seconds"
            )
        if not 0 <= self.min_interval_ms <= MIN_INTERVAL_MAX_MS:
            raise SettingsError(f"SEALANE_MIN_INTERVAL_MS is {self.min_interval_ms}: give 0 … {MIN_INTERVAL_MAX_MS}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read and check; raises SettingsError that names the variable and the remedy."""
        found = {name: value.strip() for name, value in environ.items() if value.strip()}
        return cls(
            url=found.get("KRAKEN_SPOT_URL", KRAKEN_URL),
            store=found.get("SEALANE_STORE", f"file:{found.get('DATA_DIR', './data')}"),
            folder=found.get("DATA_DIR", "./data"),
            lanes=found.get("SEALANE_LANES", "global"),
            tier=found.get("SEALANE_TIER"),
            history_cost=_whole("SEALANE_HISTORY_COST", found.get("SEALANE_HISTORY_COST", str(HISTORY_COST))),
            min_interval_ms=_whole("SEALANE_MIN_INTERVAL_MS", found.get("SEALANE_MIN_INTERVAL_MS", "0")),
            nonce_unit=found.get("SEALANE_NONCE_UNIT", "ns"),
            visibility_lag_s=_seconds("SEALANE_VISIBILITY_LAG_S", found.get("SEALANE_VISIBILITY_LAG_S", "60")),
            sync_intents=switch("SEALANE_SYNC_INTENTS", found.get("SEALANE_SYNC_INTENTS", "on")),
            last_nonce=_last_nonce(found.get("KRAKEN_LAST_NONCE")),
            hard_buy_off=buys_are_off(environ),
        )

    def open(self) -> Store:
        """The place of lanes and intents; the same object for equal settings."""
        return open_store(self.store, env_floor=self.last_nonce, folder=self.folder)

    def limits(self) -> Tier | None:
        """The limits that are kept, None for none."""
        name = self.tier or (OFF if is_loopback(self.url) else STARTER)
        return None if name == OFF else replace(TIERS[name].trusted(), history_cost=self.history_cost)

    def lane_name(self, fingerprint: str) -> str:
        """The name of the lane on which a key's calls go."""
        return GLOBAL_LANE if self.lanes == "global" else f"kraken_key_{fingerprint}"


def _one_of(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise SettingsError(f"{name} is {value!r}: choose one of {', '.join(map(str, choices))}")


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}: give a whole number") from None


def _seconds(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}: give a number of seconds") from None


def switch(name: str, text: str) -> bool:
    """A variable that is on or off, in any of the words for it; raises SettingsError that names it."""
    if text.strip().lower() not in _SWITCH:
        raise SettingsError(f"{name} is {text!r}: give 1 (true, on) or 0 (false, off)")
    return _SWITCH[text.strip().lower()]


def buys_are_off(environ: Mapping[str, str]) -> bool:
    """``HARD_BUY_OFF``; raises SettingsError where it is no switch."""
    return switch("HARD_BUY_OFF", environ.get("HARD_BUY_OFF", "").strip() or "0")


def _last_nonce(text: str | None) -> int:
    """A bad value is told and passed over: it is a last resort, and the clock is left."""
    if text is None:
        return 0
    try:
        return parse_nonce(text.encode())
    except ValueError as error:
        logger.warning("KRAKEN_LAST_NONCE is passed over: %s", error)
        return 0
