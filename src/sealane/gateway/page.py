"""``/``: the state and the endpoints on one plain page, made here; it loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from sealane import __version__
from sealane.client.lease_words import told_lease
from sealane.gateway.health import age_s
from sealane.gateway.sightings import LaneSeen
from sealane.gateway.state import AccountState, State

REFRESH_S = 10
LEASES_MAX = 10
"""Lanes whose leases are shown; the health document has all."""
ENDPOINTS = (
    ("/health/kraken-nonce", "the state as JSON: 200 for pass and warn, 503 for fail"),
    ("/readyz", "whether to send it work: 503 where the state is fail"),
    ("/livez", "whether a restart would mend anything: 503 where it would"),
    ("/metrics", "for Prometheus"),
)
SIMULATOR = "SIMULATOR: this is the built-in exchange. No money, no Kraken."
STYLE = """
:root { color-scheme: light dark; --pass: #1a7f4b; --warn: #9a6700; --fail: #c2322d; --line: #8884; }
@media (prefers-color-scheme: dark) { :root { --pass: #4cc38a; --warn: #e2b340; --fail: #ff7a70; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
.figures { width: auto; } .figures th { white-space: normal; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { font-weight: 600; white-space: nowrap; }
.pass { color: var(--pass); } .warn { color: var(--warn); } .fail { color: var(--fail); }
.status { font-weight: 700; } .key { white-space: nowrap; }
.why { display: inline-block; min-width: 18rem; overflow-wrap: anywhere; }
.simulator { border: 2px solid var(--warn); padding: .6rem 1rem; font-weight: 700; }
"""


def page(state: State) -> str:
    """The page."""
    status = state.verdict.status.value
    title = f"{'SIMULATOR · ' if state.seen.simulated else ''}Sealane: {status}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{REFRESH_S}">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>Sealane <small>{escape(__version__)}</small></h1>
{f'<p class="simulator" role="note">{escape(SIMULATOR)}</p>' if state.seen.simulated else ""}
<p>State: <span class="status {status}">{status}</span></p>
{_reasons(state)}
{_figures(state)}
<h2>Accounts</h2>
{_accounts(state)}
<h2>Lanes</h2>
{_lanes(state)}
<h2>Endpoints</h2>
{_table(("path", "what it says"), ((f'<a href="{path}">{path}</a>', escape(told)) for path, told in ENDPOINTS))}
<p><small>{escape(_looked(state))} This page comes again every {REFRESH_S} s.</small></p>
</main>
</body>
</html>
"""


def _looked(state: State) -> str:
    looks = [one.ended_ns for one in state.seen.rounds if one.name == "look" and one.ended_ns is not None]
    return f"Looked at {lasted(age_s(looks[0], state.now_ns))} ago." if looks else "Not looked at yet."


def _reasons(state: State) -> str:
    items = "".join(f"<li>{escape(reason)}</li>" for reason in state.verdict.reasons)
    return f"<ul>{items}</ul>" if items else ""


def _figures(state: State) -> str:
    last = state.last_nonce
    figures = (
        ("last nonce", "not known yet" if last is None else str(last)),
        ("nonces issued by this process", f"{state.issued:,}"),
        ("API serialization", "on" if state.serialized else "OFF"),
        ("lanes", "one for all accounts" if state.seen.lanes_setting == "global" else "one a key"),
        ("up for", lasted(state.uptime_s)),
        *_leases(state),
    )
    rows = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in figures)
    return f'<div class="scroll"><table class="figures">{rows}</table></div>'


def _leases(state: State) -> list[tuple[str, str]]:
    """Who drives which lane, where an engine leases them to hosts."""
    leased = [(lane.name, lane.lease) for lane in state.seen.lanes if lane.lease is not None]
    rows = [(f"lane {name}", f"{told_lease(lease)}; {len(lease.waiters)} waiting") for name, lease in leased]
    return rows[:LEASES_MAX]


def _accounts(state: State) -> str:
    heads = ("account", "key", "state", "why", "calls", "not accepted", "balance", "in doubt")
    return _table(heads, (_cells(one, state) for one in state.accounts))


def _lanes(state: State) -> str:
    heads = ("lane", "last nonce", "stored", "held by process", "for", "waiting here")
    return _table(heads, (_lane_cells(lane, state) for lane in state.seen.lanes))


def _lane_cells(lane: LaneSeen, state: State) -> tuple[str, ...]:
    return (
        escape(lane.name),
        str(lane.last_nonce),
        "never" if lane.stored_s is None else f"{lasted(max(0.0, state.now_s - lane.stored_s))} ago",
        escape(lane.holder),
        "" if lane.held_ns is None else lasted(age_s(lane.held_ns, state.now_ns)),
        f"{lane.waiting:,}",
    )


def _cells(one: AccountState, state: State) -> tuple[str, ...]:
    status = one.check.status.value
    calls, errors = state.calls(one.member.account)
    as_of = one.broker.as_of if one.broker else None
    return (
        escape(one.member.account),
        f'<span class="key">{escape(one.member.key)}</span>',
        f'<span class="status {status}">{status}</span>',
        f'<span class="why">{escape(one.check.output)}</span>',
        f"{calls:,}",
        f"{errors:,}",
        "never" if as_of is None else f"{lasted(max(0.0, state.now_s - as_of))} ago",
        str(one.key.doubts) if one.key else "",
    )


def _table(heads: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def lasted(seconds: float) -> str:
    """A duration for people: ``8 s``, ``3 min``, ``5 h``, ``2 d``."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size * (2 if unit == "min" else 1):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
