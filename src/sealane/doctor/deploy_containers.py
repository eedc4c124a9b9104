"""What contradicts in Dockerfiles, compose files and Kubernetes manifests. Facts as of 2026-11."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sealane.doctor.deploy_fields import known_fields, nearest
from sealane.doctor.deploy_platforms import covers, health, is_ours, replicas
from sealane.doctor.finding import Finding, fault, warning

LIVENESS = "/livez"
_INSTRUCTION = re.compile(r"^\s*([A-Za-z]+)(?:\s+(.*))?$", re.DOTALL)
_HEREDOC = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?")
_ROOT = ("root", "0")


# --- Dockerfile ---------------------------------------------------------------------------------------------------


def judge_dockerfile(path: Path, text: str, _environ: Mapping[str, str]) -> Iterator[Finding]:
    """A Dockerfile: its instructions, how the program is started, and as whom."""
    steps = list(instructions(text))
    known = known_fields("dockerfile")[()]
    for name, _ in steps:
        if name not in known:
            message = f"{name} is no instruction: the image cannot be built"
            near = nearest(name, known)
            yield fault("deploy-field", path, message, f"write {near}" if near else "remove it")
    yield from _starts(path, steps)
    yield from _user(path, steps)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The instructions with their arguments; comments, continuations and here-documents taken care of."""
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        whole = line
        while whole.rstrip().endswith("\\"):
            following = next(lines, "")
            if following.lstrip().startswith("#"):
                continue
            whole = whole.rstrip()[:-1] + " " + following
        for end in _HEREDOC.findall(whole):
            whole += "\n" + "\n".join(iter(lambda: next(lines, end).strip(), end))  # noqa: B023 - used up at once
        match = _INSTRUCTION.match(whole)
        if match:
            yield match[1].upper(), (match[2] or "").strip()


def _starts(path: Path, steps: list[tuple[str, str]]) -> Iterator[Finding]:
    last = {name: value for name, value in steps if name in ("CMD", "ENTRYPOINT")}
    for name, value in last.items():
        if not value.startswith("[") and not value.startswith("exec "):
            yield warning(
                "deploy-stop",
                path,
                f"{name} is in shell form: the shell gets SIGTERM and the program is killed without it, so orders "
                "under way end in doubt",
                f'write it as a list: {name} ["sealane", "serve"]',
            )


def _user(path: Path, steps: list[tuple[str, str]]) -> Iterator[Finding]:
    user = next((value for name, value in reversed(steps) if name == "USER"), "root")
    runs = " ".join(value for name, value in steps if name in ("RUN", "COPY", "ADD"))
    given = any(word in runs for word in ("chown", "chmod", "install -d"))
    if user.split(":")[0] not in _ROOT and not given:
        yield warning(
            "deploy-user",
            path,
            f"the program runs as {user}, and no step gives it a data folder: Permission denied where root made it",
            f"before USER: RUN mkdir -p /app/data && chown -R {user.split(':')[0]} /app/data",
        )


# --- compose ------------------------------------------------------------------------------------------------------


def judge_compose(path: Path, document: Any, _environ: Mapping[str, str]) -> Iterator[Finding]:
    """A compose file: each service that is ours."""
    services = document.get("services")
    for name, service in services.items() if isinstance(services, dict) else ():
        if isinstance(service, dict) and is_ours(service):
            found = list(_service_volume(path, str(name), service))
            yield from found
            yield from _copies(path, str(name), service, shares_folder=not found)
            yield from _ports(path, str(name), service)


def _copies(path: Path, name: str, service: Mapping[str, Any], *, shares_folder: bool) -> Iterator[Finding]:
    """Containers of one service share its volume on one machine; over several machines each has its own."""
    counts = {"deploy.replicas": _at(service, "deploy", "replicas"), "scale": service.get("scale")}
    for where, count in counts.items():
        if not shares_folder:
            yield from replicas(path, f"{where} of service {name}", count)
        elif isinstance(count, int) and count > 1:
            yield warning(
                "deploy-replicas",
                path,
                f"{where} of service {name} is {count}: they take turns as long as all are on one machine; a swarm "
                "gives each machine a volume of its own, and then they refuse each other's nonces",
                "run one instance",
            )


def variables_of(service: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a compose service, from either form."""
    found = service.get("environment")
    if isinstance(found, dict):
        return {str(name): "" if value is None else str(value) for name, value in found.items()}
    rows = [str(row).partition("=") for row in found] if isinstance(found, list) else []
    return {name: value for name, _, value in rows}


def _service_volume(path: Path, name: str, service: Mapping[str, Any]) -> Iterator[Finding]:
    folder = variables_of(service).get("DATA_DIR", "")
    mounts = list(_mounts(service))
    on = [mount for mount in mounts if not folder or covers(mount[0], folder)]
    if not on:
        where = f"DATA_DIR is {folder}, and " if folder else ""
        yield fault(
            "deploy-volume",
            path,
            f"{where}service {name} has no volume there: a new container forgets the nonces",
            f"volumes: [sealane-data:{folder or '/app/data'}] at the service, and sealane-data under the file's "
            "volumes",
        )
    elif folder and all(read_only for _, read_only in on):
        message = f"the volume of service {name} at {on[0][0]} is read-only: no nonce can be kept"
        yield fault("deploy-volume", path, message, "take :ro from it")


def _mounts(service: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Where volumes are mounted, and whether read-only; a tmpfs is none."""
    rows = service.get("volumes")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict):
            if row.get("type") != "tmpfs":
                yield str(row.get("target", "")), row.get("read_only") is True
        else:
            parts = str(row).split(":")
            yield parts[1] if len(parts) > 1 else parts[0], len(parts) > 2 and "ro" in parts[2].split(",")


