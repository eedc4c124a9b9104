"""The life of a virtual key while the gateway runs: its switch, its share, its end; and what a restart leaves."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from gateway_bench import DENIED, LIMIT, Bot, Key, Make, OnThread

from sealane.gateway.api import switches
from sealane.simulator import Simulator
from sealane.simulator.accounts import SimAccount

INVALID_KEY = {"error": ["EAPI:Invalid key"]}
INVALID_SIGNATURE = {"error": ["EAPI:Invalid signature"]}
RATE_LIMIT = {"error": ["EAPI:Rate limit exceeded"]}


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnThread]:
    """A gateway of the test's own, that can be stopped and whose time can be moved; not started."""
    monkeypatch.setattr(switches, "PAUSE_S", 0.02)
    with Simulator(accounts=2, seed=3) as simulator:
        yield OnThread(simulator, tmp_path)
    simulator.audit()


def two(alone: OnThread) -> tuple[Key, Key]:
    """Two keys of one account, each with an order."""
    owner, other = (Key(alone, "MASTER", name) for name in ("owner", "other"))
    owner.place()
    other.place()
    return owner, other


def orders_of(alone: OnThread) -> int:
    return len(alone.sim.state()["accounts"]["MASTER"]["open_orders"])


# --- the dead-man switch ----------------------------------------------------------------------------------------------


def test_the_dead_man_switch_of_a_key_takes_its_own_orders(alone: OnThread) -> None:
    with alone:
        owner, other = two(alone)
        with owner, other:
            armed = other.ask("CancelAllOrdersAfter", timeout=60)["result"]
            assert armed["triggerTime"] > armed["currentTime"]
            assert (other.reached("CancelAllOrdersAfter"), len(owner.open())) == (0, 2)
            alone.clock.advance(61)
            alone.until(lambda: len(owner.open()) == 1)
            assert owner.reached("CancelAll") == 0


def test_the_switch_is_put_off_by_setting_it_again_or_to_nought(alone: OnThread) -> None:
    with alone:
        owner, other = two(alone)
        with owner, other:
            other.ask("CancelAllOrdersAfter", timeout=60)
            owner.ask("CancelAllOrdersAfter", timeout=60)
            alone.clock.advance(50)
            assert other.ask("CancelAllOrdersAfter", timeout=0)["result"]["triggerTime"] == "0"
            alone.clock.advance(20)  # the owner's is due now, and proves that due ones were looked for
            alone.until(lambda: len(owner.open()) == 1)
            other.ask("CancelAllOrdersAfter", timeout="30")
            alone.clock.advance(31)
            alone.until(lambda: not owner.open())


def test_the_switch_fires_after_a_restart_and_for_a_key_that_was_revoked(alone: OnThread) -> None:
    with alone:
        owner, other = two(alone)
        with owner, other:
            other.ask("CancelAllOrdersAfter", timeout=60)
            assert len(owner.open()) == 2
    alone.keys.revoke("other", alone.now_s())
    alone.clock.advance(61)
    with alone, Bot(alone.url, owner.account, first_nonce=1_000) as again:
        alone.until(lambda: len(again.private("OpenOrders")["result"]["open"]) == 1)


def test_odd_times_are_refused(make: Make) -> None:
    bot = make()
    for odd in (-1, "soon", 86_400, 1.5, "", None, [5]):
        assert bot.ask("CancelAllOrdersAfter", timeout=odd) == {"error": ["EGeneral:Invalid arguments:timeout"]}
    assert bot.ask("CancelAllOrdersAfter") == {"error": ["EGeneral:Invalid arguments:timeout"]}


def test_a_key_of_all_orders_sets_krakens_own_switch(make: Make) -> None:
    bot = make(own_orders=False)
    assert bot.allow("CancelAllOrdersAfter", timeout=60)["triggerTime"] != "0"
    assert bot.allow("CancelAllOrdersAfter", timeout=0)["triggerTime"] == "0"


# --- what a restart leaves --------------------------------------------------------------------------------------------


