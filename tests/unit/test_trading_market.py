"""A look at the market: what is asked, what is read, and what is left out with its reason."""

from decimal import Decimal

import pytest

from account_fakes import NOW_NS
from sealane.errors import Refused, Unavailable
from sealane.trading.market import scan

BITCOIN = {
    "altname": "XBTUSD",
    "wsname": "XBT/USD",
    "base": "XXBT",
    "quote": "ZUSD",
    "status": "online",
    "ordermin": "0.00005",
    "costmin": "0.5",
    "tick_size": "0.1",
    "lot_decimals": 8,
}
UNKNOWN = "Kraken does not know it: check the spelling"
PRICES = {"a": ["50000.1", "1", "1.0"], "b": ["50000.0", "1", "1.0"], "c": ["50000.1", "0.1"]}


class Public:
    """Answers by method; an exception is raised, and every call is noted."""

    def __init__(self, **answers):
        self.calls = []
        self.answers = {
            "SystemStatus": {"status": "online"},
            "AssetPairs": {"XXBTZUSD": BITCOIN},
            "Ticker": {"XXBTZUSD": PRICES},
            **answers,
        }

    def __call__(self, method, /, **params):
        self.calls.append((method, params.get("pair")))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


def look(public, *pairs):
    return scan(public, pairs, lambda: NOW_NS)


@pytest.mark.parametrize("written", ["XBTUSD", "BTC/USD", "XXBTZUSD"])
def test_a_pair_goes_by_its_altname_however_it_is_written(written):
    found = look(Public(), written)
    assert (found.status, found.error) == ("online", "")
    view = found.market
    assert list(view.quotes) == list(view.rules) == ["XBTUSD"]
    quote, rules = view.quotes["XBTUSD"], view.rules["XBTUSD"]
    assert (quote.bid, quote.ask, quote.asked_ns) == (Decimal(50_000), Decimal("50000.1"), NOW_NS)
    assert (rules.base, rules.in_usd, rules.ordermin, rules.lot_decimals) == ("XXBT", True, Decimal("0.00005"), 8)
    assert {view.named(name) for name in ("btcusd", "BTC/USD", "XXBTZUSD", "XBTUSD")} == {"XBTUSD"}
    assert view.left_out == {}


def test_three_calls_are_enough_for_all_pairs():
    ether = BITCOIN | {"altname": "ETHUSD", "wsname": "ETH/USD", "base": "XETH"}
    public = Public(
        AssetPairs={"XXBTZUSD": BITCOIN, "XETHZUSD": ether}, Ticker={"XXBTZUSD": PRICES, "XETHZUSD": PRICES}
    )
    assert list(look(public, "ETHUSD", "XBTUSD").market.quotes) == ["ETHUSD", "XBTUSD"], "in the order asked for"
    assert public.calls == [("SystemStatus", None), ("AssetPairs", "ETHUSD,XBTUSD"), ("Ticker", "XBTUSD,ETHUSD")]


def test_without_pairs_only_the_status_is_asked_for():
    public = Public()
    found = look(public)
    assert (found.status, dict(found.market.quotes)) == ("online", {})
    assert public.calls == [("SystemStatus", None)]


@pytest.mark.parametrize("status", ["cancel_only", "limit_only", "work_in_progress"])
def test_a_pair_that_is_not_online_is_left_out_and_not_quoted(status):
    public = Public(AssetPairs={"XXBTZUSD": BITCOIN | {"status": status}})
    found = look(public, "XBTUSD").market
    assert dict(found.quotes) == {}
    assert found.left_out == {"XBTUSD": f"it is {status}"}
    assert "Ticker" not in [method for method, _ in public.calls]


@pytest.mark.parametrize(
    "prices",
    [
        None,
        [],
        {},
        PRICES | {"a": []},
        PRICES | {"b": ["NaN"]},
        PRICES | {"b": ["0.00000"]},
        PRICES | {"b": ["50001"]},
        PRICES | {"c": ["-1"]},
        PRICES | {"a": "5"},
    ],
)
def test_prices_that_cannot_be_used_are_left_out_not_made_up(prices):
    found = look(Public(Ticker={"XXBTZUSD": prices}), "XBTUSD").market
    assert dict(found.quotes) == dict(found.rules) == {}
    assert "Kraken gave" in found.left_out["XBTUSD"]


@pytest.mark.parametrize("field", ["ordermin", "costmin", "tick_size", "lot_decimals", "base", "quote", "status"])
def test_a_pair_whose_rules_are_not_whole_is_left_out(field):
    row = {name: value for name, value in BITCOIN.items() if name != field}
    found = look(Public(AssetPairs={"XXBTZUSD": row}), "XBTUSD").market
    assert dict(found.quotes) == {}
    assert field in found.left_out["XBTUSD"]


def test_a_pair_that_kraken_leaves_out_is_named():
    assert look(Public(), "XBTUSD", "ETHUSD").market.left_out == {"ETHUSD": UNKNOWN}


class Knows(Public):
    """Knows these pairs alone, and refuses a list with another, as Kraken does."""

    def __call__(self, method, /, **params):
        answer = super().__call__(method, **params)
        if method != "AssetPairs":
            return answer
        rows = {row["altname"]: (key, row) for key, row in answer.items()}
        if not set(params["pair"].split(",")) <= rows.keys():
            raise Refused("AssetPairs", ("EQuery:Unknown asset pair",))
        return dict(rows[name] for name in params["pair"].split(","))


@pytest.mark.parametrize("pairs", [("XBTUSD", "NOPE"), ("NOPE", "XBTUSD"), ("A", "B", "NOPE", "C", "XBTUSD")])
def test_a_pair_that_kraken_does_not_know_is_left_out_and_the_others_go_on(pairs):
    found = look(Knows(), *pairs)
    assert (found.error, list(found.market.quotes)) == ("", ["XBTUSD"])
    assert found.market.left_out == {pair: UNKNOWN for pair in pairs if pair != "XBTUSD"}


def test_one_unknown_pair_of_many_costs_few_calls():
    names = [f"C{number:02}USD" for number in range(16)]
    known = {name: BITCOIN | {"altname": name} for name in names}
    public = Knows(AssetPairs=known, Ticker=dict.fromkeys(names, PRICES))
    assert len(look(public, *names[:-1], "NOPE").market.quotes) == 15
    assert [method for method, _ in public.calls].count("AssetPairs") == 9, "two at each halving of 16"


def test_where_no_pair_is_known_none_is_there():
    found = look(Knows(), "FOO", "BAR").market
    assert (dict(found.quotes), dict(found.left_out)) == ({}, {"FOO": UNKNOWN, "BAR": UNKNOWN})


@pytest.mark.parametrize(
    ("answers", "status", "said"),
    [
        ({"SystemStatus": Unavailable("no answer")}, "", "no answer"),
        ({"SystemStatus": {}}, "", "status"),
        ({"SystemStatus": None}, "", "NoneType"),
        ({"AssetPairs": Refused("AssetPairs", ("EAPI:Rate limit exceeded",))}, "online", "Rate limit"),
        ({"AssetPairs": Unavailable("HTTP 503")}, "online", "HTTP 503"),
        ({"AssetPairs": {"XXBTZUSD": "?"}}, "online", "str"),
        ({"Ticker": Unavailable("HTTP 502")}, "online", "HTTP 502"),
    ],
)
def test_what_cannot_be_had_is_said_and_the_market_is_unknown(answers, status, said):
    found = look(Public(**answers), "XBTUSD", "FOO")
    assert (found.status, found.market) == (status, None)
    assert said in found.error
