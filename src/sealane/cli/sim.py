"""``sealane sim``: Kraken's private and public REST interface on this machine, for trying things out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sealane.cli.output import JsonFlag, diagnostics, told_errors
from sealane.errors import SettingsError


class ClockMode(StrEnum):
    """What the simulator goes by."""

    REAL = "real"
    FROZEN = "frozen"


class Tier(StrEnum):
    """Kraken's verification tiers, by which its limits go."""

    OFF = "off"
    STARTER = "starter"
    INTERMEDIATE = "intermediate"
    PRO = "pro"


def sim(
    *,
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="0 takes a free one.")] = 8711,
    accounts: Annotated[int, typer.Option("--accounts", "-n", min=1, max=10_000, help="MASTER, user1, user2 …")] = 1,
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same keys, prices and faults.")] = 0,
    latency_ms: Annotated[float, typer.Option("--latency-ms", min=0, help="How long an answer takes.")] = 0.0,
    volatility: Annotated[
        float, typer.Option("--volatility", min=0, max=1, help="Relative change of a price in a second; 0: none.")
    ] = 0.0,
    tier: Annotated[Tier, typer.Option("--tier", help="Whose rate limits to keep.")] = Tier.OFF,
    clock: Annotated[
        ClockMode, typer.Option("--clock", help="frozen stands until POST /sim/time advances it.")
    ] = ClockMode.REAL,
    start: Annotated[
        str | None, typer.Option("--start", help="Where a frozen clock stands; RFC 3339 or now.", show_default=False)
    ] = None,
    switch: Annotated[
        list[str] | None, typer.Option("--switch", help="name=value, as listed by GET /sim/switches; repeatable.")
    ] = None,
    state: Annotated[Path | None, typer.Option("--state", help="Go on from this file, save to it at the end.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run the simulator until Ctrl-C. The first line on stdout is JSON: its URL and the accounts' keys."""
    from sealane.simulator import ControlError, read_words, serve
    from sealane.simulator.clock import clock_of

    with told_errors(as_json):  # what it prints is JSON either way
        try:
            switches = read_words(switch or [])
            clock_of(clock.value, start)
        except ValueError as error:
            raise SettingsError(str(error)) from error
        diagnostics.print("a simulated Kraken: no money, no network. Control it under /sim/, stop it with Ctrl-C")
        try:
            serve(
                port=port,
                accounts=accounts,
                seed=seed,
                latency_ms=latency_ms,
                volatility=volatility,
                tier=tier.value,
                state=state,
                clock=clock.value,
                start=start,
                switches=switches,
            )
        except ControlError as error:
            raise SettingsError(f"cannot go on from {state}: {error}; choose another --state") from error
        except OSError as error:
            raise SettingsError(_refused(error, port, state)) from error


def _refused(error: OSError, port: int, state: Path | None) -> str:
    if state is not None and error.filename is not None:  # of files only: a socket has no name
        return f"cannot use {error.filename}: {error.strerror}; choose another --state"
    return f"cannot serve on port {port}: {error.strerror or error}; choose another --port"
