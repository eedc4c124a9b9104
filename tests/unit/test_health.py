"""The verdict on what was seen: every row of the table of states, and that nothing gets better by being asked for."""

import json
from dataclasses import replace

import pytest

from sealane import Fenced
from sealane.broker.port import ErrorKind
from sealane.client.statistics import CounterFigures
from sealane.core.events import CallSettled, LaneJumped, NonceRefused, UnfinishedTurnFound
from sealane.core.verdict import Outcome
from sealane.gateway.dashboard.page import page
from sealane.gateway.dashboard.words import lasted
from sealane.gateway.documents import health_document, live_document, ready_document
from sealane.gateway.health import Status, judged
from sealane.gateway.metrics import METRICS
from sealane.gateway.sightings import AccountSeen, KeySeen, LaneSeen, Member, RoundSeen, Sighting, StoreSeen
from sealane.gateway.state import State, state_now
from sealane.gateway.statistics import statistics
from sealane.gateway.tallies import CALLS, JUMPS, OTHER, REFUSALS, UNFINISHED, Tallies
from sealane.gateway.traffic import Traffic
from sealane.gateway.watch_settings import ENGINE_MISSES_MAX, LANE_AWAITED
from sealane.runtime.lanes import Lane, busy
from sealane.store.file import FileStore
from sealane.store.hosted_store import HostedStore
from sealane.store.memory import MemoryStore
from sealane.store.port import LeaseView
from sealane.testing import FakeClock, TableEngine

NS = 10**9
NOW_NS, NOW_S = 1_000 * NS, 1_800_000_000.0
NONCE = 1_800_000_000_123_456_789


def ago(seconds):
    return NOW_NS - int(seconds * NS)


KEY = KeySeen(seen_ns=ago(1))
ACCOUNT = AccountSeen(seen_ns=ago(1), as_of=NOW_S - 5, asked_ns=ago(5))
LANE = LaneSeen("global", ago(1), last_nonce=NONCE, stored_s=NOW_S - 5, issued=7)
STORE = StoreSeen("file", "", ago(2))
ROUNDS = tuple(
    RoundSeen(name, every_s, True, ended_ns=ago(1)) for name, every_s in (("look", 2), ("store", 5), ("accounts", 30))
)


def sighting(key=KEY, account=ACCOUNT, **changes):
    """All is well with ``anna``; MASTER is as told."""
    seen = Sighting(
        members=(Member("MASTER", "…Ab3x", "global"), Member("anna", "…Cd4y", "global")),
        watch_s=30.0,
        simulation="",
        lanes_setting="global",
        started_ns=ago(100),
        rounds=ROUNDS,
        store=STORE,
        lanes=(LANE,),
        keys={"MASTER": key, "anna": KEY},
        accounts={"MASTER": account, "anna": ACCOUNT},
    )
    return replace(seen, **changes)


def state(seen):
    tallies = Tallies({"f1": "MASTER", "f2": "anna"}, lambda: int(NOW_S * NS))
    return State(seen, tallies.now(), judged(seen, NOW_NS, NOW_S), NOW_NS, NOW_S)


def page_of(now):
    return page(statistics(now, Traffic(FakeClock()).seen(), show_amounts=True))


def test_where_all_is_well_it_passes():
    verdict = judged(sighting(), NOW_NS, NOW_S)
    assert verdict.status is Status.PASS
    assert verdict.reasons == []
    assert {check.status for check in verdict.accounts.values()} == {Status.PASS}


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"rounds": ()}, "fail", "nothing has been looked at"),
        ({"rounds": (replace(ROUNDS[0], alive=False), *ROUNDS[1:])}, "fail", "'look' has ended"),
        ({"rounds": (replace(ROUNDS[0], ended_ns=None), *ROUNDS[1:])}, "fail", "'look' has not come to its end"),
        ({"rounds": (replace(ROUNDS[0], ended_ns=ago(17)), *ROUNDS[1:])}, "fail", "'look' last ended 17 s ago"),
        ({"rounds": (*ROUNDS[:2], replace(ROUNDS[2], ended_ns=ago(101)))}, "fail", "'accounts' last ended 101 s ago"),
        ({"rounds": (*ROUNDS[:2], replace(ROUNDS[2], ended_ns=ago(99)))}, "pass", ""),
        ({"rounds": (ROUNDS[0], replace(ROUNDS[1], began_ns=ago(11)), ROUNDS[2])}, "fail", "under way for 11 s"),
        ({"store": None}, "fail", "not been tried"),
        ({"store": StoreSeen("file", "no space left", ago(1))}, "fail", "no space left"),
        ({"lanes": (replace(LANE, error="gone"),)}, "fail", "cannot be read: gone"),
        ({"lanes": (replace(LANE, clock_doubted=True),)}, "warn", "the clock leaped"),
        ({"lanes": (replace(LANE, serialized=False),)}, "warn", "serialization is disabled"),
    ],
)
def test_the_whole(changes, status, said):
    verdict = judged(sighting(**changes), NOW_NS, NOW_S)
    assert verdict.status.value == status
    assert said in "; ".join(verdict.reasons)


