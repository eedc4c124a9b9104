"""Deploy files: misspelt fields, volumes beside the data folder, two writers; each file as a person would write it."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from sealane.doctor.deploy_containers import instructions
from sealane.doctor.deploy_fields import FACTS, unknown_fields
from sealane.doctor.deploy_files import judge_deploy_files, kind_of
from sealane.doctor.deploy_platforms import seconds
from sealane.doctor.finding import Level
from sealane.doctor.typescript import UNREAD, called

BAD = (Level.WARNING, Level.FAULT)

GUIDE = {  # the documents' own railway.json
    "$schema": "https://railway.app/railway.schema.json",
    "build": {"builder": "DOCKERFILE", "dockerfilePath": "Dockerfile"},
    "deploy": {"startCommand": "bash start.sh", "restartPolicyType": "ON_FAILURE", "restartPolicyMaxRetries": 10},
}

RENDER = """\
services:
  - type: worker
    name: sealane
    runtime: docker
    disk: {name: data, mountPath: /app/data, sizeGB: 1}
    envVars:
      - {key: DATA_DIR, value: /app/data}
      - {key: KRAKEN_API_KEY, sync: false}
databases: []
"""

COMPOSE = """\
services:
  sealane:
    image: sealane
    init: true
    command: ["serve"]
    environment: {DATA_DIR: /app/data, KRAKEN_API_KEY: "${KRAKEN_API_KEY}"}
    volumes: ["sealane-data:/app/data"]
    ports: ["127.0.0.1:8710:8710"]
    x-note: extensions are free
  redis:
    image: redis
    ports: ["6379:6379"]
volumes:
  sealane-data:
"""

FLY = """\
app = "sealane"
kill_signal = "SIGTERM"
kill_timeout = "30s"
[env]
DATA_DIR = "/app/data"
[mounts]
source = "sealane_data"
destination = "/app/data"
[http_service]
internal_port = 8710
auto_stop_machines = "off"
[[http_service.checks]]
path = "/readyz"
"""

STATEFUL = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: sealane}
spec:
  replicas: 1
  selector: {matchLabels: {app: sealane}}
  serviceName: sealane
  template:
    metadata: {labels: {app: sealane}}
    spec:
      containers:
        - name: sealane
          image: sealane
          env: [{name: DATA_DIR, value: /app/data}]
          volumeMounts: [{name: data, mountPath: /app/data}]
          livenessProbe: {httpGet: {path: /livez, port: 8710}}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOncePod], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Service
metadata: {name: sealane}
spec: {ports: [{port: 8710}]}
"""

EMPTY_DIR = "      volumes: [{name: data, emptyDir: {}}]"

TYPESCRIPT = """\
import { defineRailway, preserve, project, service, volume } from "railway/iac";
// service("not this one", { startComand: "x" })
export default defineRailway((ctx) => {
  const live = ctx.isEnvironment("production");
  const data = volume("data");
  const sealane = service("sealane", {
    build: { builder: "DOCKERFILE", dockerfilePath: 'Dockerfile' },
    start: "sealane serve --host ::",
    healthcheck: "/livez",
    replicas: 1,
    deploy: { overlapSeconds: 0, drainingSeconds: 30, restartPolicyType: "ON_FAILURE", restartPolicyMaxRetries: 10 },
    volumeMounts: { "/app/data": data },
    env: {
      DATA_DIR: "/app/data",
      URL: `https://${name}`,
      ...(live ? { KRAKEN_API_KEY: preserve(), KRAKEN_API_SECRET: preserve() } : {}),
    },
  });
  return project("sealane", { resources: [sealane, data] });
});
"""

UNIT = """\
[Unit]
Description=Sealane
[Service]
ExecStart=/opt/sealane/bin/sealane serve \\
  --port 8710
Restart=on-failure
TimeoutStopSec=30s
PrivateTmp=yes
Environment=DATA_DIR=/var/lib/sealane "NOTE=two words"
X-Note=free
[Install]
WantedBy=multi-user.target
"""

