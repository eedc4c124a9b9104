"""The parts on what went through the gateway: virtual keys, and the last errors."""

from __future__ import annotations

from sealane.gateway.dashboard.markup import Html, empty, section, table, tag
from sealane.gateway.dashboard.signs import chip, sign, stacked
from sealane.gateway.dashboard.words import ago, lasted, moment, outcome_told
from sealane.gateway.statistics import failed, refused
from sealane.gateway.statistics_form import Document, ErrorRow, KeyRow

STATES = {"active": "pass", "paused": "warn", "expired": "off", "revoked": "off"}
RISKY = frozenset({"fund", "ws-token"})
NUMBERS = ("now", "calls", "refused", "without answer")


def virtual_keys(document: Document) -> Html:
    """Every virtual key with what it may do and what it did."""
    rows = [_key(one) for one in document["virtual_keys"]]
    if not rows:
        told = "There is none yet: sealane keys create NAME --account A makes one."
        return section("keys", "Virtual keys", empty(told))
    heads = ("name", "state", "may", "now", "calls", "refused", "without answer", "last call")
    note = "Counts are since this gateway started; now is what is queued or in flight."
    return section("keys", "Virtual keys", table("Virtual keys", heads, rows, numbers=NUMBERS), note=note)


def _key(one: KeyRow) -> tuple[object, ...]:
    kinds = [chip(name, "warn" if name in RISKY else "plain") for name in one["allow"]]
    return (
        stacked(one["name"], f"for {one['account']}"),
        stacked(sign(STATES.get(one["state"], "off"), one["state"]), _expiry(one)),
        tag("span", *kinds, class_="chips"),
        f"{one['waiting']:,}",
        f"{one['calls']:,}",
        stacked(f"{refused(one):,}", _split(one)),
        f"{failed(one):,}",
        ago(one["last_call_age_s"]),
    )


def _expiry(one: KeyRow) -> str:
    left_s = one["expires_in_s"]
    return f"expires in {lasted(left_s)}" if left_s is not None and left_s > 0 else ""


def _split(one: KeyRow) -> str:
    """How many of the refusals were the gateway's own."""
    here = [f"{one['outcomes'][name]:,} {name}" for name in ("denied", "throttled") if one["outcomes"][name]]
    return f"{', '.join(here)} here" if here else ""


def errors(document: Document) -> Html:
    """The last calls that were not answered."""
    rows = [_error(one) for one in document["errors"]]
    if not rows:
        return section("errors", "Recent errors", empty("None since this gateway started."))
    heads = ("when", "key", "method", "end", "what was said")
    return section("errors", "Recent errors", table("Recent errors, the newest first", heads, rows))


def _error(one: ErrorRow) -> tuple[object, ...]:
    kind = "warn" if one["outcome"] in ("refused", "denied", "throttled") else "fail"
    return (
        stacked(tag("time", f"{moment(one['at'])} UTC"), ago(one["age_s"])),
        stacked(one["key"], f"for {one['account']}"),
        one["method"],
        sign(kind, outcome_told(one["outcome"])),
        tag("span", one["text"], class_="said"),
    )
