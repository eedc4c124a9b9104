"""``sealane keys`` as a person and a program use it, and the lines it prints, put into the clients themselves."""

import asyncio
import base64
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sealane.cli import key_lines
from sealane.cli.app import app
from sealane.gateway.keys.key_file import KeyFile, KeyRing
from sealane.simulator import Simulator

LIMIT_S = 60
URL = "http://127.0.0.1:8710"
SECRET_TEXT = re.compile(r"SEALANE/[A-Za-z0-9+/]{78}==")


@pytest.fixture
def environment(monkeypatch):
    """Two accounts, of which nothing is asked: their keys need not be good."""
    monkeypatch.setenv("KRAKEN_API_KEY", "a-real-key")
    monkeypatch.setenv("KRAKEN_API_SECRET", base64.b64encode(b"s" * 64).decode())
    monkeypatch.setenv("KRAKEN_USER_daivon_frazier_API_KEY", "another-real-key")
    monkeypatch.setenv("KRAKEN_USER_daivon_frazier_API_SECRET", base64.b64encode(b"t" * 64).decode())


def keys(*arguments, code=0):
    done = CliRunner().invoke(app, ["keys", *arguments])
    assert done.exit_code == code, done.output
    return done


def as_json(*arguments, code=0):
    lines = keys(*arguments, "--json", code=code).stdout.splitlines()
    assert len(lines) == 1
    return json.loads(lines[0])


def gateway_data(*parts):
    return Path(os.environ["DATA_DIR"], *parts, "gateway")


def secret_held(made, folder):
    ring = KeyRing(folder)
    held = ring.find(made["key"], 0.0)
    ring.close()
    return held and base64.b64encode(held.secret.reveal()).decode()


def test_create_prints_name_key_and_secret_for_a_program(environment):
    made = as_json("create", "bot1", "--account", "daivon_frazier")
    assert list(made) == ["name", "key", "secret"]
    assert SECRET_TEXT.fullmatch(made["secret"])
    assert secret_held(made, gateway_data()) == made["secret"]
    assert as_json("show", "bot1")["account"] == "daivon_frazier"


