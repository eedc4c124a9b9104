"""The life of an order over HTTP, and where the money goes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from sealane.simulator import Probe, Simulator, Switches

UUID = "6d1b345e-2821-40e2-ad83-4ecb18a06876"


@pytest.fixture
def kraken() -> Iterator[Simulator]:
    with Simulator(seed=3) as simulator:
        yield simulator


@pytest.fixture
def probe(kraken: Simulator) -> Iterator[Probe]:
    with Probe(kraken.url, kraken.accounts[0]) as client:
        yield client


def order(**changes: Any) -> dict[str, Any]:
    usual = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "25000.1"}
    return {name: value for name, value in (usual | changes).items() if value is not None}


def place(probe: Probe, **changes: Any) -> str:
    answer = probe.private("AddOrder", **order(**changes))
    assert answer["error"] == []
    return str(answer["result"]["txid"][0])


def said(probe: Probe, **changes: Any) -> str:
    return str(probe.private("AddOrder", **order(**changes))["error"][0])


def balances(probe: Probe) -> dict[str, Decimal]:
    return {asset: Decimal(amount) for asset, amount in probe.private("Balance")["result"].items()}


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_a_limit_order_rests_holds_funds_and_can_be_cancelled(probe: Probe) -> None:
    before = balances(probe)
    answer = probe.private("AddOrder", **order())
    assert answer["result"]["descr"] == {"order": "buy 0.10000000 XBTUSD @ limit 25000.1"}
    (txid,) = answer["result"]["txid"]
    assert [len(part) for part in txid.split("-")] == [6, 5, 6]
    row = probe.private("OpenOrders")["result"]["open"][txid]
    assert (row["status"], row["vol"], row["vol_exec"]) == ("open", "0.10000000", "0.00000000")
    assert row["descr"]["price"] == "25000.1"
    hold = Decimal(probe.private("BalanceEx")["result"]["ZUSD"]["hold_trade"])
    assert hold == Decimal("2500.01") + Decimal("6.25")  # the cost, and the maker fee rounded to four digits
    assert probe.private("CancelOrder", txid=txid)["result"] == {"count": 1}
    assert probe.private("CancelOrder", txid=txid)["error"] == ["EOrder:Unknown order"]
    closed = probe.private("ClosedOrders")["result"]
    assert (closed["count"], closed["closed"][txid]["status"]) == (1, "canceled")
    assert closed["closed"][txid]["reason"] == "User requested"
    assert balances(probe) == before
    assert probe.private("BalanceEx")["result"]["ZUSD"]["hold_trade"] == "0.0000"


@pytest.mark.parametrize(("side", "sign"), [("buy", 1), ("sell", -1)])
def test_a_market_order_fills_at_once_and_moves_balances(kraken: Simulator, probe: Probe, side: str, sign: int) -> None:
    before = balances(probe)
    txid = place(probe, type=side, ordertype="market", price=None)
    after = balances(probe)
    quote = kraken.state()["prices"]["XXBTZUSD"]
    cost = Decimal(quote["ask" if side == "buy" else "bid"]) * Decimal("0.1")
    assert after["XXBT"] - before["XXBT"] == sign * Decimal("0.1")
    assert after["ZUSD"] - before["ZUSD"] == (-sign * cost - cost * Decimal("0.004")).quantize(Decimal("0.0001"))
    row = probe.private("QueryOrders", txid=txid, trades="true")["result"][txid]
    assert (row["status"], row["vol_exec"], row["descr"]["order"]) == (
        "closed",
        "0.10000000",
        f"{side} 0.10000000 XBTUSD @ market",
    )
    assert len(row["trades"]) == 1
    assert "trades" not in probe.private("QueryOrders", txid=txid)["result"][txid]
    assert Decimal(row["cost"]) == cost


def test_a_crossing_limit_order_fills_at_the_better_price(kraken: Simulator, probe: Probe) -> None:
    ask = Decimal(kraken.state()["prices"]["XXBTZUSD"]["ask"])
    txid = place(probe, price=str(ask + 1000))
    row = probe.private("ClosedOrders")["result"]["closed"][txid]
    assert (row["status"], Decimal(row["price"])) == ("closed", ask)


def test_validate_places_nothing(probe: Probe) -> None:
    for word in ("true", "True", "1"):
        result = probe.private("AddOrder", **order(validate=word))["result"]
        assert result == {"descr": {"order": "buy 0.10000000 XBTUSD @ limit 25000.1"}}
    assert probe.private("OpenOrders")["result"]["open"] == {}
    assert "txid" in probe.private("AddOrder", **order(validate="False"))["result"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"pair": "NIJAUSD"}, "EQuery:Unknown asset pair"),
        ({"pair": None}, "EGeneral:Invalid arguments:pair"),
        ({"type": "hold"}, "EGeneral:Invalid arguments:type"),
        ({"ordertype": "iceberg"}, "EGeneral:Invalid arguments:displayvol"),
        ({"ordertype": "settle-position"}, "EOrder:Unknown position"),
        ({"ordertype": "peg"}, "EGeneral:Invalid arguments:ordertype"),
        ({"volume": None}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "0.123456789"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "1e-3"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "0.00004"}, "EOrder:Order minimum not met"),
        ({"price": "5", "volume": "0.05"}, "EOrder:Cost minimum not met"),
        ({"price": None}, "EGeneral:Invalid arguments:price"),
        ({"price": "25000.12"}, "EOrder:Invalid price:XBTUSD price can only be specified up to 1 decimals."),
        ({"volume": "50"}, "EOrder:Insufficient funds"),
        ({"type": "sell", "price": "90000", "volume": "5.1"}, "EOrder:Insufficient funds"),
        ({"price": "90000", "oflags": "post"}, "EOrder:Post only order"),
        ({"oflags": "viqc"}, "EGeneral:Invalid arguments:viqc"),
        ({"leverage": "2:1"}, "EGeneral:Invalid arguments:leverage"),
        ({"reduce_only": "true"}, "EOrder:Reduce only:No position exists"),
        ({"timeinforce": "NOW"}, "EGeneral:Invalid arguments:timeinforce"),
        ({"close[ordertype]": "limit"}, "EGeneral:Invalid arguments:close[ordertype]"),
        ({"userref": "7", "cl_ord_id": "a"}, "EGeneral:Invalid arguments"),
        ({"userref": str(2**31)}, "EGeneral:Invalid arguments:userref"),
        ({"cl_ord_id": "x" * 19}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"cl_ord_id": "é"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"deadline": "soon"}, "EGeneral:Invalid arguments:deadline"),
        ({"deadline": "2026-01-01T00:00:00"}, "EGeneral:Invalid arguments:deadline"),
    ],
)
def test_orders_that_are_refused(probe: Probe, changes: dict[str, Any], error: str) -> None:
    before = balances(probe)
    assert said(probe, **changes) == error
    assert balances(probe) == before
    assert probe.private("OpenOrders")["result"]["open"] == {}


def test_resting_orders_hold_what_later_ones_cannot_spend(probe: Probe) -> None:
    place(probe, volume="3.9")
    assert said(probe, volume="0.2") == "EOrder:Insufficient funds"
    place(probe, type="sell", price="90000", volume="5")
    assert said(probe, type="sell", ordertype="market", price=None) == "EOrder:Insufficient funds"


@pytest.mark.parametrize("timeinforce", ["IOC", "FOK"])
def test_orders_that_will_not_wait(probe: Probe, timeinforce: str) -> None:
    txid = place(probe, timeinforce=timeinforce)
    assert probe.private("QueryOrders", txid=txid)["result"][txid]["status"] == "canceled"
    assert probe.private("OpenOrders")["result"]["open"] == {}


def test_a_deadline_in_the_past_and_in_time(probe: Probe) -> None:
    assert said(probe, deadline=in_seconds(-1)) == "EService:Deadline elapsed"
    assert said(probe, deadline=in_seconds(3600)) == "EGeneral:Invalid arguments:deadline"
    place(probe, deadline=in_seconds(30))
    place(probe, deadline=in_seconds(30).replace("+00:00", "Z"))


def test_a_deadline_that_passes_on_the_way(kraken: Simulator, probe: Probe) -> None:
    kraken.add_fault("delay", methods=["AddOrder"], delay_s=0.3)
    assert said(probe, deadline=in_seconds(0.2)) == "EService:Deadline elapsed"


@pytest.mark.parametrize("client_id", [UUID, UUID.replace("-", ""), "eighteen-chars-18c"])
def test_a_client_id_finds_its_order(probe: Probe, client_id: str) -> None:
    txid = place(probe, cl_ord_id=client_id)
    place(probe, cl_ord_id="another")
    found = probe.private("OpenOrders", cl_ord_id=client_id)["result"]["open"]
    assert list(found) == [txid]
    assert found[txid]["cl_ord_id"] == client_id
    assert probe.private("CancelOrder", cl_ord_id=client_id)["result"] == {"count": 1}
    assert list(probe.private("ClosedOrders", cl_ord_id=client_id)["result"]["closed"]) == [txid]
    assert probe.private("CancelOrder", cl_ord_id=client_id)["error"] == ["EOrder:Unknown order"]


def test_a_client_id_is_unique_among_open_orders_only(probe: Probe) -> None:
    place(probe, cl_ord_id="mine")
    assert said(probe, cl_ord_id="mine") == "EOrder:Duplicate cl_ord_id"
    probe.private("CancelOrder", cl_ord_id="mine")
    for _ in range(2):  # filled at once, so the same id places a second order
        place(probe, ordertype="market", price=None, cl_ord_id="mine")
    found = probe.private("ClosedOrders", cl_ord_id="mine")["result"]
    assert (found["count"], len(found["closed"])) == (3, 3)


def test_the_error_for_a_repeated_client_id_is_a_switch() -> None:
    switches = Switches(duplicate_client_id_error="EOrder:Something else")
    with Simulator(switches=switches) as kraken, Probe(kraken.url, kraken.accounts[0]) as probe:
        place(probe, cl_ord_id="mine")
        assert said(probe, cl_ord_id="mine") == "EOrder:Something else"


def test_a_userref_groups_orders_and_guards_none(probe: Probe) -> None:
    group = {place(probe, userref="7") for _ in range(2)}
    place(probe, userref="8")
    assert set(probe.private("OpenOrders", userref="7")["result"]["open"]) == group
    assert probe.private("CancelOrder", txid="7")["result"] == {"count": 2}
    assert probe.private("CancelOrder", userref="8")["result"] == {"count": 1}
    assert probe.private("CancelOrder", txid="9")["error"] == ["EOrder:Unknown order"]
    assert probe.private("CancelOrder")["error"] == ["EGeneral:Invalid arguments:txid"]


def test_closed_orders_come_in_pages_newest_first(probe: Probe) -> None:
    placed = [place(probe, ordertype="market", price=None, volume="0.001") for _ in range(53)]
    first, second = (probe.private("ClosedOrders", ofs=ofs)["result"] for ofs in (0, 50))
    assert (first["count"], second["count"]) == (53, 53)
    assert [*first["closed"], *second["closed"]] == placed[::-1]
    assert "count" not in probe.private("ClosedOrders", without_count="true")["result"]
    assert probe.private("ClosedOrders", start="99999999999")["result"]["count"] == 0
    assert probe.private("ClosedOrders", end="99999999999", closetime="close")["result"]["count"] == 53
    assert probe.private("ClosedOrders", closetime="noon")["error"] == ["EGeneral:Invalid arguments:closetime"]


def test_query_orders_wants_one_to_fifty_ids(probe: Probe) -> None:
    one, two = place(probe), place(probe)
    assert set(probe.private("QueryOrders", txid=f"{one},{two}")["result"]) == {one, two}
    assert probe.private("QueryOrders", txid="OAAAAA-AAAAA-AAAAAA")["error"] == ["EOrder:Unknown order"]
    assert probe.private("QueryOrders")["error"] == ["EGeneral:Invalid arguments"]
    assert probe.private("QueryOrders", txid=",".join([one] * 51))["error"] == ["EGeneral:Invalid arguments"]


def test_the_same_seed_gives_the_same_story() -> None:
    def story(seed: int) -> list[Any]:
        with Simulator(seed=seed) as kraken, Probe(kraken.url, kraken.accounts[0]) as probe:
            told = [probe.private("AddOrder", **order(ordertype=kind)) for kind in ("limit", "market")]
            return [*told, probe.private("Balance"), probe.public("Ticker"), kraken.control.accounts()["accounts"]]

    assert story(5) == story(5) != story(6)


def test_a_reset_begins_prices_and_books_anew() -> None:
    with Simulator(seed=5, volatility=0.01) as kraken, Probe(kraken.url, kraken.accounts[0]) as probe:
        start = kraken.exchange.market.price(kraken.exchange.market.pairs["XXBTZUSD"], 0)
        place(probe)
        kraken.reset()
        assert kraken.exchange.market.start_ns > 0
        assert kraken.exchange.market.price(kraken.exchange.market.pairs["XXBTZUSD"], 0) == start
        assert kraken.exchange.market.books["XXBTZUSD"].resting["buy"] == []
        assert probe.private("OpenOrders")["result"]["open"] == {}


def test_a_batch_wants_json(probe: Probe) -> None:
    rows = [order(pair=None), order(pair=None, price="26000")]
    assert probe.private("AddOrderBatch", pair="XBTUSD", orders=str(rows))["error"] == [
        "EGeneral:Invalid arguments:orders"
    ]
    placed = probe.private("AddOrderBatch", as_json=True, pair="XBTUSD", orders=rows)["result"]["orders"]
    txids = [row["txid"] for row in placed]
    assert probe.private("CancelOrderBatch", as_json=True, orders=txids)["result"] == {"count": 2}
