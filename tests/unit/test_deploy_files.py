"""The deploy kits keep to what their platforms do: one writer, a volume under the data folder, an end in peace.

Each rule is a row: a kit, what must hold, and a change to the kit that breaks it, so that every rule is seen to fail.
"""

import copy
import json
import re
import tomllib
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import typer
import yaml

from container import DOCKERFILE, ROOT, USER, goes_to_the_builder, ignore_patterns, steps
from sealane.cli.app import app
from sealane.doctor.deploy_fields import unknown_fields
from sealane.doctor.deploy_files import TABLES
from sealane.errors import SettingsError
from sealane.gateway.settings import ServeSettings

KITS = ROOT / "deploy"
DATA = "/app/data"
PORT = 8710
START = "/app/entrypoint.sh sealane serve"
GRACE_S = 30
RESTARTS_MAX = 10


def load(name):
    text = (KITS / name).read_text()
    if name.endswith(".json"):
        return json.loads(text)
    if name.endswith(".toml"):
        return tomllib.loads(text)
    documents = list(yaml.safe_load_all(text))
    return {one["kind"]: one for one in documents} if "kind" in documents[0] else documents[0]


def at(document, path):
    """The value at a path such as ``services/0/disk``; None where there is none."""
    for step in path.split("/"):
        try:
            document = document[int(step) if isinstance(document, list) else step]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def with_value(document, path, value):
    changed = copy.deepcopy(document)
    *way, last = path.split("/")
    place = at(changed, "/".join(way)) if way else changed
    place[int(last) if isinstance(place, list) else last] = value
    return changed


POD = "StatefulSet/spec/template/spec"
BOX = f"{POD}/containers/0"
COMPOSE, RAILWAY, RENDER = "docker/compose.yaml", "railway/railway.json", "render/render.yaml"
KUBERNETES, FLY = "kubernetes/sealane.yaml", "fly/fly.toml"

