"""Many callers of one account in virtual time: the real flows, lane and store against the real simulator, no waiting.

Every caller is a generator that yields calls. The crowd is the shell: it performs effects as the two real shells do,
but a sleep and an answer only move the clock on. So an hour of load takes a second, and the same seed is the same hour.
"""

import contextlib
import heapq
import itertools
import random
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from functools import partial

from sealane.client.settings import Settings
from sealane.core import effects
from sealane.core.call import private_call
from sealane.core.effects import Caller
from sealane.core.lane import Ticket
from sealane.core.nonce import NS_PER_S
from sealane.core.secret import credentials
from sealane.core.signing import draft
from sealane.core.verdict import Reply
from sealane.errors import SealaneError
from sealane.runtime.desk import Desk
from sealane.runtime.lanes import Lane
from sealane.simulator import Clock, Exchange
from sealane.simulator.http import Request
from sealane.store.memory import MemoryStore
from sealane.testing import FakeClock

Script = Generator[tuple[str, dict[str, object]], object, None]


class SharedClock(Clock):
    """The simulator's clock shows the crowd's time."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock

    def now_ns(self) -> int:
        return self.clock.wall_ns()


@dataclass
class Seen:
    """One call's end."""

    method: str
    at_s: float
    took_s: float
    result: object
    error: SealaneError | None


@dataclass
class Crowd:
    """Callers of one account. ``way_s`` gives the seconds that a request takes one way."""

    exchange: Exchange
    clock: FakeClock
    tier: str
    seed: int = 0
    way_s: tuple[float, float] = (0.005, 0.06)
    patience_s: float = 3600.0
    seen: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        account = self.exchange.public_accounts[0]
        self.who = credentials("MASTER", account.api_key, account.api_secret, None, named="test")
        self.store = MemoryStore()
        self.lane = Lane(self.store.lane("kraken_global_nonce"), self.clock)
        self.due: list[tuple[int, int, Callable[[], None]]] = []
        self.numbers = itertools.count()
        self.start_ns = self.clock.wall_ns()

    @property
    def now_s(self) -> float:
        return (self.clock.wall_ns() - self.start_ns) / NS_PER_S

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        at_ns = self.clock.wall_ns() + round(seconds * NS_PER_S)
        heapq.heappush(self.due, (at_ns, next(self.numbers), do))

    def run(self, scripts: Iterable[Script], until_s: float = 3600.0) -> None:
        """Let the callers begin calls until ``until_s``, and see all of them to their end."""
        self.until_s = until_s
        for script in scripts:
            Walker(self, script).start()
        while self.due:
            at_ns, _, do = heapq.heappop(self.due)
            self.clock.advance((at_ns - self.clock.wall_ns()) / NS_PER_S)
            do()

    def caller(self) -> Caller:
        limits = Settings(tier=self.tier).limits()
        return Caller("MASTER", self.who.fingerprint, 1, 0, partial(draft, self.who), limits, self.patience_s)


class Walker:
    """One caller: its script, and the call that it has under way."""

    def __init__(self, crowd: Crowd, script: Script) -> None:
        self.crowd, self.script = crowd, script
        self.desk = Desk(crowd.lane, self, lambda event: None, crowd.store.intents())

    def start(self) -> None:
        self.crowd.after(self.crowd.rng.random(), lambda: self.next_call(None))

    def next_call(self, result: object) -> None:
        if self.crowd.now_s >= self.crowd.until_s:
            return
        try:
            self.method, params = self.script.send(result)
        except StopIteration:
            return
        self.began_s = self.crowd.now_s
        if self.method == "pause":
            self.crowd.after(params["seconds"], lambda: self.next_call(None))
            return
        self.flow = private_call(self.crowd.caller(), self.method, params)
        self.step(None)

    def step(self, answer: object, trouble: BaseException | None = None) -> None:
        """Drive the call on until it waits for something."""
        while True:
            try:
                effect = self.flow.send(answer) if trouble is None else self.flow.throw(trouble)
            except StopIteration as end:
                return self.ended(end.value, None)
            except SealaneError as error:
                return self.ended(None, error)
            answer, trouble = None, None
            if isinstance(effect, effects.Sleep):
                return self.crowd.after(effect.seconds, lambda: self.step(None))
            if isinstance(effect, effects.Exchange):
                return self.send(effect.request)
            if isinstance(effect, effects.Enter):
                return self.enter(effect.rank)
            try:
                answer = self.desk.perform(effect)
            except SealaneError as error:
                trouble = error

    def die(self) -> None:
        """Killed: nothing that it still asks for is done."""
        with contextlib.suppress(BaseException):
            self.flow.throw(SystemExit)
            while True:
                self.flow.send(None)

    def enter(self, rank: int) -> None:
        ticket = Ticket(self, lambda: self.crowd.after(0, lambda: self.step(self.desk.entered())), rank)
        if self.crowd.lane.enter(ticket):
            self.crowd.after(0, lambda: self.step(self.desk.entered()))

    def send(self, request) -> None:
        there_s, back_s = (self.crowd.rng.uniform(*self.crowd.way_s) for _ in range(2))

        def arrive() -> None:
            headers = {name.lower(): value for name, value in request.headers}
            name = request.target.removeprefix("/0/private/")
            answer = self.crowd.exchange.private(Request("POST", request.target, "", headers, request.body), name)

            def reply() -> None:
                answer.ended(True)
                self.step(Reply(answer.status, answer.body))

            self.crowd.after(back_s, reply)

        self.crowd.after(there_s, arrive)

    def ended(self, result: object, error: SealaneError | None) -> None:
        now_s = self.crowd.now_s
        self.crowd.seen.append(Seen(self.method, now_s, now_s - self.began_s, result, error))
        self.crowd.after(0, lambda: self.next_call(error or result))