def counter(**fields):
    return (CounterFigures("rest", 3.0, 15.0, 9.0, 0.0, **fields),)


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"diagnosis": "nonce 5 was refused", "quarantined_s": 5.0}, "fail", "quarantined: nonce 5 was refused"),
        ({"error": "cannot read"}, "fail", "cannot read"),
        ({"refused_in_a_row": 1}, "warn", "1 in a row"),
        ({"jumps": 2}, "warn", "2 jumps"),
        ({"locked_s": 120.0}, "warn", "another 120 s"),
        ({"doubts": 2, "oldest_doubt_s": NOW_S - 30}, "warn", "orders in doubt: 2, the oldest for 30 s"),
        ({"doubts": 1, "oldest_doubt_s": NOW_S - 1}, "pass", ""),
        ({"counters": counter(blocked_s=4.0)}, "warn", "throttles the key for another 4 s"),
        ({"counters": counter()}, "pass", ""),
    ],
)
def test_a_key(changes, status, said):
    of_account(sighting(key=replace(KEY, **changes)), status, said)


REFUSED = {
    "error_count": 1,
    "error": "EAPI:Invalid key",
    "error_kind": ErrorKind.REFUSED_KEY,
    "next_try_s": 250.0,
}
BUSY = {"error_count": 1, "error": "lane global was busy for 60 s", "error_kind": ErrorKind.LANE_BUSY}


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"asked_ns": None, "as_of": None}, "fail", "no answer from Kraken yet"),
        ({"as_of": None}, "fail", "no answer from Kraken yet"),
        (
            {"available": False, "error_count": 3, "error": "reset"},
            "fail",
            "unavailable after 3 errors in a row: reset",
        ),
        ({"error_count": 1, "error": "reset", "as_of": None}, "fail", "never answered so far: reset"),
        ({"error_count": 1, "error": "reset"}, "warn", "errors in a row: 1, the last: reset"),
        (REFUSED, "fail", "refuses this key until a person acts: EAPI:Invalid key; it is asked again within 250 s"),
        (REFUSED | {"as_of": None, "available": False, "error_count": 3}, "fail", "refuses this key until"),
        (REFUSED | {"error_count": 0, "error": "", "error_kind": ErrorKind.NONE}, "pass", ""),
        (BUSY, "warn", "waits for its turn on lane global; the last try: lane global was busy"),
        (BUSY | {"available": False, "error_count": 3, "as_of": None}, "warn", "waits for its turn on lane global"),
        (BUSY | {"asked_ns": ago(229)}, "warn", "waits for its turn"),
        (BUSY | {"asked_ns": ago(231)}, "fail", "last asked 231 s ago"),
        ({"asked_ns": ago(101)}, "fail", "last asked 101 s ago"),
        ({"asked_ns": ago(101), "error_count": 1, "error": "reset", "next_try_s": 9.0}, "fail", "last asked 101 s ago"),
    ],
)
def test_a_broker(changes, status, said):
    of_account(sighting(account=replace(ACCOUNT, **changes)), status, said)


def of_account(seen, status, said):
    """One account's trouble is its own: the whole never says more than ``warn`` for it while another is usable."""
    verdict = judged(seen, NOW_NS, NOW_S)
    assert verdict.accounts["MASTER"].status.value == status
    assert said in verdict.accounts["MASTER"].output
    assert verdict.accounts["anna"].status is Status.PASS
    assert verdict.status is (Status.PASS if status == "pass" else Status.WARN)


AWAITED = replace(LANE, waiting=1, holder="4711 (python)", held_ns=ago(62))
NEVER_ASKED = {"asked_ns": None, "as_of": None, "asking_ns": ago(1)}


