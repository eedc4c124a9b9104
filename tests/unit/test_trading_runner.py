"""Rounds on a clock: side by side, one account's trouble kept to itself, and a stop that ends what is in flight."""

import threading
from dataclasses import replace
from decimal import Decimal

import pytest
from test_trading_market import BITCOIN, PRICES, Public

from account_fakes import LIMITS, NOW_NS, AskedClient, Latch, market, seat
from sealane.errors import SettingsError
from sealane.runtime.clock import SYSTEM_CLOCK
from sealane.trading.executor import End, Executor
from sealane.trading.look import LOOKS_MAX, scan_within
from sealane.trading.passage import Passage
from sealane.trading.runner import STOP_GRACE_S, Plan, Runner
from sealane.trading.strategy import Signal

PATIENCE_S = 20
SIGNAL = Signal("XBTUSD", "sell", Decimal("0.001"))
PLAN = Plan(replace(LIMITS, allowed_pairs=("XBTUSD",)), interval_s=0.1)


class Sells:
    """One signal a round; `before` is called with the account's name first."""

    def __init__(self, before=lambda account: None):
        self.before = before

    def decide(self, market, account):
        self.before(account.account)
        return [SIGNAL]


def runner(seats, plan=PLAN, before=lambda account: None, public=None, **more):
    return Runner(seats, lambda: Sells(before), public or Public(), plan, **more)


def in_background(one):
    """The run on a thread; gives what ``join`` returns its summary from."""
    found = []
    thread = threading.Thread(target=lambda: found.append(one.run()), daemon=True)
    thread.start()

    def join():
        thread.join(PATIENCE_S)
        assert found, "the run did not end"
        return found[0]

    return join


def by_name(summary):
    return {account.account: account for account in summary.accounts}


def test_so_many_rounds_are_made_for_every_account():
    seats, told = [seat("MASTER"), seat("ann"), seat("bob")], []
    one = runner(seats, replace(PLAN, rounds=3), told=lambda number, done: told.append((number, done.account)))
    summary = one.run()
    assert (summary.rounds, summary.stopped, summary.unfinished) == (3, False, ())
    for account in summary.accounts:
        assert (account.rounds, account.passed, account.passed_over) == (3, 3, 0)
        assert account.ends == {End.VALIDATED: 3}
        assert account.last.passed
    assert sorted(told) == [(number, name) for number in (1, 2, 3) for name in ("MASTER", "ann", "bob")]
    assert all(order["validate"] for table in seats for order in table.broker.orders)


def test_the_market_is_looked_at_once_a_round_for_all():
    public = Public()
    runner([seat("MASTER"), seat("ann")], replace(PLAN, rounds=2), public=public).run()
    assert [method for method, _ in public.calls] == ["SystemStatus", "AssetPairs", "Ticker"] * 2


