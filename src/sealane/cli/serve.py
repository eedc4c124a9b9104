"""``sealane serve``: health, metrics and a page about the accounts of this environment.

Without any key it starts on the built-in simulator, with a data folder of its own, and says so on every line.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from sealane.cli.output import JsonFlag, console, print_json, told_errors
from sealane.client.accounts import MASTER, account_names
from sealane.client.folders import simulated_folder
from sealane.errors import NotDurable, SettingsError
from sealane.telemetry.lines import JsonLines

if TYPE_CHECKING:
    from sealane.broker import KrakenBroker

SIMULATOR = "SIMULATOR"
NO_KEY = "no key is set, so this is the built-in exchange"
COINBASE_ONLY = "the environment holds keys of Coinbase and none of Kraken, so this is the built-in exchange"
SIMULATED_ACCOUNTS = 2
NAMED_MAX = 5
OTHER_LOGGERS = ("uvicorn", "asyncio")

logger = logging.getLogger("sealane.serve")


def serve(
    *,
    host: Annotated[
        str | None, typer.Option("--host", help="Where to listen; else SEALANE_HOST, else 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", min=0, max=65535, help="0: a free one; else PORT, else 8710.")
    ] = None,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Off loopback: others may read who is there, and how they fare.")
    ] = False,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", help="A certificate chain, for https; else SEALANE_TLS_CERT.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="Its key; else SEALANE_TLS_KEY.")] = None,
    unix_socket: Annotated[
        Path | None, typer.Option("--unix-socket", help="Listen there instead; else SEALANE_UNIX_SOCKET.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Serve health, metrics and a page until Ctrl-C; without keys, on the built-in simulator."""
    with told_errors(as_json):
        gateway_settings, gateway_server, gateway_fleet, gateway_keys = _gateway()
        settings = gateway_settings.ServeSettings.from_env(
            os.environ,
            host=host,
            port=port,
            allow_network=allow_network,
            tls_cert=str(tls_cert or ""),
            tls_key=str(tls_key or ""),
            unix_socket=str(unix_socket or ""),
        )
        folder = gateway_keys.gateway_folder(os.environ)  # before the simulator's accounts are put into the environment
        simulation = _simulation(os.environ)
        simulated = bool(simulation)
        with _logged(simulated), _exchange(simulation):
            fleet = gateway_fleet.Fleet(os.environ, _broker)
            names = [one.member.account for one in fleet.served]
            gateway_server.serve(
                fleet,
                settings,
                folder=folder,
                simulation=simulation,
                before_asking=_announce_nonces,
                ready=lambda url: _tell(url, names, simulated, as_json),
            )


def _simulation(environ: Mapping[str, str]) -> str:
    """Why the accounts are to be simulated; "" where there are keys."""
    if account_names(environ):
        return ""
    coinbase = any(name.startswith("COINBASE_") and value.strip() for name, value in environ.items())
    return (COINBASE_ONLY if coinbase else NO_KEY) + ". Set KRAKEN_API_KEY and KRAKEN_API_SECRET to serve Kraken"


def _gateway() -> tuple[ModuleType, ModuleType, ModuleType, ModuleType]:
    """The service's modules; they want libraries of their own."""
    try:
        from sealane.gateway import fleet, keys, server, settings
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("sealane"):
            raise
        raise SettingsError(f"the service needs {missing.name}: pip install 'sealane[cli,gateway]'") from None
    return settings, server, fleet, keys


def _broker(account: str) -> KrakenBroker:
    from sealane.broker import AccountType, KrakenBroker

    kind, name = (AccountType.MASTER, None) if account == MASTER else (AccountType.USER, account)
    return KrakenBroker(kind, name, balance_cache_s=0)  # the watcher's rhythm is all the cache there is to be


def _announce_nonces() -> None:
    """Make the process's nonce manager, whose first lines tell what was loaded. It may wait for a disk or a lock."""
    from sealane.client.settings import Settings
    from sealane.global_nonce import get_global_nonce_manager

    if Settings.from_env(os.environ).lanes == "global":
        with suppress(NotDurable):  # it is in the log already, and the page says fail until the store is back
            get_global_nonce_manager()


def _tell(url: str, accounts: list[str], simulated: bool, as_json: bool) -> None:
    """Where it is to be found: one line of JSON, or one for a person."""
    if as_json:
        print_json({"url": url, "simulated": simulated, "accounts": accounts})
    else:
        mark = f"{SIMULATOR} (no key of Kraken is set: no money, no Kraken) " if simulated else ""
        named = ", ".join(accounts) if len(accounts) <= NAMED_MAX else f"{len(accounts)} accounts"
        console.print(f"{mark}{url} serves {named}; stop it with Ctrl-C", soft_wrap=True, markup=False)


class _Marked(logging.Formatter):
    """Another formatter's lines, each with the mark: in front of it, or of the message where a line is JSON."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """The record's lines."""
        if not isinstance(self._inner, JsonLines):
            return "\n".join(f"{SIMULATOR} {line}" for line in self._inner.format(record).splitlines())
        marked = copy.copy(record)
        marked.msg, marked.args = f"{SIMULATOR} {record.getMessage()}", None
        return self._inner.format(marked)


@contextmanager
def _logged(simulated: bool) -> Iterator[None]:
    """The server's own log goes where Sealane's does, and all of it is marked where the exchange is simulated."""
    handlers = logging.getLogger("sealane").handlers or [logging.NullHandler()]
    formatters = [(handler, handler.formatter) for handler in handlers]
    for handler, formatter in formatters:
        if simulated and formatter is not None:
            handler.setFormatter(_Marked(formatter))
    others = [logging.getLogger(name) for name in OTHER_LOGGERS]
    for other in others:
        other.handlers, other.propagate = list(handlers), False
    try:
        yield
    finally:
        for other in others:
            other.handlers, other.propagate = [], True
        for handler, formatter in formatters:
            handler.setFormatter(formatter)


# --- without a key ----------------------------------------------------------------------------------------------------


@contextmanager
def _exchange(simulation: str) -> Iterator[None]:
    """Where the accounts live: Kraken, or a simulator of this process's own, which is put into the environment."""
    if not simulation:
        yield
        return
    from sealane.simulator import Simulator

    folder = simulated_folder(os.environ)
    with Simulator(accounts=SIMULATED_ACCOUNTS) as simulator:
        _forget_real_settings()
        os.environ |= {"KRAKEN_SPOT_URL": simulator.url, "DATA_DIR": str(folder)}
        for account in simulator.accounts:
            name = "" if account.name == MASTER else f"USER_{account.name}_"
            os.environ[f"KRAKEN_{name}API_KEY"] = account.api_key
            os.environ[f"KRAKEN_{name}API_SECRET"] = account.api_secret
        logger.warning("%s; the simulator is on %s, its data in %s", simulation, simulator.url, folder)
        yield


def _forget_real_settings() -> None:
    """What is meant for Kraken and real data does not count for the simulator."""
    for name in ("SEALANE_STORE", "KRAKEN_LAST_NONCE", "KRAKEN_API_OTP"):
        if os.environ.pop(name, "").strip():
            logger.warning("%s is passed over on the simulator", name)
    if os.environ.get("KRAKEN_SPOT_URL", "").strip():
        logger.warning("KRAKEN_SPOT_URL is passed over: without a key nothing but public calls could go there")
