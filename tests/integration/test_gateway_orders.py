"""Orders through the gateway: a lost answer is held until it is known, and what is asked again is not placed twice."""

from __future__ import annotations

import asyncio
import json
import os
import threading

import pytest
from gateway_desk import asgi, gateway_desk

from sealane.client.forwarder import Forwarder
from sealane.global_nonce import get_kraken_api_lock

BUY = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "1000"}
LOST = [
    {"kind": "drop_before"},
    {"kind": "drop_after"},
    {"kind": "http_after", "status": 503},
    {"kind": "html", "applied": False},
    {"kind": "half"},
    {"kind": "error", "error": "EService:Busy", "consume_nonce": True},
]
NAMES = [
    ({"cl_ord_id": "mine-1"}, {}),
    ({"userref": "4711"}, {}),
    ({}, {"Idempotency-Key": "a key of mine"}),
    ({"userref": "4712"}, {"Idempotency-Key": "another"}),
]


@pytest.fixture(autouse=True)
def short_lag(monkeypatch, tmp_path):
    monkeypatch.setenv("SEALANE_VISIBILITY_LAG_S", "0.3")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))


def book(sim):
    return sim.state()["accounts"]["MASTER"]["orders"]


def private_calls(sim):
    return [entry["method"] for entry in sim.journal()["entries"]]


def test_an_order_goes_and_comes_back_in_kraken_s_own_bytes(keys, tmp_path):
    async def run():
        async with gateway_desk(tmp_path / "gateway") as desk:
            return await desk.bot().ask("AddOrder", BUY), desk.audit()

    told, audit = asyncio.run(run())
    txid = next(iter(book(keys)))
    assert (
        told.body
        == json.dumps(
            {"error": [], "result": {"descr": {"order": "buy 0.01000000 XBTUSD @ limit 1000.0"}, "txid": [txid]}},
            separators=(",", ":"),
        ).encode()
    )
    assert told.headers["x-sealane-order"] == "placed; answered"
    assert told.headers["x-sealane-lane"] == "global"
    assert [line["event"] for line in audit] == ["order asked", "call"]
    assert audit[0]["pair"] == "XBTUSD"
    assert audit[1]["outcome"] == "answered"


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: "-".join(map(str, fault.values())))
@pytest.mark.parametrize(("named", "headers"), [NAMES[0], NAMES[1], ({}, {})], ids=["cl_ord_id", "userref", "none"])
def test_a_lost_answer_is_held_until_its_end_is_known(keys, tmp_path, fault, named, headers):
    keys.add_fault(**fault, methods=["AddOrder"], count=1)

    async def run():
        async with gateway_desk(tmp_path / "gateway") as desk:
            return await desk.bot().ask("AddOrder", BUY | named, headers=headers)

    told = asyncio.run(run())
    if told.errors:
        assert (fault["kind"], told.errors) == ("error", ["EService:Unavailable"])
        assert told.headers["x-sealane-order"] == "not placed"
        assert book(keys) == {}
        return
    assert told.result["txid"] == list(book(keys))
    assert told.result["descr"]["order"] == "buy 0.01000000 XBTUSD @ limit 1000.0"


@pytest.mark.parametrize(("named", "headers"), NAMES, ids=["cl_ord_id", "userref", "key", "key over userref"])
def test_an_order_asked_for_again_has_the_first_one_s_end(keys, tmp_path, named, headers):
    async def run():
        async with gateway_desk(tmp_path / "gateway") as desk:
            bot = desk.bot()
            first = await bot.ask("AddOrder", BUY | named, headers=headers)
            return first, await bot.ask("AddOrder", BUY | named, headers=headers), bot

    first, again, bot = asyncio.run(run())

    async def after_a_restart():
        async with gateway_desk(tmp_path / "gateway") as desk:
            bot.app = desk.gateway
            return await bot.ask("AddOrder", BUY | named, headers=headers)

    later = asyncio.run(after_a_restart())
    assert [told.result["txid"] for told in (first, again, later)] == [list(book(keys))] * 3
    assert again.result["descr"] == first.result["descr"]
    assert private_calls(keys).count("AddOrder") == 1


def test_the_same_bot_asking_while_the_first_is_in_doubt_waits_for_its_end(keys, tmp_path):
    keys.add_fault("drop_after", methods=["AddOrder"], count=1)

    async def run():
        async with gateway_desk(tmp_path / "gateway") as desk:
            bot = desk.bot()
            order = BUY | {"cl_ord_id": "twice at once"}
            return await asyncio.gather(bot.ask("AddOrder", order), bot.ask("AddOrder", order))

    one, other = asyncio.run(run())
    assert one.result["txid"] == other.result["txid"] == list(book(keys))


