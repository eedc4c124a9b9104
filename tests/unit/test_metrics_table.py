"""The table of metrics against its page, the dashboard and the alert rules, and what an exposition looks like."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from sealane.client.statistics import CounterFigures
from sealane.core.events import CallSettled, NonceRefused
from sealane.core.verdict import Outcome
from sealane.gateway.health import judged
from sealane.gateway.metrics import METRICS, Metrics
from sealane.gateway.sightings import AccountSeen, KeySeen, LaneSeen, Member, RoundSeen, Sighting, StoreSeen
from sealane.gateway.state import State
from sealane.gateway.tallies import Tallies
from sealane.store.port import LeaseView

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "service.md").read_text()
NS = 10**9
NOW_NS, NOW_S = 1_000 * NS, 1_800_000_000.0
NAMES = {row.name for row in METRICS}
LEASE = LeaseView(
    "redis://db:6379/0", "me", "web-1", "you", epoch=1_795_281_400_386_123, since_ns=5 * NS, waiters=("me",)
)


def state():
    counters = tuple(CounterFigures(name, level, 15.0, 1.0, 0.0) for name, level in (("rest", 3.0), ("XBTUSD", 6.0)))
    seen = Sighting(
        members=(Member("MASTER", "…Ab3x", "global"),),
        watch_s=30.0,
        simulation="no key",
        lanes_setting="global",
        started_ns=NOW_NS - 60 * NS,
        rounds=(RoundSeen("look", 2.0, True, NOW_NS - NS),),
        store=StoreSeen("file", "", NOW_NS - 2 * NS),
        lanes=(LaneSeen("global", NOW_NS, last_nonce=int(NOW_S + 90) * NS, stored_s=NOW_S - 5, issued=7, lease=LEASE),),
        keys={"MASTER": KeySeen(NOW_NS, doubts=1, oldest_doubt_s=NOW_S - 30, counters=counters)},
        accounts={"MASTER": AccountSeen(NOW_NS, as_of=NOW_S - 4, asked_ns=NOW_NS - 3 * NS, took_s=0.5)},
    )
    tallies = Tallies({"f1": "MASTER"}, lambda: int(NOW_S * NS))
    tallies.hear(CallSettled("MASTER", "Balance", 1, Outcome.ACCEPTED))
    tallies.hear(CallSettled("MASTER", "AddOrder", 2, Outcome.REFUSED, "EOrder:Insufficient funds"))
    tallies.hear(NonceRefused("MASTER", 3, "jump"))
    return State(seen, tallies.now(), judged(seen, NOW_NS, NOW_S), NOW_NS, NOW_S)


def exposed(now):
    text, content_type = Metrics(lambda: now).exposed("")
    assert content_type.startswith("text/plain")
    samples = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            samples[sample.name, tuple(sample.labels.values())] = sample.value
    return samples


def test_every_metric_has_a_sample_and_the_figures_are_those_that_were_seen():
    samples = exposed(state())
    assert {name for name, _ in samples} >= NAMES
    assert samples["sealane_simulated", ()] == 1
    assert samples["sealane_health_status", ()] == 1
    assert samples["sealane_nonce_file_age_seconds", ("global",)] == 5
    assert samples["sealane_last_nonce_ahead_seconds", ("global",)] == 90
    assert samples["sealane_nonces_issued_total", ("global",)] == 7
    assert samples["sealane_calls_total", ("MASTER", "AddOrder", "refused")] == 1
    assert samples["sealane_call_errors_total", ("MASTER",)] == 1
    assert samples["sealane_oldest_doubt_age_seconds", ("MASTER",)] == 30
    assert samples["sealane_counter_level", ("MASTER", "trading")] == 6
    assert samples["sealane_account_asked_timestamp_seconds", ("MASTER",)] == NOW_S - 3
    assert samples["sealane_store_tried_timestamp_seconds", ()] == NOW_S - 2
    assert samples["sealane_lease_epoch", ("global",)] == LEASE.epoch, "exact: it fits a double"
    found = [samples[f"sealane_lease_{name}", ("global",)] for name in ("held", "standby", "waiting_hosts")]
    assert found == [0, 1, 1]
    assert samples["sealane_engine_reachable", ("global",)] == 1


def test_before_the_first_look_what_is_not_known_is_left_out():
    now = state()
    bare = replace(now, seen=replace(now.seen, rounds=(), store=None, lanes=(), keys={}, accounts={}))
    names = {name for name, _ in exposed(bare)}
    assert "sealane_health_status" in names
    assert not names & {"sealane_store_writable", "sealane_last_nonce", "sealane_account_available"}


def test_a_scraper_that_asks_for_openmetrics_gets_it():
    text, content_type = Metrics(state).exposed("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


@pytest.mark.parametrize("row", METRICS, ids=[row.name for row in METRICS])
def test_a_metric_is_named_by_the_rules_and_stands_on_its_page(row):
    assert re.fullmatch(r"sealane_[a-z_]+", row.name)
    assert set(row.labels) <= {"account", "lane", "method", "outcome", "round", "counter", "version"}
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{row.name}` |")]
    assert f"| {', '.join(f'`{label}`' for label in row.labels)} |" in line.replace("|  |", "|  |")


def test_the_page_names_no_metric_that_there_is_not():
    assert set(re.findall(r"^\| `(sealane_\w+)` \|", PAGE, re.MULTILINE)) == NAMES


def expressions():
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"], rule["alert"]
            yield rule["alert"], rule["expr"]
    for panel in json.loads((ROOT / "deploy/grafana/sealane.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


EXPRESSIONS = list(expressions())


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[f"{where}" for where, _ in EXPRESSIONS])
def test_alerts_and_dashboard_ask_for_metrics_that_there_are(where, expression):
    asked = set(re.findall(r"\bsealane_\w+", expression))
    assert asked or re.search(r"\bup\{", expression)
    assert asked <= NAMES


def test_one_of_several_services_that_is_down_is_told_of():
    assert 'up{job="sealane"} == 0' in dict(EXPRESSIONS)["SealaneDown"]


def test_the_documents_five_are_on_the_dashboard():
    shown = " ".join(expression for _, expression in EXPRESSIONS)
    for name in (
        "sealane_nonce_file_age_seconds",
        "sealane_last_nonce_ahead_seconds",
        "sealane_call_errors_total",
        "sealane_nonces_issued_total",
        "sealane_calls_total",
    ):
        assert name in shown
