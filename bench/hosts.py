"""Hosts on one key over an engine: alone beside the file store, four against each other, what a stop or a death costs.

The engine's servers are real and run on this machine. A round trip is the smallest step of a lane, asked for and
answered, as a bystander sees it beside the hosts. It is short here, so what a hand-over costs beyond its round trips,
threads that are woken and files that are written, weighs more than it does over a network.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from bench.engines import KINDS, running
from bench.fast_server import SECRET, FastServer, fast_server
from bench.host_worker import KEEPER, Answer, Step, Worker
from bench.processes import Window
from bench.report import Figure, Result
from bench.rounds import in_turns, jain, per_second, percentile
from sealane import Kraken
from sealane.core.hold import ceiling
from sealane.core.lease import NS_PER_MS, Grant
from sealane.core.nonce import next_nonce
from sealane.runtime.clock import SYSTEM_CLOCK
from sealane.store.engine import LEASE_MS, Engine
from sealane.store.file import FileStore
from sealane.store.hosted import HostedLane
from sealane.store.hosted_store import HostedStore
from sealane.store.open import open_store
from sealane.testing import TableEngine

TITLE = "hosts on one key, a folder and a process each, over an engine on this machine, a fast server on loopback"
ROUNDS, ROUND_S, BATCH = 11, 0.3, 20
HOSTS, WINDOWS, WINDOW_S, LEAD_S = 4, 7, 1.2, 0.05
STOPS = 8
SIBLING_CALLS = 20
WHOLE_HAND_OVERS, HAND_OVERS = 10_000, 100_000
LANE = "kraken_key_0000000000000001"
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
    """What one step of another lane takes, again and again while the block runs."""
    taken: list[float] = []
    ended = threading.Event()
    store = open_store(url, folder="bystander")
    assert isinstance(store, HostedStore)
    engine = store.engine

    def ask() -> None:
        while not ended.wait(BREAK_S):
            began = time.monotonic()
            engine.withdraw("kraken_key_000000000000000f", "bystander")
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
    asked = sum(len(_own(answer)) for answer in answers)
    yield Figure(f"{name}: a process killed, its sibling's next call", answers[0].waits[0] * 1e3, "ms")
    yield Figure(f"{name}: the same, steps at the engine that its calls waited for", asked, "", at_most=0)
    died = sibling.kill()
    answered = workers[1].do("call").ended
    limit_s = LEASE_MS / 1e3 + EXPIRY_SLACK_S
    yield Figure(f"{name}: a host killed, until another's answer", answered - died, "s", at_most=limit_s)


def _own(answer: Answer) -> list[Step]:
    """The steps that a call waited for: neither the keeper's nor those of the turn before it."""
    return [step for step in answer.steps if step.thread != KEEPER and step.ended >= answer.began]


# --- a hundred thousand hand-overs ------------------------------------------------------------------------------------


def _handed_over(folder: Path) -> list[Figure]:
    """Over an engine in memory: whole lanes with their files, then the steps at the engine alone."""
    engine = TableEngine(lambda: time.time_ns() // NS_PER_MS)
    lanes = [_lane(engine, folder / name) for name in "ab"]
    for lane in lanes:
        lane.wait_enter()
        lane.leave()
        lane.let_go()
    began = time.monotonic()
    last = _raised(_used_once(lanes[number % 2]) for number in range(WHOLE_HAND_OVERS))
    took_s = time.monotonic() - began
    last = _raised(_passed_once(engine, f"host {number % 2}", last) for number in range(HAND_OVERS))
    apart_s = (last - time.time_ns()) / 1e9
    lease_s = LEASE_MS / 1e3
    return [
        Figure("hand-overs of whole lanes, engine in memory", WHOLE_HAND_OVERS / took_s, "/s"),
        Figure(
            f"nonces ahead of the clock after {HAND_OVERS:,} more", apart_s, "s", at_least=-lease_s, at_most=lease_s
        ),
    ]


def _raised(nonces: Iterable[int]) -> int:
    """The last of them; each has to be greater than the one before it."""
    last = 0
    for nonce in nonces:
        if nonce <= last:
            raise AssertionError(f"{nonce} was issued after {last}")
        last = nonce
    return last


def _passed_once(engine: Engine, host: str, last: int) -> int:
    """One host has the lane, draws one nonce, and lets it go."""
    now_ns = time.time_ns()
    grant, _ = engine.acquire(LANE, host, ceiling(last, now_ns, LEASE_MS, 1))
    assert isinstance(grant, Grant)
    nonce = next_nonce(grant.floor, now_ns)
    engine.release(LANE, host, grant.epoch, nonce, {})
    return nonce


def _lane(engine: Engine, folder: Path) -> HostedLane:
    return HostedStore(engine, FileStore(folder)).lane(LANE)


def _used_once(lane: HostedLane) -> int:
    """One host has the turn, draws one nonce, and lets the lane go."""
    lane.wait_enter()
    nonce = lane.draw(SYSTEM_CLOCK.wall_ns(), SYSTEM_CLOCK.boot_ns())
    lane.leave()
    lane.let_go()
    return nonce