DOCKER = """\
# syntax=docker/dockerfile:1
FROM python:3.12-slim AS base
RUN pip install sealane \\
    # a comment in between
    && mkdir -p /app/data && chown -R app:app /app/data
COPY <<EOF /etc/motd
NOTANINSTRUCTION here
EOF
USER app
ENV DATA_DIR=/app/data
ENTRYPOINT ["sealane"]
CMD ["serve"]
"""


@pytest.fixture
def judged(tmp_path):
    """The bad findings of one file of this name and content, by check."""

    def judge(name, content, **environ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        found = list(judge_deploy_files(tmp_path, environ))
        found = [finding for finding in found if finding.subject == str(path)]
        assert found, "the file was looked at"
        return {finding.check: finding for finding in found if finding.level in BAD}

    return judge


GOOD = {"render.yaml": RENDER, "compose.yaml": COMPOSE, "fly.toml": FLY, "k8s.yaml": STATEFUL, "Dockerfile": DOCKER}
GOOD |= {".railway/railway.ts": TYPESCRIPT, "sealane.service": UNIT}


@pytest.mark.parametrize("name", GOOD)
def test_good_files_are_sound(judged, tmp_path, name):
    assert judged(name, GOOD[name]) == {}
    assert [finding.level for finding in judge_deploy_files(tmp_path, {})] == [Level.OK]


@pytest.mark.parametrize(
    ("name", "right", "wrong", "meant"),
    [
        ("railway.json", '"startCommand"', '"startComand"', "startCommand"),
        ("railway.json", '"restartPolicyMaxRetries"', '"restartPolicyRetries"', "restartPolicyMaxRetries"),
        ("railway.json", '"deploy"', '"deployy"', "deploy"),
        ("render.yaml", "mountPath", "mount_path", "mountPath"),
        ("render.yaml", "envVars", "envvars", "envVars"),
        ("render.yaml", "sync", "synk", "sync"),
        ("compose.yaml", "environment", "enviroment", "environment"),
        ("compose.yaml", "    init:", "    innit:", "init"),
        ("fly.toml", "kill_timeout", "kill_timout", "kill_timeout"),
        ("fly.toml", "destination", "destnation", "destination"),
        ("k8s.yaml", "volumeMounts", "volumeMount", "volumeMounts"),
        ("k8s.yaml", "livenessProbe", "livelinessProbe", "livenessProbe"),
        ("k8s.yaml", "mountPath", "mountpath", "mountPath"),
        (".railway/railway.ts", "healthcheck:", "healtcheck:", "healthcheck"),
        (".railway/railway.ts", "restartPolicyType", "restartPolcyType", "restartPolicyType"),
        (".railway/railway.ts", "volumeMounts", "volumeMount", "volumeMounts"),
        ("sealane.service", "ExecStart", "ExecStrat", "ExecStart"),
        ("sealane.service", "Restart=", "Restrat=", "Restart"),
        ("sealane.service", "[Install]", "[Instal]", "Install"),
        ("Dockerfile", "USER app", "USERR app", "USER"),
        ("Dockerfile", "ENTRYPOINT", "ENTRYPONT", "ENTRYPOINT"),
    ],
)
def test_misspelt_fields(judged, name, right, wrong, meant):
    content = {**GOOD, "railway.json": json.dumps(GUIDE)}[name]
    assert right in content
    found = judged(name, content.replace(right, wrong, 1))["deploy-field"]
    assert found.level is Level.FAULT
    assert found.remedy == f"write {meant}"
    assert wrong.strip(' ":[]=').split()[0] in found.message


def test_a_field_like_no_other_is_a_warning(judged):
    found = judged("railway.json", GUIDE | {"qqqq": 1})["deploy-field"]
    assert found.level is Level.WARNING


@pytest.mark.parametrize(
    ("name", "right", "wrong", "check", "level"),
    [
        ("render.yaml", "disk:", "x-disk:", "deploy-volume", Level.FAULT),
        ("render.yaml", "value: /app/data", "value: /data", "deploy-volume", Level.FAULT),
        ("render.yaml", "{key: DATA_DIR, value: /app/data}", "{key: A, value: b}", "deploy-volume", Level.WARNING),
        ("render.yaml", "runtime: docker", "numInstances: 2", "deploy-replicas", Level.FAULT),
        ("render.yaml", "runtime: docker", "scaling: {maxInstances: 3}", "deploy-replicas", Level.FAULT),
        ("render.yaml", "runtime: docker", "healthCheckPath: /healthz", "deploy-health", Level.WARNING),
        ("compose.yaml", 'volumes: ["sealane-data:/app/data"]', "tty: true", "deploy-volume", Level.FAULT),
        ("compose.yaml", "DATA_DIR: /app/data", "DATA_DIR: /data", "deploy-volume", Level.FAULT),
        ("compose.yaml", '"sealane-data:/app/data"', '"sealane-data:/app/data:ro"', "deploy-volume", Level.FAULT),
        ("compose.yaml", '"sealane-data:/app/data"', "{type: tmpfs, target: /app/data}", "deploy-volume", Level.FAULT),
        ("compose.yaml", "127.0.0.1:8710:8710", "8710:8710", "deploy-exposed", Level.WARNING),
        ("compose.yaml", "127.0.0.1:8710:8710", "0.0.0.0:8710:8710", "deploy-exposed", Level.WARNING),
        ("fly.toml", "[mounts]", "[experimental]", "deploy-volume", Level.FAULT),
        ("fly.toml", 'DATA_DIR = "/app/data"', 'DATA_DIR = "/data"', "deploy-volume", Level.FAULT),
        ("fly.toml", '"SIGTERM"', '"SIGINT"', "deploy-stop", Level.WARNING),
        ("fly.toml", '"30s"', "5", "deploy-stop", Level.WARNING),
        ("fly.toml", '"off"', '"stop"', "deploy-stop", Level.WARNING),
        ("fly.toml", "[mounts]", '[deploy]\nstrategy = "bluegreen"\n[mounts]', "deploy-overlap", Level.FAULT),
        ("fly.toml", '"/readyz"', '"/up"', "deploy-health", Level.WARNING),
        ("k8s.yaml", "kind: StatefulSet", "kind: Deployment", "deploy-overlap", Level.FAULT),
        ("k8s.yaml", "replicas: 1", "replicas: 2", "deploy-replicas", Level.FAULT),
        ("k8s.yaml", "mountPath: /app/data", "mountPath: /data", "deploy-volume", Level.FAULT),
        ("k8s.yaml", "      containers:", f"{EMPTY_DIR}\n      containers:", "deploy-volume", Level.FAULT),
        ("k8s.yaml", "ReadWriteOncePod", "ReadWriteMany", "deploy-volume", Level.WARNING),
        ("k8s.yaml", "path: /livez", "path: /readyz", "deploy-health", Level.WARNING),
        ("k8s.yaml", "path: /livez", "path: /up", "deploy-health", Level.WARNING),
        (".railway/railway.ts", "replicas: 1", "replicas: 2", "deploy-replicas", Level.FAULT),
        (".railway/railway.ts", "overlapSeconds: 0", "overlapSeconds: 20", "deploy-overlap", Level.FAULT),
        (".railway/railway.ts", "drainingSeconds: 30", 'drainingSeconds: "30"', "deploy-field", Level.FAULT),
        (".railway/railway.ts", '"ON_FAILURE"', '"SOMETIMES"', "deploy-restart", Level.FAULT),
        (".railway/railway.ts", '"/livez"', '"/up"', "deploy-health", Level.WARNING),
        (".railway/railway.ts", '"/app/data": data', '"/data": data', "deploy-volume", Level.FAULT),
        (".railway/railway.ts", 'volumeMounts: { "/app/data": data },', "", "deploy-volume", Level.FAULT),
        ("sealane.service", "Restart=on-failure", "Restart=no", "deploy-restart", Level.WARNING),
        ("sealane.service", "TimeoutStopSec=30s", "TimeoutStopSec=2", "deploy-stop", Level.WARNING),
        ("sealane.service", "PrivateTmp", "KillSignal=SIGKILL\nPrivateTmp", "deploy-stop", Level.WARNING),
        ("sealane.service", "DATA_DIR=/var/lib/", "DATA_DIR=/tmp/", "deploy-volume", Level.FAULT),
        ("sealane.service", "DATA_DIR=/var/lib/", "DATA_DIR=/run/", "deploy-volume", Level.FAULT),
        ("sealane.service", "DATA_DIR=", "DATA=", "deploy-volume", Level.WARNING),
        ("Dockerfile", 'CMD ["serve"]', "CMD sealane serve", "deploy-stop", Level.WARNING),
        ("Dockerfile", "chown -R app:app", "ls", "deploy-user", Level.WARNING),
    ],
)  # fmt: skip
def test_what_contradicts(judged, name, right, wrong, check, level):
    assert right in GOOD[name]
    found = judged(name, GOOD[name].replace(right, wrong, 1))
    assert found[check].level is level, found
    assert found[check].remedy


@pytest.mark.parametrize(
    "container",
    [
        "image: other, args: [sealane, serve]",
        "image: other, command: [sealane], args: [serve]",
        'image: other, command: ["python", "-m", "sealane.cli", "run"]',
        "image: registry.example/sealane@sha256:ab",
    ],
)
def test_two_writers_are_found_however_the_program_is_written(judged, container):
    """Nothing but the command or the image tells that it is Sealane: the keys come by envFrom."""
    pod = f"{{containers: [{{name: x, {container}, envFrom: [{{secretRef: {{name: keys}}}}]}}]}}"
    found = judged(
        "k8s.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n"
        f"spec: {{replicas: 3, template: {{spec: {pod}}}}}\n",
    )
    assert set(found) == {"deploy-replicas", "deploy-overlap", "deploy-volume"}
    assert all(one.level is Level.FAULT for one in found.values())


@pytest.mark.parametrize("service", ["image: other, command: [sealane, serve]", "image: sealane"])
def test_a_compose_service_is_known_by_its_command_or_image(judged, service):
    assert judged("compose.yaml", f"services: {{x: {{{service}}}}}")["deploy-volume"].level is Level.FAULT


def test_a_pod_of_the_simulator_is_not_ours(judged):
    pod = "{containers: [{name: x, image: sealane, args: [sealane, sim], env: [{name: SEALANE_TIER, value: pro}]}]}"
    content = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n"
    assert judged("k8s.yaml", f"{content}spec: {{replicas: 3, template: {{spec: {pod}}}}}\n") == {}


@pytest.mark.parametrize("copies", ["deploy: {replicas: 2}", "scale: 3"])
def test_copies_of_a_compose_service(judged, copies):
    found = judged("compose.yaml", COMPOSE.replace("    init: true", f"    {copies}"))
    assert found["deploy-replicas"].level is Level.WARNING, "on one machine they share the volume"
    without = COMPOSE.replace("    init: true", f"    {copies}").replace("volumes: [", "x-volumes: [")
    assert judged("compose.yaml", without)["deploy-replicas"].level is Level.FAULT


def test_a_deployment_that_recreates_is_sound(judged):
    kind = STATEFUL.replace("kind: StatefulSet", "kind: Deployment")
    assert judged("k8s.yaml", kind.replace("replicas: 1", "replicas: 1\n  strategy: {type: Recreate}")) == {}


def test_the_guides_own_railway_file_is_only_out_of_date(judged, tmp_path):
    found = judged("railway.json", GUIDE)
    assert list(found) == ["deploy-railway"]
    assert "2026-12-01" in found["deploy-railway"].message
    (tmp_path / ".railway").mkdir()
    (tmp_path / ".railway" / "railway.ts").write_text(TYPESCRIPT)
    assert judged("railway.json", GUIDE) == {}


@pytest.mark.parametrize("beside", [True, False])
def test_a_railway_file_of_a_kit_is_not_out_of_date(tmp_path, beside):
    """Under deploy/ Railway does not read it by itself; with its successor beside it all is said."""
    place = tmp_path / ("kit" if beside else "deploy/railway")
    place.mkdir(parents=True)
    (place / "railway.json").write_text(json.dumps(GUIDE))
    if beside:
        (place / "railway.ts").write_text(TYPESCRIPT)
    found = [one for one in judge_deploy_files(place if beside else tmp_path, {}) if one.check == "deploy-railway"]
    assert [one.level for one in found] == [Level.OK]
    assert ("railway.ts" if beside else "a kit") in found[0].message


@pytest.mark.parametrize(
    ("deploy", "check", "level"),
    [
        ({"numReplicas": 2}, "deploy-replicas", Level.FAULT),
        ({"multiRegionConfig": {"a": {"numReplicas": 1}, "b": {"numReplicas": 1}}}, "deploy-replicas", Level.FAULT),
        ({"restartPolicyType": "ON-FAILURE"}, "deploy-restart", Level.FAULT),
        ({"restartPolicyType": "NEVER"}, "deploy-restart", Level.WARNING),
        ({"restartPolicyMaxRetries": 50}, "deploy-restart", Level.WARNING),
        ({"restartPolicyMaxRetries": "10"}, "deploy-restart", Level.WARNING),
        ({"drainingSeconds": "10"}, "deploy-field", Level.FAULT),
        ({"overlapSeconds": 20}, "deploy-overlap", Level.FAULT),
        ({"startCommand": "sealane serve", "healthcheckPath": "/health"}, "deploy-health", Level.WARNING),
    ],
)
def test_railway(judged, deploy, check, level):
    found = judged("railway.json", {"deploy": deploy})
    assert found[check].level is level


def test_railway_in_toml_and_its_mount_path(judged):
    toml = '[deploy]\nrequiredMountPath = "/data"\nhealthcheckPath = "/readyz"\n'
    environ = {"RAILWAY_PROJECT_ID": "p", "DATA_DIR": "/app/data"}
    assert "deploy-volume" in judged("railway.toml", toml, **environ)
    assert "deploy-volume" not in judged("railway.toml", toml, **environ | {"DATA_DIR": "/data/x"})
    assert "deploy-volume" not in judged("railway.toml", toml)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("railway.json", "{"),
        ("railway.json", "[]"),
        ("fly.toml", "a ="),
        ("compose.yaml", "a: [b"),
        ("k8s.yaml", "apiVersion: v1\n  kind: x: y"),
        ("render.yaml", "- 1"),
    ],
)
def test_files_that_cannot_be_read(judged, name, content):
    found = judged(name, content)["deploy-file"]
    assert found.level is Level.FAULT
    assert "cannot be read" in found.message or "mapping" in found.message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("compose.yaml", "services:\n  a: {KRAKEN_API_SECRET: hidden-in-the-file\n  b: ]"),
        ("fly.toml", '[env]\nKRAKEN_API_SECRET = "hidden-in-the-file\n"'),
        ("railway.json", '{"KRAKEN_API_SECRET": "hidden-in-the-file" 5}'),
    ],
)
def test_a_file_that_cannot_be_read_is_not_quoted(judged, name, content):
    found = judged(name, content)["deploy-file"]
    assert "hidden" not in found.message
    assert "line" in found.message


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "railway.json").write_bytes(b"\xff\xfe")
    (found,) = judge_deploy_files(tmp_path, {})
    assert found.level is Level.FAULT


