"""What GetApiKeyInfo's answer, or the lack of one, says of a key; the integration test has real answers."""

import pytest

from sealane.core.methods import METHODS
from sealane.doctor.finding import Level
from sealane.doctor.keys import NEEDED, KeyAnswer, judge_error, judge_key
from sealane.doctor.nonce_clients import CLIENTS
from sealane.errors import NotDurable, Quarantined, Refused, Unavailable

NOW = 1_790_000_000 * 10**9
DAY_S = 86_400
BAD = (Level.WARNING, Level.FAULT)
GOOD = {
    "nonce": "0",
    "nonceWindow": 0,
    "permissions": sorted(NEEDED),
    "validUntil": "0",
    "ipAllowlist": ["10.0.0.1"],
}


def bad(before=NOW - 10**9, after=NOW, unit_ns=1, **info):
    answer = KeyAnswer("MASTER", GOOD | info, before, after, unit_ns)
    return {finding.check: finding for finding in judge_key(answer, NOW) if finding.level in BAD}


def test_a_good_key_is_sound():
    assert bad() == {}


@pytest.mark.parametrize(
    ("info", "check", "level", "word"),
    [
        ({"nonceWindow": 5000}, "key-window", Level.WARNING, "5000"),
        ({"nonceWindow": "5000"}, "key-window", Level.WARNING, "5000"),
        ({"permissions": [*NEEDED, "withdraw-funds"]}, "key-withdraw", Level.WARNING, "empties"),
        ({"ipAllowlist": []}, "key-addresses", Level.WARNING, "any IP"),
        ({"validUntil": str(NOW // 10**9 - 2 * DAY_S)}, "key-expiry", Level.FAULT, "expired 2 d ago"),
        ({"validUntil": str(NOW // 10**9 + 5 * DAY_S)}, "key-expiry", Level.WARNING, "expires in 5 d"),
    ],
)
def test_what_is_wrong_with_a_key(info, check, level, word):
    found = bad(**info)
    assert list(found) == [check]
    assert found[check].level is level
    assert word in found[check].message
    assert found[check].remedy


def test_a_key_that_expires_next_year_is_sound():
    assert bad(validUntil=str(NOW // 10**9 + 365 * DAY_S)) == {}


@pytest.mark.parametrize(
    ("missing", "failing", "not_failing"),
    [
        (["query-funds"], ["Balance", "BalanceEx"], ["OpenOrders"]),
        (["query-open-trades"], ["OpenOrders", "OpenPositions"], ["QueryOrders"]),
        (["query-closed-trades"], ["ClosedOrders", "TradesHistory"], ["QueryOrders"]),
        (["query-open-trades", "query-closed-trades"], ["QueryOrders", "OrderAmends"], ["Balance"]),
        (["modify-trades"], ["AddOrder", "EditOrder"], ["CancelOrder", "AmendOrder"]),
        (["modify-trades", "close-trades"], ["AddOrder", "CancelOrder", "CancelAll"], ["OpenOrders"]),
    ],
)
def test_permissions_that_lack_name_the_methods_that_fail(missing, failing, not_failing):
    found = bad(permissions=[name for name in NEEDED if name not in missing])["key-permissions"]
    methods = found.message.partition("denied: ")[2].split(", ")
    assert set(failing) <= set(methods) <= set(METHODS)
    assert not set(not_failing) & set(methods)
    assert all(name in found.message for name in missing)


def test_a_permission_that_another_covers_is_no_trouble():
    assert bad(permissions=[name for name in NEEDED if name != "close-trades"]) == {}


# --- foreign nonces ---


@pytest.mark.parametrize("client", [one for one in CLIENTS if one.unit != "ns"], ids=lambda one: one.unit)
def test_a_nonce_of_another_unit_names_who_counts_so(client):
    found = bad(nonce=str(client.value(NOW)))["key-nonce"]
    assert f"counts in {client.unit}" in found.message
    assert client.clients in found.message


@pytest.mark.parametrize("held", [NOW - 5, NOW + 60 * 10**9])
def test_a_nonce_between_or_above_the_lanes_own(held):
    found = bad(nonce=str(held))["key-nonce"]
    assert found.level is Level.WARNING
    assert "foreign nonce" in found.message


@pytest.mark.parametrize("held", [0, NOW - 10**9, NOW - 10**12, NOW, 5])
def test_nonces_that_can_be_the_lanes_own(held):
    assert bad(nonce=str(held)) == {}


def test_a_lane_of_a_smaller_unit_does_not_wonder_at_its_own():
    now_us = NOW // 1000
    assert bad(before=now_us - 100, after=now_us, unit_ns=1000, nonce=str(now_us - 1000)) == {}
    found = bad(before=now_us - 100, after=now_us, unit_ns=1000, nonce=str(NOW))["key-nonce"]
    assert "counts in ns" in found.message


REFUSED = Refused("GetApiKeyInfo", ("EAPI:Invalid nonce",))


@pytest.mark.parametrize(
    ("after", "word"),
    [(NOW, "a foreign nonce"), (NOW + 1, "drew outside its turn")],
)
def test_a_refused_nonce_shows_that_something_else_writes(after, word):
    """Which number Kraken holds, a refusal does not tell; one that a program here drew meanwhile explains it."""
    key, nonce = judge_key(KeyAnswer("MASTER", {}, NOW - 9, after, refused=NOW, error=REFUSED), NOW)
    assert (key.check, key.level) == ("key", Level.FAULT)
    assert (nonce.check, nonce.level) == ("key-nonce", Level.WARNING)
    assert word in nonce.message
    assert str(NOW) in nonce.message
    assert nonce.remedy


# --- no answer ---


@pytest.mark.parametrize(
    ("error", "word", "remedy"),
    [
        (Refused("GetApiKeyInfo", ("EAPI:Invalid key",)), "knows no such key", "copy"),
        (Refused("GetApiKeyInfo", ("EAPI:Invalid signature",)), "secret is not the key's", "private key"),
        (Refused("GetApiKeyInfo", ("EGeneral:Permission denied",)), "second factor", "_API_OTP"),
        (Refused("GetApiKeyInfo", ("EGeneral:Temporary lockout",)), "locked the key out", "wait"),
        (Refused("GetApiKeyInfo", ("EAPI:Invalid nonce",)), "accepted a higher one", "other program"),
        (Refused("GetApiKeyInfo", ("EAPI:Rate limit exceeded",)), "counter", "another program"),
        (Refused("GetApiKeyInfo", ("EOther:New",)), "EOther:New", "trouble.md"),
        (Quarantined("MASTER", "consistent with x"), "still getting invalid nonce", "nonce raise --account MASTER"),
        (Unavailable("Kraken locked the key of MASTER out for 5 s"), "locked the key", "wait"),
        (Unavailable("no usable answer"), "could not be asked", "network"),
        (NotDurable("Could not persist nonce to disk"), "could not be asked", "data folder"),
    ],
)
def test_why_a_key_could_not_be_asked_about(error, word, remedy):
    found = judge_error("MASTER", error)
    assert found.level is Level.FAULT
    assert word in found.message
    assert remedy in found.remedy
    assert list(judge_key(KeyAnswer("MASTER", error=error), NOW)) == [found]


def test_a_busy_lane_is_no_fault_of_the_key():
    found = judge_error("MASTER", Unavailable("lane kraken_global_nonce was busy for 10 s: 1 wait in this process"))
    assert found.level is Level.WARNING
    assert "SIGSTOP" in found.remedy


def test_an_answer_that_says_nothing():
    (found,) = judge_key(KeyAnswer("MASTER"), NOW)
    assert found.level is Level.SKIPPED


def test_an_answer_with_odd_fields_breaks_nothing():
    odd = {"nonce": None, "nonceWindow": "x", "permissions": 5, "validUntil": [], "ipAllowlist": None}
    assert set(bad(**odd)) == {"key-permissions", "key-addresses"}
