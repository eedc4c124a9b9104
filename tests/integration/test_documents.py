"""What the documents say is run: code blocks, commands, and that nothing is left out."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sealane.client import settings as settings_module

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
LIMIT_S = 60


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


PYTHON = [(page.relative_to(ROOT), code) for page in PAGES for code in blocks(page, "python")]
COMMANDS = [
    line.removeprefix("$ ")
    for page in PAGES
    for block in blocks(page, "console")
    for line in block.splitlines()
    if line.startswith("$ ")
]


@pytest.mark.parametrize(("page", "code"), PYTHON, ids=[f"{page}-{number}" for number, (page, _) in enumerate(PYTHON)])
def test_python_in_the_documents_runs(keys, fresh_manager, page, code):
    exec(compile(code, str(page), "exec"), {"__name__": "__main__"})
    assert keys.journal()["summary"]["refused_nonce"] == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_in_the_documents_run(keys, command):
    program, *arguments = shlex.split(command)
    assert program == "sealane"
    done = subprocess.run(
        [sys.executable, "-m", "sealane.cli", *arguments], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    if "--json" in arguments:
        json.loads(done.stdout)


def test_there_is_something_to_run():
    assert len(PYTHON) >= 4
    assert len(COMMANDS) >= 5


def test_the_other_commands_of_the_readme_are_real():
    """``sealane sim`` and ``make demo`` do not end by themselves or take long; other tests run them."""
    text = (ROOT / "README.md").read_text()
    assert "sealane sim --port 8711 --accounts 2" in text
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    for verb in set(re.findall(r"make (\w+)", text)) - {"help"} | {"setup", "demo", "test", "check", "bench"}:
        assert f"make {verb}" in done.stdout


def test_every_variable_is_on_the_settings_page():
    page = (ROOT / "docs" / "settings.md").read_text()
    rooms = [ROOT / "src" / "sealane" / room for room in ("client", "gateway")]
    sources = [path.read_text() for room in rooms for path in room.glob("*.py")]
    used = {name for text in sources for name in re.findall(r"\b(?:SEALANE|KRAKEN|DATA)_[A-Z]+(?:_[A-Z]+)*\b", text)}
    used -= {name for name in used if hasattr(settings_module, name)} | {"KRAKEN_USER"}
    assert {"KRAKEN_SPOT_URL", "DATA_DIR", "SEALANE_LANES"} <= used
    assert [name for name in sorted(used) if f"`{name}`" not in page] == []


def test_every_command_is_in_the_readme():
    from sealane.cli.app import app

    pages = (
        "README.md",
        "docs/trouble.md",
        "docs/trading.md",
        "docs/service.md",
        "docs/dashboard.md",
        "docs/virtual-keys.md",
    )
    text = "".join((ROOT / page).read_text() for page in pages)
    names = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    trading = {"balance", "call", "cancel", "order", "orders", "preflight", "run"}
    assert names == trading | {"demo", "doctor", "keys", "nonce", "serve", "sim", "status", "store"}
    for name in names - {"demo"}:
        assert f"sealane {name}" in text


def test_links_lead_somewhere():
    for page in [*PAGES, ROOT / "GUARANTEES.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs" / "decisions").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_promise_names_a_test_that_exists():
    text = (ROOT / "GUARANTEES.md").read_text()
    promises = re.split(r"^## \d\. ", text, flags=re.MULTILINE)[1:]
    assert len(promises) == 8
    for promise in promises:
        names = re.findall(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`", promise)
        assert names or "not yet" in promise.lower(), promise.splitlines()[0]
        for path, test in names:
            assert (ROOT / path).exists(), path
            assert (
                not test or f"def {test}(" in (ROOT / path).read_text() or f"{test} =" in (ROOT / path).read_text()
            ), test


def test_the_environment_of_the_tests_is_clean():
    assert "SEALANE_STORE" not in os.environ
