"""ccxt for node through a running gateway, with the lines of docs/gateway-clients.md.

It is installed by tests/js/package-lock.json into a folder of the user's cache, once, and left there. Without node, npm
or their registry this is skipped, and says so.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from gateway_bench import Bench

from sealane.simulator.accounts import SimAccount

ROOT = Path(__file__).parents[2]
JS = ROOT / "tests" / "js"
PAGE = (ROOT / "docs" / "gateway-clients.md").read_text()
INSTALL_LIMIT_S, LIMIT_S = 60, 30
NODE_MIN = 20
PARALLEL = 30
WANTED = {
    "btc": 5,
    "sameOrder": True,
    "seen": ["from-node"],
    "batch": 2,
    "trailing": True,
    "cancelled": 3,
    "left": 0,
    "tooMuch": "InsufficientFunds",
    "denied": "PermissionDenied",
    "wrongKey": "AuthenticationError",
}


def version(program: str) -> int:
    """The first number of a program's version, 0 without the program."""
    found = shutil.which(program)
    if not found:
        return 0
    done = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    match = re.search(r"\d+", done.stdout)
    return int(match[0]) if match else 0


@pytest.fixture(scope="module")
def installed() -> Path:
    """The folder with node's modules."""
    if version("node") < NODE_MIN or not version("npm"):
        pytest.skip(f"node {NODE_MIN} and npm are not here")
    lock = (JS / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "sealane-tests" / f"js-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not (folder / "done").exists():
        install(folder)
    return folder


def install(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(JS / name, folder)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        subprocess.run(command, cwd=folder, capture_output=True, timeout=INSTALL_LIMIT_S, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"the JavaScript client cannot be had from its registry: {error}")
    (folder / "done").touch()


def test_ccxt_for_node(gateway: Bench, bot: SimAccount, installed: Path) -> None:
    (lines,) = re.findall(r"^```js\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    script = lines.replace("http://127.0.0.1:8710", gateway.url) + (JS / "day.mjs").read_text()
    done = subprocess.run(
        ["node", "--input-type=module"], input=script, cwd=installed, capture_output=True, text=True, timeout=LIMIT_S,
        env=os.environ | {"BOT_KEY": bot.api_key, "BOT_SECRET": bot.api_secret}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    parallel = found.pop("parallel")
    assert found | {"cancelled": int(found["cancelled"])} == WANTED
    assert gateway.tally(bot.name)["refused_nonce"] == 0
    assert parallel.keys() == {"answered", "InvalidNonce"}
    assert sum(parallel.values()) == PARALLEL
    refused = [row for row in gateway.audit(bot.name) if "EAPI:Invalid nonce" in row.get("errors", ())]
    assert len(refused) == parallel["InvalidNonce"], "what was refused, the gateway refused"
    assert not {"Withdraw"} & set(gateway.methods(bot.name))
    assert f"ccxt for node | {json.loads((JS / 'package.json').read_text())['dependencies']['ccxt']} |" in PAGE
