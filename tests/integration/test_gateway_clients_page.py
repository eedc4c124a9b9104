"""docs/gateway-clients.md: its lines run against a gateway, and its table of errors is what the clients do."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import ccxt
import kraken.exceptions
import pytest
from gateway_bench import Bench
from kraken.base_api import ErrorHandler
from kraken.spot import SpotAsyncClient, Trade

from sealane.gateway.api.envelope import throttled
from sealane.simulator.accounts import SimAccount

PAGE = (Path(__file__).parents[2] / "docs" / "gateway-clients.md").read_text()
SHOWN_URL = "http://127.0.0.1:8710"
LIMIT_S = 30
THROTTLED = "EService: Throttled: <unix time>"
ERRORS = re.findall(r"^\| `(E\w+:[^`]+)` \|[^|]*\| `?(\w+)`? \| `?(\w+)`? \|$", PAGE, re.MULTILINE)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def placed_and_cancelled(gateway: Bench, bot: SimAccount) -> bool:
    return [method for method in gateway.methods(bot.name) if "Order" in method][-2:] == ["AddOrder", "CancelOrder"]


@pytest.mark.parametrize("code", blocks("py"), ids=["ccxt", "krakenex", "python-kraken-sdk"])
def test_the_lines_in_python(gateway: Bench, bot: SimAccount, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setenv("BOT_KEY", bot.api_key)
    monkeypatch.setenv("BOT_SECRET", bot.api_secret)
    for client in (Trade, SpotAsyncClient):
        monkeypatch.setattr(client, "TIMEOUT", 10)  # and back again
    exec(compile(code.replace(SHOWN_URL, gateway.url), "docs/gateway-clients.md", "exec"), {"__name__": "__main__"})
    assert placed_and_cancelled(gateway, bot)


def run(gateway: Bench, bot: SimAccount, *calls: str, **environ: str) -> list[Any]:
    """The page's functions, and then some calls; what came back of each."""
    (code,) = blocks("bash")
    script = "\n".join(
        ["set -euo pipefail", code.replace(SHOWN_URL, gateway.url), *(f"echo; {call}" for call in calls)]
    )
    done = subprocess.run(
        ["bash"], input=script, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        env=os.environ | {"BOT_KEY": bot.api_key, "BOT_SECRET": bot.api_secret} | environ,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines() if line]


def test_the_lines_for_curl(gateway: Bench, bot: SimAccount) -> None:
    order = "kraken AddOrder pair=XBTUSD type=buy ordertype=limit volume=0.01 price=25000.1"
    balance, *placed, refused = run(gateway, bot, order, order, "kraken Withdraw asset=XBT", REPEAT_KEY="mine-1")
    assert balance["result"]["XXBT"] == "5.0000000000"
    assert placed[0]["result"]["txid"] == placed[1]["result"]["txid"]
    assert refused == {"error": ["EGeneral:Permission denied"]}
    (open_orders,) = run(gateway, bot, "kraken OpenOrders")[1:]
    assert list(open_orders["result"]["open"]) == placed[0]["result"]["txid"]
    cancelled, wrong = run(gateway, bot, f"kraken CancelOrder txid={placed[0]['result']['txid'][0]}",
                           "BOT_KEY=x kraken Balance")[1:]  # fmt: skip
    assert cancelled["result"]["count"] == 1
    assert wrong == {"error": ["EAPI:Invalid key"]}
    assert gateway.methods(bot.name).count("AddOrder") == 1


def test_curl_shows_the_secret_to_no_list_of_processes() -> None:
    """The secret goes to builtins alone: whatever is started gets it in no argument."""
    (code,) = blocks("bash")
    uses = [line.strip() for line in code.splitlines() if "BOT_SECRET" in line.partition("#")[0]]
    assert uses == ["hex=$(base64 -d <<< \"$BOT_SECRET\" | od -An -v -tx1 | tr -d ' \\n')"]
    started = re.findall(r"(?:openssl|curl|base64|od|tr|date)\b[^|;}\n]*", code)
    assert not [command for command in started if "$hex" in command or "$inner" in command or "$outer" in command]


# --- errors -----------------------------------------------------------------------------------------------------------


def test_the_table_has_what_the_gateway_says() -> None:
    from sealane.gateway.api import envelope

    told = {text for text in vars(envelope).values() if isinstance(text, str) and re.fullmatch(r"E\w+:[\w ]+", text)}
    unlikely = {"EGeneral:Temporary lockout", "EGeneral:Unknown method", "EGeneral:Invalid arguments"}
    assert told - unlikely | {THROTTLED} == {error for error, _, _ in ERRORS}


@pytest.mark.parametrize(("error", "by_ccxt", "by_sdk"), ERRORS)
def test_what_clients_make_of_an_error(error: str, by_ccxt: str, by_sdk: str) -> None:
    answer = {"error": [error]}
    exchange = ccxt.kraken()
    with pytest.raises(ccxt.BaseError) as raised:
        exchange.handle_errors(200, "", "", "POST", {}, json.dumps(answer), answer, {}, "")
    assert type(raised.value) is getattr(ccxt, by_ccxt)
    if by_sdk == "nothing":
        assert ErrorHandler().check(answer) == answer
    else:
        with pytest.raises(getattr(kraken.exceptions, by_sdk)):
            ErrorHandler().check(answer)


def test_what_clients_make_of_too_many_at_once() -> None:
    told = throttled(1_800_000_000.5).body
    answer = json.loads(told)
    assert answer == {"error": ["EService: Throttled: 1800000001"]}
    with pytest.raises(ccxt.ExchangeError) as raised:
        ccxt.kraken().handle_errors(200, "", "", "POST", {}, told.decode(), answer, {}, "")
    assert type(raised.value) is ccxt.ExchangeError
    assert ErrorHandler().check(answer) == answer


def test_ccxt_sends_again_only_what_was_not_executed() -> None:
    """After these and no other of the table, where ``maxRetriesOnFailure`` says so."""
    again = {error for error, by_ccxt, _ in ERRORS if issubclass(getattr(ccxt, by_ccxt), ccxt.OperationFailed)}
    assert again == {
        "EAPI:Rate limit exceeded", "EService:Unavailable", "EService:Busy", "EAPI:Invalid nonce"
    }  # fmt: skip
