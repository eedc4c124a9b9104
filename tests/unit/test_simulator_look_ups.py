"""What was: trades, ledgers, volume, pages and bounds, orders that do not show yet; and the public market data."""

from decimal import Decimal as D

import pytest

from sealane.simulator.clock import NS_PER_S
from trading_desk import START_NS, Desk

START_S = START_NS // NS_PER_S


@pytest.fixture
def desk():
    return Desk()


def buy(desk, count, **fields):
    """So many filled orders, a second apart; their ids."""
    placed = []
    for _ in range(count):
        placed.append(desk.place(ordertype="market", volume="0.001", **fields))
        desk.after(1)
    return placed


def test_pages_run_from_the_newest_to_the_oldest(desk):
    orders = buy(desk, 53)
    for method, name in (("ClosedOrders", "closed"), ("TradesHistory", "trades"), ("Ledgers", "ledger")):
        pages = [desk.call(method, ofs=str(ofs)) for ofs in (0, 50, 100, 150)]
        assert {page["count"] for page in pages} == {53 if name != "ledger" else 106}
        times = [row.get("closetm") or row["time"] for page in pages for row in page[name].values()]
        assert len(times) == pages[0]["count"]
        assert times == sorted(times, reverse=True)
        assert "count" not in desk.call(method, without_count="true")
    assert [*desk.call("ClosedOrders")["closed"]] == orders[:-51:-1]


@pytest.mark.parametrize(("method", "name"), [("ClosedOrders", "closed"), ("TradesHistory", "trades")])
def test_bounds_are_times_or_ids(desk, method, name):
    buy(desk, 5)
    newest_first = [*desk.call(method)[name]]
    by_time = desk.call(method, start=str(START_S), end=str(START_S + 2))
    assert ([*by_time[name]], by_time["count"]) == (newest_first[2:4], 2)  # the start is left out, the end is in
    by_id = desk.call(method, start=newest_first[3], end=newest_first[1])
    assert ([*by_id[name]], by_id["count"]) == (newest_first[1:3], 2)
    assert [*desk.call(method, start=newest_first[2])[name]] == newest_first[:2]
    assert desk.said(method, start="yesterday") == "EGeneral:Invalid arguments:start"
    assert desk.said(method, end="OAAAAA-AAAAA-AAAAAA") == "EGeneral:Invalid arguments:end"


def test_bounds_by_id_hold_within_one_moment(desk):
    for _ in range(4):
        desk.place(ordertype="market", volume="0.001")
    newest_first = [*desk.call("ClosedOrders")["closed"]]
    assert [*desk.call("ClosedOrders", start=newest_first[2])["closed"]] == newest_first[:2]
    assert [*desk.call("ClosedOrders", end=newest_first[2])["closed"]] == newest_first[2:]


def test_a_trade_names_its_order_and_its_ledger_entries(desk):
    txid = desk.place(ordertype="market")
    (trade_id,) = desk.order(txid)["trades"]
    (trade,) = desk.call("QueryTrades", txid=trade_id, ledgers="true").values()
    assert (trade["ordertxid"], trade["pair"]) == (txid, "XXBTZUSD")
    assert (trade["type"], trade["ordertype"], trade["vol"], trade["maker"]) == ("buy", "market", "0.10000000", False)
    assert trade["time"] == START_S
    entries = desk.call("QueryLedgers", id=",".join(trade["ledgers"]))
    assert {row["refid"] for row in entries.values()} == {trade_id}
    amounts = {row["asset"]: (D(row["amount"]), D(row["fee"]), D(row["balance"])) for row in entries.values()}
    balances = desk.accounts["MASTER"].balances
    assert amounts == {
        "XXBT": (D("0.1"), 0, balances["XXBT"]),
        "ZUSD": (-D(trade["cost"]), D(trade["fee"]), balances["ZUSD"]),
    }
    assert "ledgers" not in desk.call("QueryTrades", txid=trade_id)[trade_id]


def test_trades_and_ledgers_are_filtered(desk):
    buy(desk, 2)
    assert desk.call("TradesHistory", type="closed position")["count"] == 0
    assert desk.call("TradesHistory", type="no position")["count"] == 2
    assert desk.said("TradesHistory", type="mine") == "EGeneral:Invalid arguments:type"
    assert {row["asset"] for row in desk.call("Ledgers", asset="BTC")["ledger"].values()} == {"XXBT"}
    assert desk.call("Ledgers", asset="XBT,USD", type="trade")["count"] == 4
    assert desk.call("Ledgers", type="deposit")["count"] == 0
    assert desk.said("Ledgers", asset="NIJA") == "EQuery:Unknown asset"


@pytest.mark.parametrize(
    ("method", "field", "error"),
    [("QueryTrades", "txid", "EQuery:Unknown trade"), ("QueryLedgers", "id", "EQuery:Unknown ledger")],
)
def test_queries_want_one_to_twenty_ids(desk, method, field, error):
    assert desk.said(method, **{field: "TAAAAA-AAAAA-AAAAAA"}) == error
    assert desk.said(method) == "EGeneral:Invalid arguments"
    assert desk.said(method, **{field: ",".join(["T"] * 21)}) == "EGeneral:Invalid arguments"


