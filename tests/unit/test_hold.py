"""A host's side of a lease: how far its nonces may go, over any number of hosts that died."""

from dataclasses import replace

import pytest

from sealane.core.hold import ceiling
from sealane.core.lease import NS_PER_MS, Engine, acquire

LEASE_MS = 3_000
SECOND_NS = 1_000_000_000


@pytest.mark.parametrize("unit_ns", [1, 1_000, 1_000_000])
def test_hosts_that_die_one_after_the_other_put_the_nonces_no_further_ahead_than_one_lease(unit_ns):
    engine, record, last = Engine("one", 1_800_000_000_000, LEASE_MS), None, 0
    for number in range(1_000):
        wall_ns = engine.now_ms * NS_PER_MS
        record, _ = acquire(record, engine, f"host {number}", ceiling(last, wall_ns, LEASE_MS, unit_ns))
        last = max(last + 1, record.floor + 1, wall_ns // unit_ns)
        ahead_ns = last * unit_ns - wall_ns
        assert ahead_ns <= LEASE_MS * NS_PER_MS + SECOND_NS
        engine = replace(engine, now_ms=engine.now_ms + LEASE_MS)


def test_a_lease_leaves_room_ahead_of_the_clock_and_above_a_nonce_that_stands_ahead_of_it():
    wall_ns, ahead = 1_800_000_000 * SECOND_NS, 1_800_000_060 * SECOND_NS
    assert ceiling(0, wall_ns, LEASE_MS, 1) > wall_ns + LEASE_MS * NS_PER_MS
    assert ahead + 1_000 < ceiling(ahead, wall_ns, LEASE_MS, 1) < ahead + SECOND_NS
