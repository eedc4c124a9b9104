"""What the gateway writes down, and what it does when it cannot: every call, its own fault too, no stranger's words."""

from __future__ import annotations

import asyncio
import base64
import json
from decimal import Decimal

import pytest
from gateway_desk import asgi, gateway_desk

from sealane.gateway.api.orders import OrderDesk
from sealane.gateway.api.strangers import LINES_MAX
from sealane.gateway.audit import Audit
from sealane.gateway.keys.key_file import KeyFile

BUY = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "1000"}
ALL = frozenset({"read", "trade", "cancel", "fund"})
MOVE = {"asset": "XBT", "from": "Spot Wallet", "to": "Futures Wallet", "amount": "0.1"}
LIMIT_S = 10


@pytest.fixture(autouse=True)
def short_lag(monkeypatch, tmp_path):
    monkeypatch.setenv("SEALANE_VISIBILITY_LAG_S", "0.3")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))


@pytest.fixture
def at_desk(keys, tmp_path):
    """Runs what it is given with a gateway."""

    def run(work):
        async def go():
            async with gateway_desk(tmp_path / "gateway") as desk:
                return await work(desk)

        return asyncio.run(go())

    return run


def reached(sim):
    return [entry["method"] for entry in sim.journal()["entries"]]


async def until(done):
    async with asyncio.timeout(LIMIT_S):
        while not done():
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("AddOrder", BUY),
        ("Withdraw", {"asset": "XBT", "key": "somebody", "amount": "0.1"}),
        ("WalletTransfer", MOVE),
    ],
)
def test_no_money_moves_that_cannot_be_written_down(keys, at_desk, monkeypatch, method, params):
    def full(*_):
        raise OSError(28, "No space left on device")

    async def work(desk):
        bot = desk.bot(allow=ALL)
        with monkeypatch.context() as broken:
            broken.setattr(Audit, "_append", full)
            refused = await bot.ask(method, params)
        assert method not in reached(keys)
        await bot.ask(method, params)
        return refused, desk.audit()

    refused, audit = at_desk(work)
    assert refused.errors == ["EService:Unavailable"]
    assert method in reached(keys)
    assert [line["event"] for line in audit] == ["order asked" if method == "AddOrder" else "funds asked", "call"]


@pytest.mark.parametrize("sent", [False, True])
def test_a_fault_of_its_own_is_answered_counted_and_written_down(keys, at_desk, monkeypatch, sent):
    async def broken(self, forwarder, held, signed, now_s):
        if sent:
            await forwarder.forward(signed.method, signed.params)
        raise RuntimeError("a fault")

    async def work(desk):
        bot = desk.bot()
        monkeypatch.setattr(OrderDesk, "send", broken)
        return await bot.ask("AddOrder", BUY), desk.audit()[-1], desk.gateway.traffic.seen()

    told, line, seen = at_desk(work)
    assert told.errors == (["EService:Deadline elapsed"] if sent else ["EService:Unavailable"])
    outcome = "in_doubt" if sent else "unavailable"
    assert (told.status, line["event"], line["outcome"]) == (500, "call", outcome)
    assert seen.keys["bot"].outcomes[outcome] == 1
    assert seen.waiting == {}


def test_a_call_that_the_end_of_the_service_cuts_off_is_written_down(keys, at_desk):
    keys.add_fault("delay", delay_s=0.5, methods=["Balance"], count=1)

    async def work(desk):
        call = asyncio.create_task(desk.bot().ask("Balance"))
        await until(lambda: desk.gateway.traffic.seen().waiting)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return desk.audit()

    assert [line["outcome"] for line in at_desk(work)] == ["unavailable"]


def test_what_a_call_became_is_written_down(keys, at_desk):
    async def work(desk):
        bot = desk.bot()
        await bot.ask("AddOrder", BUY)
        await bot.ask("CancelAll")
        return desk.audit()

    placed, cancelled = [line for line in at_desk(work) if line["event"] == "call"]
    assert "made" not in placed
    assert cancelled["made"] == ["OpenOrders", "CancelOrderBatch"]


