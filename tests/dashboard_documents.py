"""Scenes for looking at the dashboard: one where all is well, one where much is wrong, one before anything was seen.

A scene is a state, what went through, and virtual keys; its document is made of them by ``statistics`` itself, so that
none can show what the service would not.
"""

import math
from dataclasses import dataclass, field, replace
from decimal import Decimal

from sealane.broker.port import ErrorKind
from sealane.client.statistics import CounterFigures
from sealane.gateway.health import judged
from sealane.gateway.sightings import AccountSeen, KeySeen, LaneSeen, Member, RoundSeen, Sighting, StoreSeen
from sealane.gateway.state import State
from sealane.gateway.statistics import statistics
from sealane.gateway.tallies import CALLS, JUMPS, REFUSALS, Tally, Trouble
from sealane.gateway.traffic import Passed, Traffic
from sealane.store.port import LeaseView
from sealane.testing import FakeClock

NS = 10**9
NOW_NS, NOW_S = 100_000 * NS, 1_800_000_000.0
NONCE = int(NOW_S * NS) - 400_000_000
AMOUNTS = {"ZUSD": Decimal("81204.1937"), "USDT": Decimal("4100.00"), "XXBT": Decimal("1.20450000"), "XETH": Decimal(0)}
PERMISSIONS = ("close-trades", "modify-trades", "query-closed-trades", "query-funds", "query-open-trades")
HOSTILE = "<script>alert('x')</script>&\"'"


@dataclass(frozen=True)
class Policy:
    allow: frozenset = frozenset({"read", "trade", "cancel"})


@dataclass(frozen=True)
class Key:
    name: str
    account: str
    policy: Policy = field(default_factory=Policy)
    expires_s: float | None = None
    paused: bool = False
    revoked_s: float | None = None


@dataclass(frozen=True)
class Scene:
    state: State
    traffic: Traffic
    keys: tuple = ()

    def document(self, **options):
        return statistics(self.state, self.traffic.seen(), self.keys, **{"show_amounts": True, **options})


def ago(seconds):
    return NOW_NS - int(seconds * NS)


def rest(level, limit=15.0, decay=0.33, **more):
    return CounterFigures("rest", level, limit, round(level / decay, 3), more.pop("waited_for", 0.0), **more)


def trading(pair, level, limit=60.0, orders=2):
    return CounterFigures(pair, level, limit, round(level / 1.0, 3), 0.0, 0.0, orders, 60)


KEY = KeySeen(seen_ns=ago(1), counters=(rest(3.2), trading("XBTUSD", 11.4)))
ACCOUNT = AccountSeen(
    seen_ns=ago(1),
    as_of=NOW_S - 8,
    asked_ns=ago(8),
    total=Decimal("85304.1937"),
    amounts=AMOUNTS,
    permissions=PERMISSIONS,
    permissions_ns=ago(240),
)
LANE = LaneSeen("global", ago(1), last_nonce=NONCE, stored_s=NOW_S - 0.4, issued=1204)
ROUNDS = tuple(
    RoundSeen(name, every_s, True, ended_ns=ago(1)) for name, every_s in (("look", 2), ("store", 5), ("accounts", 30))
)


def sighting(members, **changes):
    return replace(
        Sighting(
            members=tuple(Member(name, f"…{name[-4:]}", "global") for name in members),
            watch_s=30.0,
            simulation="",
            lanes_setting="global",
            started_ns=ago(93_000),
            rounds=ROUNDS,
            store=StoreSeen("file", "", ago(2)),
            lanes=(LANE,),
            keys=dict.fromkeys(members, KEY),
            accounts=dict.fromkeys(members, ACCOUNT),
        ),
        **changes,
    )


def tally(calls=None, refusals=None, **more):
    counts = {CALLS: calls or {("MASTER", "Balance", "accepted"): 3_100.0}}
    return Tally(counts | (refusals or {}), more.pop("trouble", {}), more.pop("refused_s", {}), more.pop("answers", {}))


def state(seen, tallied=None):
    return State(seen, tallied or tally(), judged(seen, NOW_NS, NOW_S), NOW_NS, NOW_S)


