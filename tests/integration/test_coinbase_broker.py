"""CoinbaseBroker against a local Coinbase that verifies its tokens: balance, faults, secrets, what is sent where."""

import json
import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
import traceback
from decimal import Decimal, localcontext

import pytest
from coinbase.rest import RESTClient
from coinbase_server import ACCOUNTS, KEY_NAME, ORDERS, CoinbaseServer, ec_key, ed25519_key, self_signed

from sealane.broker import AccountType, BalanceUnknown, Broker, CoinbaseBroker, recovery
from sealane.errors import SealaneError, SettingsError
from sealane.testing import FakeClock

HELD = [("USD", "10.50", "1.5"), ("USDT", "3", "0.25"), ("USDC", "7", "0"), ("BTC", "0.5", "0.1"), ("ETH", "0", "0")]
TOTAL = Decimal("15.25")
SHORT_S = 0.6
SLOW = ("hang", "drip", "drip_head")
LIMIT_S = 60


@pytest.fixture(scope="module")
def pair():
    return ec_key()


@pytest.fixture
def server(pair):
    with CoinbaseServer(pair[1]) as exchange:
        exchange.book.accounts = list(HELD)
        yield exchange
    assert [seen.refused for seen in exchange.seen if seen.refused] == exchange.expects


@pytest.fixture(autouse=True)
def slow_recovery(monkeypatch):
    """The background stays out of the way of tests that count; those about it set it themselves."""
    monkeypatch.setattr(recovery, "FIRST_S", 3_600.0)
    monkeypatch.setattr(recovery, "LONGEST_S", 3_600.0)