@pytest.mark.parametrize(
    ("lane", "changes", "status", "said"),
    [
        (AWAITED, NEVER_ASKED, "warn", "waits for its turn on lane global, held by process 4711 (python)"),
        (replace(AWAITED, holder=""), NEVER_ASKED, "warn", "held by a process that cannot be seen from here"),
        (replace(AWAITED, busy=True), NEVER_ASKED, "fail", "no answer from Kraken yet"),
        (replace(AWAITED, waiting=0), NEVER_ASKED, "fail", "no answer from Kraken yet"),
        (AWAITED, NEVER_ASKED | {"asking_ns": None}, "fail", "no answer from Kraken yet"),
        (AWAITED, {"asking_ns": ago(9)}, "pass", ""),
        (AWAITED, {"asking_ns": ago(11)}, "warn", "waits for its turn"),
    ],
)
def test_who_waits_for_its_turn_warns_and_does_not_fail(lane, changes, status, said):
    verdict = judged(sighting(account=replace(ACCOUNT, **changes), lanes=(lane,)), NOW_NS, NOW_S)
    assert verdict.accounts["MASTER"].status.value == status
    assert said in verdict.accounts["MASTER"].output


def test_a_standby_of_which_no_account_was_ever_asked_is_not_taken_out_of_service():
    waits = replace(ACCOUNT, **NEVER_ASKED)
    seen = sighting(lanes=(AWAITED,), accounts={"MASTER": waits, "anna": waits})
    verdict = judged(seen, NOW_NS, NOW_S)
    assert verdict.status is Status.WARN
    assert "lane global has been held by process 4711 (python) for 62 s" in verdict.reasons[0]
    assert "4711 (python)" in page_of(state(seen))
    (lane,) = health_document(state(seen))["lanes"]
    assert (lane["holder"], lane["held_s"]) == ("4711 (python)", 62.0)


def test_a_turn_that_others_have_for_a_moment_is_no_trouble():
    for lane in (replace(AWAITED, held_ns=ago(9)), replace(AWAITED, waiting=0), replace(AWAITED, busy=True)):
        assert judged(sighting(lanes=(lane,)), NOW_NS, NOW_S).status is Status.PASS


def test_a_key_that_is_stopped_or_refused_is_not_available():
    def available(**changes):
        now = state(sighting(**changes))
        (metric,) = (row for row in METRICS if row.name == "sealane_account_available")
        samples = dict(metric.samples(now))
        assert samples["MASTER",] == health_document(now)["accounts"][0]["available"]
        assert samples["anna",] is True
        return samples["MASTER",]

    assert available() is True
    assert available(key=replace(KEY, diagnosis="stopped")) is False
    assert available(account=replace(ACCOUNT, **REFUSED)) is False
    assert available(account=replace(ACCOUNT, **BUSY)) is True


def test_on_the_simulator_it_warns_and_says_why():
    verdict = judged(sighting(simulation="no key is set"), NOW_NS, NOW_S)
    assert verdict.status is Status.WARN
    assert verdict.reasons == ["SIMULATOR: no key is set"]


def test_another_data_folder_than_at_the_start_fails():
    seen = sighting(store=replace(STORE, is_replaced=True))
    assert judged(seen, NOW_NS, NOW_S).status is Status.FAIL
    (check,) = health_document(state(seen))["checks"]["store"]
    assert (check["writable"], check["replaced"]) == (True, True)


def test_with_no_account_usable_the_whole_fails():
    stopped = replace(KEY, diagnosis="stopped")
    seen = replace(sighting(), keys={"MASTER": stopped, "anna": stopped})
    verdict = judged(seen, NOW_NS, NOW_S)
    assert verdict.status is Status.FAIL
    assert "no account is usable: MASTER, anna" in verdict.reasons[0]
    assert judged(replace(sighting(), accounts={}), NOW_NS, NOW_S).status is Status.FAIL, "nothing is known of any"


def test_an_account_that_cannot_store_its_nonces_is_the_store_s_fault():
    lost = replace(ACCOUNT, error_count=1, error="in whatever words", error_kind=ErrorKind.NOT_DURABLE)
    assert "nonces cannot be stored" in judged(sighting(account=lost), NOW_NS, NOW_S).reasons[0]
    assert judged(sighting(account=lost), NOW_NS, NOW_S).status is Status.FAIL
    mended = replace(lost, error_count=0)
    assert judged(sighting(account=mended), NOW_NS, NOW_S).status is Status.PASS


