"""Balances over the wire: both colours, an account without a result, and the command."""

import asyncio
import json
import subprocess
import sys
from decimal import Decimal

import pytest

from sealane import AsyncKraken, Kraken
from sealane.simulator import Simulator, Switches

LIMIT_S = 60


def test_both_colours(keys):
    with Kraken.from_env() as kraken:
        assert kraken.balance().amounts["ZUSD"] == Decimal(100000)
        keys.add_fault("error", error="EGeneral:Permission denied", methods=["Balance"])
        assert kraken.balance().stale

    async def ask():
        async with AsyncKraken.from_env("daivon_frazier") as kraken:
            return await kraken.balance()

    assert asyncio.run(ask()).amounts["ZUSD"] == Decimal(101000)


@pytest.mark.parametrize("has_result", [True, False])
def test_an_empty_account(has_result):
    with Simulator(switches=Switches(empty_balance_has_result=has_result)) as sim:
        account = sim.accounts[0]
        sim.update_account("MASTER", balances={})
        with Kraken(api_key=account.api_key, api_secret=account.api_secret, url=sim.url, store="memory:") as kraken:
            assert kraken.balance().amounts == {}


def test_the_command(keys):
    def run(*arguments, code=0):
        command = [sys.executable, "-m", "sealane.cli", "balance", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout

    found = json.loads(run("--json"))
    assert found["account"] == "MASTER"
    assert found["amounts"]["ZUSD"] == "100000.0000"
    assert (found["stale"], found["error"]) == (False, None)
    assert "ZUSD" in run("--account", "daivon_frazier")
    keys.update_account("MASTER", balances={})
    assert "empty" in run()
    keys.add_fault("http_before", status=503, count=9)
    assert json.loads(run("--json", code=4))["error"]["kind"] == "Unavailable"