RULES = [
    # kit, path, must hold, a value that breaks it
    (COMPOSE, "services/sealane/user", lambda v: v == f"{USER}:{USER}", "0:0"),
    (COMPOSE, "services/sealane/read_only", lambda v: v is True, False),
    (COMPOSE, "services/sealane/cap_drop", lambda v: v == ["ALL"], []),
    (COMPOSE, "services/sealane/security_opt", lambda v: "no-new-privileges:true" in v, []),
    (COMPOSE, "services/sealane/ports/0", lambda v: v.startswith("127.0.0.1:"), f"{PORT}:{PORT}"),
    (COMPOSE, "services/sealane/volumes/0", lambda v: v == f"nija-data:{DATA}", "nija-data:/data"),
    (COMPOSE, "services/sealane/environment/DATA_DIR", lambda v: v == DATA, "/data"),
    (COMPOSE, "services/sealane/restart", lambda v: v == f"on-failure:{RESTARTS_MAX}", "always"),
    (COMPOSE, "services/sealane/stop_grace_period", lambda v: int(v.rstrip("s")) >= GRACE_S, "10s"),
    (COMPOSE, "services/sealane/healthcheck/test/3", lambda v: "/livez" in v, "/readyz"),
    (RAILWAY, "deploy/startCommand", lambda v: v.startswith(START), "sealane serve"),
    (RAILWAY, "deploy/requiredMountPath", lambda v: v == DATA, "/data"),
    (RAILWAY, "deploy/numReplicas", lambda v: v == 1, 2),
    (RAILWAY, "deploy/overlapSeconds", lambda v: v == 0, 20),
    (RAILWAY, "deploy/drainingSeconds", lambda v: v >= GRACE_S, 0),
    (RAILWAY, "deploy/healthcheckPath", lambda v: v == "/health/kraken-nonce", "/"),
    (RAILWAY, "deploy/restartPolicyType", lambda v: v == "ON_FAILURE", "ALWAYS"),
    (RAILWAY, "deploy/restartPolicyMaxRetries", lambda v: v <= RESTARTS_MAX, 100),
    (RAILWAY, "build/builder", lambda v: v == "DOCKERFILE", "NIXPACKS"),
    (RENDER, "previews/generation", lambda v: v == "off", False),
    (RENDER, "services/0/type", lambda v: v == "pserv", "web"),
    (RENDER, "services/0/dockerCommand", lambda v: v.startswith(START), "sealane serve"),
    (RENDER, "services/0/numInstances", lambda v: v == 1, 2),
    (RENDER, "services/0/disk/mountPath", lambda v: v == DATA, "/data"),
    (RENDER, "services/0/disk", lambda v: v and set(v) == {"name", "mountPath", "sizeGB"}, None),
    (RENDER, "services/0/maxShutdownDelaySeconds", lambda v: GRACE_S <= v <= 300, 1),
    (RENDER, "services/0/plan", lambda v: v != "free", "free"),
    (KUBERNETES, "StatefulSet/spec/replicas", lambda v: v == 1, 2),
    (KUBERNETES, "StatefulSet/spec/volumeClaimTemplates/0/spec/accessModes", lambda v: v == ["ReadWriteOncePod"], []),
    (KUBERNETES, "StatefulSet/spec/persistentVolumeClaimRetentionPolicy/whenDeleted", lambda v: v == "Retain", ""),
    (KUBERNETES, "StatefulSet/spec/podManagementPolicy", lambda v: v == "Parallel", "OrderedReady"),
    (KUBERNETES, "Service/spec/publishNotReadyAddresses", lambda v: v is True, False),
    (KUBERNETES, f"{POD}/terminationGracePeriodSeconds", lambda v: v >= GRACE_S, 0),
    (KUBERNETES, f"{POD}/securityContext/runAsUser", lambda v: v == USER, 0),
    (KUBERNETES, f"{POD}/securityContext/fsGroup", lambda v: v == USER, 0),
    (KUBERNETES, f"{POD}/securityContext/runAsNonRoot", lambda v: v is True, False),
    (KUBERNETES, f"{POD}/automountServiceAccountToken", lambda v: v is False, True),
    (KUBERNETES, f"{POD}/enableServiceLinks", lambda v: v is False, True),
    (KUBERNETES, f"{BOX}/securityContext/readOnlyRootFilesystem", lambda v: v is True, False),
    (KUBERNETES, f"{BOX}/securityContext/allowPrivilegeEscalation", lambda v: v is False, True),
    (KUBERNETES, f"{BOX}/securityContext/capabilities/drop", lambda v: v == ["ALL"], []),
    (KUBERNETES, f"{BOX}/volumeMounts/0/mountPath", lambda v: v == DATA, "/data"),
    (KUBERNETES, f"{BOX}/livenessProbe/httpGet/path", lambda v: v == "/livez", "/readyz"),
    (KUBERNETES, f"{BOX}/startupProbe/httpGet/path", lambda v: v == "/livez", "/readyz"),
    (KUBERNETES, f"{BOX}/readinessProbe/httpGet/path", lambda v: v == "/readyz", "/livez"),
    (KUBERNETES, f"{BOX}/ports/0/containerPort", lambda v: v == PORT, 80),
    (KUBERNETES, "NetworkPolicy/spec/ingress/0/from", bool, []),
    (FLY, "kill_signal", lambda v: v == "SIGTERM", "SIGINT"),
    (FLY, "kill_timeout", lambda v: v >= GRACE_S, 5),
    (FLY, "deploy/strategy", lambda v: v == "rolling", "bluegreen"),
    (FLY, "mounts/0/destination", lambda v: v == DATA, "/data"),
    (FLY, "env/DATA_DIR", lambda v: v == DATA, "/data"),
    (FLY, "restart/0/retries", lambda v: v <= RESTARTS_MAX, 100),
    (FLY, "checks/alive/path", lambda v: v == "/livez", "/readyz"),
]


@pytest.mark.parametrize(("kit", "path", "holds", "broken"), RULES, ids=[f"{kit}:{path}" for kit, path, *_ in RULES])
def test_a_kit_obeys_its_platform(kit, path, holds, broken):
    document = load(kit)
    assert holds(at(document, path)), at(document, path)
    assert not holds(at(with_value(document, path, broken), path)), "the rule cannot fail"


