"""``/statistics``: one document of all there is to show. The dashboard and ``sealane status`` are both drawn from it.

1. It is plain JSON, in the form of ``statistics_form.py``.
2. Never a secret. A key of Kraken appears as its last four characters, a virtual key by its name.
3. Amounts are in it only where ``show_amounts`` says so; then, and only then, ``amounts_shown`` is true.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from sealane import __version__
from sealane.broker.kraken_assets import symbol
from sealane.client.lease_words import lease_document, told_lease
from sealane.client.statistics import CounterFigures
from sealane.core.nonce import NS_PER_S
from sealane.gateway.health import age_s, late_after_s
from sealane.gateway.sightings import GLOBAL, AccountSeen, KeySeen, LaneSeen
from sealane.gateway.state import AccountState, State
from sealane.gateway.statistics_form import (
    FORM,
    GATEWAY,
    AccountRow,
    AmountRow,
    BalanceRow,
    CounterRow,
    Document,
    DoubtsRow,
    ErrorRow,
    KeyRow,
    KeyStateRow,
    KnownKey,
    LaneRow,
    MinuteRow,
    PermissionsRow,
    RefusalRow,
    StoreRow,
    TroubleRow,
)
from sealane.gateway.tallies import JUMPS, REFUSALS, Trouble
from sealane.gateway.traffic import IN_DOUBT, MINUTE_S, OUTCOMES, UNAVAILABLE, Failure, Minute, Passage, TrafficSeen
from sealane.gateway.traffic import REFUSALS as REFUSING

CAUSES = {
    "again": "a number that was drawn outside its turn; sent once more, without a jump",
    "jump": "the key had accepted a higher nonce than this lane's; the lane jumped above it",
    "stop": "refused after the last jump; the key is quarantined",
}
"""Why a nonce was refused, by what followed from it."""


# --- the document -----------------------------------------------------------------------------------------------------


def statistics(
    state: State,
    traffic: TrafficSeen,
    virtual_keys: Iterable[KnownKey] = (),
    *,
    show_amounts: bool,
    source: str = GATEWAY,
) -> Document:
    """The document of one moment; waits for nobody."""
    seen, verdict = state.seen, state.verdict
    looked = [one.ended_ns for one in seen.rounds if one.name == "look" and one.ended_ns is not None]
    return Document(
        form=FORM,
        version=__version__,
        source=source,
        time=round(state.now_s, 3),
        uptime_s=round(state.uptime_s, 3),
        status=verdict.status.value,
        reasons=verdict.reasons,
        simulated=seen.simulated,
        simulation=seen.simulation,
        amounts_shown=show_amounts,
        watch_s=seen.watch_s,
        lanes_setting=seen.lanes_setting,
        looked_age_s=_age(looked[0], state) if looked else None,
        store=_store(state),
        accounts=[_account(one, state, show_amounts) for one in state.accounts],
        lanes=[_lane(lane, state) for lane in seen.lanes],
        doubts=_doubts(state),
        virtual_keys=[_key(one, traffic, state) for one in virtual_keys],
        calls=traffic.calls,
        minutes=[_minute(one, state) for one in traffic.minutes],
        errors=[_error(one, state) for one in traffic.failures],
    )


def _age(then_ns: int, state: State) -> float:
    return round(age_s(then_ns, state.now_ns), 3)


def _age_of(then_ns: int | None, state: State) -> float | None:
    return None if then_ns is None else _age(then_ns, state)


def _since(then_s: float | None, state: State) -> float | None:
    return round(max(0.0, state.now_s - then_s), 3) if then_s else None


def _store(state: State) -> StoreRow | None:
    store = state.seen.store
    if store is None:
        return None
    return StoreRow(kind=store.kind, error=store.error or None, tried_age_s=_age(store.tried_ns, state))


def _doubts(state: State) -> DoubtsRow:
    keys = [state.seen.keys.get(one.account) for one in state.seen.members]
    found = [key for key in keys if key is not None and not key.error]
    oldest_s = min((key.oldest_doubt_s for key in found if key.doubts), default=None)
    count = sum(key.doubts for key in found)
    return DoubtsRow(count=count, oldest_age_s=_since(oldest_s, state), known=len(found) == len(keys))


# --- accounts ---------------------------------------------------------------------------------------------------------


def _account(one: AccountState, state: State, show_amounts: bool) -> AccountRow:
    name, key, broker = one.member.account, one.key, one.broker
    readable = key if key is not None and not key.error else None
    calls, errors = state.calls(name)
    trouble = state.tally.last_trouble.get(name)
    return AccountRow(
        account=name,
        key=one.member.key,
        lane=one.member.lane,
        status=one.check.status.value,
        reasons=[finding.text for finding in one.check.findings],
        available=one.available,
        balance=_balance(broker, state, show_amounts) if broker else None,
        permissions=_permissions(broker, state) if broker else None,
        error_count=broker.error_count if broker else None,
        next_try_s=broker.next_try_s if broker else None,
        **_of_key(readable, state),
        calls=calls,
        call_errors=errors,
        nonce_refusals=int(state.tally.of(REFUSALS, name)),
        jumps=int(state.tally.of(JUMPS, name)),
        last_trouble=_trouble(trouble, state) if trouble else None,
    )


def _of_key(key: KeySeen | None, state: State) -> KeyStateRow:
    found = key or KeySeen(0)
    return KeyStateRow(
        quarantined=found.diagnosis or None,
        quarantined_for_s=_since(found.quarantined_s, state) if found.diagnosis else None,
        locked_out_s=round(found.locked_s, 3),
        refused_in_a_row=found.refused_in_a_row,
        orders_in_doubt=key.doubts if key else None,
        oldest_doubt_age_s=_since(found.oldest_doubt_s, state),
        counters=[_counter(one) for one in found.counters],
    )


def _counter(one: CounterFigures) -> CounterRow:
    return CounterRow(
        name=one.name,
        level=one.level,
        limit=one.limit,
        drain_s=one.drain_s,
        waited_for=one.waited_for,
        blocked_s=one.blocked_s,
        open_orders=one.open_orders,
        open_orders_limit=one.open_orders_limit,
    )


def _balance(broker: AccountSeen, state: State, show_amounts: bool) -> BalanceRow:
    age = _since(broker.as_of, state)
    return BalanceRow(
        as_of=broker.as_of,
        age_s=age,
        stale=age is not None and (bool(broker.error) or age > late_after_s(state.seen.watch_s)),
        error=broker.error or None,
        total=_text(broker.total) if show_amounts and broker.total is not None else None,
        amounts=_amounts(broker) if show_amounts and broker.amounts is not None else None,
    )


def _amounts(broker: AccountSeen) -> list[AmountRow]:
    """What is there: an asset whose amount is zero says nothing."""
    amounts = broker.amounts or {}
    return [
        AmountRow(asset=name, symbol=symbol(name), amount=_text(amounts[name]))
        for name in sorted(amounts)
        if amounts[name]
    ]


def _text(amount: Decimal) -> str:
    return f"{amount:f}"


def _permissions(broker: AccountSeen, state: State) -> PermissionsRow | None:
    if broker.permissions is None or broker.permissions_ns is None:
        return None
    return PermissionsRow(names=list(broker.permissions), age_s=_age(broker.permissions_ns, state))


def _trouble(trouble: Trouble, state: State) -> TroubleRow:
    return TroubleRow(age_s=_since(trouble.at_s, state) or 0.0, method=trouble.method, detail=trouble.detail)


# --- lanes ------------------------------------------------------------------------------------------------------------


def _lane(lane: LaneSeen, state: State) -> LaneRow:
    accounts = [one.account for one in state.seen.members if lane.name in (GLOBAL, one.account)]
    return LaneRow(
        name=lane.name,
        accounts=accounts,
        last_nonce=lane.last_nonce,
        last_nonce_text=str(lane.last_nonce),
        ahead_of_clock_s=round(state.ahead_s(lane), 3) if lane.last_nonce else None,
        stored_age_s=_since(lane.stored_s, state),
        issued=lane.issued,
        serialized=lane.serialized,
        waiting=lane.waiting,
        in_flight=lane.busy,
        holder=lane.holder or None,
        held_s=_age_of(lane.held_ns, state),
        write_under_way=lane.under_way or None,
        clock_doubted=lane.clock_doubted,
        refusals=int(sum(state.tally.of(REFUSALS, name) for name in accounts)),
        jumps=int(sum(state.tally.of(JUMPS, name) for name in accounts)),
        last_refusal=_last_refusal(accounts, state),
        lease=None if lane.lease is None else lease_document(lane.lease),
        lease_told=None if lane.lease is None else told_lease(lane.lease),
        error=lane.error or None,
    )


def _last_refusal(accounts: list[str], state: State) -> RefusalRow | None:
    when = {name: state.tally.last_refusal_s[name] for name in accounts if name in state.tally.last_refusal_s}
    if not when:
        return None
    name = max(when, key=when.__getitem__)
    cause = CAUSES.get(state.tally.last_answer.get(name, ""), "not known")
    return RefusalRow(account=name, age_s=_since(when[name], state) or 0.0, cause=cause)


# --- what went through ------------------------------------------------------------------------------------------------


def _key(one: KnownKey, traffic: TrafficSeen, state: State) -> KeyRow:
    passage = traffic.keys.get(one.name, Passage())
    left_s = None if one.expires_s is None else round(one.expires_s - state.now_s, 3)
    return KeyRow(
        name=one.name,
        account=one.account,
        state=_key_state(one, left_s),
        allow=sorted(one.policy.allow),
        expires_at=one.expires_s,
        expires_in_s=left_s,
        calls=passage.calls,
        outcomes=dict.fromkeys(OUTCOMES, 0) | dict(passage.outcomes),
        waiting=traffic.waiting.get(one.name, 0),
        last_call_age_s=_age_of(passage.last_ns, state),
    )


def _key_state(one: KnownKey, left_s: float | None) -> str:
    if one.revoked_s is not None:
        return "revoked"
    if left_s is not None and left_s <= 0:
        return "expired"
    return "paused" if one.paused else "active"


def refused(key: KeyRow) -> int:
    """Of a virtual key's calls, those that were refused by Kraken or here."""
    return sum(key["outcomes"][outcome] for outcome in REFUSING)


def failed(key: KeyRow) -> int:
    """Of a virtual key's calls, those that had no usable answer."""
    return key["outcomes"][IN_DOUBT] + key["outcomes"][UNAVAILABLE]


def _minute(one: Minute, state: State) -> MinuteRow:
    began_s = state.now_s - state.now_ns % (MINUTE_S * NS_PER_S) / NS_PER_S
    return MinuteRow(
        at=round(began_s - one.age * MINUTE_S, 3),
        calls=one.calls,
        refusals=one.refusals,
        failures=one.failures,
        wait_p50_s=None if one.wait_p50_s is None else round(one.wait_p50_s, 4),
        wait_max_s=None if one.wait_max_s is None else round(one.wait_max_s, 4),
    )


def _error(one: Failure, state: State) -> ErrorRow:
    return ErrorRow(
        at=round(one.at_s, 3),
        age_s=_age(one.at_ns, state),
        key=one.key,
        account=one.account,
        method=one.method,
        outcome=one.outcome,
        text=one.text,
    )
