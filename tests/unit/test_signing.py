import json
from decimal import Decimal
from urllib.parse import parse_qs

import pytest

from sealane.core.secret import Secret, credentials, masked
from sealane.core.signing import api_sign, private_request, public_request
from sealane.errors import SettingsError

# Kraken's published example, with the key that its page shows.
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
NONCE = 1616492376594
BODY = b"nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
SIGN = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="

WHO = credentials("MASTER", "an-api-key-of-some-length", SECRET, named="KRAKEN_API_SECRET")


def body_of(params, who=WHO):
    return private_request(who, "AddOrder", params, NONCE).body.decode()


def test_the_published_vector():
    assert api_sign(WHO.secret.reveal(), "/0/private/AddOrder", str(NONCE), BODY) == SIGN


def test_a_request_is_the_published_bytes_with_the_published_signature():
    order = {"ordertype": "limit", "pair": "XBTUSD", "price": 37500, "type": "buy", "volume": Decimal("1.25")}
    request = private_request(WHO, "AddOrder", order, NONCE)
    assert (request.verb, request.target, request.body) == ("POST", "/0/private/AddOrder", BODY)
    assert dict(request.headers)[b"API-Sign"] == SIGN.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("0.00000001"), "0.00000001"),
        (0.00000001, "0.00000001"),
        (1.25, "1.25"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (["A", "B"], "A%2CB"),
        ("a b&c", "a+b%26c"),
    ],
)
def test_values_as_text(value, text):
    assert body_of({"x": value}) == f"nonce={NONCE}&x={text}"


def test_none_is_left_out():
    assert body_of({"x": None, "y": 1}) == f"nonce={NONCE}&y=1"


def test_nested_values_go_as_json_with_exact_amounts():
    request = private_request(WHO, "AddOrderBatch", {"pair": "XBTUSD", "orders": [{"volume": Decimal("1E-8")}]}, NONCE)
    assert json.loads(request.body) == {"nonce": NONCE, "pair": "XBTUSD", "orders": [{"volume": "0.00000001"}]}
    assert dict(request.headers)[b"Content-Type"] == b"application/json"


def test_json_without_a_field_is_json_all_the_same():
    assert json.loads(private_request(WHO, "CancelOrderBatch", {}, NONCE).body) == {"nonce": NONCE}


@pytest.mark.parametrize("name", ["nonce", "otp"])
def test_what_the_lane_and_the_account_hold_is_not_taken_as_a_parameter(name):
    with pytest.raises(SettingsError, match=name):
        body_of({name: 1})


@pytest.mark.parametrize("value", [float("nan"), Decimal("Infinity"), object(), b"bytes"])
def test_what_cannot_be_sent_is_named(value):
    with pytest.raises(SettingsError, match="volume"):
        body_of({"volume": value})


@pytest.mark.parametrize("method", ["", "../public/Time", "Add Order", "Balance?x=1", "a/b/c", "Balance/"])
def test_a_method_that_is_no_name_is_refused(method):
    with pytest.raises(SettingsError, match="no Kraken method"):
        private_request(WHO, method, {}, NONCE)


def test_the_otp_goes_with_every_request():
    who = credentials("MASTER", "an-api-key-of-some-length", SECRET, "123 456", named="x")
    assert parse_qs(body_of({}, who))["otp"] == ["123 456"]


def test_public_calls_are_plain_gets():
    request = public_request("Ticker", {"pair": "XBTUSD"})
    assert (request.verb, request.target, request.headers, request.body) == (
        "GET",
        "/0/public/Ticker?pair=XBTUSD",
        (),
        b"",
    )


@pytest.mark.parametrize("secret", ["not base64!", "", "abc"])
def test_a_bad_secret_names_its_variable_and_not_its_value(secret):
    with pytest.raises(SettingsError, match="KRAKEN_API_SECRET") as caught:
        credentials("MASTER", "an-api-key", secret, named="KRAKEN_API_SECRET")
    assert not secret or secret not in str(caught.value)


def test_a_secret_does_not_show():
    assert "hush" not in repr(Secret(b"hush")) + str(Secret(b"hush")) + f"{Secret(b'hush')}"
    assert SECRET not in repr(WHO)
    assert WHO.api_key not in repr(WHO)


def test_keys_show_their_last_four_characters_at_most():
    assert masked("abcdefghijkl") == "…ijkl"
    assert masked("abcdefgh") == "…"
    assert WHO.api_key[-4:] in WHO.shown_key
    assert WHO.fingerprint not in WHO.api_key
