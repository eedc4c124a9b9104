"""One account's balance shared by its brokers: cache, one fetch for all who wait, orders in between, recovery."""

import queue
import threading
from decimal import Decimal

import pytest

from sealane.broker import recovery as recovery_module
from sealane.broker.recovery import RecoveryFigures, backoff_s
from sealane.broker.shared import PERSON_S, SharedBalance, shared_balance
from sealane.broker.standing import Holdings
from sealane.errors import Quarantined, Refused, SettingsError, Unavailable
from sealane.testing import FakeClock

LIMIT_S = 20


class Scripted:
    """A source that answers, fails, or waits for the test, as it is told; counts how often it was asked."""

    def __init__(self, clock):
        self.clock, self.asked, self.trouble, self.holds = clock, 0, None, False
        self.asked_briefly, self.takes_s = 0, 0
        self.began, self.may_go = threading.Event(), threading.Event()
        self.may_go.set()

    def holds_turn(self):
        return self.holds

    def fetch_briefly(self):
        self.asked_briefly += 1
        return self.fetch_holdings()

    def fetch_holdings(self):
        self.asked += 1
        number, asked_ns = self.asked, self.clock.boot_ns()
        self.began.set()
        assert self.may_go.wait(LIMIT_S)
        self.clock.advance(self.takes_s)
        if self.trouble is not None:
            raise self.trouble
        amount = Decimal(number)
        return Holdings({"ZUSD": amount}, amount, Decimal(0), self.clock.wall_ns() / 1e9, asked_ns)


class Pauses:
    """Stands in for the wait between two tries: told to the test, and over when the test says so."""

    def __init__(self):
        self.begun, self.go = queue.Queue(), queue.Queue()

    def __call__(self, stop, seconds):
        self.begun.put(seconds)
        assert self.go.get(timeout=LIMIT_S) is not None
        return stop.is_set()

    def next(self):
        return self.begun.get(timeout=LIMIT_S)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def source(clock):
    return Scripted(clock)


@pytest.fixture
def shared(clock):
    return SharedBalance("Kraken", "MASTER", clock)


@pytest.fixture
def pauses(monkeypatch):
    pauses = Pauses()
    monkeypatch.setattr(recovery_module, "pause", pauses)
    return pauses


def in_threads(count, call):
    """Start ``call`` on threads; returns what joins them and gives their results."""
    results = queue.Queue()
    threads = [threading.Thread(target=lambda: results.put(call())) for _ in range(count)]
    for thread in threads:
        thread.start()

    def joined():
        for thread in threads:
            thread.join(LIMIT_S)
        return [results.get_nowait() for _ in threads]

    return joined


def recovery_thread():
    return [thread for thread in threading.enumerate() if thread.name == "sealane-broker"]


# --- cache and company ------------------------------------------------------------------------------------------------


def test_the_cache_serves_while_it_is_young(shared, source, clock):
    assert shared.ask(source, 5).standing.known.usd == 1
    clock.advance(4.9)
    assert shared.ask(source, 5).standing.known.usd == 1
    clock.step(-1000)  # somebody sets the wall clock back: the cache grows old all the same
    clock.advance(0.2)
    assert shared.ask(source, 5).standing.known.usd == 2
    assert source.asked == 2


def test_without_a_cache_every_call_asks(shared, source):
    for _ in range(3):
        shared.ask(source, 0)
    assert source.asked == 3


def test_a_failure_is_never_served_from_the_cache(shared, source):
    shared.ask(source, 5)
    shared.drop()
    source.trouble = Unavailable("down")
    for count in (1, 2, 3, 4):
        reading = shared.ask(source, 5)
        assert (reading.standing.errors, reading.error, reading.standing.known.usd) == (count, "down", 1)
    assert source.asked == 5
    source.trouble = None
    assert shared.ask(source, 5).standing.errors == 0


def test_those_who_come_meanwhile_wait_for_the_same_fetch(shared, source):
    source.may_go.clear()
    first = in_threads(1, lambda: shared.ask(source, 5))
    assert source.began.wait(LIMIT_S)
    fetch = shared._fetch
    waiting = watch_waiters(fetch.over, 8)
    others = in_threads(8, lambda: shared.ask(source, 5))
    assert waiting.wait(LIMIT_S)
    source.may_go.set()
    assert {reading.standing.known.usd for reading in first() + others()} == {1}
    assert source.asked == 1


def nobody_waits_for(fetch):
    """From now on."""
    fetch.over.wait = lambda *_: pytest.fail("it waits")


def watch_waiters(event, count):
    """Set once so many threads have begun to wait for ``event``."""
    reached, seen, original, mutex = threading.Event(), [], event.wait, threading.Lock()

    def wait(timeout=None):
        with mutex:
            seen.append(timeout)
            if len(seen) == count:
                reached.set()
        return original(timeout)

    event.wait = wait
    return reached


