"""What contradicts in the files of Render and Fly, and what is asked of any platform. Facts as of 2026-11."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sealane.doctor.finding import Finding, fault, warning

HEALTH_PATHS = ("/livez", "/readyz", "/health/kraken-nonce")
GRACE_S = 10
_UNITS = {"ms": 0.001, "min": 60.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def is_ours(part: object) -> bool:
    """Whether a part of a deploy file runs Sealane against an exchange: it says so, or has keys or a data folder."""
    fields = part if isinstance(part, Mapping) else {}
    command, text = " ".join(_texts([fields.get(name) for name in _COMMANDS])), " ".join(_texts(part))
    if _SIMULATES.search(command):
        return False
    is_started = _IMAGE.search(str(fields.get("image", ""))) or _STARTS.search(f"{command}\n{text}")
    return is_started is not None or any(word in text for word in _VARIABLES)


_COMMANDS = ("entrypoint", "command", "args", "dockerCommand", "startCommand")
_SIMULATES = re.compile(r"(^|\s)(sim|demo)(\s|$)")
_STARTS = re.compile(r"\bsealane(\.cli)?\s+(serve|run)\b")
_IMAGE = re.compile(r"(^|/)sealane([:@]|$)")
_VARIABLES = ("KRAKEN_", "DATA_DIR", "SEALANE_")


def _texts(part: object) -> Iterator[str]:
    """The names and texts of a part in their order, so that a command in list form reads like one in a line."""
    if isinstance(part, Mapping):
        for name, value in part.items():
            yield str(name)
            yield from _texts(value)
    elif isinstance(part, (list, tuple)):
        for value in part:
            yield from _texts(value)
    elif part is not None:
        yield str(part)


def covers(mount: str, folder: str) -> bool:
    """Whether a folder lies on what is mounted there."""
    return Path(folder).is_relative_to(mount)


def replicas(path: Path, where: str, count: object) -> Iterator[Finding]:
    """More than one instance writes with the same keys from folders of their own."""
    if isinstance(count, int) and count > 1:
        yield fault(
            "deploy-replicas",
            path,
            f"{where} is {count}: each instance has a folder of its own, and they refuse each other's nonces",
            "run one instance",
        )


def health(path: Path, where: str, value: object) -> Iterator[Finding]:
    """A health path that ``sealane serve`` does not have is never answered with 200."""
    if isinstance(value, str) and value.split("?")[0] not in HEALTH_PATHS:
        yield warning(
            "deploy-health",
            path,
            f"{where} is {value}, which 'sealane serve' does not answer: the platform takes the program for dead",
            f"use one of {', '.join(HEALTH_PATHS)}, unless a program of your own answers there",
        )


def volume(path: Path, mount: object, data_folder: object, *, remedy: str) -> Iterator[Finding]:
    """The data folder has to lie on the volume; ``mount`` is where that is, None for no volume."""
    if not isinstance(mount, str) or not mount:
        yield fault("deploy-volume", path, "there is no volume: every restart forgets the nonces", remedy)
    elif not isinstance(data_folder, str) or not data_folder:
        yield warning(
            "deploy-volume",
            path,
            f"DATA_DIR is not set in the file, and the volume is at {mount}: unless it is set elsewhere or in the "
            "image, nonces are kept in ./data, which may lie beside it",
            f"set DATA_DIR to {mount}",
        )
    elif not covers(mount, data_folder):
        message = f"DATA_DIR is {data_folder} and the volume is at {mount}: every restart forgets the nonces"
        yield fault("deploy-volume", path, message, f"set DATA_DIR to {mount}")


# --- Render -------------------------------------------------------------------------------------------------------


def judge_render(path: Path, document: Any, _environ: Mapping[str, str]) -> Iterator[Finding]:
    """``render.yaml``: each service that is ours."""
    for service in _mappings(document.get("services")):
        if not is_ours(service):
            continue
        name = str(service.get("name", "?"))
        yield from replicas(path, f"numInstances of {name}", service.get("numInstances"))
        scaling = service.get("scaling")
        if isinstance(scaling, dict):
            yield from replicas(path, f"scaling.maxInstances of {name}", scaling.get("maxInstances"))
        yield from health(path, f"healthCheckPath of {name}", service.get("healthCheckPath"))
        disk = service.get("disk")
        mount = disk.get("mountPath") if isinstance(disk, dict) else None
        variables = {row.get("key"): row.get("value") for row in _mappings(service.get("envVars"))}
        remedy = f"give {name} a disk with mountPath, and set DATA_DIR to it; without one two instances overlap too"
        yield from volume(path, mount, variables.get("DATA_DIR"), remedy=remedy)


def _mappings(rows: object) -> Iterable[Mapping[str, Any]]:
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


# --- Fly ----------------------------------------------------------------------------------------------------------


def judge_fly(path: Path, document: Any, _environ: Mapping[str, str]) -> Iterator[Finding]:
    """``fly.toml``."""
    if not is_ours(document):
        return
    found = document.get("mounts")
    mounts = [found] if isinstance(found, dict) else list(_mappings(found))
    variables = document.get("env")
    folder = variables.get("DATA_DIR") if isinstance(variables, dict) else None
    places = [str(mount.get("destination", "")) for mount in mounts]
    fitting = next((place for place in places if isinstance(folder, str) and covers(place, folder)), None)
    remedy = "fly volumes create sealane_data, and a [mounts] section with its source and destination"
    yield from volume(path, fitting or next(iter(places), None), folder, remedy=remedy)
    yield from _fly_stop(path, document)
    yield from _fly_way(path, document)


def _fly_stop(path: Path, document: Mapping[str, Any]) -> Iterator[Finding]:
    timeout_s = seconds(document.get("kill_timeout", 5))
    if document.get("kill_signal") != "SIGTERM" or timeout_s < GRACE_S:
        yield warning(
            "deploy-stop",
            path,
            f"Fly stops the program with {document.get('kill_signal', 'SIGINT')} and kills it after {timeout_s:g} s: "
            "orders under way may end in doubt",
            'set kill_signal = "SIGTERM" and kill_timeout = "30s"',
        )


def _fly_way(path: Path, document: Mapping[str, Any]) -> Iterator[Finding]:
    deploy, http = document.get("deploy"), document.get("http_service")
    strategy = deploy.get("strategy") if isinstance(deploy, dict) else None
    if strategy in ("bluegreen", "canary"):
        message = f"deploy.strategy is {strategy}: the old program and the new one run side by side"
        yield fault("deploy-overlap", path, message, 'set strategy = "immediate" or "rolling", with one machine')
    if isinstance(http, dict) and http.get("auto_stop_machines", False) not in (False, "off"):
        message = "http_service.auto_stop_machines is on: Fly stops the program when nobody visits its page"
        yield warning("deploy-stop", path, message, 'set auto_stop_machines = "off" and min_machines_running = 1')
    for check in _mappings(http.get("checks")) if isinstance(http, dict) else ():
        yield from health(path, "http_service.checks.path", check.get("path"))


def seconds(value: object) -> float:
    """A span as Fly, compose and systemd write it: ``5``, ``"5s"``, ``"1m"``; 0 for what is none."""
    text = str(value).strip().lower()
    unit = next((unit for unit in _UNITS if text.endswith(unit)), "")
    try:
        return float(text.removesuffix(unit)) * _UNITS.get(unit, 1.0)
    except ValueError:
        return 0.0
