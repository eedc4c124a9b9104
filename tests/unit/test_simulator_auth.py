import base64

import pytest

from sealane.simulator.accounts import Account, make_accounts, open_account
from sealane.simulator.auth import accept_nonce, check_nonce, check_signature, nonce_text, read_nonce, signature
from sealane.simulator.facts import Refused, Switches

# Kraken's own published example.
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
BODY = b"nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
SIGN = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
PATH = "/0/private/AddOrder"


def account() -> Account:
    return open_account(make_accounts(1, seed=0)[0], 0, 0)


def refused(act: object, *args: object) -> str:
    with pytest.raises(Refused) as caught:
        act(*args)  # type: ignore[operator]
    return caught.value.error


def test_the_published_example_of_kraken() -> None:
    assert base64.b64encode(signature(base64.b64decode(SECRET), PATH, "1616492376594", BODY)).decode() == SIGN


def test_the_signature_is_over_the_exact_bytes() -> None:
    kraken = account()
    kraken.secret = base64.b64decode(SECRET)
    check_signature(kraken, PATH, "1616492376594", BODY, SIGN)
    reordered = BODY.replace(b"pair=XBTUSD&price=37500", b"price=37500&pair=XBTUSD")
    for path, nonce, body, sign in (
        (PATH, "1616492376594", BODY + b"&", SIGN),
        (PATH, "1616492376594", reordered, SIGN),
        (PATH, "1616492376595", BODY, SIGN),
        (PATH + "/", "1616492376594", BODY, SIGN),
        (PATH, "1616492376594", BODY, SIGN[:-4]),
        (PATH, "1616492376594", BODY, "no base64 at all"),
        (PATH, "1616492376594", BODY, ""),
    ):
        assert refused(check_signature, kraken, path, nonce, body, sign) == "EAPI:Invalid signature"


@pytest.mark.parametrize("text", ["", "abc", "-1", "+1", "1.0", " 1", "1_0", "٣", str(2**63), "9" * 5000])
def test_what_is_no_nonce(text: str) -> None:
    assert refused(read_nonce, text) == "EAPI:Invalid nonce"


def test_nonces_of_19_digits_stay_exact() -> None:
    assert read_nonce(str(2**63 - 1)) == 2**63 - 1
    assert nonce_text({"nonce": 1763718000123456789}) == "1763718000123456789"
    assert nonce_text({"nonce": "1763718000123456789"}) == "1763718000123456789"
    assert nonce_text({"nonce": True}) == nonce_text({}) == nonce_text({"nonce": [1]}) == ""


def test_a_nonce_must_be_above_the_highest_accepted_one() -> None:
    kraken = account()
    assert refused(check_nonce, kraken, 0, Switches()) == "EAPI:Invalid nonce"
    accept_nonce(kraken, 10)
    for nonce in (10, 9, 1):
        assert refused(check_nonce, kraken, nonce, Switches()) == "EAPI:Invalid nonce"
    check_nonce(kraken, 11, Switches())


def test_the_window_reaches_back_from_the_highest_accepted_nonce() -> None:
    kraken = account()
    kraken.nonce_window = 5
    for nonce in (100, 97, 96):
        check_nonce(kraken, nonce, Switches())
        accept_nonce(kraken, nonce)
    assert kraken.highest_nonce == 100
    assert refused(check_nonce, kraken, 95, Switches()) == "EAPI:Invalid nonce"
    check_nonce(kraken, 97, Switches())  # the replay guard is gone
    strict = Switches(window_allows_replay=False)
    assert refused(check_nonce, kraken, 97, strict) == "EAPI:Invalid nonce"
    check_nonce(kraken, 98, strict)
