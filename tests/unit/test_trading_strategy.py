"""Signals, strategies loaded by name, the example, and the order that a preflight has checked."""

import sys
from dataclasses import replace
from decimal import Decimal

import pytest

from account_fakes import LIMITS, NOW_NS, market, rules_of
from sealane.errors import SettingsError
from sealane.simulator.pairs import PAIRS
from sealane.trading.example import Rebalance
from sealane.trading.limits import why_blocked
from sealane.trading.preflight import probe, smallest
from sealane.trading.strategy import SIGNALS_MAX, Signal, Strategy, load_strategy, signals_of
from sealane.trading.views import AccountView, compact

ONE = Signal("XBTUSD", "buy", Decimal("0.001"))


def account(usd="1000", coin="0", usdt="0"):
    amounts = {"ZUSD": Decimal(usd), "USDT": Decimal(usdt), "XXBT": Decimal(coin)}
    total = Decimal(usd) + Decimal(usdt)
    return AccountView("MASTER", Decimal(usd), Decimal(usdt), total, amounts, total)


# --- signals and views --------------------------------------------------------------------------------------------


def test_an_order_type_follows_from_the_price():
    assert ONE.order_type == "market"
    assert replace(ONE, order_type="", price=Decimal(5)).order_type == "limit"
    assert str(replace(ONE, order_type="", price=Decimal("5E+4"))) == "buy 0.001 XBTUSD at 50000"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"side": "hold"}, "side"),
        ({"order_type": "stop-loss"}, "order_type"),
        ({"order_type": "limit"}, "a limit needs one"),
        ({"order_type": "market", "price": Decimal(1)}, "a market none"),
        ({"volume": 0.1}, "volume is 0.1"),
        ({"volume": Decimal(0)}, "volume"),
        ({"volume": Decimal("NaN")}, "volume"),
        ({"order_type": "limit", "price": Decimal(-1)}, "price"),
        ({"order_type": "limit", "price": "5"}, "price"),
    ],
)
def test_a_signal_that_cannot_be_meant_is_refused(wrong, said):
    with pytest.raises(SettingsError, match=said):
        replace(ONE, **wrong)


def test_views_cannot_be_changed_by_who_sees_them():
    seen, mine = market(), account()
    for mapping in (seen.quotes, seen.rules, seen.left_out, mine.amounts):
        with pytest.raises(TypeError):
            mapping["XBTUSD"] = None
    with pytest.raises(AttributeError):
        seen.now_ns = 0
    assert mine.holdings == {}
    assert account(coin="2", usdt="5").holdings == {"XXBT": Decimal(2)}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("XBTUSD", "XBTUSD"),
        ("btc/usd", "XBTUSD"),
        (" ETH/BTC ", "ETHXBT"),
        ("DOGEUSD", "XDGUSD"),
        ("WBTCUSD", "WBTCUSD"),
        ("XXBTZUSD", "XBTUSD"),
    ],
)
def test_spellings_of_a_pair(written, name):
    assert compact(written) == name


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_every_name_that_kraken_has_for_a_pair_is_its_altname(pair):
    assert {compact(name) for name in (pair.name, pair.altname, pair.wsname)} == {pair.altname}


@pytest.mark.parametrize(("key", "altname"), [("USDTZUSD", "USDTUSD"), ("XXDGXXBT", "XDGXBT"), ("ZUSDZCAD", "USDCAD")])
def test_keys_of_old_pairs_are_their_altnames(key, altname):
    assert compact(key) == altname


@pytest.mark.parametrize("altname", ["XTZUSD", "WAXPZUSD", "ATOMUSDT", "XMR.FUSD", "USDT.FUSD", "XXLMUSD"])
def test_what_only_looks_like_a_key_stays(altname):
    assert compact(altname) == altname


# --- strategies by name -------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


