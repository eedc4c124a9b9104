"""An account's counters on their way from one host to the next.

Claims and promises stay: they are of calls that wait or run on the host they were made on. What is settled travels. A
call that is settled after its host let the lane go is missing at the next host; where that matters Kraken refuses, and
the counter is corrected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sealane.core.counter import Counter
from sealane.core.rates import Rates


def travelling(stored: Mapping[str, object]) -> dict[str, object]:
    """A host's document without its claims and promises."""
    rates = Rates.loaded(stored)
    counters = {name: replace(counter, held={}) for name, counter in rates.counters.items()}
    return replace(rates, counters=counters).stored()


def taken_over(theirs: Mapping[str, object], ours: Mapping[str, object]) -> dict[str, object]:
    """Our document after we took the lane over: their levels, our claims."""
    there, here = Rates.loaded(theirs), Rates.loaded(ours)
    counters = {
        name: _later(there.counters.get(name, Counter()), here.counters.get(name, Counter()))
        for name in {*there.counters, *here.counters}
    }
    blocked = {key: max(there.blocked_ns.get(key, 0), here.blocked_ns.get(key, 0)) for key in {*there.blocked_ns}}
    return Rates(counters, there.open, there.looked_ns, {**here.blocked_ns, **blocked}).stored()


def _later(theirs: Counter, ours: Counter) -> Counter:
    """The level as of the later moment; where ours is later, the higher of both, which errs on the safe side."""
    if theirs.at_ns >= ours.at_ns:
        return replace(theirs, held=ours.held)
    return replace(ours, level=max(theirs.level, ours.level), strikes=max(theirs.strikes, ours.strikes))
