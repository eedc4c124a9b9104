"""Coinbase's API key from the environment, checked; and its private half in the form that the SDK reads.

1. ``COINBASE_API_KEY`` is the key's name. Its private half is ``COINBASE_PEM_CONTENT`` where that is set, else
   ``COINBASE_API_SECRET``: a PEM, or the base64 of an Ed25519 key.
2. A PEM may have lost its line breaks on the way: escaped (``\\n``), as CRLF, as spaces, within quotes.
3. No error tells any part of the private half.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import wrap

from sealane.core.secret import Secret, masked
from sealane.errors import SettingsError
from sealane.transport.http import checked_url

COINBASE_URL = "https://api.coinbase.com"
PEM_LINE = 64

_PEM = re.compile(r"-----BEGIN (?P<kind>[A-Z0-9 ]*PRIVATE KEY)-----(?P<body>[A-Za-z0-9+/=\s]+)-----END (?P=kind)-----")
_QUOTES = "'\""


@dataclass(frozen=True)
class CoinbaseKey:
    """One API key of Coinbase.

    Attributes:
        name: the key's name, such as ``"organizations/…/apiKeys/…"``.
        secret: its private half, a PEM or base64.
        named: what an error calls the private half, such as a variable's name.
    """

    name: str = field(repr=False)
    secret: Secret
    named: str

    @property
    def shown(self) -> str:
        """The key as a person may see it, such as ``…Ab3x``."""
        return masked(self.name)


def key_from_env(environ: Mapping[str, str]) -> CoinbaseKey:
    """The key that the environment names; raises SettingsError that names the variable that is missing or wrong."""
    found = {name: _bare(environ.get(f"COINBASE_{name}", "")) for name in ("API_KEY", "API_SECRET", "PEM_CONTENT")}
    if not any(found.values()):
        raise SettingsError("there is no Coinbase key: set COINBASE_API_KEY and COINBASE_API_SECRET")
    if not found["API_KEY"]:
        other = "COINBASE_PEM_CONTENT" if found["PEM_CONTENT"] else "COINBASE_API_SECRET"
        raise SettingsError(f"COINBASE_API_KEY is not set, though {other} is: set both or neither")
    if found["PEM_CONTENT"]:
        return coinbase_key(found["API_KEY"], found["PEM_CONTENT"], named="COINBASE_PEM_CONTENT", pem=True)
    if not found["API_SECRET"]:
        raise SettingsError(
            "COINBASE_API_SECRET is not set, though COINBASE_API_KEY is: set it, or COINBASE_PEM_CONTENT, or neither"
        )
    return coinbase_key(found["API_KEY"], found["API_SECRET"], named="COINBASE_API_SECRET")


def coinbase_key(name: str, secret: str, *, named: str = "api_secret", pem: bool = False) -> CoinbaseKey:
    """Check and wrap one key; ``pem`` allows a PEM alone."""
    name, text = _bare(name), _bare(secret)
    if not name or not name.isascii() or not name.isprintable() or " " in name:
        raise SettingsError(
            "COINBASE_API_KEY has characters that no Coinbase key has: copy the key's name again, whole"
        )
    if pem or "-----" in text:
        return CoinbaseKey(name, Secret(whole_pem(text, named).encode()), named)
    return CoinbaseKey(name, Secret("".join(text.split()).encode()), named)


def key_and_host(client: object) -> tuple[CoinbaseKey, str]:
    """The key and the host of the SDK's client; raises SettingsError for one that has none."""
    name, secret, host = (getattr(client, part, None) for part in ("api_key", "api_secret", "base_url"))
    if not (isinstance(name, str) and isinstance(secret, str) and isinstance(host, str) and name and secret and host):
        raise SettingsError("client is no RESTClient with an API key: make it with api_key and api_secret, or key_file")
    return coinbase_key(name, secret, named="the client's api_secret"), host


def whole_pem(text: str, named: str) -> str:
    """A PEM with its line breaks where they belong, whatever became of them on the way here."""
    lines = text.replace("\\r", "\n").replace("\\n", "\n")
    match = _PEM.search(lines)
    if match is None:
        raise SettingsError(
            f"{named} is no whole PEM: give all of it, from -----BEGIN to the dashes behind END; line breaks may be \\n"
        )
    kind, body = match["kind"], wrap("".join(match["body"].split()), PEM_LINE)
    return "\n".join([f"-----BEGIN {kind}-----", *body, f"-----END {kind}-----", ""])


def url_from_env(environ: Mapping[str, str]) -> str:
    """Coinbase's base URL, or the one of ``COINBASE_API_URL``; plain http to loopback alone."""
    return checked_url(environ.get("COINBASE_API_URL", "").strip() or COINBASE_URL, "COINBASE_API_URL")


def _bare(text: str) -> str:
    """Without the spaces and quotes that a file or a web form left around it."""
    if not isinstance(text, str):
        raise SettingsError("a Coinbase key is a text: give its name and its private half as str")
    return text.strip().strip(_QUOTES).strip()
