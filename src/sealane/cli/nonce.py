"""``sealane nonce next | show | raise``: the numbers of a lane, for a person."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from sealane.cli.output import AccountOption, JsonFlag, print_json, print_result, told_errors
from sealane.client.accounts import MASTER, account_credentials
from sealane.client.lease_words import lease_document, told_lease
from sealane.client.settings import Settings
from sealane.core.nonce import MAX_NONCE, NS_PER_S, unit_ns
from sealane.core.recovery import KeyState
from sealane.errors import SettingsError
from sealane.runtime import threads
from sealane.runtime.lanes import TURN_WAIT_S, Lane, close_lane, current_owner, open_lane
from sealane.store.port import LeaseView

COUNT_MAX = 1_000_000

app = typer.Typer(help="Draw, show or raise the nonces of a lane.", no_args_is_help=True)


@app.command("next")
def next_(
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=COUNT_MAX, help="How many.")] = 1,
    account: AccountOption = MASTER,
    as_json: JsonFlag = False,
) -> None:
    """Draw nonces from the lane and print them; they are used up."""
    with told_errors(as_json), _lane(account) as (lane, _):
        nonces = (lane.draw() for _ in range(count))
        if as_json:
            print_json({"lane": lane.name, "nonces": list(nonces)})
        else:
            for nonce in nonces:
                print(nonce)


@app.command("show")
def show(account: AccountOption = MASTER, as_json: JsonFlag = False) -> None:
    """Show where a lane stands; changes nothing."""
    with told_errors(as_json), _lane(account) as (lane, settings):
        view = lane.view()
        ahead_s = (view.last_nonce * unit_ns(settings.nonce_unit) - lane.clock.wall_ns()) / NS_PER_S
        document = asdict(view) | {"ahead_of_clock_s": round(ahead_s, 3) if view.last_nonce else None}
        key = _key_state(lane, account)
        if key is not None:
            document |= {"refused_in_a_row": key.refused_in_a_row, "quarantined": key.diagnosis or None}
        document["lease"] = None if view.lease is None else lease_document(view.lease)
        print_result(document if as_json else _told(document, view.lease), as_json)


def _told(document: dict[str, object], lease: LeaseView | None) -> dict[str, object]:
    """For a person: the lease as lines of the table, none where no engine leases the lane."""
    lines = {name: value for name, value in document.items() if name != "lease"}
    return lines if lease is None else lines | {"engine": lease.engine, "lease": told_lease(lease)} | _waiting(lease)


def _waiting(lease: LeaseView) -> dict[str, object]:
    return {} if lease.error else {"engine's floor": lease.floor, "waiting hosts": ", ".join(lease.waiters) or "none"}


@app.command("raise")
def raise_(
    to: Annotated[
        int | None, typer.Option("--to", min=1, max=MAX_NONCE - 1, help="Every later nonce is above.")
    ] = None,
    by_s: Annotated[
        float | None, typer.Option("--by-s", min=0, help="Seconds above the last nonce or the clock.")
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", "-a", help="Also lifts the quarantine of this account's key.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Raise a lane's floor (it never sinks), and lift a key's quarantine."""
    with told_errors(as_json):
        if to is None and by_s is None and account is None:
            raise SettingsError(
                "say what to do: --to NONCE, --by-s SECONDS, --account NAME to lift a quarantine, or several"
            )
        with _lane(account or MASTER) as (lane, settings):
            unit = unit_ns(settings.nonce_unit)
            floor = to or 0
            if by_s is not None and not math.isfinite(by_s):
                raise SettingsError(f"--by-s is {by_s}: give a finite number of seconds")
            if by_s is not None:
                floor = max(floor, max(lane.store.last(), lane.clock.wall_ns() // unit) + int(by_s * NS_PER_S) // unit)
            lifted = _lift(lane, account) if account else False
            stands = lane.store.raise_floor(floor)
            print_result({"lane": lane.name, "floor": stands, "quarantine_lifted": lifted}, as_json)


def _lift(lane: Lane, account: str) -> bool:
    fingerprint = account_credentials(os.environ, account).fingerprint
    owner = current_owner()
    threads.enter(lane, owner, TURN_WAIT_S)
    try:
        key = KeyState.loaded(lane.store.read_key(fingerprint))
        if key.released() == key:
            return False
        lane.store.write_key(fingerprint, key.released().stored())
        return bool(key.quarantined_ns)
    finally:
        lane.leave(owner)


def _key_state(lane: Lane, account: str) -> KeyState | None:
    """The state of the account's key, None where the environment has no key for it."""
    try:
        fingerprint = account_credentials(os.environ, account).fingerprint
    except SettingsError:
        return None
    return KeyState.loaded(lane.store.read_key(fingerprint))


@contextmanager
def _lane(account: str) -> Iterator[tuple[Lane, Settings]]:
    """The lane of an account; the global lane needs no key."""
    settings = Settings.from_env(os.environ)
    fingerprint = ""
    if settings.lanes == "per-key" or account != MASTER:
        fingerprint = account_credentials(os.environ, account).fingerprint
    store = settings.open()
    lane = open_lane(store, settings.lane_name(fingerprint), unit_ns(settings.nonce_unit))
    try:
        yield lane, settings
    finally:
        close_lane(store, lane)