def traffic(trouble=False):
    """An hour of two bots; with ``trouble`` the last quarter of it is refused more and waits longer."""
    clock = FakeClock(wall_ns=int((NOW_S - 3_600) * NS), boot_ns=NOW_NS - 3_600 * NS)
    found = Traffic(clock)
    for minute in range(60):
        bad = trouble and minute > 45
        for number in range(int(12 + 8 * math.sin(minute / 7)) + (minute % 5)):
            wait_s = 0.004 * (1 + number % 7) + (0.9 * (number % 3) if bad else 0.0)
            found.settled(Passed("grid-bot", "MASTER", "OpenOrders", "answered", (), wait_s, wait_s + 0.08))
        if bad and minute % 2:
            found.settled(Passed("grid-bot", "MASTER", "AddOrder", "refused", ("EOrder:Insufficient funds",), 0.2, 0.3))
            found.settled(Passed("scalper", "anna", "AddOrder", "throttled", ("EAPI:Rate limit exceeded",), 0.0, 0.0))
        if trouble and minute == 58:
            found.settled(Passed("scalper", "anna", "Withdraw", "denied", ("EGeneral:Permission denied",)))
            found.settled(Passed("scalper", "anna", "AddOrder", "in_doubt", ("EService:Timeout",), 1.2, 90.0))
            found.settled(Passed(HOSTILE, "anna", HOSTILE, "unavailable", (HOSTILE,), 4.0, 4.0))
        clock.advance(60)
    for _ in range(2 if trouble else 1):
        found.waiting("grid-bot", 1)
    return found


def all_well():
    keys = (Key("grid-bot", "MASTER"), Key("reader", "anna", Policy(frozenset({"read"})), NOW_S + 40 * 86_400))
    return Scene(state(sighting(("MASTER", "anna"))), traffic(), keys)


def much_wrong():
    """Every kind of trouble there is to show, at once."""
    members = ("MASTER", "anna", "bert_with_a_rather_long_name", HOSTILE)
    keys = {
        "MASTER": replace(KEY, doubts=2, oldest_doubt_s=NOW_S - 41, counters=(rest(13.9, waited_for=4.0),)),
        "anna": replace(KEY, diagnosis="nonce 5, 12 s behind, was refused after 3 jumps", quarantined_s=NOW_S - 300),
        members[2]: replace(KEY, counters=(rest(17.2, blocked_s=9.0), trading("XETHXXBT", 59.0, orders=58))),
        HOSTILE: replace(KEY, locked_s=200.0),
    }
    stale = replace(ACCOUNT, as_of=NOW_S - 4_000, error_count=4, error="no answer within 5 s", available=False)
    accounts = {
        "MASTER": replace(ACCOUNT, permissions=(*PERMISSIONS, "withdraw-funds")),
        "anna": replace(stale, error_kind=ErrorKind.OTHER),
        members[2]: AccountSeen(
            seen_ns=ago(1), error_count=1, error="EAPI:Invalid key", error_kind=ErrorKind.REFUSED_KEY
        ),
        HOSTILE: replace(stale, error=HOSTILE),
    }
    lease = LeaseView("redis://engine", "h1", "web-1", "h2", "web-2", False, 7, int((NOW_S - 90) * NS), int(NOW_S * NS))
    lane = replace(
        LANE, last_nonce=NONCE + 660 * NS, waiting=3, holder="4242 (old-bot)", held_ns=ago(64), clock_doubted=True,
        lease=lease, under_way="AddOrder",
    )  # fmt: skip
    seen = sighting(members, keys=keys, accounts=accounts, lanes=(lane,))
    counted = tally(
        {("MASTER", "Balance", "accepted"): 3_100.0, ("anna", "Balance", "refused"): 14.0},
        {REFUSALS: {("anna",): 4.0}, JUMPS: {("anna",): 3.0}},
        trouble={"anna": Trouble(NOW_S - 320, "Balance", "EAPI:Invalid nonce")},
        refused_s={"anna": NOW_S - 320},
        answers={"anna": "stop"},
    )
    virtual = (
        Key("grid-bot", "MASTER", Policy(frozenset({"read", "trade", "cancel", "fund"})), NOW_S + 3_000),
        Key("scalper", "anna", paused=True),
        Key("old-one", "anna", expires_s=NOW_S - 10),
        Key(HOSTILE, HOSTILE, Policy(frozenset({HOSTILE})), revoked_s=NOW_S - 9_000),
    )
    return Scene(state(seen, counted), traffic(trouble=True), virtual)


def of_many(accounts=50, keys=100):
    """A large house."""
    names = ("MASTER", *(f"user_{number:02}" for number in range(1, accounts)))
    virtual = tuple(Key(f"bot-{number}", names[number % accounts]) for number in range(keys))
    return Scene(state(sighting(names)), traffic(), virtual).document()


def before_a_look():
    """Before the first look."""
    seen = sighting(("MASTER",), rounds=(), store=None, lanes=(), keys={}, accounts={}, simulation="no key is set")
    return Scene(state(seen, Tally({}, {}, {})), Traffic(FakeClock()))


def well(**options):
    return all_well().document(**options)


def in_trouble(**options):
    return much_wrong().document(**options)


def unseen(**options):
    return before_a_look().document(**options)