def test_a_process_of_its_own_prints_the_same(environment):
    command = [sys.executable, "-m", "sealane.cli", "keys", "create", "bot1", "--allow", "read,fund", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    (line,) = done.stdout.splitlines()
    assert secret_held(json.loads(line), gateway_data()) == json.loads(line)["secret"]
    assert "warning: this key can move funds" in done.stderr
    assert json.loads(line)["secret"] not in done.stderr


def test_for_a_person_the_secret_stands_in_one_place(environment):
    done = keys("create", "bot1", "--pairs", "XBTUSD", "--max-order", "500", "--price-band", "5%", "--expires", "30d")
    (secret,) = SECRET_TEXT.findall(done.stdout)
    assert f"export BOT_SECRET={secret}" in done.stdout
    assert "orders on XBTUSD only; each of at most 500" in " ".join(done.stdout.split())
    for client in ("ccxt", "freqtrade", "krakenex", "python-kraken-sdk", "hummingbot", "curl"):
        assert f"--- {client}\n" in done.stdout
    for again in (keys("show", "bot1"), keys("list"), keys("pause", "bot1"), keys("revoke", "bot1")):
        assert secret not in again.output
        assert "SEALANE/" not in again.output


def test_every_option_reaches_the_policy(environment):
    limits = "--pairs xbtusd,ETH/USD --max-order 0.5xbt --price-band 0.05 --orders all --share 25% --expires 2999-01-31"
    as_json("create", "bot1", "--allow", "read,trade,Withdraw", *limits.split())
    shown = as_json("show", "bot1")
    assert shown | {"key": "", "created": ""} == {
        "name": "bot1",
        "account": "MASTER",
        "status": "active",
        "key": "",
        "allow": ["Withdraw", "read", "trade"],
        "pairs": ["ETH/USD", "XBTUSD"],
        "max_order": {"amount": "0.5", "asset": "XBT"},
        "price_band": "0.05",
        "own_orders": False,
        "share": "0.25",
        "created": "",
        "expires": "2999-01-31T00:00:00+00:00",
        "revoked": None,
        "also_valid": [],
    }


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ("--allow fund", "move funds"),
        ("--allow read,Withdraw", "move funds"),
        ("--allow read,Earn/Allocate", "move funds"),
        ("--allow ws-token", "WebSocket token"),
        ("--allow GetWebSocketsToken", "WebSocket token"),
        ("--orders all", "all orders of the account"),
        ("--url http://10.0.0.5:8710", "not encrypted"),
        ("--url https://10.0.0.5:8710", ""),
        ("--url http://[::1]:8710", ""),
        ("--allow read,trade,cancel", ""),
    ],
)
def test_what_a_person_should_have_meant_is_told_on_stderr(environment, options, warning):
    for extra in ((), ("--json",)):
        done = keys("create", "json" if extra else "plain", *options.split(), *extra)
        said = " ".join(done.stderr.split())
        assert (warning in said) if warning else not said
        assert said.count("warning:") == bool(warning)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--account nobody", "nobody"),
        ("--allow reads", "reads"),
        ("--allow read,,trade", "--allow"),
        ("--pairs XBT-USD", "XBT-USD"),
        ("--pairs ,", "--pairs"),
        ("--max-order 1e3", "--max-order"),
        ("--max-order -5", "--max-order"),
        ("--max-order 0", "max-order"),
        ("--price-band 5", "price-band"),
        ("--price-band NaN", "--price-band"),
        ("--share 0%", "share"),
        ("--share 101%", "share"),
        ("--orders none", "--orders"),
        ("--expires yesterday", "--expires"),
        ("--expires 2020-01-01", "expired"),
        ("--expires 5", "--expires"),
        ("--url localhost:8710", "--url"),
        ("--url http://a/path", "--url"),
        ("--url http://u:p@a", "--url"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name_and_nothing_is_made(environment, options, named):
    said = as_json("create", "bot1", *options.split(), code=2)
    assert said["error"]["kind"] == "SettingsError"
    assert named in said["error"]["message"]
    assert not gateway_data().exists()


def test_pause_resume_revoke_and_rotate_hold_at_once(environment):
    made = as_json("create", "bot1")
    ring = KeyRing(gateway_data())
    assert as_json("pause", "bot1")["status"] == "paused"
    assert ring.find(made["key"], 0.0).paused
    assert as_json("resume", "bot1")["status"] == "active"
    turned = as_json("rotate", "bot1", "--grace", "1h")
    assert list(turned) == ["name", "key", "secret"]
    assert secret_held(turned, gateway_data()) == turned["secret"] != made["secret"]
    shown = as_json("show", "bot1")
    assert shown["key"] == turned["key"]
    assert [one["key"] for one in shown["also_valid"]] == [made["key"]]
    assert ring.find(made["key"], 0.0)
    assert as_json("revoke", "bot1")["status"] == "revoked"
    assert ring.find(turned["key"], 0.0) is ring.find(made["key"], 0.0) is None
    ring.close()
    assert as_json("rotate", "bot1", code=2)["error"]["kind"] == "SettingsError"
    assert as_json("rotate", "nobody", code=2)["error"]["kind"] == "SettingsError"


def test_lists_show_the_end_of_a_key_and_show_the_whole(environment):
    assert "make one with" in keys("list").stdout
    made = as_json("create", "bot1")
    (row,) = as_json("list")
    assert row["key"] == "…" + made["key"][-4:]
    assert made["key"] not in keys("list").stdout
    assert made["key"] in keys("show", "bot1").stdout


def test_without_a_key_of_kraken_it_is_for_the_simulator_and_kept_apart():
    done = keys("create", "bot1", "--account", "User1")
    assert "built-in exchange of 'sealane serve'" in " ".join(done.stderr.split())
    assert as_json("show", "bot1")["account"] == "user1"
    assert [key.name for key in KeyFile(gateway_data("simulator")).all()] == ["bot1"]
    assert not gateway_data().exists()
    assert "MASTER, user1" in as_json("create", "bot2", "--account", "user2", code=2)["error"]["message"]


def test_a_list_that_cannot_be_stored_is_told_with_the_exit_code_for_it(environment):
    Path(os.environ["DATA_DIR"]).write_text("a file")
    assert as_json("create", "bot1", code=4)["error"]["kind"] == "NotDurable"


def test_the_port_of_the_environment_is_in_the_lines(environment, monkeypatch):
    monkeypatch.setenv("PORT", "9999")
    assert "http://127.0.0.1:9999" in keys("create", "bot1").stdout
    assert "https://gate.example" in keys("rotate", "bot1", "--url", "https://gate.example/").stdout


# --- the lines to paste, each with its client, against a simulated Kraken ---


@pytest.fixture
def bot(monkeypatch):
    """What the printed lines reach and sign with: in place of a gateway, a simulator and its account."""
    with Simulator(seed=11) as simulator:
        (account,) = simulator.accounts
        for line in key_lines.variables(account.api_key, account.api_secret).splitlines():
            name, value = line.removeprefix("export ").split("=", 1)
            monkeypatch.setenv(name, value.strip("'"))
        yield simulator
    simulator.audit()


def pasted(client, url):
    """The names that the printed lines of a Python client make."""
    made = {}
    exec(compile(printed_lines(url)[client], client, "exec"), made)
    return made


def printed_lines(url):
    parts = re.split(r"^--- (.+)\n", key_lines.printed(url), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_lines_for_ccxt(bot):
    exchange = pasted("ccxt", bot.url)["exchange"]
    assert exchange.privatePostBalance()["result"]["ZUSD"] == "100000.0000"
    assert exchange.publicGetTime()["error"] == []


def test_the_lines_for_ccxt_async(bot, monkeypatch):
    """As the comment says: the same with ccxt.async_support."""
    monkeypatch.setitem(sys.modules, "ccxt", importlib.import_module("ccxt.async_support"))
    exchange = pasted("ccxt", bot.url)["exchange"]

    async def balance():
        try:
            return await exchange.privatePostBalance()
        finally:
            await exchange.close()

    assert asyncio.run(balance())["result"]["ZUSD"] == "100000.0000"


def test_the_lines_for_krakenex(bot):
    api = pasted("krakenex", bot.url)["api"]
    try:
        assert api.query_private("Balance")["result"]["ZUSD"] == "100000.0000"
        assert api.query_public("Time")["error"] == []
    finally:
        api.close()


def test_the_lines_for_python_kraken_sdk(bot):
    user = pasted("python-kraken-sdk", bot.url)["user"]
    assert user.get_account_balance()["ZUSD"] == "100000.0000"
    from kraken.spot import Funding, SpotAsyncClient, SpotClient, Trade

    pair = {"key": os.environ["BOT_KEY"], "secret": os.environ["BOT_SECRET"], "url": bot.url}
    for other in (Trade, Funding, SpotClient):
        other(**pair)

    async def balance():
        async with SpotAsyncClient(**pair) as client:
            return await client.request("POST", "/0/private/Balance")

    assert asyncio.run(balance())["ZUSD"] == "100000.0000"


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_lines_for_curl(bot, tmp_path):
    script = printed_lines(bot.url)["curl"]
    for _ in range(2):
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=LIMIT_S, check=True)
        assert json.loads(done.stdout)["result"]["ZUSD"] == "100000.0000"
    assert os.environ["BOT_SECRET"] not in script
    assert '"$BOT_SECRET"' not in script  # it is not handed to a program's arguments either


def test_the_lines_for_freqtrade(bot):
    """freqtrade hands these settings to ccxt as they are, once for each colour."""
    import ccxt

    text = printed_lines(bot.url)["freqtrade"]
    exchange = json.loads(text.partition("config.json:\n")[2])["exchange"]
    assert exchange["name"] == "kraken"
    assert 'FREQTRADE__EXCHANGE__KEY="$BOT_KEY" FREQTRADE__EXCHANGE__SECRET="$BOT_SECRET"' in text
    for config in (exchange["ccxt_config"], exchange["ccxt_async_config"]):
        client = ccxt.kraken({"apiKey": os.environ["BOT_KEY"], "secret": os.environ["BOT_SECRET"], **config})
        assert client.privatePostBalance()["result"]["ZUSD"] == "100000.0000"


def test_the_lines_for_hummingbot_say_what_they_cost():
    text = printed_lines(URL)["hummingbot"]
    assert f'set BASE_URL = "{URL}"' in text
    assert "ws-token" in text


def test_an_address_cannot_break_out_of_the_lines():
    for text in key_lines.client_lines("https://gate.example").values():
        assert "URL," not in text.replace("BASE_URL", "")
    assert "'" in key_lines.variables("k", "a b")
