"""The report: what matched, what differs, what could not be shown. It holds no key, no id and no amount."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

OUTCOMES = ("matched", "differs", "not shown", "refused")


@dataclass(frozen=True)
class Check:
    """One comparison. `about` is answer, refusal, numbers or permissions; `details` say what differs, kinds only.

    `unseen` are documented fields that the answer gave no chance to see.
    """

    name: str
    about: str
    outcome: str
    details: tuple[str, ...] = ()
    unknown_fields: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """All comparisons of one run against one address."""

    url: str
    started_at: str
    sent: Mapping[str, int]
    checks: Sequence[Check] = field(default_factory=tuple)

    @property
    def drifted(self) -> bool:
        """Whether anything differs from what the tests take Kraken for."""
        return any(check.outcome == "differs" for check in self.checks)

    def document(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        counts = Counter(check.outcome for check in self.checks)
        return {
            "url": self.url,
            "started_at": self.started_at,
            "drifted": self.drifted,
            "summary": {outcome: counts[outcome] for outcome in OUTCOMES},
            "sent": dict(self.sent),
            "checks": [asdict(check) for check in self.checks],
        }

    def markdown(self) -> str:
        """The report for people, what differs first."""
        lines = [f"# Drift report, {self.started_at}", "", f"Asked: {self.url}", ""]
        for outcome in ("differs", "refused", "not shown", "matched"):
            chosen = [check for check in self.checks if check.outcome == outcome]
            lines += [f"## {outcome} ({len(chosen)})", ""]
            for check in chosen:
                lines += [f"- **{check.name}** ({check.about})", *(f"  - {detail}" for detail in check.details)]
                lines += [f"  - field not documented: `{name}`" for name in check.unknown_fields]
                lines += [f"  - nothing there to compare: `{name}`" for name in check.unseen]
            lines.append("")
        lines += ["## sent", "", *(f"- {count} × {method}" for method, count in self.sent.items()), ""]
        return "\n".join(lines)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write `drift-<time>.md` and `.json` into the folder; their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        stem = folder / f"drift-{self.started_at.replace(':', '')}"
        paths = stem.with_suffix(".md"), stem.with_suffix(".json")
        paths[0].write_text(self.markdown())
        paths[1].write_text(json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n")
        return paths
