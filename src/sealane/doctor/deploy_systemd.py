"""What contradicts in a systemd unit that runs Sealane. Facts as of 2026-11."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from sealane.doctor.deploy_fields import judge_fields
from sealane.doctor.deploy_platforms import GRACE_S, is_ours, seconds
from sealane.doctor.finding import Finding, fault, warning

STOP_S = 90
"""How long systemd waits after SIGTERM where the unit does not say."""
EXTENSION = "X-"
TRUE = ("yes", "true", "on", "1")
Unit = dict[str, dict[str, list[str]]]


def judge_unit(path: Path, text: str, _environ: Mapping[str, str]) -> Iterator[Finding]:
    """A unit that runs Sealane: its fields, its restarts, its end and its data folder."""
    unit = sections(text)
    service = unit.get("Service", {})
    yield from judge_fields(path, "systemd", unit)
    yield from _restarts(path, service)
    yield from _stop(path, service)
    yield from _folder(path, service)


def runs_sealane(path: Path, text: str) -> bool:
    """Whether a unit is ours."""
    return "sealane" in path.name or is_ours(sections(text).get("Service", {}))


def sections(text: str) -> Unit:
    """What a unit says, by section and name; a name may stand there more than once."""
    unit: Unit = {}
    part: dict[str, list[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        bare = line.strip()
        if bare.startswith("[") and bare.endswith("]"):
            part = {} if bare[1:].startswith(EXTENSION) else unit.setdefault(bare[1:-1], {})
        elif "=" in bare and not bare.startswith(("#", ";", EXTENSION)):
            name, _, value = bare.partition("=")
            part.setdefault(name.strip(), []).append(value.strip())
    return unit


def _last(service: Mapping[str, list[str]], name: str, default: str = "") -> str:
    return service.get(name, [default])[-1]


def _restarts(path: Path, service: Mapping[str, list[str]]) -> Iterator[Finding]:
    if _last(service, "Restart", "no") in ("no", ""):
        message = "there is no Restart= in it: a program that dies stays dead"
        yield warning("deploy-restart", path, message, "Restart=on-failure")


def _stop(path: Path, service: Mapping[str, list[str]]) -> Iterator[Finding]:
    signal, limit = _last(service, "KillSignal", "SIGTERM"), _last(service, "TimeoutStopSec", str(STOP_S))
    if signal not in ("SIGTERM", "SIGINT") or (limit != "infinity" and seconds(limit) < GRACE_S):
        message = f"systemd ends it with {signal} and kills it after {limit}: orders under way may end in doubt"
        yield warning("deploy-stop", path, message, "KillSignal=SIGTERM and TimeoutStopSec=30s")


def _variables(service: Mapping[str, list[str]]) -> dict[str, str]:
    try:
        words = [word for line in service.get("Environment", []) for word in shlex.split(line)]
    except ValueError:
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)


def _folder(path: Path, service: Mapping[str, list[str]]) -> Iterator[Finding]:
    folder = _variables(service).get("DATA_DIR") or _last(service, "WorkingDirectory")
    if not folder and not service.get("EnvironmentFile"):
        yield warning(
            "deploy-volume",
            path,
            "it names no DATA_DIR and no WorkingDirectory: nonces are kept in /data, where the service may not write",
            "StateDirectory=sealane and Environment=DATA_DIR=/var/lib/sealane",
        )
    elif folder.startswith(("/run/", "/dev/shm/")) or (  # noqa: S108 - it is judged, not written to
        folder.startswith(("/tmp/", "/var/tmp/")) and _last(service, "PrivateTmp").lower() in TRUE  # noqa: S108
    ):
        message = f"the data folder is {folder}, which is gone with the service or the boot: it forgets the nonces"
        yield fault("deploy-volume", path, message, "StateDirectory=sealane and DATA_DIR=/var/lib/sealane")
