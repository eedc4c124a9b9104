"""Clients on a leased lane: event loops that never wait for the engine, forks, bare draws, a process that ends."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from redis_server import serving

from sealane import AsyncKraken, Kraken
from sealane.core.order import Placed
from sealane.simulator import Simulator
from sealane.store.file import FileStore
from sealane.store.hosted_store import HostedStore
from sealane.store.redis.engine import RedisEngine
from sealane.testing import TableEngine

LEASE_MS = 400
ORDER = {"pair": "XBTUSD", "side": "buy", "volume": "0.001", "price": "1000"}


@pytest.fixture
def sim():
    with Simulator(accounts=1) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("valkey")) as running:
        yield running


def keys(sim):
    account = sim.accounts[0]
    return {"api_key": account.api_key, "api_secret": account.api_secret, "url": sim.url}


class WatchedEngine:
    """An engine that notes which threads asked it."""

    def __init__(self, engine):
        self._engine, self.threads = engine, {}

    def __getattr__(self, name):
        thing = getattr(self._engine, name)
        if not callable(thing) or name == "now_ms":
            return thing

        def watched(*given, **named):
            self.threads.setdefault(name, set()).add(threading.current_thread())
            return thing(*given, **named)

        return watched


def test_no_event_loop_asks_the_engine(sim, tmp_path):
    """Not for the first lease, a jump, an order or the end."""
    engine = WatchedEngine(TableEngine(lambda: time.time_ns() // 1_000_000, lease_ms=LEASE_MS))

    async def work():
        async with AsyncKraken(**keys(sim), store=HostedStore(engine, FileStore(tmp_path))) as kraken:
            await kraken.private("Balance")
            sim.update_account("MASTER", nonce=time.time_ns() + 30_000_000_000)
            await kraken.private("Balance")  # refused, and jumps
            assert isinstance(await kraken.place_order(**ORDER), Placed)
            await asyncio.sleep(0)

    asyncio.run(work())
    asked = {name for name, threads in engine.threads.items() if threading.main_thread() in threads}
    assert asked == set()
    assert {"acquire", "renew", "release", "write_intent"} <= set(engine.threads)
    assert sim.journal()["summary"]["refused_nonce"] == 1


def test_a_forked_child_is_another_process_of_the_host(sim, server, tmp_path):
    """It has connections and a keeper of its own: it goes on for several leases without asking for the lane."""
    engine = WatchedEngine(RedisEngine(server.url(lease_ms=LEASE_MS)))
    with Kraken(**keys(sim), store=HostedStore(engine, FileStore(tmp_path))) as kraken:
        kraken.private("Balance")
        child = os.fork()
        if child == 0:
            ended = 1
            try:
                engine.threads.clear()
                _call_for(kraken, 5 * LEASE_MS)
                asked = {name: {one.name for one in threads} for name, threads in engine.threads.items()}
                ended = 0 if asked.get("renew") == {"sealane-leases"} and "acquire" not in asked else 2
                kraken.close()
            finally:
                os._exit(ended)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        _call_for(kraken, LEASE_MS)
        summary = sim.journal()["summary"]
        assert (summary["refused_nonce"], summary["max_overlap"]) == (0, 1)


def _call_for(kraken, span_ms):
    until = time.monotonic() + span_ms / 1_000
    while time.monotonic() < until:
        kraken.private("Balance")


DRAWS = """
from sealane.global_nonce import get_global_kraken_nonce
import sys
print("up", flush=True)
for line in sys.stdin:
    print(get_global_kraken_nonce(), flush=True)
"""


def test_bare_draws_of_several_hosts_rise(server, tmp_path):
    url = server.url(lease_ms=LEASE_MS, prefix="bare")
    env = {**os.environ, "SEALANE_STORE": url}
    command = [sys.executable, "-W", "error", "-c", DRAWS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    hosts = [subprocess.Popen(command, env=env | {"DATA_DIR": str(tmp_path / name)}, **pipes) for name in "ab"]
    try:
        assert [host.stdout.readline() for host in hosts] == ["up\n", "up\n"]
        drawn = [_drawn(host) for _ in range(3) for host in hosts for _ in range(2)]
        assert drawn == sorted(set(drawn))
    finally:
        for host in hosts:
            host.communicate(timeout=20)
    assert [host.returncode for host in hosts] == [0, 0]
    with contextlib.closing(
        RedisEngine(url)
    ) as engine:  # who ends lets the lane go: nobody waits for a lease to run out
        record = engine.show("kraken_global_nonce").record
    assert (record.host, record.clean) == ("", True)


def _drawn(host):
    host.stdin.write("\n")
    return int(host.stdout.readline())


OBEYS = """
import sys
from sealane.errors import SealaneError
from sealane.global_nonce import get_global_kraken_nonce, get_kraken_api_lock
from sealane.store import hosted
hosted.DRAW_WAIT_S = float(sys.argv[1])
verbs = {"draw": get_global_kraken_nonce, "lock": lambda: get_kraken_api_lock().acquire(),
         "leave": lambda: get_kraken_api_lock().release()}
for line in sys.stdin:
    try:
        print(verbs[line.strip()](), flush=True)
    except SealaneError as error:
        print(type(error).__name__, error, flush=True)
"""


def test_a_process_stopped_in_its_turn_loses_the_lane_though_its_sibling_draws(server, tmp_path):
    url = server.url(lease_ms=LEASE_MS, prefix="stopped")
    with contextlib.ExitStack() as stack:

        def started(host, wait_s):
            env = {**os.environ, "SEALANE_STORE": url, "DATA_DIR": str(tmp_path / host)}
            command, pipe = [sys.executable, "-W", "error", "-c", OBEYS, str(wait_s)], subprocess.PIPE
            process = subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True, bufsize=1)
            stack.callback(process.communicate, timeout=20)
            return process

        stopped, sibling, other = started("a", 30), started("a", 1), started("b", 5)
        assert (_said(stopped, "lock"), int(_said(sibling, "draw")) > 0) == ("True", True)
        stopped.send_signal(signal.SIGSTOP)
        stack.callback(stopped.send_signal, signal.SIGCONT)
        drawn, busy = [], threading.Thread(target=lambda: drawn.extend(_draws(sibling)))
        busy.start()
        assert _said(other, "draw").isdecimal(), "the other host has the lane"
        busy.join(20)
        assert drawn[-1].startswith("LaneBusy")
        assert f"kill -CONT {stopped.pid}" in drawn[-1]
        stopped.send_signal(signal.SIGCONT)
        assert _said(stopped, "draw").startswith("Fenced")
        assert _said(stopped, "leave") == "None"
        assert int(_said(sibling, "draw")) > max(map(int, drawn[:-1]))


def _said(process, verb):
    process.stdin.write(f"{verb}\n")
    return process.stdout.readline().strip()


def _draws(process):
    """What it draws, until it is told why it may not."""
    while True:
        yield (said := _said(process, "draw"))
        if not said.isdecimal():
            return
