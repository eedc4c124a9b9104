"""Machines that lease a lane from one engine, in virtual time, and an exchange that judges nonces.

``lease_machines`` has the machines; ``lease_faults`` decides what goes wrong.
"""

import itertools
import random

from lease_judge import Judge, Message
from lease_machines import KEYS, LEASE_MS, MS, PPM, Box, Process, S
from lockstep import Stage

from sealane.testing import TableEngine
from sealane.testing.clock import START_NS


class WorldEngine(TableEngine):
    """The engine, with its log for the judge."""

    def __init__(self, world: "World") -> None:
        super().__init__(world.engine_ms, lease_ms=LEASE_MS)
        self.world = world
        self.sleepers: dict[object, str] = {}

    def acquire(self, lane, host, ceiling):
        before = self.show(lane).record
        answer, documents = super().acquire(lane, host, ceiling)
        if hasattr(answer, "floor"):
            self.world.judge.granted(host, answer.epoch, anew=before is None or before.epoch != answer.epoch)
        return answer, documents

    def renew(self, lane, host, epoch, ceiling, documents):
        answer = super().renew(lane, host, epoch, ceiling, documents)
        if hasattr(answer, "floor"):
            self.world.judge.granted(host, answer.epoch)
        return answer

    def release(self, lane, host, epoch, last, documents):
        answer = super().release(lane, host, epoch, last, documents)
        if isinstance(answer, str):
            self.world.judge.note(f"{host} lets go of epoch {epoch} after {last}")
            self.world.judge.let_go(epoch)
        return answer

    def _wake(self, lane, host):
        for actor, name in tuple(self.sleepers.items()):
            if name == host and not actor.over:
                self.world.stage.wake(actor)

    def _tell(self, holder, lane):
        for box in self.world.boxes:
            if box.host == holder and not self.world.faults.loses_hint():
                for process in box.processes:
                    self.world.stage.at(self.world.stage.now_ns + MS, process.wanted)


class World:
    """One lane, one engine, a few boxes."""

    def __init__(self, seed: int, faults, *, wild: bool) -> None:
        self.rng = random.Random(seed)
        self.wild = wild
        self.stage = Stage(START_NS)
        self.judge = Judge(lambda: self.stage.now_ns)
        self.numbers = itertools.count(1)
        self.engine_ppm, self.engine_off_ns = self.rng.randint(-10_000, 10_000), 0
        self.boxes: list[Box] = []
        self.orders: dict[str, dict[str, Process | None]] = {key: {} for key in KEYS}
        self.faults = faults(self)
        self.engine = WorldEngine(self)
        for number in range(self.rng.choice((1, 2, 2, 3))):
            self.add_box(f"box{number}")

    def engine_ms(self) -> int:
        passed_ns = (self.stage.now_ns - START_NS) * (PPM + self.engine_ppm) // PPM
        return (START_NS + passed_ns + self.engine_off_ns) // MS

    def wall_offset(self) -> int:
        spread_ns = 1_000 * S if self.wild else 100 * MS
        return self.rng.randint(-spread_ns, spread_ns)

    def add_box(self, name: str, like: Box | None = None) -> None:
        box = Box(self, name, like)
        self.boxes.append(box)
        for _ in range(self.rng.choice((1, 1, 2))):
            Process(box)

    def drawn(self, process: Process, nonce: int, wall_ns: int) -> None:
        looked_ns = self.stage.current.looked_ns
        self.judge.drawn(process.box.name, nonce, now_ns=self.stage.now_ns, looked_ns=looked_ns, wall_ns=wall_ns)
        self.look()

    def look(self) -> None:
        self.judge.holders([box.host for box in self.boxes if box.holds()])

    # --- the exchange ---------------------------------------------------------------------------------------------

    def send(self, process: Process, message: Message) -> None:
        self.look()
        self.judge.note(
            f"{process.name} sends {message.order or 'a harmless call'} of {message.key} as {message.nonce}"
        )
        self.judge.sent(message)
        sender = self.stage.current
        delay_ns = self.faults.message_delay_ns()
        if delay_ns is not None:
            self.stage.at(self.stage.now_ns + delay_ns, lambda: self._arrive(process, message, sender))

    def _arrive(self, process: Process, message: Message, sender) -> None:
        hold = process.box.hold()
        good = message.awaited and process.alive and process.box.holds() and hold.epoch == message.epoch
        accepted = self.judge.arrived(message, good=good)
        self.judge.note(f"{message.nonce} is {'accepted' if accepted else 'refused'}")
        if not (message.awaited and process.alive) or self.faults.loses_answer():
            message.accepted = None
        elif not sender.over:
            message.told = True
            self.stage.wake(sender)
