"""Orders over the wire: real servers, real connections, every way an answer is lost."""

import asyncio
import threading
from decimal import Decimal

import pytest

from sealane import AsyncKraken, InDoubt, Kraken, NotPlaced, Placed, SettingsError
from sealane.core.order import Intent
from sealane.simulator import Simulator

BUY = {"pair": "XBTUSD", "side": "buy", "volume": "0.01", "price": "1000"}
LOST = [
    {"kind": "drop_before"},
    {"kind": "drop_after"},
    {"kind": "http_before", "status": 502},
    {"kind": "http_after", "status": 503},
    {"kind": "html", "applied": True},
    {"kind": "html", "applied": False},
    {"kind": "half"},
    {"kind": "error", "error": "EService:Unavailable", "consume_nonce": False},
    {"kind": "error", "error": "EService:Busy", "consume_nonce": True},
    {"kind": "error", "error": "EGeneral:Internal error", "consume_nonce": True},
]


@pytest.fixture(autouse=True)
def short_lag(monkeypatch):
    monkeypatch.setenv("SEALANE_VISIBILITY_LAG_S", "0.3")


@pytest.fixture
def kraken(keys):
    with Kraken.from_env() as client:
        yield client


def book(sim):
    return sim.state()["accounts"]["MASTER"]["orders"]


def in_book(sim, name):
    return [txid for txid, row in book(sim).items() if row.get("cl_ord_id") == name]


def check(sim, end):
    """What was told is what the exchange has."""
    assert in_book(sim, end.client_order_id) == ([end.txid] if isinstance(end, Placed) else [])


def test_an_undisturbed_order(keys, kraken):
    end = kraken.place_order(**BUY)
    assert isinstance(end, Placed)
    assert (end.how, end.descr) == ("answered", "buy 0.01000000 XBTUSD @ limit 1000.0")
    check(keys, end)
    assert kraken.order(end.client_order_id) == end


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: "-".join(map(str, fault.values())))
@pytest.mark.parametrize(
    "order", [{}, {"order_type": "market", "price": None, "volume": "0.001"}], ids=["limit", "market"]
)
def test_a_lost_answer_is_found_out(keys, kraken, fault, order):
    keys.add_fault(**fault, methods=["AddOrder"], count=1)
    end = kraken.place_order(**BUY | order)
    check(keys, end)
    if not fault.get("consume_nonce"):  # Kraken took the nonce and did nothing: then it was not placed, for certain
        assert isinstance(end, Placed)
        assert end.how in {"replayed", "found"}


def test_answers_that_stay_lost_end_by_the_fence(keys, kraken):
    keys.add_fault("drop_before", methods=["AddOrder"], count=1_000)
    end = kraken.place_order(**BUY, deadline_s=3)
    assert isinstance(end, NotPlaced)
    check(keys, end)
    assert end.kraken_error is None


def test_kraken_s_refusals_are_ends(keys, kraken):
    dear = kraken.place_order(**BUY | {"volume": "1000000"})
    assert dear == NotPlaced("Kraken refused it", "EOrder:Insufficient funds", dear.client_order_id)
    keys.add_fault("error", error="EService:Market in cancel_only mode", methods=["AddOrder"])
    assert kraken.place_order(**BUY).kraken_error == "EService:Market in cancel_only mode"
    keys.add_fault("error", error="EOrder:Rate limit exceeded", methods=["AddOrder"])
    assert kraken.place_order(**BUY).kraken_error == "EOrder:Rate limit exceeded", (
        "with the tier off it is the caller's"
    )
    keys.add_fault("error", error="EService:Deadline elapsed", methods=["AddOrder"])
    assert isinstance(kraken.place_order(**BUY), NotPlaced)
    assert not in_book(keys, dear.client_order_id)


def test_a_limit_is_waited_out_within_the_deadline(keys, monkeypatch):
    monkeypatch.setenv("SEALANE_TIER", "pro")
    keys.add_fault("error", error="EOrder:Rate limit exceeded", methods=["AddOrder"])
    with Kraken.from_env() as kraken:
        end = kraken.place_order(**BUY)
    assert isinstance(end, Placed)
    check(keys, end)


def test_an_order_with_a_warning_is_placed(keys, kraken):
    keys.add_fault("warning", methods=["AddOrder"])
    assert isinstance(kraken.place_order(**BUY), Placed)


def test_nobody_there_is_not_placed_for_certain(keys, monkeypatch):
    monkeypatch.setenv("KRAKEN_SPOT_URL", "http://127.0.0.1:9")
    with Kraken.from_env() as kraken:
        end = kraken.place_order(**BUY, deadline_s=3)
    assert isinstance(end, NotPlaced)