def test_orders_without_a_name_are_as_many_as_were_asked_for(keys, tmp_path):
    async def run():
        async with gateway_desk(tmp_path / "gateway") as desk:
            bot = desk.bot()
            return [await bot.ask("AddOrder", BUY), await bot.ask("AddOrder", BUY)]

    told = asyncio.run(run())
    assert sorted(told[0].result["txid"] + told[1].result["txid"]) == sorted(book(keys))
    assert len(book(keys)) == 2


def test_a_name_that_another_order_has_is_refused_but_a_userref_may_name_many(keys, tmp_path):
    async def run():
        async with gateway_desk(tmp_path / "gateway") as desk:
            bot = desk.bot()
            await bot.ask("AddOrder", BUY | {"cl_ord_id": "mine"})
            await bot.ask("AddOrder", BUY | {"userref": "7"})
            await bot.ask("AddOrder", BUY, headers={"Idempotency-Key": "k"})
            other = BUY | {"volume": "0.02"}
            return [
                await bot.ask("AddOrder", other | {"cl_ord_id": "mine"}),
                await bot.ask("AddOrder", other, headers={"Idempotency-Key": "k"}),
                await bot.ask("AddOrder", other | {"userref": "7"}),
            ]

    named, keyed, grouped = asyncio.run(run())
    assert named.errors == keyed.errors == ["EOrder:Duplicate cl_ord_id"]
    assert len(grouped.result["txid"]) == 1
    assert len(book(keys)) == 4


def test_two_virtual_keys_may_use_one_name(keys, tmp_path):
    async def run():
        async with gateway_desk(tmp_path / "gateway", accounts=("MASTER", "daivon_frazier")) as desk:
            one, other = desk.bot("one"), desk.bot("other", "daivon_frazier")
            order = BUY | {"cl_ord_id": "1"}
            return await one.ask("AddOrder", order), await other.ask("AddOrder", order | {"volume": "0.02"})

    one, other = asyncio.run(run())
    assert one.result["txid"] != other.result["txid"]


def test_a_batch_is_one_order_each(keys, tmp_path):
    keys.add_fault("drop_after", methods=["AddOrderBatch"], count=1)
    orders = [{key: value for key, value in BUY.items() if key != "pair"} | {"cl_ord_id": name} for name in ("a", "b")]

    async def run():
        async with gateway_desk(tmp_path / "gateway") as desk:
            bot = desk.bot()
            params = {"pair": "XBTUSD", "orders": orders}
            return [await bot.ask("AddOrderBatch", params, as_json=True) for _ in range(2)]

    first, again = asyncio.run(run())
    txids = [row["txid"] for row in first.result["orders"]]
    assert txids == [row["txid"] for row in again.result["orders"]]
    assert sorted(txids) == sorted(book(keys))


def test_edits_and_amends_are_seen_to_their_end(keys, tmp_path):
    keys.add_fault("drop_after", methods=["EditOrder", "AmendOrder"], count=2)

    async def run():
        async with gateway_desk(tmp_path / "gateway") as desk:
            bot = desk.bot()
            txid = (await bot.ask("AddOrder", BUY)).result["txid"][0]
            amended = await bot.ask("AmendOrder", {"txid": txid, "limit_price": "1001"})
            return amended, await bot.ask("EditOrder", {"txid": txid, "pair": "XBTUSD", "price": "1002"}), txid

    amended, edited, txid = asyncio.run(run())
    assert amended.headers["x-sealane-order"].startswith("amended; ")
    assert edited.result["txid"] != txid
    open_now = [row for row in book(keys).values() if row["status"] == "open"]
    assert [row["descr"]["price"] for row in open_now] == ["1002.0"]


def test_what_kraken_refuses_is_refused_in_its_words(keys, tmp_path):
    async def run():
        async with gateway_desk(tmp_path / "gateway") as desk:
            bot = desk.bot()
            return [
                await bot.ask("AddOrder", BUY | {"volume": "1000000"}),
                await bot.ask("AddOrder", BUY | {"validate": "true"}),
                await bot.ask("CancelOrder", {"txid": "OAAAAA-AAAAA-AAAAAA"}),
            ]

    poor, checked, unknown = asyncio.run(run())
    assert poor.body == b'{"error":["EOrder:Insufficient funds"]}'
    assert "txid" not in checked.result
    assert unknown.errors == ["EOrder:Unknown order"]
    assert book(keys) == {} or all(row["status"] != "open" for row in book(keys).values())


