"""Where a Redis server is and how it is used, from its URL; its password is shown nowhere.

``redis://[user:password@]host[:port][/db]?option=…``, ``rediss://`` for TLS. The options:

    replicas=N     a step counts once N replicas have it (default 0)
    lease_ms=N     how long a lease lasts; the same for all hosts of a lane (default ``LEASE_MS``)
    prefix=NAME    what the names of all keys begin with (default ``sealane``)
    cluster=1      the server is a node of a Redis Cluster
    ssl_ca_certs=FILE, ssl_certfile=FILE, ssl_keyfile=FILE, ssl_check_hostname=0
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from sealane.errors import SettingsError
from sealane.store.engine import LEASE_MS

LEASE_MS_MIN, LEASE_MS_MAX = 250, 60_000
REPLICAS_MAX = 16
PORT = 6379
PREFIX = "sealane"
INTENTS_TAG = "sealane-intents"
_PREFIX_FORM = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OPTIONS = ("replicas", "lease_ms", "prefix", "cluster", *_TLS_FILES, "ssl_check_hostname")


@dataclass(frozen=True)
class Address:
    """A server and what its URL asks of it. ``str()`` is the address as it may be shown."""

    host: str
    port: int
    db: int
    username: str
    password: str = field(repr=False)
    tls: tuple[tuple[str, str | bool], ...] | None = None
    replicas: int = 0
    lease_ms: int = LEASE_MS
    prefix: str = PREFIX
    cluster: bool = False

    def __str__(self) -> str:
        scheme = "redis" if self.tls is None else "rediss"
        host = f"[{self.host}]" if ":" in self.host else self.host
        prefix = "" if self.prefix == PREFIX else f"?prefix={self.prefix}"
        return f"{scheme}://{host}:{self.port}/{self.db}{prefix}"

    def masked(self, text: str) -> str:
        """A text of the server's or the driver's without the password, however it is written there."""
        for secret in {self.password, quote(self.password, safe="")} - {""}:
            text = text.replace(secret, "***")
        return text

    def lane_keys(self, lane: str) -> tuple[str, str, str, str]:
        """Record, waiters, documents and the start of the wake lists' names: all of one slot."""
        stem = f"{self.prefix}:{{{quote(lane, safe='')}}}:"
        return stem + "lease", stem + "waiters", stem + "documents", stem + "wake:"

    def lane_form(self) -> str:
        """The form of all lanes' first key, for a scan."""
        return f"{self.prefix}:{{*}}:lease"

    def lane_of(self, key: str) -> str:
        """The lane whose first key this is, "" for none."""
        found = re.fullmatch(re.escape(self.prefix) + r":\{([^{}]*)\}:lease", key)
        return unquote(found[1]) if found else ""

    def intent_keys(self) -> tuple[str, ...]:
        """Documents, the two orders, who is found by which other name and back, and the counter: all of one slot."""
        stem = f"{self.prefix}:{{{INTENTS_TAG}}}:"
        return tuple(stem + name for name in ("documents", "unsettled", "settled", "others", "others_of", "count"))

    def owners_key(self) -> str:
        """The processes that live, by when they are no longer taken to."""
        return f"{self.prefix}:{{{INTENTS_TAG}}}:owners"

    def channel(self, host: str) -> str:
        """Where a host is told that a lane of its is wanted."""
        return f"{self.prefix}:wanted:{host}"


def address_in(url: str) -> Address:
    """Read a URL; raises SettingsError, which names the part that is wrong and never shows the URL."""
    split, port = _split(url)
    if split is None or split.scheme not in ("redis", "rediss") or not split.hostname:
        raise SettingsError(
            "SEALANE_STORE is no Redis URL: write redis://[user:password@]host[:port][/db], rediss for TLS"
        )
    options = _options(split.query)
    cluster = _flag(options, "cluster")
    return Address(
        host=split.hostname,
        port=port or PORT,
        db=_db(split.path, cluster),
        username=unquote(split.username or ""),
        password=unquote(split.password or ""),
        tls=_tls(split.scheme, options),
        replicas=_number(options, "replicas", 0, 0, REPLICAS_MAX),
        lease_ms=_number(options, "lease_ms", LEASE_MS, LEASE_MS_MIN, LEASE_MS_MAX),
        prefix=_prefix(options),
        cluster=cluster,
    )


def _split(url: str) -> tuple[SplitResult | None, int | None]:
    try:
        split = urlsplit(url)
        return split, split.port
    except ValueError:
        return None, None  # what it says of the URL may hold a piece of the password


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        # What is no plain word may be a piece of a password with a question mark in it.
        shown = f"the unknown option {unknown[0]}" if re.fullmatch(r"[a-z_]{1,32}", unknown[0]) else "an unknown option"
        raise SettingsError(
            f"SEALANE_STORE has {shown}: there are {', '.join(_OPTIONS)}. In a password write ? as %3F and @ as %40"
        )
    return options


def _number(options: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    text = options.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise SettingsError(f"SEALANE_STORE has a wrong {name}: write a whole number from {least} to {most}")
    return int(text)


def _flag(options: dict[str, str], name: str, default: str = "0") -> bool:
    text = options.get(name, default)
    if text not in ("0", "1"):
        raise SettingsError(f"SEALANE_STORE has {name}={text}: write 0 or 1")
    return text == "1"


def _prefix(options: dict[str, str]) -> str:
    prefix = options.get("prefix", PREFIX)
    if not _PREFIX_FORM.fullmatch(prefix):
        raise SettingsError(f"SEALANE_STORE has prefix={prefix}: write 1 to 64 letters, digits, '_', '.', ':' or '-'")
    return prefix


def _db(path: str, cluster: bool) -> int:
    text = path.strip("/") or "0"
    if not re.fullmatch(r"[0-9]{1,4}", text):
        raise SettingsError("SEALANE_STORE names no database number after the host: write redis://host:port/0")
    if cluster and int(text):
        raise SettingsError("SEALANE_STORE has a database number with cluster=1: a Redis Cluster has 0 only")
    return int(text)


def _tls(scheme: str, options: dict[str, str]) -> tuple[tuple[str, str | bool], ...] | None:
    given = sorted(name for name in options if name.startswith("ssl_"))
    if scheme == "redis":
        if given:
            raise SettingsError(f"SEALANE_STORE has {given[0]} without TLS: write rediss://")
        return None
    files = tuple((name, options[name]) for name in _TLS_FILES if name in options)
    return (*files, ("ssl_check_hostname", _flag(options, "ssl_check_hostname", "1")))
