"""A gateway killed and restarted under bots that are killed as well: no nonce is refused, no order placed twice.

Many virtual keys of several accounts, in four kinds of clients; the exchange loses answers now and then. Kills of bots
and of the gateway (SIGKILL and SIGTERM in turns) follow each other all the while. Judged by the exchange's own journal
and book beside what the bots asked for and were told.

The seed is printed; ``SEALANE_SEED`` repeats a run, ``SEALANE_SOAK=1`` makes it 100 keys of 10 accounts for 3 minutes,
and compares the gateway's memory at its ends of life in the last third of that time with the middle.
"""

import faulthandler
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from crew import Crew, Gone, Worker

sys.path.insert(0, str(Path(__file__).parents[2]))  # bench is no part of the installed package

from bench.order_exchange import Exchange, environment, exchange
from bench.serve import resident_bytes

from sealane.gateway.keys import GATEWAY_FOLDER
from sealane.gateway.keys.key_file import KeyFile
from sealane.gateway.keys.policy import Policy

pytestmark = pytest.mark.kill

SOAK = os.environ.get("SEALANE_SOAK") == "1"
ACCOUNTS, KEYS, PROCESSES_A_KIND = (10, 100, 2) if SOAK else (3, 20, 1)
KINDS = ("ccxt", "krakenex", "python-kraken-sdk", "urllib")
LIFE_S, ORDERS_BETWEEN = (180.0, 150) if SOAK else (0.0, 20)
CYCLES_MIN = 2
START_LIMIT_S, STOP_LIMIT_S, PROGRESS_LIMIT_S, END_LIMIT_S = 30.0, 15.0, 60.0, 120.0
LONG_LIMIT_S = 900.0
ORDERS_OF_A_KEY = 10_000
"""Keys of one account number their orders apart from each other: it is by their numbers that the book knows them."""
GROWTH_MAX = 1.2
ALL_CALLS = "/sim/journal?limit=100000"
FAULTS = (
    {"kind": "drop_before", "methods": ["AddOrder", "CancelOrder"], "probability": 0.02},
    {"kind": "drop_after", "methods": ["AddOrder", "CancelOrder"], "probability": 0.03},
    {"kind": "http_after", "status": 502, "methods": ["AddOrder"], "probability": 0.02},
    {"kind": "html", "applied": True, "methods": ["Balance"], "probability": 0.02},
)

Order = tuple[str, int]
"""A bot's name, and its number of the order."""
Book = dict[tuple[str, str], list[str]]
"""Orders' txids by account and volume."""


