"""Hosts on one key over an engine: alone beside the file store, four against each other, and what a stop or death costs.

The engine's servers are real and run on this machine, so a round trip to them is short: what is told in round trips is
held to a stricter measure than a network would.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

from bench.engines import KINDS, running
from bench.fast_server import SECRET, FastServer, fast_server
from bench.host_worker import KEEPER, Answer, Step, Window, Worker
from bench.report import Figure, Result
from bench.rounds import in_turns, jain, per_second, percentile
from sealane import Kraken
from sealane.runtime.clock import SYSTEM_CLOCK
from sealane.store.engine import LEASE_MS, Engine
from sealane.store.file import FileStore
from sealane.store.hosted import HostedLane
from sealane.store.hosted_store import HostedStore
from sealane.store.open import open_store
from sealane.testing import TableEngine

TITLE = "hosts on one key, a folder and a process each, over an engine on this machine, a fast server on loopback"
ROUNDS, ROUND_S, BATCH = 11, 0.3, 20
HOSTS, WINDOWS, WINDOW_S, LEAD_S = 4, 4, 1.5, 0.05
STOPS = 8
SIBLING_CALLS = 20
HAND_OVERS = 100_000
BREAK_S = 0.01
EXPIRY_SLACK_S = 1.0


def run(folder: Path) -> Result:
    """See the head of this file."""
    figures: list[Figure] = []
    with fast_server() as server:
        for kind, name in KINDS.items():
            with running(kind, folder / kind) as url:
                figures += [*_alone(name, url, server, folder / name)]
                figures += [*_together(name, url, server, folder / name)]
        figures.append(Figure("nonces refused, of all calls above", server.counts().refused, "", at_most=0))
    figures += _handed_over(folder / "table")
    return Result("hosts", TITLE, tuple(figures))


# --- alone ------------------------------------------------------------------------------------------------------------


def _alone(name: str, url: str, server: FastServer, folder: Path) -> Iterator[Figure]:
    """Two clients in one process, each with a key that has traded."""
    stores = {"file": FileStore(folder / "file"), "engine": open_store(url, folder=folder / "alone")}
    clients = {
        way: Kraken(api_key=f"bench-{way}-{name}", api_secret=SECRET, url=server.url, store=store)
        for way, store in stores.items()
    }
    for client in clients.values():
        client.place_order(pair="XBTUSD", side="buy", volume="0.001", price="1000")
    ways = {way: partial(per_second, partial(_calls, client), BATCH, ROUND_S) for way, client in clients.items()}
    rates = in_turns(ways, ROUNDS)
    for client in clients.values():
        client.close()
    yield rates.figure(f"{name}: alone on the lane", "engine", "calls/s")
    yield rates.figure(f"{name}: the file store beside it", "file", "calls/s")
    yield rates.ratio(f"{name}: alone : file store", "engine", "file", at_least=0.9)


def _calls(client: Kraken, number: int) -> None:
    for _ in range(number):
        client.private("Balance")


# --- together ---------------------------------------------------------------------------------------------------------


def _together(name: str, url: str, server: FastServer, folder: Path) -> Iterator[Figure]:
    workers = [Worker(server.url, url, folder / str(number)) for number in range(HOSTS)]
    sibling = Worker(server.url, url, folder / "0")
    try:
        for worker in workers:
            worker.do("call")
        with _round_trips(url) as trips:
            windows = [_window(workers) for _ in range(WINDOWS)]
        yield from _contention(name, windows, trips)
        with _round_trips(url) as trips:
            stops_s = [_stopped(workers[number % 2], workers[1 - number % 2]) for number in range(STOPS)]
        trip_s = median(trips)
        yield Figure(f"{name}: engine round trip, idle", trip_s * 1e6, "µs")
        stop = median(stops_s) / trip_s
        yield Figure(f"{name}: clean stop until another has the lane", stop, "round trips", at_most=10)
        yield from _deaths(name, workers, sibling)
    finally:
        for worker in (*workers, sibling):
            worker.close()


def _window(workers: Sequence[Worker]) -> list[Answer]:
    begins = time.monotonic() + LEAD_S
    for worker in workers:
        worker.ask(Window(begins, begins + WINDOW_S))
    return [worker.answer() for worker in workers]


def _contention(name: str, windows: Sequence[Sequence[Answer]], trips: Sequence[float]) -> Iterator[Figure]:
    shares = [jain([answer.calls for answer in window]) for window in windows]
    rates = [sum(answer.calls for answer in window) / WINDOW_S for window in windows]
    waits = [wait for window in windows for answer in window for wait in answer.waits]
    passed_s = sorted(passed for window in windows for passed in _passed_on(window))
    yield Figure(f"{name}: four hosts together", median(rates), "calls/s", min(rates), max(rates))
    yield Figure(
        f"{name}: fairness (Jain) within {WINDOW_S:g} s", median(shares), "", min(shares), max(shares), at_least=0.95
    )
    yield Figure(f"{name}: from asking to answer, four hosts, p99", percentile(waits, 0.99) * 1e3, "ms")
    yield Figure(f"{name}: hand-overs a second", len(passed_s) / WINDOW_S / len(windows), "/s")
    yield Figure(f"{name}: hand-over, p50", median(passed_s) * 1e3, "ms")
    yield Figure(f"{name}: hand-over, p99", percentile(passed_s, 0.99) * 1e3, "ms")
    yield Figure(f"{name}: engine round trip beside it, p50", median(trips) * 1e3, "ms")
    yield Figure(f"{name}: hand-over, p50", median(passed_s) / median(trips), "round trips", at_most=5)


def _passed_on(window: Sequence[Answer]) -> Iterator[float]:
    """Seconds from a host's letting go to another's having the lane."""
    steps = sorted(
        (step.ended if step.granted else step.began, step.granted)
        for answer in window
        for step in answer.steps
        if step.verb == "release" or step.granted
    )
    released: float | None = None
    for at, granted in steps:
        if granted and released is not None:
            yield at - released
        released = None if granted else at


@contextmanager
def _round_trips(url: str) -> Iterator[list[float]]:
    """What one round trip takes to somebody else, again and again while the block runs."""
    taken: list[float] = []
    ended = threading.Event()
    store = open_store(url, folder="bystander")
    assert isinstance(store, HostedStore)
    engine = store.engine

    def ask() -> None:
        while not ended.wait(BREAK_S):
            began = time.monotonic()
            engine.now_ms()
            taken.append(time.monotonic() - began)

    engine.now_ms()
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield taken
    finally:
        ended.set()
        thread.join()
        engine.close()


# --- stops and deaths -------------------------------------------------------------------------------------------------


def _stopped(first: Worker, second: Worker) -> float:
    """Seconds of the lane's own between the one's stop and the other's having the lane."""
    first.do("call")
    stopped = first.do("close")
    steps = second.do("call").steps
    waited = [step for step in steps if step.verb in ("acquire", "await_turn")]
    return stopped.ended - stopped.began + waited[-1].ended - waited[0].began


