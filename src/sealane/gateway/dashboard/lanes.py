"""The part on lanes: who has the turn, who waits, where the last nonce stands, and what was refused."""

from __future__ import annotations

from sealane.gateway.dashboard.markup import Html, empty, section, table, tag
from sealane.gateway.dashboard.signs import sign, stacked
from sealane.gateway.dashboard.words import against_clock, ago, holder_told, nonce_told
from sealane.gateway.statistics_form import Document, LaneRow

HEADS = ("lane", "holder", "waiting here", "last nonce", "nonce refusals")


def lanes(document: Document) -> Html:
    """Every lane once."""
    rows = [_lane(one) for one in document["lanes"]]
    if not rows:
        return section("lanes", "Lanes", empty("No lane has been looked at yet."))
    leased = any(one["lease_told"] for one in document["lanes"])
    heads = (*HEADS, "lease") if leased else HEADS
    shown = table("Lanes", heads, (row if leased else row[:-1] for row in rows), numbers=("waiting here",))
    note = "One lane for all accounts." if document["lanes_setting"] == "global" else "One lane a key."
    return section("lanes", "Lanes", shown, note=note)


def _lane(one: LaneRow) -> tuple[object, ...]:
    if one["error"]:
        return (
            one["name"],
            stacked(sign("fail", "cannot be read"), one["error"]),
            "–",
            "–",
            "–",
            one["lease_told"] or "",
        )
    return (
        one["name"],
        tag("span", stacked(holder_told(one), _under_way(one)), class_="wide"),
        stacked(f"{one['waiting']:,}", "one in flight" if one["in_flight"] else ""),
        _nonce(one),
        _refusals(one),
        one["lease_told"] or "",
    )


def _under_way(one: LaneRow) -> str:
    return f"{one['write_under_way']} is on the wire" if one["write_under_way"] else ""


def _nonce(one: LaneRow) -> Html:
    doubted = sign("warn", "the clock leaped and is not followed") if one["clock_doubted"] else ""
    serialized = "" if one["serialized"] else sign("warn", "serialization is off")
    stored = f"stored {ago(one['stored_age_s'])}"
    return stacked(
        tag("span", nonce_told(one["last_nonce"]), class_="nonce"), against_clock(one), stored, doubted, serialized
    )


def _refusals(one: LaneRow) -> Html:
    last = one["last_refusal"]
    if last is None:
        return stacked(f"{one['refusals']:,}", f"{one['jumps']:,} jumps" if one["jumps"] else "")
    told = f"{last['account']}, {ago(last['age_s'])}: {last['cause']}"
    return stacked(f"{one['refusals']:,}", f"{one['jumps']:,} jumps", told)
