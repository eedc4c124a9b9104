"""This machine's clock against Kraken's own.

Nonces need no right clock; orders do: each carries a deadline, by this clock, that Kraken holds against its own. Kraken
tells whole seconds, so an offset is known to half a second and half the round trip.
"""

from __future__ import annotations

from dataclasses import dataclass

from sealane.core.nonce import NS_PER_S
from sealane.doctor.finding import Finding, fault, ok, warning
from sealane.errors import Unavailable

OFFSET_WARNING_S = 2.0
OFFSET_FAULT_S = 7.0
"""The default deadline of an order is 10 s, and it takes some time on the way."""
ROUND_TRIP_WARNING_S = 2.0
TIME_GRAIN_S = 1.0
REMEDY = "turn on the machine's time service (timedatectl set-ntp true, chronyc makestep) and look again"


@dataclass(frozen=True)
class ClockFacts:
    """One answer of Kraken's Time: its whole second, and this clock when it was asked and when it had the answer."""

    server_s: int
    asked_ns: int
    answered_ns: int

    @property
    def round_trip_s(self) -> float:
        """How long the answer took."""
        return (self.answered_ns - self.asked_ns) / NS_PER_S

    @property
    def ahead_s(self) -> float:
        """How far this clock is ahead of Kraken's; negative where it is behind."""
        middle_s = (self.asked_ns + self.answered_ns) / 2 / NS_PER_S
        return middle_s - (self.server_s + TIME_GRAIN_S / 2)

    @property
    def certain_s(self) -> float:
        """How much of the offset is certain."""
        return max(0.0, abs(self.ahead_s) - self.round_trip_s / 2 - TIME_GRAIN_S / 2)


def unix_time(answer: object) -> int:
    """The second that Kraken's Time tells; raises Unavailable for an answer that is none."""
    told = answer.get("unixtime") if isinstance(answer, dict) else None
    if not isinstance(told, int):
        raise Unavailable("its answer tells no time")
    return told


def judge_clock(facts: ClockFacts) -> list[Finding]:
    """What one answer says of the clock, and of the way to Kraken."""
    return [_offset(facts), _way(facts)]


def _offset(facts: ClockFacts) -> Finding:
    side = "ahead of" if facts.ahead_s > 0 else "behind"
    shown = f"this clock is {abs(facts.ahead_s):,.1f} s {side} Kraken's"
    if facts.certain_s >= OFFSET_FAULT_S:
        message = f"{shown}: orders carry deadlines by it, and Kraken refuses or drops them; nonces go on all the same"
        return fault("clock", "Kraken's Time", message, REMEDY)
    if facts.certain_s >= OFFSET_WARNING_S:
        return warning("clock", "Kraken's Time", f"{shown}: orders' deadlines are off by as much", REMEDY)
    return ok("clock", "Kraken's Time", f"the clocks agree within {facts.round_trip_s / 2 + TIME_GRAIN_S:.1f} s")


def _way(facts: ClockFacts) -> Finding:
    if facts.round_trip_s >= ROUND_TRIP_WARNING_S:
        return warning(
            "round-trip",
            "Kraken's Time",
            f"an answer took {facts.round_trip_s:.1f} s: a lane makes one private call at a time, so this is its pace",
            "look at the network between here and Kraken, or run nearer to it",
        )
    return ok("round-trip", "Kraken's Time", f"an answer took {facts.round_trip_s * 1000:.0f} ms")
