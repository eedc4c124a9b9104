"""The one place where the simulator reads the time, and what it plans to do at a later time.

A server owns one `Clock` and hands it down; nothing else in this package asks the system for the time. A clock is
`real`, `moved` (the system's time and so much more) or `frozen` (it stands until it is advanced). What shall happen
later by that clock stands in a `Timetable`. Only what happens on the wire (latency, a hang, a slow answer) takes real
time, whatever the clock says.
"""

import heapq
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

NS_PER_S = 1_000_000_000
FROZEN_START = "2026-01-01T00:00:00Z"  # the same at every run, so that a run can be repeated to the letter


class Clock:
    """Wall clock time in nanoseconds since 1970 (UTC). With `frozen_ns` it stands at that instant."""

    _moment_ns: int | None = None  # of the class, for clocks of tests that show another time and have no more to say

    def __init__(self, *, frozen_ns: int | None = None, ahead_ns: int = 0) -> None:
        self.frozen_ns, self.ahead_ns = frozen_ns, ahead_ns

    @property
    def mode(self) -> str:
        """`real`, `moved` or `frozen`."""
        if self.frozen_ns is not None:
            return "frozen"
        return "moved" if self.ahead_ns else "real"

    def now_ns(self) -> int:
        """Nanoseconds since 1970, as an int of 19 digits."""
        if self._moment_ns is not None:
            return self._moment_ns
        return time.time_ns() + self.ahead_ns if self.frozen_ns is None else self.frozen_ns

    @contextmanager
    def moment(self, now_ns: int) -> Iterator[None]:
        """Show one moment as long as this lasts: what happens at once happens at one time. Under the owner's lock."""
        before, self._moment_ns = self._moment_ns, now_ns
        try:
            yield
        finally:
            self._moment_ns = before

    def freeze(self) -> None:
        """Stand still from now on."""
        self.frozen_ns = self.now_ns()

    def advance(self, ns: int) -> None:
        """Go forward by so much at once, and on from there as before."""
        if self.frozen_ns is None:
            self.ahead_ns += ns
        else:
            self.frozen_ns += ns

    def real(self) -> None:
        """Show the system's time again; that may be a step back."""
        self.frozen_ns, self.ahead_ns = None, 0

    def document(self) -> dict[str, Any]:
        """The clock as JSON; nanoseconds as text, because 19 digits do not fit a JavaScript number."""
        now_ns = self.now_ns()
        return {"mode": self.mode, "now_ns": str(now_ns), "now": iso(now_ns), "ahead_s": self.ahead_ns / NS_PER_S}


def clock_of(mode: str, start: str | None = None) -> Clock:
    """A clock that is `real`, or `frozen` at `start`: RFC 3339 with its zone, `now`, or None for `FROZEN_START`.

    ValueError for another mode, a start that cannot be read or lies before 1970, and a real clock with a start.
    """
    if mode not in ("real", "frozen"):
        raise ValueError("clock must be real, frozen or a Clock")
    if mode == "real":
        if start is not None:
            raise ValueError("start is for a frozen clock only: a real one starts now")
        return Clock()
    return Clock(frozen_ns=Clock().now_ns() if start == "now" else _ns_of(start or FROZEN_START))


def _ns_of(text: str) -> int:
    wanted = f"start: {text!r} is no time; give one such as {FROZEN_START}, or now"
    try:
        since = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, TypeError):  # a time without its zone cannot be subtracted from one that has it
        raise ValueError(wanted) from None
    if since < timedelta(0):
        raise ValueError(wanted)
    return since // timedelta(microseconds=1) * 1000


@dataclass(order=True)
class Plan:
    """One thing to do at `due_ns`; `drop` is called instead when the timetable is cleared."""

    due_ns: int
    number: int
    act: Callable[[], None] = field(compare=False)
    drop: Callable[[], None] = field(compare=False)


class Timetable:
    """What is to happen, in order of time. `changed` is told when the next time is another one than before."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.changed: Callable[[], None] = lambda: None
        self._plans: list[Plan] = []
        self._numbers = itertools.count()

    @property
    def next_ns(self) -> int | None:
        """When the next thing is due; None when nothing is planned."""
        return self._plans[0].due_ns if self._plans else None

    def add(self, due_ns: int, act: Callable[[], None], drop: Callable[[], None] = lambda: None) -> None:
        """Do `act` at `due_ns`; things of one time are done in the order in which they were added."""
        heapq.heappush(self._plans, Plan(due_ns, next(self._numbers), act, drop))
        self.changed()

    def run(self) -> None:
        """Do what is due by now, each thing as of its own time."""
        end_ns = self.clock.now_ns()
        while self._plans and self._plans[0].due_ns <= end_ns:
            plan = heapq.heappop(self._plans)
            with self.clock.moment(plan.due_ns):
                plan.act()

    def advance(self, ns: int) -> None:
        """Move the clock forward and do what is due by then."""
        self.clock.advance(ns)
        self.run()
        self.changed()

    def clear(self) -> None:
        """Drop all that is planned."""
        plans, self._plans = self._plans, []
        for plan in plans:
            plan.drop()


def seconds(ns: int) -> float:
    """The float of seconds that Kraken shows in `opentm` and `closetm`, to a tenth of a millisecond."""
    return round(ns / NS_PER_S, 4)


def iso(ns: int) -> str:
    """RFC 3339 in UTC with whole seconds, as in `SystemStatus`: `2026-11-21T09:33:00Z`."""
    return datetime.fromtimestamp(ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc1123(ns: int) -> str:
    """The date form of Kraken's `Time`: `Sat, 21 Nov 26 09:33:00 +0000`."""
    return datetime.fromtimestamp(ns // NS_PER_S, UTC).strftime("%a, %d %b %y %H:%M:%S +0000")
