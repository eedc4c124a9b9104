"""One call, driven by hand: what it asks of its shell, in which order, and what it makes of the answers."""

import json

import pytest

from sealane.core import effects, events
from sealane.core.call import private_call
from sealane.core.effects import Caller, Entered, TurnRecord
from sealane.core.nonce import NS_PER_S
from sealane.core.recovery import LOCKOUT_S, KeyState
from sealane.core.signing import Request
from sealane.core.verdict import Failure, Reply
from sealane.errors import InDoubt, Quarantined, Refused, Unavailable

NOW_NS = 1_768_859_900_000_000_000
INVALID = ("EAPI:Invalid nonce",)


def reply(*errors, **more):
    return Reply(200, json.dumps({"error": list(errors), **more}).encode())


class Named:
    """A draft that is signed by its name and nonce."""

    def __init__(self, name):
        self.name = name

    def signed(self, nonce):
        return Request(self.name, str(nonce), (), b"")


class Hand:
    """Answers effects from a small world of its own and keeps what it was asked for."""

    def __init__(self, *answers, key=KeyState(), unfinished=None, doubted=False, last_ended_ns=0):  # noqa: B008
        self.answers = list(answers)
        self.keys = {"fp": key}
        self.entered = Entered(unfinished, last_ended_ns, doubted)
        self.now_ns, self.nonce = NOW_NS, 100
        self.asked, self.records, self.events, self.sent = [], [], [], []

    def run(self, method="Balance", **caller):
        flow = private_call(
            Caller("MASTER", "fp", 1, caller.get("min_interval_ns", 0), lambda name, _: Named(name)), method
        )
        answer, trouble = None, None
        while True:
            try:
                effect = flow.send(answer) if trouble is None else flow.throw(trouble)
            except StopIteration as end:
                return end.value
            self.asked.append(type(effect).__name__)
            try:
                answer, trouble = self.answer(effect), None
            except BaseException as error:
                trouble = error

    def answer(self, effect):
        match effect:
            case effects.Enter():
                return self.entered
            case effects.Now():
                return self.now_ns
            case effects.Draw():
                self.nonce += 1
                return self.nonce
            case effects.LastNonce():
                return self.nonce
            case effects.RaiseFloor(floor):
                self.nonce = max(self.nonce, floor)
            case effects.LoadKey(fingerprint):
                return self.keys.get(fingerprint, KeyState())
            case effects.SaveKey(fingerprint, state):
                self.keys[fingerprint] = state
            case effects.Record(turn):
                self.records.append(turn)
            case effects.Sleep(seconds):
                self.now_ns += int(seconds * NS_PER_S)
            case effects.Tell(event):
                self.events.append(event)
            case effects.Exchange(request):
                self.sent.append((request.verb, request.target))
                answer = self.answers.pop(0)
                if isinstance(answer, BaseException):
                    raise answer
                return answer
        return None


def test_a_read_asks_for_its_turn_draws_sends_and_leaves():
    hand = Hand(reply(result={"ZUSD": "1"}))
    assert hand.run() == {"ZUSD": "1"}
    assert hand.asked == ["Enter", "LoadKey", "Now", "Draw", "Exchange", "Tell", "Leave"]


def test_a_write_stands_recorded_before_it_is_sent_and_is_cleared_after():
    hand = Hand(reply(result={}))
    hand.run("AddOrder")
    assert hand.records == [TurnRecord("fp", "AddOrder", 101), None]
    assert hand.asked.index("Record") < hand.asked.index("Exchange")


def test_a_refused_nonce_is_sent_again_at_once_after_a_recorded_jump():
    hand = Hand(reply(*INVALID), reply(result=1))
    assert hand.run() == 1
    assert "Sleep" not in hand.asked
    assert hand.asked.count("Enter") == 1, "nobody else pays for it"
    assert int(hand.sent[1][1]) > 60 * NS_PER_S
    assert hand.asked.index("SaveKey") < hand.asked.index("RaiseFloor")
    assert hand.keys["fp"].refused_in_a_row == 0, "the accepted call ended the row"
    assert len(hand.keys["fp"].jumps_ns) == 1


def test_a_poisoned_key_costs_four_refusals_and_then_nothing():
    hand = Hand(*[reply(*INVALID)] * 4)
    with pytest.raises(Quarantined, match="quarantined"):
        hand.run()
    assert len(hand.sent) == 4
    with pytest.raises(Quarantined):
        hand.run()
    assert len(hand.sent) == 4
    assert [type(event) for event in hand.events].count(events.KeyQuarantined) == 1
    assert hand.asked[-1] == "Leave"


def test_a_read_in_doubt_leaves_its_turn_waits_and_comes_again():
    hand = Hand(Reply(502, b""), Failure(True, "reset"), Failure(False, "refused"), reply(result=1))
    assert hand.run() == 1
    assert hand.asked.count("Enter") == hand.asked.count("Leave") == 4
    between = hand.asked.index("Sleep")
    assert hand.asked[:between].count("Leave") == 1, "the lane is free while it waits"
    assert hand.now_ns - NOW_NS < 2 * NS_PER_S


