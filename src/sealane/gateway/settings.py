"""Where the service listens, from options and the environment, checked once and frozen.

Loopback by default. Off loopback only with an explicit word (``--allow-network`` or ``SEALANE_ALLOW_NETWORK=1``): the
pages hold no secret, but they say who is there and how they fare, to whoever can reach the port. What the accounts hold
is on the dashboard and in ``/statistics`` on loopback alone, unless ``SEALANE_SHOW_AMOUNTS`` says otherwise; probes and
metrics hold no amount anywhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from sealane.errors import SettingsError
from sealane.gateway.watch_settings import WATCH_MAX_S, WATCH_MIN_S, WATCH_S

HOST, PORT = "127.0.0.1", 8710
PORT_MAX = 65_535
_SWITCHES = {"1": True, "on": True, "0": False, "off": False}


@dataclass(frozen=True)
class ServeSettings:
    """What ``sealane serve`` was told.

    Attributes:
        host, port: where to listen; port 0 takes a free one (``--host`` or ``SEALANE_HOST``; ``--port`` or ``PORT``).
        allow_network: off loopback as well (``SEALANE_ALLOW_NETWORK``).
        allowed_hosts: names under which it may be asked, beside addresses (``SEALANE_ALLOWED_HOSTS``, by commas).
        tls_cert, tls_key: files of a certificate chain and its key (``SEALANE_TLS_CERT``, ``SEALANE_TLS_KEY``).
        unix_socket: a path to listen on instead of a port (``SEALANE_UNIX_SOCKET``).
        watch_s: how often each account's balance is asked for (``SEALANE_WATCH_S``).
        amounts: whether the dashboard shows what accounts hold (``SEALANE_SHOW_AMOUNTS``); None: on loopback only.
    """

    host: str = HOST
    port: int = PORT
    allow_network: bool = False
    allowed_hosts: tuple[str, ...] = ()
    watch_s: float = WATCH_S
    tls_cert: str = ""
    tls_key: str = ""
    unix_socket: str = ""
    amounts: bool | None = None

    @property
    def show_amounts(self) -> bool:
        """Whether amounts are shown. By default not where others may be asking: off loopback, or under a name, which
        is how what comes through a proxy is let in."""
        if self.amounts is not None:
            return self.amounts
        return bool(self.unix_socket) or (is_loopback(self.host) and not self.allowed_hosts)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= PORT_MAX:
            raise SettingsError(f"the port is {self.port}: give 0 … {PORT_MAX} in --port or PORT, 0 for any free one")
        if not WATCH_MIN_S <= self.watch_s <= WATCH_MAX_S:
            raise SettingsError(f"SEALANE_WATCH_S is {self.watch_s:g}: give {WATCH_MIN_S:g} … {WATCH_MAX_S:g} seconds")
        if bool(self.tls_cert) != bool(self.tls_key):
            missing = "SEALANE_TLS_KEY or --tls-key" if self.tls_cert else "SEALANE_TLS_CERT or --tls-cert"
            raise SettingsError(f"https needs a certificate and its key: {missing} is missing")
        is_open = not (self.allow_network or self.tls_cert or self.unix_socket or is_loopback(self.host))
        if is_open:
            raise SettingsError(
                f"{self.host} can be reached from other machines, and without TLS everybody on the way can read along. "
                "Give --tls-cert and --tls-key, or say --allow-network (SEALANE_ALLOW_NETWORK=1) where something in "
                "front of it sees to that, or listen on 127.0.0.1"
            )

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str],
        *,
        host: str | None = None,
        port: int | None = None,
        allow_network: bool = False,
        tls_cert: str | None = None,
        tls_key: str | None = None,
        unix_socket: str | None = None,
    ) -> ServeSettings:
        """Options where they are given, else the environment; raises SettingsError with the remedy."""
        found = {name: value.strip() for name, value in environ.items() if value.strip()}
        names = found.get("SEALANE_ALLOWED_HOSTS", "").lower().split(",")
        return cls(
            host=host or found.get("SEALANE_HOST", HOST),
            port=_port(found.get("PORT", str(PORT))) if port is None else port,
            allow_network=allow_network or _switch("SEALANE_ALLOW_NETWORK", found.get("SEALANE_ALLOW_NETWORK", "0")),
            allowed_hosts=tuple(name.strip() for name in names if name.strip()),
            tls_cert=tls_cert or found.get("SEALANE_TLS_CERT", ""),
            tls_key=tls_key or found.get("SEALANE_TLS_KEY", ""),
            unix_socket=unix_socket or found.get("SEALANE_UNIX_SOCKET", ""),
            watch_s=_seconds(found.get("SEALANE_WATCH_S", f"{WATCH_S:g}")),
            amounts=_amounts(found.get("SEALANE_SHOW_AMOUNTS")),
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_address(host: str) -> bool:
    """Whether it is an address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise SettingsError(f"PORT is {text!r}: give a whole number, 0 … {PORT_MAX}")
    return int(text)


def _switch(name: str, text: str) -> bool:
    if text.lower() not in _SWITCHES:
        raise SettingsError(f"{name} is {text!r}: give 1 or 0")
    return _SWITCHES[text.lower()]


def _amounts(text: str | None) -> bool | None:
    return None if text is None else _switch("SEALANE_SHOW_AMOUNTS", text)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"SEALANE_WATCH_S is {text!r}: give a number of seconds") from None
