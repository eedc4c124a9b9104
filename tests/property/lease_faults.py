"""What goes wrong in a world of leases. A *class* of faults is drawn for each seed, so that each promise is judged both
with and without what it excludes; see ``lease_judge``."""

import copy

from lease_judge import FORWARD, Broken
from lease_machines import MS, Process, S

from sealane.errors import Unavailable
from sealane.testing import Killed

ENGINE_LIMIT_NS = 5 * S
KINDS = (
    "pauses",
    "deaths",
    "reboots",
    "clones",
    "unreachable",
    "answers lost",
    "late requests",
    "hints lost",
    "messages late",
    "wall steps",
    "engine restarts",
    "engine back",
    "engine forward",
    "engine empty",
    "engine rolled back",
)


class Faults:
    """Kinds of faults, each as often as the seed says, until ``over``."""

    among: tuple[str, ...] = KINDS

    def __init__(self, world) -> None:
        self.world, self.rng, self.stage = world, world.rng, world.stage
        chosen = [kind for kind in self.among if self.rng.random() < 0.3]
        self.kinds = set(chosen or self.rng.sample(self.among, 1))
        self.over = False
        self.away_until_ns = 0
        self.clones = 0
        self.kept = None
        world.judge.note(f"faults: {', '.join(sorted(self.kinds))}")

    def _happens(self, kind: str, chance: float) -> bool:
        return not self.over and kind in self.kinds and self.rng.random() < chance

    # --- in the midst of what a process does ----------------------------------------------------------------------

    def trip(self, process: Process) -> None:
        """A process read a clock, or is about to send: it may be stopped here, or die."""
        if self._happens("pauses", 0.02):
            process.stopped_until_ns = self.stage.now_ns + self.rng.randint(100 * MS, 9 * S)
            self.world.judge.note(
                f"{process.name} is stopped for {(process.stopped_until_ns - self.stage.now_ns) // MS} ms"
            )
            self.stage.sleep(1)
        elif self._happens("deaths", 0.01):
            self.stage.at(self.stage.now_ns + self.rng.randint(10 * MS, 3 * S), lambda: self._again(process.box))
            process.kill()
            raise Killed
        elif self.rng.random() < 0.05:
            self.stage.sleep(self.rng.randint(1, 20 * MS))

    def _again(self, box) -> None:
        if not box.processes:
            Process(box)

    # --- between a process and the engine -------------------------------------------------------------------------

    def asked(self, process: Process, step):
        """Ask the engine: what its caller hears, and whether and when the step is made."""
        if not process.alive:
            raise Killed
        self.stage.sleep(self.rng.randint(100_000, 2 * MS))
        if self.stage.now_ns < self.away_until_ns:
            self.stage.sleep(self.rng.choice((MS, ENGINE_LIMIT_NS)))
            raise Unavailable("the engine cannot be reached")
        if self._happens("late requests", 0.15):
            self.stage.at(self.stage.now_ns + self.rng.randint(MS, self.rng.choice((100 * MS, S, 8 * S))), step)
            self.stage.sleep(self.rng.choice((MS, ENGINE_LIMIT_NS)))
            raise Unavailable("the engine did not answer")
        answer = step()
        if self._happens("answers lost", 0.05):
            if self.rng.random() < 0.5:
                self.stage.sleep(self.rng.randint(MS, S))
                return step()
            self.stage.sleep(self.rng.choice((MS, ENGINE_LIMIT_NS)))
            raise Unavailable("the answer was lost")
        if self.rng.random() < 0.3:
            self.stage.sleep(self.rng.choice((MS, MS, MS, S)) + self.rng.randint(0, MS))
        return answer

    def loses_hint(self) -> bool:
        return self._happens("hints lost", 0.5)

    def message_delay_ns(self) -> int | None:
        """How long a request is on its way to the exchange; None where it never comes."""
        if self._happens("messages late", 0.1):
            return None if self.rng.random() < 0.2 else self.rng.randint(MS, 12 * S)
        return self.rng.randint(MS, 40 * MS)

    def loses_answer(self) -> bool:
        return self._happens("messages late", 0.05)

    # --- at any time ----------------------------------------------------------------------------------------------

    def plan(self, until_ns: int) -> None:
        """Put what happens from outside into the stage's book."""
        happenings = {
            "reboots": self._reboot,
            "clones": self._clone,
            "unreachable": self._unreachable,
            "wall steps": self._wall_step,
            "engine restarts": self._restart,
            "engine back": self._back,
            "engine forward": self._forward,
            "engine empty": self._empty,
            "engine rolled back": self._roll_back,
        }
        for kind in KINDS:
            if kind in self.kinds and kind in happenings:
                for _ in range(self.rng.choice((1, 1, 2, 3))):
                    at_ns = self.stage.now_ns + self.rng.randint(0, until_ns - self.stage.now_ns)
                    self.stage.at(at_ns, lambda kind=kind: self._happen(kind, happenings[kind]))

    def _happen(self, kind: str, happens) -> None:
        if not self.over:
            self.world.judge.note(f"--- {kind}")
            happens()

    def _reboot(self) -> None:
        box = self.rng.choice(self.world.boxes)
        box.reboot()
        self.stage.at(self.stage.now_ns + self.rng.randint(10 * MS, 5 * S), lambda: self._again(box))

    def _clone(self) -> None:
        self.clones += 1
        self.world.add_box(f"clone{self.clones}", self.rng.choice(self.world.boxes))

    def _unreachable(self) -> None:
        self.away_until_ns = self.stage.now_ns + self.rng.randint(100 * MS, 12 * S)

    def _wall_step(self) -> None:
        self.rng.choice(self.world.boxes).wall_off_ns += self.rng.randint(-600 * S, 600 * S)

    def _restart(self) -> None:
        self.world.engine.restart()

    def _back(self) -> None:
        self.world.engine_off_ns -= self.rng.randint(MS, self.rng.choice((2 * S, 3_600 * S)))

    def _forward(self) -> None:
        self.world.judge.excuses.add(FORWARD)
        self.world.engine_off_ns += self.rng.randint(MS, self.rng.choice((2 * S, 60 * S)))

    def _empty(self) -> None:
        self.world.judge.lost()
        self.world.engine.restart(losing_all=True)

    def _roll_back(self) -> None:
        """Keep a copy now; some time later it is all there is."""
        kept = copy.deepcopy(self.world.engine._lanes)

        def replaced() -> None:
            self.world.judge.note("--- the engine is its replica of before")
            self.world.judge.lost()
            self.world.engine.restart()
            self.world.engine._lanes = kept

        self.stage.at(self.stage.now_ns + self.rng.randint(MS, 4 * S), lambda: None if self.over else replaced())

    def end(self) -> None:
        """All is well from now on."""
        self.over = True
        self.away_until_ns = 0
        for box in self.world.boxes:
            if not box.processes:
                Process(box)
            for process in box.processes:
                process.stopped_until_ns = 0


SPAN_NS = 10 * S
SERVED_WITHIN_NS = 40 * S
"""All wait for one lease, then each at most for the turns of the others."""


def play(seed: int, among=KINDS):
    """One history; raises Broken. Returns its world."""
    from lease_world import World

    class Among(Faults):
        pass

    Among.among = tuple(among)
    wild = seed % 3 == 0
    world = World(seed, Among, wild=wild)
    stage = world.stage
    try:
        world.faults.plan(stage.now_ns + SPAN_NS)
        stage.play(stage.now_ns + SPAN_NS)
        world.faults.end()
        calm_ns = stage.now_ns
        world.judge.note("--- all is well from now on")

        def all_served() -> bool:
            return all(process.served_ns > calm_ns for box in world.boxes for process in box.processes)

        stage.play(calm_ns + SERVED_WITHIN_NS, all_served)
        waiting = [process.name for box in world.boxes for process in box.processes if process.served_ns <= calm_ns]
        world.judge.require(not waiting, f"{waiting} had no turn within {SERVED_WITHIN_NS // S} s after all faults")
    except Broken as error:
        error.story = world.judge.log
        raise
    finally:
        stage.close()
    return world
