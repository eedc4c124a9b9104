"""The library's face: ``Kraken`` for threads, ``AsyncKraken`` for asyncio."""

from sealane.client.async_kraken import AsyncKraken
from sealane.client.kraken import Kraken
from sealane.client.statistics import Statistics
from sealane.core.balance import Balance

__all__ = ["AsyncKraken", "Balance", "Kraken", "Statistics"]
