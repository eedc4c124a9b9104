"""The five gates, in order: balance, health, capital validation, market scan, signal execution.

1. A gate is a pure function of its inputs, and its result says what they were and why it passed or not.
2. A gate that fails stops those behind it: they are not reached, and nothing that they would have done is done.
3. What is not known fails. So does a gate whose inputs cannot be had.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from sealane.broker import DetailedBalance
from sealane.errors import SealaneError
from sealane.trading.executor import Execution
from sealane.trading.limits import QUOTE_AGE_MAX_S, HardLimits
from sealane.trading.market import ONLINE, Scan
from sealane.trading.views import holdings, plain

logger = logging.getLogger("sealane.trading")

NAMES = ("balance", "health", "capital validation", "market scan", "signal execution")
_NO_PAIR = "no pair is allowed: set SEALANE_ALLOWED_PAIRS, such as XBTUSD,ETHUSD"
BALANCE, HEALTH, CAPITAL, MARKET, EXECUTION = range(1, 6)


@dataclass(frozen=True)
class GateResult:
    """One gate's verdict.

    Attributes:
        gate, name: 1 to 5, and what it is called.
        passed: None where it was not reached.
        reason: for a person, also where it passed.
        inputs: what it was judged by; amounts as Decimal.
    """

    gate: int
    name: str
    passed: bool | None
    reason: str
    inputs: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Health:
    """What the health gate asks about.

    Attributes:
        available, error_count: the broker's.
        quarantined: the diagnosis where the account's key is stopped, else "".
        in_doubt: client order ids of the account whose end is not known.
        exchange: Kraken's SystemStatus, "" where it is not known. error: why not.
    """

    available: bool
    error_count: int
    quarantined: str
    in_doubt: tuple[str, ...]
    exchange: str
    error: str = ""


Step = Callable[[], GateResult]


def walk(
    steps: Sequence[Step], account: str = "", stopping: Callable[[], bool] = lambda: False
) -> tuple[GateResult, ...]:
    """Take an account's steps through the gates until one fails, or until it is to stop; the five results, in order.

    A step that raises is a gate that fails: what it needed could not be had. It is logged, with its trace where it is
    none of Sealane's errors.
    """
    results: list[GateResult] = []
    left = ""
    for number, step in enumerate(steps, start=1):
        if not left and stopping():
            left = "stopping"
        results.append(not_reached(number, left) if left else _taken(number, step, account))
        if results[-1].passed is False:
            left = f"gate {number} failed"
    return tuple(results)


def not_reached(gate: int, why: str) -> GateResult:
    """A gate that was not looked at."""
    return GateResult(gate, NAMES[gate - 1], None, f"not reached: {why}")


def _taken(number: int, step: Step, account: str) -> GateResult:
    try:
        return step()
    except Exception as error:  # whatever a broker or a strategy raised
        said = f"{type(error).__name__}: {error}"
        trace = None if isinstance(error, SealaneError) else error
        logger.error("%s: gate %d (%s) raised %s", account, number, NAMES[number - 1], said, exc_info=trace)
        return _judged(number, said, "", {})


def balance_gate(balance: DetailedBalance) -> GateResult:
    """Gate 1: what the account holds is known, and fresh."""
    total, error = balance["total"], balance["error"]
    inputs = {name: balance[name] for name in ("usd", "usdt", "total", "stale", "age_s", "error")}
    trouble = ""
    if total is None:
        trouble = f"the balance is not known, which is not zero: {error}"
    elif balance["stale"] or error:
        age = "an unknown time" if balance["age_s"] is None else f"{balance['age_s']:.0f} s"
        trouble = f"the balance is {age} old: {error}"
    return _judged(BALANCE, trouble, "" if total is None else f"{plain(total)} USD", inputs)


def health_gate(health: Health) -> GateResult:
    """Gate 2: broker, key, earlier orders and exchange are as they must be to place an order."""
    trouble = ""
    if health.quarantined:
        trouble = f"the key is quarantined: {health.quarantined}"
    elif not health.available:
        trouble = f"the broker is unavailable after {health.error_count} errors in a row"
    elif health.in_doubt:
        trouble = f"the end of {len(health.in_doubt)} order(s) is not known: {', '.join(health.in_doubt)}"
    elif not health.exchange:
        trouble = f"the exchange's status is not known: {health.error}"
    elif health.exchange != ONLINE:
        trouble = f"the exchange is in {health.exchange}"
    return _judged(HEALTH, trouble, "broker available, key in order, exchange online", vars(health))


def capital_gate(free: Decimal, amounts: Mapping[str, Decimal], limits: HardLimits) -> GateResult:
    """Gate 3: enough is free to trade with. Below the least capital an account may still sell what it holds."""
    held, least = holdings(amounts), limits.min_capital_usd
    inputs = {"free": free, "min_capital_usd": least, "holdings": held, "buys_off": limits.buys_off}
    said = f"{plain(free)} USD free, at least {plain(least)} USD is wanted"
    if free >= least:
        return _judged(CAPITAL, "", said + (", HARD_BUY_OFF blocks buys" if limits.buys_off else ""), inputs)
    if held:
        return _judged(CAPITAL, "", f"{said}: buys are blocked, {', '.join(held)} can be sold", inputs)
    return _judged(CAPITAL, f"{said}, and nothing is held that could be sold", "", inputs)


def market_gate(seen: Scan, limits: HardLimits, now_ns: int) -> GateResult:
    """Gate 4: at least one allowed pair is online and has a fresh price."""
    market = seen.market
    if not limits.allowed_pairs:
        return _judged(MARKET, _NO_PAIR, "", {"allowed": ()})
    if market is None:
        return _judged(MARKET, f"the market is not known: {seen.error}", "", {"allowed": limits.allowed_pairs})
    ages = {pair: quote.age_s(now_ns) for pair, quote in market.quotes.items()}
    inputs = {
        "allowed": limits.allowed_pairs,
        "pairs": {
            pair: {"bid": quote.bid, "ask": quote.ask, "age_s": ages[pair]} for pair, quote in market.quotes.items()
        },
        "left_out": dict(market.left_out),
    }
    fresh = [pair for pair, age_s in ages.items() if age_s <= QUOTE_AGE_MAX_S]
    without = [f"{pair}: {why}" for pair, why in market.left_out.items()]
    without += [f"{pair}: its price is {ages[pair]:.0f} s old" for pair in ages if pair not in fresh]
    trouble = "" if fresh else f"no allowed pair can be traded: {'; '.join(without)}"
    return _judged(MARKET, trouble, "; ".join([", ".join(fresh), *without]), inputs)


def execution_gate(executions: Sequence[Execution]) -> GateResult:
    """Gate 5: every signal went through."""
    failed = [execution for execution in executions if not execution.went_through]
    trouble = "; ".join(f"{done.signal}: {done.end}: {done.reason}" for done in failed)
    went = "; ".join(f"{done.signal}: {done.end}" for done in executions) or "no signals"
    return _judged(EXECUTION, trouble, went, {"signals": [_row(done) for done in executions]})


def _row(done: Execution) -> dict[str, str]:
    row = {"signal": str(done.signal), "why": done.signal.reason, "end": done.end.value, "reason": done.reason}
    return row | {name: value for name in ("txid", "client_order_id") if (value := getattr(done, name))}


def _judged(gate: int, trouble: str, otherwise: str, inputs: Mapping[str, object]) -> GateResult:
    """Passed unless there is trouble; the trouble is the reason then."""
    return GateResult(gate, NAMES[gate - 1], not trouble, trouble or otherwise, inputs)
