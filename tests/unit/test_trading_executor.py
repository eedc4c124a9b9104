"""The executor: every signal ends, within the limits, and what stops the signals behind it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from account_fakes import LIMITS, NOW_NS, FakeBroker, market
from sealane.core.order import NotPlaced
from sealane.errors import InDoubt, NotDurable, Quarantined, Refused, SettingsError, Unavailable
from sealane.trading.executor import End, Executor
from sealane.trading.strategy import Signal

BUY = Signal("XBTUSD", "buy", Decimal("0.001"), Decimal(40_000))
SELL = Signal("BTC/USD", "sell", Decimal("0.001"))


def execute(broker, *signals, live=True, limits=LIMITS, stopping=lambda: False, capital="1000"):
    executor = Executor(broker, limits, live, lambda: NOW_NS, stopping)
    return executor.execute(signals, market(), Decimal(capital))


def test_signals_are_placed_in_their_order_and_under_krakens_names():
    broker = FakeBroker()
    buy, sell = execute(broker, BUY, SELL)
    assert (buy.end, buy.txid, buy.client_order_id, buy.went_through) == (End.PLACED, "OX", "our-1", True)
    assert sell.end is End.PLACED
    assert broker.orders == [
        {
            "pair": "XBTUSD",
            "side": "buy",
            "volume": Decimal("0.001"),
            "order_type": "limit",
            "validate": False,
            "price": Decimal(40_000),
        },
        {
            "pair": "XBTUSD",
            "side": "sell",
            "volume": Decimal("0.001"),
            "order_type": "market",
            "validate": False,
        },
    ]


def test_unless_it_is_live_kraken_only_checks():
    broker = FakeBroker()
    ends = execute(broker, BUY, SELL, live=False)
    assert [end.end for end in ends] == [End.VALIDATED, End.VALIDATED]
    assert [order["validate"] for order in broker.orders] == [True, True]
    assert [end.client_order_id for end in ends] == ["", ""], "nothing is there by that name"


@pytest.mark.parametrize("live", [True, False])
def test_what_a_limit_keeps_back_never_reaches_the_broker_and_the_next_goes_on(live):
    broker = FakeBroker()
    large = replace(BUY, volume=Decimal(1))
    kept, buy, sell = execute(broker, large, BUY, SELL, live=live, limits=replace(LIMITS, buys_off=False))
    assert (kept.end, kept.went_through) == (End.BLOCKED, False)
    assert "largest order" in kept.reason
    assert buy.went_through
    assert sell.went_through
    assert len(broker.orders) == 2


def test_hard_buy_off_blocks_the_buy_and_places_the_sell():
    broker = FakeBroker()
    buy, sell = execute(broker, BUY, SELL, limits=replace(LIMITS, buys_off=True))
    assert (buy.end, sell.end) == (End.BLOCKED, End.PLACED)
    assert [order["side"] for order in broker.orders] == ["sell"]


def test_several_buys_together_leave_the_least_capital():
    """Each is worth 40 and 50 have to stay: of 200 the fourth would leave 40."""
    broker = FakeBroker()
    ends = execute(broker, *[BUY] * 5, capital="200")
    assert [end.end for end in ends] == [End.PLACED] * 3 + [End.BLOCKED] * 2
    assert "of 80 USD it would leave 40.00 USD" in ends[3].reason
    assert len(broker.orders) == 3


def test_what_was_not_bought_is_still_there():
    broker = FakeBroker(ends=[NotPlaced("Kraken refused it", "EOrder:Insufficient funds")])
    sell_and_buy = execute(broker, BUY, SELL, BUY, BUY, capital="100")
    assert [end.end for end in sell_and_buy] == [End.NOT_PLACED, End.PLACED, End.PLACED, End.BLOCKED]


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (NotPlaced("Kraken refused it", "EOrder:Insufficient funds"), "Kraken refused it: EOrder:Insufficient funds"),
        (Refused("AddOrder", ("EOrder:Post only order",)), "EOrder:Post only order"),
        (SettingsError("volume is 'x'"), "volume is 'x'"),
    ],
)
def test_an_answer_about_one_order_does_not_stop_the_next(end, said):
    broker = FakeBroker(ends=[end])
    buy, sell = execute(broker, BUY, SELL)
    assert (buy.end, sell.end) == (End.NOT_PLACED, End.PLACED)
    assert said in buy.reason


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (InDoubt("AddOrder", 1, "no answer", client_order_id="mine"), End.IN_DOUBT),
        (Unavailable("no turn"), End.NOT_PLACED),
        (Quarantined("MASTER", "far ahead"), End.NOT_PLACED),
        (NotDurable("disk full"), End.NOT_PLACED),
    ],
)
def test_trouble_that_is_not_about_one_order_stops_those_behind(error, end):
    broker = FakeBroker(ends=[error])
    buy, sell = execute(broker, BUY, SELL)
    assert (buy.end, sell.end) == (end, End.NOT_REACHED)
    assert str(error) in buy.reason
    assert len(broker.orders) == 1
    assert buy.client_order_id == ("mine" if end is End.IN_DOUBT else "")


@pytest.mark.parametrize("answer", [RuntimeError("a bug"), {"txid": "?"}])
@pytest.mark.parametrize(("live", "end"), [(True, End.IN_DOUBT), (False, End.NOT_PLACED)])
def test_an_answer_that_nobody_understands_is_in_doubt_where_something_may_have_been_placed(caplog, answer, live, end):
    broker = FakeBroker(ends=[answer])
    buy, sell = execute(broker, BUY, SELL, live=live)
    assert (buy.end, sell.end) == (end, End.NOT_REACHED)
    assert "RuntimeError: a bug" in buy.reason or "dict" in buy.reason
    assert caplog.records


def test_after_a_stop_no_further_signal_starts():
    broker = FakeBroker()
    buy, sell = execute(broker, BUY, SELL, stopping=lambda: bool(broker.orders))
    assert (buy.end, sell.end, sell.reason) == (End.PLACED, End.NOT_REACHED, "stopping")
    assert len(broker.orders) == 1
