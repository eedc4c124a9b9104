"""How a broker stands: what is known of its account, and how many errors in a row. Pure: time is passed in.

1. A success makes the count zero and the broker available; the third failure in a row makes it unavailable.
2. What is known is replaced by something newer only, and never forgotten for a failure.
3. A cached balance serves while the last fetch succeeded and no order was made since; its age goes by the time since
   boot, which nobody sets back.
4. Sums are exact, whatever decimal context the calling thread has set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from functools import reduce

from sealane.broker.port import ERRORS_MAX, DetailedBalance, ErrorKind
from sealane.core.nonce import NS_PER_S

EXACT_DIGITS = 100
"""More than any two amounts need together: the sum is exact."""


@dataclass(frozen=True)
class Holdings:
    """What an account held at one moment.

    Attributes:
        amounts: every asset by the exchange's own name.
        usd, usdt: of these, all that is dollars, and all that is Tether's.
        as_of: Unix time in seconds at which the exchange was asked.
        asked_ns: the same moment in nanoseconds since boot.
    """

    amounts: Mapping[str, Decimal]
    usd: Decimal
    usdt: Decimal
    as_of: float
    asked_ns: int

    @property
    def total(self) -> Decimal:
        """USD and USDT together."""
        return exact_sum(self.usd, self.usdt)

    def age_s(self, now_ns: int) -> float:
        """Seconds since the exchange was asked; ``now_ns`` is the time since boot."""
        return max(0, now_ns - self.asked_ns) / NS_PER_S


@dataclass(frozen=True)
class Standing:
    """One account at one moment; every change is a new Standing.

    Attributes:
        known: the last known holdings, None where there are none.
        errors: failed fetches in a row.
        last_error: why the last fetch failed, None where it did not.
        is_cached: ``known`` may answer for the exchange while it is young.
        error_kind: what kind of trouble ``last_error`` is.
        tried_ns: when the last fetch ended, well or not, in nanoseconds since boot; None before the first.
    """

    known: Holdings | None = None
    errors: int = 0
    last_error: str | None = None
    is_cached: bool = False
    error_kind: ErrorKind = ErrorKind.NONE
    tried_ns: int | None = None

    @property
    def available(self) -> bool:
        """False from the third failure in a row on."""
        return self.errors < ERRORS_MAX

    def succeeded(self, holdings: Holdings, *, cached: bool) -> Standing:
        """After a fetch; ``cached`` is False where an order was made since it began."""
        if self.known is not None and self.known.asked_ns > holdings.asked_ns:
            return replace(self, errors=0, last_error=None, error_kind=ErrorKind.NONE)
        return Standing(holdings, is_cached=cached, tried_ns=self.tried_ns)

    def failed(self, error: str, kind: ErrorKind = ErrorKind.OTHER) -> Standing:
        """After a fetch that failed: the next one asks the exchange, however young the last known balance is."""
        return Standing(self.known, self.errors + 1, error, error_kind=kind, tried_ns=self.tried_ns)

    def tried(self, now_ns: int) -> Standing:
        """After a fetch, however it ended."""
        return replace(self, tried_ns=now_ns)

    def dropped(self) -> Standing:
        """After an order: the cache answers no more."""
        return replace(self, is_cached=False)

    def is_fresh(self, cache_s: float, now_ns: int) -> bool:
        """Whether the exchange need not be asked."""
        return self.is_cached and self.known is not None and self.known.age_s(now_ns) < cache_s


def detailed(account: str, standing: Standing, error: str | None, now_ns: int) -> DetailedBalance:
    """A standing as the dict that brokers give; ``error`` is why it is not fresh, None where it is."""
    known = standing.known
    return DetailedBalance(
        account=account,
        usd=known.usd if known else None,
        usdt=known.usdt if known else None,
        total=known.total if known else None,
        amounts=dict(known.amounts) if known else None,
        error=error,
        stale=known is not None and error is not None,
        as_of=known.as_of if known else None,
        age_s=known.age_s(now_ns) if known else None,
        error_count=standing.errors,
        available=standing.available,
    )


def exact_sum(*amounts: Decimal) -> Decimal:
    """The sum to the last digit, also where the thread's decimal context would round it."""
    if len(amounts) < 2:
        return amounts[0] if amounts else Decimal(0)
    add = Context(prec=EXACT_DIGITS).add
    return reduce(add, amounts)
