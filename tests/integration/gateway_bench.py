"""Gateways to test with, in front of a simulator: ``sealane serve`` as a process, or its application on a thread.

``served`` is the process, with one account of the simulator for each client. ``OnThread`` can be stopped and started
again on the same folder and port, and goes by a clock that a test moves. Both give virtual keys by ``bench.key(…)``.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sealane.gateway.api.gateway import Gateway
from sealane.gateway.app import make_app
from sealane.gateway.keys import gateway_folder
from sealane.gateway.keys.key_file import KeyFile
from sealane.gateway.keys.policy import Policy
from sealane.gateway.server import STOP_LIMIT_S, answer, listen
from sealane.gateway.traffic import Traffic
from sealane.runtime.clock import SYSTEM_CLOCK
from sealane.simulator import Probe, Simulator
from sealane.simulator.accounts import SimAccount

LIMIT_S = 20
PAUSE_S = 0.01
NS_PER_S = 1_000_000_000
LANE = "kraken_global_nonce"
DENIED = {"error": ["EGeneral:Permission denied"]}
LIMIT = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "25000"}
Make = Callable[..., "Key"]
OWN_CALLS = ("Balance", "GetApiKeyInfo")


class Bot(Probe):
    """A probe that keeps the headers of its last answer."""

    def __init__(self, url: str, key: SimAccount, *, first_nonce: int = 1) -> None:
        super().__init__(url, key, timeout_s=LIMIT_S, first_nonce=first_nonce)
        self.told: Mapping[str, str] = {}

    def send(self, verb: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        self._connection.request(verb, path, body or None, headers or {})
        response = self._connection.getresponse()
        self.told = {name.lower(): value for name, value in response.getheaders()}
        return response.status, response.read()

    @property
    def why(self) -> str:
        return self.told.get("x-sealane-why", "")


class Bench:
    """A simulator, a folder of virtual keys, and where the gateway in front of them listens."""

    def __init__(self, sim: Simulator, environ: Mapping[str, str]) -> None:
        self.sim, self.environ, self.url = sim, dict(environ), ""
        self.keys = KeyFile(gateway_folder(environ))
        self.excused: set[str] = set()  # accounts whose nonces are refused on purpose: by replays, or direct calls
        self.users = (one.name for one in sim.accounts[1:])

    def key(self, name: str, account: str = "MASTER", *, expires_s: float | None = None, **policy: Any) -> SimAccount:
        """A new virtual key, in the form in which the simulator's own are given."""
        made, secret = self.keys.create(name, account, Policy(**policy), self.now_s(), expires_s)
        return SimAccount(name, made.current.key, secret)

    def fresh(self, **policy: Any) -> SimAccount:
        """A virtual key of an account that no other was made for, under the account's name."""
        account = next(self.users)
        return self.key(account, account, **policy)

    def now_s(self) -> float:
        return SYSTEM_CLOCK.wall_ns() / NS_PER_S

    def methods(self, account: str | None = None) -> list[str]:
        """What reached the exchange, in its order, without the gateway's own looks at balances, and fences."""
        entries = self.sim.journal(account=account)["entries"]
        return [entry["method"] for entry in entries if entry["method"] not in OWN_CALLS]

    def tally(self, account: str) -> Mapping[str, Any]:
        """The exchange's figures of an account's key."""
        found: Mapping[str, Any] = self.sim.journal()["summary"]["by_account"][account]
        return found

    def audit(self, key: str) -> list[dict[str, Any]]:
        """What was written down of a virtual key's calls."""
        lines = (self.keys.folder / "audit.jsonl").read_text().splitlines()
        return [row for row in map(json.loads, lines) if row.get("key") == key]


def environ_of(sim: Simulator, folder: Path, **more: str) -> dict[str, str]:
    """An environment whose accounts are the simulator's; ``off`` as tier: the simulator limits nothing either."""
    environ = {"KRAKEN_SPOT_URL": sim.url, "DATA_DIR": str(folder), "SEALANE_TIER": "off", **more}
    for account in sim.accounts:
        name = "" if account.name == "MASTER" else f"USER_{account.name}_"
        environ[f"KRAKEN_{name}API_KEY"] = account.api_key
        environ[f"KRAKEN_{name}API_SECRET"] = account.api_secret
    return environ


