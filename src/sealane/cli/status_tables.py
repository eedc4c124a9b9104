"""The document of ``/statistics`` as tables on a terminal. What is wrong says so in words, not in colour alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from rich import box
from rich.console import Group, JustifyMethod, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sealane.gateway.dashboard.words import (
    RISKY,
    STATUS_WORDS,
    against_clock,
    ago,
    balance_told,
    counter_named,
    drain_told,
    figure,
    holder_told,
    lasted,
    level_told,
    moment,
    nonce_told,
    outcome_told,
    waited,
)
from sealane.gateway.statistics import failed, refused
from sealane.gateway.statistics_form import (
    GATEWAY,
    AccountRow,
    CounterRow,
    Document,
    ErrorRow,
    KeyRow,
    LaneRow,
    MinuteRow,
)

COLOURS = {"pass": "green", "warn": "yellow", "fail": "red"}
MARKS = {"pass": "●", "warn": "▲", "fail": "✖"}
BAR_WIDTH = 12
STEPS = "▁▂▃▄▅▆▇█"
ERRORS_MAX = 8
WIDTHS = {"last nonce": 25, "state": 11}
"""Columns whose words stay on one line: a nonce of 19 digits in its groups among them."""


def drawn(document: Document, *, stale: str = "") -> RenderableType:
    """The whole; ``stale`` tells why it is not of now, "" where it is."""
    document = cast("Document", printable(document))
    parts: list[tuple[Table, Iterable[Text]]] = [
        (_accounts(document), _troubles(document)),
        (_counters(document), ()),
        (_lanes(document), _refusals(document)),
        *((table, ()) for table in _went_through(document)),
    ]
    shown: list[RenderableType] = [_head(document, stale), *_reasons(document)]
    for table, notes in parts:
        shown += (Text(), table, *notes) if table.row_count else ()
    return Group(*shown)


def printable(value: object) -> object:
    """What others wrote, without what would steer a terminal."""
    if isinstance(value, str):
        return "".join(sign if sign.isprintable() else "?" for sign in value)
    if isinstance(value, dict):
        return {name: printable(one) for name, one in value.items()}
    return [printable(one) for one in value] if isinstance(value, list) else value


def _head(document: Document, stale: str) -> Text:
    status = document["status"]
    said = Text.assemble(
        ("Sealane ", "bold"),
        (f"{MARKS[status]} {STATUS_WORDS[status]}", f"bold {COLOURS[status]}"),
        (f"  as of {moment(document['time'])} UTC", "dim"),
    )
    if document["source"] == GATEWAY:
        said.append(f", up for {lasted(document['uptime_s'])}", "dim")
    else:
        said.append("  from the store: no gateway answers, and nobody was asked", "yellow")
    if document["simulated"]:
        said.append("  SIMULATOR: no money, no Kraken", "bold yellow")
    if stale:
        said.append(f"\nSTALE since {moment(document['time'])} UTC: {printable(stale)}", "bold reverse")
    return said


def _reasons(document: Document) -> Iterator[Text]:
    for reason in document["reasons"]:
        yield Text(f"  {reason}", COLOURS[document["status"]])


def _table(title: str, *heads: str, right: tuple[str, ...] = ()) -> Table:
    """An empty one; ``right`` are columns of numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.show_edge = table.pad_edge = False
    for head in heads:
        is_number = head in right
        justify: JustifyMethod = "right" if is_number else "left"
        table.add_column(head, justify=justify, overflow="fold", no_wrap=is_number, min_width=WIDTHS.get(head))
    return table


def _accounts(document: Document) -> Table:
    right = ("USD + USDT", "calls", "refused")
    table = _table("Accounts", "account", "state", "USD + USDT", "as of", "in doubt", "calls", "refused", right=right)
    for one in document["accounts"]:
        table.add_row(*_account(one, document))
    return table


def _account(one: AccountRow, document: Document) -> Iterator[RenderableType]:
    status, balance, doubts = one["status"], one["balance"], one["orders_in_doubt"]
    usable = "\nunavailable" if one["available"] is False else ""
    yield f"{escape(one['account'])}\n[dim]key {escape(one['key'])}[/]"
    yield Text(f"{MARKS[status]} {STATUS_WORDS[status]}{usable}", COLOURS[status], no_wrap=True)
    yield balance_told(balance, document["amounts_shown"])
    old = " [yellow]stale[/]" if balance and balance["stale"] else ""
    yield f"{ago(balance['age_s'])}{old}" if balance else "–"
    oldest_s = one["oldest_doubt_age_s"]
    yield "not known" if doubts is None else f"[yellow]{doubts}, {lasted(oldest_s or 0)}[/]" if doubts else "0"
    yield f"{one['calls']:,}"
    yield f"{one['nonce_refusals']:,}"


def _troubles(document: Document) -> Iterator[Text]:
    """What is wrong with which account, at full width."""
    for one in document["accounts"]:
        permissions = one["permissions"]
        risky = RISKY & set(permissions["names"]) if permissions else ()
        may = [f"its key may {', '.join(sorted(risky))}, which trading never needs"] if risky else []
        for reason in (*one["reasons"], *may):
            yield Text(f"  {one['account']}: {reason}", COLOURS[one["status"]] if one["reasons"] else "yellow")


