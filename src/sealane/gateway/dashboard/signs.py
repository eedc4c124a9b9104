"""Small signs beside words: a status, a gauge. Shape and word say it as well as colour."""

from __future__ import annotations

from sealane.gateway.dashboard.markup import Html, html, tag
from sealane.gateway.dashboard.words import STATUS_WORDS
from sealane.gateway.statistics_form import CounterRow

SHAPES = {
    "pass": '<circle cx="8" cy="8" r="7"/><path class="mark" d="M4.6 8.3l2.4 2.4 4.6-5"/>',
    "warn": '<path d="M8 .9l7.4 13.6H.6z"/><path class="mark" d="M8 5.6v4M8 11.6v.6"/>',
    "fail": '<path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z"/><path class="mark" d="M5.3 5.3l5.4 5.4M10.7 5.3l-5.4 5.4"/>',
    "off": '<circle class="ring" cx="8" cy="8" r="6"/><path class="mark" d="M5 8h6"/>',
}
"""Drawn in a square of 16: a disc, a triangle, an octagon, a ring."""
GAUGE_WIDTH, GAUGE_HEIGHT = 100, 8
FULL, HIGH = 1.0, 0.8


def sign(kind: str, word: str) -> Html:
    """A shape with its word; ``kind`` is pass, warn, fail or off."""
    shape = tag("svg", Html(SHAPES[kind]), viewBox="0 0 16 16", aria_hidden="true", class_="sign")
    return tag("span", shape, tag("span", word), class_=f"status {kind}")


def status(value: str) -> Html:
    """An account's status, or the whole's."""
    return sign(value if value in SHAPES else "off", STATUS_WORDS.get(value, value))


def chip(text: str, kind: str = "plain") -> Html:
    """A word in a box."""
    return tag("span", text, class_=f"chip {kind}")


def gauge(counter: CounterRow) -> Html:
    """How full a counter is; what it says stands beside it in words."""
    share = counter["level"] / counter["limit"] if counter["limit"] > 0 else FULL
    kind = "fail" if share >= FULL else "warn" if share >= HIGH else "calm"
    width = round(min(share, FULL) * GAUGE_WIDTH, 1)
    track = tag("rect", width=GAUGE_WIDTH, height=GAUGE_HEIGHT, rx=2, class_="track")
    level = tag("rect", width=width, height=GAUGE_HEIGHT, rx=2, class_=f"level {kind}")
    box = f"0 0 {GAUGE_WIDTH} {GAUGE_HEIGHT}"
    return tag("svg", track, level, viewBox=box, preserveAspectRatio="none", aria_hidden="true", class_="gauge")


def stacked(first: object, *more: object) -> Html:
    """A value over smaller words."""
    lines = [tag("small", line) for line in more if line]
    return tag("span", html(first), *lines, class_="stack")