OURS = LeaseView("redis://db:6379/0", "me", "web-1", "me", "web-1", True, 7, int(NOW_S) * NS, waiters=("you",))
THEIRS = replace(OURS, holder="you", holder_hostname="web-2", is_ours=False, waiters=("me",))
FREE = replace(OURS, holder="", holder_hostname="", is_ours=False)
HELD_UP = "Unavailable: lane kraken_global_nonce was busy for 60 s: 1 wait in this process. Nothing was sent"
MISSED = ENGINE_MISSES_MAX
LOST = "this host's lease of lane kraken_global_nonce (epoch 7) is over; nothing was sent"
DOWN = {"available": False, "error_count": 4, "as_of": None}


def leased(lease, **account):
    lane = replace(LANE, lease=lease)
    broker = replace(ACCOUNT, **account)
    return sighting(lanes=(lane,), accounts={"MASTER": broker, "anna": broker})


@pytest.mark.parametrize(
    ("lease", "account", "status", "said"),
    [
        (OURS, {}, "pass", ""),
        (FREE, {}, "pass", ""),
        (THEIRS, {}, "warn", "standby: lane global is held by host (web-2 you) since 2027-01-15T08:00:00Z, epoch 7"),
        (THEIRS, {"as_of": None, "asked_ns": None}, "warn", "in need of a look: MASTER, anna"),
        (THEIRS, DOWN | {"error": HELD_UP}, "warn", "in need of a look: MASTER, anna"),
        (THEIRS, DOWN | {"error": LOST}, "warn", "standby"),
        (FREE, DOWN | {"error": HELD_UP}, "warn", "in need of a look"),
        (OURS, DOWN | {"error": HELD_UP}, "fail", "no account is usable"),
        (THEIRS, DOWN | {"error": "EAPI:Invalid key"}, "fail", "no account is usable"),
        (replace(FREE, quiet=True), {}, "warn", "granted to nobody"),
        (replace(OURS, quiet=True), {}, "pass", ""),
        (replace(FREE, error="no route", misses=MISSED), {}, "fail", "so no call can be made: no route"),
        (replace(OURS, error="no route", misses=MISSED), {}, "fail", "calls go on to the end of this host's lease"),
        (replace(FREE, error="no route", misses=MISSED), DOWN | {"error": HELD_UP}, "fail", "no account is usable"),
        (replace(OURS, error="no answer", misses=1), {}, "warn", "the engine cannot be asked"),
        (replace(FREE, error="no answer", misses=MISSED - 1), DOWN | {"error": HELD_UP}, "warn", "no answer"),
    ],
)
def test_a_standby_warns_and_an_engine_that_is_gone_fails(lease, account, status, said):
    verdict = judged(leased(lease, **account), NOW_NS, NOW_S)
    assert verdict.status.value == status, verdict.reasons
    assert said in "; ".join(verdict.reasons)


def test_the_words_for_a_lane_that_was_not_had_are_those_of_the_errors(tmp_path):
    """What health looks for in an account's error is what the errors say."""
    store = HostedStore(TableEngine(lambda: 0), FileStore(tmp_path))
    lane = store.lane("kraken_global_nonce")
    told = [str(busy(Lane(MemoryStore().lane("x")), 60.0))]
    with pytest.raises(Fenced) as fenced:
        lane.check()
    told.append(str(fenced.value))
    lane.close()
    store.close()
    assert all(any(sign in text for sign in LANE_AWAITED) for text in told)


def test_the_document_and_the_page_tell_who_has_the_lane():
    now = state(leased(THEIRS))
    (lane,) = health_document(now)["lanes"]
    assert (lane["lease"]["holder_hostname"], lane["lease"]["epoch"], lane["lease"]["waiters"]) == ("web-2", 7, ["me"])
    assert "held by host (web-2 you) since" in page_of(now)
    (plain,) = health_document(state(sighting()))["lanes"]
    assert plain["lease"] is None


def test_a_doubted_clock_and_a_failed_store_are_told_worst_first():
    seen = sighting(store=StoreSeen("file", "full", ago(1)), lanes=(replace(LANE, clock_doubted=True),))
    assert ["full" in reason for reason in judged(seen, NOW_NS, NOW_S).reasons] == [True, False]


def test_asking_refreshes_nothing_and_what_gets_old_fails():
    clock = FakeClock(wall_ns=int(NOW_S * NS), boot_ns=NOW_NS)
    tallies = Tallies({}, clock.wall_ns)
    seen = sighting()
    assert state_now(lambda: seen, tallies.now, clock).verdict.status is Status.PASS
    clock.advance(300)
    for _ in range(3):
        later = state_now(lambda: seen, tallies.now, clock)
        assert later.verdict.status is Status.FAIL
        assert health_document(later)["checks"]["watcher"][0]["rounds"][0]["ended_age_s"] == 301


