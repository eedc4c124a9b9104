"""A copy between stores: floors only rise, what the target knows stays, and orders end where somebody sees to them."""

import pytest

from sealane.client.copying import carried, copy_store
from sealane.core.counter import Counter
from sealane.core.rates import Rates
from sealane.core.recovery import KeyState
from sealane.errors import SettingsError
from sealane.store.file import FileStore
from sealane.store.hosted_store import HostedStore
from sealane.store.memory import MemoryStore
from sealane.testing import TableEngine

LANE, KEY, OTHER = "kraken_global_nonce", "0123abcd", "89abcdef"
FAR = 3 * 10**18
DEAD = "nobody"


@pytest.fixture
def stores(tmp_path):
    """A folder, another, and a host of an engine in memory."""
    engine = TableEngine(lambda: 10**12, lease_ms=60_000)
    engine.has_known(LANE)
    found = FileStore(tmp_path / "one"), FileStore(tmp_path / "two"), HostedStore(engine, FileStore(tmp_path / "h"))
    yield found
    for store in found:
        store.intents().close()
    found[2].close()


def used(store, *, floor=FAR, key=None, fingerprint=KEY, rates=None, name=LANE):
    """A lane of the store after some use."""
    lane = store.lane(name)
    if not lane.try_enter():
        lane.wait_enter()
    lane.raise_floor(floor)
    if key is not None:
        lane.write_key(fingerprint, key.stored())
    if rates is not None:
        lane.revise_rates("MASTER", lambda _: (rates.stored(), None))
    lane.leave()
    lane.close()


def key_of(store, fingerprint=KEY, name=LANE):
    return KeyState.loaded(store.contents(name).keys[fingerprint])


def rates(fingerprint, level=3.0):
    return Rates({f"key {fingerprint}": Counter(level=level, at_ns=5)})


@pytest.mark.parametrize("at", [1, 2], ids=["file", "engine"])
def test_all_of_it_comes_over_and_each_key_is_fenced(stores, at):
    source, target = stores[0], stores[at]
    used(source, key=KeyState(refused_in_a_row=2, quarantined_ns=7, diagnosis="stopped"), rates=rates(KEY))
    done = copy_store(source, target)
    (lane,) = done.lanes
    assert (lane.raised, lane.keys, lane.kept, lane.accounts) == (True, (KEY,), (), ("MASTER",))
    assert lane.stands == lane.floor == source.contents(LANE).floor >= FAR, "the mark covers a little more"
    assert key_of(target) == KeyState(refused_in_a_row=2, quarantined_ns=7, diagnosis="stopped", fence_due=True)
    assert target.contents(LANE).floor >= FAR
    assert Rates.loaded(target.contents(LANE).rates["MASTER"]).counters[f"key {KEY}"].level == 3.0


def test_and_back_from_an_engine(stores):
    folder, _, hosted = stores
    used(hosted, key=KeyState(refused_in_a_row=1), rates=rates(KEY))
    copy_store(hosted, folder)
    assert folder.contents(LANE).floor >= FAR
    assert key_of(folder).refused_in_a_row == 1
    assert "MASTER" in folder.contents(LANE).rates


def test_the_lease_is_let_go_at_the_end(stores):
    source, _, hosted = stores
    used(source)
    copy_store(source, hosted)
    assert hosted.engine.show(LANE).record.host == ""
    assert hosted.engine.show(LANE).record.clean


def test_a_second_copy_changes_nothing(stores):
    source, target, _ = stores
    used(source, key=KeyState(refused_in_a_row=2))
    copy_store(source, target)
    before = target.contents(LANE)
    (lane,) = copy_store(source, target).lanes
    assert (lane.raised, lane.keys, lane.kept) == (False, (), (KEY,))
    assert target.contents(LANE) == before


def test_a_floor_is_never_lowered(stores):
    source, target, _ = stores
    used(source, floor=FAR)
    used(target, floor=FAR + 10**15)
    (lane,) = copy_store(source, target).lanes
    assert not lane.raised
    assert lane.stands == FAR + 10**15 <= target.contents(LANE).floor


