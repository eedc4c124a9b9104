import json

import pytest

from sealane.core.verdict import Advice, Failure, Outcome, Reply, judge

# One row for every string of the error table in Kraken's documents and support pages, and what is to be done about it.
TABLE = [
    ("EAPI:Invalid key", Outcome.REFUSED, Advice.STOP),
    ("EAPI:Invalid signature", Outcome.REFUSED, Advice.STOP),
    ("EGeneral:Permission denied", Outcome.REFUSED, Advice.STOP),
    ("EGeneral:Unknown method", Outcome.REFUSED, Advice.STOP),
    ("EGeneral:Invalid arguments", Outcome.REFUSED, Advice.STOP),
    ("EGeneral:Invalid arguments:volume", Outcome.REFUSED, Advice.STOP),
    ("EAuth:Account temporary disabled", Outcome.REFUSED, Advice.STOP),
    ("EAuth:Account unconfirmed", Outcome.REFUSED, Advice.STOP),
    ("EQuery:Unknown asset pair", Outcome.REFUSED, Advice.STOP),
    ("EAccount:Invalid permissions:USDT trading restricted", Outcome.REFUSED, Advice.STOP),
    ("EFunding:Unknown withdraw key", Outcome.REFUSED, Advice.STOP),
    ("EAPI:Invalid nonce", Outcome.REFUSED, Advice.NONCE),
    ("eapi:INVALID NONCE", Outcome.REFUSED, Advice.NONCE),
    ("EAPI: Invalid nonce", Outcome.REFUSED, Advice.NONCE),
    ("EAPI:Rate limit exceeded", Outcome.REFUSED, Advice.COUNTER),
    ("EGeneral:Too many requests", Outcome.REFUSED, Advice.COUNTER),
    ("EAuth:Rate limit exceeded", Outcome.REFUSED, Advice.COUNTER),
    ("EService: Throttled: 1795255897", Outcome.REFUSED, Advice.THROTTLED),
    ("EService:Throttled:1795255897", Outcome.REFUSED, Advice.THROTTLED),
    ("EGeneral:Temporary lockout", Outcome.REFUSED, Advice.LOCKOUT),
    ("EService:Unavailable", Outcome.IN_DOUBT, Advice.RETRY),
    ("EService:Busy", Outcome.IN_DOUBT, Advice.RETRY),
    ("EGeneral:Internal error", Outcome.IN_DOUBT, Advice.RETRY),
    ("EDatabase:Internal error", Outcome.IN_DOUBT, Advice.RETRY),
    ("EService:Deadline elapsed", Outcome.IN_DOUBT, Advice.LOOK),
    ("EService:Market in cancel_only mode", Outcome.REFUSED, Advice.GATE),
    ("EService:Market in post_only mode", Outcome.REFUSED, Advice.GATE),
    ("EOrder:Rate limit exceeded", Outcome.REFUSED, Advice.PAIR_COUNTER),
    ("EOrder:Orders limit exceeded", Outcome.REFUSED, Advice.PAIR_COUNTER),
    ("EOrder:Domain rate limit exceeded", Outcome.REFUSED, Advice.PAIR_COUNTER),
    ("EOrder:Insufficient funds", Outcome.REFUSED, Advice.BUSINESS),
    ("EOrder:Order minimum not met", Outcome.REFUSED, Advice.BUSINESS),
    ("EOrder:Tick size check failed", Outcome.REFUSED, Advice.BUSINESS),
    ("EOrder:Invalid price", Outcome.REFUSED, Advice.BUSINESS),
    ("EOrder:Post only order", Outcome.REFUSED, Advice.BUSINESS),
    ("EOrder:Unknown order", Outcome.REFUSED, Advice.BUSINESS),
    ("EOrder:Reduce only:No position exists", Outcome.REFUSED, Advice.BUSINESS),
    ("ESomething:Nobody described", Outcome.IN_DOUBT, Advice.RETRY),
]


def envelope(*errors, **more):
    return Reply(200, json.dumps({"error": list(errors), **more}).encode())


@pytest.mark.parametrize(("error", "outcome", "advice"), TABLE, ids=[row[0] for row in TABLE])
def test_every_row_of_the_error_table(error, outcome, advice):
    verdict = judge(envelope(error))
    assert (verdict.outcome, verdict.advice, verdict.errors) == (outcome, advice, (error,))


def test_a_throttle_names_its_end():
    assert judge(envelope("EService: Throttled: 1795255897")).until_s == 1795255897.0


def test_a_result_is_accepted_and_a_missing_one_is_none():
    assert judge(envelope(result={"ZUSD": "1.0"})).result == {"ZUSD": "1.0"}
    bare = judge(envelope())
    assert (bare.outcome, bare.result) == (Outcome.ACCEPTED, None)


def test_a_warning_stands_beside_a_result():
    verdict = judge(envelope("WGeneral:Danger", result={"txid": ["O1"]}))
    assert (verdict.outcome, verdict.warnings, verdict.result) == (
        Outcome.ACCEPTED,
        ("WGeneral:Danger",),
        {"txid": ["O1"]},
    )


def test_the_gravest_of_several_errors_decides():
    assert judge(envelope("EOrder:Invalid price", "EService:Unavailable")).outcome is Outcome.IN_DOUBT


@pytest.mark.parametrize(
    "answer",
    [
        Reply(500, b""),
        Reply(502, b"<html>Bad gateway</html>"),
        Reply(520, b'{"error":[],"result":{}}'),
        Reply(302, b""),
        Reply(200, b"<html>"),
        Reply(200, b""),
        Reply(200, b"[]"),
        Reply(200, b'{"result":{}}'),
        Reply(200, b'{"error":"EAPI:Invalid nonce"}'),
        Reply(200, b'{"error":[],"resu'),
        Reply(200, b"\xff\xfe"),
        Reply(200, b'{"error":[],"result":' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
        Failure(True, "reset"),
    ],
)
def test_all_else_is_in_doubt(answer):
    assert judge(answer).outcome is Outcome.IN_DOUBT


def test_only_what_never_left_is_not_sent():
    assert judge(Failure(False, "connection refused")).outcome is Outcome.NOT_SENT