def test_keys_that_railways_file_does_not_list_would_be_removed(judged):
    keys = {"KRAKEN_API_KEY": "k", "KRAKEN_USER_eve_API_KEY": "k", "COINBASE_PEM_CONTENT": "p", "MY_API_KEY": "k"}
    found = judged(".railway/railway.ts", TYPESCRIPT, **keys)["deploy-railway"]
    assert found.level is Level.WARNING
    assert "COINBASE_PEM_CONTENT, KRAKEN_USER_eve_API_KEY," in found.message
    assert "preserve()" in found.remedy


@pytest.mark.parametrize("text", ["", "export default 5;", 'service("x", { env: { A: "b" }', "const a = (1]; {"])
def test_typescript_that_cannot_be_followed_is_skipped(tmp_path, text):
    (tmp_path / "railway.ts").write_text(text)
    (found,) = judge_deploy_files(tmp_path, {})
    assert (found.check, found.level) == ("deploy-file", Level.SKIPPED)


def test_typescript_is_read_as_it_is_written():
    (found,) = called(
        """service("a", { n: 1_0, t: true, "q-q": 'it\\'s', deep: { /* x: 1, */ a: { b: null } }, f(x) { return 1 },
        call: preserve(), sum: 1 + 2, short, ...rest, ...(a ? { S: "s" } : { T: `t` }), last: `${x}` })""",
        "service",
    )
    read = {name: value for name, value in found.items() if value is not UNREAD}
    assert read == {"n": 10, "t": True, "q-q": "it's", "deep": {"a": {"b": None}}, "S": "s", "T": "t"}
    assert {name for name, value in found.items() if value is UNREAD} == {"f", "call", "sum", "short", "last"}