def test_one_failure_is_one_error_however_many_wait(shared, source):
    source.may_go.clear()
    source.trouble = Unavailable("down")
    first = in_threads(1, lambda: shared.ask(source, 5))
    assert source.began.wait(LIMIT_S)
    waiting = watch_waiters(shared._fetch.over, 5)
    others = in_threads(5, lambda: shared.ask(source, 5))
    assert waiting.wait(LIMIT_S)
    source.may_go.set()
    assert {reading.error for reading in first() + others()} == {"down"}
    assert shared.standing.errors == 1


def test_the_end_of_an_overtaken_fetch_leaves_the_newer_one_to_wait_for(shared, source, clock):
    source.may_go.clear()
    overtaken = in_threads(1, lambda: shared.ask(source, 5))
    assert source.began.wait(LIMIT_S)
    shared.drop()
    newer = Scripted(clock)
    newer.may_go.clear()
    second = in_threads(1, lambda: shared.ask(newer, 5))
    assert newer.began.wait(LIMIT_S)
    source.may_go.set()
    overtaken()
    waiting = watch_waiters(shared._fetch.over, 1)  # None, where the overtaken one took it along
    late = Scripted(clock)
    third = in_threads(1, lambda: shared.ask(late, 5))
    assert waiting.wait(LIMIT_S)
    newer.may_go.set()
    assert second() == third()
    assert late.asked == 0


def test_a_fetch_that_was_interrupted_leaves_nobody_waiting(shared, source):
    source.may_go.clear()
    source.trouble = KeyboardInterrupt()

    def interrupted():
        with pytest.raises(KeyboardInterrupt):
            shared.ask(source, 5)

    first = in_threads(1, interrupted)
    assert source.began.wait(LIMIT_S)
    waiting = watch_waiters(shared._fetch.over, 1)
    others = in_threads(1, lambda: shared.ask(Scripted(source.clock), 5))
    assert waiting.wait(LIMIT_S)
    source.may_go.set()
    first()
    assert others()[0].standing.known.usd == 1
    assert shared.standing.errors == 0


def test_an_order_drops_the_cache(shared, source):
    shared.ask(source, 5)
    shared.drop()
    assert shared.ask(source, 5).standing.known.usd == 2


def test_what_was_asked_before_an_order_does_not_fill_the_cache(shared, source):
    source.may_go.clear()
    first = in_threads(1, lambda: shared.ask(source, 5))
    assert source.began.wait(LIMIT_S)
    shared.drop()
    source.may_go.set()
    assert first()[0].standing.known.usd == 1
    assert shared.ask(source, 5).standing.known.usd == 2


def test_who_comes_after_an_order_does_not_wait_for_what_was_asked_before(shared, source, clock):
    source.may_go.clear()
    first = in_threads(1, lambda: shared.ask(source, 5))
    assert source.began.wait(LIMIT_S)
    shared.drop()
    clock.advance(1)
    later = Scripted(clock)
    after = shared.ask(later, 5)
    assert later.asked == 1
    source.may_go.set()
    first()
    assert shared.ask(later, 5) == after  # what is older came in later: it replaces nothing, and the cache serves


def test_who_asks_while_fetching_does_not_wait_for_itself(shared, source, clock):
    """A telemetry listener runs on the fetching thread, and may look at the balance."""

    class Nested(Scripted):
        def fetch_holdings(self):
            if self.asked == 0:
                self.asked += 1
                nobody_waits_for(shared._fetch)
                assert shared.ask(source, 5).error is None
            return super().fetch_holdings()

    assert shared.ask(Nested(clock), 5).error is None
    assert source.asked == 1


def test_who_holds_the_turn_does_not_wait_for_who_waits_for_it(shared, source, clock):
    source.may_go.clear()
    first = in_threads(1, lambda: shared.ask(source, 5))
    assert source.began.wait(LIMIT_S)
    holder = Scripted(clock)
    holder.holds = True
    nobody_waits_for(shared._fetch)
    assert shared.ask(holder, 5).error is None
    assert holder.asked == 1
    source.may_go.set()
    assert first()[0].error is None


def test_whatever_goes_wrong_is_an_error_and_told(shared, source, caplog):
    source.trouble = ZeroDivisionError("odd")
    assert shared.ask(source, 5).error == "ZeroDivisionError: odd"
    assert "failed unexpectedly" in caplog.text


