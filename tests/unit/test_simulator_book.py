"""The order book: who is met first, at which price, and what is left."""

from decimal import ROUND_HALF_EVEN  # said each time: some libraries change what is usual in the process
from decimal import Decimal as D

import pytest

from trading_desk import Desk

TICK = D("0.1")


@pytest.fixture
def desk():
    return Desk(accounts=3)


def test_a_large_order_walks_up_the_levels(desk):
    desk.fund("MASTER", ZUSD="1000000")
    asks = desk.market.books["XXBTZUSD"].depth("sell", 3)
    wanted = asks[0][1] + asks[1][1] + D("0.001")
    txid = desk.place(ordertype="market", volume=str(wanted))
    row = desk.order(txid)
    trades = desk.call("QueryTrades", txid=",".join(row["trades"]))
    assert [D(trade["price"]) for trade in trades.values()] == [price for price, _ in asks]
    assert [D(trade["vol"]) for trade in trades.values()] == [asks[0][1], asks[1][1], D("0.001")]
    assert D(row["vol_exec"]) == wanted
    exact = sum(price * volume for (price, _), volume in zip(asks, (asks[0][1], asks[1][1], D("0.001")), strict=True))
    assert D(row["cost"]) == exact.quantize(D("0.0001"), ROUND_HALF_EVEN)
    assert D(row["price"]) == (exact / wanted).quantize(D("0.00001"), ROUND_HALF_EVEN)
    desk.audit()


def test_a_limit_order_takes_what_it_may_and_rests_with_what_is_left(desk):
    desk.fund("MASTER", ZUSD="1000000")
    (price, first), (second_price, _) = desk.market.books["XXBTZUSD"].depth("sell", 2)
    txid = desk.place(volume=str(first + 1), price=str(price))
    row = desk.order(txid)
    assert (row["status"], D(row["vol_exec"])) == ("open", first)
    held = D(desk.call("BalanceEx")["ZUSD"]["hold_trade"])
    assert held == price + (price * D("0.0025")).quantize(D("0.0001"), ROUND_HALF_EVEN)
    assert (desk.bitcoin.bid, desk.bitcoin.ask) == (price, second_price)  # it stands where the made-up level was
    desk.call("CancelOrder", txid=txid)
    assert D(desk.call("BalanceEx")["ZUSD"]["hold_trade"]) == 0
    assert desk.bitcoin.ask == price
    desk.audit()


def test_accounts_trade_with_each_other_at_the_resting_price(desk):
    inside = desk.bitcoin.bid + TICK
    resting = desk.place(by="user1", price=str(inside), volume="0.3")
    taken = desk.order(desk.place(type="sell", ordertype="market", volume="0.2"))
    assert D(taken["price"]) == inside
    maker = desk.order(resting, by="user1")
    assert (maker["status"], D(maker["vol_exec"])) == ("open", D("0.2"))
    (made,) = desk.call("TradesHistory", by="user1")["trades"].values()
    (took,) = desk.call("TradesHistory")["trades"].values()
    assert (made["maker"], took["maker"]) == (True, False)
    assert D(made["fee"]) == (inside * D("0.2") * D("0.0025")).quantize(D("0.0001"), ROUND_HALF_EVEN)
    assert D(took["fee"]) == (inside * D("0.2") * D("0.004")).quantize(D("0.0001"), ROUND_HALF_EVEN)
    desk.audit()


def test_price_goes_before_time_and_time_before_all_else(desk):
    inside = desk.bitcoin.bid + TICK
    names = ("early", "late", "better")
    prices = (inside, inside, inside + TICK)
    for name, price, by in zip(names, prices, ("user1", "user2", "user1"), strict=True):
        desk.place(by=by, price=str(price), volume="0.01", cl_ord_id=name)
    met = []
    for _ in names:
        desk.place(type="sell", ordertype="market", volume="0.01")
        for by in ("user1", "user2"):
            met += [
                row["cl_ord_id"]
                for row in desk.call("ClosedOrders", by=by)["closed"].values()
                if row["cl_ord_id"] not in met
            ]
    assert met == ["better", "early", "late"]
    desk.audit()


def test_of_an_iceberg_only_a_part_stands_in_front(desk):
    inside = str(desk.bitcoin.bid + TICK)
    iceberg = desk.place(by="user1", ordertype="iceberg", volume="0.3", displayvol="0.1", price=inside)
    behind = desk.place(by="user2", volume="0.1", price=inside)
    assert desk.public("Depth", pair="XBTUSD", count="1")["XXBTZUSD"]["bids"][0][:2] == [f"{D(inside):.5f}", "0.200"]
    desk.place(type="sell", ordertype="market", volume="0.15")
    assert D(desk.order(iceberg, by="user1")["vol_exec"]) == D("0.1")
    assert D(desk.order(behind, by="user2")["vol_exec"]) == D("0.05")
    desk.place(type="sell", ordertype="market", volume="0.25")
    assert desk.order(iceberg, by="user1")["status"] == desk.order(behind, by="user2")["status"] == "closed"
    desk.audit()


@pytest.mark.parametrize(
    ("kind", "resting", "arriving"),
    [
        ("cancel-newest", "open", "canceled"),
        ("cancel-oldest", "canceled", "closed"),
        ("cancel-both", "canceled", "canceled"),
    ],
)
def test_an_account_does_not_trade_with_itself(desk, kind, resting, arriving):
    inside = str(desk.bitcoin.bid + TICK)
    old = desk.place(price=inside)
    new = desk.place(type="sell", ordertype="market", stptype=kind)
    assert (desk.order(old)["status"], desk.order(new)["status"]) == (resting, arriving)
    assert "Self trade prevention" in {desk.order(old).get("reason"), desk.order(new)["reason"]}
    desk.audit()


def test_a_market_order_does_not_run_away(desk):
    desk.fund("MASTER", ZUSD="100000000", XXBT="50000")
    best = desk.bitcoin.bid
    protected = desk.order(desk.place(type="sell", ordertype="market", volume="20000"))
    assert (protected["status"], protected["reason"]) == ("canceled", "Insufficient liquidity")
    narrow = Desk()
    narrow.fund("MASTER", USDC="100000000")
    row = narrow.order(narrow.place(pair="USDCUSD", type="sell", ordertype="market", volume="90000000"))
    assert (row["status"], row["reason"]) == ("canceled", "Market price protection")
    unprotected = narrow.order(
        narrow.place(pair="USDCUSD", type="sell", ordertype="market", volume="9000000", oflags="nompp")
    )
    assert unprotected["status"] == "closed"
    assert D(row["vol_exec"]) > 0
    assert best == desk.bitcoin.bid
    desk.audit()
    narrow.audit()


def test_depth_is_as_long_as_asked_for_and_never_crossed(desk):
    book = desk.public("Depth", pair="XBTUSD", count="10")["XXBTZUSD"]
    assert (len(book["asks"]), len(book["bids"])) == (10, 10)
    asks, bids = ([D(row[0]) for row in book[side]] for side in ("asks", "bids"))
    assert asks == sorted(asks)
    assert bids == sorted(bids, reverse=True)
    assert bids[0] < asks[0]
    assert len(desk.public("Depth", pair="XBTUSD")["XXBTZUSD"]["asks"]) == 100
    ticker = desk.public("Ticker", pair="XBTUSD")["XXBTZUSD"]
    assert (ticker["a"][0], ticker["b"][0]) == (book["asks"][0][0], book["bids"][0][0])
