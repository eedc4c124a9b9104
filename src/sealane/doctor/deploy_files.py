"""Deploy files in a folder: what their platform would pass over, and what would let two programs write on one key.

Looked for in the folder itself, in ``.railway/``, ``deploy/`` and the folders in that: Dockerfiles, ``railway.json``,
``.toml`` and ``.ts``, systemd units, ``render.yaml``, compose files, ``fly.toml``, and any YAML that holds Kubernetes
manifests. A file that holds nothing of Sealane's is only held to the fields that its platform knows; a unit of another
program, and YAML of any other kind, are left alone.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from sealane.doctor.deploy_containers import judge_compose, judge_dockerfile, judge_manifest
from sealane.doctor.deploy_fields import judge_fields
from sealane.doctor.deploy_platforms import judge_fly, judge_render
from sealane.doctor.deploy_railway import judge_railway, judge_railway_ts
from sealane.doctor.deploy_systemd import judge_unit, runs_sealane
from sealane.doctor.finding import Finding, fault, ok, skipped

FILE_BYTES_MAX = 1 << 20
KINDS = (
    ("railway", ("railway.json", "railway.toml", "railway.*.json", "railway.*.toml")),
    ("railway_ts", ("railway.ts",)),
    ("systemd", ("*.service",)),
    ("render", ("render.yaml", "render.yml")),
    ("compose", ("compose*.yaml", "compose*.yml", "docker-compose*.yaml", "docker-compose*.yml")),
    ("fly", ("fly.toml", "fly.*.toml")),
    ("dockerfile", ("Dockerfile", "Dockerfile.*", "*.Dockerfile", "Containerfile")),
    ("kubernetes", ("*.yaml", "*.yml")),
)
IN_TEXT = ("dockerfile", "railway_ts", "systemd")
"""Kinds that are judged as a text; the others are documents, whose fields are looked at first."""
TABLES = {
    **dict.fromkeys(("Deployment", "StatefulSet"), "kubernetes_workload"),
    "Service": "kubernetes_service",
    "NetworkPolicy": "kubernetes_networkpolicy",
}
"""Where the fields of a manifest's kind are, beside those that all have."""
Judge = Callable[[Path, Any, Mapping[str, str]], Iterable[Finding]]
_JUDGES: dict[str, Judge] = {
    "railway": judge_railway,
    "render": judge_render,
    "compose": judge_compose,
    "fly": judge_fly,
    "dockerfile": judge_dockerfile,
    "railway_ts": judge_railway_ts,
    "systemd": judge_unit,
}


def judge_deploy_files(folder: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """All findings of all files."""
    files = list(deploy_files(folder))
    if not files:
        yield skipped("deploy-file", folder, "no deploy files are there", "name their folder with --folder")
    for path, kind in files:
        yield from _judge(path, kind, environ)


def deploy_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files that are looked at, with what they are."""
    deploy = folder / "deploy"
    places = [folder, folder / ".railway", deploy, *sorted(path for path in deploy.glob("*") if path.is_dir())]
    for place in places:
        for path in sorted(place.glob("*")):
            kind = kind_of(path.name)
            if kind and path.is_file():
                yield path, kind


def kind_of(name: str) -> str:
    """What a file of this name is, "" for nothing that is looked at."""
    return next((kind for kind, patterns in KINDS if any(fnmatch(name, pattern) for pattern in patterns)), "")


def _judge(path: Path, kind: str, environ: Mapping[str, str]) -> Iterator[Finding]:
    try:
        text = path.read_bytes()[:FILE_BYTES_MAX].decode()
        documents = [text] if kind in IN_TEXT else list(parsed(path, text))
    except ImportError:
        yield skipped("deploy-file", path, "YAML cannot be read here", "install sealane[cli]")
        return
    except (OSError, ValueError) as error:
        if kind != "kubernetes" or _looks_like_manifest(path):
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            yield fault("deploy-file", path, f"it cannot be read: {reason}", "mend the file")
        return
    if kind == "systemd" and not runs_sealane(path, text):
        return
    found = [finding for document in documents for finding in _of_document(path, kind, document, environ)]
    yield from found
    is_one = kind != "kubernetes" or any(_is_manifest(document) for document in documents)
    if is_one and not found:
        yield ok("deploy-file", path, "its fields are known, and nothing in it contradicts")


def parsed(path: Path, text: str) -> Iterator[Any]:
    """The documents of a file; ValueError where it holds none."""
    if path.suffix == ".json":
        yield json.loads(text)
    elif path.suffix == ".toml":
        yield tomllib.loads(text)
    else:
        import yaml

        try:
            yield from (document for document in yaml.safe_load_all(text) if document is not None)
        except yaml.YAMLError as error:
            raise ValueError(_problem(error)) from error


def _problem(error: Exception) -> str:
    """What is wrong and where; not the line itself, which may hold a secret."""
    what, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"{what or type(error).__name__}{where}"


def _of_document(path: Path, kind: str, document: Any, environ: Mapping[str, str]) -> Iterator[Finding]:
    if kind in IN_TEXT:
        yield from _JUDGES[kind](path, document, environ)
    elif kind == "kubernetes":
        if _is_manifest(document):
            yield from judge_fields(path, "kubernetes", document)
            if document["kind"] in TABLES:
                yield from judge_fields(path, TABLES[document["kind"]], document)
            yield from judge_manifest(path, document)
    elif isinstance(document, dict):
        yield from judge_fields(path, kind, document)
        yield from _JUDGES[kind](path, document, environ)
    else:
        yield fault("deploy-file", path, "it holds no mapping of names to values", "mend the file")


def _is_manifest(document: Any) -> bool:
    return isinstance(document, dict) and "apiVersion" in document and "kind" in document


def _looks_like_manifest(path: Path) -> bool:
    """A YAML of another's may be anything, a template too; one that says apiVersion is meant for Kubernetes."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return True
    return "apiVersion:" in text and "{{" not in text
