"""Promise 7: no secret leaves. Everything a program leaves behind is searched for the secrets that it was given."""

import asyncio
import base64
import contextlib
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from sealane import AsyncKraken, Kraken, SealaneError
from sealane.client.accounts import account_credentials
from sealane.telemetry import subscribe

OTP = "otp-that-nobody-may-see-4711"
FAULTS = [
    {"kind": "error", "error": "EAPI:Invalid key"},
    {"kind": "error", "error": "EAPI:Invalid nonce", "count": 9},
    {"kind": "http_after", "status": 502},
    {"kind": "html", "applied": True},
    {"kind": "drop_after"},
]
LIMIT_S = 60


@pytest.fixture
def secrets(keys, monkeypatch):
    """Every form in which a secret could show; the key's last four characters are not one."""
    monkeypatch.setenv("KRAKEN_API_OTP", OTP)
    keys.update_account("MASTER", otp=OTP)
    api_key, secret = os.environ["KRAKEN_API_KEY"], os.environ["KRAKEN_API_SECRET"]
    decoded = base64.b64decode(secret)
    return [api_key, secret, OTP, repr(decoded)[2:-1], decoded.hex(), api_key[:12], secret[:12]]


def assert_none_in(text, secrets):
    for number, secret in enumerate(secrets):
        assert secret not in text, f"secret form {number} shows"


def what_went_wrong(kraken):
    """The messages, representations and tracebacks of every kind of error."""
    for call in (
        lambda: kraken.private("Balance", nonce=1),
        lambda: kraken.private("AddOrder", volume=object()),
        lambda: kraken.private("AddOrder", pair="XBTUSD", type="buy", ordertype="market", volume="0.01"),
        lambda: kraken.private("Balance"),
    ):
        try:
            yield repr(call())
        except SealaneError as error:
            yield "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{fault['kind']}-{fault.get('error', '')}" for fault in FAULTS])
def test_not_in_logs_errors_events_representations_or_files(keys, secrets, caplog, fault):
    caplog.set_level(logging.DEBUG)
    heard = []
    unsubscribe = subscribe(lambda event: heard.append(repr(event)))
    with Kraken.from_env() as kraken:
        keys.add_fault(**fault)
        shown = [*what_went_wrong(kraken), repr(kraken), repr(kraken.statistics()), repr(kraken._session.lane)]
    unsubscribe()
    assert heard
    assert caplog.text
    files = [
        path.read_bytes().decode("latin-1") + str(path)
        for path in Path(os.environ["DATA_DIR"]).rglob("*")
        if path.is_file()
    ]
    assert files
    assert_none_in("\n".join([*shown, *heard, caplog.text, *files]), secrets)


def test_not_in_the_async_client(keys, secrets, caplog):
    caplog.set_level(logging.DEBUG)

    async def use():
        async with AsyncKraken.from_env() as kraken:
            await kraken.private("Balance")
            return repr(kraken) + repr(kraken.statistics())

    shown = asyncio.run(use(), debug=True)
    assert_none_in(shown + caplog.text, secrets)


def test_credentials_do_not_print_or_pickle(secrets, keys):
    who = account_credentials(os.environ)
    assert_none_in(repr(who) + str(who) + who.fingerprint, secrets)
    assert secrets[0].endswith(who.shown_key.lstrip("…"))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(who)


def test_not_in_what_the_command_line_prints(keys, secrets):
    for arguments in (["call", "Balance"], ["call", "Nonsense"], ["nonce", "show"], ["call", "Balance", "otp=1"]):
        done = subprocess.run(
            [sys.executable, "-m", "sealane.cli", *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert_none_in(done.stdout + done.stderr, secrets)


def process_list():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            yield path.read_text().replace("\0", " ")


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no process list under /proc here")
def test_not_in_the_process_list():
    """The demo gives its workers their key as a bot gets it, through the environment."""
    from sealane.cli.demo.arena import open_arena

    with open_arena(seed=1) as arena:
        for _ in arena.run("sealane", 1.0, killing=False):
            lines = subprocess.run(
                ["ps", "-eo", "args"], capture_output=True, text=True, timeout=LIMIT_S, check=True
            ).stdout
            assert "sealane.cli.demo.worker" in lines
            break
        secrets = [arena._environment["KRAKEN_API_KEY"], arena._environment["KRAKEN_API_SECRET"]]
    assert_none_in(lines, secrets)


def test_the_search_itself_finds_what_it_looks_for(secrets):
    with pytest.raises(AssertionError):
        assert_none_in(json.dumps({"key": secrets[0]}), secrets)