def test_strangers_fill_neither_the_audit_nor_the_last_errors(keys, at_desk):
    body = b"nonce=1&pair=" + b"x" * 64

    async def work(desk):
        bot = desk.bot()
        await bot.ask("CancelOrder", {"txid": "OAAAAA-AAAAA-AAAAAA"})
        for _ in range(200):
            told = await asgi(desk.gateway, "POST", "/0/private/AddOrder", body, {"API-Key": "k", "API-Sign": "AAAA"})
            assert told.errors == ["EAPI:Invalid key"]
        return desk.audit()[1:], desk.gateway.traffic.seen()

    lines, seen = at_desk(work)
    assert LINES_MAX <= len(lines) < LINES_MAX + 20
    assert {"at", "event", "key", "method", "outcome", "errors", "why"} >= set(lines[0])
    assert "xxxx" not in json.dumps(lines)
    assert seen.keys["(not known)"].outcomes["denied"] == 200
    assert seen.minutes[-1].refusals + seen.minutes[-2].refusals == 201


def test_a_wrong_signature_names_the_key_and_keeps_no_word(keys, at_desk):
    async def work(desk):
        bot = desk.bot()
        bot.secret = bytes(64)
        told = await bot.ask("AddOrder", BUY)
        return told, desk.audit()

    told, (line,) = at_desk(work)
    assert told.errors == ["EAPI:Invalid signature"]
    assert (line["key"], line["errors"]) == ("bot", told.errors)
    assert "pair" not in line


def test_of_a_key_that_is_not_known_the_body_is_not_read(keys, at_desk):
    """It is no JSON at all: who is known is told so, who is not hears of the key alone."""

    async def work(desk):
        headers = {"API-Key": "k", "API-Sign": "AAAA", "Content-Type": "application/json"}
        unknown = await asgi(desk.gateway, "POST", "/0/private/Balance", b"{", headers)
        known = await asgi(desk.gateway, "POST", "/0/private/Balance", b"{", headers | {"API-Key": desk.bot().key})
        return unknown, known, desk.audit()

    unknown, known, audit = at_desk(work)
    assert unknown.errors == ["EAPI:Invalid key"]
    assert known.errors == ["EGeneral:Invalid arguments"]
    assert [line["key"] for line in audit] == ["(not known)", "bot"]


def test_a_secret_in_a_field_is_masked_before_it_is_cut(keys, at_desk):
    async def work(desk):
        bot = desk.bot()
        secret = base64.b64encode(bot.secret).decode()
        await bot.ask("Balance", {"cl_ord_id": secret, "pair": secret[:40]}, headers={"Idempotency-Key": secret})
        other = base64.b64encode(bytes(range(64))).decode()
        await bot.ask("Balance", {"cl_ord_id": other})
        return other, (desk.folder / "audit.jsonl").read_text()

    other, text = at_desk(work)
    assert "SEALANE/" not in text
    assert other[:20] not in text
    assert text.count("***") == 4


@pytest.mark.parametrize(
    ("change", "method", "params"),
    [
        ("revoke", "AddOrder", BUY),
        ("pause", "AddOrder", BUY | {"cl_ord_id": "mine"}),
        ("revoke", "WalletTransfer", MOVE),
    ],
)
def test_a_key_is_looked_at_again_just_before_what_it_writes_leaves(keys, at_desk, change, method, params):
    keys.add_fault("delay", delay_s=0.6, methods=["Balance"], count=1)

    async def work(desk):
        bot, other = desk.bot(allow=ALL), desk.bot("other", allow=ALL)
        await other.ask("GetApiKeyInfo")
        first = asyncio.create_task(other.ask("Balance"))
        await until(lambda: desk.gateway.traffic.seen().waiting.get("other"))
        asked = asyncio.create_task(bot.ask(method, params))
        await until(lambda: any(line["event"].endswith(" asked") for line in desk.audit()))
        KeyFile(desk.folder).pause("bot") if change == "pause" else KeyFile(desk.folder).revoke("bot", 2e9)
        assert not first.done()
        await first
        return await asked, await other.ask(method, params)

    told, after = at_desk(work)
    assert told.errors == ["EGeneral:Permission denied"]
    assert "waited for its turn" in told.headers["x-sealane-why"]
    assert after.errors != told.errors
    assert reached(keys).count(method) == 1


