"""An order whose host loses the lane: what was not sent waits for its turn again, what was sent keeps its doubt."""

import time

import pytest

from sealane import Kraken
from sealane.core.cancelling import Cancelled
from sealane.core.order import Intent, NotPlaced, Placed
from sealane.errors import Fenced
from sealane.simulator import Simulator
from sealane.store.memory import MemoryStore

ORDER = {"pair": "XBTUSD", "side": "buy", "volume": "0.001", "price": "1000", "client_order_id": "one"}


@pytest.fixture
def sim():
    with Simulator(accounts=1) as simulator:
        yield simulator


@pytest.fixture
def kraken(sim, monkeypatch):
    monkeypatch.setenv("SEALANE_VISIBILITY_LAG_S", "0.1")
    account = sim.accounts[0]
    known = {"api_key": account.api_key, "api_secret": account.api_secret, "url": sim.url}
    with Kraken(**known, store=MemoryStore()) as client:
        client.private("GetApiKeyInfo")
        yield client


class Lease:
    """Says in the lane's place whether the lease is good: not for the requests numbered in ``lost``."""

    def __init__(self, kraken, lost, meanwhile=lambda: None):
        self.asked, self.lost, self.meanwhile = 0, set(lost), meanwhile
        kraken._session.lane.store.check = self.check

    def check(self):
        self.asked += 1
        if self.asked in self.lost:
            self.meanwhile()
            raise Fenced("the lease is over")


def in_book(sim):
    orders = sim.state()["accounts"]["MASTER"]["orders"]
    return [row.get("cl_ord_id") for row in orders.values()]


@pytest.mark.parametrize("lost", [{1}, {2}, {1, 2}, {2, 3, 4}])
def test_what_was_not_sent_is_sent_in_the_next_turn(kraken, sim, lost):
    Lease(kraken, lost)
    assert isinstance(kraken.place_order(**ORDER), Placed)
    assert in_book(sim) == ["one"]
    assert not kraken.orders(in_doubt=True)


def test_a_lane_that_is_lost_again_and_again_leaves_an_order_that_was_not_placed(kraken, sim):
    Lease(kraken, range(1, 100))
    end = kraken.place_order(**ORDER)
    assert isinstance(end, NotPlaced)
    assert "lease" in end.reason
    assert in_book(sim) == []
    assert kraken.order("one") == end


@pytest.mark.parametrize("lost", [{1}, {1, 2, 3, 4, 5}])
def test_a_cancellation_waits_for_the_lane_as_well(kraken, lost):
    kraken.place_order(**ORDER)
    Lease(kraken, lost)
    assert isinstance(kraken.cancel_order(client_order_id="one"), Cancelled)


@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
def test_what_was_sent_is_looked_for_where_its_copy_may_not_leave(kraken, sim, fault):
    sim.add_fault(fault, methods=["AddOrder"])
    Lease(kraken, {2, 3})  # after the order its copy, and the fence in the same turn
    end = kraken.place_order(**ORDER)
    assert isinstance(end, Placed) == (fault == "drop_after") == (in_book(sim) == ["one"])


def test_an_accepted_order_is_placed_though_its_key_could_not_be_noted(kraken, sim):
    """The lease ended, or the engine went away, while the order was on the wire."""
    store = kraken._session.lane.store
    written, write_key = [], store.write_key

    def fails(fingerprint, state):
        written.append(state["refused_in_a_row"])
        if not state["refused_in_a_row"]:
            raise Fenced("the lease is over")
        write_key(fingerprint, state)

    sim.update_account("MASTER", nonce=time.time_ns() + 30_000_000_000)
    store.write_key = fails
    assert isinstance(kraken.place_order(**ORDER), Placed)
    assert in_book(sim) == ["one"]
    assert written == [1, 0]  # it was refused, and then accepted


def test_an_end_that_others_found_out_meanwhile_stands(kraken, sim):
    """This process was taken for dead between its intent and its bytes: its order was looked for and not found."""
    intents, end = kraken._session.intents, NotPlaced("looked for", None, "one")

    def settle():
        intents.write("one", Intent.loaded(intents.read("one")).with_ends({"one": end}).stored(), sync=True)

    Lease(kraken, {1}, settle)
    assert kraken.place_order(**ORDER) == end
    assert in_book(sim) == []
