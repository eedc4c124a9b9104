"""The steps of a lane's record at an engine: who gets it, from which floor, and what a restarted engine may not do."""

from dataclasses import replace

import pytest

from sealane.core.lease import CLAIM_MS, PATIENCE_MS, Engine, Grant, Lost, Wait, acquire, release, renew, withdraw

LEASE_MS = 3_000


class Table:
    """One lane's record and an engine's clock, with the steps as verbs."""

    def __init__(self):
        self.engine, self.record = Engine("first", 1_000_000, LEASE_MS), None

    def pass_ms(self, passed_ms):
        self.engine = replace(self.engine, now_ms=self.engine.now_ms + passed_ms)

    def restart(self, record):
        self.engine, self.record = replace(self.engine, incarnation=self.engine.incarnation + "+"), record

    def _step(self, step, *arguments):
        self.record, answer = step(self.record, self.engine, *arguments)
        return answer

    def acquire(self, host, ceiling=0):
        return self._step(acquire, host, ceiling)

    def renew(self, host, epoch, ceiling=0):
        return self._step(renew, host, epoch, ceiling)

    def release(self, host, epoch, last=0):
        return self._step(release, host, epoch, last)

    def withdraw(self, host):
        return self._step(withdraw, host)


@pytest.fixture
def table():
    """An engine that has been up for a lease."""
    made = Table()
    assert made.acquire("nobody").again_ms
    made.withdraw("nobody")
    made.pass_ms(LEASE_MS)
    return made


