"""The JSON that ``/health/kraken-nonce``, ``/livez`` and ``/readyz`` answer with.

The form is that of the health-check draft (``status``, ``checks``, ``output``) around the five fields of the documents.
Times are Unix seconds, ages and durations seconds. No amount, no secret; a key is its last four characters.
"""

from __future__ import annotations

from dataclasses import asdict

from sealane import __version__
from sealane.client.lease_words import lease_document
from sealane.gateway.health import Check, age_s, is_stuck
from sealane.gateway.sightings import AccountSeen, KeySeen, LaneSeen, RoundSeen
from sealane.gateway.state import AccountState, State
from sealane.gateway.tallies import JUMPS, REFUSALS

Document = dict[str, object]


def health_document(state: State) -> Document:
    """The whole."""
    last = state.last_nonce
    return {
        "status": state.verdict.status.value,
        "last_nonce": last,
        "last_nonce_text": None if last is None else str(last),
        "total_issued": state.issued,
        "uptime": round(state.uptime_s, 3),
        "api_serialization": state.serialized,
        "simulated": state.seen.simulated,
        "reasons": state.verdict.reasons,
        "releaseId": __version__,
        "time": round(state.now_s, 3),
        "watch_s": state.seen.watch_s,
        "lanes_setting": state.seen.lanes_setting,
        "checks": {check.name: [_check(check) | _observed(check, state)] for check in state.verdict.checks},
        "lanes": [_lane(lane, state) for lane in state.seen.lanes],
        "accounts": [_account(account, state) for account in state.accounts],
    }


def ready_document(state: State) -> Document:
    """Whether to send it work: not where the whole fails."""
    status = state.verdict.status.value
    return {"status": status, "simulated": state.seen.simulated, "reasons": state.verdict.reasons}


def live_document(state: State) -> Document:
    """Whether a restart would mend anything: only where a thread of the watcher ended, or hangs for good."""
    stuck = is_stuck(state.seen.rounds, state.now_ns)
    return {"status": "fail" if stuck else "pass", "simulated": state.seen.simulated}


def _check(check: Check) -> Document:
    return {"status": check.status.value, "output": check.output}


def _observed(check: Check, state: State) -> Document:
    if check.name == "watcher":
        return {"rounds": [_round(one, state) for one in state.seen.rounds]}
    if check.name == "store" and state.seen.store is not None:
        store = state.seen.store
        age = _age(store.tried_ns, state)
        return {
            "kind": store.kind,
            "writable": not store.error,
            "error": store.error or None,
            "replaced": store.is_replaced,
            "tried_age_s": age,
        }
    return {}


def _round(one: RoundSeen, state: State) -> Document:
    return {
        "name": one.name,
        "every_s": one.every_s,
        "alive": one.alive,
        "ended_age_s": _age(one.ended_ns, state),
        "under_way_s": _age(one.began_ns, state),
    }


def _age(then_ns: int | None, state: State) -> float | None:
    return None if then_ns is None else round(age_s(then_ns, state.now_ns), 3)


def _since(then_s: float | None, state: State) -> float | None:
    return None if not then_s else round(max(0.0, state.now_s - then_s), 3)


def _lane(lane: LaneSeen, state: State) -> Document:
    return {
        "name": lane.name,
        "last_nonce": lane.last_nonce,
        "last_nonce_text": str(lane.last_nonce),
        "stored_age_s": _since(lane.stored_s, state),
        "ahead_of_clock_s": round(state.ahead_s(lane), 3) if lane.last_nonce else None,
        "issued": lane.issued,
        "api_serialization": lane.serialized,
        "waiting": lane.waiting,
        "busy": lane.busy,
        "holder": lane.holder or None,
        "held_s": _age(lane.held_ns, state),
        "write_under_way": lane.under_way or None,
        "clock_doubted": lane.clock_doubted,
        "lease": None if lane.lease is None else lease_document(lane.lease),
        "error": lane.error or None,
        "seen_age_s": _age(lane.seen_ns, state),
    }


def _account(one: AccountState, state: State) -> Document:
    name = one.member.account
    calls, errors = state.calls(name)
    trouble = state.tally.last_trouble.get(name)
    return {
        "account": name,
        "status": one.check.status.value,
        "reasons": [finding.text for finding in one.check.findings],
        "key": one.member.key,
        "lane": one.member.lane,
        **({"available": one.available} if one.broker else {}),
        **(_of_broker(one.broker, state) if one.broker else {}),
        **(_of_key(one.key, state) if one.key else {}),
        "calls": calls,
        "call_errors": errors,
        "nonce_refusals": int(state.tally.of(REFUSALS, name)),
        "jumps": int(state.tally.of(JUMPS, name)),
        "last_trouble": asdict(trouble) if trouble else None,
    }


def _of_broker(broker: AccountSeen, state: State) -> Document:
    return {
        "error_count": broker.error_count,
        "last_error": broker.error or None,
        "balance_as_of": broker.as_of,
        "balance_age_s": _since(broker.as_of, state),
        "asked_age_s": _age(broker.asked_ns, state),
        "asking_for_s": _age(broker.asking_ns, state),
        "asked_took_s": round(broker.took_s, 3),
        "next_try_in_s": broker.next_try_s,
    }


def _of_key(key: KeySeen, state: State) -> Document:
    return {
        "quarantined": key.diagnosis or None,
        "quarantined_for_s": _since(key.quarantined_s, state) if key.diagnosis else None,
        "refused_in_a_row": key.refused_in_a_row,
        "jumps_lately": key.jumps,
        "locked_out_s": round(key.locked_s, 3),
        "orders_in_doubt": key.doubts,
        "oldest_doubt_age_s": _since(key.oldest_doubt_s, state),
        "counters": [asdict(counter) for counter in key.counters],
        "seen_age_s": _age(key.seen_ns, state),
    }
