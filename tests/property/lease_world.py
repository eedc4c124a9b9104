"""Machines that lease a lane from one engine, in virtual time: the real ``HostedLane`` over simulated disks, and an
exchange that judges nonces.

A *box* is a machine with a data folder, a clock since boot that runs up to 1 % fast or slow, and a wall clock that may
be anywhere. Its processes are played in ``lockstep``. ``lease_faults`` decides what goes wrong.
"""

import contextlib
import itertools
import random
from concurrent.futures import Executor, Future
from pathlib import Path

from lease_judge import Judge, Message
from lockstep import Stage, StageEvent, StageLock

from sealane.core.hold import Hold
from sealane.errors import Fenced, NotDurable, SealaneError, Unavailable
from sealane.store.file import FileStore
from sealane.store.host import Host
from sealane.store.hosted import HostedLane
from sealane.store.lease_file import SLOT, LeaseFile
from sealane.store.slots import read_slots
from sealane.testing import Killed, SimDisk, TableEngine
from sealane.testing.clock import START_NS
from sealane.testing.sim_volume import SimFile, SimVolume

FOLDER, LANE = Path("/data"), "kraken_key_5ea1a9e0"
KEYS = ("K1", "K2")
LEASE_MS = 3_000
MS, S = 1_000_000, 1_000_000_000
ANSWER_LIMIT_NS = 2 * S
ATTEMPTS_MAX = 4
PPM = 1_000_000


class Box:
    """A machine with a folder."""

    def __init__(self, world: "World", name: str, like: "Box | None" = None) -> None:
        self.world, self.name = world, name
        rng = world.rng
        self.volume = SimVolume(lambda: world.stage.now_ns)
        self.ppm = rng.randint(-10_000, 10_000)
        self.wall_off_ns = world.wall_offset()
        self.booted_ns = world.stage.now_ns - rng.randint(10, 1_000) * S
        self.processes: list[Process] = []
        self._seen = (b"", Hold())
        if like is not None:
            self._copy(like)

    def _copy(self, like: "Box") -> None:
        """The folder was copied while it was in use, on the same machine: its clock and boot, another place."""
        self.ppm, self.booted_ns, self.wall_off_ns = like.ppm, like.booted_ns, like.wall_off_ns
        for path, file in like.volume.names.items():
            self.volume.names[path] = copied = SimFile()
            copied.write(file.content, 0)
            copied.sync()
        self.volume.sync_names(FOLDER)

    @property
    def host(self) -> str:
        return f"{self.name}/{self.volume.boot_id()}"

    def boot_ns(self) -> int:
        return (self.world.stage.now_ns - self.booted_ns) * (PPM + self.ppm) // PPM

    def wall_ns(self) -> int:
        return self.world.stage.now_ns + self.wall_off_ns

    def hold(self) -> Hold:
        """What the folder says of its lease."""
        raw = self.volume.content(FOLDER / f"{LANE}.lease") or b""
        if raw != self._seen[0]:
            self._seen = raw, Hold.loaded(read_slots(raw, SLOT)[1])
        return self._seen[1]

    def holds(self) -> bool:
        return self.hold().is_of(self.host, self.boot_ns())

    def reboot(self) -> None:
        for process in tuple(self.processes):
            process.kill()
        self.volume.power_loss(self.world.rng)
        self.booted_ns = self.world.stage.now_ns
        self._seen = (b"", Hold())


class WaitingDisk(SimDisk):
    """A lock that another process has is waited for."""

    stage: Stage

    def lock(self, fd: int) -> None:
        while not self.try_lock(fd):
            self.stage.sleep(20 * MS)


