"""What a broker is, whichever exchange is behind it.

1. An amount that is not known is never a number: ``BalanceUnknown`` is raised, or the dict says None.
2. On an error the last known amount is given, and everything that shows it says that it is stale, why, and how old.
3. Three errors in a row make the broker unavailable, one success makes it available again. An explicit call always
   tries, whatever the state: the state informs, it does not lock anybody out.
"""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any, Protocol, TypedDict

from sealane.errors import Unavailable

ERRORS_MAX = 3
BALANCE_CACHE_S = 5.0


class AccountType(enum.StrEnum):
    """Whose account a broker trades on."""

    MASTER = "master"
    USER = "user"


class ErrorKind(enum.StrEnum):
    """What an error of a broker asks of whoever reads it, for those who judge and do not parse texts."""

    NONE = ""
    OTHER = "other"
    REFUSED_KEY = "refused_key"
    """Kraken refuses the key itself, or lacks a permission: a person has to mend it."""
    LANE_BUSY = "lane_busy"
    """The turn did not come: another holds the lane, and nothing was sent."""
    NOT_DURABLE = "not_durable"
    """The store could not keep a nonce."""


class BalanceUnknown(Unavailable):
    """No balance could be had and none was known before: that is not zero."""


class DetailedBalance(TypedDict):
    """A balance with all that tells how far to trust it.

    ``usd`` and ``usdt`` are what the account holds of each under any of the exchange's names for it, holds on open
    orders included; ``total`` is their sum. ``amounts`` is every asset by the exchange's own name. Each of these is
    None where nothing is known, which an empty ``amounts`` never means. ``error`` tells why the figures are stale or
    unknown (None: they are fresh), ``as_of`` is the Unix time in seconds at which they were asked for and ``age_s`` the
    seconds since. ``error_count`` counts errors in a row, ``available`` is False from the third on.
    """

    account: str
    usd: Decimal | None
    usdt: Decimal | None
    total: Decimal | None
    amounts: dict[str, Decimal] | None
    error: str | None
    stale: bool
    as_of: float | None
    age_s: float | None
    error_count: int
    available: bool


class Broker(Protocol):
    """One account at one exchange."""

    @property
    def account(self) -> str:
        """The account's name: ``"MASTER"`` or the user's."""
        ...

    def connect(self) -> bool:
        """Make the first call; True when the account can be used, else False with the reason in the log."""
        ...

    def get_account_balance(self) -> Decimal:
        """USD and USDT together; the last known where the exchange cannot be asked. Raises BalanceUnknown."""
        ...

    def get_account_balance_detailed(self) -> DetailedBalance:
        """The balance with its error flags; never raises for what the exchange or the network did."""
        ...

    def place_order(self, **order: Any) -> Any:
        """Place one order, once or not at all."""
        ...

    def get_positions(self) -> list[dict[str, Any]]:
        """What is held besides USD and USDT: ``{"asset", "symbol", "amount"}`` each. Raises where it is not known."""
        ...

    def is_available(self) -> bool:
        """False after three errors in a row, until a success."""
        ...

    def get_error_count(self) -> int:
        """Errors in a row so far."""
        ...

    def close(self) -> None:
        """Stop background work and close connections."""
        ...
