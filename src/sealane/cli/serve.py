"""``sealane serve``: health, metrics and a page about the accounts of this environment.

Without any key it starts on the built-in simulator, with a data folder of its own, and says so on every line.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from sealane.cli.output import JsonFlag, console, print_json, told_errors
from sealane.client.accounts import MASTER, account_names
from sealane.errors import NotDurable, SettingsError

if TYPE_CHECKING:
    from sealane.broker import KrakenBroker

SIMULATOR = "SIMULATOR"
SIMULATED_ACCOUNTS = 2
SIMULATED_FOLDER = "simulator"
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

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
    as_json: JsonFlag = False,
) -> None:
    """Serve health, metrics and a page until Ctrl-C; without keys, on the built-in simulator."""
    with told_errors(as_json):
        gateway_settings, gateway_server, gateway_fleet = _gateway()
        settings = gateway_settings.ServeSettings.from_env(
            os.environ, host=host, port=port, allow_network=allow_network
        )
        simulated = not account_names(os.environ)
        with logged(f"{SIMULATOR} " if simulated else ""), _exchange(simulated):
            _announce_nonces()
            fleet = gateway_fleet.Fleet(os.environ, _broker)
            names = [one.member.account for one in fleet.served]
            gateway_server.serve(
                fleet, settings, simulated=simulated, ready=lambda url: _tell(url, names, simulated, as_json)
            )


def _gateway() -> tuple[ModuleType, ModuleType, ModuleType]:
    """The service's modules; they want libraries of their own."""
    try:
        from sealane.gateway import fleet, server, settings
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("sealane"):
            raise
        raise SettingsError(f"the service needs {missing.name}: pip install 'sealane[cli,gateway]'") from None
    return settings, server, fleet


def _broker(account: str) -> KrakenBroker:
    from sealane.broker import AccountType, KrakenBroker

    return KrakenBroker() if account == MASTER else KrakenBroker(AccountType.USER, account)


def _announce_nonces() -> None:
    """Make the process's nonce manager, whose first lines tell what was loaded."""
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
        told = f"{SIMULATOR} (no key is set: no money, no Kraken) " if simulated else ""
        console.print(f"{told}serving {', '.join(accounts)} on {url} . Stop it with Ctrl-C", soft_wrap=True)


class _Marked(logging.Formatter):
    """Every line of a record begins with the mark, those of a traceback too."""

    def __init__(self, mark: str) -> None:
        super().__init__(LOG_FORMAT)
        self._mark = mark

    def format(self, record: logging.LogRecord) -> str:
        """The record's lines."""
        return "\n".join(self._mark + line for line in super().format(record).splitlines())


@contextmanager
def logged(mark: str) -> Iterator[None]:
    """Log to stderr while the block runs, with ``mark`` before every line."""
    handler, root = logging.StreamHandler(), logging.getLogger()
    handler.setFormatter(_Marked(mark))
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


# --- without a key ----------------------------------------------------------------------------------------------------


@contextmanager
def _exchange(simulated: bool) -> Iterator[None]:
    """Where the accounts live: Kraken, or a simulator of this process's own, which is put into the environment."""
    if not simulated:
        yield
        return
    from sealane.simulator import Simulator

    with _simulated_folder() as folder, Simulator(accounts=SIMULATED_ACCOUNTS) as simulator:
        _forget_real_settings()
        os.environ |= {"KRAKEN_SPOT_URL": simulator.url, "DATA_DIR": str(folder)}
        for account in simulator.accounts:
            name = "" if account.name == MASTER else f"USER_{account.name}_"
            os.environ[f"KRAKEN_{name}API_KEY"] = account.api_key
            os.environ[f"KRAKEN_{name}API_SECRET"] = account.api_secret
        logger.warning(
            "no key is set, so this is the built-in simulator on %s; its data is in %s", simulator.url, folder
        )
        yield


@contextmanager
def _simulated_folder() -> Iterator[Path]:
    """A folder apart from any real data: inside DATA_DIR where that is set, else one that is removed at the end."""
    data_dir = os.environ.get("DATA_DIR", "").strip()
    if data_dir:
        yield Path(data_dir) / SIMULATED_FOLDER
        return
    with tempfile.TemporaryDirectory(prefix="sealane-simulator-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _forget_real_settings() -> None:
    """What is meant for Kraken and real data does not count for the simulator."""
    for name in ("SEALANE_STORE", "KRAKEN_LAST_NONCE", "KRAKEN_API_OTP"):
        if os.environ.pop(name, "").strip():
            logger.warning("%s is passed over on the simulator", name)
    if os.environ.get("KRAKEN_SPOT_URL", "").strip():
        logger.warning("KRAKEN_SPOT_URL is passed over: without a key nothing but public calls could go there")
