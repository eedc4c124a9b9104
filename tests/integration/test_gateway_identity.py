"""Whose an order is, and which one: names that two have used, answers that were lost, deaths in between."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from gateway_desk import gateway_desk
from test_gateway_orders import BUY, book, private_calls

from sealane.client.forwarder import TimedTransport
from sealane.errors import NotDurable
from sealane.gateway.keys.ledger import Ledger
from sealane.gateway.keys.policy import Cap

MARKET = {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.01"}
UUID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"


@pytest.fixture(autouse=True)
def short_lag(monkeypatch, tmp_path):
    monkeypatch.setenv("SEALANE_VISIBILITY_LAG_S", "0.3")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))


def soon(seconds):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def run(tmp_path, work, **options):
    async def whole():
        async with gateway_desk(tmp_path / "gateway", **options) as desk:
            return await work(desk)

    return asyncio.run(whole())


@pytest.mark.parametrize(
    ("order", "named", "headers", "is_other"),
    [
        (MARKET, {"cl_ord_id": "n-1"}, ({}, {}), True),
        (BUY, {"userref": "7"}, ({}, {}), True),
        (BUY, {"userref": "7"}, ({"Idempotency-Key": "k1"}, {"Idempotency-Key": "k2"}), False),
    ],
    ids=["cl_ord_id of two keys", "userref of two keys", "userref under two repeat keys"],
)
def test_an_order_that_was_lost_is_not_mistaken_for_another_of_its_name(
    keys, tmp_path, order, named, headers, is_other
):
    async def work(desk):
        alice = desk.bot("alice")
        second = desk.bot("bob") if is_other else alice
        first = await alice.ask("AddOrder", order | named, headers=headers[0])
        keys.add_fault("drop_before", methods=["AddOrder"], count=1_000)
        lost = await second.ask("AddOrder", order | named | {"deadline": soon(4)}, headers=headers[1])
        keys.clear_faults()
        again = await second.ask("AddOrder", order | named | {"deadline": soon(10)}, headers=headers[1])
        return first, lost, again, await second.ask("CancelAll")

    first, lost, again, cancelled = run(tmp_path, work)
    assert lost.errors == ["EService:Unavailable"]
    assert lost.headers["x-sealane-order"] == "not placed"
    assert again.result["txid"] != first.result["txid"], "what came to nothing may be asked for anew"
    if is_other and order is BUY:
        assert cancelled.result == {"count": 1}
        assert book(keys)[first.result["txid"][0]]["status"] == "open"


def test_one_client_order_id_is_one_order_however_it_is_sent_again(keys, tmp_path):
    async def work(desk):
        bot = desk.bot()
        order = MARKET | {"cl_ord_id": UUID}
        told = [
            await bot.ask("AddOrder", order, headers={"Idempotency-Key": "k1"}),
            await bot.ask("AddOrder", order, headers={"Idempotency-Key": "k2"}),
            await bot.ask("AddOrder", order),
        ]
        spelled = [
            await bot.ask("AddOrder", order | {"cl_ord_id": name}) for name in (UUID.upper(), UUID.replace("-", ""))
        ]
        return told, spelled

    told, spelled = run(tmp_path, work)
    assert [one.result["txid"] for one in told] == [list(book(keys))] * 3
    assert {tuple(one.errors) for one in spelled} == {("EOrder:Duplicate cl_ord_id",)}
    assert len(book(keys)) == 1


@pytest.mark.parametrize(
    ("named", "headers"), [({"cl_ord_id": "old"}, {}), ({}, {"Idempotency-Key": "old"})], ids=["cl_ord_id", "key"]
)
def test_an_order_that_the_store_has_forgotten_is_not_placed_again(keys, tmp_path, monkeypatch, named, headers):
    async def work(desk):
        bot = desk.bot()
        first = await bot.ask("AddOrder", BUY | named, headers=headers)
        for path in tmp_path.rglob("intents.log*"):
            path.unlink()
        return first, bot

    first, bot = run(tmp_path, work)

    async def later(desk):
        bot.app = desk.gateway
        again = await bot.ask("AddOrder", BUY | named, headers=headers)
        return again, await bot.ask("AddOrder", BUY | named | {"volume": "0.02"}, headers=headers)

    again, other = run(tmp_path, later)
    assert again.result == first.result
    assert other.errors == ["EOrder:Duplicate cl_ord_id"]
    assert list(book(keys)) == first.result["txid"]


def test_an_order_of_a_batch_is_not_placed_again_by_itself_or_in_another(keys, tmp_path):
    def batch(*names):
        order = {name: value for name, value in MARKET.items() if name != "pair"}
        return {"pair": "XBTUSD", "orders": [order | {"cl_ord_id": name} for name in names]}

    async def work(desk):
        bot = desk.bot()
        first = await bot.ask("AddOrderBatch", batch("p", "q"), as_json=True)
        return first, [
            await bot.ask("AddOrderBatch", batch("p", "q", "r"), as_json=True),
            await bot.ask("AddOrderBatch", batch("q", "s"), as_json=True),
            await bot.ask("AddOrder", MARKET | {"cl_ord_id": "q"}),
        ]

    first, others = run(tmp_path, work)
    assert len(first.result["orders"]) == 2
    assert [told.errors for told in others] == [["EOrder:Duplicate cl_ord_id"]] * 3
    assert len(book(keys)) == 2


def test_what_came_to_nothing_hides_no_order_that_was_placed(keys, tmp_path):
    order = {name: value for name, value in MARKET.items() if name != "pair"}
    both = {"pair": "XBTUSD", "orders": [order | {"cl_ord_id": name} for name in ("p", "q")]}
    refusal = {"error": "EOrder:Insufficient funds", "consume_nonce": True, "count": 1}

    async def work(desk):
        first, second = desk.bot("first"), desk.bot("second")
        keys.add_fault("error", **refusal, methods=["AddOrderBatch"])
        told = [
            await first.ask("AddOrderBatch", both, as_json=True),
            await first.ask("AddOrder", MARKET | {"cl_ord_id": "p"}),
            await first.ask("AddOrderBatch", both, as_json=True),
        ]
        keys.add_fault("error", **refusal, methods=["AddOrder"])
        return [
            *told,
            await second.ask("AddOrder", MARKET | {"cl_ord_id": "p"}),
            await second.ask("AddOrderBatch", both, as_json=True),
            await second.ask("AddOrder", MARKET | {"cl_ord_id": "p"}),
        ]

    told = [answer.errors for answer in run(tmp_path, work)]
    refused, taken = ["EOrder:Insufficient funds"], ["EOrder:Duplicate cl_ord_id"]
    assert told == [refused, [], taken, refused, [], taken]
    assert len(book(keys)) == 3


@pytest.mark.parametrize("named", [{"cl_ord_id": "p"}, {"userref": "7"}], ids=["cl_ord_id", "userref"])
def test_a_batch_of_which_some_have_names_is_known_by_them(keys, tmp_path, named):
    order = {name: value for name, value in MARKET.items() if name != "pair"}

    async def work(desk):
        bot = desk.bot()
        batch = {"pair": "XBTUSD", "orders": [order | named, order]}
        return [await bot.ask("AddOrderBatch", batch, as_json=True) for _ in range(2)]

    first, again = run(tmp_path, work)
    assert first.result["orders"] == again.result["orders"]
    assert len(book(keys)) == 2


@pytest.mark.parametrize("volume", [".01", "0.010", "00.01"])
def test_an_order_is_found_however_its_volume_was_written(keys, tmp_path, volume):
    keys.add_fault("drop_after", methods=["AddOrder"], count=1)
    told = run(tmp_path, lambda desk: desk.bot().ask("AddOrder", BUY | {"volume": volume}))
    assert told.result["txid"] == list(book(keys))


def test_the_answers_of_a_batch_that_was_looked_for_are_in_its_order(keys, tmp_path):
    keys.add_fault("drop_after", methods=["AddOrderBatch"], count=1)
    prices = ["1000", "1001", "1002", "1003"]
    orders = [
        {"type": "buy", "ordertype": "limit", "volume": "0.01", "price": price, "cl_ord_id": f"b{price}"}
        for price in prices
    ]
    told = run(
        tmp_path,
        lambda desk: desk.bot().ask("AddOrderBatch", {"pair": "XBTUSD", "orders": orders}, as_json=True),
    )
    shown = [book(keys)[row["txid"]]["descr"]["price"] for row in told.result["orders"]]
    assert [Decimal(price) for price in shown] == [Decimal(price) for price in prices]


def test_a_refused_order_may_be_asked_for_anew_under_its_name(keys, tmp_path):
    async def work(desk):
        bot = desk.bot()
        order = BUY | {"cl_ord_id": "mine"}
        keys.add_fault("error", error="EOrder:Insufficient funds", consume_nonce=True, methods=["AddOrder"], count=1)
        return await bot.ask("AddOrder", order), await bot.ask("AddOrder", order), await bot.ask("AddOrder", order)

    refused, placed, again = run(tmp_path, work)
    assert refused.errors == ["EOrder:Insufficient funds"]
    assert placed.result["txid"] == again.result["txid"] == list(book(keys))


def test_an_end_that_cannot_be_noted_is_told_all_the_same(keys, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise NotDurable("the disk is full")

    async def work(desk):
        bot = desk.bot()
        monkeypatch.setattr(Ledger, "placed", fails)
        return await bot.ask("AddOrder", BUY)

    assert run(tmp_path, work).result["txid"] == list(book(keys))


@pytest.mark.parametrize("pair", ["XXBTZUSD", "XBTUSD", "XBT/USD"])
def test_an_own_order_is_known_though_its_gateway_died_before_it_heard(keys, tmp_path, monkeypatch, pair):
    async def work(desk):
        bot = desk.bot()
        for verb in ("placed", "forget_awaited"):  # as after a kill between order and note
            monkeypatch.setattr(Ledger, verb, lambda *_, **__: None)
        placed = await bot.ask("AddOrder", BUY | {"pair": pair, "userref": "7"})
        drawn = await bot.ask("AddOrder", BUY | {"pair": pair})
        edited = await bot.ask("EditOrder", {"txid": drawn.result["txid"][0], "pair": pair, "price": "1001"})
        return placed, edited, await bot.ask("CancelAll")

    placed, edited, cancelled = run(tmp_path, work)
    assert placed.errors == edited.errors == []
    assert cancelled.result == {"count": 2}
    assert all(row["status"] != "open" for row in book(keys).values())


def test_asking_again_makes_no_later_order_of_that_userref_one_s_own(keys, tmp_path):
    async def work(desk):
        bot, person = desk.bot(), desk.bot("person", own_orders=False)
        for _ in range(3):
            await bot.ask("AddOrder", BUY | {"userref": "7"})
        await bot.ask("CancelAll")
        theirs = await person.ask("AddOrder", BUY | {"userref": "7"})
        return theirs, await bot.ask("CancelAll")

    theirs, cancelled = run(tmp_path, work)
    assert cancelled.result == {"count": 0}
    assert book(keys)[theirs.result["txid"][0]]["status"] == "open"


def test_an_answer_without_a_result_is_looked_into(keys, tmp_path, monkeypatch):
    send = TimedTransport.send

    async def empties(self, request):
        reply = await send(self, request)
        return dataclasses.replace(reply, body=b'{"error":[]}') if request.target.endswith("AddOrder") else reply

    monkeypatch.setattr(TimedTransport, "send", empties)
    told = run(tmp_path, lambda desk: desk.bot().ask("AddOrder", BUY))
    assert told.result["txid"] == list(book(keys))


def test_an_amend_cannot_be_checked_only_and_goes_nowhere(keys, tmp_path):
    async def work(desk):
        alice, bob = desk.bot("alice"), desk.bot("bob")
        txid = (await alice.ask("AddOrder", BUY)).result["txid"][0]
        change = {"txid": txid, "limit_price": "1001", "validate": "true"}
        edit = {"txid": txid, "pair": "XBTUSD", "price": "1001", "validate": "true"}
        return await bob.ask("AmendOrder", change), await bob.ask("EditOrder", edit)

    amended, edited = run(tmp_path, work)
    assert amended.errors in (["EGeneral:Invalid arguments:validate"], ["EOrder:Unknown order"])
    assert edited.errors == ["EOrder:Unknown order"]
    assert "AmendOrder" not in private_calls(keys)
    assert "EditOrder" not in private_calls(keys)


def test_two_changes_at_once_are_within_the_limit_together(keys, tmp_path):
    async def work(desk):
        bot = desk.bot(max_order=Cap(Decimal(1000)))
        txid = (await bot.ask("AddOrder", BUY | {"volume": "0.1"})).result["txid"][0]
        changes = ({"order_qty": "0.9"}, {"limit_price": "9000"})
        return await asyncio.gather(*(bot.ask("AmendOrder", {"txid": txid} | change) for change in changes))

    told = run(tmp_path, work)
    row = next(iter(book(keys).values()))
    assert Decimal(row["vol"]) * Decimal(row["descr"]["price"]) <= 1000
    assert [answer.errors for answer in told].count(["EGeneral:Permission denied"]) == 1


def test_nothing_but_what_was_checked_is_cancelled(keys, tmp_path):
    async def work(desk):
        alice, bob = desk.bot("alice"), desk.bot("bob")
        theirs = (await alice.ask("AddOrder", BUY | {"cl_ord_id": "hers"})).result["txid"][0]
        mine = (await bob.ask("AddOrder", BUY)).result["txid"][0]
        beside = [{"cl_ord_ids": "hers"}, {"txid": theirs}, {"cl_ord_id": "hers"}]
        for more in beside:
            await bob.ask("CancelOrderBatch", {"orders": [mine], **more}, as_json=True)
        return theirs, mine

    theirs, mine = run(tmp_path, work)
    assert book(keys)[theirs]["status"] == "open"
    assert book(keys)[mine]["status"] == "canceled"


@pytest.mark.parametrize("name", [" pair", "pair[]", "volume[]", "cl.ord.id", "Pair", "close[price][]"])
def test_a_parameter_that_a_reader_might_take_for_another_is_refused(keys, tmp_path, name):
    told = run(tmp_path, lambda desk: desk.bot().ask("AddOrder", BUY | {name: "ETHUSD"}))
    assert told.errors == ["EGeneral:Invalid arguments"]
    assert book(keys) == {}


@pytest.mark.parametrize("userref", ["1_000", "+7", " 7", "2147483648", "7.0", "٣"])
def test_a_userref_is_a_whole_number_of_32_bits(keys, tmp_path, userref):
    told = run(tmp_path, lambda desk: desk.bot().ask("AddOrder", BUY | {"userref": userref}))
    assert told.errors == ["EGeneral:Invalid arguments"]
    assert book(keys) == {}


def test_while_one_looks_for_it_nobody_places_it_anew(keys, tmp_path, monkeypatch):
    """The end of the first attempt is noted once whoever sent it has it: until then a repeat hears that end."""
    monkeypatch.setenv("SEALANE_VISIBILITY_LAG_S", "1.5")
    keys.add_fault("drop_before", methods=["AddOrder"], count=3)

    async def work(desk):
        bot = desk.bot()
        order = BUY | {"cl_ord_id": "mine", "deadline": soon(4)}
        told = [asyncio.create_task(bot.ask("AddOrder", order)) for _ in range(4)]
        first = [await one for one in told]
        keys.clear_faults()
        order["deadline"] = soon(10)
        return first, await asyncio.gather(*(bot.ask("AddOrder", order) for _ in range(4)))

    first, later = run(tmp_path, work)
    ends = {tuple(answer.document.get("result", {}).get("txid", ["none"])) for answer in first}
    assert len(ends) == 1, ends
    assert {tuple(answer.result["txid"]) for answer in later} == {tuple(book(keys))}
    assert len(book(keys)) == 1


def test_own_orders_that_kraken_does_not_show_yet_are_cancelled_too(keys, tmp_path):
    async def work(desk):
        bot = desk.bot()
        first = await bot.ask("AddOrder", BUY)
        keys.add_fault("hidden", hidden_s=30, methods=["AddOrder"], count=1)
        hidden = await bot.ask("AddOrder", BUY)
        return first, hidden, await bot.ask("CancelAll"), await bot.ask("CancelAll")

    first, hidden, cancelled, again = run(tmp_path, work)
    assert cancelled.result == {"count": 2}
    assert {book(keys)[told.result["txid"][0]]["status"] for told in (first, hidden)} == {"canceled"}
    assert again.result == {"count": 0}


def test_what_is_done_to_an_own_order_by_its_name_is_done_to_no_other_of_that_name(keys, tmp_path):
    async def work(desk):
        bot, person = desk.bot(), desk.bot("person", own_orders=False)
        await bot.ask("AddOrder", MARKET | {"cl_ord_id": "x-1"})
        theirs = await person.ask("AddOrder", BUY | {"cl_ord_id": "x-1"})
        return theirs, [
            await bot.ask("CancelOrder", {"cl_ord_id": "x-1"}),
            await bot.ask("AmendOrder", {"cl_ord_id": "x-1", "limit_price": "1001"}),
            await bot.ask("CancelOrderBatch", {"cl_ord_ids": ["x-1"]}, as_json=True),
        ]

    theirs, told = run(tmp_path, work)
    row = book(keys)[theirs.result["txid"][0]]
    assert (row["status"], Decimal(row["descr"]["price"])) == ("open", 1000)
    assert all(answer.errors or answer.result == {"count": 0} for answer in told)


def test_an_order_that_was_amended_before_it_was_found_is_found(keys, tmp_path, monkeypatch):
    monkeypatch.setenv("SEALANE_VISIBILITY_LAG_S", "1.5")
    keys.add_fault("hidden", hidden_s=1, answer="drop", methods=["AddOrder"], count=1)

    async def work(desk):
        bot, chief = desk.bot(), desk.bot("chief", own_orders=False)
        asked = asyncio.create_task(bot.ask("AddOrder", BUY | {"cl_ord_id": "mine"}))
        async with asyncio.timeout(10):
            while not book(keys):
                await asyncio.to_thread(threading.Event().wait, 0.02)
        txid = next(iter(book(keys)))
        change = {"txid": txid, "order_qty": "0.02", "limit_price": "1001"}
        return await chief.ask("AmendOrder", change), await asked, txid

    amended, told, txid = run(tmp_path, work)
    assert amended.errors == []
    assert told.result["txid"] == [txid]


def test_a_deadline_that_kraken_would_not_take_keeps_no_lane(keys, tmp_path):
    told = run(tmp_path, lambda desk: desk.bot().ask("AddOrder", BUY | {"deadline": soon(3_600)}))
    assert told.errors == ["EGeneral:Invalid arguments"]


def test_an_edit_that_was_lost_is_not_taken_for_what_it_edits(keys, tmp_path):
    async def work(desk):
        bot, person = desk.bot("bot", own_orders=False), desk.bot("person")
        original = await person.ask("AddOrder", BUY | {"userref": "7"})
        for path in tmp_path.rglob("intents.log*"):
            path.unlink()  # as of an order that was placed elsewhere
        keys.add_fault("drop_before", methods=["EditOrder"], count=1_000)
        change = {"pair": "XBTUSD", "txid": original.result["txid"][0], "price": "1001", "userref": "7"}
        return await bot.ask("EditOrder", change | {"deadline": soon(4)})

    assert run(tmp_path, work).errors == ["EService:Unavailable"]
