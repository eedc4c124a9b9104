"""The fixture for other people's tests, in a pytest run of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from sealane import testing
from sealane.simulator import Simulator

LIMIT_S = 60
HEAD = "import pytest\nfrom sealane.simulator import Probe\n\n"
CONFTEST = 'pytest_plugins = ["sealane.testing.pytest_plugin"]\n'


def run(folder: Path, test: str) -> str:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(HEAD + test)
    command = [sys.executable, "-m", "pytest", "--strict-markers", "-q", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, cwd=folder, check=False).stdout


def test_a_simulator_of_its_own_for_each_test(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
KEYS = []

@pytest.mark.parametrize("n", [1, 2])
def test_plain(kraken_simulator, n):
    with Probe(kraken_simulator.url, kraken_simulator.accounts[0]) as probe:
        assert probe.private("Balance", nonce=1)["error"] == []
    KEYS.append(kraken_simulator.accounts[0].api_key)
    assert KEYS[0] == KEYS[-1]

@pytest.mark.kraken_simulator(accounts=3, tier="pro", clock="frozen", seed=9)
def test_marked(kraken_simulator):
    assert len(kraken_simulator.accounts) == 3
    assert kraken_simulator.state()["accounts"]["user2"]["limits"]["tier"] == "pro"
    assert kraken_simulator.accounts[0].api_key not in KEYS
""",
    )
    assert "3 passed" in said, said


def test_a_simulator_that_was_wrong_fails_the_test(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
def test_tampered(kraken_simulator):
    kraken_simulator.exchange.accounts["MASTER"].held["ZUSD"] = 5
""",
    )
    assert "1 passed, 1 error" in said, said
    assert "held ZUSD is not what its open orders hold" in said


def test_the_kit_has_the_simulator() -> None:
    assert testing.Simulator is Simulator


def test_nobody_gets_the_plugin_without_asking() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert "pytest11" not in text


@pytest.mark.parametrize("module", ["hypothesis", "ccxt", "pytest"])
def test_the_kit_itself_pulls_nothing_heavy_in(module: str) -> None:
    code = f"import sys, sealane.testing; print({module!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert done.stdout.strip() == "False"
