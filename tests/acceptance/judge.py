"""What the simulator's journal says about a run in which processes were killed.

A killed process may leave one request on the way: never answered, or answered after its death; Kraken may even read it
only after the next holder's. Nothing else excuses an overlap, a refusal, or a write that follows an unanswered one
without a call in between that Kraken accepted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

WRITES = frozenset({"AddOrder", "CancelOrder"})
Entry = dict[str, Any]
Death = tuple[int, int]
"""Just before and just after a kill, wall clock in nanoseconds."""


@dataclass
class Judgement:
    """Everything in a journal that no death explains; all lists are empty for an ordered lane."""

    overlaps: list[tuple[Entry, Entry]] = field(default_factory=list)
    refused: list[Entry] = field(default_factory=list)
    not_risen: list[Entry] = field(default_factory=list)
    not_fenced: list[Entry] = field(default_factory=list)
    orphans: int = 0
    """Requests whose sender was dead before their answer: what the deaths left on the way."""

    @property
    def clean(self) -> bool:
        return not (self.overlaps or self.refused or self.not_risen or self.not_fenced)


def judge(entries: Sequence[Entry], deaths: Sequence[Death], *, one_lane: bool) -> Judgement:
    """Judge a journal; ``one_lane`` where all accounts go one at a time."""
    found = Judgement(orphans=sum(_orphaned(entry, deaths) for entry in entries))
    lanes = [list(entries)] if one_lane else list(_by_account(entries).values())
    for lane in lanes:
        found.overlaps += _overlaps(lane, deaths)
    for row in _by_account(entries).values():
        found.refused += [entry for entry in row if entry["outcome"] == "refused" and not _orphaned(entry, deaths)]
        found.not_risen += _not_risen(row)
        found.not_fenced += _not_fenced(row)
    return found


def _by_account(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    rows: dict[str, list[Entry]] = {}
    for entry in entries:
        rows.setdefault(entry["account"], []).append(entry)
    return rows


def _orphaned(entry: Entry, deaths: Sequence[Death]) -> bool:
    """Never answered, or answered to one who died meanwhile."""
    answered = entry["answered_ns"]
    return answered is None or any(entry["arrived_ns"] <= after and before <= answered for before, after in deaths)


def _overlaps(lane: Sequence[Entry], deaths: Sequence[Death]) -> list[tuple[Entry, Entry]]:
    """Pairs of requests in flight at once, the earlier of them with a living sender.

    One that was never answered and has a lower number was sent before the other: its sender died in between.
    """
    found: list[tuple[Entry, Entry]] = []
    latest: Entry | None = None
    for entry in lane:
        if latest is not None and latest["answered_ns"] > entry["arrived_ns"]:
            late = entry["answered_ns"] is None and int(entry["nonce"]) < int(latest["nonce"])
            found += [] if late else [(latest, entry)]
        if not _orphaned(entry, deaths):
            latest = entry
    return found


def _not_risen(row: Sequence[Entry]) -> list[Entry]:
    highest, found = 0, []
    for entry in row:
        if entry["outcome"] != "accepted":
            continue
        if int(entry["nonce"]) <= highest:
            found.append(entry)
        highest = int(entry["nonce"])
    return found


def _not_fenced(row: Sequence[Entry]) -> list[Entry]:
    """Writes sent while an earlier one was without an answer and no call had been accepted since."""
    doubt, found = False, []
    for entry in row:
        write = entry["method"] in WRITES
        if write and doubt:
            found.append(entry)
        if entry["outcome"] == "accepted":
            doubt = write and entry["answered_ns"] is None
    return found
