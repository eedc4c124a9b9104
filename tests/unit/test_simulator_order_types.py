"""Every order type: what it takes to be accepted, when it goes off, what it then does."""

from decimal import ROUND_HALF_EVEN  # said each time: some libraries change what is usual in the process
from decimal import Decimal as D

import pytest

from trading_desk import START_NS, Desk

TICK = D("0.1")


class Moved(Desk):
    """A desk whose bitcoin price goes where the test says, a second at a time."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.moves = {}
        path = self.market.paths["XXBTZUSD"]
        start = path.start_ticks
        path.ticks = lambda second: (
            start + max(((at, change) for at, change in self.moves.items() if at <= second), default=(0, 0))[1]
        )
        path.first = lambda after, until, low, high: next(
            (s for s in range(after + 1, until + 1) if not low < path.ticks(s) < high), None
        )

    def move(self, ticks):
        """The price goes to `ticks` from where it started, in the next second."""
        self.moves[self.market.second + 1] = ticks
        self.after(1)


@pytest.fixture
def desk():
    return Moved()


def near(desk, ticks):
    return str(desk.bitcoin.last + ticks * TICK)


# --- triggers ---


@pytest.mark.parametrize(
    ("ordertype", "side", "trigger", "away", "there"),
    [
        ("stop-loss", "sell", -100, -99, -100),
        ("stop-loss", "buy", 100, 99, 100),
        ("take-profit", "sell", 100, 99, 101),
        ("take-profit", "buy", -100, -99, -101),
    ],
)
def test_a_trigger_waits_for_its_price_and_then_trades_at_the_market(desk, ordertype, side, trigger, away, there):
    txid = desk.place(type=side, ordertype=ordertype, price=near(desk, trigger))
    desk.move(away)
    assert desk.order(txid)["status"] == "open"
    desk.audit()
    desk.move(there)
    row = desk.order(txid)
    assert row["status"] == "closed"
    assert D(row["price"]) == (desk.bitcoin.ask if side == "buy" else desk.bitcoin.bid)
    assert row["misc"] == ("touched" if ordertype == "take-profit" else "stopped")
    assert row["closetm"] == (START_NS // 10**9) + desk.market.second
    desk.audit()


def test_a_trigger_that_is_met_already_goes_off_at_once(desk):
    assert desk.order(desk.place(type="sell", ordertype="stop-loss", price=near(desk, 50)))["status"] == "closed"


@pytest.mark.parametrize(("ordertype", "trigger"), [("stop-loss-limit", -100), ("take-profit-limit", 100)])
def test_a_triggered_limit_order_rests_at_its_limit(desk, ordertype, trigger):
    limit = near(desk, trigger + 40)
    txid = desk.place(type="sell", ordertype=ordertype, price=near(desk, trigger), price2=limit)
    kind = ordertype.removesuffix("-limit").replace("-", " ")
    text = f"sell 0.10000000 XBTUSD @ {kind} {near(desk, trigger)} -> limit {limit}"
    assert desk.order(txid)["descr"]["order"] == text
    desk.move(trigger)
    row = desk.order(txid)
    assert (row["status"], row["vol_exec"], D(row["limitprice"])) == ("open", "0.00000000", D(limit))
    desk.audit()
    desk.move(trigger + 45)  # the best bid is 5 ticks below the price
    row = desk.order(txid)
    assert (row["status"], D(row["price"])) == ("closed", D(limit))
    (trade,) = desk.call("TradesHistory")["trades"].values()
    assert trade["maker"] is True
    desk.audit()


@pytest.mark.parametrize(("side", "sign"), [("sell", 1), ("buy", -1)])
def test_a_trailing_stop_follows_the_price_one_way(desk, side, sign):
    txid = desk.place(type=side, ordertype="trailing-stop", price="+10")
    start = desk.bitcoin.last
    assert desk.order(txid)["descr"]["order"] == f"{side} 0.10000000 XBTUSD @ trailing stop +10.0"
    desk.move(sign * 50)
    desk.move(sign * -49)  # 9.9 from the best price: not yet
    row = desk.order(txid)
    assert (row["status"], D(row["stopprice"])) == ("open", start + sign * (5 - 10))
    desk.move(sign * -50)
    assert desk.order(txid)["status"] == "closed"
    desk.audit()


def test_a_trailing_stop_limit_carries_its_limit_along(desk):
    txid = desk.place(type="sell", ordertype="trailing-stop-limit", price="+1%", price2="-0")
    start = desk.bitcoin.last
    desk.move(1000)
    best = start + 100
    trigger = ((best * D("0.99")) / TICK).quantize(D(1), ROUND_HALF_EVEN) * TICK
    assert D(desk.order(txid)["stopprice"]) == trigger
    desk.move(int((trigger - start) / TICK))
    row = desk.order(txid)
    assert (row["status"], D(row["limitprice"])) == ("open", trigger)
    assert row["descr"]["order"].endswith("@ trailing stop +1.0000% -> limit -0.0")
    desk.audit()


def test_a_stop_that_can_no_longer_be_paid_ends(desk):
    desk.fund("MASTER", ZUSD="5970")
    txid = desk.place(ordertype="stop-loss", price=near(desk, 10))
    desk.move(2000)  # the price jumps over the trigger, further than the hold reaches
    row = desk.order(txid)
    assert (row["status"], row["reason"], row["vol_exec"]) == ("canceled", "Insufficient funds", "0.00000000")
    desk.audit()


# --- resting orders ---


def test_a_resting_order_is_filled_when_the_price_comes_to_it(desk):
    txid = desk.place(price=near(desk, -100))
    desk.move(-104)  # the best ask is 5 ticks above the price
    assert desk.order(txid)["status"] == "open"
    desk.move(-105)
    row = desk.order(txid)
    assert row["status"] == "closed"
    assert D(row["fee"]) == (D(row["cost"]) * D("0.0025")).quantize(D("0.0001"), ROUND_HALF_EVEN)
    desk.audit()


def test_a_large_resting_order_is_filled_in_parts_as_long_as_the_price_stays(desk):
    desk.fund("MASTER", ZUSD="10000000")
    txid = desk.place(price=near(desk, -100), volume="3")
    desk.move(-105)
    filled = [D(desk.order(txid)["vol_exec"])]
    while desk.order(txid)["status"] == "open" and len(filled) < 20:
        desk.after(1)
        filled.append(D(desk.order(txid)["vol_exec"]))
    assert len(filled) > 3
    assert filled == sorted(set(filled))
    assert filled[-1] == 3
    assert D(desk.order(txid)["cost"]) == 3 * D(desk.order(txid)["price"])  # the parts cost what the whole would
    desk.audit()


# --- relative prices, holds, fees ---


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"price": "-100"}, -100),
        ({"price": "+3"}, 3),
        ({"price": "#100"}, -100),
        ({"price": "#100", "type": "sell"}, 100),
        ({"price": "-1%"}, "-1%"),
        ({"price": "#100", "type": "sell", "ordertype": "stop-loss"}, -100),
        ({"price": "#100", "ordertype": "stop-loss"}, 100),
        ({"price": "#100", "ordertype": "take-profit"}, -100),
        ({"price": "#100", "type": "sell", "ordertype": "take-profit"}, 100),
    ],
)
def test_relative_prices(desk, fields, expected):
    last = desk.bitcoin.last
    price = D(desk.order(desk.place(**fields))["descr"]["price"])
    if expected == "-1%":
        assert abs(price - last * D("0.99")) <= TICK / 2
    else:
        assert price == last + expected
    assert price % TICK == 0


def test_a_fee_in_base_leaves_the_quote_side_alone(desk):
    before = dict(desk.accounts["MASTER"].balances)
    row = desk.order(desk.place(ordertype="market", oflags="fcib"))
    after = desk.accounts["MASTER"].balances
    assert after["ZUSD"] == before["ZUSD"] - D(row["cost"])
    assert after["XXBT"] == before["XXBT"] + D("0.1") - D("0.0004")
    assert D(row["fee"]) == D("0.0004")
    sold = desk.order(desk.place(type="sell", price=near(desk, 100), oflags="fcib,post"))
    assert sold["oflags"] == "fcib,post"
    assert desk.accounts["MASTER"].held["XXBT"] == D("0.1") + D("0.00025")
    desk.audit()


def test_a_volume_in_quote(desk):
    row = desk.order(desk.place(ordertype="market", volume="1000", oflags="viqc"))
    spent = D(row["vol_exec"]) * desk.bitcoin.ask
    assert (row["status"], row["vol"]) == ("closed", "1000.00000000")
    assert 1000 - desk.bitcoin.ask * D("0.00000001") < spent <= 1000
    desk.audit()


# --- time in force, start, expiry ---


def test_immediate_or_cancel_takes_what_is_there_and_fill_or_kill_all_or_nothing(desk):
    desk.fund("MASTER", ZUSD="10000000")
    price, first = desk.market.books["XXBTZUSD"].depth("sell", 1)[0]
    partly = desk.order(desk.place(price=str(price), volume=str(first + 1), timeinforce="IOC"))
    assert (partly["status"], D(partly["vol_exec"])) == ("canceled", first)
    killed = desk.order(desk.place(price=str(price), volume=str(first + 1), timeinforce="FOK"))
    assert (killed["status"], D(killed["vol_exec"])) == ("canceled", 0)
    filled = desk.order(desk.place(price=str(price), volume=str(first), timeinforce="FOK"))
    assert filled["status"] == "closed"
    desk.audit()


@pytest.mark.parametrize("written", ["+30", str(START_NS // 10**9 + 30)])
def test_an_order_expires_at_its_time(desk, written):
    txid = desk.place(price=near(desk, -100), timeinforce="GTD", expiretm=written)
    assert desk.order(txid)["expiretm"] == START_NS // 10**9 + 30
    desk.after(29)
    assert desk.order(txid)["status"] == "open"
    desk.after(1000)
    row = desk.order(txid)
    assert (row["status"], row["closetm"]) == ("expired", START_NS // 10**9 + 30)
    desk.audit()


def test_what_was_due_earlier_happens_earlier(desk):
    """An order that expires at second 10 is not filled by the price of second 11, however late anybody asks."""
    gone = desk.place(price=near(desk, -100), expiretm="+10")
    kept = desk.place(price=near(desk, -100), expiretm="+20")
    desk.moves[11] = -200
    desk.after(3600)
    assert (desk.order(gone)["status"], desk.order(kept)["status"]) == ("expired", "closed")
    desk.audit()


@pytest.mark.parametrize("ordertype", ["market", "limit"])
def test_an_order_that_starts_later_is_pending_until_then(desk, ordertype):
    txid = desk.place(ordertype=ordertype, price=near(desk, 10), starttm="+60")
    row = desk.order(txid)
    assert (row["status"], row["starttm"]) == ("pending", START_NS // 10**9 + 60)
    assert list(desk.call("OpenOrders")["open"]) == [txid]
    assert desk.accounts["MASTER"].held["ZUSD"] > 0
    desk.audit()
    desk.after(60)
    assert desk.order(txid)["status"] == "closed"
    desk.audit()


def test_a_post_only_order_that_would_take_when_it_starts_ends(desk):
    txid = desk.place(price=near(desk, 0), oflags="post", starttm="+10")
    desk.move(-100)
    desk.after(10)
    assert (desk.order(txid)["status"], desk.order(txid)["reason"]) == ("canceled", "Post only order")
    desk.audit()


# --- what is refused ---


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"ordertype": "stop-loss"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "stop-loss-limit", "price": "50000"}, "EGeneral:Invalid arguments:price2"),
        ({"price": "50000", "price2": "50000"}, "EGeneral:Invalid arguments:price2"),
        ({"ordertype": "trailing-stop", "price": "50000"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "trailing-stop", "price": "-5"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "trailing-stop", "price": "+0"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "trailing-stop", "price": "+200%", "type": "sell"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "trailing-stop-limit", "price": "+5", "price2": "5"}, "EGeneral:Invalid arguments:price2"),
        ({"ordertype": "trailing-stop-limit", "price": "+5", "price2": "#5"}, "EGeneral:Invalid arguments:price2"),
        ({"price": "-100%"}, "EGeneral:Invalid arguments:price"),
        ({"price": "+5e3"}, "EGeneral:Invalid arguments:price"),
        ({"price": "5%"}, "EGeneral:Invalid arguments:price"),
        (
            {"ordertype": "stop-loss", "price": "50000.01"},
            "EOrder:Invalid price:XBTUSD price can only be specified up to 1 decimals.",
        ),
        ({"ordertype": "iceberg", "price": "50000"}, "EGeneral:Invalid arguments:displayvol"),
        ({"ordertype": "iceberg", "price": "50000", "displayvol": "0.006"}, "EGeneral:Invalid arguments:displayvol"),
        ({"ordertype": "iceberg", "price": "50000", "displayvol": "0.2"}, "EGeneral:Invalid arguments:displayvol"),
        ({"price": "50000", "displayvol": "0.05"}, "EGeneral:Invalid arguments:displayvol"),
        ({"price": "50000", "trigger": "index"}, "EGeneral:Invalid arguments:trigger"),
        ({"ordertype": "stop-loss", "price": "50000", "trigger": "mark"}, "EGeneral:Invalid arguments:trigger"),
        ({"ordertype": "settle-position"}, "EOrder:Unknown position"),
        ({"ordertype": "market", "oflags": "post"}, "EGeneral:Invalid arguments:oflags"),
        ({"price": "50000", "oflags": "fcib,fciq"}, "EGeneral:Invalid arguments:oflags"),
        ({"price": "50000", "oflags": "fancy"}, "EGeneral:Invalid arguments:oflags"),
        ({"ordertype": "market", "type": "sell", "oflags": "viqc"}, "EGeneral:Invalid arguments:viqc"),
        ({"ordertype": "market", "volume": "0.4", "oflags": "viqc"}, "EOrder:Order minimum not met"),
        ({"price": "50000", "timeinforce": "GTD"}, "EGeneral:Invalid arguments:expiretm"),
        ({"price": "50000", "expiretm": "+4"}, "EGeneral:Invalid arguments:expiretm"),
        ({"price": "50000", "expiretm": "1763717999"}, "EGeneral:Invalid arguments:expiretm"),
        ({"price": "50000", "timeinforce": "IOC", "oflags": "post"}, "EGeneral:Invalid arguments:timeinforce"),
        ({"ordertype": "stop-loss", "price": "50000", "timeinforce": "IOC"}, "EGeneral:Invalid arguments:timeinforce"),
        ({"price": "50000", "close": {"ordertype": "limit"}}, "EGeneral:Invalid arguments:close[ordertype]"),
        ({"price": "50000", "close[price]": "1"}, "EGeneral:Invalid arguments:close[price]"),
        ({"price": "50000", "leverage": "5"}, "EGeneral:Invalid arguments:leverage"),
        ({"price": "50000", "stptype": "none"}, "EGeneral:Invalid arguments:stptype"),
        ({"price": "50000", "starttm": "-5"}, "EGeneral:Invalid arguments:starttm"),
        ({"ordertype": "stop-loss", "price": "+0.1%", "volume": "1.8"}, "EOrder:Insufficient funds"),
    ],
)
def test_orders_that_are_refused(desk, fields, error):
    before = desk.call("BalanceEx")
    wanted = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.1"} | fields
    assert desk.said("AddOrder", **wanted) == error
    assert desk.call("BalanceEx") == before
    assert desk.call("OpenOrders")["open"] == {}
    assert [(touch.what, touch.pair) for touch in desk_touched(desk, wanted)] == [("add", "XXBTZUSD")]


def desk_touched(desk, wanted):
    """A refused order counts all the same."""
    desk.said("AddOrder", **wanted)
    return desk.touched