def _refusals(document: Document) -> Iterator[Text]:
    """Why the last nonce was refused on a lane."""
    for one in document["lanes"]:
        if last := one["last_refusal"]:
            told = f"  {one['name']}: {last['account']}'s was refused {ago(last['age_s'])}: {last['cause']}"
            yield Text(told, "yellow")


def _counters(document: Document) -> Table:
    table = _table("Rate counters", "account", "counter", "", "level", "drains", right=("level",))
    for account in document["accounts"]:
        for one in account["counters"]:
            if one["name"] == "rest" or one["level"] or one["open_orders"]:
                waits = f", cost {figure(one['waited_for'])} waits" if one["waited_for"] else ""
                table.add_row(
                    escape(account["account"]), counter_named(one), bar(one), level_told(one), drain_told(one) + waits
                )
    return table


def bar(one: CounterRow) -> Text:
    """How full a counter is."""
    share = min(1.0, one["level"] / one["limit"]) if one["limit"] > 0 else 1.0
    full = round(share * BAR_WIDTH)
    colour = "red" if share >= 1 else "yellow" if share >= 0.8 else "cyan"
    return Text.assemble(("█" * full, colour), ("░" * (BAR_WIDTH - full), "dim"), no_wrap=True)


def _lanes(document: Document) -> Table:
    heads = ("lane", "holder", "waiting", "last nonce", "refused")
    table = _table("Lanes", *heads, right=("waiting", "refused"))
    for one in document["lanes"]:
        table.add_row(*_lane(one))
    return table


def _lane(one: LaneRow) -> tuple[str, ...]:
    if one["error"]:
        return escape(one["name"]), f"[red]✖ cannot be read[/]: {escape(one['error'])}", "–", "–", "–"
    lease = one["lease_told"]
    holder = holder_told(one) + (f"\n{lease}" if lease else "")
    stands = f"\n[dim]{against_clock(one)}[/]" if against_clock(one) else ""
    doubted = "\n[yellow]▲ the clock leaped and is not followed[/]" if one["clock_doubted"] else ""
    return (
        escape(one["name"]),
        escape(holder),
        f"{one['waiting']:,}" + ("\none in flight" if one["in_flight"] else ""),
        nonce_told(one["last_nonce"]).replace("\u202f", "\u00a0") + stands + doubted,  # kept on one line
        f"{one['refusals']:,}",
    )


# --- what went through ------------------------------------------------------------------------------------------------


def _went_through(document: Document) -> Iterator[Table]:
    """What only a gateway knows."""
    if document["source"] != GATEWAY:
        return
    yield _hour(document["minutes"])
    yield _keys(document["virtual_keys"])
    yield _errors(document["errors"])


def _hour(minutes: list[MinuteRow]) -> Table:
    table = _table("Last hour", "", "an hour ago … now", "")
    calls, refusals = [one["calls"] for one in minutes], [one["refusals"] + one["failures"] for one in minutes]
    waits = [one["wait_max_s"] or 0.0 for one in minutes]
    rows = (
        ("calls", sparks(_by_pairs(calls)), f"{sum(calls):,}"),
        ("waits", sparks(_by_pairs(waits)), f"longest {waited(max(waits))}" if any(waits) else "none"),
        ("refusals", sparks(_by_pairs(refusals)), f"{sum(refusals):,}"),
    )
    for name, line, told in rows:
        table.add_row(name, Text(line, "yellow" if name == "refusals" else "cyan", no_wrap=True), told)
    return table


def _by_pairs(values: Sequence[float]) -> list[float]:
    """Two minutes in one place, by the higher: an hour is as wide as a narrow terminal has room for."""
    return [max(values[place : place + 2]) for place in range(0, len(values), 2)]


def sparks(values: Iterable[float]) -> str:
    """A row of small bars, the highest as high as it goes, a blank for none."""
    found = list(values)
    highest = max(found, default=0.0)
    return "".join(STEPS[min(len(STEPS) - 1, int(one / highest * len(STEPS)))] if one else " " for one in found)


def _keys(keys: list[KeyRow]) -> Table:
    right = ("now", "calls", "refused", "lost")
    heads = ("name and account", "state", "may", "now", "calls", "refused", "lost", "last call")
    table = _table("Virtual keys", *heads, right=right)
    for one in keys:
        state = one["state"] if one["state"] == "active" else f"[yellow]{one['state']}[/]"
        figures = (one["waiting"], one["calls"], refused(one), failed(one))
        table.add_row(
            f"{escape(one['name'])}\n[dim]{escape(one['account'])}[/]", state, escape(", ".join(one["allow"])),
            *(f"{number:,}" for number in figures), ago(one["last_call_age_s"]),
        )  # fmt: skip
    return table


def _errors(errors: list[ErrorRow]) -> Table:
    table = _table("Recent errors, the newest first", "when", "key", "method", "end", "what was said")
    for one in errors[:ERRORS_MAX]:
        end = outcome_told(one["outcome"])
        table.add_row(*(escape(text) for text in (ago(one["age_s"]), one["key"], one["method"], end, one["text"])))
    return table
