"""Time that is frozen, moved and real, and what is planned by it."""

from typing import Any

import pytest

from sealane.simulator import Clock, ControlError, Probe, Simulator
from sealane.simulator.clock import Timetable

NS = 10**9
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "25000"}


def test_a_frozen_clock_goes_only_when_told_to() -> None:
    clock = Clock(frozen_ns=5 * NS)
    assert (clock.now_ns(), clock.mode) == (5 * NS, "frozen")
    clock.advance(NS)
    assert clock.now_ns() == 6 * NS
    clock.real()
    assert clock.mode == "real"
    before = clock.now_ns()
    clock.advance(1000 * NS)
    assert clock.mode == "moved"
    assert clock.now_ns() >= before + 1000 * NS
    clock.freeze()
    assert clock.now_ns() == clock.now_ns() >= before + 1000 * NS


def test_plans_are_carried_out_in_order_each_at_its_time() -> None:
    clock = Clock(frozen_ns=0)
    table, done = Timetable(clock), []
    for name, due_s in (("late", 30), ("first", 10), ("second", 10)):
        table.add(due_s * NS, lambda name=name: done.append((name, clock.now_ns() // NS)))  # type: ignore[misc]
    table.add(20 * NS, lambda: table.add(21 * NS, lambda: done.append(("planned on the way", clock.now_ns() // NS))))
    table.run()
    assert (done, table.next_ns) == ([], 10 * NS)
    table.advance(25 * NS)
    assert done == [("first", 10), ("second", 10), ("planned on the way", 21)]
    assert clock.now_ns() == 25 * NS
    table.advance(5 * NS)
    assert done[-1] == ("late", 30)


def test_a_plan_is_carried_out_as_of_its_time_on_a_clock_that_goes() -> None:
    clock = Clock()
    table, done = Timetable(clock), []
    start_ns = clock.now_ns()
    for due_s in (20, 10):
        table.add(start_ns + due_s * NS, lambda: done.append(clock.now_ns()))
    table.advance(60 * NS)
    assert done == [start_ns + 10 * NS, start_ns + 20 * NS]
    assert clock.now_ns() >= start_ns + 60 * NS


def test_a_moment_lasts_even_when_what_happens_in_it_fails() -> None:
    clock = Clock()
    with pytest.raises(KeyError), clock.moment(5):
        assert clock.now_ns() == 5
        with clock.moment(3):
            assert clock.now_ns() == 3
        assert clock.now_ns() == 5
        raise KeyError
    assert clock.now_ns() > NS


def test_cleared_plans_are_dropped_and_not_done() -> None:
    table, seen = Timetable(Clock(frozen_ns=0)), []
    table.add(NS, lambda: seen.append("done"), lambda: seen.append("dropped"))
    table.clear()
    table.advance(2 * NS)
    assert seen == ["dropped"]


def test_the_exchange_goes_by_its_clock() -> None:
    clock = Clock(frozen_ns=1_800_000_000 * NS)
    client = Simulator(clock=clock).direct()
    assert client.public("Time")["result"]["unixtime"] == 1_800_000_000
    assert client.control("POST", "/sim/time", {"advance_s": 2.5})[1]["now_ns"] == str(1_800_000_002_500_000_000)
    assert client.private("GetApiKeyInfo")["result"]["lastUsed"] == "1800000002"
    past, future = "2027-01-15T08:00:02Z", "2027-01-15T08:00:12Z"
    assert client.private("AddOrder", deadline=past, **ORDER)["error"] == ["EService:Deadline elapsed"]
    assert client.private("AddOrder", deadline=future, **ORDER)["error"] == []
    client.control("POST", "/sim/time", {"advance_s": 10})
    assert client.private("AddOrder", deadline=future, **ORDER)["error"] == ["EService:Deadline elapsed"]


def test_time_over_http() -> None:
    with Simulator(clock="frozen") as kraken, Probe(kraken.url, kraken.accounts[0]) as probe:
        first = probe.control("GET", "/sim/time")[1]
        assert (first["mode"], probe.control("GET", "/sim/time")[1]) == ("frozen", first)
        assert probe.control("POST", "/sim/time", {"real": True})[1]["mode"] == "real"
        assert probe.control("POST", "/sim/time", {"advance_s": 60})[1] | {"now_ns": 0, "now": 0} == {
            "mode": "moved",
            "now_ns": 0,
            "now": 0,
            "ahead_s": 60.0,
        }
        assert probe.control("POST", "/sim/time", {"freeze": True})[1]["mode"] == "frozen"
        for wrong in ({}, {"advance_s": "1"}, {"freeze": False}, {"real": True, "freeze": True}):
            status, document = probe.control("POST", "/sim/time", wrong)
            assert (status, document["error"][:16]) == (400, "time: give one o")
        for far in (-1, 1e9):
            status, document = probe.control("POST", "/sim/time", {"advance_s": far})
            wanted = f"advance_s: {far} is out of range; give seconds from 0 to 316224000 (10 years)"
            assert (status, document) == (400, {"error": wanted})
        assert probe.control("GET", "/sim/time")[1]["mode"] == "frozen"


def test_the_python_side_of_it() -> None:
    simulator = Simulator(clock="frozen")
    before = int(simulator.control.time()["now_ns"])
    assert int(simulator.advance(1.5)["now_ns"]) == before + 1_500_000_000
    assert simulator.real_time()["mode"] == "real"
    assert simulator.freeze()["mode"] == "frozen"
    with pytest.raises(ControlError):
        simulator.advance(-1)
    with pytest.raises(ValueError, match="only passes forward"):
        simulator.exchange.pass_time(-1)
    with pytest.raises(ValueError, match="clock must be real, frozen"):
        Simulator(clock="stopped")


def test_a_frozen_clock_starts_at_a_time_that_is_known() -> None:
    def starts(**settings: Any) -> str:
        return str(Simulator(**settings).control.time()["now"])

    assert starts(clock="frozen") == "2026-01-01T00:00:00Z"
    assert starts(clock="frozen", start="2027-02-03T04:05:06+01:00") == "2027-02-03T03:05:06Z"
    exact = Simulator(clock="frozen", start="2027-02-03T04:05:06.789001Z").exchange.clock.now_ns()
    assert exact % NS == 789_001_000
    assert starts(clock="frozen", start="now") > "2026-11"
    for settings, said in (
        ({"clock": "frozen", "start": "tomorrow"}, "start: 'tomorrow' is no time"),
        ({"clock": "frozen", "start": "2027-02-03T04:05:06"}, "start: '2027-02-03T04:05:06' is no time"),
        ({"clock": "frozen", "start": "1969-12-31T00:00:00Z"}, "start: '1969-12-31T00:00:00Z' is no time"),
        ({"start": "2027-02-03T04:05:06Z"}, "start is for a frozen clock only"),
        ({"clock": Clock(), "start": "2027-02-03T04:05:06Z"}, "start is for clock='frozen' only"),
    ):
        with pytest.raises(ValueError, match=said):
            Simulator(**settings)  # type: ignore[arg-type]


def run_of(seed: int) -> list[bytes]:
    """The bodies of one run's answers, over HTTP and with much in them that tells the time."""
    with Simulator(seed=seed, clock="frozen", tier="pro", volatility=0.0005) as kraken:
        with Probe(kraken.url, kraken.accounts[0]) as probe:
            bodies = []

            def private(method: str, **fields: Any) -> None:
                body, headers, path = probe.signed(method, **fields)
                bodies.append(probe.send("POST", path, body, headers)[1])

            bodies.append(probe.send("GET", "/0/public/Time")[1])
            private("AddOrder", **ORDER)
            private("AddOrder", **(ORDER | {"ordertype": "market"}))
            probe.control("POST", "/sim/time", {"advance_s": 12.5})
            for method in ("OpenOrders", "ClosedOrders", "TradesHistory", "Ledgers", "Balance", "GetApiKeyInfo"):
                private(method)
            private("CancelAllOrdersAfter", timeout=60)
            calls = (
                "Trades?pair=XBTUSD",
                "OHLC?pair=XBTUSD",
                "Spread?pair=XBTUSD",
                "Depth?pair=XBTUSD",
                "SystemStatus",
            )
            bodies += [probe.send("GET", f"/0/public/{call}")[1] for call in calls]
            bodies.append(probe.send("GET", "/sim/state")[1])
        return bodies


def test_two_runs_of_one_seed_on_a_frozen_clock_answer_the_same_bytes() -> None:
    first = run_of(7)
    assert run_of(7) == first
    assert b'"unixtime":1767225600' in first[0]
    assert all(b'"error":[]' in body for body in first[:-1])
    assert [one == other for one, other in zip(first, run_of(8), strict=True)].count(False) > 5
