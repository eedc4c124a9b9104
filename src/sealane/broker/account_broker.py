"""What brokers of every exchange do alike: a balance that fails closed, its log lines, its figures.

A broker of one exchange derives from this and says how to fetch (``fetch_holdings``) and how to get a client
(``_ready``); counting, caching, recovering and telling are here and in ``shared.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, ClassVar, Self

from sealane.broker.port import BALANCE_CACHE_S, BalanceUnknown, DetailedBalance, ErrorKind
from sealane.broker.recovery import RecoveryFigures
from sealane.broker.shared import Reading, SharedBalance
from sealane.broker.standing import Holdings, detailed
from sealane.client.accounts import MASTER
from sealane.errors import SettingsError
from sealane.runtime.clock import SYSTEM_CLOCK, Clock

CACHE_MAX_S = 3_600.0

logger = logging.getLogger("sealane.broker")


@dataclass(frozen=True)
class BrokerFigures:
    """A broker at one moment, for health pages and metrics; asking for it asks nobody else.

    Attributes:
        account, exchange: whose, and where.
        available: False from the third error in a row on.
        error_count: failed fetches in a row.
        total: USD and USDT as last known, None where nothing is.
        as_of, age_s: when that was asked for, Unix time in seconds, and how long ago.
        last_error: why the last fetch failed, None where it did not.
        recovery: how the background goes about it.
        error_kind: what kind of trouble ``last_error`` is.
        tried_ns: when the last fetch ended, well or not, in nanoseconds since boot; None before the first.
        amounts: every asset as last known, by the exchange's own name; None where nothing is.
    """

    account: str
    exchange: str
    available: bool
    error_count: int
    total: Decimal | None
    as_of: float | None
    age_s: float | None
    last_error: str | None
    recovery: RecoveryFigures
    error_kind: ErrorKind = ErrorKind.NONE
    tried_ns: int | None = None
    amounts: Mapping[str, Decimal] | None = None


class AccountBroker:
    """The half of a broker that all exchanges share.

    Args:
        account: the account's name.
        label: how the log speaks of it, such as ``"USER:daivon_frazier"``.
        balance_cache_s: for how long a fetched balance serves all callers; 0 asks every time.
        clock: what tells the time.
    """

    exchange: ClassVar[str] = ""

    def __init__(
        self, account: str, label: str, balance_cache_s: float = BALANCE_CACHE_S, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        if not _is_number(balance_cache_s) or not 0 <= balance_cache_s <= CACHE_MAX_S:
            raise SettingsError(f"balance_cache_s is {balance_cache_s!r}: give 0 … {CACHE_MAX_S:.0f} s, 0 for off")
        self._account, self._label, self._cache_s, self._clock = account, label, balance_cache_s, clock
        self._balance = SharedBalance(self.exchange, label, clock)

    # --- what an exchange's broker says ---------------------------------------------------------------------------

    def _ready(self) -> None:
        """Make the client where there is none, and share the account's balance; raises SettingsError."""
        raise NotImplementedError

    def fetch_holdings(self) -> Holdings:
        """Ask the exchange now; raises where it gives no balance."""
        raise NotImplementedError

    def fetch_briefly(self) -> Holdings:
        """As ``fetch_holdings``, for the background: where others wait for the same lane, once and not for long."""
        return self.fetch_holdings()

    def holds_turn(self) -> bool:
        """Whether the calling thread holds what a fetch waits for; False where nothing is waited for."""
        return False

    # --- what all do ----------------------------------------------------------------------------------------------

    @property
    def account(self) -> str:
        """The account's name: ``"MASTER"`` or the user's."""
        return self._account

    def connect(self) -> bool:
        """Ask for the balance; True where it came, else False, with the reason in the log and in ``figures()``."""
        with suppress(SettingsError):  # the fetch raises it again, and it is counted and told
            self._ready()
        reading = self._balance.ask_now(self)
        if reading.error is None:
            logger.info("✅ Connected to %s (%s)", self.exchange, self._label)
        return reading.error is None

    def get_account_balance(self) -> Decimal:
        """USD and USDT together.

        Where the exchange cannot be asked, the last known amount, logged as such (``get_account_balance_detailed``
        and ``figures`` tell how old it is). Raises BalanceUnknown where none is known: that is not zero.
        """
        return self._known(self._told(self._asked())).total

    def get_account_balance_detailed(self) -> DetailedBalance:
        """The balance with its error flags; never raises for what the exchange or the network did."""
        reading = self._told(self._asked())
        return detailed(self._account, reading.standing, reading.error, self._clock.boot_ns())

    def is_available(self) -> bool:
        """False after three failed fetches in a row, until one succeeds. It informs: every call tries all the same."""
        return self._balance.standing.available

    def get_error_count(self) -> int:
        """Failed fetches of the balance in a row; orders and other calls do not count."""
        return self._balance.standing.errors

    @property
    def recovery(self) -> RecoveryFigures:
        """How recovery in the background goes: tries so far, the wait it is in, seconds until the next try."""
        return self._balance.recovery()

    def figures(self) -> BrokerFigures:
        """A frozen snapshot; asks the exchange nothing."""
        standing, now_ns = self._balance.standing, self._clock.boot_ns()
        known = standing.known
        return BrokerFigures(
            account=self._account,
            exchange=self.exchange,
            available=standing.available,
            error_count=standing.errors,
            total=known.total if known else None,
            as_of=known.as_of if known else None,
            age_s=known.age_s(now_ns) if known else None,
            last_error=standing.last_error,
            recovery=self._balance.recovery(),
            error_kind=standing.error_kind,
            tried_ns=standing.tried_ns,
            amounts=known.amounts if known else None,
        )

    def _asked(self) -> Reading:
        with suppress(SettingsError):
            self._ready()
        return self._balance.ask(self, self._cache_s)

    def _told(self, reading: Reading) -> Reading:
        known = reading.standing.known
        if known is not None and reading.error is not None:
            age_s = known.age_s(self._clock.boot_ns())
            logger.warning("⚠️ Using last known balance: %s (%s, %.0f s old)", money(known.total), self._label, age_s)
        return reading

    def _known(self, reading: Reading) -> Holdings:
        if reading.standing.known is None:
            raise BalanceUnknown(f"the balance of {self._label} is unknown: {reading.error}") from reading.cause
        return reading.standing.known

    def _fresh(self, reading: Reading) -> Holdings:
        if reading.standing.known is None or reading.error is not None:
            raise BalanceUnknown(f"what {self._label} holds is unknown: {reading.error}") from reading.cause
        return reading.standing.known

    def _tell_balance(self, holdings: Holdings) -> None:
        """The documents' lines, in one record, so that those of several accounts do not mix."""
        if logger.isEnabledFor(logging.INFO):
            usd, usdt = money(holdings.usd), money(holdings.usdt)
            logger.info(
                "💰 %s Balance (%s): ✅ Available USD: %s, ✅ Available USDT: %s", self.exchange, self._label, usd, usdt
            )

    def close(self) -> None:
        """Stop background work; from now on this broker gives what it knew, as stale."""
        self._balance.leave(self)
        self._balance = self._balance.apart()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        standing = self._balance.standing
        state = "available" if standing.available else "unavailable"
        return f"<{type(self).__name__} {self._label} {state}, {standing.errors} errors in a row>"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def label_of(account: str) -> str:
    """How the log speaks of an account: ``"MASTER"``, ``"USER:daivon_frazier"``."""
    return account if account == MASTER else f"USER:{account}"


def money(amount: Decimal) -> str:
    """An amount of dollars for a person: ``$1234.56``."""
    return f"${amount:.2f}"


def position(asset: str, symbol: str, amount: Decimal) -> dict[str, Any]:
    """One row of ``get_positions``."""
    return {"asset": asset, "symbol": symbol, "amount": amount}
