"""``sealane sim``: Kraken's private and public REST interface on this machine, for trying things out."""

from __future__ import annotations

from typing import Annotated

import typer

from sealane.cli.output import JsonFlag, diagnostics, told_errors
from sealane.errors import SettingsError


def sim(
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="0 takes a free one.")] = 8711,
    accounts: Annotated[int, typer.Option("--accounts", "-n", min=1, max=10_000, help="MASTER, user1, user2 …")] = 1,
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same keys, prices and faults.")] = 0,
    latency_ms: Annotated[float, typer.Option("--latency-ms", min=0, help="How long an answer takes.")] = 0.0,
    as_json: JsonFlag = False,
) -> None:
    """Run the simulator until Ctrl-C. The first line on stdout is JSON: its URL and the accounts' keys."""
    from sealane.simulator import serve

    with told_errors(as_json):  # what it prints is JSON either way
        diagnostics.print("a simulated Kraken: no money, no network. Control it under /sim/, stop it with Ctrl-C")
        try:
            serve(port=port, accounts=accounts, seed=seed, latency_ms=latency_ms)
        except OSError as error:
            raise SettingsError(
                f"cannot serve on port {port}: {error.strerror or error}; choose another --port"
            ) from error
