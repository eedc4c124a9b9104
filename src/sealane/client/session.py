"""What a client of either colour is made of: credentials, a lane, and the calls as flows for its shell."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from sealane.client.accounts import MASTER, account_credentials
from sealane.client.orders import Orders
from sealane.client.own_writes import tell_write
from sealane.client.resolver import Resolver, look_now
from sealane.client.settings import Settings
from sealane.client.statistics import CounterFigures, Statistics, Tally, counter_figures
from sealane.core.balance import Balance, balance_call
from sealane.core.buying import BUYS_OFF, call_buys
from sealane.core.call import answered_call, private_call, probing_call, public_call
from sealane.core.effects import Caller, Drafted, Flow
from sealane.core.events import DoubtResolved, Event, UnfinishedTurnFound
from sealane.core.methods import method_named
from sealane.core.nonce import NS_PER_S, unit_ns
from sealane.core.rates import Rates
from sealane.core.recovery import KeyState
from sealane.core.secret import Credentials, credentials
from sealane.core.signing import Draft, Request, draft, public_request
from sealane.core.verdict import Outcome, Verdict
from sealane.errors import SettingsError
from sealane.runtime.clock import SYSTEM_CLOCK
from sealane.runtime.desk import Desk, PublicDesk
from sealane.runtime.lanes import TURN_WAIT_S, Lane, close_lane, current_owner, open_lane, rebuilt_after_fork
from sealane.store import Store
from sealane.store.floors import GLOBAL_LANE
from sealane.store.port import IntentLog
from sealane.telemetry import publish
from sealane.transport.port import Transport

NS_PER_MS = 1_000_000
TURN_WAIT_MAX_S = 86_400.0
BRIEF_ANSWER_S = 5.0
"""How long an answer may take that nobody waits for: meanwhile the other accounts of the lane do wait."""

T = TypeVar("T")
Drafts = Callable[[str, Mapping[str, object]], Drafted]

logger = logging.getLogger("sealane")


@dataclass(frozen=True)
class _Brief:
    """A call whose answer may not take long."""

    whole: Drafted

    def signed(self, nonce: int) -> Request:
        """See Drafted."""
        return replace(self.whole.signed(nonce), limit_s=BRIEF_ANSWER_S)


def _brief(draft_of: Drafts) -> Drafts:
    return lambda method, params: _Brief(draft_of(method, params))


class Session:
    """One account's way to Kraken. Without a key it makes public calls only, and has no lane."""

    def __init__(
        self, settings: Settings, who: Credentials | None, store: Store | None, turn_wait_s: float = TURN_WAIT_S
    ) -> None:
        if not 0 <= turn_wait_s <= TURN_WAIT_MAX_S:
            raise SettingsError(f"turn_wait_s is {turn_wait_s}: give 0 … {TURN_WAIT_MAX_S:.0f} seconds")
        self.settings = settings
        self.turn_wait_s = turn_wait_s
        self.account = who.account if who else ""
        self._who = who
        self._store = store or settings.open()
        self._unit_ns = unit_ns(settings.nonce_unit)
        self._tier = settings.limits()
        self._lane: Lane | None = None
        if who is not None:
            self._lane = open_lane(self._store, settings.lane_name(who.fingerprint), self._unit_ns)
            if self._lane.name == GLOBAL_LANE:
                shown = who.account if who.account == MASTER else f"USER:{who.account}"
                logger.info("✅ Using GLOBAL Kraken Nonce Manager for %s (nanosecond precision)", shown)
        self._known: Balance | None = None
        self._transport: Transport | None = None
        self._resolver: Resolver | None = None
        self._orders: Orders | None = None
        self._tally = Tally()
        rebuilt_after_fork(self._tally)
        self._started_ns = SYSTEM_CLOCK.boot_ns()

    @classmethod
    def from_env(cls, account: str, *, turn_wait_s: float) -> Session:
        """The session of an account in the process's environment."""
        return cls(Settings.from_env(os.environ), account_credentials(os.environ, account), None, turn_wait_s)

    @classmethod
    def made_of(
        cls,
        api_key: str | None,
        api_secret: str | None,
        url: str | None,
        store: Store | str | Path | None,
        *,
        account: str,
        otp: str | None,
        turn_wait_s: float,
    ) -> Session:
        """The session of what a constructor was given; what it was not given comes from the environment."""
        settings = Settings.from_env(os.environ)
        if url is not None:
            settings = replace(settings, url=url)
        if isinstance(store, Path):
            store = f"file:{store}"
        if not (store is None or isinstance(store, str) or hasattr(store, "lane")):
            raise SettingsError(f"store is a {type(store).__name__}: give a Store, a store URL or a folder")
        if isinstance(store, str):
            settings, store = replace(settings, store=store), None
        if (api_key is None) != (api_secret is None):
            raise SettingsError("give api_key and api_secret together, or neither for public calls alone")
        who = None
        if api_key is not None and api_secret is not None:
            who = credentials(account, api_key, api_secret, otp, named="api_secret")
        return cls(settings, who, store, turn_wait_s)

    @property
    def lane(self) -> Lane:
        """The lane of the session's key; raises SettingsError where there is none."""
        self._key()
        if self._lane is None:
            raise SettingsError(f"the client of {self.account} is closed: make a new one")
        return self._lane

    @property
    def identity(self) -> tuple[str, str, str]:
        """The key's fingerprint, the address and the store; raises SettingsError without a key."""
        return self._key().fingerprint, self.settings.url, self._store.identity

    def _key(self) -> Credentials:
        if self._who is None:
            raise SettingsError(
                "this client has no API key, and private calls need one: set KRAKEN_API_KEY and _SECRET"
            )
        return self._who

    def private(
        self, method: str, params: Mapping[str, object] | None, more: Mapping[str, object]
    ) -> tuple[Flow[object], Desk]:
        """A private call as a flow, and the desk to drive it with."""
        everything = {**params, **more} if params else more
        self._may_be_sent(method, everything)
        return self._told(method, private_call(self.caller(), method, everything)), self.desk()

    def answered(self, method: str, params: Mapping[str, object]) -> tuple[Flow[Verdict], Desk]:
        """As ``private``, for who passes on what Kraken answered, be it yes or no."""
        self._may_be_sent(method, params)
        return self._told(method, answered_call(self.caller(), method, params)), self.desk()

    def _may_be_sent(self, method: str, params: Mapping[str, object]) -> None:
        if self.settings.hard_buy_off and call_buys(method, params):
            raise SettingsError(f"{BUYS_OFF}, and this {method} is or may be one: nothing was sent; set it to 0 to buy")

    def _told(self, method: str, flow: Flow[T]) -> Flow[T]:
        return self.writing(flow) if method_named(method).write else flow

    def probe(self, method: str) -> tuple[Flow[tuple[int, Verdict]], Desk]:
        """One attempt at a private call as a flow, without what recovers a refused nonce."""
        return probing_call(self.caller(), method), self.desk()

    def writing(self, flow: Flow[T]) -> Flow[T]:
        """A flow that writes, with the account's listeners told before and after it."""
        tell_write(self.identity)
        try:
            return (yield from flow)
        finally:
            tell_write(self.identity)

    def balance(self, *, fresh: bool = False, brief: bool = False) -> tuple[Flow[Balance], Desk]:
        """The balance as a flow; what it returns goes to ``remember``. A ``fresh`` one is never the last known.

        A ``brief`` one is tried once, and its answer waited for ``BRIEF_ANSWER_S`` at most.
        """
        caller = self.caller()
        if brief:
            caller = replace(caller, repeats=False, draft=_brief(caller.draft))
        return balance_call(caller, None if fresh else self._known), self.desk()

    def remember(self, balance: Balance) -> Balance:
        """Keep a fresh balance as the last known one; returns what it was given."""
        if not balance.stale:
            self._known = balance
        return balance

    def caller(self) -> Caller:
        """Who calls; raises SettingsError without a key, and at every call once the session is closed."""
        who, interval_ns = self._key(), self.settings.min_interval_ms * NS_PER_MS

        def drafts(method: str, params: Mapping[str, object]) -> Draft:
            _ = self.lane
            return draft(who, method, params)

        return Caller(who.account, who.fingerprint, self._unit_ns, interval_ns, drafts, self._tier, self.turn_wait_s)

    def holds_turn(self) -> bool:
        """Whether this thread or task has the lane's turn."""
        return self._lane is not None and self._lane.depth(current_owner()) > 0

    def desk(self) -> Desk:
        """What a flow works with, on this thread and task."""
        return Desk(self.lane, current_owner(), self._hear, self.intents)

    @property
    def intents(self) -> IntentLog:
        """What the store remembers of orders."""
        return self._store.intents()

    @property
    def lag_s(self) -> float:
        """How long Kraken may take to show an order."""
        return self.settings.visibility_lag_s

    @property
    def orders(self) -> Orders:
        """Orders that end as placed or not placed; raises SettingsError without a key."""
        if self._orders is None:
            self._key()
            raise SettingsError("this session makes no orders")
        return self._orders

    def resolve_doubts(self, transport: Transport) -> None:
        """From now on find out in the background what became of this key's orders in doubt, the dead's first."""
        if self._who is None:
            return
        self._transport = transport
        self._resolver = Resolver(self, self.intents, self._who.fingerprint, self.turn_wait_s)
        self._orders = Orders(
            self.caller,
            self.intents,
            self._resolver,
            SYSTEM_CLOCK.wall_ns,
            lag_s=self.lag_s,
            sync=self.settings.sync_intents,
            buys_off=self.settings.hard_buy_off,
        )
        rebuilt_after_fork(self.intents)

    def background(self) -> Transport:
        """What carries the background's requests."""
        if self._transport is None:
            raise SettingsError("this session has no background")
        return self._transport

    def public(self, method: str, params: Mapping[str, object]) -> tuple[Flow[object], PublicDesk]:
        """A public call as a flow: no lane, no nonce, no wait."""
        return public_call(public_request(method, params), method), PublicDesk(SYSTEM_CLOCK)

    def _hear(self, event: Event) -> None:
        self._tally.hear(event)
        if isinstance(event, DoubtResolved):
            tell_write(self.identity)
        publish(event)
        if isinstance(event, UnfinishedTurnFound) and event.intent:
            look_now()

    def statistics(self) -> Statistics:
        """The figures as of now."""
        lane, tally = self._lane, self._tally
        key = KeyState()
        if lane is not None and self._who is not None:
            key = KeyState.loaded(lane.store.read_key(self._who.fingerprint))
        return Statistics(
            account=self.account,
            key=self._who.shown_key if self._who else "",
            url=self.settings.url,
            lane=lane.name if lane else "",
            sent=tally["sent"],
            accepted=tally[Outcome.ACCEPTED],
            refused=tally[Outcome.REFUSED],
            not_sent=tally[Outcome.NOT_SENT],
            in_doubt=tally[Outcome.IN_DOUBT],
            nonce_refusals=tally["nonce_refusals"],
            jumps=tally["jumps"],
            repeated=tally["repeated"],
            quarantined=key.diagnosis,
            last_nonce=lane.store.last() if lane else 0,
            nonces_issued=lane.issued if lane else 0,
            clock_doubted=lane.store.clock_doubted() if lane else False,
            waiting=lane.waiting if lane else 0,
            busy=lane.held if lane else False,
            counters=self.counters(),
            uptime_s=(SYSTEM_CLOCK.boot_ns() - self._started_ns) / NS_PER_S,
        )

    def counters(self) -> tuple[CounterFigures, ...]:
        """Kraken's counters as they are kept here; () without a key, and where no limits are kept."""
        lane = self._lane
        if lane is None or self._who is None or self._tier is None:
            return ()
        rates = Rates.loaded(lane.store.rates(self._who.account))
        return counter_figures(rates, self._tier, self._who.fingerprint, SYSTEM_CLOCK.wall_ns())

    def status_line(self, kind: str) -> str:
        """One line for ``repr``."""
        if self._who is None:
            return f"<{kind} without a key, {self.settings.url}>"
        state = "closed" if self._lane is None else "busy" if self._lane.held else "idle"
        figures = self.statistics()
        stopped = ", QUARANTINED" if figures.quarantined else ""
        return (
            f"<{kind} {figures.account} key {figures.key}, lane {figures.lane or '-'} {state}, {figures.sent} sent, "
            f"{figures.refused} refused, {figures.in_doubt} in doubt{stopped}>"
        )

    def close(self) -> None:
        """Give the lane back."""
        lane, self._lane = self._lane, None
        if self._resolver is not None:
            self._resolver.close()
        if lane is not None:
            close_lane(self._store, lane)
            self.intents.close()
