"""The clients, and what a client needs from the environment."""

from sealane.client.async_kraken import AsyncKraken
from sealane.client.kraken import Kraken
from sealane.client.statistics import Statistics
from sealane.core.balance import Balance
from sealane.core.cancelling import Cancelled, NotCancelled
from sealane.core.order import Amended, NotAmended, NotPlaced, Placed

__all__ = [
    "Amended",
    "AsyncKraken",
    "Balance",
    "Cancelled",
    "Kraken",
    "NotAmended",
    "NotCancelled",
    "NotPlaced",
    "Placed",
    "Statistics",
]
