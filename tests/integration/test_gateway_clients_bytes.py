"""Answers byte for byte: the same call, sent to the exchange by the real key and through the gateway by a virtual one;
and what the gateway says by itself, in the exchange's own bytes for the same fault.
"""

import http.client
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from gateway_bench import Bench, Bot

from sealane.simulator.accounts import SimAccount

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "25000.1"}
TXID = re.compile(rb"O[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{6}")
READS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Balance", {}),
    ("BalanceEx", {}),
    ("TradeBalance", {"asset": "ZUSD"}),
    ("OpenOrders", {"trades": "true"}),
    ("ClosedOrders", {}),
    ("TradesHistory", {}),
    ("Ledgers", {"asset": "XXBT"}),
    ("TradeVolume", {"pair": "XBTUSD"}),
    ("OpenPositions", {}),
    ("QueryOrders", {"txid": "OAAAAA-AAAAA-AAAAAA"}),
    ("QueryLedgers", {"id": "none"}),
    ("TradeVolume", {"pair": "NOSUCH"}),
)
REFUSED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("AddOrder", {**ORDER, "volume": "1000"}),
    ("AddOrder", {**ORDER, "volume": "0.0000001"}),
    ("AddOrder", {**ORDER, "price": "25000.12345"}),
    ("AddOrder", {**ORDER, "pair": "NOSUCH"}),
    ("AddOrder", {**ORDER, "ordertype": "never"}),
    ("AddOrder", {**ORDER, "userref": "7", "volume": "1000"}),
    ("AddOrder", {name: text for name, text in ORDER.items() if name != "volume"}),
    ("AddOrder", {**ORDER, "volume": "1000", "validate": "true"}),
    ("AddOrder", {**ORDER, "validate": "true"}),
    ("CancelOrder", {"txid": "OAAAAA-AAAAA-AAAAAA"}),
    ("CancelAll", {}),
    ("EditOrder", {"txid": "OAAAAA-AAAAA-AAAAAA", "pair": "XBTUSD", "price": "25000"}),
)
BATCHES: tuple[tuple[dict[str, Any], ...], ...] = (
    ({"volume": "0.01"}, {"volume": "0.02"}),
    ({"volume": "0.01"}, {"volume": "1000"}),
    ({"volume": "1000"}, {"volume": "1001"}),
)


class Pair:
    """One account asked both ways, one after the other."""

    def __init__(self, gateway: Bench, name: str) -> None:
        real = next(one for one in gateway.sim.accounts if one.name == name)
        self.direct = Bot(gateway.sim.url, real)
        self.through = Bot(gateway.url, gateway.key(f"{name}-all", name, own_orders=False))
        self._gateway = gateway
        gateway.excused.add(name)

    def ask(self, method: str, *, as_json: bool = False, **fields: Any) -> tuple[bytes, bytes]:
        nonce = int(self._gateway.now_s() * 10**9)
        return tuple(  # type: ignore[return-value]
            bot.send("POST", *_sendable(bot.signed(method, nonce=nonce, as_json=as_json, **fields)))[1]
            for bot in (self.direct, self.through)
        )

    def close(self) -> None:
        self.direct.close()
        self.through.close()


def _sendable(signed: tuple[bytes, dict[str, str], str]) -> tuple[str, bytes, dict[str, str]]:
    body, headers, path = signed
    return path, body, headers


@pytest.fixture(scope="module")
def pair(gateway: Bench) -> Any:
    both = Pair(gateway, next(gateway.users))
    for number in (1, 2):  # something to read
        both.direct.private("AddOrder", **ORDER, nonce=int(gateway.now_s() * 10**9), userref=number)
    yield both
    both.close()


@pytest.mark.parametrize("as_json", [False, True], ids=["form", "JSON"])
def test_reads(pair: Pair, as_json: bool) -> None:
    for method, fields in READS:
        direct, through = pair.ask(method, as_json=as_json, **fields)
        assert direct == through, method


def test_orders_that_are_refused_or_only_checked(pair: Pair) -> None:
    """Before and after it both ways find the same: nothing of it was placed."""
    before = pair.ask("OpenOrders")[1]
    for method, fields in REFUSED:
        direct, through = pair.ask(method, **fields)
        if method == "CancelAll":
            assert (direct, through) == (b'{"error":[],"result":{"count":2}}', b'{"error":[],"result":{"count":0}}')
            assert pair.ask("OpenOrders")[1] != before
        else:
            assert direct == through, fields


def test_orders_that_are_placed_differ_in_their_txid_alone(pair: Pair) -> None:
    for fields in (ORDER, {**ORDER, "userref": "7"}, {**ORDER, "oflags": "post"}, {**ORDER, "ordertype": "market"}):
        direct, through = pair.ask("AddOrder", **fields)
        assert direct != through
        assert TXID.sub(b"TXID", direct) == TXID.sub(b"TXID", through)
        assert len(TXID.findall(through)) == 1


