"""A write drops the cached balance, before it goes and after it ended."""

from decimal import Decimal

import pytest

from sealane.broker import KrakenBroker
from sealane.core.balance import Balance
from sealane.errors import InDoubt, Refused

BUY = {"pair": "XBTUSD", "side": "buy", "volume": "1"}


class Client:
    """A client that lets the test look on while a write is under way."""

    account, identity = "MASTER", ("key", "url", "store")

    def __init__(self):
        self.asked, self.meanwhile = 0, lambda: None

    def fresh_balance(self):
        self.asked += 1
        return Balance({"ZUSD": Decimal(self.asked)}, 1_000.0)

    def holds_turn(self):
        return False

    def place_order(self, **_order):
        self.meanwhile()

    def private(self, _method, _params):
        self.meanwhile()


@pytest.fixture
def broker():
    with KrakenBroker(client=Client(), balance_cache_s=3_600) as broker:
        yield broker


WRITES = {
    "place_order": lambda broker: broker.place_order(**BUY),
    "CancelAll": lambda broker: broker._kraken_private_call("CancelAll"),
    "a method that nobody knows": lambda broker: broker._kraken_private_call("Abracadabra"),
}


@pytest.mark.parametrize("write", WRITES)
def test_nothing_cached_serves_while_it_is_under_way(broker, write):
    assert broker.get_account_balance() == 1
    seen = []
    broker.client.meanwhile = lambda: seen.append(broker.get_account_balance())
    WRITES[write](broker)
    assert seen == [2]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("end", [None, InDoubt("AddOrder", 1, "lost"), Refused("AddOrder", ("EOrder:No",))], ids=repr)
def test_what_was_read_meanwhile_does_not_serve_after_it(broker, write, end):
    def meanwhile():
        broker.get_account_balance()
        if end is not None:
            raise end

    broker.client.meanwhile = meanwhile
    try:
        WRITES[write](broker)
    except (InDoubt, Refused) as error:
        assert error is end
    assert broker.client.asked == 1
    assert broker.get_account_balance() == 2


def test_a_read_leaves_the_cache(broker):
    broker.get_account_balance()
    broker._kraken_private_call("OpenOrders")
    assert broker.get_account_balance() == 1
