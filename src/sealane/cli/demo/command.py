"""The command itself: two phases, an ending, an exit code."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from sealane.cli.demo.arena import Figures, open_arena
from sealane.cli.demo.screen import Screen, ending
from sealane.cli.output import JsonFlag, console, diagnostics, print_json, told_errors

ORDINARY_S = 6.0
SEALANE_S = 18.0


def _stop(number: int, frame: object) -> None:
    """A signal ends the demo like its end does: everything it started goes with it."""
    sys.exit(128 + number)


def demo(
    seed: Annotated[int, typer.Option("--seed", help="Decides which worker is killed next.")] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Watch ordinary clients collide on one key, and Sealane not. No keys, no network, half a minute."""
    signal.signal(signal.SIGTERM, _stop)
    with told_errors(as_json), open_arena(seed) as arena, Screen(diagnostics if as_json else console) as screen:
        phases: dict[str, Figures] = {}
        for mode, seconds in (("ordinary", ORDINARY_S), ("sealane", SEALANE_S)):
            screen.begin(mode)
            for figures in arena.run(mode, seconds, killing=mode == "sealane"):
                phases[mode] = figures
                screen.show(mode, figures)
    ordinary, sealane = phases["ordinary"], phases["sealane"]
    if as_json:
        print_json(
            {
                "ordinary": {"calls": ordinary.calls, "refused": ordinary.refused},
                "sealane": {"calls": sealane.calls, "refused": sealane.refused, "kills": sealane.kills},
            }
        )
    else:
        console.print("\n" + ending(ordinary, sealane))
        console.print("\nNext: [bold]sealane sim[/] for an exchange to try your own bot on; README.md tells how.")
    if sealane.refused or not sealane.calls:
        sys.exit(1)
