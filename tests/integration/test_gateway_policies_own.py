"""Virtual keys of one account side by side: each sees to its own orders."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gateway_bench import LIMIT, Bot, Key, Make, OnThread

from sealane.runtime.clock import SYSTEM_CLOCK

UNKNOWN = {"error": ["EOrder:Unknown order"]}
LANE_BUSY_S = 0.3


# --- own orders -------------------------------------------------------------------------------------------------------


def refused_everywhere(bot: Key, calls: list[tuple[str, dict[str, Any]]]) -> None:
    for method, fields in calls:
        before = bot.reached(method)
        assert bot.ask(method, **fields) == UNKNOWN, (method, fields)
        assert "not one that this virtual key placed" in bot.why
        assert bot.reached(method) == before, (method, fields)


def naming(txid: str, client_id: str, userref: int) -> list[tuple[str, dict[str, Any]]]:
    """Every way to name an order, in every method that takes one."""
    return [
        ("CancelOrder", {"txid": txid}),
        ("CancelOrder", {"cl_ord_id": client_id}),
        ("CancelOrder", {"txid": userref}),
        ("CancelOrder", {"txid": str(userref)}),
        ("CancelOrderBatch", {"orders": [txid]}),
        ("CancelOrderBatch", {"cl_ord_ids": [client_id]}),
        ("AmendOrder", {"txid": txid, "order_qty": "0.02"}),
        ("AmendOrder", {"cl_ord_id": client_id, "order_qty": "0.02"}),
        ("EditOrder", {"txid": txid, "pair": "XBTUSD", "volume": "0.02"}),
    ]


def test_another_key_s_orders_are_left_alone_however_they_are_named(make: Make) -> None:
    owner, other = make("owner"), make("other")
    txid, by_ref = owner.place(cl_ord_id="theirs"), owner.place(userref=77)
    mine = other.place()
    refused_everywhere(other, naming(txid, "theirs", 77))
    refused_everywhere(other, [("CancelOrderBatch", {"orders": [mine, txid]})])
    refused_everywhere(other, [("CancelOrder", {"txid": txid, "cl_ord_id": "theirs"}), ("CancelOrder", {})])
    assert owner.open() == {txid, by_ref, mine}


def test_orders_that_no_key_placed_are_left_alone(make: Make, desk: OnThread) -> None:
    """The account's owner trades beside the bots."""
    bot = make()
    real = next(one for one in desk.sim.accounts if one.name == bot.on)
    with Bot(desk.sim.url, real) as owner:
        nonce = SYSTEM_CLOCK.wall_ns()
        (txid,) = owner.private("AddOrder", nonce=nonce, **LIMIT, cl_ord_id="by-hand")["result"]["txid"]
    refused_everywhere(bot, naming(txid, "by-hand", 3))
    assert bot.ask("CancelAll")["result"]["count"] == 0
    assert bot.open() == {txid}


def test_its_own_orders_by_every_name(make: Make) -> None:
    bot = make()
    bot.place(cl_ord_id="mine-1")
    assert bot.allow("CancelOrder", cl_ord_id="mine-1")["count"] == 1
    assert bot.allow("CancelOrder", txid=bot.place())["count"] == 1
    for _ in range(2):
        bot.place(userref=77, price=f"2500{_}")
    assert bot.ask("CancelOrder", txid=77)["result"]["count"] == 2
    assert bot.allow("CancelOrderBatch", orders=[bot.place(), bot.place()])["count"] == 2
    amended = bot.place(cl_ord_id="mine-2")
    assert bot.allow("AmendOrder", cl_ord_id="mine-2", order_qty="0.02")
    assert bot.allow("AmendOrder", txid=amended, order_qty="0.03")
    edited = bot.allow("EditOrder", txid=bot.place(userref=8), pair="XBTUSD", volume="0.02")["txid"]
    assert bot.allow("CancelOrder", txid=edited)["count"] == 1
    assert bot.open() == {amended}


def test_cancel_all_is_of_its_own(make: Make) -> None:
    """Kraken's own would take the whole account's."""
    owner, other = make("owner"), make("other")
    theirs = {owner.place(), owner.place(userref=5)}
    for fields in ({}, {"userref": 5}, {"cl_ord_id": "mine"}):
        other.place(**fields)
    assert other.ask("CancelAll")["result"] == {"count": 3}
    assert owner.open() == theirs
    assert other.reached("CancelAll") == 0
    assert make("whole", own_orders=False).allow("CancelAll")["count"] == 2
    assert owner.open() == set()


def test_a_key_of_all_orders_cancels_another_s(make: Make) -> None:
    owner, whole = make("owner"), make("whole", own_orders=False)
    assert whole.allow("CancelOrder", txid=owner.place())["count"] == 1
    owner.place(userref=9)
    assert whole.allow("CancelOrder", txid=9)["count"] == 1


def test_a_name_that_another_key_s_order_has_takes_nothing_from_it(make: Make, desk: OnThread) -> None:
    """An order of that name, asked for and not yet placed, must not make the other's the key's own."""
    owner, other = make("owner"), make("other")
    txid = owner.place(cl_ord_id="wanted")
    assert other.ask("AddOrder", **LIMIT, cl_ord_id="wanted")["error"] != []
    refused_everywhere(other, naming(txid, "wanted", 4)[:2])
    desk.sim.add_fault("delay", methods=["ClosedOrders"], account=owner.on, delay_s=LANE_BUSY_S)
    reader, twin = (Bot(desk.url, key.account, first_nonce=10_000) for key in (owner, other))
    with reader, twin, ThreadPoolExecutor(2) as threads:
        threads.submit(reader.private, "ClosedOrders")
        threads.submit(other.ask, "AddOrder", **LIMIT, cl_ord_id="wanted")
        desk.until(lambda: [row["event"] for row in desk.audit(other.account.name)].count("order asked") == 2)
        answer = twin.private("CancelOrder", cl_ord_id="wanted")
    assert answer == UNKNOWN
    assert owner.open() == {txid}
