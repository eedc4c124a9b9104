"""Orders under an adversary: the real flows, lane and store, the simulator as the exchange, and a network in between
that somebody else decides about.

A request that was sent is a *message*. It may arrive at any time, or never, whatever its sender was told meanwhile. The
sender may be told anything that a network tells: an answer, a lost connection, an HTTP error. A crash forgets every
caller and keeps what is on its way; a restart goes on from what the store has.
"""

import contextlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from crowd import SharedClock

from sealane.client.orders import Limits, Orders
from sealane.core import effects
from sealane.core.effects import Caller
from sealane.core.lane import Ticket
from sealane.core.order import Intent, NotPlaced, Placed
from sealane.core.resolving import resolve
from sealane.core.secret import credentials
from sealane.core.signing import draft
from sealane.core.verdict import Failure, Reply
from sealane.errors import InDoubt, SealaneError
from sealane.runtime.desk import Desk
from sealane.runtime.lanes import Lane
from sealane.simulator import Exchange
from sealane.simulator.accounts import make_accounts
from sealane.simulator.http import Request
from sealane.store.memory import MemoryStore
from sealane.testing import FakeClock

LAG_S = 3.0
"""Shorter than the deadline, so that the deadline cannot stand in for the fence."""
LIMITS = Limits(deadline_s=10.0, timeout_s=60.0)
LOST = Failure(sent=True, detail="the adversary took the answer")
NOT_SENT = Failure(sent=False, detail="the adversary refused the connection")


@dataclass(eq=False)
class Message:
    """One request on its way. ``waiting`` is who waits for its answer, None once it was told something."""

    request: object
    waiting: "Flowing | None"
    method: str


class NobodyElse:
    """Stands in for the resolver: what is left is gone on with by ``restart`` alone."""

    def held(self, _intent_id):
        return contextlib.nullcontext(True)


class Flowing:
    """One flow under way."""

    def __init__(self, world: "World", name: str, flow, ended: Callable[[object], None]) -> None:
        self.world, self.name, self.flow, self.ended = world, name, flow, ended
        self.desk = Desk(world.lane, self, lambda event: None, world.store.intents())
        self.wakes_ns: int | None = None
        self.is_over = False

    def step(self, answer: object = None, trouble: BaseException | None = None) -> None:
        self.wakes_ns = None
        while True:
            try:
                effect = self.flow.send(answer) if trouble is None else self.flow.throw(trouble)
            except StopIteration as end:
                return self.over(end.value)
            except SealaneError as error:
                return self.over(error)
            answer, trouble = None, None
            match effect:
                case effects.Sleep(seconds):
                    self.wakes_ns = self.world.clock.wall_ns() + round(seconds * 1e9)
                    return None
                case effects.Exchange(request):
                    self.world.messages.append(Message(request, self, request.target.rpartition("/")[2]))
                    return None
                case effects.Enter(rank):
                    if not self.world.lane.enter(Ticket(self, self.granted, rank)):
                        return None
                    answer = self.desk.entered()
                case _:
                    try:
                        answer = self.desk.perform(effect)
                    except SealaneError as error:
                        trouble = error

    def granted(self) -> None:
        """The turn came: go on outside the call that handed it over."""
        self.world.granted.append(self)

    def die(self) -> None:
        """Nothing that it still asks for is done."""
        with contextlib.suppress(BaseException):
            self.flow.throw(SystemExit)
            while True:
                self.flow.send(None)

    def over(self, result: object) -> None:
        self.is_over = True
        self.ended(result)


