"""Each client under guard: its ordinary work, its own errors, what is refused, and what is left alone."""

import asyncio
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ccxt
import ccxt.async_support
import ccxt.pro
import krakenex
import pytest
import requests
from kraken.exceptions import KrakenInsufficientFundsError
from kraken.futures import User as FuturesUser
from kraken.spot import Market, SpotAsyncClient, SpotClient, Trade, User

from sealane import Kraken, SettingsError, Unavailable
from sealane.client.settings import Settings
from sealane.global_nonce import GlobalKrakenNonceManager
from sealane.plugins import families, guard
from sealane.runtime import lanes, threads
from sealane.simulator import Simulator
from sealane.store import open_store

SYMBOL = "BTC/USD"
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "25000.1"}
LIMIT_S = 20
NS_DIGITS = 19


def settings(sim: Simulator, number: int = 0) -> dict[str, Any]:
    account = sim.accounts[number]
    return {"apiKey": account.api_key, "secret": account.api_secret, "enableRateLimit": False}


def redirected(client: Any, sim: Simulator) -> Any:
    client.urls["api"]["public"] = client.urls["api"]["private"] = sim.url
    return client


def a_krakenex(sim: Simulator, number: int = 0) -> Any:
    account = sim.accounts[number]
    api = krakenex.API(account.api_key, account.api_secret)
    api.uri = sim.url
    return api


def an_sdk(kind: Any, sim: Simulator, number: int = 0) -> Any:
    account = sim.accounts[number]
    return kind(key=account.api_key, secret=account.api_secret, url=sim.url)


@pytest.fixture
def api(sim: Simulator) -> Iterator[Any]:
    client = guard(a_krakenex(sim))
    yield client
    client.close()


@pytest.fixture
def exchange(sim: Simulator) -> Iterator[Any]:
    client = guard(redirected(ccxt.kraken(settings(sim)), sim))
    yield client
    client.session.close()


def the_lane() -> lanes.Lane:
    return lanes.open_lane(open_store(Settings.from_env(os.environ).store), "kraken_global_nonce")


def take(lane: lanes.Lane, owner: object) -> None:
    threads.enter(lane, owner, LIMIT_S)


def assert_in_order(sim: Simulator, requests: int | None = None) -> None:
    summary = sim.journal()["summary"]
    assert (summary["refused_nonce"], summary["nonces_rose"], summary["max_overlap"]) == (0, True, 1)
    assert requests in (None, summary["requests"])
    assert all(len(entry["nonce"]) == NS_DIGITS for entry in sim.journal()["entries"])
    assert not the_lane().held


# --- ordinary work ----------------------------------------------------------------------------------------------------


def test_krakenex(sim: Simulator, api: Any) -> None:
    assert api.query_public("Ticker", {"pair": "XBTUSD"})["result"].keys() == {"XXBTZUSD"}
    assert api.query_private("Balance")["result"]["ZUSD"] == "100000.0000"
    (txid,) = api.query_private("AddOrder", dict(ORDER))["result"]["txid"]
    assert api.query_private("OpenOrders", timeout=5)["result"]["open"].keys() == {txid}
    assert api.query_private("CancelOrder", data={"txid": txid})["result"] == {"count": 1}
    assert_in_order(sim, requests=4)


def test_krakenex_inside_another_object(sim: Simulator, api: Any) -> None:
    """As pykrakenapi has it: it keeps the API object and calls ``query_private`` of it."""

    class Wrapper:
        def __init__(self, api: Any) -> None:
            self.api = api

        def balance(self) -> Any:
            return self.api.query_private("Balance", data={})["result"]

    assert [Wrapper(api).balance()["ZUSD"] for _ in range(20)] == ["100000.0000"] * 20
    assert_in_order(sim, requests=20)


