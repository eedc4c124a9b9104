"""The steps in SQL decide as core.lease does: thousands of random ones, the engine's clock and life in our hands."""

import os
import random

import psycopg
import pytest
from postgres_server import shared

from sealane.core import lease
from sealane.core.lease import Grant
from sealane.core.nonce import MAX_NONCE
from sealane.store.postgres import open_engine

LEASE_MS = 3_000
STEPS = 3_000
HOSTS = ("a", "b", "c", "d")
LANE, SCHEMA = "kraken_global_nonce", "replayed"
STEPS_OF_TIME_MS = (0, 0, 0, 1, 20, 300, 999, 1_000, 1_001, 1_999, 2_000, 2_999, 3_000, 3_001, -5_000)
IN_OUR_HANDS = f"""
    CREATE TABLE {SCHEMA}.hands (now_ms bigint, incarnation text);
    INSERT INTO {SCHEMA}.hands VALUES (0, '');
    CREATE OR REPLACE FUNCTION {SCHEMA}.clock_ms() RETURNS bigint LANGUAGE sql AS 'SELECT now_ms FROM {SCHEMA}.hands';
    CREATE OR REPLACE FUNCTION {SCHEMA}.incarnation() RETURNS text LANGUAGE sql
        AS 'SELECT incarnation FROM {SCHEMA}.hands';
"""


class Replay:
    """The engine and the reference side by side; each step is made by both and compared, answer and record."""

    def __init__(self, engine, hands, seed):
        self.engine, self.hands, self.random = engine, hands, random.Random(seed)
        self.moment = lease.Engine("1", 1_800_000_000_000, LEASE_MS)
        self.record, self.epochs, self.kinds = None, [0], set()

    def turn_the_clock(self):
        passed_ms = self.random.choice(STEPS_OF_TIME_MS)
        incarnation = self.moment.incarnation + ("+" if self.random.random() < 0.01 else "")
        self.moment = lease.Engine(incarnation[-20:], self.moment.now_ms + passed_ms, LEASE_MS)
        self.hands.execute(
            f"UPDATE {SCHEMA}.hands SET now_ms = %s, incarnation = %s", (self.moment.now_ms, self.moment.incarnation)
        )

    def step(self):
        self.turn_the_clock()
        host, nonce = self.random.choice(HOSTS), self.nonce()
        # Mostly by the epoch that is valid, else by an older one: another's step, or a late one.
        epoch = self.random.choice(self.epochs[-3:]) if self.random.random() < 0.3 else self.epochs[-1]
        kind = self.random.choice(("acquire", "acquire", "acquire", "renew", "release", "release", "withdraw"))
        if kind in ("renew", "release") and self.record and self.random.random() < 0.7:
            host = self.record.host or host
        said, expected = getattr(self, kind)(host, epoch, nonce)
        assert said == expected, kind
        assert self.engine.show(LANE).record == self.record, kind
        self.kinds.add((kind, type(said).__name__, getattr(said, "clean", None), bool(self.record.waiters)))
        if isinstance(said, Grant) and said.epoch != self.epochs[-1]:
            self.epochs.append(said.epoch)

    def nonce(self):
        near = self.record.floor if self.record else 0
        likely = (0, near - 1, near + 1, near + 7, self.moment.now_ms * 1_000_000)
        return min(MAX_NONCE, MAX_NONCE if self.random.random() < 0.0005 else max(0, self.random.choice(likely)))

    def decide(self, verb, *arguments):
        self.record, answer = verb(self.record, self.moment, *arguments)
        return answer

    def acquire(self, host, _, nonce):
        said, documents = self.engine.acquire(LANE, host, nonce)
        assert documents == {}
        return said, self.decide(lease.acquire, host, nonce)

    def renew(self, host, epoch, nonce):
        return self.engine.renew(LANE, host, epoch, nonce, {}), self.decide(lease.renew, host, epoch, nonce)

    def release(self, host, epoch, nonce):
        return self.engine.release(LANE, host, epoch, nonce, {}), self.decide(lease.release, host, epoch, nonce)

    def withdraw(self, host, *_):
        said = self.engine._step("withdraw", LANE, host, LEASE_MS)["next"]
        return said, self.decide(lease.withdraw, host)


@pytest.fixture
def engine():
    opened = open_engine(shared().url(schema=SCHEMA, lease_ms=LEASE_MS))
    opened.now_ms()
    yield opened
    opened.close()
    shared().sql(f"DROP SCHEMA {SCHEMA} CASCADE")


def test_sql_and_python_decide_alike(engine):
    shared().sql(IN_OUR_HANDS)
    seed = int(os.environ.get("SEALANE_SEED", "0")) or random.randrange(2**32)
    print(f"SEALANE_SEED={seed}")
    with psycopg.connect(shared().url(), autocommit=True) as hands:
        replay = Replay(engine, hands, seed)
        for _ in range(STEPS):
            replay.step()
    seen = {(kind, answer) for kind, answer, *_ in replay.kinds}
    assert seen == {
        ("acquire", "Grant"), ("acquire", "Wait"), ("renew", "Grant"), ("renew", "Lost"),
        ("release", "str"), ("release", "Lost"), ("withdraw", "str"),
    }  # fmt: skip
    assert {("acquire", "Grant", clean, waited) for clean in (True, False) for waited in (True, False)} <= replay.kinds
    assert len(replay.epochs) > STEPS // 50


def test_the_engines_own_clock_is_read_once_a_step(engine):
    asked = engine._step("acquire", LANE, "a", 0, LEASE_MS)
    record = engine.show(LANE).record
    assert record.quiet_until_ms == asked["now_ms"] + LEASE_MS
    assert record.waiters[0].until_ms == asked["now_ms"] + lease.PATIENCE_MS
    assert asked["now_ms"] <= engine.now_ms()