def test_a_read_that_stays_in_doubt_ends_as_unavailable_within_two_seconds():
    hand = Hand(*[Reply(502, b"")] * 9)
    with pytest.raises(Unavailable, match="502"):
        hand.run()
    assert hand.now_ns - NOW_NS <= 2 * NS_PER_S
    assert len(hand.sent) == 5


@pytest.mark.parametrize(
    "answer", [Reply(502, b""), Failure(True, "reset"), reply("EService:Busy"), reply("EService:Deadline elapsed")]
)
def test_a_write_in_doubt_is_sent_once_and_leaves_its_key_to_be_fenced(answer):
    hand = Hand(answer)
    with pytest.raises(InDoubt) as caught:
        hand.run("AddOrder")
    assert (caught.value.method, caught.value.nonce, len(hand.sent)) == ("AddOrder", 101, 1)
    assert hand.keys["fp"].fence_due
    assert hand.records[-1] is None


def test_an_unknown_method_is_taken_for_a_write():
    with pytest.raises(InDoubt):
        Hand(Reply(502, b"")).run("SomethingNew")


def test_a_write_that_was_not_sent_is_unavailable_and_not_repeated():
    hand = Hand(Failure(False, "connection refused"))
    with pytest.raises(Unavailable, match="could not be sent"):
        hand.run("AddOrder")
    assert not hand.keys["fp"].fence_due


def test_a_fence_goes_before_the_next_write_and_not_before_a_read():
    hand = Hand(reply(result={"nonce": "7"}), reply(result={}), key=KeyState(fence_due=True))
    hand.run("AddOrder")
    assert [name for name, _ in hand.sent] == ["GetApiKeyInfo", "AddOrder"]
    assert hand.keys["fp"] == KeyState(known_nonce=7, known_ns=NOW_NS)
    hand = Hand(reply(result={}), key=KeyState(fence_due=True))
    hand.run("Balance")
    assert [name for name, _ in hand.sent] == ["Balance"]
    assert not hand.keys["fp"].fence_due, "any accepted call is a fence"


def test_a_write_does_not_go_where_its_fence_had_no_answer():
    hand = Hand(Reply(502, b""), key=KeyState(fence_due=True))
    with pytest.raises(Unavailable, match="was not sent"):
        hand.run("AddOrder")
    assert hand.keys["fp"].fence_due
    hand = Hand(reply("EAPI:Invalid key"), key=KeyState(fence_due=True))
    with pytest.raises(Refused, match="GetApiKeyInfo before AddOrder"):
        hand.run("AddOrder")


def test_what_a_dead_holder_left_fences_its_key_and_not_ours():
    hand = Hand(reply(result={}), unfinished=TurnRecord("other", "AddOrder", 50))
    hand.run("AddOrder")
    assert hand.keys["other"].fence_due
    assert hand.records[0] is None
    assert [name for name, _ in hand.sent] == ["AddOrder"]


def test_an_interrupted_write_is_in_doubt_and_its_turn_is_left():
    hand = Hand(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        hand.run("AddOrder")
    assert hand.keys["fp"].fence_due
    assert hand.records[-1] is None
    assert hand.asked[-1] == "Leave"


def test_a_lockout_stops_the_key_for_minutes():
    hand = Hand(reply("EGeneral:Temporary lockout"), reply(result=1))
    with pytest.raises(Refused) as caught:
        hand.run()
    assert caught.value.wait_s == LOCKOUT_S
    with pytest.raises(Unavailable, match="locked"):
        hand.run()
    hand.now_ns += LOCKOUT_S * NS_PER_S
    assert hand.run() == 1


def test_a_throttle_tells_how_long():
    with pytest.raises(Refused) as caught:
        Hand(reply(f"EService: Throttled: {NOW_NS // NS_PER_S + 9}")).run()
    assert caught.value.wait_s == pytest.approx(9, abs=1)


def test_the_interval_is_kept_from_send_to_send():
    hand = Hand(reply(result=1), last_ended_ns=NOW_NS - 50_000_000)
    hand.run(min_interval_ns=200_000_000)
    assert hand.now_ns - NOW_NS == 150_000_000
    hand = Hand(reply(result=1), last_ended_ns=NOW_NS + 10**12)
    hand.run(min_interval_ns=200_000_000)
    assert hand.now_ns == NOW_NS, "a clock that stepped back is not waited for"


def test_a_doubted_clock_is_put_to_kraken():
    hand = Hand(reply(result={"unixtime": 5}), reply(result=1), doubted=True)
    hand.run()
    assert hand.sent[0] == ("GET", "/0/public/Time")
    assert "ConfirmClock" in hand.asked


def test_a_business_refusal_ends_a_row_of_nonce_refusals():
    hand = Hand(reply(*INVALID), reply("EOrder:Insufficient funds"))
    with pytest.raises(Refused, match="Insufficient funds"):
        hand.run("AddOrder")
    assert hand.keys["fp"].refused_in_a_row == 0


def test_the_interval_is_kept_inside_a_turn_too():
    hand = Hand(reply(*INVALID), reply(result=1))
    hand.run(min_interval_ns=300_000_000)
    assert hand.now_ns - NOW_NS == 300_000_000
