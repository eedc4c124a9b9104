"""Figures in words: durations, amounts, nonces, moments. Plain text, for the page and the terminal alike."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from sealane.gateway.statistics_form import BalanceRow, CounterRow, LaneRow

UNKNOWN = "not known"
CENT = Decimal("0.01")
STATUS_WORDS = {"pass": "Pass", "warn": "Warn", "fail": "Fail"}
RISKY = frozenset({"withdraw-funds", "account-transfer"})
"""Permissions of a key at Kraken that trading never needs."""
OUTCOME_WORDS = {"in_doubt": "in doubt"}


def lasted(seconds: float) -> str:
    """A duration for people: ``8 s``, ``3 min``, ``5 h``, ``2 d``."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size * (2 if unit == "min" else 1):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def ago(seconds: float | None) -> str:
    """How long ago, ``never`` for what did not happen."""
    return "never" if seconds is None else "now" if seconds < 0.5 else f"{lasted(seconds)} ago"


def waited(seconds: float | None) -> str:
    """A wait: in milliseconds below a second, ``–`` where nothing waited."""
    if seconds is None:
        return "–"
    return f"{seconds * 1_000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def figure(number: float) -> str:
    """A number without a tail of zeros: ``3``, ``12.5``."""
    return f"{number:,.1f}".removesuffix(".0")


def moment(at_s: float) -> str:
    """A time of day in UTC, to the second."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%H:%M:%S")


def dollars(total: str) -> str:
    """An exact amount as dollars and cents, rounded down: what is shown is there."""
    return f"${Decimal(total).quantize(CENT, rounding='ROUND_FLOOR'):,}"


def balance_told(balance: BalanceRow | None, amounts_shown: bool) -> str:
    """An account's dollars, or why there is no figure."""
    if balance is None or balance["as_of"] is None:
        return UNKNOWN
    if not amounts_shown or balance["total"] is None:
        return "hidden"
    return dollars(balance["total"])


def nonce_told(nonce: int) -> str:
    """A nonce in groups of three, ``none`` before the first."""
    return f"{nonce:,}".replace(",", "\u202f") if nonce else "none"


def against_clock(lane: LaneRow) -> str:
    """Where the last nonce stands against this machine's clock."""
    ahead_s = lane["ahead_of_clock_s"]
    if ahead_s is None:
        return ""
    return f"{lasted(abs(ahead_s))} {'ahead of' if ahead_s > 0 else 'behind'} the clock"


def holder_told(lane: LaneRow) -> str:
    """Who has the turn, and for how long without a nonce."""
    if lane["holder"] is None:
        return "this process" if lane["in_flight"] else "nobody"
    held_s = lane["held_s"]
    return f"process {lane['holder']}" + (f" for {lasted(held_s)}" if held_s is not None and held_s >= 1 else "")


def outcome_told(outcome: str) -> str:
    """An outcome in people's words."""
    return OUTCOME_WORDS.get(outcome, outcome)


def counter_named(counter: CounterRow) -> str:
    """Which of Kraken's counters it is."""
    return "REST calls" if counter["name"] == "rest" else f"trading {counter['name']}"


def level_told(counter: CounterRow) -> str:
    """A counter's level and limit in words."""
    return f"{figure(counter['level'])} of {figure(counter['limit'])}"


def drain_told(counter: CounterRow) -> str:
    """When it will be empty, and what it blocks."""
    if counter["blocked_s"]:
        return f"throttled for another {lasted(counter['blocked_s'])}"
    return f"empty in {lasted(counter['drain_s'])}" if counter["drain_s"] >= 0.5 else "empty"
