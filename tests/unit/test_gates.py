"""The five gates one by one and in order: what each asks, what it says, and that a failed one stops those behind it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from account_fakes import LIMITS, NOW_NS, market, rules, seat, seen
from sealane.errors import Unavailable
from sealane.trading.executor import End, Execution
from sealane.trading.gates import (
    NAMES,
    GateResult,
    Health,
    balance_gate,
    capital_gate,
    execution_gate,
    health_gate,
    market_gate,
    walk,
)
from sealane.trading.limits import QUOTE_AGE_MAX_S
from sealane.trading.market import Scan
from sealane.trading.rounds import account_round, document_of
from sealane.trading.strategy import Signal

SOUND = Health(available=True, error_count=0, quarantined="", in_doubt=(), exchange="online")
SIGNAL = Signal("XBTUSD", "buy", Decimal("0.001"), Decimal(40_000))


def balance(**changes):
    return seat(**changes).broker.get_account_balance_detailed()


# --- one by one ---------------------------------------------------------------------------------------------------


def test_gate_1_passes_a_fresh_balance_and_shows_what_it_judged():
    found = balance_gate(balance())
    assert (found.gate, found.name, found.passed) == (1, "balance", True)
    assert found.inputs["total"] == Decimal(1000)
    assert "1000 USD" in found.reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"usd": None, "error": "no route"}, "not known, which is not zero: no route"),
        ({"stale": True, "error": "HTTP 503"}, "7 s old: HTTP 503"),
        ({"error": "HTTP 503"}, "HTTP 503"),
        ({"stale": True}, "7 s old"),
    ],
)
def test_gate_1_fails_what_is_not_known_or_not_fresh(changes, said):
    found = balance_gate(balance(**changes))
    assert found.passed is False
    assert said in found.reason


def test_gate_1_passes_an_account_that_is_known_to_be_empty():
    """Zero is known. Whether it is enough is another gate's question."""
    assert balance_gate(balance(usd="0")).passed


def test_gate_2_passes_when_all_is_well():
    found = health_gate(SOUND)
    assert (found.gate, found.name, found.passed) == (2, "health", True)
    assert found.inputs == vars(SOUND)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ({"quarantined": "nonce far ahead"}, "quarantined: nonce far ahead"),
        ({"available": False, "error_count": 3}, "after 3 errors in a row"),
        ({"in_doubt": ("a1", "b2")}, "a1, b2"),
        ({"exchange": "", "error": "no answer"}, "not known: no answer"),
        ({"exchange": "cancel_only"}, "cancel_only"),
        ({"exchange": "post_only"}, "post_only"),
        ({"exchange": "maintenance"}, "maintenance"),
    ],
)
def test_gate_2_fails_each_trouble_with_its_reason(trouble, said):
    found = health_gate(replace(SOUND, **trouble))
    assert found.passed is False
    assert said in found.reason


@pytest.mark.parametrize(
    ("total", "amounts", "passed", "said"),
    [
        ("50", {}, True, "50 USD"),
        ("49.99", {}, False, "nothing is held"),
        ("0", {"ZUSD": Decimal(0), "USDT": Decimal(0), "USD.F": Decimal(9)}, False, "nothing is held"),
        ("49.99", {"XXBT": Decimal(0)}, False, "nothing is held"),
        ("49.99", {"XXBT": Decimal("0.1")}, True, "buys are blocked, XXBT can be sold"),
    ],
)
def test_gate_3_wants_the_least_capital_and_lets_who_is_in_a_coin_sell(total, amounts, passed, said):
    found = capital_gate(Decimal(total), amounts, LIMITS)
    assert (found.gate, found.name, found.passed) == (3, "capital validation", passed)
    assert said in found.reason


def test_gate_3_says_that_buys_are_off():
    assert "HARD_BUY_OFF" in capital_gate(Decimal(100), {}, replace(LIMITS, buys_off=True)).reason


def test_gate_4_passes_pairs_with_fresh_prices_and_names_the_others():
    found = market_gate(Scan("online", market(left_out={"SOLUSD": "it is cancel_only"})), LIMITS, NOW_NS)
    assert (found.gate, found.name, found.passed) == (4, "market scan", True)
    assert found.inputs["pairs"]["XBTUSD"] == {"bid": Decimal(49_999), "ask": Decimal(50_000), "age_s": 0}
    assert "SOLUSD: it is cancel_only" in found.reason


@pytest.mark.parametrize(
    ("scan", "limits", "later_s", "said"),
    [
        (seen(), replace(LIMITS, allowed_pairs=()), 0, "SEALANE_ALLOWED_PAIRS"),
        (Scan("online", None, "no answer"), LIMITS, 0, "not known: no answer"),
        (Scan("online", market(left_out={"XBTUSD": "it is limit_only"})), LIMITS, 31, "31 s old"),
        (seen(), LIMITS, -31, "31 s old"),
    ],
)
def test_gate_4_fails_without_a_pair_a_market_or_a_fresh_price(scan, limits, later_s, said):
    assert QUOTE_AGE_MAX_S == 30
    found = market_gate(scan, limits, NOW_NS + later_s * 10**9)
    assert found.passed is False
    assert said in found.reason