@pytest.fixture
def broker(server, pair, monkeypatch, request):
    """MASTER from the environment, its PEM with escaped line breaks, no cache; impatient where a fault is a wait."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    timeout_s = SHORT_S if params.get("name") in SLOW else LIMIT_S
    monkeypatch.setenv("COINBASE_API_KEY", KEY_NAME)
    monkeypatch.setenv("COINBASE_API_SECRET", "superseded by the PEM")
    monkeypatch.setenv("COINBASE_PEM_CONTENT", pair[0].replace("\n", "\\n"))
    monkeypatch.setenv("COINBASE_API_URL", server.url)
    with CoinbaseBroker(balance_cache_s=0, timeout_s=timeout_s) as made:
        yield made


# --- the balance ----------------------------------------------------------------------------------------------------


def test_fields_of_a_new_broker():
    with CoinbaseBroker() as broker:
        assert isinstance(broker, CoinbaseBroker)
        assert broker.account == "MASTER"
        assert broker.is_available()
        assert broker.get_error_count() == 0
        assert broker.figures().exchange == "Coinbase"
        assert set(vars(Broker)) & set(dir(broker)) >= {"connect", "get_account_balance", "place_order", "close"}


def test_usd_and_usdt_over_all_pages_holds_included(server, broker, caplog):
    caplog.set_level(logging.INFO)
    assert broker.connect()
    assert broker.get_account_balance() == TOTAL
    seen = server.calls(ACCOUNTS)
    assert [call.query.get("cursor") for call in seen[:3]] == [None, ["2"], ["4"]]
    assert len({call.token for call in seen}) == len(seen)
    assert "💰 Coinbase Balance (MASTER): ✅ Available USD: $12.00, ✅ Available USDT: $3.25" in caplog.text


def test_the_detailed_balance_and_positions(broker):
    told = broker.get_account_balance_detailed()
    assert (told["usd"], told["usdt"], told["total"]) == (Decimal("12.00"), Decimal("3.25"), TOTAL)
    assert told["amounts"]["USDC"] == 7
    assert (told["error"], told["stale"], told["error_count"], told["available"]) == (None, False, 0, True)
    assert told["age_s"] < LIMIT_S
    assert broker.get_positions() == [
        {"asset": "BTC", "symbol": "BTC", "amount": Decimal("0.6")},
        {"asset": "USDC", "symbol": "USDC", "amount": Decimal(7)},
    ]


def test_several_accounts_of_one_currency_add_up_to_the_last_digit(server, broker):
    server.book.accounts = [("USD", "12345678901234567890.123456789012345678", "0"), ("USD", "0.1", "0.02")]
    with localcontext() as context:
        context.prec = 6
        assert broker.get_account_balance() == Decimal("12345678901234567890.243456789012345678")


def test_an_ed25519_key_signs_too():
    secret, public = ed25519_key()
    with CoinbaseServer(public) as exchange:
        exchange.book.accounts = list(HELD)
        with CoinbaseBroker(api_key=KEY_NAME, api_secret=secret, url=exchange.url) as broker:
            assert broker.get_account_balance() == TOTAL


def test_a_key_that_is_not_theirs_is_refused_and_the_balance_unknown(server):
    server.expects = ["InvalidSignatureError: Signature verification failed"] * 2
    with CoinbaseBroker(api_key=KEY_NAME, api_secret=ec_key()[0], url=server.url) as broker:
        assert not broker.connect()
        with pytest.raises(BalanceUnknown, match=r"401 Unauthorized [(]is the key right"):
            broker.get_account_balance()
        told = broker.figures()
        assert (told.total, told.error_count) == (None, 2)


SOUND = {"currency": "USD", "available_balance": {"value": "5"}, "hold": {"value": "0"}}


def row(account):
    return {"kind": "json", "body": f'{{"accounts": [{account}], "has_next": false}}'}


FAULTS = {
    "401": {"kind": "status", "status": 401},
    "403": {"kind": "status", "status": 403},
    "404": {"kind": "status", "status": 404},
    "429": {"kind": "status", "status": 429},
    "500": {"kind": "status", "status": 500},
    "503 with accounts in it": {"kind": "status", "status": 503, "body": '{"accounts": [], "has_next": false}'},
    "redirect": {"kind": "redirect", "status": 302, "body": "http://127.0.0.1:9/"},
    "drop": {"kind": "drop"},
    "hang": {"kind": "hang"},
    "cut": {"kind": "cut"},
    "drip": {"kind": "drip"},
    "drip_head": {"kind": "drip_head"},
    "html": {"kind": "html"},
    "echo": {"kind": "echo"},
    "no json": {"kind": "json", "body": "{"},
    "a list": {"kind": "json", "body": "[]"},
    "nothing": {"kind": "json", "body": ""},
    "an empty object": {"kind": "json", "body": "{}"},
    "no accounts": {"kind": "json", "body": '{"accounts": [], "has_next": false}'},
    "null accounts": {"kind": "json", "body": '{"accounts": null, "has_next": false}'},
    "an account that is a text": {"kind": "json", "body": '{"accounts": ["USD"], "has_next": false}'},
    "no has_next": {"kind": "json", "body": json.dumps({"accounts": [SOUND], "cursor": ""})},
    "a page that leads nowhere": {"kind": "json", "body": '{"accounts": [], "has_next": true, "cursor": ""}'},
    "a float": row('{"currency": "USD", "available_balance": {"value": 1.5}, "hold": {"value": "0"}}'),
    "not a number": row('{"currency": "USD", "available_balance": {"value": "NaN"}, "hold": {"value": "0"}}'),
    "no hold": row('{"currency": "USD", "available_balance": {"value": "5"}}'),
    "no currency": row('{"available_balance": {"value": "5"}, "hold": {"value": "0"}}'),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_leaves_the_last_known_balance_stale_and_never_zero(server, broker, caplog, name):
    assert broker.get_account_balance() == TOTAL
    server.fault(ACCOUNTS, **FAULTS[name], count=2)
    assert broker.get_account_balance() == TOTAL
    told = broker.get_account_balance_detailed()
    assert (told["total"], told["stale"], told["error_count"]) == (TOTAL, True, 2)
    assert told["error"]
    assert "⚠️ Using last known balance: $15.25 (MASTER" in caplog.text
    assert broker.get_account_balance_detailed()["stale"] is False
    assert broker.get_error_count() == 0


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_with_nothing_known_is_unknown(server, broker, name):
    server.fault(ACCOUNTS, **FAULTS[name], count=3)
    with pytest.raises(BalanceUnknown):
        broker.get_account_balance()
    with pytest.raises(BalanceUnknown):
        broker.get_positions()
    told = broker.get_account_balance_detailed()
    assert (told["usd"], told["usdt"], told["total"], told["stale"]) == (None, None, None, False)
    assert not broker.is_available()


def test_the_third_error_makes_it_unavailable_and_an_explicit_call_available_again(server, broker, caplog):
    caplog.set_level(logging.INFO)
    server.fault(ACCOUNTS, "drop", count=3)
    for number, available in enumerate([True, True, False], start=1):
        broker.get_account_balance_detailed()
        assert (broker.get_error_count(), broker.is_available()) == (number, available)
    assert "❌ Coinbase marked unavailable after 3 consecutive errors (MASTER)" in caplog.text
    assert broker.get_account_balance() == TOTAL
    assert (broker.get_error_count(), broker.is_available()) == (0, True)
    assert "✅ Coinbase available again (MASTER) after 3 errors" in caplog.text


def test_a_fault_on_the_second_page_is_no_smaller_balance(server, broker):
    server.fault(ACCOUNTS, "json", body='{"accounts": [], "has_next": true, "cursor": "2"}')
    server.fault(ACCOUNTS, "status", status=500)
    with pytest.raises(BalanceUnknown):
        broker.get_account_balance()


def test_nobody_there(pair):
    with socket.socket() as wire:
        wire.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{wire.getsockname()[1]}"
        with CoinbaseBroker(api_key=KEY_NAME, api_secret=pair[0], url=url) as broker:
            assert not broker.connect()
            assert "nothing was sent" in broker.get_account_balance_detailed()["error"]
            end = broker.place_order(pair="BTC-USD", side="buy", volume="1", price="1")
            assert "nothing was sent" in end.reason


def test_the_background_recovers(server, broker, monkeypatch):
    monkeypatch.setattr(recovery, "FIRST_S", 0.01)
    answered = threading.Event()
    monkeypatch.setattr(server, "_accounts", lambda query, go=server._accounts: (answered.set(), go(query))[1])
    server.fault(ACCOUNTS, "drop")
    assert broker.get_account_balance_detailed()["error"]
    assert answered.wait(LIMIT_S)
    assert broker.get_account_balance() == TOTAL


def test_the_cache_serves_all_brokers_of_the_key_and_an_order_drops_it(server, pair):
    clock = FakeClock()

    def made():
        return CoinbaseBroker(api_key=KEY_NAME, api_secret=pair[0], url=server.url, clock=clock)

    with made() as one, made() as other:
        assert one.get_account_balance() == other.get_account_balance() == TOTAL
        asked = len(server.calls(ACCOUNTS))
        assert asked == 3
        one.place_order(pair="BTC-USD", side="buy", volume="0.1", price="1")
        other.get_account_balance()
        assert len(server.calls(ACCOUNTS)) == 2 * asked
        clock.advance(4.9)
        other.get_account_balance()
        assert len(server.calls(ACCOUNTS)) == 2 * asked
        clock.advance(0.2)
        other.get_account_balance()
        assert len(server.calls(ACCOUNTS)) == 3 * asked


def test_a_closed_broker_gives_what_it_knew_as_stale_and_asks_nobody(server, broker):
    broker.get_account_balance()
    asked = len(server.seen)
    broker.close()
    assert broker.get_account_balance() == TOTAL
    assert broker.get_account_balance_detailed()["stale"]
    for call in (broker.place_order, broker.find_order):
        with pytest.raises(SettingsError, match=r"closed|side"):
            call(**({"client_order_id": "one"} if call == broker.find_order else {}))
    assert len(server.seen) == asked


# --- settings -------------------------------------------------------------------------------------------------------


def test_half_a_key_is_told_by_the_first_call(monkeypatch):
    monkeypatch.setenv("COINBASE_API_KEY", KEY_NAME)
    with CoinbaseBroker() as broker:
        assert not broker.connect()
        assert "COINBASE_API_SECRET is not set" in broker.figures().last_error
        with pytest.raises(SettingsError, match="COINBASE_API_SECRET"):
            broker.place_order(pair="BTC-USD", side="buy", volume="1", price="1")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"api_key": KEY_NAME}, "api_secret is missing"),
        ({"api_secret": "x"}, "api_key is missing"),
        ({"account_type": "boss"}, "account_type"),
        ({"account_name": "daivon"}, "AccountType.USER"),
        ({"account_type": AccountType.USER, "account_name": "daivon"}, "the environment has MASTER's"),
        ({"url": "http://api.coinbase.com"}, "plain http"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"balance_cache_s": -1}, "balance_cache_s"),
    ],
)
def test_arguments_that_contradict_each_other(arguments, words):
    with pytest.raises(SettingsError, match=words):
        CoinbaseBroker(**arguments)


def test_a_user_has_a_key_by_hand(server, pair):
    with CoinbaseBroker("user", "daivon", api_key=KEY_NAME, api_secret=pair[0], url=server.url) as broker:
        assert broker.account == "daivon"
        assert broker.get_account_balance() == TOTAL
        assert "USER:daivon" in repr(broker)


@pytest.mark.parametrize(
    "secret", ["bm90IGEga2V5", "no base64 !", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
)
def test_a_private_half_that_cannot_sign_is_told_and_not_shown(server, secret):
    with CoinbaseBroker(api_key=KEY_NAME, api_secret=secret, url=server.url) as broker:
        with pytest.raises(SettingsError, match="api_secret cannot sign") as caught:
            broker.place_order(pair="BTC-USD", side="buy", volume="1", price="1")
        assert "bm90" not in "".join(traceback.format_exception(caught.value))
    assert server.seen == []


def test_a_client_that_is_there(server, pair):
    """Its key and its host, on connections of the broker's own; it stays as it was."""
    client = RESTClient(api_key=KEY_NAME, api_secret=pair[0], base_url=server.host)
    session, adapters = client.session, dict(client.session.adapters)
    with CoinbaseBroker(client=client, url=server.url, balance_cache_s=0) as broker:
        assert broker.get_account_balance() == TOTAL
        server.fault(ACCOUNTS, "redirect", status=302, body="http://127.0.0.1:9/")
        assert broker.get_account_balance_detailed()["stale"]  # the broker's limits and rules hold
        assert pair[0].splitlines()[1] not in repr(vars(broker)) + repr(broker)
    assert client.session is session
    assert client.session.adapters == adapters
    with CoinbaseBroker("user", "daivon", client=client) as user:
        assert user.account == "daivon"
        assert user._url == f"https://{server.host}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"api_key": KEY_NAME, "api_secret": "x"}, "leave api_key and api_secret out"),
        ({"url": "https://other.example.com"}, "leave url out"),
    ],
)
def test_a_client_and_something_else(server, pair, arguments, words):
    client = RESTClient(api_key=KEY_NAME, api_secret=pair[0], base_url=server.host)
    with pytest.raises(SettingsError, match=words):
        CoinbaseBroker(client=client, **arguments)


