"""Who may call: key, signature, nonce, otp, permission, and the methods that read."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sealane.simulator import Probe, Simulator, Switches


@pytest.fixture
def kraken() -> Iterator[Simulator]:
    with Simulator(accounts=2, seed=3) as simulator:
        yield simulator


@pytest.fixture
def probe(kraken: Simulator) -> Iterator[Probe]:
    with Probe(kraken.url, kraken.accounts[0]) as client:
        yield client


def started(**switches: Any) -> Simulator:
    return Simulator(switches=Switches(**switches)).start()


def highest(kraken: Simulator) -> str:
    return str(kraken.state()["accounts"]["MASTER"]["highest_nonce"])


@pytest.mark.parametrize("as_json", [False, True])
def test_a_signed_call_is_answered(probe: Probe, as_json: bool) -> None:
    answer = probe.private("Balance", nonce=1763718000123456789, as_json=as_json)
    assert answer["error"] == []
    assert answer["result"]["ZUSD"] == "100000.0000"
    assert answer["result"]["XXBT"] == "5.0000000000"


def test_json_may_carry_the_nonce_as_text(probe: Probe) -> None:
    assert probe.private("Balance", nonce="1763718000123456789", as_json=True)["error"] == []


def test_each_account_has_its_own_nonces_and_balances(kraken: Simulator, probe: Probe) -> None:
    probe.private("Balance", nonce=1000)
    with Probe(kraken.url, kraken.accounts[1]) as other:
        assert other.private("Balance", nonce=1)["result"]["ZUSD"] == "101000.0000"


def test_keys_and_signatures_are_refused_and_leave_the_nonce_alone(kraken: Simulator, probe: Probe) -> None:
    body, headers, path = probe.signed("Balance", nonce=50)
    for changed, said in (
        ({"API-Key": "nobody"}, "EAPI:Invalid key"),
        ({"API-Key": ""}, "EAPI:Invalid key"),
        ({"API-Sign": ""}, "EAPI:Invalid signature"),
        ({"API-Sign": headers["API-Sign"].swapcase()}, "EAPI:Invalid signature"),
        ({"API-Key": kraken.accounts[1].api_key}, "EAPI:Invalid signature"),
    ):
        status, text = probe.send("POST", path, body, headers | changed)
        assert (status, text) == (200, f'{{"error":["{said}"]}}'.encode())
    assert probe.send("POST", path, body + b"&a=1", headers)[1] == b'{"error":["EAPI:Invalid signature"]}'
    assert highest(kraken) == "0"
    assert b"result" in probe.send("POST", path, body, headers)[1]


def test_nonces_must_rise_and_a_replay_is_refused(probe: Probe) -> None:
    body, headers, path = probe.signed("AddOrder", nonce=7, pair="XBTUSD", type="buy", ordertype="market", volume="1")
    assert b"txid" in probe.send("POST", path, body, headers)[1]
    assert probe.send("POST", path, body, headers)[1] == b'{"error":["EAPI:Invalid nonce"]}'
    for nonce in (7, 6, 0, -1, "", "x", "1.5", 2**63):
        assert probe.private("Balance", nonce=nonce) == {"error": ["EAPI:Invalid nonce"]}
    assert probe.private("Balance", nonce=2**63 - 1)["error"] == []


def test_a_call_without_a_nonce_is_refused(probe: Probe) -> None:
    _, headers, path = probe.signed("Balance")
    assert probe.send("POST", path, b"", headers)[1] == b'{"error":["EAPI:Invalid signature"]}'
    assert probe.private("Balance", nonce="") == {"error": ["EAPI:Invalid nonce"]}


def test_a_poisoned_key_and_a_window(kraken: Simulator, probe: Probe) -> None:
    kraken.update_account("MASTER", nonce=str(10**18))
    assert probe.private("Balance", nonce=10**18)["error"] == ["EAPI:Invalid nonce"]
    kraken.update_account("MASTER", nonce_window=10)
    assert probe.private("Balance", nonce=10**18 - 9)["error"] == []
    assert probe.private("Balance", nonce=10**18 - 9)["error"] == []
    assert probe.private("Balance", nonce=10**18 - 10)["error"] == ["EAPI:Invalid nonce"]
    assert highest(kraken) == str(10**18)


@pytest.mark.parametrize(
    ("switch", "refusal", "default"),
    [
        ("bad_signature_consumes_nonce", "signature", False),
        ("otp_refusal_consumes_nonce", "otp", True),
        ("permission_refusal_consumes_nonce", "permission", True),
    ],
)
def test_whether_a_refused_call_uses_up_its_nonce_is_a_switch(switch: str, refusal: str, default: bool) -> None:
    assert getattr(Switches(), switch) is default
    for consumes in (True, False):
        kraken = started(**{switch: consumes})
        try:
            with Probe(kraken.url, kraken.accounts[0]) as probe:
                _provoke(kraken, probe, refusal)
            figures = kraken.journal()["summary"]
        finally:
            kraken.stop()
        assert highest(kraken) == ("5" if consumes else "0")
        assert (figures["accepted"], figures["refused_other"]) == ((1, 0) if consumes else (0, 1))


def _provoke(kraken: Simulator, probe: Probe, refusal: str) -> None:
    if refusal == "otp":
        kraken.update_account("MASTER", otp="123456")
        assert probe.private("Balance", nonce=5)["error"] == [Switches().otp_error]
    elif refusal == "permission":
        kraken.update_account("MASTER", permissions=["query-open-trades"])
        assert probe.private("Balance", nonce=5)["error"] == ["EGeneral:Permission denied"]
    else:
        body, headers, path = probe.signed("Balance", nonce=5)
        assert b"Invalid signature" in probe.send("POST", path, body, headers | {"API-Sign": "AAAA"})[1]


def test_otp_goes_with_every_call_once_it_is_set(kraken: Simulator, probe: Probe) -> None:
    kraken.update_account("MASTER", otp="secret word")
    assert "error" in probe.private("Balance")
    assert probe.private("Balance", otp="wrong")["error"]
    assert probe.private("Balance", otp="secret word")["error"] == []
    assert "secret word" not in str(kraken.state())
    kraken.update_account("MASTER", otp=None)
    assert probe.private("Balance")["error"] == []


@pytest.mark.parametrize(
    ("method", "permissions", "allowed"),
    [
        ("Balance", ["query-funds"], True),
        ("BalanceEx", ["modify-trades"], False),
        ("OpenOrders", ["query-open-trades"], True),
        ("ClosedOrders", ["query-open-trades"], False),
        ("GetWebSocketsToken", ["query-funds"], False),
        ("GetWebSocketsToken", ["create-ws-token"], True),
        ("GetApiKeyInfo", [], True),
        ("AddOrder", ["query-funds", "close-trades"], False),
    ],
)
def test_permissions(kraken: Simulator, probe: Probe, method: str, permissions: list[str], allowed: bool) -> None:
    kraken.update_account("MASTER", permissions=permissions)
    assert (probe.private(method)["error"] != ["EGeneral:Permission denied"]) is allowed


def test_withdrawing_is_not_among_the_usual_permissions(probe: Probe) -> None:
    permissions = probe.private("GetApiKeyInfo")["result"]["permissions"]
    assert "withdraw-funds" not in permissions
    assert {"query-funds", "modify-trades", "close-trades"} <= set(permissions)


@pytest.mark.parametrize(
    "verb_and_path", ["POST /0/private/Nonsense", "GET /0/private/Balance", "GET /0/public/Nonsense"]
)
def test_unknown_methods(probe: Probe, verb_and_path: str) -> None:
    verb, path = verb_and_path.split()
    assert probe.send(verb, path) == (200, b'{"error":["EGeneral:Unknown method"]}')


def test_paths_beside_krakens_are_not_found(probe: Probe) -> None:
    assert probe.send("GET", "/")[0] == 404


@pytest.mark.parametrize("counts_itself", [True, False])
def test_api_key_info_tells_nonce_and_window(counts_itself: bool) -> None:
    kraken = started(key_info_counts_itself=counts_itself)
    try:
        with Probe(kraken.url, kraken.accounts[0]) as probe:
            probe.private("Balance", nonce=1763718000123456789)
            info = probe.private("GetApiKeyInfo", nonce=1763718000123456790)["result"]
    finally:
        kraken.stop()
    assert info["nonce"] == ("1763718000123456790" if counts_itself else "1763718000123456789")
    assert (info["nonceWindow"], info["apiKey"]) == (0, kraken.accounts[0].api_key)
    names = "apiKeyName apiKey nonce nonceWindow permissions iban validUntil queryFrom queryTo createdTime"
    assert set(info) == {*names.split(), "modifiedTime", "ipAllowlist", "lastUsed"}


@pytest.mark.parametrize("has_result", [True, False])
def test_an_account_without_balances(has_result: bool) -> None:
    kraken = started(empty_balance_has_result=has_result, empty_trade_balance_fails=not has_result)
    expected: dict[str, Any] = {"error": [], "result": {}} if has_result else {"error": []}
    try:
        kraken.update_account("MASTER", balances={})
        with Probe(kraken.url, kraken.accounts[0]) as probe:
            assert probe.private("Balance") == probe.private("BalanceEx") == expected
            said = probe.private("TradeBalance")["error"]
    finally:
        kraken.stop()
    assert said == ([] if has_result else ["EGeneral:Internal error"])


def test_reading_methods(kraken: Simulator, probe: Probe) -> None:
    kraken.update_account("MASTER", balances={"ZUSD": "100.5"})
    trade = probe.private("TradeBalance")["result"]
    assert trade["eb"] == trade["tb"] == trade["e"] == trade["mf"] == "100.5000"
    assert probe.private("OpenPositions")["result"] == {}
    token = probe.private("GetWebSocketsToken")["result"]
    assert (token["expires"], len(token["token"])) == (900, 43)


def test_public_methods(probe: Probe) -> None:
    time, status = probe.public("Time")["result"], probe.public("SystemStatus")["result"]
    assert isinstance(time["unixtime"], int)
    assert time["rfc1123"].endswith("+0000")
    assert status["status"] == "online"
    assert set(probe.public("Assets", asset="BTC,USD")["result"]) == {"XXBT", "ZUSD"}
    assert probe.public("Assets", asset="NIJA")["error"] == ["EQuery:Unknown asset"]
    assert set(probe.public("AssetPairs", pair="XBTUSD,ETH/USD")["result"]) == {"XXBTZUSD", "XETHZUSD"}
    assert set(probe.public("AssetPairs", pair="XBTUSD", info="fees")["result"]["XXBTZUSD"]) == {
        "fees",
        "fees_maker",
        "fee_volume_currency",
    }
    assert probe.public("AssetPairs", pair="NIJAUSD")["error"] == ["EQuery:Unknown asset pair"]
    assert set(probe.public("Ticker", pair="XBTUSD")["result"]["XXBTZUSD"]) == set("abcvptlho")
    assert len(probe.public("Ticker")["result"]) == len(probe.public("AssetPairs")["result"]) == 7


def test_every_answer_has_its_own_trace_id(kraken: Simulator) -> None:
    import http.client

    connection = http.client.HTTPConnection(kraken.url.removeprefix("http://"), timeout=10)
    seen = set()
    for _ in range(3):
        connection.request("GET", "/0/public/Time")
        response = connection.getresponse()
        response.read()
        seen.add(response.getheader("x-trace-id"))
    connection.close()
    assert len(seen) == 3
    assert None not in seen


def test_calls_from_many_threads_get_their_own_answers(kraken: Simulator) -> None:
    wrong: list[Any] = []

    def ask(index: int) -> None:
        with Probe(kraken.url, kraken.accounts[index % 2]) as probe:
            for step in range(25):
                answer = probe.private("Balance", nonce=10_000 * (step + 1) + index)
                expected = "101000.0000" if index % 2 else "100000.0000"
                if not answer["error"] and answer["result"]["ZUSD"] != expected:
                    wrong.append(answer)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert wrong == []
    figures = kraken.journal()["summary"]
    assert figures["requests"] == 200 == figures["accepted"] + figures["refused_nonce"]
    assert figures["nonces_rose"] is True
