"""What the doctor finds: one thing, how bad it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is.

    ``FAULT``: calls fail, or nonces, orders or money are at risk, until somebody acts. ``WARNING``: it works and will
    bite. ``SKIPPED``: it was not looked at, and the message says why.
    """

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


_WORST = (Level.FAULT, Level.WARNING, Level.SKIPPED, Level.OK)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: which check found it; docs/doctor.md has them all.
        level: how bad it is.
        subject: what it is about: a path, an account, a variable.
        message: what is the case, in plain words.
        remedy: what to do, "" where nothing is to be done.
    """

    check: str
    level: Level
    subject: str
    message: str
    remedy: str = ""

    def document(self) -> dict[str, str]:
        """The finding as plain JSON values."""
        return {**asdict(self), "level": self.level.value}


def ok(check: str, subject: object, message: str) -> Finding:
    """All is well here."""
    return Finding(check, Level.OK, str(subject), message)


def warning(check: str, subject: object, message: str, remedy: str) -> Finding:
    """It works, and will bite."""
    return Finding(check, Level.WARNING, str(subject), message, remedy)


def fault(check: str, subject: object, message: str, remedy: str) -> Finding:
    """It does not work, or puts something at risk."""
    return Finding(check, Level.FAULT, str(subject), message, remedy)


def skipped(check: str, subject: object, message: str, remedy: str = "") -> Finding:
    """It was not looked at; the message says why."""
    return Finding(check, Level.SKIPPED, str(subject), message, remedy)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Faults first, then warnings, what was skipped, and what is well; in each the order in which they were found."""
    return sorted(findings, key=lambda finding: _WORST.index(finding.level))


def verdict(findings: Iterable[Finding]) -> str:
    """``"faults"``, ``"warnings"`` or ``"sound"``; what was skipped counts for nothing."""
    levels = {finding.level for finding in findings}
    if Level.FAULT in levels:
        return "faults"
    return "warnings" if Level.WARNING in levels else "sound"