class World:
    """One account, one lane, an exchange and a network."""

    def __init__(self, seed: int = 1, *, window: int = 0) -> None:
        self.clock = FakeClock()
        self.exchange = Exchange(make_accounts(1, seed), clock=SharedClock(self.clock))
        self.exchange.accounts["MASTER"].nonce_window = window
        account = self.exchange.public_accounts[0]
        self.who = credentials("MASTER", account.api_key, account.api_secret, None, named="test")
        self.store = MemoryStore()
        self.messages: list[Message] = []
        self.granted: list[Flowing] = []
        self.flowing: list[Flowing] = []
        self.told: dict[str, object] = {}
        self.deadlines_ns: dict[str, int] = {}
        self.numbers = itertools.count(1)
        self.accepted: dict[str, int] = {}
        self.hidden_s = 0.0
        self.lane = self._lane()

    def _lane(self) -> Lane:
        return Lane(self.store.lane("kraken_global_nonce"), self.clock)

    def caller(self) -> Caller:
        return Caller("MASTER", self.who.fingerprint, 1, 0, partial(draft, self.who))

    def orders(self) -> Orders:
        return Orders(self.caller, self.store.intents(), NobodyElse(), self.clock.wall_ns, lag_s=LAG_S, sync=True)

    # --- what may happen ------------------------------------------------------------------------------------------

    def ask(self, kind: str) -> None:
        """Somebody places an order."""
        name = f"order{next(self.numbers)}"
        order = {"side": "buy", "volume": "0.01", "price": "1000", "client_order_id": name}
        if kind == "market":
            order |= {"order_type": "market", "price": None, "volume": "0.001"}
        elif kind == "too dear":
            order |= {"volume": "1000000"}
        self.deadlines_ns[name] = self.clock.wall_ns() + round(LIMITS.deadline_s * 1e9)
        self._start(name, self.orders().place("XBTUSD", order, LIMITS, validate=False))

    def _start(self, name: str, flow) -> None:
        flowing = Flowing(self, name, flow, lambda end: self.told.__setitem__(name, end))
        self.flowing.append(flowing)
        flowing.step()
        self._settle()

    def arrive(self, message: Message, *, answered: bool = True, garbled: bool = False) -> None:
        """The request reaches the exchange; its sender may hear of it."""
        self.messages.remove(message)
        headers = {name.lower(): value for name, value in message.request.headers}
        request = Request("POST", message.request.target, "", headers, message.request.body)
        answer = self.exchange.private(request, message.method)
        answer.ended(True)
        self._note(message, answer.body)
        if message.waiting is not None:
            reply = Reply(502, b"<html>") if garbled else Reply(answer.status, answer.body)
            self.tell(message, reply if answered else LOST)

    def _note(self, message: Message, body: bytes) -> None:
        if message.method == "AddOrder" and not json.loads(body)["error"]:
            name = next(
                part.partition("=")[2] for part in message.request.body.decode().split("&") if "cl_ord_id" in part
            )
            self.accepted[name] = self.accepted.get(name, 0) + 1
            master = self.exchange.accounts["MASTER"]
            for order in (*master.open.values(), *master.closed.values()):
                if order.cl_ord_id == name:
                    order.visible_ns = self.clock.wall_ns() + round(self.hidden_s * 1e9)
            assert self.clock.wall_ns() <= self.deadlines_ns[name], f"{name} was placed after its deadline"

    def tell(self, message: Message, answer: object) -> None:
        """The sender hears something; the request itself may still be on its way."""
        flowing, message.waiting = message.waiting, None
        if flowing is not None:
            flowing.step(answer)
        self._settle()

    def refuse(self, message: Message) -> None:
        """The connection is refused: no byte left."""
        self.messages.remove(message)
        self.tell(message, NOT_SENT)

    def drop(self, message: Message) -> None:
        """The request is lost for good; its sender, where it still waits, hears that the connection is."""
        self.messages.remove(message)
        self.tell(message, LOST)

    def pass_time(self, seconds: float) -> None:
        """Time passes, one sleeper's waking after the other."""
        until_ns = self.clock.wall_ns() + round(seconds * 1e9)
        while True:
            sleepers = [flowing for flowing in self.flowing if flowing.wakes_ns is not None]
            first = min(sleepers, key=lambda flowing: flowing.wakes_ns, default=None)
            if first is None or first.wakes_ns > until_ns:
                break
            self.clock.advance(max(0, first.wakes_ns - self.clock.wall_ns()) / 1e9)
            first.step()
            self._settle()
        self.clock.advance((until_ns - self.clock.wall_ns()) / 1e9)

    def crash(self) -> None:
        """Every caller is gone; the kernel takes back the turn; what is on its way goes on."""
        held = self.lane.held
        for message in self.messages:
            message.waiting = None
        for flowing in self.flowing:
            flowing.die()
        self.flowing, self.granted = [], []
        if held:
            self.lane.store.leave()
        self.lane = self._lane()
        for stored in self.store.intents().unsettled().values():
            intent = Intent.loaded(stored)
            self._start(f"again {intent.id}", resolve(self.caller(), intent, LAG_S, None))

    def _settle(self) -> None:
        while self.granted:
            flowing = self.granted.pop(0)
            flowing.step(flowing.desk.entered())
        self.flowing = [flowing for flowing in self.flowing if not flowing.is_over]

    # --- the judgement --------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """The network is honest from now on; what is still on its way arrives last."""
        late = [message for message in self.messages if message.waiting is None]
        for _ in range(10_000):
            if not self.flowing:
                break
            message = next((message for message in self.messages if message.waiting is not None), None)
            if message is not None:
                self.arrive(message)
            else:
                self.pass_time(1.0)
        assert not self.flowing, "somebody waits for ever"
        for message in late:
            if message in self.messages:
                self.arrive(message)

    def judge(self) -> None:
        """What was told, and what is kept, against the exchange's own book."""
        for name, times in self.accepted.items():
            assert times == 1, f"{name} was placed {times} times"
        log = self.store.intents()
        assert log.unsettled() == {}
        for name in self.deadlines_ns:
            stored = log.read(name)
            ends = [Intent.loaded(stored).ends[name]] if stored else []
            ends += [self.told[name]] if isinstance(self.told.get(name), (Placed, NotPlaced)) else []
            for end in ends:
                assert isinstance(end, Placed) == (name in self.accepted), f"{name}: {end}"
            if not ends:
                assert name not in self.accepted or isinstance(self.told.get(name), InDoubt), name
