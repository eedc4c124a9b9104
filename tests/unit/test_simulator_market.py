import ast
import base64
from decimal import Decimal
from pathlib import Path

import pytest

import sealane.simulator
from sealane.simulator.accounts import make_accounts
from sealane.simulator.facts import Refused
from sealane.simulator.market import Market
from sealane.simulator.params import Params, parse_body


@pytest.mark.parametrize("spelling", ["XXBTZUSD", "XBTUSD", "XBT/USD", "BTCUSD", "BTC/USD"])
def test_spellings_of_a_pair(spelling: str) -> None:
    assert Market(0).pair(spelling).name == "XXBTZUSD"


def test_spellings_of_assets_and_what_is_unknown() -> None:
    market = Market(0)
    assert {market.asset(name).name for name in ("XXBT", "XBT", "BTC")} == {"XXBT"}
    assert market.asset("DOGE").name == "XXDG"
    assert market.pair("DOGE/USD").name == "XDGUSD"
    for ask, said in ((market.asset, "EQuery:Unknown asset"), (market.pair, "EQuery:Unknown asset pair")):
        with pytest.raises(Refused, match=said):
            ask("NIJA")


@pytest.mark.parametrize("seed", range(20))
def test_prices_follow_the_seed_in_whole_ticks(seed: int) -> None:
    market = Market(seed)
    assert market.quotes == Market(seed).quotes
    assert market.quotes != Market(seed + 1).quotes
    for name, quote in market.quotes.items():
        tick = market.pairs[name].tick_size
        assert 0 < quote.bid < quote.last < quote.ask
        assert not any(price % tick for price in (quote.bid, quote.last, quote.ask))


def test_keys_follow_the_seed_and_have_krakens_form() -> None:
    accounts = make_accounts(3, seed=7)
    assert [account.name for account in accounts] == ["MASTER", "user1", "user2"]
    assert accounts == make_accounts(3, seed=7)
    assert not {account.api_key for account in accounts} & {account.api_key for account in make_accounts(3, seed=8)}
    for account in accounts:
        assert (len(account.api_key), len(account.api_secret)) == (56, 88)
        assert len(base64.b64decode(account.api_secret, validate=True)) == 64
        assert account.api_secret not in repr(account)
        assert account.api_key not in repr(account)
    with pytest.raises(ValueError, match="accounts must be 1 or more"):
        make_accounts(0, seed=0)


def test_bodies_are_read_without_floats() -> None:
    assert parse_body(b'{"nonce": 1763718000123456789, "volume": 0.1}', "application/json; charset=utf-8") == {
        "nonce": 1763718000123456789,
        "volume": Decimal("0.1"),
    }
    assert parse_body(b"a=1&close%5Bprice%5D=2&b=", "application/x-www-form-urlencoded") == {
        "a": "1",
        "close[price]": "2",
        "b": "",
    }
    for body in (b"[1]", b"{", b'{"a": NaN}', b"\xff", b"[" * 100_000):
        assert parse_body(body, "application/json") == {}


@pytest.mark.parametrize("value", ["1e3", "-1", "0", "NaN", "Infinity", ".", "1.2.3", "٣", "1" * 50, [1], {}])
def test_what_is_no_amount(value: object) -> None:
    with pytest.raises(Refused, match="EGeneral:Invalid arguments:volume"):
        Params({"volume": value}).amount("volume")


def test_amounts_flags_and_lists() -> None:
    params = Params(
        {"a": "1.250", "b": 3, "c": Decimal("0.1"), "yes": "True", "no": "false", "json": True, "l": "a, b"}
    )
    assert [params.amount(name) for name in ("a", "b", "c", "d")] == [Decimal("1.250"), 3, Decimal("0.1"), None]
    assert [params.flag(name) for name in ("yes", "no", "json", "missing")] == [True, False, True, False]
    assert params.names("l") == ["a", "b"]
    assert Params({"l": ["a", "b"]}).names("l") == ["a", "b"]


def test_the_simulator_imports_nothing_it_judges() -> None:
    folder = Path(sealane.simulator.__file__).parent
    for source in folder.glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert not name.startswith("sealane") or name.startswith("sealane.simulator"), f"{source.name}: {name}"
