"""Where a PostgreSQL server is, read from a URL; what may be shown of it.

1. Whatever is shown is put together from parts that hold no secret; the URL itself is never shown, cut or not.
2. Our own options (``schema``, ``lease_ms``) are taken out of the query; all else is libpq's, TLS included.
3. Texts of the server and of libpq pass ``cleaned`` before anybody sees them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from psycopg import Error, pq
from psycopg.conninfo import conninfo_to_dict

from sealane.core.secret import Secret
from sealane.errors import SettingsError
from sealane.store.engine import LEASE_MS

SCHEMA = "sealane"
_SCHEMA_FORM = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,39}")
LEASE_MS_RANGE = range(100, 60_001)
_SECRETS = ("password", "sslpassword", "oauth_client_secret")
# A dead peer is noticed within seconds, a silent one kept known to the routers on the way; the URL may say otherwise.
_DEFAULTS = {
    "application_name": "sealane",
    "client_encoding": "utf8",
    "connect_timeout": "5",
    "gssencmode": "disable",
    "keepalives_idle": "15",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "target_session_attrs": "read-write",
    "tcp_user_timeout": "5000",
}


@dataclass(frozen=True)
class Address:
    """A server, a database and a schema in it.

    Attributes:
        shown: for people: the user, where it is, and the schema.
        identity: the same without the user: equal for the same lanes.
        schema, lease_ms: our own options.
        parameters: libpq's, secrets among them; as one text of ``key=value`` pairs, see ``psycopg.conninfo``.
    """

    shown: str
    identity: str
    schema: str
    lease_ms: int
    parameters: Secret = field(repr=False)
    secrets: tuple[Secret, ...] = field(repr=False)

    def cleaned(self, text: str) -> str:
        """A text on one line, without any secret of the URL."""
        for secret in self.secrets:
            word = secret.reveal().decode()
            for form in (word, quote(word, safe=""), quote(word)):
                text = text.replace(form, "***")
        return " ".join(text.split())


def address_of(url: str) -> Address:
    """Read a URL; raises SettingsError, which does not quote it."""
    plain, own = _without_own(url)
    parts, problem = _parsed(plain)
    if problem:
        raise SettingsError(
            f"SEALANE_STORE is no PostgreSQL URL: {problem}; write postgresql://user:password@host/database"
        )
    schema, lease_ms = _schema(own.pop("schema", SCHEMA)), _lease_ms(own.pop("lease_ms", str(LEASE_MS)))
    given = _environment() | parts
    told = {given.get(name) for name in ("user", "dbname", "host")}  # a password that is one of these is none
    secrets = tuple(Secret(word.encode()) for word in map(given.get, _SECRETS) if word and word not in told)
    where = f"{_hosts(given)}/{given.get('dbname') or given.get('user', '')}?schema={schema}"
    return Address(
        shown=f"postgresql://{given.get('user', '')}@{where}",
        identity=f"postgresql://{where}",
        schema=schema,
        lease_ms=lease_ms,
        parameters=Secret(_pairs({name: value for name, value in _DEFAULTS.items() if name not in given} | parts)),
        secrets=secrets,
    )


def _without_own(url: str) -> tuple[str, dict[str, str]]:
    """The URL without our options, and these. Cut where libpq cuts: a password may hold a question mark."""
    scheme, mark, rest = url.partition("://")
    start = rest.split("/", 1)[0].find("@") + 1
    head, question, query = rest[start:].partition("?")
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    own = {name: unquote(value) for name, _, value in pairs if name in ("schema", "lease_ms")}
    others = "&".join("".join(pair) for pair in pairs if pair[0] not in own)
    plain = f"{scheme}{mark}{rest[:start]}{head}" + (question + others if others else "")
    return plain, own


def _parsed(plain: str) -> tuple[dict[str, str], str]:
    """libpq's parameters, or what is wrong, in words that quote no more than an option's name."""
    if not plain.startswith(("postgresql://", "postgres://")):
        return {}, "it does not start with postgresql://"
    try:
        return {name: str(value) for name, value in conninfo_to_dict(plain).items()}, ""
    except (Error, UnicodeError) as error:
        unknown = re.search(r'invalid URI query parameter: "(\w+)"', str(error))
        return (
            {},
            f"there is no option {unknown[1]!r}" if unknown else "it cannot be read (are all signs in it %-encoded?)",
        )


def _environment() -> dict[str, str]:
    """What libpq takes from PGHOST and the like where the URL is silent."""
    known = ((option.keyword.decode(), option.val) for option in pq.Conninfo.get_defaults() if option.envvar)
    return {name: value.decode() for name, value in known if value is not None and name not in _DEFAULTS}


def _hosts(given: dict[str, str]) -> str:
    hosts = (given.get("host") or given.get("hostaddr") or "localhost").split(",")
    ports = (given.get("port") or "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    named = (f"[{host}]" if ":" in host else quote(host, safe="") for host in hosts)
    return ",".join(f"{host}:{port or 5432}" for host, port in zip(named, ports, strict=False))


def _pairs(parameters: dict[str, str]) -> bytes:
    escaped = {name: re.sub(r"([\\'])", r"\\\1", value) for name, value in parameters.items()}
    return " ".join(f"{name}='{value}'" for name, value in escaped.items()).encode()


def _schema(name: str) -> str:
    if not _SCHEMA_FORM.fullmatch(name):
        raise SettingsError(f"schema={name!r} in SEALANE_STORE: up to 40 of a-z, 0-9 and _, not starting with pg_")
    return name


def _lease_ms(text: str) -> int:
    if not (text.isdecimal() and len(text) < 9 and int(text) in LEASE_MS_RANGE):
        bounds = f"{LEASE_MS_RANGE[0]} to {LEASE_MS_RANGE[-1]}"
        raise SettingsError(f"lease_ms={text!r} in SEALANE_STORE: milliseconds, {bounds}")
    return int(text)
