"""Coinbase's key from the environment: every form that a PEM arrives in, and what is said where it is none."""

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sealane.broker.coinbase_key import COINBASE_URL, coinbase_key, key_from_env, url_from_env
from sealane.errors import SettingsError

NAME = "organizations/0a1b/apiKeys/9e8f7a6b-abcd"
KEY = ec.generate_private_key(ec.SECP256R1())


def pem_of(key, form=serialization.PrivateFormat.TraditionalOpenSSL):
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


PEM = pem_of(KEY)
SECRET = base64.b64encode(ed25519.Ed25519PrivateKey.generate().private_bytes_raw()).decode()
FORMS = {
    "as it is": PEM,
    "escaped": PEM.replace("\n", "\\n"),
    "escaped without the last": PEM.strip().replace("\n", "\\n"),
    "escaped CRLF": PEM.replace("\n", "\\r\\n"),
    "CRLF": PEM.replace("\n", "\r\n"),
    "spaces": PEM.replace("\n", " "),
    "in double quotes": f'"{PEM}"',
    "in quotes, escaped": "'" + PEM.replace("\n", "\\n") + "'",
    "indented": PEM.replace("\n", "\n    "),
    "with curve parameters": "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + PEM,
}


def env(**parts):
    return {f"COINBASE_{name}": value for name, value in parts.items()}


@pytest.mark.parametrize("variable", ["PEM_CONTENT", "API_SECRET"])
@pytest.mark.parametrize("form", FORMS)
def test_a_pem_is_whole_again_whatever_became_of_its_line_breaks(form, variable):
    found = key_from_env(env(API_KEY=f' "{NAME}" ', **{variable: FORMS[form]}))
    assert found.name == NAME
    assert found.secret.reveal().decode() == PEM
    assert found.named == f"COINBASE_{variable}"


def test_pkcs8_keeps_its_own_label():
    pem = pem_of(KEY, serialization.PrivateFormat.PKCS8)
    assert key_from_env(env(API_KEY=NAME, PEM_CONTENT=pem.replace("\n", "\\n"))).secret.reveal().decode() == pem


def test_the_pem_wins_over_the_secret():
    found = key_from_env(env(API_KEY=NAME, API_SECRET=SECRET, PEM_CONTENT=PEM))
    assert found.secret.reveal().decode() == PEM


def test_base64_of_an_ed25519_key_is_taken_with_a_line_break_in_it():
    found = key_from_env(env(API_KEY=NAME, API_SECRET=f"{SECRET[:20]}\n{SECRET[20:]}\n"))
    assert found.secret.reveal().decode() == SECRET


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (env(), "set COINBASE_API_KEY and COINBASE_API_SECRET"),
        (env(API_KEY="  ", API_SECRET="", PEM_CONTENT=""), "there is no Coinbase key"),
        (env(API_KEY=NAME), "COINBASE_API_SECRET is not set"),
        (env(API_SECRET=SECRET), "COINBASE_API_KEY is not set, though COINBASE_API_SECRET"),
        (env(PEM_CONTENT=PEM), "COINBASE_API_KEY is not set, though COINBASE_PEM_CONTENT"),
        (env(API_KEY=NAME, PEM_CONTENT=PEM[: len(PEM) // 2]), "COINBASE_PEM_CONTENT is no whole PEM"),
        (env(API_KEY=NAME, PEM_CONTENT=SECRET), "COINBASE_PEM_CONTENT is no whole PEM"),
        (env(API_KEY=NAME, API_SECRET=PEM[40:]), "COINBASE_API_SECRET is no whole PEM"),
        (env(API_KEY="two words", API_SECRET=SECRET), "COINBASE_API_KEY has characters"),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_not_shown(variables, words):
    with pytest.raises(SettingsError, match=words) as caught:
        key_from_env(variables)
    told = str(caught.value)
    assert SECRET[:12] not in told
    assert PEM.splitlines()[1][:12] not in told


def test_a_key_shows_its_last_four_characters_alone():
    shown = repr(coinbase_key(NAME, PEM)) + coinbase_key(NAME, PEM).shown
    assert NAME[:-4] not in shown
    assert shown.endswith("…abcd")
    assert PEM.splitlines()[1] not in shown


def test_the_address():
    assert url_from_env({}) == COINBASE_URL
    assert url_from_env({"COINBASE_API_URL": " http://127.0.0.1:8123/ "}) == "http://127.0.0.1:8123"
    for url in ("http://api.coinbase.com", "ftp://127.0.0.1", "https://api.coinbase.com/api/v3"):
        with pytest.raises(SettingsError, match="COINBASE_API_URL"):
            url_from_env({"COINBASE_API_URL": url})
