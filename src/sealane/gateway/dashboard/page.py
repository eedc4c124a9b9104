"""``/``: the whole page, from the document alone. It loads its style and its script from here, and nothing else."""

from __future__ import annotations

from sealane.gateway.dashboard.accounts import accounts, counters
from sealane.gateway.dashboard.lanes import lanes
from sealane.gateway.dashboard.markup import NOTHING, Html, joined, section, tag
from sealane.gateway.dashboard.passage import errors, virtual_keys
from sealane.gateway.dashboard.plots import figures, plots
from sealane.gateway.dashboard.signs import status
from sealane.gateway.dashboard.words import ago, lasted, moment, waited
from sealane.gateway.statistics_form import Document

REFRESH_S = 10
"""Without the script the page comes again so often."""
SIMULATOR = "SIMULATOR: this is the built-in exchange. No money, no Kraken."
ENDPOINTS = (
    ("/statistics", "all of this as one JSON document"),
    ("/health/kraken-nonce", "the state: 200 for pass and warn, 503 for fail"),
    ("/readyz", "whether to send it work"),
    ("/livez", "whether a restart would mend anything"),
    ("/metrics", "for Prometheus"),
)
PARTS = (
    ("hour", "Last hour"),
    ("accounts", "Accounts"),
    ("counters", "Rate counters"),
    ("lanes", "Lanes"),
    ("keys", "Virtual keys"),
    ("errors", "Recent errors"),
)


def page(document: Document) -> Html:
    """The page as it is sent first."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("noscript", tag("meta", http_equiv="refresh", content=REFRESH_S)),
        tag("title", title(document)),
        tag("link", rel="icon", href="/dashboard.svg"),
        tag("link", rel="stylesheet", href="/dashboard.css"),
        tag("script", src="/dashboard.js", defer=True),
    )
    body = tag(
        "body",
        tag("a", "Skip to the figures", href="#figures", class_="skip"),
        tag("p", id="stale", role="status"),
        tag("div", content(document), id="page"),
    )
    return Html("<!doctype html>\n" + tag("html", head, body, lang="en"))


def title(document: Document) -> str:
    """What the browser's tab says."""
    return f"{'SIMULATOR · ' if document['simulated'] else ''}{document['status']} · Sealane"


def content(document: Document) -> Html:
    """All that changes from one moment to the next."""
    return joined((_header(document), _main(document), _footer(document)))


def _header(document: Document) -> Html:
    name = tag("h1", "Sealane", tag("small", document["version"]))
    links = [tag("li", tag("a", text, href=f"#{anchor}")) for anchor, text in PARTS]
    live = tag("p", tag("span", "as of "), tag("time", f"{moment(document['time'])} UTC"), class_="live", id="live")
    top = tag("div", name, tag("p", status(document["status"]), class_="verdict", role="status"), live, class_="top")
    return tag("header", top, tag("nav", tag("ul", *links), aria_label="Parts of this page"))


def _main(document: Document) -> Html:
    return tag(
        "main",
        _simulator(document),
        _reasons(document),
        _tiles(document),
        section("hour", "Last hour", plots(document), figures(document), note="Calls through the gateway, by minute."),
        accounts(document),
        counters(document),
        lanes(document),
        virtual_keys(document),
        errors(document),
        id="figures",
        tabindex="-1",
        data_title=title(document),
    )


def _simulator(document: Document) -> Html:
    if not document["simulated"]:
        return NOTHING
    return tag("p", tag("strong", SIMULATOR), " ", document["simulation"], class_="simulator", role="note")


def _reasons(document: Document) -> Html:
    """Why it is not well; that it is simulated is told already."""
    reasons = [tag("li", reason) for reason in document["reasons"] if reason != f"SIMULATOR: {document['simulation']}"]
    return tag("ul", *reasons, class_=f"reasons {document['status']}", aria_label="Reasons") if reasons else NOTHING


def _tiles(document: Document) -> Html:
    rows, minutes = document["accounts"], document["minutes"]
    usable, was_seen = sum(one["available"] is True for one in rows), any(one["available"] is not None for one in rows)
    doubts, medians = document["doubts"], [one["wait_p50_s"] for one in minutes if one["wait_p50_s"] is not None]
    oldest_s = doubts["oldest_age_s"]
    tiles = (
        (
            "Accounts available",
            f"{usable} of {len(rows)}" if was_seen else "not known",
            "" if usable == len(rows) else "warn",
            "",
        ),
        (
            "Orders in doubt",
            f"{doubts['count']:,}" if doubts["known"] else "not known",
            "" if doubts["known"] and not doubts["count"] else "warn",
            "" if oldest_s is None else f"the oldest {lasted(oldest_s)}",
        ),
        ("Calls in the last hour", f"{sum(one['calls'] for one in minutes):,}", "", f"{document['calls']:,} in all"),
        ("Refused in the last hour", f"{sum(one['refusals'] for one in minutes):,}", "", ""),
        ("Median wait", waited(medians[-1] if medians else None), "", "in the last busy minute" if medians else ""),
        ("Up for", lasted(document["uptime_s"]), "", _looked(document)),
    )
    return tag("dl", *(_tile(*tile) for tile in tiles), class_="tiles")


def _tile(name: str, value: str, kind: str, more: str) -> Html:
    small = tag("dd", more, class_="more") if more else NOTHING
    return tag("div", tag("dt", name), tag("dd", value, class_="value"), small, class_=f"tile {kind}".rstrip())


def _looked(document: Document) -> str:
    age_s = document["looked_age_s"]
    return "not looked at yet" if age_s is None else f"looked at {ago(age_s)}"


def _footer(document: Document) -> Html:
    links = [tag("li", tag("a", path, href=path), " ", tag("span", told)) for path, told in ENDPOINTS]
    store = document["store"]
    told = f"Store: {store['kind']}. " if store else ""
    asked = f"Balances are asked for every {document['watch_s']:g} s. This page reads and changes nothing."
    return tag("footer", tag("ul", *links, aria_label="Other addresses"), tag("p", told + asked))