def test_validation_places_nothing(keys, kraken):
    assert kraken.place_order(**BUY, validate=True).reason == "validated only"
    refused = kraken.place_order(**BUY | {"price": "1000.05"}, validate=True)
    assert refused.kraken_error.startswith("EOrder:Invalid price")
    assert book(keys) == {}
    assert kraken.orders() == ()


def test_one_id_is_one_order_whoever_asks_how_often(keys, kraken):
    ends = []

    def ask():
        with Kraken.from_env() as mine:
            ends.append(mine.place_order(**BUY, client_order_id="just once"))

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(ends) == 8
    assert len(set(ends)) == 1
    check(keys, ends[0])
    with pytest.raises(SettingsError, match="just once"):
        kraken.place_order(**BUY | {"volume": "0.02"}, client_order_id="just once")


@pytest.mark.parametrize("field", ["volume", "price"])
def test_a_float_is_refused_and_nothing_is_sent(keys, kraken, field):
    with pytest.raises(SettingsError, match=field):
        kraken.place_order(**BUY | {field: 0.1})
    assert kraken.place_order(**BUY | {field: Decimal(BUY[field])}).txid
    assert len(book(keys)) == 1


def test_a_doubt_that_outlasts_its_caller_goes_on_in_the_background(keys, kraken):
    keys.add_fault("drop_after", methods=["AddOrder"], count=1)
    keys.add_fault("drop_before", count=1_000)
    with pytest.raises(InDoubt) as doubt:
        kraken.place_order(**BUY, deadline_s=3, timeout_s=3.5)
    name = doubt.value.client_order_id
    with pytest.raises(InDoubt):
        kraken.order(name)
    assert [intent.id for intent in kraken.orders(in_doubt=True)] == [name]
    keys.clear_faults()
    end = kraken.await_order(name, timeout_s=30)
    assert isinstance(end, Placed)
    check(keys, end)
    assert kraken.order(name) == end
    assert kraken.orders(in_doubt=True) == ()


def test_a_restart_finds_out_what_the_last_process_left(keys, kraken):
    """Its intent stands, its order is on the book, its owner is dead."""
    end = kraken.place_order(**BUY)
    log = kraken._session.intents
    left = Intent.loaded(log.read(end.client_order_id))
    log.write(left.id, {**left.stored(), "ends": {}, "settled": False, "owner": "0" * 24}, sync=True)
    with Kraken.from_env() as after:
        found = after.await_order(end.client_order_id)
    assert (found.txid, found.how) == (end.txid, "found")


def test_with_a_nonce_window_nothing_is_sent_twice_and_that_is_said_once(keys, caplog):
    keys.update_account("MASTER", nonce_window=10**12)
    keys.add_fault("drop_after", methods=["AddOrder"], count=2)
    with Kraken.from_env() as kraken:
        ends = [kraken.place_order(**BUY, deadline_s=3) for _ in range(2)]
    for end in ends:
        assert isinstance(end, Placed)
        check(keys, end)
    methods = [entry["method"] for entry in keys.journal()["entries"]]
    assert methods.count("AddOrder") == 2
    assert caplog.text.count("nonce window of 1000000000000") == 1


def test_async_orders(keys):
    keys.add_fault("drop_after", methods=["AddOrder"], count=3)

    async def place():
        async with AsyncKraken.from_env() as kraken:
            ends = await asyncio.gather(*(kraken.place_order(**BUY) for _ in range(10)))
            assert await kraken.await_order(ends[0].client_order_id) == kraken.order(ends[0].client_order_id)
            return ends

    ends = asyncio.run(place())
    assert all(isinstance(end, Placed) for end in ends)
    for end in ends:
        check(keys, end)
    assert keys.journal()["summary"]["max_overlap"] == 1


def test_a_cancelled_task_leaves_its_order_to_the_background(keys):
    keys.add_fault("hang", methods=["AddOrder"], applied=True, hang_s=0.5, count=1)

    async def give_up():
        async with AsyncKraken.from_env() as kraken:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(kraken.place_order(**BUY, client_order_id="given up"), 0.2)
            return await kraken.await_order("given up", timeout_s=30)

    end = asyncio.run(give_up())
    assert isinstance(end, Placed)
    check(keys, end)


def test_a_txid_that_another_order_had_hides_none(into_environment, monkeypatch, tmp_path):
    """Two exchanges that count alike: what the first one's order had, the second's has too."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    txids = []
    for lost in (False, True):
        with Simulator(accounts=1, seed=11) as simulator:
            into_environment(simulator)
            if lost:
                simulator.add_fault("drop_after", methods=["AddOrder"], count=1)
            with Kraken.from_env() as client:
                end = client.place_order(**BUY)
            assert isinstance(end, Placed)
            txids.append(end.txid)
    assert txids[0] == txids[1]
