"""What the demo shows: a live table on a terminal, a plain line every other second elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sealane.cli.demo.arena import THREADS_SHOWN, Figures

LINE_EVERY_S = 2.0
NOTE = Text("the simulator's own journal counts; nothing leaves this machine")

TITLES = {
    "ordinary": "ordinary: every worker takes nonces from its own clock",
    "sealane": "Sealane: one ordered lane, workers killed with SIGKILL all the while",
}


class Screen:
    """Shows the phases' figures as they come in."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: dict[str, Figures] = {}
        self._live = Live(console=console, refresh_per_second=8) if console.is_terminal else None
        self._said_s = -LINE_EVERY_S

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def begin(self, mode: str) -> None:
        """A phase begins."""
        self._said_s = -LINE_EVERY_S
        if not self._live:
            self._console.print(f"{TITLES[mode]} ({THREADS_SHOWN})")

    def show(self, mode: str, figures: Figures) -> None:
        """New figures of a phase."""
        self._seen[mode] = figures
        if self._live:
            self._live.update(Group(self._table(), NOTE))
        elif figures.elapsed_s >= self._said_s + LINE_EVERY_S:
            self._said_s = figures.elapsed_s
            self._console.print(
                f"  {figures.elapsed_s:4.0f} s  {figures.calls:6,} calls  {figures.refused:6,} refused"
                f"  {figures.kills:3} killed"
            )

    def _table(self) -> Table:
        table = Table(title=f"One API key, {THREADS_SHOWN}")
        for heading in ("", "calls", "refused: EAPI:Invalid nonce", "most at once", "workers killed", "seconds"):
            table.add_column(heading, justify="right" if heading else "left")
        for mode, figures in self._seen.items():
            colour = "red" if figures.refused else "green"
            share = f" ({figures.refused / figures.calls:.0%})" if figures.refused else ""
            table.add_row(
                TITLES[mode],
                f"{figures.calls:,}",
                f"[{colour}]{figures.refused:,}{share}[/]",
                str(figures.max_overlap),
                str(figures.kills),
                f"{figures.elapsed_s:.0f}",
            )
        return table


def ending(ordinary: Figures, sealane: Figures) -> str:
    """What happened, for somebody who has never heard of a nonce."""
    share = ordinary.refused / max(1, ordinary.calls)
    return (
        "Kraken takes a private call only if its number, the nonce, is higher than the last one it took.\n"
        f"The ordinary way lost {ordinary.refused:,} of {ordinary.calls:,} calls to that rule ({share:.0%}): "
        "each number was new, but they arrived out of order.\n"
        f"Sealane lost {sealane.refused:,} of {sealane.calls:,}, while {sealane.kills} of its workers were killed "
        "in the middle of whatever they were doing."
    )