def test_ccxt(sim: Simulator, exchange: Any) -> None:
    assert exchange.fetch_ticker(SYMBOL)["last"] > 0
    assert exchange.fetch_balance()["BTC"]["free"] == 5
    placed = exchange.create_order(SYMBOL, "limit", "buy", 0.1, 25000.1, {"clientOrderId": "mine"})
    assert [order["id"] for order in exchange.fetch_open_orders(SYMBOL)] == [placed["id"]]
    exchange.cancel_order(placed["id"], SYMBOL)
    assert exchange.privatePostBalance()["result"]["ZUSD"] == "100000.0000"
    assert_in_order(sim, requests=5)


@pytest.mark.parametrize("kind", [ccxt.async_support.kraken, ccxt.pro.kraken])
def test_ccxt_with_tasks(sim: Simulator, kind: Any) -> None:
    async def work() -> None:
        async with guard(redirected(kind(settings(sim)), sim)) as client:
            await client.load_markets()
            assert (await client.fetch_balance())["USD"]["free"] == 100_000
            placed = await client.create_order(SYMBOL, "limit", "sell", 0.1, 90000)
            assert [order["id"] for order in await client.fetch_open_orders()] == [placed["id"]]
            await client.cancel_order(placed["id"])
            await asyncio.gather(*(client.fetch_balance() for _ in range(30)))

    asyncio.run(work())
    assert_in_order(sim, requests=34)


def test_python_kraken_sdk(sim: Simulator) -> None:
    user, trade = (guard(an_sdk(kind, sim)) for kind in (User, Trade))
    assert user.get_account_balance()["XXBT"] == "5.0000000000"
    (txid,) = trade.create_order("limit", "buy", "XBTUSD", 0.1, price=25000.1)["txid"]
    assert user.get_open_orders()["open"].keys() == {txid}
    assert trade.cancel_order(txid=txid) == {"count": 1}
    plain = guard(an_sdk(SpotClient, sim))
    assert plain.request("GET", "/0/public/SystemStatus", auth=False)["status"] == "online"
    assert plain.request("POST", "/0/private/OpenOrders", {"trades": True}, do_json=True) == {"open": {}}
    assert_in_order(sim, requests=5)


def test_python_kraken_sdk_with_tasks(sim: Simulator) -> None:
    async def work() -> None:
        async with guard(an_sdk(SpotAsyncClient, sim)) as client:
            assert (await client.request("POST", "/0/private/Balance"))["ZUSD"] == "100000.0000"
            assert (await client.request("GET", "/0/public/SystemStatus", auth=False))["status"] == "online"
            await asyncio.gather(*(client.request("POST", "/0/private/Balance") for _ in range(30)))

    asyncio.run(work())
    assert_in_order(sim, requests=31)


# --- errors are the client's own, and the turn is free after them -----------------------------------------------------


def test_errors_come_through_unchanged(sim: Simulator, api: Any, exchange: Any) -> None:
    trade = guard(an_sdk(Trade, sim))
    with pytest.raises(ccxt.InsufficientFunds):
        exchange.create_order(SYMBOL, "limit", "buy", 100, 25000)
    with pytest.raises(KrakenInsufficientFundsError):
        trade.create_order("limit", "buy", "XBTUSD", 100, price=25000)
    assert api.query_private("AddOrder", {**ORDER, "volume": "100"})["error"] == ["EOrder:Insufficient funds"]
    sim.add_fault("drop_before", count=2)
    with pytest.raises(requests.ConnectionError):
        api.query_private("Balance")
    with pytest.raises(ccxt.NetworkError):
        exchange.fetch_balance()
    with pytest.raises(TypeError):
        api.query_private()
    assert api.query_private("Balance")["error"] == []
    assert_in_order(sim)


def test_errors_of_awaited_calls_come_through_unchanged(sim: Simulator) -> None:
    async def work() -> None:
        async with guard(redirected(ccxt.async_support.kraken(settings(sim)), sim)) as client:
            with pytest.raises(ccxt.InsufficientFunds):
                await client.create_order(SYMBOL, "limit", "buy", 100, 25000)
            sim.add_fault("drop_before", count=1)
            with pytest.raises(ccxt.NetworkError):
                await client.fetch_balance()
            assert (await client.fetch_balance())["USD"]["free"] == 100_000

    asyncio.run(work())
    assert_in_order(sim)


