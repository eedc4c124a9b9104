"""What went through the gateway: totals by virtual key and by account, the last hour by minutes, the last errors.

1. One thread's alone, the event loop's: nothing here locks or waits. ``settled`` is called for every call and takes a
   few microseconds; ``seen()`` takes a snapshot for whoever shows it.
2. Memory is fixed: so many names, minutes and errors, however many calls there were. Names beyond count as ``OTHER``.
3. No secret gets in: a key goes by its name, and an error's text is cut, and masked where it looks like a key.
"""

from __future__ import annotations

import collections
import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from sealane.core.nonce import NS_PER_S
from sealane.runtime.clock import SYSTEM_CLOCK, Clock

ANSWERED, REFUSED, DENIED, THROTTLED = "answered", "refused", "denied", "throttled"
IN_DOUBT, UNAVAILABLE = "in_doubt", "unavailable"
OUTCOMES = (ANSWERED, REFUSED, DENIED, THROTTLED, IN_DOUBT, UNAVAILABLE)
"""Kraken answered, or refused; the gateway denied it by policy, or had no room; lost its answer; could not be asked."""
REFUSALS = (REFUSED, DENIED, THROTTLED)
"""What counts as a refusal in a minute's figures: the call did nothing, and a person may want to know why."""

MINUTE_S, MINUTES = 60, 60
ERRORS_KEPT = 20
NAMES_MAX = 1_000
OTHER = "(other)"
METHOD_CHARACTERS_MAX, ERROR_CHARACTERS_MAX = 40, 200
WAIT_BOUNDS_S = tuple(round(0.001 * 1.5**step, 6) for step in range(28))
"""Waits are counted between these bounds, 1 ms … 57 s: so a median is told at most half too long."""
_LOOKS_LIKE_A_KEY = re.compile(r"[A-Za-z0-9+/=]{48,}")


@dataclass(frozen=True, slots=True)
class Passed:
    """One call that came to its end.

    Attributes:
        key, account: the virtual key's name, and the account it is for.
        method: Kraken's name of it. outcome: one of ``OUTCOMES``.
        errors: Kraken's, or the gateway's own.
        wait_s: how long it waited for room and for its turn. took_s: from its arrival to its answer.
    """

    key: str
    account: str
    method: str
    outcome: str
    errors: tuple[str, ...] = ()
    wait_s: float = 0.0
    took_s: float = 0.0


@dataclass(frozen=True)
class Failure:
    """A call that was not answered: when (nanoseconds since boot, and Unix seconds), whose, and what was said."""

    at_ns: int
    at_s: float
    key: str
    account: str
    method: str
    outcome: str
    text: str


@dataclass(frozen=True)
class Minute:
    """One minute: ``age`` in whole minutes, 0 for the one under way. Waits are None where nothing went through."""

    age: int
    calls: int = 0
    refusals: int = 0
    failures: int = 0
    wait_p50_s: float | None = None
    wait_max_s: float | None = None


@dataclass(frozen=True)
class Passage:
    """What went through under one name; ``outcomes`` counts by outcome, ``last_ns`` is the last call's end."""

    outcomes: Mapping[str, int] = field(default_factory=dict)
    last_ns: int | None = None

    @property
    def calls(self) -> int:
        """All of them."""
        return sum(self.outcomes.values())


@dataclass(frozen=True)
class TrafficSeen:
    """The whole at one moment: oldest minute first, newest failure first. ``waiting`` is queued or in flight now."""

    keys: Mapping[str, Passage]
    accounts: Mapping[str, Passage]
    waiting: Mapping[str, int]
    minutes: tuple[Minute, ...]
    failures: tuple[Failure, ...]

    @property
    def calls(self) -> int:
        """Since the start."""
        return sum(one.calls for one in self.keys.values())


