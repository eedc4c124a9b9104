"""Random histories of the log of intents, each from a seed, in the manner of ``file_histories``."""

# ruff: noqa: S311 - seeds are wanted here, not secrecy

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from sealane.testing.intent_world import IntentProcess, IntentWorld, MakeLog

STEPS_MAX = 40
MIDST_CALLS = 25
"""How many disk calls deep into a verb something may happen."""

Step = tuple[str, int]
Act = Callable[[IntentWorld, random.Random], None]


def history(seed: int, among: Sequence[str] | None = None) -> list[Step]:
    """The steps of one history, all from ``among``, by default any."""
    rng = random.Random(seed)
    names = among or tuple(_WEIGHED)
    chosen = rng.choices(names, [_WEIGHED[name][0] for name in names], k=rng.randint(4, STEPS_MAX))
    return [(name, rng.getrandbits(32)) for name in chosen]


def play(steps: list[Step], make_log: MakeLog) -> IntentWorld:
    """Live through a history. Raises AssertionError where something was wrong, with what happened until then."""
    world = IntentWorld(make_log)
    try:
        for name, step_seed in steps:
            _WEIGHED[name][1](world, random.Random(step_seed))
            world.alive()
        world.finish()
    except AssertionError as error:
        raise AssertionError("\n".join([*world.log, str(error)])) from error
    return world


# --- steps ------------------------------------------------------------------------------------------------------------


def _write(world: IntentWorld, rng: random.Random) -> None:
    process = world.some_process(rng)
    for _ in range(rng.choice((1, 1, 2, 8))):
        world.write(process, rng)


def _look(world: IntentWorld, rng: random.Random) -> None:
    world.look(world.some_process(rng))


def _own(world: IntentWorld, rng: random.Random) -> None:
    world.own(world.some_process(rng))


def _in_the_midst(happens: Callable[[IntentWorld, random.Random, IntentProcess], None]) -> Act:
    """Some writes, and at some disk call of one something else."""

    def act(world: IntentWorld, rng: random.Random) -> None:
        process = world.some_process(rng)
        for _ in range(rng.choice((0, 0, 10))):  # so that the log is due to be written anew, or nearly
            world.write(process, rng)
        process.disk.trip(rng.randint(1, MIDST_CALLS), lambda: happens(world, rng, process))
        if rng.random() < 0.1:
            world.own(process)
        for _ in range(3):
            if process.disk.alive:
                world.write(process, rng)
        process.disk.disarm()

    return act


def _another(world: IntentWorld, rng: random.Random, process: IntentProcess) -> None:
    others = [other for other in world.alive() if other is not process] or [world.new_process()]
    world.nested = True
    try:
        for _ in range(rng.choice((1, 1, 10))):
            world.write(others[0], rng)
    finally:
        world.nested = False


def _kill(world: IntentWorld, rng: random.Random) -> None:
    world.kill(world.some_process(rng))


def _kill_all(world: IntentWorld, rng: random.Random) -> None:
    for process in tuple(world.processes):
        world.kill(process)


def _close(world: IntentWorld, rng: random.Random) -> None:
    process = world.some_process(rng)
    world.say(f"{process.name} closes the log")
    process.log.close()


def _remount(world: IntentWorld, rng: random.Random) -> None:
    world.say("the volume is mounted anew")
    world.volume.remount()


def _trouble(world: IntentWorld, rng: random.Random) -> None:
    """The disk fails for a few verbs, and then does not."""
    flag = rng.choice(("sync_fails", "name_sync_fails", "full", "read_only"))
    world.say(f"the disk: {flag}")
    setattr(world.volume, flag, True)
    for _ in range(rng.randint(1, 4)):
        rng.choice((_write, _write, _look, _own, _close, _kill, _power_loss))(world, rng)
    setattr(world.volume, flag, False)
    world.say("the disk works again")


def _power_loss(world: IntentWorld, rng: random.Random) -> None:
    world.power_loss(rng)


_WEIGHED: dict[str, tuple[int, Act]] = {
    "write": (14, _write),
    "look": (5, _look),
    "own": (2, _own),
    "killed in the midst": (5, _in_the_midst(lambda world, rng, process: world.kill(process))),
    "power lost in the midst": (6, _in_the_midst(lambda world, rng, process: world.power_loss(rng))),
    "another in the midst": (5, _in_the_midst(_another)),
    "kill": (2, _kill),
    "kill all": (1, _kill_all),
    "power lost": (3, _power_loss),
    "close": (2, _close),
    "mounted anew": (1, _remount),
    "disk trouble": (3, _trouble),
}