def test_an_order_may_be_hidden_from_look_ups_for_a_while(desk):
    resting = desk.place(price="50000", cl_ord_id="mine")
    filled = desk.place(ordertype="market")
    account = desk.accounts["MASTER"]
    trade = account.order(filled).trades[0]
    for txid in (resting, filled):
        account.order(txid).visible_ns = desk.now_ns + 40 * NS_PER_S
    assert desk.call("OpenOrders")["open"] == desk.call("OpenOrders", cl_ord_id="mine")["open"] == {}
    assert desk.call("ClosedOrders") == {"closed": {}, "count": 0}
    assert desk.call("TradesHistory") == {"trades": {}, "count": 0}
    assert desk.said("QueryOrders", txid=f"{resting},{filled}") == "EOrder:Unknown order"
    assert desk.said("QueryTrades", txid=trade) == "EQuery:Unknown trade"
    assert desk.said("OrderAmends", order_id=resting) == "EOrder:Unknown order"
    desk.after(40)
    assert list(desk.call("OpenOrders", cl_ord_id="mine")["open"]) == [resting]
    assert list(desk.call("ClosedOrders")["closed"]) == [filled]
    assert list(desk.call("TradesHistory")["trades"]) == [trade]
    assert set(desk.call("QueryOrders", txid=f"{resting},{filled}")) == {resting, filled}


def test_trade_volume_and_trade_balance(desk):
    txid = desk.place(ordertype="market")
    cost = D(desk.order(txid)["cost"])
    volume = desk.call("TradeVolume", pair="XBTUSD")
    assert (volume["currency"], D(volume["volume"])) == ("ZUSD", cost)
    assert volume["fees"]["XXBTZUSD"]["fee"] == "0.4000"
    assert volume["fees_maker"]["XXBTZUSD"] == {
        "fee": "0.2500", "minfee": "0.0600", "maxfee": "0.2500",
        "nextfee": "0.2000", "nextvolume": "10000.0000", "tiervolume": "0.0000",
    }  # fmt: skip
    assert set(desk.call("TradeVolume")) == {"currency", "volume"}
    desk.place(price="50000")
    assert desk.call("TradeBalance")["uv"] == "5012.5000"
    desk.after(31 * 86_400)
    assert D(desk.call("TradeVolume")["volume"]) == 0


# --- public ---


def test_public_data_says_the_same_when_asked_twice_and_agrees_with_itself():
    desk = Desk(volatility=0.0005)
    desk.after(1234)
    candles = desk.public("OHLC", pair="XBTUSD", interval="5")
    rows = candles["XXBTZUSD"]
    assert candles == desk.public("OHLC", pair="XBTUSD", interval="5")
    assert (len(rows), candles["last"]) == (720, rows[-2][0])
    assert all(row[0] % 300 == 0 and D(row[3]) <= D(row[1]) <= D(row[2]) for row in rows)
    ticker = desk.public("Ticker", pair="XBTUSD")["XXBTZUSD"]
    assert rows[-1][4] == ticker["c"][0]
    assert rows[-2][4] == rows[-1][1]
    assert D(ticker["l"][1]) <= D(ticker["c"][0]) <= D(ticker["h"][1])
    spread = desk.public("Spread", pair="XBTUSD")
    assert spread["XXBTZUSD"][-1] == [desk.now_ns // NS_PER_S, ticker["b"][0], ticker["a"][0]]
    assert spread["last"] == desk.now_ns // NS_PER_S
    assert desk.public("Spread", pair="XBTUSD", since=str(spread["last"]))["XXBTZUSD"] == [spread["XXBTZUSD"][-1]]


def test_the_public_tape_goes_on_from_where_one_stopped():
    desk = Desk(volatility=0.0005)
    desk.after(100)
    first = desk.public("Trades", pair="XBTUSD")
    assert len(first["XXBTZUSD"]) == 1000
    assert desk.public("Trades", pair="XBTUSD", since=first["last"]) == {"XXBTZUSD": [], "last": first["last"]}
    desk.after(60)
    txid = desk.place(ordertype="market")
    desk.after(1)
    later = desk.public("Trades", pair="XBTUSD", since=first["last"])["XXBTZUSD"]
    assert len(later) == 13  # one in five seconds, and the account's
    own = [row for row in later if row[1] == "0.10000000"]
    assert [(row[3], row[4], D(row[0])) for row in own] == [("b", "m", D(desk.order(txid)["price"]))]
    assert len({row[6] for row in later}) == len(later)
    assert len(desk.public("Trades", pair="XBTUSD", count="7")["XXBTZUSD"]) == 7


@pytest.mark.parametrize(
    ("method", "fields", "error"),
    [
        ("Depth", {}, "EGeneral:Invalid arguments:pair"),
        ("Depth", {"pair": "XBTUSD", "count": "501"}, "EGeneral:Invalid arguments:count"),
        ("OHLC", {"pair": "XBTUSD", "interval": "7"}, "EGeneral:Invalid arguments:interval"),
        ("Trades", {"pair": "NIJA"}, "EQuery:Unknown asset pair"),
        ("Spread", {"pair": "XBTUSD", "since": "x"}, "EGeneral:Invalid arguments:since"),
    ],
)
def test_public_calls_that_are_refused(desk, method, fields, error):
    from sealane.simulator.facts import Refused

    with pytest.raises(Refused, match=error):
        desk.public(method, **fields)


def test_positions_are_none_as_an_object_or_consolidated_as_a_list(desk):
    assert desk.call("OpenPositions") == desk.call("OpenPositions", docalcs="true") == {}
    assert desk.call("OpenPositions", consolidation="market") == []