def test_a_lane_that_an_engine_never_saw_is_granted_after_one_lease():
    table = Table()
    assert table.acquire("a") == Wait("", 0, 0, PATIENCE_MS // 2)
    table.pass_ms(LEASE_MS - 1)
    assert isinstance(table.acquire("a"), Wait)
    table.pass_ms(1)
    assert isinstance(table.acquire("a"), Grant)


def test_one_host_at_a_time_and_a_clean_hand_over_goes_on_above_the_last_nonce(table):
    first = table.acquire("a", ceiling=900)
    assert isinstance(table.acquire("b"), Wait)
    assert table.release("a", first.epoch, last=500) == "b"
    second = table.acquire("b", ceiling=1_000)
    assert (second.floor, second.clean) == (500, True)
    assert second.epoch > first.epoch
    assert isinstance(table.renew("a", first.epoch), Lost)


def test_a_lease_that_ran_out_is_taken_over_above_its_ceiling(table):
    first = table.acquire("a", ceiling=900)
    table.pass_ms(LEASE_MS - 1)
    assert isinstance(table.acquire("b"), Wait)
    table.pass_ms(1)
    second = table.acquire("b")
    assert (second.floor, second.clean) == (900, False)
    assert table.renew("a", first.epoch) == Lost("b", second.epoch)
    assert table.release("a", first.epoch, last=899) == Lost("b", second.epoch)


def test_a_renewal_makes_it_last_and_raises_the_ceiling_only(table):
    grant = table.acquire("a", ceiling=900)
    table.pass_ms(LEASE_MS - 1)
    assert table.renew("a", grant.epoch, ceiling=2_000).ceiling == 2_000
    assert table.renew("a", grant.epoch, ceiling=10).ceiling == 2_000
    table.pass_ms(LEASE_MS - 1)
    assert isinstance(table.acquire("b"), Wait)
    table.pass_ms(1)
    assert table.acquire("b").floor == 2_000


def test_hosts_are_served_in_the_order_of_asking(table):
    grant = table.acquire("a")
    assert [table.acquire(host).ahead for host in ("b", "c", "d", "b")] == [0, 1, 2, 0]
    assert table.release("a", grant.epoch) == "b"
    assert isinstance(table.acquire("c"), Wait)
    second = table.acquire("b")
    assert second.wanted
    assert table.release("b", second.epoch) == "c"


def test_who_stopped_asking_is_passed_over(table):
    grant = table.acquire("a")
    table.acquire("b")
    table.pass_ms(PATIENCE_MS - 500)
    table.acquire("c")
    table.pass_ms(500)
    assert table.release("a", grant.epoch, last=7) == "c"


def test_a_lane_kept_for_one_who_does_not_come_is_still_clean(table):
    grant = table.acquire("a")
    table.acquire("b")
    assert table.release("a", grant.epoch, last=7) == "b"
    table.pass_ms(CLAIM_MS)
    late = table.acquire("c")
    assert (late.floor, late.clean) == (7, True)


def test_who_withdraws_hands_on_what_was_kept_for_it(table):
    grant = table.acquire("a")
    table.acquire("b")
    table.acquire("c")
    assert table.withdraw("b") == ""
    assert table.release("a", grant.epoch, last=7) == "c"
    table.acquire("d")
    assert table.withdraw("c") == "d"
    assert table.acquire("d").floor == 7


def test_who_withdraws_keeps_a_lease_that_it_uses(table):
    grant = table.acquire("a")
    assert table.withdraw("a") == ""
    assert isinstance(table.renew("a", grant.epoch), Grant)


def test_an_engine_that_lost_everything_grants_nothing_for_one_lease_and_epochs_go_on(table):
    grant = table.acquire("a", ceiling=900)
    table.restart(record=None)
    assert isinstance(table.renew("a", grant.epoch), Lost)
    assert isinstance(table.acquire("b"), Wait)
    table.pass_ms(LEASE_MS)
    assert table.acquire("b").epoch > grant.epoch


def test_an_engine_that_lost_its_last_steps_does_not_grant_to_one_who_has_let_go(table):
    first = table.acquire("a")
    before = table.record
    table.acquire("b")
    table.release("a", first.epoch, last=7)
    table.acquire("b")
    table.restart(record=before)
    assert isinstance(table.acquire("a"), Wait), "b is at work"
    table.pass_ms(LEASE_MS)
    assert not table.acquire("a").clean


def test_a_holder_goes_on_over_a_restart_that_lost_nothing(table):
    grant = table.acquire("a")
    table.restart(record=table.record)
    assert table.renew("a", grant.epoch).epoch == grant.epoch
    assert table.release("a", grant.epoch, last=7) == ""
    assert isinstance(table.acquire("b"), Wait)


@pytest.mark.parametrize("back_ms", [1, LEASE_MS, 3_600_000])
def test_a_clock_that_steps_back_keeps_nobody_for_longer_than_a_lease(table, back_ms):
    grant = table.acquire("a", ceiling=900)
    table.acquire("gone")
    table.pass_ms(-back_ms)
    assert isinstance(table.acquire("b"), Wait)
    table.pass_ms(LEASE_MS - 1)
    assert isinstance(table.acquire("b"), Wait)
    table.pass_ms(1)
    late = table.acquire("b")
    assert (late.floor, late.clean) == (900, False)
    assert late.epoch > grant.epoch


def test_a_quiet_engine_whose_clock_steps_back_is_quiet_for_one_lease_from_then(table):
    table.restart(record=None)
    table.acquire("a")
    table.pass_ms(-3_600_000)
    assert isinstance(table.acquire("a"), Wait)
    table.pass_ms(LEASE_MS)
    assert isinstance(table.acquire("a"), Grant)


@pytest.mark.parametrize("back_ms", [0, 10, 3_600_000])
def test_who_held_the_lane_over_a_restart_lets_go_uncleanly(table, back_ms):
    """What it stored with the engine before may be lost, such as a key that has to be fenced."""
    grant = table.acquire("a", ceiling=900)
    table.pass_ms(-back_ms)
    table.restart(record=table.record)
    assert table.renew("a", grant.epoch).epoch == grant.epoch
    assert table.release("a", grant.epoch, last=7) == ""
    table.pass_ms(LEASE_MS)
    first = table.acquire("b")
    assert (first.floor, first.clean) == (900, False)
    table.release("b", first.epoch, last=1_000)
    second = table.acquire("a")
    assert (second.floor, second.clean) == (1_000, True)