class Hands(Executor):
    """Hands a lane over as an actor of its process."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    def submit(self, work, /, *args, **kwargs):
        self._process.start(work)
        return Future()


class SimHost(Host):
    """The host as one process sees it."""

    def __init__(self, process: "Process") -> None:
        super().__init__(process.box.host, process.name, process, process)
        self._process = process

    def hands(self) -> Executor:
        return Hands(self._process)


class Process:
    """One process of a box: its clock, its connection to the engine, its lane, and what it does all day."""

    lease_ms = LEASE_MS

    def __init__(self, box: Box) -> None:
        self.box, self.world = box, box.world
        self.name = f"P{next(self.world.numbers)}"
        self.stage, self.rng = self.world.stage, self.world.rng
        self.alive, self.stopped_until_ns, self.served_ns = True, 0, 0
        self.disk = WaitingDisk(box.volume)
        self.disk.stage = self.stage
        files = FileStore(FOLDER, disk=self.disk).lane(LANE)
        self.lease = LeaseFile(self.disk, FOLDER / f"{LANE}.lease")
        self.lease._mutex = StageLock(self.stage)
        self.host = box.host
        self.lane = HostedLane(files, self.lease, SimHost(self), 1)
        self.lane._handed_over = StageEvent(self.stage)
        self.lane._handed_over.set()
        box.processes.append(self)
        self.world.judge.note(f"{self.name} starts on {self.host}")
        self.keeper = self.start(self._keep)
        self.start(self._work)

    def start(self, work):
        def living() -> None:
            with contextlib.suppress(Killed):
                work()

        return self.stage.start(self, living)

    def kill(self) -> None:
        self.alive = False
        self.disk.kill()
        self.box.processes.remove(self)
        self.world.judge.note(f"{self.name} is killed")
        for actor in tuple(self.stage.actors):
            if actor.group is self:
                actor.kill()
                if actor is not self.stage.current:
                    self.stage.wake(actor)

    # --- its clock ------------------------------------------------------------------------------------------------

    def boot_ns(self) -> int:
        now_ns = self.box.boot_ns()
        if self.stage.current is not None:
            self.stage.current.looked_ns = self.stage.now_ns
            self.world.faults.trip(self)
        return now_ns

    def wall_ns(self) -> int:
        return self.box.wall_ns()

    def pause(self, seconds: float) -> None:
        self.stage.sleep(round(seconds * S))

    # --- its connection -------------------------------------------------------------------------------------------

    def acquire(self, lane, host, ceiling):
        return self.world.faults.asked(self, lambda: self.world.engine.acquire(lane, host, ceiling))

    def renew(self, lane, host, epoch, ceiling, documents):
        return self.world.faults.asked(self, lambda: self.world.engine.renew(lane, host, epoch, ceiling, documents))

    def release(self, lane, host, epoch, last, documents):
        return self.world.faults.asked(self, lambda: self.world.engine.release(lane, host, epoch, last, documents))

    def await_turn(self, lane, host, limit_s):
        self.world.engine.sleepers[self.stage.current] = host
        try:
            self.stage.sleep(round(limit_s * S))
        finally:
            self.world.engine.sleepers.pop(self.stage.current, None)

    # --- what it does ---------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        while True:
            self.stage.sleep(LEASE_MS * MS // 4)
            with contextlib.suppress(SealaneError):
                self.lane.tend(self.boot_ns())

    def wanted(self) -> None:
        self.lane.wanted = True
        if not self.keeper.over:
            self.stage.wake(self.keeper)

    def _work(self) -> None:
        while True:
            self.stage.sleep(self.rng.choice((1, 20, 300, 1_500)) * self.rng.randint(1 * MS, 2 * MS))
            try:
                if self.rng.random() < 0.15:
                    self._draw()
                else:
                    self._turn(self.rng.choice(KEYS))
            except (Fenced, Unavailable, NotDurable) as error:
                self.world.judge.note(f"{self.name}: {type(error).__name__}: {str(error)[:60]}")

    def _draw(self) -> int:
        wall_ns, boot_ns = self.wall_ns(), self.boot_ns()
        nonce = self.lane.draw(wall_ns, boot_ns)
        self.world.drawn(self, nonce, wall_ns)
        return nonce

    def _turn(self, key: str) -> None:
        if not self.lane.try_enter():
            self.lane.wait_enter()
        try:
            self._tidy()
            for _ in range(self.rng.choice((1, 1, 3))):
                self._write(key)
            self.served_ns = self.stage.now_ns
        finally:
            if self.alive:
                self.lane.leave()

    def _tidy(self) -> None:
        left = self.lane.read_turn()
        if "nonce" in left:
            self.lane.write_key(left["fingerprint"], {**self.lane.read_key(left["fingerprint"]), "fence_due": True})
            self.lane.write_turn({})

    def _write(self, key: str) -> None:
        state = dict(self.lane.read_key(key))
        if state.get("fence_due"):
            if not self._sent(key, ""):
                return
            state["fence_due"] = False
            self.lane.write_key(key, state)
        self._placed(key)

    def _placed(self, key: str) -> None:
        """A new order, or one that somebody left in doubt on this key: which is fenced, then looked for."""
        doubts = [order for order, owner in self.world.orders[key].items() if owner is None or not owner.alive]
        if doubts:
            order = doubts[0]
            self.world.orders[key][order] = self
            try:
                if not self._sent(key, ""):
                    return
                if order in self.world.judge.executed:
                    del self.world.orders[key][order]
                    return
                self._send_order(key, order)
            finally:
                if order in self.world.orders[key]:
                    self.world.orders[key][order] = None
            return
        order = f"O{next(self.world.numbers)}"
        self.world.orders[key][order] = self
        self._send_order(key, order)

    def _send_order(self, key: str, order: str) -> None:
        sent = False
        try:
            sent = self._sent(key, order)
        finally:
            self.world.orders[key][order] = None
        if sent:
            del self.world.orders[key][order]

    def _sent(self, key: str, order: str) -> bool:
        """Send until the nonce is not refused; whether it was accepted."""
        for _ in range(ATTEMPTS_MAX):
            nonce = self._draw()
            if order:
                self.lane.write_turn({"fingerprint": key, "method": "AddOrder", "nonce": nonce})
            self.lane.check()
            self.world.faults.trip(self)
            message = Message(self.host, self.lane._lessee.turn_epoch, key, nonce, order, self.stage.now_ns)
            self.world.send(self, message)
            if message.awaited and message.accepted is None:
                self.stage.sleep(ANSWER_LIMIT_NS)
            message.awaited = False
            if message.accepted is None:
                if order:
                    self.lane.write_key(key, {**self.lane.read_key(key), "fence_due": True})
                    self.lane.write_turn({})
                return False
            if order:
                self.lane.write_turn({})
            if message.accepted:
                return True
            self.lane.raise_floor(self.lane.last() + S)
        return False


class WorldEngine(TableEngine):
    """The engine, with its log for the judge."""

    def __init__(self, world: "World") -> None:
        super().__init__(world.engine_ms, lease_ms=LEASE_MS)
        self.world = world
        self.sleepers: dict[object, str] = {}

    def acquire(self, lane, host, ceiling):
        answer, documents = super().acquire(lane, host, ceiling)
        if hasattr(answer, "floor"):
            self.world.judge.granted(host, answer.epoch)
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
