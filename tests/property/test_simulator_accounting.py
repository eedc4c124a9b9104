"""Whatever is asked of the simulated exchange, and however late: its books agree, and it can be replayed."""

from decimal import Decimal as D

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealane.simulator.facts import Refused
from trading_desk import Desk

NAMES = ("MASTER", "user1")
PAIRS = ("XBTUSD", "ETHUSD", "USDCUSD")
VOLUMES = {"XBTUSD": D("0.07"), "ETHUSD": D("1.3"), "USDCUSD": D(3100)}

pairs = st.sampled_from(PAIRS)
offsets = st.sampled_from(["+", "-", "#"]).flatmap(
    lambda sign: st.decimals("0", "0.12", places=3).map(lambda percent: f"{sign}{percent}%")
)
distances = st.decimals("0.001", "0.1", places=3).map(lambda percent: f"+{percent}%")
sizes = st.decimals("0.5", "60", places=3)
fees = st.sampled_from([None, "fcib", "fciq"])


def shaped(**more):
    """The fields of an order of one kind; its volume is still a factor."""
    common = {"pair": pairs, "type": st.sampled_from(["buy", "sell"]), "volume": sizes, "oflags": fees}
    kinds = {"stptype": st.sampled_from(["cancel-newest", "cancel-oldest", "cancel-both"])}
    return st.fixed_dictionaries(common | kinds | more)


orders = st.one_of(
    shaped(ordertype=st.just("market"), starttm=st.sampled_from([None, "+7"])),
    shaped(
        ordertype=st.just("limit"),
        price=offsets,
        timeinforce=st.sampled_from(["GTC", "GTC", "IOC", "FOK"]),
        expiretm=st.sampled_from([None, "+11"]),
        userref=st.sampled_from([None, "7"]),
    ),
    shaped(ordertype=st.just("limit"), price=offsets, oflags=st.sampled_from(["post", "fcib,post"])),
    shaped(ordertype=st.just("iceberg"), price=offsets, displayvol=st.just("third")),
    shaped(ordertype=st.sampled_from(["stop-loss", "take-profit"]), price=offsets),
    shaped(ordertype=st.sampled_from(["stop-loss-limit", "take-profit-limit"]), price=offsets, price2=offsets),
    shaped(ordertype=st.just("trailing-stop"), price=distances),
    shaped(ordertype=st.just("trailing-stop-limit"), price=distances, price2=distances),
)
picks = st.integers(0, 30)
steps = st.one_of(
    st.tuples(st.just("place"), orders),
    st.tuples(st.just("place"), orders),
    st.tuples(st.just("place"), orders),
    st.tuples(st.just("wait"), st.sampled_from([1, 2, 5, 60, 3600])),
    st.tuples(st.just("wait"), st.sampled_from([1, 2, 5, 60, 3600])),
    st.tuples(st.just("batch"), st.lists(orders, min_size=2, max_size=4)),
    st.tuples(st.just("amend"), st.tuples(picks, sizes, offsets)),
    st.tuples(st.just("edit"), st.tuples(picks, sizes, offsets)),
    st.tuples(st.just("cancel"), picks),
    st.tuples(st.just("all"), st.sampled_from(["CancelAll", "CancelAllOrdersAfter"])),
)
stories = st.lists(st.tuples(st.sampled_from(NAMES), steps), min_size=10, max_size=40)


def fields_of(drawn):
    """The drawn order with a volume that suits its pair."""
    volume = (VOLUMES[drawn["pair"]] * drawn["volume"]).quantize(D("0.000001"))
    fields = drawn | {"volume": str(volume)}
    if fields.get("displayvol"):
        fields["displayvol"] = str((volume / 3).quantize(D("0.000001")))
    return {name: value for name, value in fields.items() if value is not None}


def act(desk, by, step):
    """Take one step of a story; what was answered."""
    kind, detail = step
    live = list(desk.accounts[by].open.values())
    if kind == "wait":
        return desk.after(detail)
    if kind == "place":
        return desk.call("AddOrder", by=by, **fields_of(detail))
    if kind == "batch":
        rows = [fields_of(row | {"pair": "XBTUSD"}) for row in detail]
        return desk.call("AddOrderBatch", by=by, pair="XBTUSD", orders=rows)
    if kind == "all":
        return desk.call(detail, by=by, timeout="20")
    if not live:
        return None
    if kind == "cancel":
        return desk.call("CancelOrder", by=by, txid=live[detail % len(live)].txid)
    return change(desk, by, kind, live[detail[0] % len(live)], detail)


def change(desk, by, kind, order, detail):
    volume = str((VOLUMES[order.pair.altname] * detail[1]).quantize(D("0.000001")))
    if kind == "edit":
        return desk.call("EditOrder", by=by, pair=order.pair.altname, txid=order.txid, volume=volume)
    fields = {"order_qty": volume} | ({"limit_price": detail[2]} if order.limit is not None else {})
    return desk.call("AmendOrder", by=by, txid=order.txid, **fields)


def rich_desk():
    desk = Desk(seed=5, volatility=0.0004)
    for name in NAMES:
        desk.fund(name, ZUSD="600000.0001", XXBT="8.00000001", USDC="300000")
    return desk


def tell(story, *, audit):
    """Every answer of a story, and the balances at its end."""
    desk, told = rich_desk(), []
    for by, step in story:
        try:
            told.append(act(desk, by, step))
        except Refused as refused:
            told.append(refused.error)
        if audit:
            desk.audit()
    desk.after(100)
    if audit:
        desk.audit()
    return told, [desk.call("BalanceEx", by=name) for name in NAMES], desk.call("TradesHistory")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stories)
def test_balances_holds_ledgers_and_books_agree_after_every_step(story):
    tell(story, audit=True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stories)
def test_the_same_calls_at_the_same_times_get_the_same_answers(story):
    assert tell(story, audit=False) == tell(story, audit=False)