def started():
    """What each kit starts, as words after the entrypoint, by the kit's name."""
    image = {step.word: step.rest for step in steps(DOCKERFILE.read_text()) if step.stage == 1}
    yield "docker/Dockerfile", json.loads(image["CMD"])
    yield RAILWAY, load(RAILWAY)["deploy"]["startCommand"].split()[1:]
    yield RENDER, at(load(RENDER), "services/0/dockerCommand").split()[1:]
    yield KUBERNETES, at(load(KUBERNETES), f"{BOX}/args")
    yield FLY, load(FLY)["processes"]["app"].split()
    unit = (KITS / "systemd" / "sealane.service").read_text()
    yield "systemd/sealane.service", re.search(r"^ExecStart=\S+ \S+/(sealane .*)$", unit, re.MULTILINE)[1].split()


STARTED = list(started())


@pytest.mark.parametrize(("kit", "words"), STARTED, ids=[kit for kit, _ in STARTED])
def test_what_a_kit_starts_is_a_command_that_may_listen_there(kit, words):
    program, command, *options = words
    assert (program, command) == ("sealane", "serve")
    serve = typer.main.get_command(app).commands["serve"]
    given = serve.make_context("serve", options).params
    listen = {name: given[name] for name in ("host", "port", "allow_network")}
    settings = ServeSettings.from_env({}, **listen)
    assert settings.port == PORT
    if not kit.startswith("systemd"):
        with pytest.raises(SettingsError):
            ServeSettings.from_env({}, **listen | {"allow_network": False})


def compose_schema():
    vendored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    return json.loads(vendored.read_text())


