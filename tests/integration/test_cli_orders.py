"""``sealane order``, ``orders`` and ``cancel`` as a person or a program uses them: what they print, how they end."""

import json
import os
import subprocess
import sys

import pytest

LIMIT_S = 60
ORDER = ("XBTUSD", "0.01", "1000")


@pytest.fixture(autouse=True)
def short_lag(monkeypatch):
    monkeypatch.setenv("SEALANE_VISIBILITY_LAG_S", "0.3")


def sealane(*words, code=0):
    command = [sys.executable, "-m", "sealane.cli", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=os.environ, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    (line,) = done.stdout.splitlines()
    return json.loads(line)


def book(sim):
    return sim.state()["accounts"]["MASTER"]["orders"]


def test_an_order_is_placed_and_listed_and_cancelled(keys):
    end = sealane("order", "buy", *ORDER)
    assert end["placed"] is True
    assert list(book(keys)) == [end["txid"]]
    (listed,) = sealane("orders")["orders"]
    assert (listed["state"], listed["txid"], listed["client_order_id"]) == (
        "placed",
        end["txid"],
        end["client_order_id"],
    )
    assert sealane("cancel", end["txid"]) == {"cancelled": True, "count": 1, "how": "answered"}
    refused = sealane("cancel", end["txid"], code=3)
    assert refused["kraken_error"] == "EOrder:Unknown order"


def test_an_order_may_be_said_by_options(keys):
    end = sealane("order", "sell", "--pair", "XBTUSD", "--volume", "0.01", "--price", "900000", "--id", "mine")
    assert (end["placed"], end["client_order_id"]) == (True, "mine")
    again = sealane("order", "sell", *("XBTUSD", "0.01", "900000"), "--client-order-id", "mine")
    assert again == end
    assert len(book(keys)) == 1
    assert sealane("cancel", "--id", "mine")["cancelled"] is True


def test_without_a_price_it_is_a_market_order(keys):
    end = sealane("order", "buy", "XBTUSD", "0.001")
    assert "@ market" in end["descr"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("buy", "XBTUSD", "1000000", "1000"), 3),
        (("buy", *ORDER, "--validate"), 0),
        (("buy", "XBTUSD", "0.01", "1000.05", "--validate"), 3),
        (("hold", *ORDER), 2),
        (("buy", "XBTUSD"), 2),
        (("buy", *ORDER, "side=sell"), 2),
        (("buy", *ORDER, "much"), 2),
        (("buy", *ORDER, "--price", "5"), 2),
    ],
)
def test_what_is_not_placed_says_why_and_ends_so(keys, words, code):
    said = sealane("order", *words, code=code)
    assert said.get("placed") is False or said["error"]["kind"] == "SettingsError"
    assert book(keys) == {}


def test_a_doubt_ends_with_5_until_it_is_resolved(keys):
    keys.add_fault("drop_before", count=1_000)
    error = sealane("order", "buy", *ORDER, "--deadline-s", "3", "--timeout-s", "3", code=5)["error"]
    assert error["kind"] == "InDoubt"
    assert error["client_order_id"] in error["message"]
    (row,) = sealane("orders", "--in-doubt", code=5)["orders"]
    assert (row["state"], row["client_order_id"]) == ("in doubt", error["client_order_id"])
    keys.clear_faults()
    (row,) = sealane("orders", "--resolve")["orders"]
    assert row["state"] == "not placed"
    assert sealane("orders", "--in-doubt")["orders"] == []


def test_all_orders_are_cancelled(keys):
    for _ in range(2):
        sealane("order", "buy", *ORDER)
    assert sealane("cancel", "--all")["count"] == 2
    assert sealane("cancel", code=2)["error"]["kind"] == "SettingsError"