def test_brokers_of_one_account_share_it(clock):
    one = shared_balance(("key", "url", "store"), "Kraken", "MASTER", clock)
    assert shared_balance(("key", "url", "store"), "Kraken", "MASTER", clock) is one
    assert shared_balance(("key", "url", "other"), "Kraken", "MASTER", clock) is not one
    assert shared_balance(("key", "url", "store"), "Coinbase", "MASTER", clock) is not one


def test_an_account_without_brokers_is_forgotten_at_once(clock, source):
    one = shared_balance("account", "Kraken", "MASTER", clock)
    one.ask(source, 5)
    del one
    assert shared_balance("account", "Kraken", "MASTER", clock).standing.known is None


def test_after_a_fork_nobody_waits_for_the_parent(shared, source, pauses):
    shared.join(source)
    shared.ask(source, 5)
    shared.drop()
    source.may_go.clear()
    first = in_threads(1, lambda: shared.ask(source, 5))
    assert source.began.wait(LIMIT_S)
    assert shared._mutex.acquire(timeout=LIMIT_S)  # as the child finds it, where another thread of the parent held it
    held = shared._mutex
    shared.after_fork()
    shared._recovery.after_fork()
    other = Scripted(source.clock)
    assert shared.ask(other, 5).error is None
    assert other.asked == 1
    held.release()
    source.may_go.set()
    first()


# --- recovery ---------------------------------------------------------------------------------------------------------