def test_compose_keeps_to_its_schema():
    schema = compose_schema()
    jsonschema.validate(load(COMPOSE), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(with_value(load(COMPOSE), "services/sealane/restrat", "no"), schema)


def mappings(document, place=()):
    """The way to every mapping in a document, the outermost first."""
    if isinstance(document, dict):
        yield place
    rows = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for name, value in rows:
        yield from mappings(value, (*place, str(name)))


FREE = re.compile(
    r"(.*\.)?(labels|matchLabels|requests|limits)|(services\.\w+\.)?(environment|options|env)|services|volumes"
    r"|services\.\w+\.logging\.options|spec\.selector|processes|checks|volumes\.[\w-]+"
)
"""Mappings whose names are the writer's own."""
TABLED = [(kit, kind, load(kit)) for kit, kind in ((RAILWAY, "railway"), (RENDER, "render"), (FLY, "fly"))]
TABLED += [(COMPOSE, "compose", load(COMPOSE))]
TABLED += [(f"{KUBERNETES} {kind}", TABLES[kind], load(KUBERNETES)[kind]) for kind in load(KUBERNETES)]


@pytest.mark.parametrize(("kit", "kind", "document"), TABLED, ids=[kit for kit, *_ in TABLED])
def test_every_field_of_a_kit_is_held_to_its_platforms_reference(kit, kind, document):
    """Each mapping of each kit stands where a table says which fields there are, and a misspelt one is found there."""
    kinds = (kind, "kubernetes") if kind.startswith("kubernetes") else (kind,)
    places = [place for place in mappings(document) if not FREE.fullmatch(".".join(place))]
    assert len(places) > 2
    assert [name for one in kinds for name in unknown_fields(one, document)] == []
    for place in places:
        changed = copy.deepcopy(document)
        mapping = changed
        for step in place:
            mapping = mapping[int(step) if isinstance(mapping, list) else step]
        mapping["qqqqq"] = 1
        found = [name for one in kinds for name, _ in unknown_fields(one, changed)]
        assert found == [".".join((*place, "qqqqq"))], f"no table says what may stand at {place}"


def test_the_doctor_finds_every_field_known_and_nothing_wrong(tmp_path):
    judge_deploy_files = pytest.importorskip("sealane.doctor.deploy_files").judge_deploy_files
    told = [(Path(found.subject).name, found.level.value, found.message) for found in judge_deploy_files(ROOT, {})]
    assert {name for name, level, _ in told if level == "ok"} == {
        "Dockerfile",
        "compose.yaml",
        "fly.toml",
        "render.yaml",
        "sealane.yaml",
        "sealane.service",
        "railway.json",
        "railway.ts",
    }
    assert [one for one in told if one[1] != "ok"] == []
    assert any("until 2026-12-01" in message for name, _, message in told if name == "railway.json")
    misspelt = with_value(load(RAILWAY), "deploy/healthcheckpath", "/")
    (tmp_path / "railway.json").write_text(json.dumps(misspelt))
    assert any("healthcheckpath" in found.message for found in judge_deploy_files(tmp_path, {}))


def test_railways_numbers_are_numbers():
    """In quotes they make its parser refuse the file, whatever its reference shows."""
    numbers = {name for name, value in load(RAILWAY)["deploy"].items() if type(value) is int}
    assert {"drainingSeconds", "overlapSeconds", "healthcheckTimeout", "restartPolicyMaxRetries"} <= numbers


def test_railways_two_files_say_the_same():
    """``railway.ts`` calls three fields by shorter names."""
    text = (KITS / "railway" / "railway.ts").read_text()
    shorter = {"startCommand": "start", "healthcheckPath": "healthcheck", "numReplicas": "replicas"}
    document = load(RAILWAY)
    for name, value in (document["build"] | document["deploy"]).items():
        assert f"{shorter.get(name, name)}: {json.dumps(value)}" in text, name
    assert f'volumeMounts: {{ "{DATA}": data }}' in text
    assert f'DATA_DIR: "{DATA}"' in text


def test_only_production_gets_the_keys_on_railway():
    text = (KITS / "railway" / "railway.ts").read_text()
    assert 'const live = ctx.isEnvironment("production");' in text
    rows = re.findall(r"\.\.\.\(live \? \{(.*)\} : \{\}\)", text)
    assert rows[0] == " KRAKEN_API_KEY: preserve(), KRAKEN_API_SECRET: preserve() "
    assert [re.findall(r"(\w+): preserve\(\)", row) for row in rows[1:]] == [
        ["KRAKEN_USER_name_API_KEY", "KRAKEN_USER_name_API_SECRET"],
        ["COINBASE_API_KEY", "COINBASE_API_SECRET"],
    ], "as comments, for whoever has them"
    outside = re.sub(r"\.\.\.\(live \? \{.*\} : \{\}\)", "", text)
    assert not re.search(r"_API_(KEY|SECRET)", outside)


def test_who_applies_railways_file_is_told_that_unlisted_variables_go():
    assert "removes each variable" in (KITS / "railway" / "railway.ts").read_text()
    assert "does not list is removed by `apply`" in " ".join((ROOT / "docs" / "deploy.md").read_text().split())


def test_the_kubernetes_parts_find_each_other():
    kit = load(KUBERNETES)
    name = {"app.kubernetes.io/name": "sealane"}
    assert kit["Service"]["spec"]["selector"] == name
    assert kit["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == name
    stateful = kit["StatefulSet"]
    assert stateful["spec"]["selector"]["matchLabels"] == stateful["spec"]["template"]["metadata"]["labels"] == name
    assert stateful["spec"]["serviceName"] == kit["Service"]["metadata"]["name"]
    assert kit["Service"]["spec"]["ports"][0]["targetPort"] == at(kit, f"{BOX}/ports/0/name")
    claims = {claim["metadata"]["name"] for claim in stateful["spec"]["volumeClaimTemplates"]}
    mounts = {mount["name"] for mount in at(kit, f"{BOX}/volumeMounts")}
    assert mounts == claims | {volume["name"] for volume in at(kit, f"{POD}/volumes")}


def test_the_dockerfile():
    found = [(step.word, step.rest) for step in steps(DOCKERFILE.read_text()) if step.stage == 1]
    words = [word for word, _ in found]
    assert "VOLUME" not in words, "Railway refuses it"
    assert "USER" not in words, "the entrypoint leaves root, after it gave the volume to the user"
    assert dict(found)["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(dict(found)["ENTRYPOINT"]) == ["/app/entrypoint.sh"]
    assert json.loads(dict(found)["CMD"])[:2] == ["sealane", "serve"]
    (run,) = [rest for word, rest in found if word == "RUN"]
    assert "tini" in run
    assert f"useradd --uid {USER} --gid {USER}" in run
    assert f"install --directory --owner={USER} --group={USER} --mode=0700 {DATA}" in run


def test_the_build_takes_the_locked_versions_and_no_tests_tools():
    syncs = [step.rest for step in steps(DOCKERFILE.read_text()) if step.rest.startswith("uv sync")]
    assert len(syncs) == 2
    assert all("--frozen --no-dev" in sync for sync in syncs)
    base = [step.rest for step in steps(DOCKERFILE.read_text()) if step.word == "FROM"]
    assert base == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"], "one argument pins both"


def test_the_entrypoint_can_be_run():
    assert (KITS / "docker" / "entrypoint.sh").stat().st_mode & 0o111 == 0o111
    assert f"uid={USER} gid={USER}" in (KITS / "docker" / "entrypoint.sh").read_text()


@pytest.mark.parametrize(
    "path", [".env", "data/kraken_global_nonce.txt", ".git/config", "tests/container.py", "deploy/x"]
)
def test_secrets_and_state_do_not_go_to_the_builder(path):
    assert not goes_to_the_builder(path, ignore_patterns())


def test_what_is_copied_goes_to_the_builder():
    for step in steps(DOCKERFILE.read_text()):
        if step.word == "COPY" and not step.rest.startswith("--from"):
            for source in step.rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                inside = f"{source}/sealane/errors.py" if (ROOT / source).is_dir() else source
                assert goes_to_the_builder(inside, ignore_patterns()), source
    assert not goes_to_the_builder("src/sealane/__pycache__/errors.cpython-313.pyc", ignore_patterns())


def test_systemd_keeps_the_keys_and_the_folder_to_the_service():
    lines = (KITS / "systemd" / "sealane.service").read_text().splitlines()
    pairs = [line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")]
    values = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    assert {value.split(":")[0] for value in values["LoadCredential"]} == {"KRAKEN_API_KEY", "KRAKEN_API_SECRET"}
    assert values["StateDirectory"] == ["sealane"]
    assert "DATA_DIR=/var/lib/sealane" in values["Environment"][0].split()
    for name, value in [("UMask", "0077"), ("LimitCORE", "0"), ("NoNewPrivileges", "yes"), ("ProtectSystem", "strict")]:
        assert values[name] == [value]
    assert values["StartLimitBurst"] == [str(RESTARTS_MAX)]
    assert values["Restart"] == ["on-failure"]
    assert values["RestartPreventExitStatus"] == ["2"], "a wrong setting is not mended by a restart"
    assert (values["Type"], values["WatchdogSec"]) == (["notify"], ["60s"])


def test_every_kit_is_on_the_page():
    page = (ROOT / "docs" / "deploy.md").read_text()
    others = ("grafana", "prometheus")
    kits = [path for path in KITS.rglob("*") if path.is_file() and path.relative_to(KITS).parts[0] not in others]
    assert len(kits) >= 9
    for path in kits:
        named = path.name in ("Dockerfile", "entrypoint.sh") or f"`{path.relative_to(ROOT)}`" in page
        assert named, f"{path.name} is on no line of docs/deploy.md"
    for name in re.findall(r"`(deploy/[\w/.-]+)`", page):
        assert (ROOT / name).exists(), name


SECRET = re.compile(r"(API_SECRET|API_KEY|PEM_CONTENT)[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9+/]{20,}")


def test_no_kit_holds_a_secret():
    assert SECRET.search("KRAKEN_API_SECRET: kQH5HW8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18")
    for path in filter(Path.is_file, KITS.rglob("*")):
        assert not SECRET.search(path.read_text()), path