def test_units_of_others_are_left_alone(tmp_path):
    (tmp_path / "other.service").write_text("[Service]\nExecStrat=/bin/true\n")
    assert list(judge_deploy_files(tmp_path, {})) == []


def test_yaml_of_others_is_left_alone(judged, tmp_path):
    (tmp_path / "b.yaml").write_text("apiVersion: v1\nkind: {{ .Values.kind }}\n")
    (tmp_path / "c.yaml").write_text("groups: [{name: alerts}]\n")
    assert list(judge_deploy_files(tmp_path, {})) == []


def test_services_of_others_are_only_held_to_their_fields(judged):
    assert judged("compose.yaml", "services:\n  db:\n    image: postgres\n    ports: ['5432:5432']\n") == {}
    sim = "services:\n  kraken:\n    image: sealane\n    command: sealane sim\n    environment: [SEALANE_TIER=off]\n"
    assert judged("compose.yaml", sim) == {}


def test_files_are_found_in_deploy_too(tmp_path):
    for name in ("deploy/railway/railway.json", "deploy/compose.yaml", "Dockerfile", "deploy/k8s/sealane.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text({"json": "{}", "yaml": "{}", "yml": STATEFUL}.get(name.rpartition(".")[2], DOCKER))
    found = {Path(finding.subject).relative_to(tmp_path).as_posix() for finding in judge_deploy_files(tmp_path, {})}
    assert found == {"deploy/railway/railway.json", "deploy/compose.yaml", "Dockerfile", "deploy/k8s/sealane.yml"}


def test_a_folder_without_any_is_skipped(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        (found,) = judge_deploy_files(folder, {})
        assert found.level is Level.SKIPPED


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("docker-compose.prod.yml", "compose"),
        ("Dockerfile.slim", "dockerfile"),
        ("fly.staging.toml", "fly"),
        ("values.yaml", "kubernetes"),
        ("pyproject.toml", ""),
        ("package.json", ""),
    ],
)
def test_names_of_files(name, kind):
    assert kind_of(name) == kind