class Key(Bot):
    """A bot with one virtual key, and what of it reached the exchange."""

    def __init__(self, bench: "Bench", account: str, name: str, **policy: Any) -> None:
        super().__init__(bench.url, bench.key(name, account, **policy))
        self.bench, self.on = bench, account

    def reached(self, method: str) -> int:
        return self.bench.methods(self.on).count(method)

    def ask(self, method: str, **fields: Any) -> Any:
        return self.private(method, as_json=True, **fields)

    def deny(self, method: str, why: str, *, as_json: bool = True, **fields: Any) -> None:
        before = self.reached(method)
        assert self.private(method, as_json=as_json, **fields) == DENIED
        assert why in self.why, self.why
        assert self.reached(method) == before

    def allow(self, method: str, **fields: Any) -> Any:
        before = self.reached(method)
        answer = self.ask(method, **fields)
        assert answer["error"] == [], self.why
        assert self.reached(method) == before + 1
        return answer["result"]

    def place(self, **fields: Any) -> str:
        (txid,) = self.allow("AddOrder", **(LIMIT | fields))["txid"]
        return str(txid)

    def open(self) -> set[str]:
        return set(self.ask("OpenOrders")["result"]["open"])


# --- a process --------------------------------------------------------------------------------------------------------


@contextmanager
def served(sim: Simulator, folder: Path, **more: str) -> Iterator[Bench]:
    """``sealane serve`` for all accounts of a simulator; it looks at their balances at its start alone."""
    bench = Bench(sim, environ_of(sim, folder, SEALANE_WATCH_S="3600", **more))
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sealane.cli", "serve", "--port", "0", "--json"],
            stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | bench.environ,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            assert first.startswith("{"), (folder / "serve.log").read_text()
            bench.url = json.loads(first)["url"]
            yield bench
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_LIMIT_S + LIMIT_S) == 0
        finally:
            process.kill()
            process.wait(LIMIT_S)
            process.stdout.close()


# --- a thread ---------------------------------------------------------------------------------------------------------


class Moved:
    """The machine's clocks, and how far a test has moved them."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def wall_ns(self) -> int:
        return SYSTEM_CLOCK.wall_ns() + self.ahead_ns

    def boot_ns(self) -> int:
        return SYSTEM_CLOCK.boot_ns() + self.ahead_ns

    def advance(self, seconds: float) -> None:
        self.ahead_ns += int(seconds * NS_PER_S)


class OnThread(Bench):
    """The application of ``sealane serve`` on a thread of its own; ``with`` starts and stops it."""

    def __init__(self, sim: Simulator, folder: Path) -> None:
        super().__init__(sim, environ_of(sim, folder))
        self.clock = Moved()
        self._port = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def now_s(self) -> float:
        return self.clock.wall_ns() / NS_PER_S

    def __enter__(self) -> "OnThread":
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), name="a gateway")
        with patch.dict(os.environ, self.environ):  # it is read at the start alone
            self._thread.start()
            assert ready.wait(LIMIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread and self._loop and self._stop
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        lanes = {account.name: LANE for account in self.sim.accounts}
        gateway = Gateway(self.keys.folder, lanes, None, Traffic(self.clock), clock=self.clock)
        with listen("127.0.0.1", self._port) as listener:
            self._port = listener.getsockname()[1]
            self.url = f"http://127.0.0.1:{self._port}"
            async with gateway:
                await answer(make_app(_no_state, gateway=gateway), listener, ready.set, self._stop)

    def until(self, true: Any) -> None:
        """Look again and again, within the limit."""
        pause = threading.Event()
        for _ in range(int(LIMIT_S / PAUSE_S)):
            with suppress(LookupError):
                if true():
                    return
            pause.wait(PAUSE_S)
        raise AssertionError(f"it did not come true within {LIMIT_S} s")


def _no_state() -> Any:
    raise AssertionError("nobody asks for the page here")