@pytest.mark.parametrize("client", [RESTClient(), object()], ids=["without a key", "no client"])
def test_a_client_that_cannot_be_used(client):
    with pytest.raises(SettingsError, match="RESTClient with an API key"):
        CoinbaseBroker(client=client)


def test_the_pages_of_accounts_have_one_limit_together(server, pair, monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(server, "_accounts", lambda query, go=server._accounts: (clock.advance(29), go(query))[1])
    with CoinbaseBroker(api_key=KEY_NAME, api_secret=pair[0], url=server.url, clock=clock, balance_cache_s=0) as broker:
        assert broker.get_account_balance() == TOTAL  # the third and last page was asked for in time
        monkeypatch.setattr(server, "_accounts", lambda query, go=server._accounts: (clock.advance(2), go(query))[1])
        asked = len(server.calls(ACCOUNTS))
        told = broker.get_account_balance_detailed()
        assert told["stale"]
        assert "took too long over the pages" in told["error"]
        assert len(server.calls(ACCOUNTS)) == asked + 2


def test_without_the_extra_it_says_what_to_install():
    code = """
import sys
sys.modules["coinbase"] = None
from sealane.broker import CoinbaseBroker
broker = CoinbaseBroker(api_key="k", api_secret="c2VjcmV0", url="http://127.0.0.1:9")
print(broker.connect(), broker.figures().last_error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert 'False Coinbase needs its SDK, and coinbase is missing: pip install "sealane[coinbase]"' in done.stdout


def test_importing_and_making_a_broker_imports_no_sdk():
    code = """
import sys
from sealane.broker import CoinbaseBroker
CoinbaseBroker()
print([name for name in ("coinbase", "requests", "jwt") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert done.stdout.strip() == "[]"


# --- what leaves, and what does not -----------------------------------------------------------------------------------


def test_no_secret_in_logs_errors_or_representations(server, broker, pair, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    broker.get_account_balance()
    shown = [repr(broker), repr(vars(broker)), repr(broker.figures())]
    for name, fault in FAULTS.items():
        if name in SLOW:  # these wait, and say no more than "drop"
            continue
        server.fault(ACCOUNTS, **fault)
        server.fault(ORDERS, **fault)
        for call in (
            broker.get_positions,
            lambda: broker.place_order(pair="BTC-USD", side="buy", volume="1", price="1", timeout_s=1),
        ):
            try:
                shown.append(repr(call()))
            except SealaneError as error:
                shown += traceback.format_exception(error)
                shown += [repr(vars(one)) for one in (error, error.__context__, error.__cause__) if one]
    text = "\n".join([*shown, caplog.text, *capfd.readouterr()])
    assert "you sent Bearer ***" in text
    assert "eyJ" not in text
    tokens = [seen.token.removeprefix("Bearer ") for seen in server.seen]
    assert len(tokens) > 2 * len(FAULTS)
    for secret in (*tokens, *(token.rpartition(".")[2] for token in tokens), *pair[0].splitlines()[1:-1], KEY_NAME):
        assert secret not in text


def test_the_sdk_prints_nothing_of_its_own(server, broker, capfd):
    server.fault(ACCOUNTS, "status", status=500)
    broker.connect()
    assert "HTTP Error" not in "".join(capfd.readouterr())


def test_a_broker_is_not_pickled(broker):
    broker.connect()
    with pytest.raises(TypeError):
        pickle.dumps(broker)


def test_neither_netrc_nor_a_proxy_comes_between(server, broker, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert broker.get_account_balance() == TOTAL


def test_a_redirect_is_not_followed(server, broker, pair):
    with CoinbaseServer(pair[1]) as other:
        server.fault(ACCOUNTS, "redirect", status=307, body=other.url + "/api/v3/brokerage/accounts")
        assert broker.get_account_balance_detailed()["error"]
        assert other.seen == []


def test_a_certificate_that_nobody_vouched_for_gets_no_token(pair, tmp_path):
    with (
        CoinbaseServer(pair[1], tls=self_signed(tmp_path)) as exchange,
        CoinbaseBroker(api_key=KEY_NAME, api_secret=pair[0], url=exchange.url) as broker,
    ):
        assert not broker.connect()
        assert "SSLCertVerificationError; nothing was sent" in broker.figures().last_error
        assert exchange.seen == []


def test_connections_are_used_again(server, broker):
    for _ in range(3):
        broker.get_account_balance()
    assert len(server.calls(ACCOUNTS)) == 9
    assert server.connections == 1


def test_a_forked_child_has_connections_of_its_own(server, broker):
    assert broker.get_account_balance() == TOTAL
    child = os.fork()
    if child == 0:
        os._exit(0 if broker.get_account_balance() == TOTAL else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert broker.get_account_balance() == TOTAL
    assert server.connections == 2


def test_callers_at_once_share_one_fetch_or_ask_for_themselves(server, pair):
    gate = threading.Barrier(8)
    found = []
    with CoinbaseBroker(api_key=KEY_NAME, api_secret=pair[0], url=server.url) as broker:

        def call():
            gate.wait(LIMIT_S)
            found.append(broker.get_account_balance())

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
    assert found == [TOTAL] * 8
    assert len(server.calls(ACCOUNTS)) == 3


# --- the judge itself -------------------------------------------------------------------------------------------------


def test_the_server_refuses_tokens_that_are_not_for_this_request(pair):
    import jwt
    from coinbase import jwt_generator
    from coinbase_server import PREFIX

    path = PREFIX + ACCOUNTS
    with CoinbaseServer(pair[1]) as exchange:

        def judged(token, method="GET", at=path):
            return exchange.check(method, at, exchange.host, f"Bearer {token}")

        def signed(**claims):
            good = {"sub": KEY_NAME, "iss": "cdp", "nbf": 1, "exp": 121, "uri": f"GET {exchange.host}{path}"}
            return jwt.encode({**good, **claims}, pair[0], algorithm="ES256", headers={"kid": KEY_NAME, "nonce": "n"})

        good = jwt_generator.build_rest_jwt(f"GET {exchange.host}{path}", KEY_NAME, pair[0])
        assert judged(good) == ""
        assert judged(good) == "nonce"
        assert judged(jwt_generator.build_rest_jwt(f"GET {exchange.host}{path}", KEY_NAME, pair[0]), "POST") == "uri"
        assert judged(jwt_generator.build_rest_jwt(f"GET api.coinbase.com{path}", KEY_NAME, pair[0])) == "uri"
        assert judged(jwt_generator.build_rest_jwt(f"GET {exchange.host}{path}", "other", pair[0])) == "kid, sub"
        assert judged(signed()).startswith("ExpiredSignatureError")
        assert judged(signed(exp=2**40)) == "life"
        assert judged(signed(iss="me", exp=2**40)).startswith("InvalidIssuerError")
        assert judged(good[:-4] + "AAAA").startswith("InvalidSignatureError")
        assert exchange.check("GET", path, exchange.host, None) == "no bearer token"