def test_how_long_it_waits():
    assert [backoff_s(number) for number in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff_s(10_000) == 60
    assert backoff_s(0, 300) == 300


def test_recovery_goes_on_until_it_succeeds(shared, source, clock, pauses):
    shared.join(source)
    assert shared.ask(source, 5).error is None
    assert recovery_thread() == []  # none before the first failure
    assert shared.recovery() == RecoveryFigures()
    source.trouble = Unavailable("down")
    clock.advance(5)
    shared.ask(source, 5)
    for number, expected_s in enumerate([1, 2, 4, 8]):
        assert pauses.next() == expected_s
        figures = shared.recovery()
        assert figures == RecoveryFigures(number, True, expected_s, expected_s)
        if expected_s == 4:
            clock.advance(3)
            assert shared.recovery().next_try_in_s == 1
            clock.advance(1)
        pauses.go.put("try")
    assert pauses.next() == 16
    assert shared.standing.errors == 5
    assert not shared.standing.available
    source.trouble = None
    thread = recovery_thread()[0]
    pauses.go.put("try")
    thread.join(LIMIT_S)
    assert recovery_thread() == []
    assert shared.standing.available
    assert (shared.recovery().waiting, shared.recovery().attempts, shared.recovery().next_try_in_s) == (False, 5, None)


def test_an_explicit_success_ends_it_and_the_next_failure_begins_anew(shared, source, pauses):
    shared.join(source)
    source.trouble = Unavailable("down")
    shared.ask(source, 0)
    shared.ask(source, 0)
    assert pauses.next() == 1
    assert len(recovery_thread()) == 1  # one for an account
    source.trouble = None
    shared.ask(source, 0)
    assert not shared.recovery().waiting
    source.trouble = Unavailable("down")
    shared.ask(source, 0)
    assert pauses.next() == 1
    shared.leave(source)
    stop_all(pauses)
    assert source.asked == 4


class Watched:
    """A mutex that tells when somebody finds it taken."""

    def __init__(self, mutex, tell):
        self._mutex, self._tell = mutex, tell

    def __enter__(self):
        if not self._mutex.acquire(blocking=False):
            self._tell()
            assert self._mutex.acquire(timeout=LIMIT_S)

    def __exit__(self, *_):
        self._mutex.release()


def test_a_failure_right_after_a_success_has_its_recovery(shared, source, clock, pauses):
    """Another caller fails between the success and the end of the recovery that it brings."""
    shared.join(source)
    source.trouble = Unavailable("down")
    shared.ask(source, 0)
    assert pauses.next() == 1
    came, other, joins = threading.Event(), Scripted(clock), []
    other.trouble = Unavailable("down again")
    shared._mutex = Watched(shared._mutex, came.set)
    end = shared._recovery.end

    def end_late():
        if not joins:
            joins.append(in_threads(1, lambda: (shared.ask(other, 0), came.set())))
            assert came.wait(LIMIT_S)  # it has failed, or waits to say so
        end()

    shared._recovery.end = end_late
    source.trouble = None
    shared.ask(source, 0)
    joins[0]()
    assert shared.standing.errors == 1
    assert shared.recovery().waiting
    pauses.go.put("stopped")
    shared._recovery.end = end
    shared.leave(source)
    stop_all(pauses)


def test_the_background_asks_briefly_and_callers_do_not(shared, source, pauses):
    shared.join(source)
    source.trouble = Unavailable("down")
    shared.ask(source, 0)
    shared.ask(source, 5)
    assert (source.asked, source.asked_briefly) == (2, 0)
    assert pauses.next() == 1
    pauses.go.put("try")
    assert pauses.next() == 2
    assert (source.asked, source.asked_briefly) == (3, 1)
    shared.leave(source)
    stop_all(pauses)


def test_a_try_that_took_long_is_followed_by_as_long_a_wait(shared, source, pauses):
    shared.join(source)
    source.trouble = Unavailable("down")
    shared.ask(source, 0)
    assert pauses.next() == 1
    for took_s, wait_s in ((10, 10), (3, 4), (200, 200)):
        source.takes_s = took_s
        pauses.go.put("try")
        assert pauses.next() == wait_s
    shared.leave(source)
    stop_all(pauses)


def test_nobody_waits_for_a_try_of_the_background(shared, source, clock, pauses):
    shared.join(source)
    source.trouble = Unavailable("down")
    shared.ask(source, 0)
    assert pauses.next() == 1
    source.may_go.clear()
    source.began.clear()
    pauses.go.put("try")
    assert source.began.wait(LIMIT_S)
    assert shared.ask(Scripted(clock), 5).error is None
    source.trouble = None
    source.may_go.set()
    for thread in recovery_thread():
        thread.join(LIMIT_S)
    assert (shared.standing.errors, recovery_thread()) == (0, [])


def test_the_background_takes_the_answer_of_who_asks_already(shared, source, clock, pauses):
    shared.join(source)
    source.trouble = Unavailable("down")
    shared.ask(source, 0)
    assert pauses.next() == 1
    other = Scripted(clock)
    other.may_go.clear()
    asks = in_threads(1, lambda: shared.ask(other, 5))
    assert other.began.wait(LIMIT_S)
    waiting = watch_waiters(shared._fetch.over, 1)
    pauses.go.put("try")
    assert waiting.wait(LIMIT_S)
    other.may_go.set()
    assert asks()[0].error is None
    for thread in recovery_thread():
        thread.join(LIMIT_S)
    assert (source.asked, shared.standing.errors, recovery_thread()) == (1, 0, [])


def stop_all(pauses):
    """Let the waits that were ended notice it."""
    for _ in recovery_thread():
        pauses.go.put("stopped")
    for thread in recovery_thread():
        thread.join(LIMIT_S)
    assert recovery_thread() == []


def test_in_a_forked_child_the_next_failure_begins_it(shared, source, pauses):
    shared.join(source)
    source.trouble = Unavailable("down")
    shared.ask(source, 0)
    assert pauses.next() == 1
    shared._recovery.after_fork()  # the parent's thread is this process's too here; in a child it is not
    assert not shared.recovery().waiting
    shared.ask(source, 0)
    assert pauses.next() == 1
    assert shared.recovery().waiting
    shared.leave(source)
    stop_all(pauses)


@pytest.mark.parametrize(
    ("trouble", "wait_s"),
    [
        (Refused("Balance", ("EAPI:Invalid key",)), PERSON_S),
        (Refused("Balance", ("EGeneral:Permission denied",)), PERSON_S),
        (Quarantined("MASTER", "far ahead"), PERSON_S),
        (Refused("Balance", ("EGeneral:Temporary lockout",), wait_s=120), 120),
        (Refused("Balance", ("EAPI:Rate limit exceeded",)), 1),
    ],
)
def test_where_only_a_person_or_time_helps_it_asks_seldom(shared, source, pauses, trouble, wait_s):
    shared.join(source)
    source.trouble = trouble
    shared.ask(source, 0)
    assert pauses.next() == wait_s
    shared.leave(source)
    stop_all(pauses)


def test_nothing_recovers_what_is_not_there(shared, source):
    shared.join(source)
    source.trouble = SettingsError("no key")
    shared.ask(source, 0)
    assert recovery_thread() == []


def test_recovery_passes_over_a_broker_whose_client_was_closed(shared, source, clock, pauses):
    closed = Scripted(clock)
    shared.join(closed)
    source.trouble = closed.trouble = Unavailable("down")
    shared.ask(closed, 0)
    assert pauses.next() == 1
    closed.trouble = SettingsError("closed")
    shared.join(source)
    source.trouble = None
    thread = recovery_thread()[0]
    for _ in range(2):  # the closed one, where it comes first, and the other
        pauses.go.put("try")
    thread.join(LIMIT_S)
    assert shared.standing.errors == 0


def test_a_closed_broker_counts_for_itself(shared, source):
    shared.ask(source, 5)
    alone = shared.apart()
    source.trouble = SettingsError("closed")
    reading = alone.ask(source, 5)
    assert (reading.error, reading.standing.known.usd) == ("closed", 1)
    assert shared.standing.errors == 0