def test_an_order_that_is_never_answered_is_in_doubt_and_never_a_guess(keys, tmp_path, monkeypatch):
    monkeypatch.setattr("sealane.client.forwarder.TIMEOUT_S", 1.0)
    keys.add_fault("drop_after", methods=["AddOrder"], count=1)
    keys.add_fault("drop_before", count=1_000)

    async def run():
        async with gateway_desk(tmp_path / "gateway") as desk:
            return await desk.gateway._calls.accounts["MASTER"].forwarder.forward_order(*order(desk), timeout_s=1.0)

    def order(desk):
        from sealane.client.forwarding import Asked, prepared

        return (prepared(Asked("AddOrder", BUY | {"cl_ord_id": "doubt"}, "bot")),)

    from sealane.errors import InDoubt
    from sealane.gateway.api.envelope import of_error

    with pytest.raises(InDoubt) as doubt:
        asyncio.run(run())
    assert of_error(doubt.value).errors == ("EService:Deadline elapsed",)


def test_orders_are_refused_while_the_audit_cannot_be_written(keys, tmp_path):
    folder = tmp_path / "gateway"

    async def run():
        async with gateway_desk(folder) as desk:
            bot = desk.bot()
            (folder / "audit.jsonl").mkdir()
            denied, read = await bot.ask("AddOrder", BUY), await bot.ask("Balance")
            (folder / "audit.jsonl").rmdir()
            return denied, read, await bot.ask("AddOrder", BUY)

    denied, read, placed = asyncio.run(run())
    assert denied.errors == ["EService:Unavailable"]
    assert "audit" in denied.headers["x-sealane-why"]
    assert read.errors == []
    assert placed.result["txid"] == list(book(keys))


def test_during_a_hand_over_a_call_is_held_and_then_told_busy(keys, tmp_path):
    lock, held, go_on = get_kraken_api_lock(), threading.Event(), threading.Event()

    def somebody_else():
        with lock:
            held.set()
            go_on.wait(30)

    async def run(turn_wait_s, release_after_s):
        make = lambda account: Forwarder.for_account(account, turn_wait_s=turn_wait_s)  # noqa: E731
        async with gateway_desk(tmp_path / "gateway", make_forwarder=make) as desk:
            bot = desk.bot(f"bot{release_after_s is None}".lower())
            if release_after_s is not None:
                asyncio.get_running_loop().call_later(release_after_s, go_on.set)
            return await bot.ask("Balance")

    other = threading.Thread(target=somebody_else)
    other.start()
    assert held.wait(10)
    try:
        busy = asyncio.run(run(0.2, None))
        held_back = asyncio.run(run(20.0, 0.2))
    finally:
        go_on.set()
        other.join()
    assert busy.errors == ["EService:Busy"]
    assert "ZUSD" in held_back.result
    assert float(held_back.headers["x-sealane-wait"]) >= 0.19


def test_own_orders_are_cancelled_and_nobody_else_s(keys, tmp_path):
    async def run():
        async with gateway_desk(tmp_path / "gateway") as desk:
            one, other, chief = desk.bot("one"), desk.bot("other"), desk.bot("chief", own_orders=False)
            mine = await one.ask("AddOrder", BUY | {"userref": "5"})
            theirs = await other.ask("AddOrder", BUY | {"userref": "5"})
            txid = theirs.result["txid"][0]
            return {
                "foreign": await one.ask("CancelOrder", {"txid": txid}),
                "batch": await one.ask("CancelOrderBatch", {"orders": [*mine.result["txid"], txid]}, as_json=True),
                "amend": await one.ask("AmendOrder", {"txid": txid, "limit_price": "1001"}),
                "by userref": await one.ask("CancelOrder", {"txid": "5"}),
                "all": await one.ask("CancelAll"),
                "chief": await chief.ask("CancelAll"),
            }

    told = asyncio.run(run())
    for name in ("foreign", "batch", "amend"):
        assert told[name].errors == ["EOrder:Unknown order"], name
    assert told["by userref"].result == {"count": 1}
    assert told["all"].result == {"count": 0}
    assert told["chief"].result == {"count": 1}


