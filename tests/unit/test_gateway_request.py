"""A request to the gateway is read in one way or not at all."""

from __future__ import annotations

import base64
import json
from decimal import Decimal

import pytest

from sealane.core.signing import api_sign
from sealane.gateway.api.request import (
    BODY_BYTES_MAX,
    Signed,
    Unreadable,
    private_request,
    public_target,
    validates,
)

SECRET = bytes(range(64))
FORM = b"application/x-www-form-urlencoded"


def asked(
    path: bytes = b"/0/private/Balance", query: bytes = b"", body: bytes = b"nonce=1", **headers: bytes
) -> Signed:
    named = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    return private_request(path, query, named, body)


def test_a_form_is_read_without_its_nonce_and_second_factor() -> None:
    found = asked(b"/0/private/AddOrder", body=b"nonce=17&otp=123&pair=XBTUSD&price=0.10&oflags=")
    assert (found.method, found.nonce, found.nonce_text) == ("AddOrder", 17, "17")
    assert found.params == {"pair": "XBTUSD", "price": "0.10", "oflags": ""}


def test_json_keeps_its_numbers_exact() -> None:
    body = b'{"nonce":"18","volume":0.10000000000000000001,"count":3,"close":{"price":1e2}}'
    found = asked(b"/0/private/AddOrder", body=body, content_type=b"application/json; charset=utf-8")
    assert found.params["volume"] == Decimal("0.10000000000000000001")
    assert found.params["close"] == {"price": Decimal("1E+2")}
    assert found.nonce == 18


@pytest.mark.parametrize(
    "body",
    [
        b"nonce=1&pair=A&pair=B",
        b"nonce=1&nonce=2",
        b"nonce=1&%70air=A&pair=B",
        b"nonce=1&pair",
        b"nonce=1&a=%ff",
        b"\xff",
        b"&".join(b"f%d=1" % number for number in range(201)),
    ],
)
def test_a_form_that_can_be_read_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        asked(body=body, content_type=FORM)
    assert refused.value.error == "EGeneral:Invalid arguments"


def test_json_as_deep_as_an_order_can_be_is_read() -> None:
    body = b'{"nonce":1,"orders":[{"close":{"price":"\\u20ac"}}],"a":' + b"[" * 7 + b"]" * 7 + b"}"
    found = asked(b"/0/private/AddOrderBatch", body=body, content_type=b"application/json")
    assert found.params["orders"] == [{"close": {"price": "\u20ac"}}]


@pytest.mark.parametrize(
    "body",
    [
        b'{"nonce":1,"nonce":2}',
        b'{"nonce":1,"orders":[{"price":"1","price":"2"}]}',
        b'{"nonce":1,"a":NaN}',
        b'{"nonce":1,"a":1e999999}',
        b"[1]",
        b"nonce=1",
        b'{"nonce":1}{"nonce":2}',
        b'{"a":' * 5_000,
        b'{"nonce":' + b"1" * 5_000 + b"}",
        b'{"nonce":"\\ud800"}',
        b'{"nonce":1,"\\udfff":1}',
        b'{"nonce":1,"a":["\\ud800"]}',
        b'{"nonce":1,"a":' + b"[" * 8 + b"]" * 8 + b"}",
        b'{"nonce":1,"a":' + b'{"a":' * 900 + b"1" + b"}" * 901,
    ],
)
def test_json_that_can_be_read_in_two_ways_or_not_be_sent_on_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        asked(body=body, content_type=b"application/json")
    assert refused.value.error == "EGeneral:Invalid arguments"