class _Bin:
    """A minute's counts while it is under way and for an hour after."""

    __slots__ = ("calls", "failures", "minute", "refusals", "wait_max_s", "waits")

    def __init__(self, minute: int) -> None:
        self.minute, self.calls, self.refusals, self.failures, self.wait_max_s = minute, 0, 0, 0, 0.0
        self.waits = [0] * (len(WAIT_BOUNDS_S) + 1)

    def add(self, passed: Passed) -> None:
        self.calls += 1
        outcome, wait_s = passed.outcome, passed.wait_s
        if outcome in REFUSALS:
            self.refusals += 1
        elif outcome != ANSWERED:
            self.failures += 1
        self.waits[bisect_left(WAIT_BOUNDS_S, wait_s)] += 1
        self.wait_max_s = max(self.wait_max_s, wait_s)

    def seen(self, minute: int) -> Minute:
        if not self.calls:
            return Minute(minute - self.minute)
        p50_s = min(median_s(self.waits), self.wait_max_s)
        return Minute(minute - self.minute, self.calls, self.refusals, self.failures, p50_s, self.wait_max_s)


class _Passages:
    """Counts by name and outcome."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {}
        self._last_ns: dict[str, int] = {}

    def add(self, name: str, outcome: str, now_ns: int) -> None:
        counts = self._counts.get(name)
        if counts is None:
            name = name if len(self._counts) < NAMES_MAX else OTHER
            counts = self._counts.setdefault(name, dict.fromkeys(OUTCOMES, 0))
        counts[outcome] += 1
        self._last_ns[name] = now_ns

    def seen(self) -> dict[str, Passage]:
        return {name: Passage(dict(counts), self._last_ns[name]) for name, counts in self._counts.items()}


class Traffic:
    """See the rules at the head of this file."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._keys, self._accounts = _Passages(), _Passages()
        self._waiting: dict[str, int] = {}
        self._bins: collections.deque[_Bin] = collections.deque(maxlen=MINUTES)
        self._failures: collections.deque[Failure] = collections.deque(maxlen=ERRORS_KEPT)

    def waiting(self, key: str, delta: int) -> None:
        """A call of a virtual key came (+1) or went (-1): so many are queued or in flight."""
        now = self._waiting.get(key, 0) + delta
        if now > 0:
            self._waiting[key] = now
        else:
            self._waiting.pop(key, None)

    def settled(self, passed: Passed, *, is_told: bool = True) -> None:
        """A call came to its end; raises KeyError for an odd outcome. ``is_told``: among the last errors too."""
        now_ns = self._clock.boot_ns()
        self._keys.add(passed.key, passed.outcome, now_ns)
        self._accounts.add(passed.account, passed.outcome, now_ns)
        minute = now_ns // (MINUTE_S * NS_PER_S)
        bins = self._bins
        if not bins or bins[-1].minute != minute:
            bins.append(_Bin(minute))
        bins[-1].add(passed)
        if passed.outcome != ANSWERED and is_told:
            self._keep(passed, now_ns)

    def _keep(self, passed: Passed, now_ns: int) -> None:
        at_s, text = self._clock.wall_ns() / NS_PER_S, shown(", ".join(passed.errors), ERROR_CHARACTERS_MAX)
        method = shown(passed.method, METHOD_CHARACTERS_MAX)
        self._failures.appendleft(Failure(now_ns, at_s, passed.key, passed.account, method, passed.outcome, text))

    def seen(self) -> TrafficSeen:
        """All of it now."""
        minute = self._clock.boot_ns() // (MINUTE_S * NS_PER_S)
        by_age = {minute - one.minute: one.seen(minute) for one in self._bins}
        minutes = tuple(by_age.get(age, Minute(age)) for age in range(MINUTES - 1, -1, -1))
        return TrafficSeen(
            self._keys.seen(), self._accounts.seen(), dict(self._waiting), minutes, tuple(self._failures)
        )


def median_s(counts: list[int]) -> float:
    """The median of what was counted between ``WAIT_BOUNDS_S``: the upper bound of the step in which it lies."""
    half, so_far = sum(counts) / 2, 0
    for step, count in enumerate(counts):
        so_far += count
        if count and so_far >= half:
            return WAIT_BOUNDS_S[min(step, len(WAIT_BOUNDS_S) - 1)]
    return 0.0


def shown(text: str, characters_max: int) -> str:
    """What others wrote, on one line of bearable length, without anything that looks like a key or a secret."""
    line = _LOOKS_LIKE_A_KEY.sub("…", " ".join(text.split()))
    return line if len(line) <= characters_max else f"{line[: characters_max - 1]}…"