@pytest.mark.parametrize(("text", "value"), [("30s", 30), (5, 5), ("1m", 60), ("500ms", 0.5), ("soon", 0)])
def test_spans(text, value):
    assert seconds(text) == value


def test_instructions_of_a_dockerfile():
    assert [name for name, _ in instructions(DOCKER)] == ["FROM", "RUN", "COPY", "USER", "ENV", "ENTRYPOINT", "CMD"]
    assert list(instructions("RUN <<EOF\nnever ended")) == [("RUN", "<<EOF\nnever ended")]
    assert list(instructions("RUN a \\")) == [("RUN", "a")]


def test_every_table_of_fields_says_where_it_is_from():
    tables = tomllib.loads(FACTS.read_text())
    assert {"railway", "render", "compose", "fly", "kubernetes", "dockerfile"} <= set(tables)
    for name, table in tables.items():
        assert table["source"], name
        assert re.fullmatch(r"20\d\d-\d\d", table["read"]), name
        for path, fields in table["fields"].items():
            assert len(fields) == len(set(fields)), path


def test_a_field_is_named_by_the_way_to_it():
    document = {"services": [{"disk": {"mountpath": "/x"}}]}
    assert list(unknown_fields("render", document)) == [("services.0.disk.mountpath", "mountPath")]
