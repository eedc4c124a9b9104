"""A small world for the file store: one volume, one clock, a few processes, and a judge of the numbers they get.

The world keeps to the promises of the documentation in one way only: what is not promised, it does not do. Two states
are therefore kept apart. While nonces are *in time* (the last one was the clock's own), somebody may put an older
copy back or remove files altogether; until the lane has written them anew the world is *frail*, and then nobody
sets the clock back as well. Everything else happens at any time.
"""

# ruff: noqa: S101 - the world checks what it sees

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from sealane.errors import NotDurable
from sealane.store.port import LaneStore, Store
from sealane.testing.clock import FakeClock
from sealane.testing.order import NonceOrder
from sealane.testing.sim_disk import Killed, SimDisk, WouldBlock
from sealane.testing.sim_volume import SimVolume

FOLDER = Path("/data")
LANE = "kraken_global_nonce"
UNITS_NS = (1, 1, 1, 1_000, 1_000_000)
SPOTTED_S = 0.06
"""After this time every process has seen that its file was removed or replaced."""
HOUR_S = 3600
MakeStore = Callable[[SimDisk], Store]


class SimProcess:
    """One process with the store open."""

    def __init__(self, name: str, disk: SimDisk, lane: LaneStore) -> None:
        self.name, self.disk, self.lane = name, disk, lane
        self.has_turn = self.opened = self.drew = False
        self.sees_mark = True