class Gateway:
    """``sealane serve`` on one port, life after life; ``memory`` has each life's size at its end."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self._environ, self._log, self._process = os.environ | environ, log, None
        self.port, self.url, self.memory = 0, "", list[int]()

    def start(self) -> None:
        command = [sys.executable, "-m", "sealane.cli", "serve", "--port", str(self.port), "--json"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=self._environ)
        guard = threading.Timer(START_LIMIT_S, self._process.kill)
        guard.start()
        line = self._process.stdout.readline()
        guard.cancel()
        assert line, self._log.read_text()[-2_000:]
        self.url = json.loads(line)["url"]
        self.port = int(self.url.rpartition(":")[2])

    def stop(self, number: int) -> None:
        """By a signal; its end is awaited."""
        self.memory.append(resident_bytes(self._process.pid))
        self._process.send_signal(number)
        self._process.wait(STOP_LIMIT_S)
        self._process.stdout.close()

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process is not None:
            self._process.stdout.close()


class Bots:
    """The processes of bots, and what they said."""

    def __init__(self, crew: Crew, url: str, keys: list[dict[str, str]], seed: int) -> None:
        self._crew, self._url, self._seed, self._heard = crew, url, seed, threading.Condition()
        self._workers: list[tuple[str, list[dict[str, str]], Worker, threading.Thread]] = []
        self.asked: dict[Order, str | None] = {}
        self.places: dict[Order, tuple[str, str]] = {}
        self.kills = 0
        self._accounts = {one["name"]: one["account"] for one in keys}
        self.counts: Counter[str] = Counter()
        self.odd: list[str] = []
        kinds = [kind for kind in KINDS for _ in range(PROCESSES_A_KIND)]
        for place, kind in enumerate(kinds):
            self._start(kind, keys[place :: len(kinds)])

    def _start(self, kind: str, keys: list[dict[str, str]]) -> None:
        bots = [one | {"url": self._url} | self._unfinished(one["name"]) for one in keys]
        worker = self._crew.start("bots", kind=kind, bots=bots, seed=self._seed)
        thread = threading.Thread(target=self._listen, args=(worker,))
        thread.start()
        self._workers.append((kind, keys, worker, thread))

    def _unfinished(self, name: str) -> dict[str, Any]:
        """Where the bot of a key goes on."""
        numbers = [number for bot, number in tuple(self.asked) if bot == name]  # other bots go on meanwhile
        left = [number for number in numbers if self.asked[name, number] is None]
        assert len(left) <= 1
        first = int(name[1:]) // ACCOUNTS * ORDERS_OF_A_KEY
        return {"number": max(numbers, default=first - 1) + 1, "left": left[0] if left else None}

    def _listen(self, worker: Worker) -> None:
        try:
            while True:
                self._hear(worker.hear(END_LIMIT_S))
        except (Gone, OSError):
            pass

    def _hear(self, message: dict[str, Any]) -> None:
        with self._heard:
            if "asked" in message:
                name, number, volume = message["asked"]
                self.asked.setdefault((name, number), None)
                self.places[name, number] = self._accounts[name], volume
            elif "told" in message:
                name, number, txid = message["told"]
                self.asked[name, number] = txid
                self.counts["placed" if txid else f"refused {message['errors']}"] += 1
            elif "odd" in message:
                self.odd.append(message["odd"])
            else:
                self.counts[message.get("unheard", "ended")] += 1
            self._heard.notify_all()

    @property
    def told(self) -> int:
        return sum(txid is not None for txid in tuple(self.asked.values()))

    def go_on(self, orders: int) -> None:
        """Wait until so many more orders came to their end: they do, whatever was killed."""
        until = self.told + orders
        with self._heard:
            assert self._heard.wait_for(lambda: self.told >= until, PROGRESS_LIMIT_S), (self.told, until, self.counts)

    def kill_one(self, rng: random.Random) -> None:
        """SIGKILL one process and put another in its place, which goes on where it was."""
        kind, keys, worker, thread = self._workers.pop(rng.randrange(len(self._workers)))
        os.kill(worker.pid, signal.SIGKILL)
        thread.join(END_LIMIT_S)
        worker.close()
        self._start(kind, keys)
        self.kills += 1

    def end(self) -> None:
        """Let each bot bring its order to an end."""
        for _, _, worker, _ in self._workers:
            worker.ask("end")
        for _, _, worker, thread in self._workers:
            thread.join(END_LIMIT_S)
            worker.close()


def virtual_keys(folder: Path, accounts: list[str]) -> list[dict[str, str]]:
    """Made before the gateway starts; the accounts have the same number of keys each, or one more."""
    file, made = KeyFile(folder / GATEWAY_FOLDER), []
    for number in range(KEYS):
        name = f"b{number}"
        key, secret = file.create(name, accounts[number % ACCOUNTS], Policy(), time.time())
        made.append({"name": name, "account": key.account, "key": key.current.key, "secret": secret})
    return made


@contextmanager
def served(kraken: Exchange, folder: Path) -> Iterator[Gateway]:
    variables = environment(kraken.accounts, folder) | {"SEALANE_VISIBILITY_LAG_S": "1"}
    gateway = Gateway(variables, folder.parent / "gateway.log")
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.close()


@pytest.fixture(autouse=True)
def longer_limit() -> Iterator[None]:
    """A long run is no hang: the limit of single tests is put off."""
    if SOAK:
        faulthandler.cancel_dump_traceback_later()
        faulthandler.dump_traceback_later(LONG_LIMIT_S, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def test_no_nonce_is_refused_and_no_order_doubled(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEALANE_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEALANE_SEED={seed}")
    folder = tmp_path / "data"
    with exchange(ACCOUNTS, seed) as kraken, Crew({}, "gateway_bots.py") as crew:
        for fault in FAULTS:
            kraken.control("POST", "/sim/faults", fault)
        folder.mkdir()
        keys = virtual_keys(folder, [access.name for access in kraken.accounts])
        with served(kraken, folder) as gateway:
            bots = Bots(crew, gateway.url, keys, seed)
            begun_s = time.monotonic()
            restarts = disturb(bots, gateway, random.Random(seed), begun_s)
            bots.end()
            took_s, book, journal = time.monotonic() - begun_s, book_of(kraken), kraken.control("GET", ALL_CALLS)
        refused, again = refused_nonces(journal["entries"])
        print(f"{restarts} restarts, {bots.kills} bot processes killed in {took_s:.0f} s; {bots.counts}")
        print(
            f"{len(bots.asked)} orders, {journal['summary']['requests']} requests, of them {again} copies of a lost one"
        )
        assert not (wrong := wrong_orders(bots.asked, bots.places, book)), wrong[:10]
        assert not refused, refused[:5]
        assert journal["summary"]["nonces_rose"]
        assert len(journal["entries"]) == journal["summary"]["requests"], "the journal does not have all of them"
        assert not bots.odd, bots.odd[:5]
        if SOAK:
            middle, last = memory_of(gateway.memory)
            print(f"memory of the gateway: {middle:.1f} MiB in the middle, {last:.1f} MiB in the end")
            assert last <= middle * GROWTH_MAX


def disturb(bots: Bots, gateway: Gateway, rng: random.Random, begun_s: float) -> int:
    """Kill bots and the gateway until the time is over; returns how often the gateway was restarted."""
    cycles = 0
    while cycles < CYCLES_MIN or time.monotonic() < begun_s + LIFE_S:
        bots.go_on(ORDERS_BETWEEN)
        bots.kill_one(rng)
        bots.go_on(rng.randrange(ORDERS_BETWEEN))
        gateway.stop((signal.SIGKILL, signal.SIGTERM)[cycles % 2])
        gateway.start()
        cycles += 1
    bots.go_on(ORDERS_BETWEEN)
    return cycles


def book_of(kraken: Exchange) -> Book:
    """All orders that the exchange ever took, by account and volume."""
    found: Book = {}
    accounts = kraken.control("GET", "/sim/state")["accounts"]
    for access in kraken.accounts:
        for txid, row in accounts[access.name]["orders"].items():
            found.setdefault((access.name, row["vol"]), []).append(txid)
    return found


def wrong_orders(asked: Mapping[Order, str | None], places: Mapping[Order, tuple[str, str]], book: Book) -> list[str]:
    """What is not so: every order that was asked for has the one end that its bot was told, and the book no other."""
    wrong, left = [], dict(book)
    for order, txid in asked.items():
        found = left.pop(places[order], [])
        if txid is None or found != ([txid] if txid else []):
            wrong.append(f"{order}: told {txid!r}, the book has {found}")
    return wrong + [f"{place}: nobody asked for {found}" for place, found in left.items()]


def refused_nonces(entries: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """What was refused, and how many were refused that had to be: an order's identical bytes, sent again.

    Of these the first copy had arrived, so they carry a nonce that was accepted; that is how it is known to have.
    """
    taken, again, refused = set(), 0, []
    for entry in entries:
        place = entry["account"], entry["method"], entry["nonce"]
        if entry["outcome"] == "accepted":
            taken.add(place)
        elif entry["error"] == "EAPI:Invalid nonce" and entry["method"] == "AddOrder" and place in taken:
            again += 1
        elif entry["outcome"] == "refused":
            refused.append(entry)
    return refused, again


def memory_of(sizes: Sequence[int]) -> tuple[float, float]:
    """The size of a life at its end, in MiB: of the middle third of all lives, and of the last."""
    third = len(sizes) // 3
    middle, last = median(sizes[third : 2 * third]), median(sizes[-third:])
    return middle / 2**20, last / 2**20


# --- the judges -------------------------------------------------------------------------------------------------------

PLACE, OTHER = ("MASTER", "0.00100000"), ("MASTER", "0.00100001")


@pytest.mark.parametrize(
    ("told", "book", "is_right"),
    [
        ("O1", {PLACE: ["O1"]}, True),
        ("", {}, True),
        ("O1", {PLACE: ["O1", "O2"]}, False),
        ("O1", {PLACE: ["O2"]}, False),
        ("O1", {}, False),
        ("", {PLACE: ["O1"]}, False),
        (None, {}, False),
        (None, {PLACE: ["O1"]}, False),
        ("O1", {PLACE: ["O1"], OTHER: ["O2"]}, False),
    ],
)
def test_an_order_that_ended_otherwise_is_seen(told: str | None, book: Book, is_right: bool) -> None:
    assert (wrong_orders({("b0", 0): told}, {("b0", 0): PLACE}, book) == []) == is_right


def test_a_refused_nonce_is_seen_and_a_copy_is_none() -> None:
    def entry(nonce: str, outcome: str, error: str | None = None, method: str = "AddOrder") -> dict[str, Any]:
        return {"account": "MASTER", "method": method, "nonce": nonce, "outcome": outcome, "error": error}

    bad = "EAPI:Invalid nonce"
    first, copy, late = entry("7", "accepted"), entry("7", "refused", bad), entry("6", "refused", bad)
    read, read_again = entry("8", "accepted", None, "Balance"), entry("8", "refused", bad, "Balance")
    assert refused_nonces([first, copy]) == ([], 1)
    assert refused_nonces([copy, first]) == ([copy], 0)
    assert refused_nonces([first, late, read, read_again]) == ([late, read_again], 0)


def test_memory_is_that_of_thirds() -> None:
    assert memory_of([900 * 2**20, 50 * 2**20, 70 * 2**20]) == (50.0, 70.0)