def test_the_dead_man_switch_of_a_key_cancels_its_own_orders_also_after_a_restart(keys, tmp_path, monkeypatch):
    monkeypatch.setattr("sealane.gateway.api.gateway.TIMER_PAUSE_S", 0.02)

    async def arm():
        async with gateway_desk(tmp_path / "gateway") as desk:
            one, other = desk.bot("one"), desk.bot("other")
            mine, theirs = await one.ask("AddOrder", BUY), await other.ask("AddOrder", BUY)
            told = await one.ask("CancelAllOrdersAfter", {"timeout": "1"})
            ended = await other.ask("CancelAllOrdersAfter", {"timeout": "0"})
            return mine.result["txid"][0], theirs.result["txid"][0], told.result, ended.result

    mine, theirs, told, ended = asyncio.run(arm())
    assert set(told) == {"currentTime", "triggerTime"}
    assert ended["triggerTime"] == "0"
    assert book(keys)[mine]["status"] == "open"

    async def restarted():
        async with gateway_desk(tmp_path / "gateway"):
            async with asyncio.timeout(10):
                while book(keys)[mine]["status"] == "open":
                    await asyncio.to_thread(threading.Event().wait, 0.05)

    asyncio.run(restarted())
    assert book(keys)[mine]["status"] == "canceled"
    assert book(keys)[theirs]["status"] == "open"


@pytest.mark.parametrize("fault", [{"kind": "drop_after"}, {"kind": "http_before", "status": 502}])
def test_a_cancel_whose_answer_is_lost_is_seen_to_its_end(keys, tmp_path, fault):
    async def run():
        async with gateway_desk(tmp_path / "gateway") as desk:
            bot = desk.bot()
            placed = await bot.ask("AddOrder", BUY)
            keys.add_fault(**fault, methods=["CancelOrder"], count=1)
            return await bot.ask("CancelOrder", {"txid": placed.result["txid"][0]})

    assert asyncio.run(run()).errors == []
    assert [row["status"] for row in book(keys).values()] == ["canceled"]


def test_too_many_calls_at_once_are_told_so_at_once(keys, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sealane.gateway.api.waiting", fromlist=["x"]).CLASS_MAX, "read", 2)
    keys.add_fault("delay", delay_s=0.2, methods=["Balance"], count=1)

    async def run():
        async with gateway_desk(tmp_path / "gateway") as desk:
            bot = desk.bot()
            return await asyncio.gather(*(bot.ask("Balance") for _ in range(5)))

    told = asyncio.run(run())
    throttled = [answer for answer in told if answer.errors]
    assert len(throttled) == 3
    assert all(answer.errors == ["EAPI:Rate limit exceeded"] for answer in throttled)


def test_a_second_gateway_on_a_folder_waits_for_the_first_to_end(keys, tmp_path, monkeypatch):
    monkeypatch.setattr("sealane.gateway.api.gateway.HOLD_S", 0.2)

    async def run():
        async with gateway_desk(tmp_path / "gateway") as first:
            bot = first.bot()
            assert (await bot.ask("Balance")).errors == []
            async with gateway_desk(tmp_path / "gateway") as second:
                bot.app = second.gateway
                busy = await bot.ask("Balance")
                await first.gateway.close()
                return busy, await bot.ask("Balance")

    busy, after = asyncio.run(run())
    assert busy.errors == ["EService:Busy"]
    assert after.errors == []


def test_public_calls_go_on_as_they_are(keys, tmp_path):
    async def run():
        async with gateway_desk(tmp_path / "gateway") as desk:
            return [
                await asgi(desk.gateway, "GET", "/0/public/Ticker", query=b"pair=XBTUSD"),
                await asgi(desk.gateway, "POST", "/0/public/Ticker", b"pair=XBTUSD"),
                await asgi(desk.gateway, "GET", "/0/public/Ticker", query=b"pair=NOTHING"),
                await asgi(desk.gateway, "GET", "/0/public/Secret"),
                await asgi(desk.gateway, "GET", "/0/private/Balance"),
                await asgi(desk.gateway, "POST", "/0/private/Balance", b"x" * 70_000),
            ]

    got, posted, unknown, nothing, wrong_verb, large = asyncio.run(run())
    assert set(got.result) == set(posted.result) == {"XXBTZUSD"}
    assert unknown.errors == ["EQuery:Unknown asset pair"]
    assert nothing.errors == wrong_verb.errors == ["EGeneral:Unknown method"]
    assert large.errors == ["EGeneral:Invalid arguments"]


def test_hard_buy_off_holds_through_the_gateway(keys, tmp_path, monkeypatch):
    monkeypatch.setenv("HARD_BUY_OFF", "1")

    async def run():
        async with gateway_desk(tmp_path / "gateway") as desk:
            bot = desk.bot()
            return await bot.ask("AddOrder", BUY), await bot.ask("AddOrder", BUY | {"type": "sell", "price": "90000"})

    bought, sold = asyncio.run(run())
    assert bought.errors == ["EGeneral:Permission denied"]
    assert sold.errors == []
    assert os.environ["HARD_BUY_OFF"] == "1"