def test_over_a_restart_orders_stay_their_keys_own_and_nonces_taken(alone: OnThread) -> None:
    with alone:
        owner, other = two(alone)
        with owner, other:
            mine = owner.place(cl_ord_id="mine")
    with alone, Bot(alone.url, owner.account) as owner_again, Bot(alone.url, other.account) as other_again:
        used = owner.next_nonce - 1
        assert owner_again.private("OpenOrders", nonce=used) == {"error": ["EAPI:Invalid nonce"]}
        owner_again.next_nonce = other_again.next_nonce = 1_000
        for named in ({"txid": mine}, {"cl_ord_id": "mine"}):
            assert other_again.private("CancelOrder", **named) == {"error": ["EOrder:Unknown order"]}
        assert owner_again.private("CancelOrder", cl_ord_id="mine")["result"]["count"] == 1
        assert owner_again.private("AddOrder", **LIMIT, cl_ord_id="mine")["result"]["txid"] == [mine]
        assert other_again.private("CancelAll")["result"]["count"] == 1
        assert len(owner_again.private("OpenOrders")["result"]["open"]) == 1


# --- share ------------------------------------------------------------------------------------------------------------


def test_a_share_of_the_account_s_budget(desk: OnThread, make: Make) -> None:
    """Starter's counter holds 15 and drains by 0.33 a second; a fifth of that is 3 calls, and one in 15 s."""
    bot, other = make(share=Decimal("0.2")), make("other")
    for _ in range(3):
        bot.allow("OpenOrders")
    before = bot.reached("OpenOrders")
    assert bot.ask("OpenOrders") == RATE_LIMIT
    assert "share" in bot.why
    assert bot.reached("OpenOrders") == before
    other.allow("OpenOrders")
    bot.place()  # orders have counters of their own at Kraken
    desk.clock.advance(16)
    bot.allow("OpenOrders")
    assert bot.ask("OpenOrders") == RATE_LIMIT


# --- its end ----------------------------------------------------------------------------------------------------------


def test_a_key_expires(desk: OnThread, make: Make) -> None:
    bot = make(expires_s=desk.now_s() + 1_000)
    assert bot.ask("GetApiKeyInfo")["result"]["validUntil"] != "0"
    txid = bot.place()
    desk.clock.advance(1_001)
    for method, fields in (("OpenOrders", {}), ("CancelOrder", {"txid": txid}), ("GetApiKeyInfo", {})):
        before = bot.reached(method)
        assert bot.ask(method, **fields) == INVALID_KEY
        assert bot.reached(method) == before


def test_a_key_is_paused_and_goes_on(desk: OnThread, make: Make) -> None:
    bot, other = make(), make("other")
    bot.place()
    desk.keys.pause(bot.account.name)
    for method in ("AddOrder", "CancelAll", "OpenOrders", "GetApiKeyInfo"):
        bot.deny(method, "paused", **(LIMIT if method == "AddOrder" else {}))
    other.allow("OpenOrders")
    desk.keys.resume(bot.account.name)
    assert bot.ask("CancelAll")["result"]["count"] == 1


def test_a_key_is_revoked_while_the_gateway_runs(desk: OnThread, make: Make) -> None:
    bot, other = make(), make("other")
    bot.allow("OpenOrders")
    desk.keys.revoke(bot.account.name, desk.now_s())
    assert bot.ask("OpenOrders") == INVALID_KEY
    assert bot.reached("OpenOrders") == 1
    other.allow("OpenOrders")


def test_a_key_is_rotated_with_grace(desk: OnThread, make: Make) -> None:
    bot = make()
    txid = bot.place()
    made, secret = desk.keys.rotate(bot.account.name, desk.now_s(), grace_s=600)
    with Bot(desk.url, SimAccount(made.name, made.current.key, secret)) as renewed:
        bot.allow("OpenOrders")
        assert list(renewed.private("OpenOrders")["result"]["open"]) == [txid]
        with Bot(desk.url, SimAccount(made.name, made.current.key, bot.account.api_secret)) as mixed:
            assert mixed.private("OpenOrders") == INVALID_SIGNATURE
        desk.clock.advance(601)
        assert bot.ask("OpenOrders") == INVALID_KEY
        assert renewed.private("CancelOrder", txid=txid)["result"]["count"] == 1


def test_a_key_is_rotated_without_grace(desk: OnThread, make: Make) -> None:
    bot = make()
    bot.allow("OpenOrders")
    desk.keys.rotate(bot.account.name, desk.now_s())
    assert bot.ask("OpenOrders") == INVALID_KEY


def test_what_was_denied_is_written_down_with_its_reason(desk: OnThread, make: Make) -> None:
    bot = make()
    bot.deny("Withdraw", "not allowed", asset="XBT", key="mine", amount="1")
    row = desk.audit(bot.account.name)[-1]
    assert (row["method"], row["outcome"], row["errors"]) == ("Withdraw", "denied", DENIED["error"])
    assert "not allowed" in row["why"]
    assert bot.account.api_key not in str(row)
