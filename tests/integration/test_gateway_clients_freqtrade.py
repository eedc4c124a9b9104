"""freqtrade's own exchange class through a running gateway, by the configuration of docs/gateway-clients.md.

It brings 600 MB of its own and waits a second between calls, so it is tried where ``FREQTRADE_PYTHON`` names an
interpreter that has it: ``uv venv F && uv pip install --python F/bin/python freqtrade==2026.9``.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from gateway_bench import Bench

from sealane.simulator.accounts import SimAccount

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "gateway-clients.md").read_text()
PYTHON = os.environ.get("FREQTRADE_PYTHON", "")
LIMIT_S = 120


def config(url: str) -> str:
    (block,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return block.replace("http://127.0.0.1:8710", url)


def test_the_configuration_is_what_ccxt_takes() -> None:
    """freqtrade hands these settings to ccxt as they are."""
    import ccxt

    exchange = ccxt.kraken(json.loads(config("http://127.0.0.1:1"))["exchange"]["ccxt_config"])
    assert exchange.urls["api"]["private"] == exchange.urls["api"]["public"] == "http://127.0.0.1:1"
    assert exchange.timeout == 30_000


@pytest.mark.skipif(not PYTHON, reason="FREQTRADE_PYTHON names no interpreter that has freqtrade")
def test_freqtrade(gateway: Bench, bot: SimAccount) -> None:
    document = json.loads(config(gateway.url))
    document["exchange"] |= {"key": bot.api_key, "secret": bot.api_secret}
    done = subprocess.run(
        [PYTHON, HERE / "freqtrade_day.py"], input=json.dumps(document), capture_output=True, text=True,
        timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["btc"], found["seen"], found["stop"]) == (5, "open", "open")
    assert found["tooMuch"] == "InsufficientFundsError"
    assert found["timeout"] == 30_000
    assert found["retried"] == ["cancel_order", "fetch_order", "get_balances"]
    assert gateway.methods(bot.name).count("AddOrder") == 3
    assert gateway.tally(bot.name)["refused_nonce"] == 0