def test_gate_5_passes_when_every_signal_went_through_or_there_was_none():
    went = [Execution(SIGNAL, End.PLACED, "done", "OX", "our"), Execution(SIGNAL, End.VALIDATED, "fine")]
    found = execution_gate(went)
    assert (found.gate, found.name, found.passed) == (5, "signal execution", True)
    assert [row["end"] for row in found.inputs["signals"]] == ["placed", "validated"]
    assert found.inputs["signals"][0]["txid"] == "OX"
    assert execution_gate([]).passed


@pytest.mark.parametrize("end", [End.NOT_PLACED, End.BLOCKED, End.IN_DOUBT, End.NOT_REACHED])
def test_gate_5_fails_when_one_signal_did_not_and_says_why(end):
    found = execution_gate([Execution(SIGNAL, End.PLACED, "done"), Execution(SIGNAL, end, "too late")])
    assert found.passed is False
    assert f"{end}: too late" in found.reason


# --- in order -----------------------------------------------------------------------------------------------------


def steps(failing, reached, error=None):
    """Five steps that note that they were reached; one of them fails, or raises."""

    def step(number):
        def take():
            reached.append(number)
            if number == failing and error is not None:
                raise error
            return GateResult(number, NAMES[number - 1], number != failing, "because")

        return take

    return [step(number) for number in range(1, 6)]


def test_all_five_are_walked_in_order():
    reached = []
    results = walk(steps(0, reached))
    assert reached == [1, 2, 3, 4, 5]
    assert [(result.gate, result.name) for result in results] == list(enumerate(NAMES, start=1))
    assert all(result.passed for result in results)


@pytest.mark.parametrize("error", [None, Unavailable("no answer"), ZeroDivisionError("a bug")])
@pytest.mark.parametrize("failing", range(1, 6))
def test_a_gate_that_fails_stops_those_behind_it(failing, error):
    reached = []
    results = walk(steps(failing, reached, error))
    assert reached == list(range(1, failing + 1))
    assert [result.passed for result in results] == [True] * (failing - 1) + [False] + [None] * (5 - failing)
    assert {result.reason for result in results[failing:]} <= {f"not reached: gate {failing} failed"}
    if error is not None:
        assert str(error) in results[failing - 1].reason


def poor(table):
    table.broker.usd, table.broker.amounts = Decimal(1), {}


def sick(table):
    table.client.quarantined = "stopped"


@pytest.mark.parametrize(
    ("spoil", "scan", "failing"),
    [
        (lambda table: setattr(table.broker, "usd", None), seen(), 1),
        (sick, seen(), 2),
        (lambda table: None, Scan("cancel_only", market()), 2),
        (poor, seen(), 3),
        (lambda table: None, Scan("online", None, "no answer"), 4),
    ],
)
def test_an_account_behind_a_failed_gate_decides_nothing_and_places_nothing(spoil, scan, failing):
    table, asked = seat(), []
    spoil(table)
    done = account_round(table, scan, rules(live=True), lambda *views: asked.append(views))
    assert done.failed.gate == failing
    assert [gate.passed for gate in done.gates[failing:]] == [None] * (5 - failing)
    assert (asked, table.broker.orders, done.executions) == ([], [], ())


def test_a_decision_that_raises_is_gate_5_that_fails_and_is_logged(caplog):
    def decide(market, account):
        raise ValueError("no idea")

    done = account_round(seat(), seen(), rules(), decide)
    assert done.failed.gate == 5
    assert "ValueError: no idea" in done.failed.reason
    (told,) = caplog.records
    assert "MASTER: gate 5 (signal execution) raised ValueError" in told.getMessage()
    assert told.exc_info, "who wrote it wants to see where"


def test_a_round_that_is_to_stop_decides_nothing():
    table = seat()
    done = account_round(table, seen(), rules(live=True, stopping=lambda: True), lambda *views: [SIGNAL])
    assert done.gates[4].passed is None
    assert "stopping" in done.gates[4].reason
    assert not done.passed
    assert table.broker.orders == []


def test_a_round_as_plain_values_has_money_as_text():
    document = document_of(account_round(seat(), seen(), rules(), lambda *views: [SIGNAL]))
    assert (document["account"], document["passed"], len(document["gates"])) == ("MASTER", True, 5)
    gates = document["gates"]
    assert gates[0]["inputs"]["total"] == "1000"
    assert gates[3]["inputs"]["pairs"]["XBTUSD"]["ask"] == "50000"
    assert gates[3]["inputs"]["allowed"] == ["XBTUSD", "ETHUSD"]
    assert gates[4]["inputs"]["signals"][0]["end"] == "validated"
