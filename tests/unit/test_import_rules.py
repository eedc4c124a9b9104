"""Each import contract is broken once, on a copy, and must be seen to break."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")
LIMIT_S = 60

VIOLATIONS = [
    ("layers", "runtime/clock.py", "import sealane.client.settings"),
    ("pure-core", "core/nonce.py", "import time"),
    ("ports-only", "runtime/clock.py", "import sealane.store.file"),
    ("independent-stores", "store/file.py", "import sealane.store.memory"),
    ("simulator-apart", "simulator/clock.py", "import sealane.core.nonce"),
    ("product-apart", "client/session.py", "import sealane.simulator.clock"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "src" / "sealane", folder / "sealane", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint(folder, *arguments):
    return subprocess.run(
        [LINT, "--no-cache", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_the_tree_as_it_is_keeps_all_contracts(copy):
    done = lint(copy)
    assert done.returncode == 0, done.stdout
    assert f"Contracts: {len(VIOLATIONS)} kept, 0 broken" in done.stdout


@pytest.mark.parametrize(("contract", "file", "line"), VIOLATIONS, ids=[row[0] for row in VIOLATIONS])
def test_a_planted_violation_is_caught(copy, contract, file, line):
    path = copy / "sealane" / file
    before = path.read_text()
    path.write_text(f"{before}\n{line}\n")
    try:
        done = lint(copy, "--contract", contract)
    finally:
        path.write_text(before)
    assert done.returncode == 1
    assert "0 kept, 1 broken" in done.stdout
