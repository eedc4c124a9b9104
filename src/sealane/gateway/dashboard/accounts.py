"""The parts on accounts: what they hold and may do, and Kraken's counters."""

from __future__ import annotations

from sealane.gateway.dashboard.markup import Html, empty, joined, section, table, tag
from sealane.gateway.dashboard.signs import chip, gauge, sign, stacked, status
from sealane.gateway.dashboard.words import (
    RISKY,
    ago,
    balance_told,
    counter_named,
    drain_told,
    figure,
    lasted,
    level_told,
)
from sealane.gateway.statistics_form import AccountRow, BalanceRow, CounterRow, Document


def accounts(document: Document) -> Html:
    """What each account is, holds and may do."""
    heads = ("account", "state", "USD and USDT", "key at Kraken", "calls", "nonce refusals", "orders in doubt")
    rows = [_account(one, document) for one in document["accounts"]]
    shown = table("Accounts of this gateway", heads, rows, numbers=("calls", "nonce refusals", "orders in doubt"))
    note = "" if document["amounts_shown"] else "Amounts are not shown on this address."
    return section("accounts", "Accounts", shown, note=note)


def _account(one: AccountRow, document: Document) -> tuple[object, ...]:
    lane = f"lane {one['lane']}" if document["lanes_setting"] == "per-key" else ""
    return (
        stacked(one["account"], f"key {one['key']}", lane),
        tag("span", stacked(_state(one), *one["reasons"], _trouble(one)), class_="wide"),
        _balance(one["balance"], document["amounts_shown"]),
        tag("span", _permissions(one), class_="wide"),
        stacked(f"{one['calls']:,}", f"{one['call_errors']:,} not accepted" if one["call_errors"] else ""),
        stacked(f"{one['nonce_refusals']:,}", f"{one['jumps']:,} jumps" if one["jumps"] else ""),
        _doubts(one),
    )


def _state(one: AccountRow) -> Html:
    shown = status(one["status"])
    if one["available"] is None:
        return shown
    return shown if one["available"] else joined((shown, chip("unavailable", "fail")), " ")


def _trouble(one: AccountRow) -> str:
    last = one["last_trouble"]
    return f"last not accepted {ago(last['age_s'])}: {last['method']} {last['detail']}" if last else ""


def _balance(balance: BalanceRow | None, amounts_shown: bool) -> Html:
    is_old = balance is not None and balance["stale"]
    told = tag("span", balance_told(balance, amounts_shown), class_="amount old" if is_old else "amount")
    if balance is None or balance["as_of"] is None:
        return stacked(told, "that is not zero")
    age = f"as of {ago(balance['age_s'])}"
    mark = chip("stale", "warn") if balance["stale"] else ""
    return joined((stacked(told, joined((mark, age), " ") if mark else age), _assets(balance)))


def _assets(balance: BalanceRow) -> Html:
    amounts = balance["amounts"]
    if amounts is None:
        return Html("")
    if not amounts:
        return tag("small", "holds nothing", class_="assets")
    items = [tag("li", tag("span", one["symbol"], title=one["asset"]), tag("span", one["amount"])) for one in amounts]
    count = f"{len(items)} asset{'s' if len(items) > 1 else ''}"
    return tag("details", tag("summary", count), tag("ul", *items), class_="assets")


def _permissions(one: AccountRow) -> Html:
    told = one["permissions"]
    if told is None:
        return tag("span", "not told yet", class_="soft")
    chips = [chip(name, "warn" if name in RISKY else "plain") for name in told["names"]]
    risky = "may move funds away: trading never needs that" if RISKY & set(told["names"]) else ""
    return stacked(tag("span", *chips, class_="chips"), risky, f"told {ago(told['age_s'])}")


def _doubts(one: AccountRow) -> Html:
    count, age_s = one["orders_in_doubt"], one["oldest_doubt_age_s"]
    if count is None:
        return tag("span", "not known", class_="soft")
    if not count:
        return tag("span", "0", class_="soft")
    return stacked(sign("warn", f"{count:,}"), f"the oldest {lasted(age_s)}" if age_s is not None else "")


# --- counters ---------------------------------------------------------------------------------------------------------


def counters(document: Document) -> Html:
    """Kraken's counters as gauges: every account's own, and pairs on which something was counted."""
    rows = [
        _counter(account, one)
        for account in document["accounts"]
        for one in account["counters"]
        if one["name"] == "rest" or one["level"] or one["open_orders"]
    ]
    note = "As kept here for every process of this store. Kraken's own never stand higher."
    if not rows:
        was_read = any(one["orders_in_doubt"] is not None for one in document["accounts"])
        told = "No limits are kept for this exchange (SEALANE_TIER is off)." if was_read else "Not looked at yet."
        return section("counters", "Rate counters", empty(told))
    heads = ("account and counter", "level", "drains", "waits for room", "open orders")
    numbers = ("waits for room", "open orders")
    return section("counters", "Rate counters", table("Kraken's counters", heads, rows, numbers=numbers), note=note)


def _counter(account: AccountRow, one: CounterRow) -> tuple[object, ...]:
    most = one["open_orders_limit"]
    return (
        stacked(account["account"], counter_named(one)),
        tag("span", gauge(one), tag("span", level_told(one), class_="level-told"), class_="gauged"),
        drain_told(one),
        f"cost {figure(one['waited_for'])}" if one["waited_for"] else "none",
        "–" if one["open_orders"] is None else f"{one['open_orders']:,}" + (f" of {most:,}" if most else ""),
    )