def test_ccxt_sends_again_in_its_own_way(sim: Simulator, exchange: Any) -> None:
    """What the page warns of: the guard orders calls, it does not make a client's retries safe."""
    exchange.options["maxRetriesOnFailure"] = 2
    exchange.load_markets()
    sim.add_fault("drop_after", methods=["AddOrder"], count=2)
    exchange.create_order(SYMBOL, "limit", "buy", 0.1, 25000.1)
    assert len(exchange.fetch_open_orders(SYMBOL)) == 3
    assert_in_order(sim)


# --- the lane ---------------------------------------------------------------------------------------------------------


def test_public_calls_wait_for_nothing(sim: Simulator, api: Any, exchange: Any) -> None:
    market = guard(an_sdk(SpotClient, sim))
    lane = the_lane()
    owner = object()
    take(lane, owner)
    try:
        with ThreadPoolExecutor(1) as thread:
            for call in (
                lambda: api.query_public("Time"),
                lambda: market.request("GET", "/0/public/SystemStatus", auth=False),
                exchange.fetch_time,
            ):
                assert thread.submit(call).result(LIMIT_S)
    finally:
        lane.leave(owner)


def test_a_busy_lane_is_told_and_nothing_is_sent(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealane.plugins.hook.TURN_WAIT_S", 0.1)
    api = guard(a_krakenex(sim))
    lane = the_lane()
    owner = object()
    take(lane, owner)
    with pytest.raises(Unavailable, match="busy"):
        api.query_private("Balance")
    lane.leave(owner)
    assert api.query_private("Balance")["error"] == []
    assert_in_order(sim, requests=1)
    api.close()


def test_calls_nest_in_the_documents_lock(keys: Simulator, api: Any, exchange: Any) -> None:
    lock = GlobalKrakenNonceManager().get_api_call_lock()
    with lock, Kraken.from_env() as kraken:
        assert api.query_private("Balance")["error"] == []
        assert kraken.private("Balance")
        assert exchange.fetch_balance()["BTC"]["free"] == 5

    async def work() -> None:
        async with guard(an_sdk(SpotAsyncClient, keys)) as client, lock:
            assert await client.request("POST", "/0/private/Balance")
            assert await client.request("POST", "/0/private/Balance")

    asyncio.run(work())
    assert_in_order(keys, requests=5)


def test_the_lane_is_the_one_of_kraken(sim: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEALANE_LANES", "per-key")
    monkeypatch.setenv("SEALANE_NONCE_UNIT", "us")
    first, second = (guard(a_krakenex(sim, number), store=tmp_path / "here") for number in (0, 1))
    account = sim.accounts[0]
    with Kraken(
        api_key=account.api_key, api_secret=account.api_secret, url=sim.url, store=f"file:{tmp_path / 'here'}"
    ) as kraken:
        assert first._sealane_guard.lane is kraken._session.lane
        assert second._sealane_guard.lane is not kraken._session.lane
        for _ in range(5):
            assert first.query_private("Balance")["error"] == second.query_private("Balance")["error"] == []
            assert kraken.private("Balance")
    assert sim.journal()["summary"]["refused_nonce"] == 0
    assert {len(entry["nonce"]) for entry in sim.journal()["entries"]} == {16}
    first.close()
    second.close()


def test_the_lanes_spacing_is_kept(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALANE_MIN_INTERVAL_MS", "60")

    async def work() -> None:
        async with guard(an_sdk(SpotAsyncClient, sim)) as client:
            await asyncio.gather(*(client.request("POST", "/0/private/Balance") for _ in range(3)))

    api = guard(a_krakenex(sim))
    for _ in range(3):
        api.query_private("Balance")
    asyncio.run(work())
    api.close()
    arrived = [entry["arrived_ns"] for entry in sim.journal()["entries"]]
    assert len(arrived) == 6
    assert arrived[-1] - arrived[0] > 4 * 60_000_000  # five spaces, and some slack for a late first arrival


def test_a_record_of_a_dead_holder_is_left_for_kraken(keys: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALANE_MIN_INTERVAL_MS", "1")
    api = guard(a_krakenex(keys))
    lane, owner = the_lane(), object()
    take(lane, owner)
    lane.store.write_turn({"fingerprint": "f" * 16, "method": "AddOrder", "nonce": 1, "sent_ns": 0})
    lane.leave(owner)
    api.query_private("Balance")
    take(lane, owner)
    assert lane.store.read_turn()["method"] == "AddOrder"
    lane.leave(owner)
    api.close()


def test_ccxts_limiter_is_passed_once_and_outside_the_turn(sim: Simulator) -> None:
    """Its default is seconds between calls: nobody else on the lane waits for that."""
    client = redirected(ccxt.kraken({**settings(sim), "enableRateLimit": True, "rateLimit": 1}), sim)
    throttle, lane, held = client.throttle, the_lane(), list[tuple[bool, float]]()

    def noted(cost: float) -> None:
        held.append((lane.held, cost))
        throttle(cost)

    client.throttle = noted
    guard(client).privatePostBalance()
    client.privatePostAddOrder(ORDER)
    client.publicGetTime()
    assert held == [(False, 3), (False, 0), (False, 1)]
    client.session.close()


def test_ccxts_limiter_is_passed_once_and_outside_the_turn_with_tasks(sim: Simulator) -> None:
    async def work() -> None:
        client = redirected(ccxt.async_support.kraken({**settings(sim), "enableRateLimit": True, "rateLimit": 1}), sim)
        throttle, lane, held = client.throttle, the_lane(), list[bool]()

        async def noted(cost: float) -> None:
            held.append(lane.held)
            await throttle(cost)

        client.throttle = noted
        async with guard(client):
            await client.privatePostBalance()
            await client.privatePostBalance()
            await client.publicGetTime()
        assert held == [False] * 3

    asyncio.run(work())


# --- what is refused --------------------------------------------------------------------------------------------------


def test_twice_is_harmless(sim: Simulator, api: Any, tmp_path: Path) -> None:
    hooked = api.query_private
    assert guard(api) is api
    assert guard(api, account="other") is api
    assert api.query_private is hooked
    assert guard(api, store=tmp_path / "data") is api
    with pytest.raises(SettingsError, match="guarded already"):
        guard(api, store=tmp_path / "elsewhere")
    with ThreadPoolExecutor(8) as pool:
        fresh = a_krakenex(sim)
        assert set(pool.map(guard, [fresh] * 50)) == {fresh}
    assert fresh.query_private("Balance")["error"] == []
    fresh.close()
    assert_in_order(sim, requests=1)


def test_a_client_without_a_key(sim: Simulator) -> None:
    keyless: list[Callable[[], Any]] = [krakenex.API, User, Market, lambda: ccxt.kraken({"apiKey": "k"})]
    for make in keyless:
        client = make()
        with pytest.raises(SettingsError, match="has no API key and secret"):
            guard(client)
        if isinstance(client, krakenex.API):
            client.close()


def test_a_key_that_is_changed(sim: Simulator) -> None:
    api = guard(a_krakenex(sim), account="daivon")
    api.key = sim.accounts[1].api_key
    with pytest.raises(SettingsError, match=r"\(daivon\) was changed"):
        api.query_private("Balance")
    with pytest.raises(SettingsError, match="was changed"):
        guard(api)
    api.close()
    assert sim.journal()["summary"]["requests"] == 0


def test_messages_show_no_key(sim: Simulator) -> None:
    account = sim.accounts[0]
    api = krakenex.API(account.api_key, "not base64!")
    with pytest.raises(SettingsError) as caught:
        guard(api, account="daivon")
    assert "not valid base64" in str(caught.value)
    assert account.api_key not in str(caught.value)
    assert "not base64!" not in str(caught.value)
    api.close()


def test_an_unknown_kind() -> None:
    with pytest.raises(SettingsError, match=r"builtins.object .*cannot be guarded.*krakenex.API.*ccxt.*python-kraken"):
        guard(object())
    with pytest.raises(SettingsError, match=rf"ccxt.binance.binance \(version {ccxt.__version__}\)"):
        guard(ccxt.binance())
    with pytest.raises(SettingsError, match=r"kraken.futures.user.User \(version 3"):
        guard(FuturesUser())


def test_a_version_that_lacks_what_is_hooked(sim: Simulator) -> None:
    class Older(krakenex.API):
        _nonce = None

    class Newer(ccxt.async_support.kraken):
        def fetch2(self, path, api, method, params, config):
            return super().fetch2(path, api, method, params, config)

    class Other(User):
        def request(self, method, uri, signed):
            return None

    older = Older("k", "c2VjcmV0")
    with pytest.raises(SettingsError, match=rf"Older \(version {krakenex.version.__version__}\).*_nonce"):
        guard(older)
    older.close()
    with pytest.raises(SettingsError, match=rf"Newer \(version {ccxt.__version__}\).*fetch2"):
        guard(Newer(settings(sim)))
    with pytest.raises(SettingsError, match=r"Other \(version 3.*request"):
        guard(Other("k", "c2VjcmV0"))


@pytest.mark.parametrize(
    ("library", "version", "tried"),
    [
        ("ccxt", "4.5.91", "4.4.30 to 4.5.90"),
        ("ccxt", "4.4.9", "4.4.30 to 4.5.90"),
        ("ccxt", "5.0.0b1", "4.4.30 to 4.5.90"),
        ("krakenex", "2.3", "2.1.0 to 2.2.2"),
        ("kraken", "4.0.0", "3.1.0 to 3.5.1"),
    ],
)
def test_a_version_that_was_never_tried_is_told_once(
    sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    library: str,
    version: str,
    tried: str,
) -> None:
    account = sim.accounts[0]
    make: dict[str, Callable[[], Any]] = {
        "ccxt": lambda: ccxt.kraken(settings(sim)),
        "krakenex": lambda: krakenex.API(account.api_key, account.api_secret),
        "kraken": lambda: User(account.api_key, account.api_secret, url=sim.url),
    }
    monkeypatch.setattr(families, "_told", set())
    monkeypatch.setattr(sys.modules[library], "__version__", version, raising=False)
    for _ in range(2):
        guard(make[library]())
    (record,) = [record for record in caplog.records if record.name == "sealane.guard"]
    name = {"kraken": "python-kraken-sdk"}.get(library, library)
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith(f"{name} {version} is outside of what the guard was tried with, {tried}:")
    monkeypatch.setattr(sys.modules[library], "__version__", "9.9.9", raising=False)
    guard(make[library]())
    assert len([record for record in caplog.records if record.name == "sealane.guard"]) == 2


def test_versions_within_what_was_tried_are_guarded_without_a_word(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(families, "_told", set())
    for version in ("4.4.30", "4.4.100", "4.5.90", "4.5"):
        monkeypatch.setattr(ccxt, "__version__", version)
        guard(ccxt.kraken(settings(sim)))
    assert [record for record in caplog.records if record.name == "sealane.guard"] == []


def test_the_page_names_what_was_tried_and_the_suite_runs_the_newest() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "guard.md").read_text()
    locked = {package["name"]: package for package in tomllib.loads((root / "uv.lock").read_text())["package"]}
    for library, (oldest, newest) in families.TRIED.items():
        assert f"| {oldest}, {newest} |" in page
        assert locked[library]["version"] == newest


def test_no_client_is_imported() -> None:
    code = """
import sys
from sealane.plugins import guard
try:
    guard(object())
except ValueError:
    pass
raise SystemExit(",".join(sorted({"ccxt", "krakenex", "kraken", "requests", "aiohttp"} & set(sys.modules))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.stderr.strip() == "", done.stderr
