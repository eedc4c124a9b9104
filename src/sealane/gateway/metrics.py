"""``/metrics``: what the watcher saw and what was counted, in Prometheus' form.

Every metric is a row of ``METRICS``: name, help, labels, and where its samples come from. A name that ends in
``_total`` is a counter since the process started, every other a gauge. Labels are bounded: accounts of the environment,
methods and outcomes that are known, else ``other``. Never a key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sealane import __version__
from sealane.core.nonce import NS_PER_S
from sealane.gateway import tallies
from sealane.gateway.health import age_s
from sealane.gateway.sightings import AccountSeen, KeySeen, LaneSeen
from sealane.gateway.state import ACCEPTED, State
from sealane.store.port import LeaseView

Sample = tuple[tuple[str, ...], float]
"""The values of the labels, and the number."""


@dataclass(frozen=True)
class Row:
    """One metric of the table."""

    name: str
    help: str
    labels: tuple[str, ...]
    samples: Callable[[State], Iterable[Sample]]

    def family(self, state: State) -> Metric:
        """The metric with its samples of now."""
        family = (CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily)(
            self.name, self.help, labels=self.labels
        )
        for labels, value in self.samples(state):
            family.add_metric(labels, value)
        return family


# --- where samples come from ------------------------------------------------------------------------------------------


def _one(value: Callable[[State], float | None]) -> Callable[[State], Iterator[Sample]]:
    """One sample without labels, none where the value is not known."""

    def samples(state: State) -> Iterator[Sample]:
        found = value(state)
        if found is not None:
            yield (), float(found)

    return samples


def _lanes(value: Callable[[State, LaneSeen], float | None]) -> Callable[[State], Iterator[Sample]]:
    def samples(state: State) -> Iterator[Sample]:
        for lane in state.seen.lanes:
            if (found := value(state, lane)) is not None:
                yield (lane.name,), float(found)

    return samples


def _leases(value: Callable[[LeaseView], float | None]) -> Callable[[State], Iterator[Sample]]:
    return _lanes(lambda _, lane: None if lane.lease is None else value(lane.lease))


def _keys(value: Callable[[KeySeen], float | None]) -> Callable[[State], Iterator[Sample]]:
    def samples(state: State) -> Iterator[Sample]:
        for account, key in state.seen.keys.items():
            if not key.error and (found := value(key)) is not None:
                yield (account,), float(found)

    return samples


def _brokers(value: Callable[[AccountSeen], float | None]) -> Callable[[State], Iterator[Sample]]:
    def samples(state: State) -> Iterator[Sample]:
        for account, broker in state.seen.accounts.items():
            if (found := value(broker)) is not None:
                yield (account,), float(found)

    return samples


def _counted(name: str) -> Callable[[State], Iterator[Sample]]:
    """Events by account; 0 for those to whom none happened, so that a first one is a rise."""

    def samples(state: State) -> Iterator[Sample]:
        rows = state.tally.counts.get(name, {})
        zeros: dict[tuple[str, ...], float] = {(one.account,): 0.0 for one in state.seen.members}
        yield from (zeros | dict(rows)).items()

    return samples


def _calls(state: State) -> Iterator[Sample]:
    yield from state.tally.counts.get(tallies.CALLS, {}).items()


def _call_errors(state: State) -> Iterator[Sample]:
    errors: dict[tuple[str, ...], float] = {(one.account,): 0.0 for one in state.seen.members}
    for (account, _, outcome), count in state.tally.counts.get(tallies.CALLS, {}).items():
        if outcome != ACCEPTED:
            errors[account,] = errors.get((account,), 0.0) + count
    yield from errors.items()


def _rounds(state: State) -> Iterator[Sample]:
    for one in state.seen.rounds:
        if one.ended_ns is not None:
            yield (one.name,), age_s(one.ended_ns, state.now_ns)


def _counters(state: State, *, limit: bool) -> Iterator[Sample]:
    """The REST counter, and of the trading counters the fullest: pairs are not bounded."""
    for account, key in state.seen.keys.items():
        for name, found in (("rest", key.counters[:1]), ("trading", key.counters[1:])):
            if found:
                fullest = max(found, key=lambda counter: counter.level / counter.limit)
                yield (account, name), fullest.limit if limit else fullest.level


def _statuses(state: State) -> Iterator[Sample]:
    for account in state.accounts:
        yield (account.member.account,), account.check.status.rank


def _stored_age_s(state: State, lane: LaneSeen) -> float | None:
    return None if lane.stored_s is None else max(0.0, state.now_s - lane.stored_s)


def _store_writable(state: State) -> float | None:
    store = state.seen.store
    return None if store is None else not store.error


def _store_tried_s(state: State) -> float | None:
    store = state.seen.store
    return None if store is None else state.now_s - age_s(store.tried_ns, state.now_ns)


def _asked_s(state: State) -> Iterator[Sample]:
    for account, broker in state.seen.accounts.items():
        if broker.asked_ns is not None:
            yield (account,), state.now_s - age_s(broker.asked_ns, state.now_ns)


def _troubles(state: State) -> Iterator[Sample]:
    for account, trouble in state.tally.last_trouble.items():
        yield (account,), trouble.at_s


def _available(state: State) -> Iterator[Sample]:
    for account in state.accounts:
        if account.available is not None:
            yield (account.member.account,), account.available


def _oldest_doubts(state: State) -> Iterator[Sample]:
    for account, key in state.seen.keys.items():
        yield (account,), max(0.0, state.now_s - key.oldest_doubt_s) if key.doubts else 0.0


_A, _L = ("account",), ("lane",)

METRICS: tuple[Row, ...] = (
    Row("sealane_build_info", "1, with the release.", ("version",), lambda _: [((__version__,), 1.0)]),
    Row("sealane_simulated", "1 where the exchange is the built-in simulator.", (), _one(lambda s: s.seen.simulated)),
    Row("sealane_start_timestamp_seconds", "When the service started.", (), _one(lambda s: s.now_s - s.uptime_s)),
    Row("sealane_health_status", "0 pass, 1 warn, 2 fail.", (), _one(lambda s: s.verdict.status.rank)),
    Row("sealane_account_status", "The account's own: 0 pass, 1 warn, 2 fail.", _A, _statuses),
    Row("sealane_watch_age_seconds", "Since a thread of the watcher last came to its end.", ("round",), _rounds),
    Row("sealane_store_writable", "1 where the last trial write succeeded.", (), _one(_store_writable)),
    Row("sealane_store_tried_timestamp_seconds", "When the last trial write ended.", (), _one(_store_tried_s)),
    # lanes
    Row("sealane_nonce_file_age_seconds", "Since a nonce was last stored, by any process.", _L, _lanes(_stored_age_s)),
    Row(
        "sealane_last_nonce",
        "The lane's highest nonce. A float: its last two or three digits are rounded.",
        _L,
        _lanes(lambda _, lane: lane.last_nonce),
    ),
    Row(
        "sealane_last_nonce_timestamp_seconds",
        "When the last nonce was stored.",
        _L,
        _lanes(lambda _, lane: lane.stored_s),
    ),
    Row(
        "sealane_last_nonce_ahead_seconds",
        "How far the last nonce is ahead of this machine's clock.",
        _L,
        _lanes(lambda state, lane: state.ahead_s(lane) if lane.last_nonce else None),
    ),
    Row("sealane_nonces_issued_total", "Nonces issued by this process.", _L, _lanes(lambda _, lane: lane.issued)),
    Row("sealane_lane_waiting", "Callers of this process that wait.", _L, _lanes(lambda _, lane: lane.waiting)),
    Row("sealane_lane_busy", "1 while this process holds the turn.", _L, _lanes(lambda _, lane: lane.busy)),
    Row("sealane_api_serialization", "1: one call in flight at a time.", _L, _lanes(lambda _, lane: lane.serialized)),
    Row(
        "sealane_clock_doubted", "1: the clock leaped, nobody follows.", _L, _lanes(lambda _, lane: lane.clock_doubted)
    ),
    # leases, where an engine leases lanes to hosts
    Row("sealane_engine_reachable", "1 where the lane's engine answered.", _L, _leases(lambda lease: not lease.error)),
    Row("sealane_lease_held", "1 where this host has the lane.", _L, _leases(lambda lease: lease.is_ours)),
    Row("sealane_lease_standby", "1 where another host has it.", _L, _leases(lambda lease: lease.is_standby)),
    Row(
        "sealane_lease_epoch",
        "Of the last grant: each is greater than the one before.",
        _L,
        _leases(lambda lease: lease.epoch or None),
    ),
    Row(
        "sealane_lease_since_timestamp_seconds",
        "When the holder was granted the lane.",
        _L,
        _leases(lambda lease: lease.since_ns / NS_PER_S or None),
    ),
    Row(
        "sealane_lease_waiting_hosts",
        "Hosts that wait for the lane.",
        _L,
        _leases(lambda lease: None if lease.error else len(lease.waiters)),
    ),
    # calls of this process
    Row(
        "sealane_calls_total",
        "Private requests that came to an outcome: accepted, refused, not_sent, in_doubt.",
        ("account", "method", "outcome"),
        _calls,
    ),
    Row("sealane_call_errors_total", "Of these, those that were not accepted.", _A, _call_errors),
    Row("sealane_call_repeats_total", "Reads that were sent again.", _A, _counted(tallies.REPEATS)),
    Row("sealane_last_call_error_timestamp_seconds", "When a request was last not accepted.", _A, _troubles),
    Row("sealane_nonce_refusals_total", "EAPI:Invalid nonce.", _A, _counted(tallies.REFUSALS)),
    Row(
        "sealane_last_nonce_refusal_timestamp_seconds",
        "When a nonce was last refused.",
        _A,
        lambda state: [((name,), at_s) for name, at_s in state.tally.last_refusal_s.items()],
    ),
    Row("sealane_nonce_jumps_total", "Raised nonce floors.", _A, _counted(tallies.JUMPS)),
    Row("sealane_quarantines_total", "Keys that this process stopped.", _A, _counted(tallies.QUARANTINES)),
    Row("sealane_unfinished_turns_total", "Writes that a dead process left.", _A, _counted(tallies.UNFINISHED)),
    Row("sealane_ends_not_noted_total", "Ends that the store could not take.", _A, _counted(tallies.NOT_NOTED)),
    Row("sealane_room_waits_total", "Waits for room in Kraken's counters.", _A, _counted(tallies.ROOM_WAITS)),
    Row("sealane_room_wait_seconds_total", "How long these were to last.", _A, _counted(tallies.ROOM_WAIT_S)),
    Row("sealane_limit_refusals_total", "Limits that Kraken said were reached.", _A, _counted(tallies.LIMITS)),
    Row("sealane_doubts_resolved_total", "Orders that came out of doubt.", _A, _counted(tallies.RESOLVED)),
    # accounts, whichever process did it
    Row("sealane_account_available", "0: its broker gave up, or its key is stopped or refused.", _A, _available),
    Row("sealane_account_errors_in_a_row", "Failed balances in a row.", _A, _brokers(lambda found: found.error_count)),
    Row("sealane_balance_timestamp_seconds", "Of the last known balance.", _A, _brokers(lambda found: found.as_of)),
    Row("sealane_account_asked_timestamp_seconds", "When it was last asked for.", _A, _asked_s),
    Row(
        "sealane_account_asked_seconds", "How long that took, with the lane.", _A, _brokers(lambda found: found.took_s)
    ),
    Row("sealane_key_quarantined", "1: stopped until a person acts.", _A, _keys(lambda key: bool(key.diagnosis))),
    Row("sealane_key_refused_in_a_row", "Nonce refusals.", _A, _keys(lambda key: key.refused_in_a_row)),
    Row("sealane_key_locked_out_seconds", "Left of Kraken's lockout.", _A, _keys(lambda key: key.locked_s)),
    Row("sealane_orders_in_doubt", "Orders whose end is not known.", _A, _keys(lambda key: key.doubts)),
    Row("sealane_oldest_doubt_age_seconds", "Since the oldest of them was sent.", _A, _oldest_doubts),
    Row(
        "sealane_counter_level",
        "Kraken's counters as kept here; of the trading counters the fullest.",
        ("account", "counter"),
        partial(_counters, limit=False),
    ),
    Row("sealane_counter_limit", "What they may reach.", ("account", "counter"), partial(_counters, limit=True)),
)


class Metrics(Collector):
    """The table as a collector of Prometheus' client, with a registry of its own beside the process's own figures."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def collect(self) -> Iterator[Metric]:
        """All families as of now."""
        state = self._state()
        for row in METRICS:
            yield row.family(state)

    def describe(self) -> Iterator[Metric]:
        """Nothing: it is called before there is a state."""
        return iter(())

    def exposed(self, accept: str) -> tuple[bytes, str]:
        """The text, and its content type, in the form that the scraper accepts."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