def test_what_the_target_knows_of_a_key_stays(stores):
    source, target, _ = stores
    used(source, key=KeyState(quarantined_ns=7, diagnosis="stopped"))
    used(target, key=KeyState(refused_in_a_row=1))
    (lane,) = copy_store(source, target).lanes
    assert (lane.keys, lane.kept, lane.stopped) == ((), (KEY,), (KEY,))
    assert key_of(target) == KeyState(refused_in_a_row=1)


@pytest.mark.parametrize(
    ("theirs", "ours", "fence", "after"),
    [
        (KeyState(), KeyState(), False, None),
        (KeyState(fence_due=True), KeyState(), False, KeyState(fence_due=True)),
        (KeyState(), KeyState(), True, KeyState(fence_due=True)),
        (KeyState(), KeyState(fence_due=True), False, None),
        (KeyState(locked_until_ns=9), KeyState(locked_until_ns=5), False, KeyState(locked_until_ns=9)),
        (KeyState(locked_until_ns=5), KeyState(locked_until_ns=9), False, None),
    ],
)
def test_only_what_holds_a_key_back_is_added(theirs, ours, fence, after):
    assert carried(theirs.stored(), ours.stored(), fence=fence) == (after and after.stored())


def test_a_write_under_way_has_its_key_fenced(stores):
    source, target, _ = stores
    lane = source.lane(LANE)
    assert lane.try_enter()
    lane.raise_floor(FAR)
    lane.write_turn({"fingerprint": OTHER, "method": "AddOrder", "nonce": FAR})
    lane.leave()
    lane.close()
    copy_store(source, target)
    assert key_of(target, OTHER).fence_due


def test_a_key_s_own_lane_takes_its_own_things_alone(stores):
    source, target, _ = stores
    for fingerprint in (KEY, OTHER):
        used(source, name=f"kraken_key_{fingerprint}", fingerprint=fingerprint, key=KeyState(), rates=rates(KEY))
    lanes = {lane.lane: lane for lane in copy_store(source, target).lanes}
    assert lanes[f"kraken_key_{KEY}"].keys == (KEY,)
    assert lanes[f"kraken_key_{KEY}"].accounts == ("MASTER",)
    assert lanes[f"kraken_key_{OTHER}"].keys == (OTHER,)
    assert lanes[f"kraken_key_{OTHER}"].accounts == ()


def test_orders_come_over_once_nobody_works_on_them(stores):
    source, target, _ = stores
    used(source)
    log = source.intents()
    log.write("done", {"settled": True, "n": 1}, sync=False)
    log.write("left", {"owner": DEAD, "order_ids": ["left", "more"]}, sync=False)
    log.write("mine", {"owner": log.owner()}, sync=False)
    orders = copy_store(source, target).orders
    assert (orders.written, orders.known, orders.under_way) == (2, 0, 1)
    there = target.intents()
    assert there.read("done") == {"settled": True, "n": 1}
    assert there.read("more") == {"owner": DEAD, "order_ids": ["left", "more"]}
    assert there.read("mine") is None
    log.write("mine", {"owner": log.owner(), "settled": True}, sync=False)
    log.write("left", {"settled": True}, sync=False)
    orders = copy_store(source, target).orders
    assert (orders.written, orders.known, orders.under_way) == (2, 1, 0)
    assert there.unsettled() == {}


def test_an_order_that_the_target_settled_stays_settled(stores):
    source, target, _ = stores
    used(source)
    source.intents().write("left", {"owner": DEAD}, sync=False)
    target.intents().write("left", {"settled": True, "end": "placed"}, sync=False)
    assert copy_store(source, target).orders.known == 1
    assert target.intents().read("left") == {"settled": True, "end": "placed"}


def test_orders_keep_their_age(stores):
    source, target, _ = stores
    used(source)
    for number in range(5):
        source.intents().write(f"o{number}", {"settled": True}, sync=False)
    copy_store(source, target)
    assert [name for name, _ in target.intents().recent(9)] == ["o4", "o3", "o2", "o1", "o0"]


def test_what_is_no_copy_is_refused(stores, tmp_path):
    with pytest.raises(SettingsError, match="same store"):
        copy_store(stores[0], FileStore(tmp_path / "one"))
    with pytest.raises(SettingsError, match="holds no lane"):
        copy_store(FileStore(tmp_path / "nothing"), stores[1])
    assert not (tmp_path / "nothing").exists()
    assert MemoryStore().lanes() == []
