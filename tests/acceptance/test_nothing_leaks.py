"""Promise 7 over all at once: each command, page, log line, error, process list and file of a busy installation.

``tests/integration/test_secrets.py`` looks at the library's parts one by one.
"""

import base64
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from sealane.simulator import Simulator

LIMIT_S = 60
OTP = "otp-that-nobody-may-see-4711"
PAGES = ("/", "/health/kraken-nonce", "/livez", "/readyz", "/metrics", "/nowhere")
FAULTS = (
    {"kind": "error", "error": "EAPI:Invalid key"},
    {"kind": "error", "error": "EAPI:Invalid signature"},
    {"kind": "http_after", "status": 502},
    {"kind": "html", "applied": True},
    {"kind": "drop_after"},
)
COMMANDS = (
    ("balance",),
    ("balance", "--account", "daivon_frazier", "--json"),
    ("call", "Balance", "otp=1"),
    ("call", "Nonsense", "--json"),
    ("order", "buy", "XBTUSD", "0.001", "1000", "--json"),
    ("order", "buy", "XBTUSD", "0.001", "--validate"),
    ("orders", "--json"),
    ("cancel", "--all"),
    ("nonce", "show", "--json"),
    ("preflight", "--all", "--pair", "XBTUSD", "--json"),
    ("preflight", "--pair", "XBTUSD"),
    ("run", "sealane.trading.example:Rebalance", "--pair", "XBTUSD", "--rounds", "1"),
    ("doctor",),
    ("doctor", "--json"),
)
BROKERS = """
import logging, traceback
logging.basicConfig(level=logging.DEBUG)
from sealane.broker import AccountType, CoinbaseBroker, KrakenBroker, KrakenBrokerAdapter
from sealane.client.settings import Settings
import os
print(Settings.from_env(os.environ))
for broker in (KrakenBroker(account_type=AccountType.MASTER), CoinbaseBroker()):
    for verb in (broker.connect, broker.get_account_balance, broker.get_account_balance_detailed, broker.get_positions,
                 lambda: broker.place_order(pair="BTC-USD", side="buy", volume="1", price="10", timeout_s=1)):
        try:
            print(repr(verb()))
        except Exception as error:
            print(repr(error), vars(error))
            traceback.print_exc()
    print(repr(broker), broker.figures(), vars(broker))
print(KrakenBrokerAdapter().get_account_balance())
"""


def pem():
    """A private key as Coinbase gives one out."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        .decode()
    )


def forms_of(environment):
    """Every form in which a secret could show; a key's last four characters are not one."""
    forms = {"otp": OTP}
    for name, value in environment.items():
        if not name.startswith(("KRAKEN_", "COINBASE_")) or not name.endswith(("_KEY", "_SECRET", "_CONTENT")):
            continue
        text = value.replace("\\n", "\n")
        forms |= {name: value, f"{name} begins": value[:12]}
        if name.endswith("_API_SECRET") and name.startswith("KRAKEN_"):
            decoded = base64.b64decode(value)
            forms |= {f"{name} as bytes": repr(decoded)[2:-1], f"{name} as hex": decoded.hex()}
        if name.endswith("_CONTENT"):
            forms = {key: form for key, form in forms.items() if key != f"{name} begins"}
            forms |= {f"{name} line {at}": line for at, line in enumerate(text.splitlines()[1:-1])}
    return forms


@pytest.fixture
def installation(tmp_path):
    """A simulated Kraken and the environment of a program with three keys at two exchanges, logging all there is."""
    with Simulator(accounts=2, seed=11) as sim:
        sim.update_account("MASTER", otp=OTP)
        master, user = sim.accounts
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("KRAKEN_", "SEALANE_"))},
            "DATA_DIR": str(tmp_path / "data"),
            "KRAKEN_SPOT_URL": sim.url,
            "KRAKEN_API_KEY": master.api_key,
            "KRAKEN_API_SECRET": master.api_secret,
            "KRAKEN_API_OTP": OTP,
            "KRAKEN_USER_daivon_frazier_API_KEY": user.api_key,
            "KRAKEN_USER_daivon_frazier_API_SECRET": user.api_secret,
            "COINBASE_API_KEY": "organizations/0b1c/apiKeys/secret-name-of-a-key",
            "COINBASE_PEM_CONTENT": pem().replace("\n", "\\n"),
            "COINBASE_API_URL": sim.url,
            "SEALANE_LOG": "json",
            "SEALANE_LOG_LEVEL": "DEBUG",
            "SEALANE_VISIBILITY_LAG_S": "0.2",
            "SEALANE_WATCH_S": "1",
        }
        yield sim, environment


def ran(words, environment):
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, env=environment, check=False)
    return done.stdout + done.stderr


def sealane(*words):
    return [sys.executable, "-m", "sealane.cli", *words]


@contextmanager
def served(environment):
    """``sealane serve`` for a block; yields its URL and what it wrote, which is whole after the block."""
    process = subprocess.Popen(
        sealane("serve", "--port", "0", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    written = []
    reader = threading.Thread(target=lambda: written.extend(process.stderr))
    reader.start()
    try:
        first = process.stdout.readline()
        yield json.loads(first)["url"], process.pid, written
    finally:
        process.terminate()
        written.append(process.communicate(timeout=LIMIT_S)[0])
        reader.join(LIMIT_S)


def page(url):
    try:
        with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
            return str(answer.headers) + answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return str(error.headers) + error.read().decode()


def test_no_secret_anywhere(installation, tmp_path):
    sim, environment = installation
    forms = forms_of(environment)
    seen = {"brokers": ran([sys.executable, "-c", BROKERS], environment)}
    with served(environment) as (url, pid, written):
        for number, words in enumerate(COMMANDS):
            sim.clear_faults()
            if number:
                sim.add_fault(**FAULTS[number % len(FAULTS)], count=1)
            seen[" ".join(words)] = ran(sealane(*words), environment)
        seen |= {path: page(url + path) for path in PAGES}
        seen["process list"] = Path(f"/proc/{pid}/cmdline").read_text() if Path("/proc/self").exists() else "serve"
    seen["log of serve"] = "".join(written)
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    seen |= {str(path): path.read_bytes().decode("latin-1") + str(path) for path in files}
    assert len(files) > 5
    for name in (*PAGES, "brokers", "log of serve", "doctor --json"):
        assert len(seen[name]) > 20, f"nothing came of {name}"
    for name, text in seen.items():
        for form, secret in forms.items():
            assert secret not in text, f"{form} shows in {name}"


def test_the_search_finds_what_it_looks_for(installation):
    """The environment itself holds every form that is taken from it."""
    _, environment = installation
    held = json.dumps(environment).replace("\\\\n", "\n")
    forms = forms_of(environment)
    assert len(forms) >= 15
    found = [name for name, form in forms.items() if form in held or form.replace("\\n", "\n") in held]
    assert len(found) >= len(forms) - 4  # the decoded secrets are not in there as such