def _deaths(name: str, workers: Sequence[Worker], sibling: Worker) -> Iterator[Figure]:
    workers[0].do("call")
    sibling.do("call")
    workers[0].do("call")
    died = workers[0].kill()
    answers = [sibling.do("call") for _ in range(SIBLING_CALLS)]
    asked = sum(len(_own(answer.steps)) for answer in answers)
    yield Figure(f"{name}: a process killed, its sibling's next call", answers[0].waits[0] * 1e3, "ms")
    yield Figure(f"{name}: the same, steps at the engine that its calls waited for", asked, "", at_most=0)
    died = sibling.kill()
    answered = workers[1].do("call").ended
    limit_s = LEASE_MS / 1e3 + EXPIRY_SLACK_S
    yield Figure(f"{name}: a host killed, until another's answer", answered - died, "s", at_most=limit_s)


def _own(steps: Sequence[Step]) -> list[Step]:
    """Those that a call waited for, not the keeper's."""
    return [step for step in steps if step.thread != KEEPER]


# --- a hundred thousand hand-overs ------------------------------------------------------------------------------------


def _handed_over(folder: Path) -> list[Figure]:
    """Two hosts' lanes over an engine in memory, each used once and let go."""
    engine: Engine = TableEngine(lambda: time.time_ns() // 1_000_000)
    lanes = [_lane(engine, folder / name) for name in "ab"]
    for lane in lanes:
        lane.take_lease()
        lane.let_go()
    began, last = time.monotonic(), 0
    for number in count():
        if number == HAND_OVERS:
            break
        nonce = _used_once(lanes[number % 2])
        if nonce <= last:
            raise AssertionError(f"{nonce} was issued after {last}")
        last = nonce
    took_s = time.monotonic() - began
    apart_s = (last - time.time_ns()) / 1e9
    return [
        Figure("hand-overs between two hosts over an engine in memory", HAND_OVERS, ""),
        Figure("the same", HAND_OVERS / took_s, "/s"),
        Figure("nonces ahead of the clock after them", apart_s, "s", at_least=-LEASE_MS / 1e3, at_most=LEASE_MS / 1e3),
    ]


def _lane(engine: Engine, folder: Path) -> HostedLane:
    return HostedStore(engine, FileStore(folder)).lane("kraken_key_0000000000000001")


def _used_once(lane: HostedLane) -> int:
    lane.wait_enter()
    nonce = lane.draw(SYSTEM_CLOCK.wall_ns(), SYSTEM_CLOCK.boot_ns())
    lane.leave()
    lane.let_go()
    return nonce
