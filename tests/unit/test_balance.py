"""Balances fail closed: every answer that is not plainly a balance, and what stands in for it."""

from decimal import Decimal

import pytest

from sealane import Balance, Kraken, NotDurable, Refused, Unavailable
from sealane.core.verdict import Failure, Reply
from sealane.store.memory import MemoryStore
from sealane.transport.scripted import ScriptedTransport, answer

NOTHING = answer(None)


def client(*answers):
    transport = ScriptedTransport(*answers)
    kraken = Kraken(api_key="a-key-for-tests", api_secret="c2VjcmV0", store=MemoryStore(), transport=transport)
    return kraken, transport


def test_amounts_are_exact():
    kraken, _ = client(answer({"ZUSD": "241983.1415", "XXBT": "2.1031709100"}))
    found = kraken.balance()
    assert found.amounts == {"ZUSD": Decimal("241983.1415"), "XXBT": Decimal("2.1031709100")}
    assert (found.stale, found.error) == (False, None)
    assert found.age_s >= 0


def test_an_empty_result_is_an_empty_account():
    assert client(answer({}))[0].balance().amounts == {}


def test_no_result_is_asked_for_again_in_another_way():
    kraken, transport = client(NOTHING, answer({"ZUSD": {"balance": "5.0", "hold_trade": "1.0"}}))
    assert kraken.balance().amounts == {"ZUSD": Decimal("5.0")}
    assert [request.target for request in transport.requests] == ["/0/private/Balance", "/0/private/BalanceEx"]
    assert client(NOTHING, answer({}))[0].balance().amounts == {}, "shown to be empty"
    assert client(NOTHING, NOTHING, answer({"eb": "0.0000"}))[0].balance().amounts == {}, "shown to be empty"


@pytest.mark.parametrize(
    "answers",
    [
        (NOTHING, NOTHING),
        (NOTHING, NOTHING, answer({"eb": "0.0001"})),
        (NOTHING, NOTHING, answer({})),
        (NOTHING, answer([])),
        (answer([]),),
        (answer("0"),),
        (answer({"ZUSD": None}),),
        (answer({"ZUSD": 1.5}),),
        (answer({"ZUSD": "a lot"}),),
        (answer({"ZUSD": "NaN"}),),
        (NOTHING, answer({"ZUSD": {}})),
        (Failure(False, "refused"),),
        (Reply(502, b""),),
    ],
)
def test_what_is_unknown_is_an_error_and_never_zero(answers, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    kraken, _ = client(*answers)
    with pytest.raises(Unavailable):
        kraken.balance()
    fresh, _ = client(answer({"ZUSD": "7"}), *answers)
    fresh.balance()
    stale = fresh.balance()
    assert (stale.amounts, stale.stale) == ({"ZUSD": Decimal(7)}, True)
    assert stale.error


def test_a_refusal_is_told_and_a_success_ends_it():
    kraken, _ = client(answer({"ZUSD": "1"}), answer(None, "EGeneral:Permission denied"), answer({"ZUSD": "2"}))
    first = kraken.balance()
    stale = kraken.balance()
    assert (stale.amounts, stale.as_of, stale.stale) == (first.amounts, first.as_of, True)
    assert "Permission denied" in stale.error
    again = kraken.balance()
    assert (again.amounts, again.stale, again.error) == ({"ZUSD": Decimal(2)}, False, None)
    nothing_known, _ = client(answer(None, "EGeneral:Permission denied"))
    with pytest.raises(Refused):
        nothing_known.balance()


def test_a_nonce_that_cannot_be_stored_leaves_the_last_balance(monkeypatch):
    kraken, _ = client(answer({"ZUSD": "1"}))
    kraken.balance()

    def full(wall_ns, boot_ns):
        raise NotDurable("no space")

    monkeypatch.setattr(kraken._session.lane.store, "draw", full)
    assert kraken.balance().error == "no space"


def test_a_balance_does_not_change():
    with pytest.raises(AttributeError):
        Balance({}, 0.0).stale = True