def test_looks_for_orders_that_are_not_known_have_a_budget(keys, at_desk, monkeypatch):
    monkeypatch.setenv("SEALANE_TIER", "starter")

    async def work(desk):
        bot, other = desk.bot(), desk.bot("other")
        mine = (await bot.ask("AddOrder", BUY)).result["txid"][0]
        told = [await bot.ask("CancelOrder", {"txid": f"OAAAAA-AAAAA-AAAAA{number}"}) for number in range(5)]
        known = await bot.ask("CancelOrder", {"txid": mine})
        return told, known, await other.ask("CancelOrder", {"txid": "OAAAAA-AAAAA-AAAAAA"})

    told, known, other = at_desk(work)
    assert [answer.errors[0] for answer in told] == ["EOrder:Unknown order"] * 3 + ["EAPI:Rate limit exceeded"] * 2
    assert known.errors == []
    assert other.errors == ["EOrder:Unknown order"]
    assert reached(keys).count("QueryOrders") == 4


def test_a_share_counts_what_a_call_becomes(keys, at_desk):
    """A fifth of 15 is 3: CancelAll of nothing is OpenOrders; with an order it is a batch more."""

    async def work(desk):
        bot = desk.bot(share=Decimal("0.2"))
        await bot.ask("AddOrder", BUY)
        assert (await bot.ask("CancelAll")).errors == []
        told = [await bot.ask("OpenOrders") for _ in range(2)]
        return told, await bot.ask("AddOrder", BUY)

    told, order = at_desk(work)
    assert [answer.errors for answer in told] == [[], ["EAPI:Rate limit exceeded"]]
    assert order.errors == []


# --- what is told of it to whoever is on call -------------------------------------------------------------------------


def test_keys_that_cannot_be_read_are_told_until_they_can(keys, at_desk, monkeypatch):
    monkeypatch.setattr("sealane.gateway.api.switches.PAUSE_S", 0)

    async def work(desk):
        bot = desk.bot()
        path = desk.folder / "keys.json"
        good = path.read_bytes()
        path.write_bytes(b"{")
        await until(desk.gateway.told_trouble)
        told, refused = desk.gateway.told_trouble(), await bot.ask("GetApiKeyInfo")
        path.write_bytes(good)
        await until(lambda: not desk.gateway.told_trouble())
        return told, refused

    told, refused = at_desk(work)
    assert told.startswith("no virtual key is answered: ")
    assert "keys.json" in told
    assert refused.errors == ["EService:Unavailable"]


def test_an_audit_that_cannot_be_written_is_told_until_it_can(keys, at_desk, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    async def work(desk):
        bot = desk.bot()
        assert desk.gateway.told_trouble() == ""
        with monkeypatch.context() as broken:
            broken.setattr(Audit, "_append", full)
            await bot.ask("GetApiKeyInfo")
        told = desk.gateway.told_trouble()
        await bot.ask("GetApiKeyInfo")
        return told, desk.gateway.told_trouble()

    told, after = at_desk(work)
    assert told.startswith("no order is answered: ")
    assert "audit.jsonl" in told
    assert after == ""


def test_a_folder_of_another_gateway_or_none_is_told(keys, at_desk, tmp_path):
    async def work(desk):
        async with gateway_desk(desk.folder) as second:
            other = second.gateway.told_trouble()
        (tmp_path / "file").touch()
        async with gateway_desk(tmp_path / "file" / "gateway") as third:
            return other, third.gateway.told_trouble()

    other, none = at_desk(work)
    assert "another gateway works on" in other
    assert str(tmp_path / "file") in none