def test_a_restart_is_asked_for_only_where_it_would_mend_something():
    assert live_document(state(sighting()))["status"] == "pass"
    assert live_document(state(sighting(store=StoreSeen("file", "full", ago(1)))))["status"] == "pass"
    assert live_document(state(sighting(rounds=(replace(ROUNDS[0], alive=False),))))["status"] == "fail"
    for name, since_s, ended_ns, status in (
        ("accounts", 299, ago(400), "pass"),
        ("accounts", 301, ago(400), "fail"),
        ("accounts", 301, None, "pass"),  # the first loads the nonces
        ("look", 900, ago(900), "pass"),
        ("store", 900, ago(900), "pass"),
    ):
        stuck = (RoundSeen(name, 2.0, True, ended_ns, ago(since_s)),)
        assert live_document(state(sighting(rounds=stuck)))["status"] == status


def test_the_document_has_the_five_fields_and_what_a_person_on_call_needs():
    document = json.loads(json.dumps(health_document(state(sighting()))))
    assert (document["status"], document["last_nonce"], document["last_nonce_text"]) == ("pass", NONCE, str(NONCE))
    assert (document["total_issued"], document["uptime"], document["api_serialization"]) == (7, 100.0, True)
    (master, _) = document["accounts"]
    assert (master["account"], master["key"], master["available"], master["error_count"]) == (
        "MASTER",
        "…Ab3x",
        True,
        0,
    )
    assert (master["balance_age_s"], master["orders_in_doubt"], master["quarantined"]) == (5.0, 0, None)
    assert document["checks"]["store"][0]["writable"] is True
    assert document["checks"]["store"][0]["tried_age_s"] == 2.0
    assert ready_document(state(sighting()))["status"] == "pass"


def test_before_the_first_look_nothing_is_made_up():
    bare = replace(sighting(), rounds=(), store=None, lanes=(), keys={}, accounts={})
    document = health_document(state(bare))
    assert (document["status"], document["last_nonce"], document["last_nonce_text"]) == ("fail", None, None)
    assert "No lane has been looked at yet" in page_of(state(bare))
    assert "not known" in page_of(state(bare))


def test_events_are_counted_by_account_and_labels_are_bounded():
    tallies = Tallies({"f1": "MASTER"}, lambda: 5 * NS)
    for method, outcome in (
        ("Balance", Outcome.ACCEPTED),
        ("Balance", Outcome.REFUSED),
        ("Nonsense", Outcome.IN_DOUBT),
    ):
        tallies.hear(CallSettled("MASTER", method, 1, outcome, "EAPI:Rate limit exceeded"))
    tallies.hear(CallSettled("stranger", "Balance", 1, Outcome.NOT_SENT, "refused"))
    tallies.hear(NonceRefused("MASTER", 1, "jump"))
    tallies.hear(LaneJumped("MASTER", 1, 2))
    tallies.hear(UnfinishedTurnFound("f1", "AddOrder", 1))
    tallies.hear(UnfinishedTurnFound("f9", "AddOrder", 1))
    tally = tallies.now()
    assert tally.counts[CALLS] == {
        ("MASTER", "Balance", "accepted"): 1,
        ("MASTER", "Balance", "refused"): 1,
        ("MASTER", OTHER, "in_doubt"): 1,
        (OTHER, "Balance", "not_sent"): 1,
    }
    assert [tally.of(name, "MASTER") for name in (REFUSALS, JUMPS, UNFINISHED)] == [1, 1, 1]
    assert tally.of(UNFINISHED, OTHER) == 1
    assert (tally.last_trouble["MASTER"].method, tally.last_trouble["MASTER"].at_s) == ("Nonsense", 5.0)
    assert tally.last_refusal_s == {"MASTER": 5.0}


def test_the_page_escapes_what_others_wrote_and_says_simulator_when_it_is_one():
    hostile = replace(ACCOUNT, error_count=1, error="<script>alert(1)</script>")
    shown = page_of(state(sighting(account=hostile)))
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "SIMULATOR" not in shown
    assert "SIMULATOR" in page_of(state(sighting(simulation="no key")))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7_199, "2 h"), (90_000, "1 d")]
)
def test_durations_for_people(seconds, text):
    assert lasted(seconds) == text
