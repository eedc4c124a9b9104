"""The clocks of this machine, which the store goes by too."""

from sealane.store.clock import SYSTEM_CLOCK, Clock, SystemClock

__all__ = ["SYSTEM_CLOCK", "Clock", "SystemClock"]