@pytest.mark.parametrize("volumes", BATCHES, ids=["all", "one of two", "none"])
def test_batches(pair: Pair, volumes: tuple[dict[str, Any], ...]) -> None:
    orders = [{"type": "buy", "ordertype": "limit", "price": "25000.1", **volume} for volume in volumes]
    direct, through = pair.ask("AddOrderBatch", as_json=True, pair="XBTUSD", orders=orders)
    assert TXID.sub(b"TXID", direct) == TXID.sub(b"TXID", through)


@pytest.mark.parametrize("method", ["Balance", "AddOrder"])
def test_a_warning_comes_through(gateway: Bench, pair: Pair, method: str) -> None:
    gateway.sim.add_fault(
        "warning", warning="WGeneral:Danger", methods=[method], account=pair.direct.account.name, count=2
    )
    direct, through = pair.ask(method, **(ORDER if method == "AddOrder" else {}))
    assert b"WGeneral:Danger" in through
    assert TXID.sub(b"TXID", direct) == TXID.sub(b"TXID", through)


# --- what the gateway says by itself ----------------------------------------------------------------------------------


def test_wrong_keys_signatures_nonces_and_methods_are_told_as_the_exchange_does(pair: Pair) -> None:
    for bot_fault in (_wrong_key, _wrong_signature, _no_key, _unknown_method, _no_nonce):
        direct, through = (bot_fault(bot) for bot in (pair.direct, pair.through))
        assert direct == through, bot_fault.__name__
        assert direct[1].startswith(b'{"error":["E')


def _post(bot: Bot, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    return bot.send("POST", path, body, headers)


def _wrong_key(bot: Bot) -> tuple[int, bytes]:
    body, headers, path = bot.signed("Balance", nonce=10**18)
    return _post(bot, path, body, {**headers, "API-Key": 56 * "x"})


def _wrong_signature(bot: Bot) -> tuple[int, bytes]:
    body, headers, path = bot.signed("Balance", nonce=10**18)
    return _post(bot, path, body + b"&asset=XBT", headers)


def _no_key(bot: Bot) -> tuple[int, bytes]:
    body, _, path = bot.signed("Balance", nonce=10**18)
    return _post(bot, path, body, {"Content-Type": "application/x-www-form-urlencoded"})


def _unknown_method(bot: Bot) -> tuple[int, bytes]:
    body, headers, path = bot.signed("NoSuch", nonce=10**18)
    return _post(bot, path, body, headers)


def _no_nonce(bot: Bot) -> tuple[int, bytes]:
    body, headers, path = bot.signed("Balance", nonce="")
    return _post(bot, path, body, headers)


def test_a_nonce_that_was_used_is_told_as_the_exchange_does(pair: Pair) -> None:
    now = int(pair._gateway.now_s() * 10**9)
    for bot in (pair.direct, pair.through):
        bot.private("Balance", nonce=now)
    assert pair.direct.private("Balance", nonce=now) == pair.through.private("Balance", nonce=now)


# --- public calls -----------------------------------------------------------------------------------------------------


def public(url: str, verb: str, target: str, body: bytes | None = None) -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        connection.request(verb, f"/0/public/{target}", body, headers)
        response = connection.getresponse()
        return response.status, response.getheader("content-type"), response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "target",
    ["SystemStatus", "Assets", "AssetPairs?pair=XBTUSD", "Ticker?pair=XBTUSD", "Depth?pair=XBTUSD&count=3",
     "OHLC?pair=ETHUSD", "Ticker?pair=NOSUCH", "Depth", "NoSuch"],
)  # fmt: skip
def test_public_calls(gateway: Bench, target: str) -> None:
    direct, through = (public(url, "GET", target) for url in (gateway.sim.url, gateway.url))
    assert (direct[0], _without_time(direct[2])) == (through[0], _without_time(through[2]))


def test_public_calls_by_post(gateway: Bench) -> None:
    """As older clients send them."""
    target, body = "Ticker", b"pair=XBTUSD"
    assert public(gateway.url, "POST", target, body)[2] == public(gateway.sim.url, "GET", "Ticker?pair=XBTUSD")[2]


def _without_time(body: bytes) -> bytes:
    return re.sub(rb'"timestamp":"[^"]*"', b"", body)


def test_the_keys_own_fields_alone_are_the_gateway_s(gateway: Bench, bot: SimAccount) -> None:
    """GetApiKeyInfo has Kraken's fields, with the virtual key's values: the real key's text stays here."""
    with Bot(gateway.url, bot) as client:
        through = client.private("GetApiKeyInfo")["result"]
    real = next(one for one in gateway.sim.accounts if one.name == bot.name)
    with Bot(gateway.sim.url, real) as direct:
        there = direct.private("GetApiKeyInfo", nonce=int(gateway.now_s() * 10**9))["result"]
    assert list(through) == list(there)
    assert (through["apiKey"], through["apiKeyName"]) == (bot.api_key, bot.name)
    assert real.api_key not in str(through)
