"""Three small plots of the last hour, a bar or a point a minute, each with its figures in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sealane.gateway.dashboard.markup import NOTHING, Html, table, tag
from sealane.gateway.dashboard.words import moment, waited
from sealane.gateway.statistics_form import Document, MinuteRow

WIDTH, HEIGHT, GAP = 600, 100, 2
"""In units of the drawing, which is stretched to its place."""


def plots(document: Document) -> Html:
    """All three, and the minutes behind them as a table."""
    minutes = document["minutes"]
    return tag("div", _calls(minutes), _waits(minutes), _refusals(minutes), class_="plots") if minutes else NOTHING


def figures(document: Document) -> Html:
    """What the plots are drawn from, the newest first; minutes in which nothing went through are left out."""
    rows = [_row(one) for one in reversed(document["minutes"]) if one["calls"]]
    if not rows:
        return NOTHING
    heads = ("minute", "calls", "refusals", "without answer", "wait, median", "wait, longest")
    shown = table("Minutes in which calls went through, UTC", heads, rows, numbers=heads[1:])
    return tag("details", tag("summary", "The figures by minute"), shown, id="minutes")


def _row(one: MinuteRow) -> tuple[object, ...]:
    waits = waited(one["wait_p50_s"]), waited(one["wait_max_s"])
    return moment(one["at"])[:5], one["calls"], one["refusals"], one["failures"], *waits


# --- the three --------------------------------------------------------------------------------------------------------


def _calls(minutes: list[MinuteRow]) -> Html:
    total, highest = sum(one["calls"] for one in minutes), max(one["calls"] for one in minutes)
    bars = _bars(minutes, lambda one: one["calls"], highest, "calls")
    told = f"{total:,} in the last hour, at most {highest:,} a minute" if total else "none in the last hour"
    return _plot("Calls", told, f"{highest:,} a minute" if total else "", (bars,))


def _refusals(minutes: list[MinuteRow]) -> Html:
    refused, failed = sum(one["refusals"] for one in minutes), sum(one["failures"] for one in minutes)
    highest = max(one["refusals"] + one["failures"] for one in minutes)
    both = _bars(minutes, lambda one: one["refusals"] + one["failures"], highest, "failures")
    bars = _bars(minutes, lambda one: one["refusals"], highest, "refusals")
    told = f"{refused:,} refused, {failed:,} without an answer" if refused or failed else "none in the last hour"
    return _plot("Refusals", told, f"{highest:,} a minute" if highest else "", (both, bars))


def _waits(minutes: list[MinuteRow]) -> Html:
    longest = max((one["wait_max_s"] or 0.0 for one in minutes), default=0.0)
    medians = [one["wait_p50_s"] for one in minutes if one["wait_p50_s"] is not None]
    bars = _bars(minutes, lambda one: one["wait_max_s"] or 0.0, longest, "longest")
    inner = _bars(minutes, lambda one: one["wait_p50_s"] or 0.0, longest, "median")
    told = f"median {waited(medians[-1])} of late, longest {waited(longest)}" if medians else "none in the last hour"
    return _plot("Waits", told, waited(longest) if medians else "", (bars, inner))


def _bars(minutes: list[MinuteRow], value: Callable[[MinuteRow], float], highest: float, kind: str) -> Html:
    """A bar a minute, all of them one shape."""
    step = WIDTH / len(minutes)
    bars = []
    for place, one in enumerate(minutes):
        tall = round(value(one) / highest * HEIGHT, 1) if highest else 0.0
        if tall:
            bars.append(f"M{place * step + GAP / 2:g} {HEIGHT}v-{tall:g}h{step - GAP:g}v{tall:g}z")
    return tag("path", d="".join(bars), class_=kind) if bars else NOTHING


def _plot(title: str, told: str, highest: str, bars: Iterable[Html]) -> Html:
    drawing = tag(
        "svg",
        tag("path", d=f"M0 {HEIGHT}H{WIDTH}M0 {HEIGHT / 2:g}H{WIDTH}M0 0H{WIDTH}", class_="grid"),
        *bars,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{title} of the last hour by minute: {told}",
    )
    return tag(
        "figure",
        tag("figcaption", tag("strong", title), " ", tag("span", told)),
        tag("p", highest, class_="peak", aria_hidden="true"),
        drawing,
        tag("div", tag("span", "an hour ago"), tag("span", "now"), class_="axis", aria_hidden="true"),
    )
