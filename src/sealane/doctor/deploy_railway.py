"""What contradicts in Railway's files: ``railway.json`` or ``.toml``, and ``railway.ts``, which takes their place.

Facts as of 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sealane.doctor.deploy_fields import judge_fields
from sealane.doctor.deploy_platforms import health, is_ours, replicas, volume
from sealane.doctor.finding import Finding, fault, ok, skipped, warning
from sealane.doctor.platform import RAILWAY, platform_of
from sealane.doctor.typescript import UNREAD, called

RESTART_TYPES = ("ON_FAILURE", "ALWAYS", "NEVER")
RETRIES_MAX = 10
GONE_ON = "2026-12-01"
SUCCESSOR = "railway.ts"
KITS = "deploy"
_KEY = re.compile(r"(KRAKEN|COINBASE)_(.*_)?(API_KEY|API_SECRET|API_OTP|PEM_CONTENT)")
_SHORTER = {"start": "startCommand", "healthcheck": "healthcheckPath", "replicas": "numReplicas"}
"""What ``railway.ts`` calls by another name than ``railway.json``."""
_REMEDY = 'give it a volume, volumeMounts: { "/app/data": volume("nija-data") }, and set DATA_DIR to that place'


# --- railway.json and .toml -------------------------------------------------------------------------------------------


def judge_railway(path: Path, document: Any, environ: Mapping[str, str]) -> Iterator[Finding]:
    """``railway.json`` or ``railway.toml``."""
    yield _railway_age(path)
    deploy = document.get("deploy")
    if not isinstance(deploy, dict):
        return
    yield from _deploy(path, deploy)
    needed, folder = deploy.get("requiredMountPath"), environ.get("DATA_DIR")
    if needed and folder and platform_of(environ) is RAILWAY:
        yield from volume(path, needed, folder, remedy="")


def _railway_age(path: Path) -> Finding:
    above = (path.parent, path.parent.parent, path.parent.parent.parent)
    places = (path.with_name(SUCCESSOR), *(place / ".railway" / SUCCESSOR for place in above))
    successor = next((place for place in places if place.exists()), None)
    if successor is not None:
        return ok("deploy-railway", path, f"Railway reads it until {GONE_ON}; {successor} is there to follow it")
    if KITS in (path.parent.name, path.parent.parent.name):
        message = f"a kit: Railway reads it there only where a service's settings name it, and until {GONE_ON}"
        return ok("deploy-railway", path, message)
    return warning(
        "deploy-railway",
        path,
        f"Railway stops reading this file on {GONE_ON}, and services that are new cannot use it",
        f"describe the service in .railway/{SUCCESSOR} (railway config migrate) before that",
    )


# --- railway.ts -------------------------------------------------------------------------------------------------------


def judge_railway_ts(path: Path, text: str, environ: Mapping[str, str]) -> Iterator[Finding]:
    """``railway.ts``: each service that it describes, as far as that is written out."""
    try:
        services = called(text, "service")
    except ValueError as error:
        yield skipped("deploy-file", path, f"it cannot be followed here: {error}", "'railway config plan' checks it")
        return
    if not services:
        yield skipped("deploy-file", path, "no service is written out in it", "'railway config plan' checks it")
    for service in services:
        yield from judge_fields(path, "railway_service", service)
        yield from _deploy(path, _as_deploy(service))
        if is_ours(service):
            yield from _mounted(path, service)
            yield from _unlisted(path, service, environ)


def _as_deploy(service: Mapping[str, Any]) -> dict[str, Any]:
    """What of a service is the part ``deploy`` in ``railway.json``, without what is computed."""
    parts = [part for part in (service.get("deploy"), service) if isinstance(part, dict)]
    fields = [(str(name), value) for part in parts for name, value in part.items() if value is not UNREAD]
    return {_SHORTER.get(name, name): value for name, value in fields}


def _variables(service: Mapping[str, Any]) -> dict[str, Any]:
    parts = [service.get("env"), service.get("variables")]
    return {name: value for part in parts if isinstance(part, dict) for name, value in part.items()}


def _mounted(path: Path, service: Mapping[str, Any]) -> Iterator[Finding]:
    mounts, folder = service.get("volumeMounts"), _variables(service).get("DATA_DIR")
    if mounts is UNREAD or folder is UNREAD:
        return
    places = list(mounts) if isinstance(mounts, dict) else []
    fitting = [place for place in places if isinstance(folder, str) and Path(folder).is_relative_to(place)]
    yield from volume(path, next(iter(fitting + places), None), folder, remedy=_REMEDY)


def _unlisted(path: Path, service: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Finding]:
    """``railway config apply`` removes each variable that the file does not list."""
    listed = _variables(service)
    missing = sorted(name for name in environ if _KEY.fullmatch(name) and environ[name] and name not in listed)
    if missing:
        yield warning(
            "deploy-railway",
            path,
            f"it does not list {', '.join(missing)}, set where this runs: 'railway config apply' removes from the "
            "service what the file does not list",
            "list each variable that is set at Railway, a key as NAME: preserve()",
        )


# --- both -------------------------------------------------------------------------------------------------------------


def _deploy(path: Path, deploy: Mapping[str, Any]) -> Iterator[Finding]:
    yield from replicas(path, "deploy.numReplicas", deploy.get("numReplicas"))
    regions = deploy.get("multiRegionConfig")
    if isinstance(regions, dict):
        counts = [row.get("numReplicas", 0) for row in regions.values() if isinstance(row, dict)]
        yield from replicas(path, "the sum of deploy.multiRegionConfig", sum(n for n in counts if isinstance(n, int)))
    if is_ours(deploy) or "sealane" in str(deploy.get("startCommand", "")):
        yield from health(path, "deploy.healthcheckPath", deploy.get("healthcheckPath"))
    yield from _railway_restarts(path, deploy)
    yield from _railway_seconds(path, deploy)


def _railway_restarts(path: Path, deploy: Mapping[str, Any]) -> Iterator[Finding]:
    kind, retries = deploy.get("restartPolicyType"), deploy.get("restartPolicyMaxRetries")
    if kind is not None and kind not in RESTART_TYPES:
        message = f"deploy.restartPolicyType is {kind!r}, which Railway does not know"
        yield fault("deploy-restart", path, message, f"use one of {', '.join(RESTART_TYPES)}")
    elif kind == "NEVER":
        message = "deploy.restartPolicyType is NEVER: a program that dies stays dead"
        yield warning("deploy-restart", path, message, "use ON_FAILURE")
    if retries is not None and (not isinstance(retries, int) or not 0 <= retries <= RETRIES_MAX):
        message = f"deploy.restartPolicyMaxRetries is {retries!r}; 0 to {RETRIES_MAX} as a number is what plans allow"
        yield warning("deploy-restart", path, message, f"set it to {RETRIES_MAX}")


def _railway_seconds(path: Path, deploy: Mapping[str, Any]) -> Iterator[Finding]:
    for name in ("drainingSeconds", "overlapSeconds", "healthcheckTimeout"):
        if isinstance(deploy.get(name), str):
            message = f"deploy.{name} is a text, and Railway refuses the deployment: it wants a number"
            yield fault("deploy-field", path, message, f'write "{name}": {deploy[name]} without quotes')
    overlap = str(deploy.get("overlapSeconds") or "0")
    if overlap.isdigit() and int(overlap) > 0:
        yield fault(
            "deploy-overlap",
            path,
            f"deploy.overlapSeconds is {overlap}: the old program and the new one write on the same keys for so long",
            "remove it, and keep the data folder on a volume, which turns overlap off",
        )