def _ports(path: Path, name: str, service: Mapping[str, Any]) -> Iterator[Finding]:
    rows = service.get("ports")
    for row in rows if isinstance(rows, list) else ():
        host = str(row.get("host_ip", "")) if isinstance(row, dict) else _host(str(row))
        if not host.startswith(("127.", "[::1]", "::1", "localhost")):
            yield warning(
                "deploy-exposed",
                path,
                f"service {name} publishes {row} on every address of the host: whoever reaches it can call with "
                "your keys",
                "publish it as 127.0.0.1:8710:8710",
            )


def _host(text: str) -> str:
    """The address part of ``[address:]host:container``."""
    return text.rsplit(":", 2)[0] if text.count(":") >= 2 else ""


# --- Kubernetes ---------------------------------------------------------------------------------------------------


def judge_manifest(path: Path, document: Mapping[str, Any]) -> Iterator[Finding]:
    """One Kubernetes object."""
    kind, spec = str(document["kind"]), document.get("spec")
    if not isinstance(spec, dict):
        return
    named = f"{kind} {_at(document, 'metadata', 'name') or '?'}"
    pod = _at(spec, "template", "spec")
    if kind in ("Deployment", "StatefulSet") and any(map(is_ours, _rows(_at(pod, "containers")))):
        yield from replicas(path, f"replicas of {named}", spec.get("replicas"))
        if kind == "Deployment" and _at(spec, "strategy", "type") != "Recreate":
            yield fault(
                "deploy-overlap",
                path,
                f"{named} starts the new pod before it stops the old one: both write on the same keys",
                "use a StatefulSet with one replica, or strategy: {type: Recreate}",
            )
        yield from _pod(path, named, spec, pod)
    if kind == "PersistentVolumeClaim":
        yield from _access(path, named, spec)
    for claim in spec.get("volumeClaimTemplates") or ():
        if isinstance(claim, dict) and isinstance(claim.get("spec"), dict):
            yield from _access(path, named, claim["spec"])


def _at(document: object, *names: str) -> Any:
    """What stands at a place, None where there is no such place."""
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _access(path: Path, named: str, spec: Mapping[str, Any]) -> Iterator[Finding]:
    if "ReadWriteMany" in (spec.get("accessModes") or ()):
        yield warning(
            "deploy-volume",
            path,
            f"a claim of {named} is ReadWriteMany: such volumes are network file systems, whose locks promise too "
            "little",
            "use ReadWriteOncePod",
        )


def _pod(path: Path, named: str, spec: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[Finding]:
    lost = {row.get("name") for row in _rows(pod.get("volumes")) if "emptyDir" in row}
    kept = {row.get("name") for row in _rows(pod.get("volumes")) if "emptyDir" not in row}
    kept |= {_at(claim, "metadata", "name") for claim in _rows(spec.get("volumeClaimTemplates"))}
    for container in _rows(pod.get("containers")):
        if is_ours(container):
            yield from _container_volume(path, named, container, lost, kept)
            probe = _at(container, "livenessProbe", "httpGet", "path")
            yield from health(path, f"livenessProbe of {named}", probe)
            if probe in ("/readyz", "/health/kraken-nonce"):
                message = (
                    f"livenessProbe of {named} asks {probe}, which depends on Kraken: an outage there restarts the pod"
                )
                yield warning("deploy-health", path, message, f"ask {LIVENESS} for liveness and /readyz for readiness")


def _container_volume(
    path: Path, named: str, container: Mapping[str, Any], lost: set[Any], kept: set[Any]
) -> Iterator[Finding]:
    folder = next((row.get("value") for row in _rows(container.get("env")) if row.get("name") == "DATA_DIR"), None)
    mounts = _rows(container.get("volumeMounts"))
    on = [row for row in mounts if not folder or covers(str(row.get("mountPath", "/")), str(folder))]
    remedy = "mount a ReadWriteOncePod claim there (volumeClaimTemplates of a StatefulSet)"
    deepest = max(on, key=lambda row: len(str(row.get("mountPath", ""))), default=None)
    if folder and deepest is not None and deepest.get("name") in lost:
        yield fault("deploy-volume", path, f"the data folder of {named} is an emptyDir: gone with the pod", remedy)
    elif not any(row.get("name") in kept for row in on):
        where = f" at {folder}" if folder else ""
        yield fault(
            "deploy-volume", path, f"{named} has no lasting volume{where}: a new pod forgets the nonces", remedy
        )


def _rows(rows: object) -> list[Mapping[str, Any]]:
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
