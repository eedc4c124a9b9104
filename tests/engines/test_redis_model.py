"""The scripts decide as ``core.lease`` does: every step is replayed there, with the server's own clock and identity.

Time is not waited for: to let it pass, all times of the record are moved back, in the server and beside it.
"""

from dataclasses import fields, replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis_server import BINARIES, INSTALLED, serving

from sealane.core import lease
from sealane.core.lease import Record, Waiter
from sealane.store.redis.engine import RedisEngine

LEASE_MS = 3_000
HOSTS = ("a", "b", "c", "host with a space\n")
EDGES = (0, 9, 10, 99, 2**53, 2**53 + 1, 10**18 - 1, 10**18, 2**63 - 2, 2**64 - 1)
TIMES = ("quiet_until_ms", "since_ms", "expires_ms")

nonces = st.sampled_from(EDGES) | st.integers(0, 2**64 - 1)
hosts = st.sampled_from(HOSTS)
spans = st.sampled_from((1, 2, lease.CLAIM_MS, lease.PATIENCE_MS, LEASE_MS)) | st.integers(0, 2 * LEASE_MS)
near = st.integers(-2, 2) | st.integers(-LEASE_MS, LEASE_MS)
stale = st.sampled_from((0, 0, 0, -1))
steps = (
    st.tuples(st.just("acquire"), hosts, nonces)
    | st.tuples(st.just("renew"), hosts, stale, nonces)
    | st.tuples(st.just("release"), hosts, stale, nonces)
    | st.tuples(st.just("withdraw"), hosts)
)
passing = st.tuples(st.just("pass"), spans) | st.tuples(
    st.just("edge"), st.sampled_from((*TIMES, "waiters")), st.integers(-1, 1)
)
losing = st.tuples(st.sampled_from(("restart", "flush")))
records = st.builds(
    Record,
    incarnation=st.sampled_from(("here", "gone")),
    quiet_until_ms=near,
    epoch=st.integers(0, 10**15),
    host=st.sampled_from(("", *HOSTS)),
    claimed=st.booleans(),
    since_ms=near,
    expires_ms=near,
    floor=nonces,
    ceiling=nonces,
    clean=st.booleans(),
    waiters=st.lists(st.builds(Waiter, hosts, near), max_size=4, unique_by=lambda waiter: waiter.host).map(tuple),
)
putting = st.tuples(st.just("put"), records)
histories = st.lists(steps | steps | passing | putting | losing, min_size=25, max_size=60)


class ToldEngine(RedisEngine):
    """Keeps what each step said of the time."""

    step_ms = 0

    def _step(self, *arguments, **options):
        answer = super()._step(*arguments, **options)
        self.step_ms = int(answer[0])
        return answer


class Twins:
    """One lane at a server, and the record that it must have."""

    steps = 0

    def __init__(self, server, client):
        self.engine, self.client, self.lane = ToldEngine(server.url(lease_ms=LEASE_MS)), client, "lane"
        self.keys = self.engine._address.lane_keys(self.lane)
        info = client.info()
        self.here = f"{info['run_id']}/{info['master_replid']}"
        self.record = None
        self.write()

    def run(self, operation):
        name, *arguments = operation
        {
            "pass": self.let_pass,
            "edge": self.to_edge,
            "restart": self.restart,
            "flush": self.flush,
            "put": self.put,
        }.get(name, lambda *given: self.step(name, *given))(*arguments)

    def put(self, record):
        """With a record whose times are relative to now."""
        self.record = replace(record, incarnation=self.here if record.incarnation == "here" else "gone")
        self.shift(self.engine.now_ms())

    def step(self, name, host, *given):
        Twins.steps += 1
        if name in ("renew", "release"):
            given = (max(0, (self.record.epoch if self.record else 0) + given[0]), *given[1:])
        documents = [{}] if name in ("renew", "release") else []
        answer = getattr(self.engine, name)(self.lane, host, *given, *documents)
        moment = lease.Engine(self.here, self.engine.step_ms, LEASE_MS)
        self.record, expected = getattr(lease, name)(self.record, moment, host, *given)
        if name == "acquire":
            answer, _ = answer
        if name == "withdraw":
            expected = None
        assert answer == expected, (name, host, given)
        assert self.engine.show(self.lane).record == self.record

    def let_pass(self, passed_ms):
        self.shift(-passed_ms)

    def to_edge(self, name, by_ms):
        """So that a time is now, or next to it."""
        if self.record and (name != "waiters" or self.record.waiters):
            due_ms = self.record.waiters[0].until_ms if name == "waiters" else getattr(self.record, name)
            self.shift(self.engine.now_ms() - due_ms + by_ms)

    def shift(self, by_ms):
        if self.record:
            moved = {name: max(0, getattr(self.record, name) + by_ms) for name in TIMES}
            waiters = tuple(Waiter(each.host, max(0, each.until_ms + by_ms)) for each in self.record.waiters)
            self.record = replace(self.record, waiters=waiters, **moved)
            self.write()

    def restart(self):
        if self.record:
            self.record = replace(self.record, incarnation="another/life")
            self.write()

    def flush(self):
        self.record = None
        self.write()

    def write(self):
        lease_key, waiters_key, *_ = self.keys
        self.client.delete(lease_key, waiters_key)
        if self.record:
            kept = {each.name: getattr(self.record, each.name) for each in fields(Record) if each.name != "waiters"}
            self.client.hset(lease_key, mapping={name: plain(value) for name, value in kept.items()})
            for waiter in self.record.waiters:
                self.client.rpush(waiters_key, f"{waiter.until_ms} {waiter.host}")


def plain(value):
    return str(int(value)) if isinstance(value, bool) else str(value)


@pytest.fixture(scope="module", params=INSTALLED)
def place(request, tmp_path_factory):
    with (
        serving(tmp_path_factory.mktemp(request.param), binary=BINARIES[request.param]) as server,
        server.client() as client,
    ):
        yield server, client


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories)
@example([("acquire", "a", 5), ("pass", LEASE_MS), ("acquire", "a", 7), ("acquire", "b", 7), ("release", "a", 0, 6)])
def test_the_scripts_decide_as_the_reference(place, history):
    twins = Twins(*place)
    try:
        for operation in history:
            twins.run(operation)
    finally:
        twins.engine.close()


def test_thousands_of_steps_were_compared():
    assert Twins.steps == 0 or Twins.steps > 1_500, Twins.steps


def test_the_comparison_can_fail(place):
    """A record that says something else is seen."""
    twins = Twins(*place)
    try:
        twins.put(Record("here", 0, expires_ms=0, floor=7, clean=True))
        twins.record = replace(twins.record, floor=8)
        with pytest.raises(AssertionError):
            twins.step("acquire", "a", 0)
    finally:
        twins.engine.close()
