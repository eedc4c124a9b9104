"""One account's way through the five gates: once for a preflight, once a round for a running strategy.

What differs between the two is who decides on the signals, and whether orders are placed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from sealane.trading.capital import free_usd
from sealane.trading.executor import Execution, Executor
from sealane.trading.gates import (
    EXECUTION,
    GateResult,
    Health,
    balance_gate,
    capital_gate,
    execution_gate,
    health_gate,
    market_gate,
    not_reached,
    walk,
)
from sealane.trading.limits import HardLimits
from sealane.trading.market import Scan
from sealane.trading.passage import Passage
from sealane.trading.seats import Seat
from sealane.trading.strategy import Signal
from sealane.trading.views import AccountView, MarketView

Decide = Callable[[MarketView, AccountView], Sequence[Signal]]


@dataclass(frozen=True)
class Rules:
    """How a round is made: limits, whether orders are placed, the wall clock, when to stop, what orders go through."""

    limits: HardLimits
    live: bool
    now_ns: Callable[[], int]
    stopping: Callable[[], bool] = lambda: False
    passage: Passage = field(default_factory=Passage)


@dataclass(frozen=True)
class AccountRound:
    """What came of an account's round: five gates, and the end of every signal."""

    account: str
    gates: tuple[GateResult, ...]
    executions: tuple[Execution, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all five gates did."""
        return all(gate.passed for gate in self.gates)

    @property
    def failed(self) -> GateResult | None:
        """The gate that failed."""
        return next((gate for gate in self.gates if gate.passed is False), None)


def account_round(seat: Seat, seen: Scan, rules: Rules, decide: Decide) -> AccountRound:
    """Walk an account through the gates; never raises for what a broker or a strategy did."""
    steps = _Steps(seat, seen, rules, decide)
    gates = walk(
        [steps.balance, steps.health, steps.capital, steps.market, steps.execution], seat.account, rules.stopping
    )
    return AccountRound(seat.account, gates, steps.executions)


class _Steps:
    """The five steps; each finds what the ones before it left."""

    def __init__(self, seat: Seat, seen: Scan, rules: Rules, decide: Decide) -> None:
        self._seat, self._seen, self._rules, self._decide = seat, seen, rules, decide
        self._view = AccountView(seat.account, Decimal(0), Decimal(0), Decimal(0), {}, Decimal(0))
        self.executions: tuple[Execution, ...] = ()

    def balance(self) -> GateResult:
        found = self._seat.broker.get_account_balance_detailed()
        if found["total"] is not None:
            usd, usdt = found["usd"] or Decimal(0), found["usdt"] or Decimal(0)
            total, amounts = found["total"], found["amounts"] or {}
            self._view = AccountView(self._seat.account, usd, usdt, total, amounts, free=Decimal(0))
        return balance_gate(found)

    def health(self) -> GateResult:
        broker, client = self._seat.broker, self._seat.client
        return health_gate(
            Health(
                available=broker.is_available(),
                error_count=broker.get_error_count(),
                quarantined=client.statistics().quarantined,
                in_doubt=tuple(intent.id for intent in client.orders(in_doubt=True)),
                exchange=self._seen.status,
                error=self._seen.error,
            )
        )

    def capital(self) -> GateResult:
        self._view = replace(self._view, free=free_usd(self._seat.client, self._view.total))
        return capital_gate(self._view.free, self._view.amounts, self._rules.limits)

    def market(self) -> GateResult:
        return market_gate(self._seen, self._rules.limits, self._rules.now_ns())

    def execution(self) -> GateResult:
        rules, market = self._rules, self._seen.market
        if market is None:  # the gate before has seen to it
            raise LookupError("no market was seen")
        signals = self._decide(market, self._view)
        if rules.stopping():
            return not_reached(EXECUTION, "stopping")
        executor = Executor(self._seat.broker, rules.limits, rules.live, rules.now_ns, rules.stopping, rules.passage)
        self.executions = executor.execute(signals, market, self._view.free)
        return execution_gate(self.executions)


def document_of(done: AccountRound) -> dict[str, object]:
    """A round as plain JSON values, money as text: ``{"account", "passed", "gates": […]}``."""
    return {"account": done.account, "passed": done.passed, "gates": [_plain(vars(gate)) for gate in done.gates]}


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return round(value, 3) if isinstance(value, float) else value
