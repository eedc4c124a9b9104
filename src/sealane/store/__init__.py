"""Where lanes are remembered. ``port`` says what a store must do; ``open_store`` finds one by its URL."""

from sealane.store.open import open_store
from sealane.store.port import IntentLog, LaneStore, Store

__all__ = ["IntentLog", "LaneStore", "Store", "open_store"]
