"""Machines that lease a lane, and their processes, in virtual time: the real ``HostedLane`` over simulated disks.

A *box* is a machine with a data folder, a clock since boot that runs up to 1 % fast or slow, and a wall clock that may
be anywhere. Its processes are played in ``lockstep``, in a ``lease_world``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING

from lease_judge import Message
from lockstep import Stage, StageEvent, StageLock

from sealane.core.hold import Hold
from sealane.errors import Fenced, NotDurable, SealaneError, Unavailable
from sealane.store.file import FileStore
from sealane.store.host import Host
from sealane.store.hosted import HostedLane
from sealane.store.lease_file import SLOT, LeaseFile
from sealane.store.slots import read_slots
from sealane.testing import Killed, SimDisk
from sealane.testing.sim_volume import SimFile, SimVolume

if TYPE_CHECKING:
    from lease_world import World

FOLDER, LANE = Path("/data"), "kraken_key_5ea1a9e0"
KEYS = ("K1", "K2")
LEASE_MS = 3_000
MS, S = 1_000_000, 1_000_000_000
ANSWER_LIMIT_NS = 2 * S
ATTEMPTS_MAX = 4
PPM = 1_000_000


class Box:
    """A machine with a folder."""

    def __init__(self, world: World, name: str, like: Box | None = None) -> None:
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

    def _copy(self, like: Box) -> None:
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

    def __init__(self, process: Process) -> None:
        self._process = process

    def submit(self, work, /, *args, **kwargs):
        self._process.start(work)
        return Future()


class SimHost(Host):
    """The host as one process sees it."""

    def __init__(self, process: Process) -> None:
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

    def withdraw(self, lane, host):
        return self.world.faults.asked(self, lambda: self.world.engine.withdraw(lane, host))

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
        if not self.lane.try_enter() and not self.lane.wait_enter(self._patient()):
            return
        try:
            self._tidy()
            for _ in range(self.rng.choice((1, 1, 3))):
                self._write(key)
            self.served_ns = self.stage.now_ns
        finally:
            if self.alive:
                self.lane.leave()

    def _patient(self) -> Callable[[], bool]:
        """Whoever calls may have a limit."""
        until_ns = self.stage.now_ns + (self.rng.randint(MS, 5 * S) if self.rng.random() < 0.2 else 1_000 * S)
        return lambda: self.stage.now_ns < until_ns

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