def test_only_a_live_run_places_orders_and_it_needs_its_limits_said():
    table = seat()
    with pytest.raises(SettingsError, match="set SEALANE_MAX_ORDER_USD"):
        replace(PLAN, live=True, limits=replace(PLAN.limits, max_order_usd=None))
    live = replace(PLAN, live=True, rounds=1)
    (account,) = runner([table], live).run().accounts
    assert account.ends == {End.PLACED: 1}
    assert [order["validate"] for order in table.broker.orders] == [False]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"interval_s": 0.01}, "interval_s"),
        ({"interval_s": float("nan")}, "interval_s"),
        ({"interval_s": float("inf")}, "interval_s"),
        ({"rounds": -1}, "rounds"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused(wrong, said):
    with pytest.raises(SettingsError, match=said):
        replace(PLAN, **wrong)
    with pytest.raises(SettingsError, match="no account"):
        runner([])


@pytest.mark.parametrize("error", [ValueError("no idea"), SystemExit(3)])
def test_a_strategy_that_raises_for_one_account_leaves_the_others_alone(error, caplog):
    def before(account):
        if account == "ann":
            raise error

    found = by_name(runner([seat("MASTER"), seat("ann"), seat("bob")], replace(PLAN, rounds=2), before).run())
    assert found["MASTER"].ends == found["bob"].ends == {End.VALIDATED: 2}
    assert found["ann"].passed == 0
    said = found["ann"].trouble or found["ann"].last.failed.reason
    assert type(error).__name__ in said


def test_who_is_busy_is_passed_over_and_the_others_go_on():
    """ann's balance does not come. MASTER has its rounds all the same, and ann goes on once it has come."""
    ann, master, latch = seat("ann"), seat("MASTER"), Latch()
    ann.broker.on_balance = latch
    three = threading.Event()

    def told(number, done):
        if done.account == "MASTER" and number == 3:
            three.set()

    one = runner([ann, master], replace(PLAN, late_max_s=0.05), told=told)
    join = in_background(one)
    assert three.wait(PATIENCE_S), "MASTER waited for ann"
    assert ann.broker.balances_asked == 1, "an account has one round at a time"
    latch.open()
    one.stop()
    found = by_name(join())
    assert (found["ann"].rounds, found["ann"].passed_over >= 2) == (1, True)
    assert found["MASTER"].rounds >= 3


def test_a_round_that_is_late_is_waited_for():
    """The next round is due, and ann is not through with this one: within the limit that is no reason to pass over."""
    ann, public, told, second_look, told_by_then = seat("ann"), Public(), [], threading.Event(), []
    ann.broker.on_balance = lambda: second_look.wait(3 * PLAN.interval_s)

    def look(method, /, **params):
        if method == "SystemStatus" and public.calls:
            told_by_then.extend(told)
            second_look.set()
        return public(method, **params)

    one = runner([ann], replace(PLAN, rounds=2, late_max_s=PATIENCE_S), public=look, told=lambda n, _: told.append(n))
    (account,) = one.run().accounts
    assert told_by_then == [1], "the second round came before the first had ended"
    assert (account.rounds, account.passed_over) == (2, 0)


def test_a_stop_lets_the_order_in_flight_end_and_starts_nothing_more():
    table, latch = seat(), Latch()
    place = table.broker.place_order
    table.broker.place_order = lambda **order: (latch(), place(**order))[1]
    one = Runner([table], Twice, Public(), replace(PLAN, interval_s=3_600))
    join = in_background(one)
    assert latch.reached.wait(PATIENCE_S)
    one.stop()
    latch.open()
    summary = join()
    (account,) = summary.accounts
    assert (summary.rounds, summary.stopped, summary.unfinished) == (1, True, ())
    assert account.ends == {End.VALIDATED: 1, End.NOT_REACHED: 1}
    assert len(table.broker.orders) == 1


class Twice:
    def decide(self, market, account):
        return [SIGNAL, SIGNAL]


def test_a_stop_ends_the_wait_for_the_next_round_at_once():
    done = threading.Event()
    one = runner([seat()], replace(PLAN, interval_s=3_600), told=lambda number, round_: done.set())
    join = in_background(one)
    assert done.wait(PATIENCE_S)
    one.stop()
    assert join().rounds == 1


def test_a_stop_while_the_market_is_looked_at_starts_no_account():
    table, public = seat(), Public()
    one = runner([table], public=public)
    public.answers["Ticker"] = StopsIt(one)
    (account,) = one.run().accounts
    assert (account.rounds, table.broker.balances_asked) == (0, 0)


class StopsIt(dict):
    """Prices whose reading stops the run."""

    def __init__(self, one):
        super().__init__(XXBTZUSD=PRICES)
        self.one = one

    def get(self, key, default=None):
        self.one.stop()
        return super().get(key, default)


def test_what_does_not_end_is_named_after_the_limit():
    table, latch = seat("ann"), Latch()
    table.broker.on_balance = latch
    one = runner([table, seat("bob")], replace(PLAN, interval_s=3_600, stop_limit_s=0.1))
    join = in_background(one)
    assert latch.reached.wait(PATIENCE_S)
    one.stop()
    assert join().unfinished == ("ann",)
    latch.open()


def test_a_market_that_cannot_be_had_stops_at_its_gate_and_the_next_round_looks_again():
    public = Public(AssetPairs={"XXBTZUSD": BITCOIN | {"status": "cancel_only"}})

    def told(number, done):
        public.answers["AssetPairs"] = {"XXBTZUSD": BITCOIN}

    (account,) = runner([seat()], replace(PLAN, rounds=2), public=public, told=told).run().accounts
    assert (account.rounds, account.passed) == (2, 1)


def test_the_next_round_starts_an_interval_after_the_one_before():
    times = []
    one = runner([seat()], replace(PLAN, rounds=3), told=lambda *_: times.append(SYSTEM_CLOCK.boot_ns()))
    start = SYSTEM_CLOCK.boot_ns()
    one.run()
    assert (times[2] - start) / 1e9 >= 0.2, "two intervals before the third round"


# --- what is left, and that it starts nothing ---------------------------------------------------------------------


def test_what_is_left_when_the_rounds_are_over_places_nothing_later():
    table, latch, told = seat("ann"), Latch(), threading.Event()
    plan = replace(PLAN, rounds=1, live=True, stop_limit_s=0.1)
    summary = runner([table], plan, lambda account: latch(), told=lambda *_: told.set()).run()
    assert (summary.unfinished, summary.placing, summary.stopped) == (("ann",), (), False)
    latch.open()
    assert told.wait(PATIENCE_S)
    assert table.broker.orders == []


def test_what_is_left_asks_nothing_later():
    """It is left in gate 1: it comes to no other gate, and decides nothing."""
    table, latch, told, decided = seat("ann"), Latch(), threading.Event(), []
    table = replace(table, client=AskedClient({}))
    table.broker.on_balance = latch
    plan = replace(PLAN, rounds=1, stop_limit_s=0.1)
    runner([table], plan, decided.append, told=lambda *_: told.set()).run()
    latch.open()
    assert told.wait(PATIENCE_S)
    assert (table.client.asked, decided) == ([], [])


def test_once_the_passage_is_shut_no_order_starts_though_a_signal_was_due():
    """The last look at ``stopping`` is before the shutting, the order after it."""
    table, passage = seat(), Passage()

    def stopping():
        passage.shut()
        return False

    executor = Executor(table.broker, LIMITS, True, lambda: NOW_NS, stopping, passage)
    (end,) = executor.execute([SIGNAL], market(), Decimal(1000))
    assert (end.end, end.reason, table.broker.orders) == (End.NOT_REACHED, "stopping", [])


def test_a_stop_waits_for_who_is_in_an_order_and_leaves_who_is_deciding():
    """ann's order takes longer than the grace that bob has, whose strategy hangs."""
    ann, bob, order, thought, placed = seat("ann"), seat("bob"), Latch(), Latch(), threading.Event()
    place = ann.broker.place_order
    ann.broker.place_order = lambda **fields: (order(), place(**fields), placed.set())[1]
    one = runner([ann, bob], replace(PLAN, live=True), lambda name: thought() if name == "bob" else None)
    join = in_background(one)
    assert order.reached.wait(PATIENCE_S)
    assert thought.reached.wait(PATIENCE_S)
    assert one.placing() == ("ann",)
    one.stop()
    assert not placed.wait(STOP_GRACE_S + 0.2)
    order.open()
    summary = join()
    assert (summary.unfinished, summary.placing) == (("bob",), ())
    assert by_name(summary)["ann"].ends == {End.PLACED: 1}
    thought.open()


def test_an_order_that_does_not_end_is_named():
    table, latch = seat("ann"), Latch()
    table.broker.place_order = lambda **order: latch()
    one = runner([table], replace(PLAN, live=True, stop_limit_s=0.1))
    join = in_background(one)
    assert latch.reached.wait(PATIENCE_S)
    one.stop()
    assert join().placing == ("ann",)
    latch.open()


def test_an_account_without_a_thread_leaves_the_others_alone_and_tries_again(monkeypatch, caplog):
    start, failed = threading.Thread.start, []

    def no_thread(thread):
        if thread.name == "round of ann" and not failed:
            failed.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    plan = replace(PLAN, rounds=2, late_max_s=2.0, stop_limit_s=2.0)
    found = by_name(runner([seat("ann"), seat("bob")], plan).run())
    assert (found["ann"].rounds, found["ann"].passed_over, found["bob"].rounds) == (1, 0, 2)
    assert "can't start new thread" in found["ann"].trouble


# --- the look at the market ---------------------------------------------------------------------------------------


class Hangs(Public):
    """Its first look hangs until it is let go."""

    def __init__(self):
        super().__init__()
        self.latch = Latch(3 * PATIENCE_S)

    def __call__(self, method, /, **params):
        if not self.calls:
            self.calls.append(("hangs", None))
            self.latch()
        return super().__call__(method, **params)


def test_a_look_that_hangs_fails_its_round_and_the_next_looks_again():
    public, rounds = Hangs(), []
    plan = replace(PLAN, rounds=2, scan_limit_s=0.1)
    runner([seat()], plan, public=public, told=lambda number, done: rounds.append(done)).run()
    assert [done.passed for done in rounds] == [False, True]
    assert (rounds[0].failed.gate, "did not end within 0.1 s" in rounds[0].failed.reason) == (2, True)
    public.latch.open()


def test_a_stop_does_not_wait_for_the_look():
    public, table = Hangs(), seat()
    one = runner([table], replace(PLAN, scan_limit_s=3_600), public=public)
    join = in_background(one)
    assert public.latch.reached.wait(PATIENCE_S)
    one.stop()
    assert join().stopped
    assert table.broker.balances_asked == 0
    public.latch.open()


def test_looks_that_hang_do_not_pile_up():
    latch, looked = Latch(), []

    def public(method, /, **params):
        looked.append(method)
        latch()

    runner([seat()], replace(PLAN, rounds=LOOKS_MAX + 2, scan_limit_s=0.01), public=public).run()
    assert looked == ["SystemStatus"] * LOOKS_MAX
    latch.open()


def test_whatever_a_look_raises_is_a_market_that_is_not_known():
    def public(method, /, **params):
        raise ZeroDivisionError("a bug")

    (account,) = runner([seat()], replace(PLAN, rounds=1), public=public).run().accounts
    assert "ZeroDivisionError: a bug" in account.last.failed.reason


def test_a_preflight_does_not_wait_for_a_look_that_hangs():
    public = Hangs()
    seen = scan_within(public, ["XBTUSD"], lambda: NOW_NS, 0.05)
    assert (seen.status, seen.market, seen.error) == ("", None, "the look at the market did not end within 0.05 s")
    public.latch.open()
    assert scan_within(Public(), ["XBTUSD"], lambda: NOW_NS).market.quotes