def test_a_class_makes_one_strategy_an_account_and_an_object_is_one_for_all(folder):
    (folder / "bot_a.py").write_text(
        "class Idle:\n    def decide(self, market, account):\n        return []\n\nshared = Idle()\n"
    )
    make, shared = load_strategy("bot_a:Idle"), load_strategy("bot_a:shared")
    assert isinstance(make(), Strategy)
    assert make() is not make()
    assert shared() is shared()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("bot_b", "write module:Class"),
        (":Idle", "write module:Class"),
        ("nosuch:Idle", "nosuch cannot be imported: ModuleNotFoundError"),
        ("bot_b:Nosuch", "bot_b has no 'Nosuch'"),
        ("bot_b:number", "number has no method decide"),
        ("bot_b:Idle", "cannot be made without arguments: TypeError"),
        ("bot_c:Idle", "cannot be imported: SyntaxError"),
        ("bot_d:Idle", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_loaded_says_why(folder, path, said):
    (folder / "bot_b.py").write_text(
        "number = 5\nclass Idle:\n    def __init__(self, x): ...\n    def decide(self, market, account): ...\n"
    )
    (folder / "bot_c.py").write_text("class\n")
    (folder / "bot_d.py").write_text("1 / 0\n")
    with pytest.raises(SettingsError, match=said):
        load_strategy(path)()


class Says:
    def __init__(self, answer):
        self.answer = answer

    def decide(self, market, account):
        return self.answer


class Async:
    async def decide(self, market, account):
        return []


@pytest.mark.parametrize("answer", [None, "buy", [ONE, "sell"], {"XBTUSD": ONE}, [ONE] * (SIGNALS_MAX + 1)])
def test_an_answer_that_is_no_list_of_signals_is_refused(answer):
    with pytest.raises(SettingsError, match="returned"):
        signals_of(Says(answer), market(), account())


def test_an_async_decide_is_refused_and_leaves_nothing_unawaited():
    with pytest.raises(SettingsError, match="async"):
        signals_of(Async(), market(), account())


def test_signals_are_taken_as_they_are():
    assert signals_of(Says([ONE, ONE]), market(), account()) == (ONE, ONE)
    assert signals_of(Says(()), market(), account()) == ()


# --- the example --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usd", "coin", "side"),
    [("1000", "0", "buy"), ("0", "1", "sell"), ("1000", "0.02", None), ("1000", "0.03", "sell"), ("0", "0", None)],
)
def test_the_example_goes_towards_its_share_by_small_steps(usd, coin, side):
    found = signals_of(Rebalance(), market(), account(usd, coin))
    assert [signal.side for signal in found] == ([side] if side else [])
    for signal in found:
        assert signal.volume * 50_000 <= 5
        assert signal.volume > Decimal("0.00009")


def test_the_example_says_nothing_where_it_cannot():
    assert signals_of(Rebalance(step_usd=Decimal(2)), market(), account()) == (), "below the least volume"
    assert signals_of(Rebalance(), market(XBTEUR=("44999", "45000")), account()) == ()


# --- the order of a preflight -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "mine", "side"),
    [
        (LIMITS, account(), "buy"),
        (replace(LIMITS, buys_off=True), account(), "sell"),
        (LIMITS, account("49", "1"), "sell"),
        (LIMITS, account("51", "1"), "sell"),
        (LIMITS, replace(account(), free=Decimal(49)), "sell"),
    ],
)
def test_a_preflight_checks_a_buy_or_a_sell_where_buys_are_blocked(limits, mine, side):
    (signal,) = probe(limits)(market(XBTEUR=("44999", "45000"), XBTUSD=("49999", "50000")), mine)
    assert (signal.pair, signal.side) == ("XBTUSD", side)
    assert why_blocked(signal, limits, market(), mine.free, NOW_NS) == ""


def test_where_only_sells_are_possible_a_preflight_checks_one_of_what_is_held():
    ether = AccountView("MASTER", Decimal(1), Decimal(0), Decimal(1), {"XETH": Decimal(1)}, Decimal(1))
    view = market(XBTEUR=("44999", "45000"), XBTUSD=("49999", "50000"), ETHUSD=("2999", "3000"))
    assert [signal.pair for signal in probe(LIMITS)(view, ether)] == ["ETHUSD"]
    assert [signal.pair for signal in probe(LIMITS)(view, account("1", "1"))] == ["XBTUSD"]


def test_the_smallest_order_keeps_to_the_pairs_rules_and_away_from_its_price():
    quote = market().quotes["XBTUSD"]
    for side in ("buy", "sell"):
        signal = smallest(side, rules_of("XBTUSD", "XXBT"), quote)
        assert signal.volume == Decimal("0.00005")
        assert signal.price % Decimal("0.1") == 0
    assert smallest("buy", rules_of("XBTUSD", "XXBT"), quote).price < quote.bid * Decimal("0.9")
    assert smallest("sell", rules_of("XBTUSD", "XXBT"), quote).price > quote.ask * Decimal("1.1")


def test_the_smallest_order_is_worth_the_least_cost():
    dear = rules_of("XBTUSD", "XXBT", costmin=Decimal("7.77"), lot_decimals=5)
    signal = smallest("buy", dear, market().quotes["XBTUSD"])
    assert signal.volume == signal.volume.quantize(Decimal("0.00001"))
    assert 0 <= signal.volume * signal.price - Decimal("7.77") < Decimal("0.41")


def test_without_a_pair_there_is_nothing_to_check():
    empty = replace(market(), quotes={}, rules={})
    with pytest.raises(SettingsError, match="no pair"):
        probe(LIMITS)(empty, account())