@pytest.mark.parametrize(
    "path",
    [
        b"/0/private/",
        b"/0/private/balance",
        b"/0/private/Balance/",
        b"/0/private//Balance",
        b"/0/private/../private/Balance",
        b"/0/private/Bal%61nce",
        b"/0/private/Nothing",
        b"/0/private/Earn",
        b"/1/private/Balance",
    ],
)
def test_only_the_exact_path_of_a_method_is_one(path: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        asked(path)
    assert refused.value.error == "EGeneral:Unknown method"


def test_methods_with_two_words_have_theirs() -> None:
    assert asked(b"/0/private/Earn/Strategies").path == "/0/private/Earn/Strategies"


def test_parameters_in_the_path_of_a_private_call_are_refused() -> None:
    with pytest.raises(Unreadable, match="in the body"):
        asked(query=b"pair=XBTUSD")


def test_a_header_given_twice_is_refused() -> None:
    with pytest.raises(Unreadable, match="api-key"):
        private_request(b"/0/private/Balance", b"", [(b"api-key", b"a"), (b"api-key", b"b")], b"nonce=1")


@pytest.mark.parametrize("key", [b"x" * 256, b"\xff", b"a\x00"])
def test_a_repeat_key_that_cannot_be_kept_is_refused(key: bytes) -> None:
    with pytest.raises(Unreadable, match="Idempotency-Key"):
        asked(idempotency_key=key)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "9223372036854775808", "٣", "1e3", " 1"])
def test_a_nonce_is_a_whole_number_below_2_to_the_63(text: str) -> None:
    found = asked(body=json.dumps({"nonce": text}).encode(), content_type=b"application/json")
    with pytest.raises(Unreadable) as refused:
        _ = found.nonce
    assert refused.value.error == "EAPI:Invalid nonce"


def test_the_signature_is_over_the_bytes_as_they_came() -> None:
    body = b"nonce=5&a=%41"
    sign = api_sign(SECRET, "/0/private/Balance", "5", body).encode()
    assert asked(body=body, api_sign=sign).is_signed_with(SECRET)
    assert not asked(body=b"nonce=5&a=A", api_sign=sign).is_signed_with(SECRET)
    assert not asked(b"/0/private/BalanceEx", body=body, api_sign=sign).is_signed_with(SECRET)
    assert not asked(body=body, api_sign=sign).is_signed_with(SECRET[::-1])


@pytest.mark.parametrize("sign", [b"", b"AA==", b"not base64!", base64.b64encode(bytes(63)), b"\xff\xff"])
def test_a_signature_that_is_none_is_wrong(sign: bytes) -> None:
    assert not asked(api_sign=sign).is_signed_with(SECRET)


def test_a_request_shows_neither_its_signature_nor_its_body() -> None:
    shown = repr(asked(body=b"nonce=5&secret=planted", api_sign=b"cGxhbnRlZA=="))
    assert "planted" not in shown


@pytest.mark.parametrize(
    ("word", "expected"), [("true", True), ("True", True), (True, True), ("1", True), ("false", False), (None, False)]
)
def test_validate_is_read_as_kraken_reads_it(word: object, expected: bool) -> None:
    assert validates({"validate": word}) is expected


def test_a_validate_that_is_neither_is_refused_rather_than_sent() -> None:
    with pytest.raises(Unreadable):
        validates({"validate": "maybe"})


def test_a_public_call_goes_on_as_it_was_asked() -> None:
    assert public_target(b"/0/public/Time", b"") == "/0/public/Time"
    assert public_target(b"/0/public/Ticker", b"pair=XBT%2FUSD") == "/0/public/Ticker?pair=XBT%2FUSD"


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (b"/0/public/Nothing", b""),
        (b"/0/public/../private/Balance", b""),
        (b"/0/public/Ticker", b"pair=a b"),
        (b"/0/public/Ticker", b"pair=a\r\nHost:"),
        (b"/0/public/Ticker", b"pair=a&pair=b"),
        (b"/0/public/Ticker", b"pair=a#b"),
        (b"/0/public/Ticker", b"pair=" + b"a" * 5_000),
    ],
)
def test_a_public_call_that_is_not_kraken_s_goes_nowhere(path: bytes, query: bytes) -> None:
    with pytest.raises(Unreadable):
        public_target(path, query)


def test_the_limit_of_a_body_leaves_room_for_the_largest_batch() -> None:
    order = {"ordertype": "limit", "type": "buy", "volume": "0.00000001", "price": "1000000.1", "cl_ord_id": "x" * 36}
    largest = json.dumps(
        {"nonce": 2**63 - 1, "pair": "XBTUSD", "orders": [{**order, "userref": 1, "oflags": "post,fciq"}] * 15}
    )
    assert len(largest) * 5 < BODY_BYTES_MAX