class FileWorld:
    """What there is, what happened to it, and whether the numbers were right. ``seed`` picks unit and system."""

    def __init__(self, seed: int, make_store: MakeStore) -> None:
        setting = random.Random(seed)  # noqa: S311 - a seed is wanted, not secrecy
        self.unit_ns = setting.choice(UNITS_NS)
        self.clock = FakeClock()
        self.volume = SimVolume(self.clock.wall_ns)
        self.volume.tells_era = setting.random() < 0.9
        self.judge = NonceOrder()
        self.log: list[str] = []
        self.processes: list[SimProcess] = []
        self.issued: list[int] = []
        self.frail_file = self.frail_mark = self.nested = self.leaped = self.in_time = False
        self.records: list[dict[str, object]] | None = [{}]
        self._make_store = make_store
        self._born = self._stepped_s = 0.0
        self._records_written = 0

    # --- paths ----------------------------------------------------------------------------------------------------

    @property
    def nonce_path(self) -> Path:
        """The nonce file."""
        return FOLDER / f"{LANE}.txt"

    @property
    def mark_path(self) -> Path:
        """The high-water mark."""
        return FOLDER / f"{LANE}.mark"

    @property
    def frail(self) -> bool:
        """Whether the clock is all that stands below the numbers."""
        return self.frail_file or self.frail_mark

    def now(self) -> int:
        """The clock in the lane's unit."""
        return self.clock.wall_ns() // self.unit_ns

    def say(self, text: str) -> None:
        """Note what happens, for whoever has to understand a failure."""
        seconds, ns = divmod(self.clock.wall_ns(), 10**9)
        self.log.append(f"{seconds}.{ns:09d}  {'    ' * self.nested}{text}")

    # --- processes ------------------------------------------------------------------------------------------------

    def alive(self) -> list[SimProcess]:
        """The processes that still run."""
        self.processes = [process for process in self.processes if process.disk.alive]
        return self.processes

    def some_process(self, rng: random.Random) -> SimProcess:
        """One that runs, or a new one."""
        running = self.alive()
        if running and (len(running) == 3 or rng.random() < 0.8):
            return rng.choice(running)
        self._born += 1
        disk = SimDisk(self.volume)
        new = SimProcess(f"process {self._born:.0f}", disk, self._make_store(disk).lane(LANE, self.unit_ns))
        self.processes.append(new)
        return new

    # --- verbs of the store ---------------------------------------------------------------------------------------

    def draw(self, process: SimProcess) -> None:
        """Draw, and hand what came to the judge."""
        if self.frail:
            self.clock.advance(0.01)
        older = 0 if process.opened else self._older_number()
        process.opened = True
        try:
            nonce = process.lane.draw(self.clock.wall_ns(), self.clock.boot_ns())
        except Killed:
            self.say(f"{process.name} died while drawing")
            return
        except NotDurable as error:
            self._check_cause(process, error)
            return
        self.say(f"{process.name} drew {nonce}")
        self.judge.issued(nonce, process.name)
        assert nonce > older, f"{nonce} was drawn under {older} in an older program's file"
        content = self.volume.content(self.nonce_path)
        assert content == b"%d" % nonce, f"{nonce} was drawn, and the file holds {content!r}"
        self.issued.append(nonce)
        self.in_time = nonce == self.now()
        self.frail_file = False
        self.frail_mark = self.frail_mark and process.drew and not process.sees_mark
        if not process.drew:
            process.drew = process.sees_mark = True

    def reserve(self, process: SimProcess) -> None:
        """Extend the mark, due or not."""
        self.say(f"{process.name} reserves")
        self._try(process, lambda: process.lane.reserve(self.clock.wall_ns()))

    def raise_floor(self, process: SimProcess, floor: int) -> None:
        """Raise the floor, and hold the store to it."""

        def raise_it() -> None:
            in_force = process.lane.raise_floor(floor)
            self.say(f"{process.name} raised the floor to {floor}, and {in_force} is in force")
            assert in_force >= floor
            self.judge.promised(floor)
            self.in_time = False

        self._try(process, raise_it)

    def confirm(self, process: SimProcess) -> None:
        """Kraken's time agrees with the clock."""
        wall_ns = self.clock.wall_ns()
        self.say(f"{process.name} has the clock confirmed")
        assert process.lane.confirm_clock(wall_ns, wall_ns, self.clock.boot_ns())

    def turn(self, process: SimProcess) -> None:
        """Take the turn or end it."""

        def go() -> None:
            if process.has_turn:
                process.has_turn = False
                process.lane.leave()
            else:
                self._enter(process)

        self._try(process, go)

    def _enter(self, process: SimProcess) -> None:
        try:
            if not process.lane.try_enter():
                process.lane.wait_enter()
        except WouldBlock:
            assert self._holders() or self.nested, f"{process.name} waits for a turn that nobody has"
            self.say(f"{process.name} does not get the turn")
            process.lane.close()
            return
        self.say(f"{process.name} has the turn")
        assert not self._holders(), f"{process.name} was granted the turn that {self._holders()} has"
        process.has_turn = True
        found = dict(process.lane.read_turn())
        assert self.records is None or found in self.records, f"the turn holds {found}, not one of {self.records}"
        self._records_written += 1
        record: dict[str, object] = {"write": self._records_written}
        self.records = [found, record]
        process.lane.write_turn(record)
        self.records = [record]

    def _holders(self) -> list[str]:
        return [process.name for process in self.alive() if process.has_turn]

    def _try(self, process: SimProcess, verb: Callable[[], None]) -> None:
        process.opened = True
        try:
            verb()
        except Killed:
            self.say(f"{process.name} died")
        except NotDurable as error:
            self._check_cause(process, error)

    def _check_cause(self, process: SimProcess, error: NotDurable) -> None:
        volume = self.volume
        self.say(f"{process.name} was refused: {str(error)[:150]}")
        cause = self.nested or volume.sync_fails or volume.name_sync_fails or volume.full or volume.read_only
        assert cause, f"{process.name} was refused without a cause: {error}"

    def _older_number(self) -> int:
        contents = [file.content for path, file in self.volume.names.items() if path.match("kraken_nonce*.txt")]
        return max((int(content) for content in contents if content.isdigit()), default=0)

    # --- what happens ---------------------------------------------------------------------------------------------

    def step_clock(self, seconds: float) -> None:
        """Somebody sets the clock."""
        if self.frail:
            return
        self.say(f"the clock is set by {seconds:+.3f} s")
        self.clock.step(seconds)
        self._stepped_s += max(0.0, seconds)
        self.leaped = self.leaped or self._stepped_s > HOUR_S / 2
        self.in_time = False

    def power_loss(self, rng: random.Random) -> None:
        """Power fails. The machine comes back, perhaps with a clock that is wrong."""
        self.say("power is lost")
        self.volume.power_loss(rng)
        self._after_boot()
        if not self.frail and rng.random() < 0.7:
            self.clock.step(rng.choice((-7 * 24 * HOUR_S, -HOUR_S, -60, -2, -0.5, 0.5, 60, 24 * HOUR_S)))
            self.in_time = False
            self.say("the machine has booted, with a clock that is wrong")

    def _after_boot(self) -> None:
        self.clock.advance(1)
        self.clock.reboot()
        self.leaped, self._stepped_s = False, 0.0
        self.records = None

    def kill(self, process: SimProcess) -> None:
        """kill -9."""
        self.say(f"{process.name} is killed")
        process.disk.kill()

    def may_harm(self) -> bool:
        """Whether somebody may take away what is stored: only while the clock alone would do."""
        return self.in_time and not self.frail and not self.leaped

    def harmed(self, *, file: bool = False, mark: bool = False) -> None:
        """Somebody did."""
        self.frail_file, self.frail_mark = self.frail_file or file, self.frail_mark or mark
        for process in self.processes if mark else ():
            process.sees_mark = False
        self.clock.advance(1)
