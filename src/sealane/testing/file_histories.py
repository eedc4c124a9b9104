"""Random histories of the file store, each from a seed, judged and, where one fails, cut down to what it takes.

A history is a list of steps, each with a seed of its own, so that leaving steps out leaves the others as they were.
"""

# ruff: noqa: S311 - seeds are wanted here, not secrecy

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from sealane.testing.file_world import FOLDER, HOUR_S, LANE, SPOTTED_S, FileWorld, MakeStore, SimProcess

STEPS_MAX = 30
MIDST_CALLS = 30
"""How many disk calls deep into a verb something may happen."""

Step = tuple[str, int]
Act = Callable[[FileWorld, random.Random], None]


def history(seed: int, among: Sequence[str] | None = None) -> list[Step]:
    """The steps of one history, all from ``among``, by default any."""
    rng = random.Random(seed)
    names = among or STEPS
    weights = [_WEIGHED[name][0] for name in names]
    chosen = rng.choices(names, weights, k=rng.randint(4, STEPS_MAX))
    return [(name, rng.getrandbits(32)) for name in chosen]


def play(seed: int, steps: list[Step], make_store: MakeStore) -> FileWorld:
    """Live through a history. Raises AssertionError where something was wrong, with what happened until then."""
    world = FileWorld(seed, make_store)
    try:
        for name, step_seed in steps:
            _WEIGHED[name][1](world, random.Random(step_seed))
            world.alive()
    except AssertionError as error:
        raise AssertionError("\n".join([*world.log, f"seed {seed}: {error}"])) from error
    return world


def shortest(seed: int, steps: list[Step], make_store: MakeStore) -> tuple[list[Step], str]:
    """A failing history without the steps that it does not take, and its story."""
    story = ""
    index = len(steps)
    while index:
        index -= 1
        fewer = steps[:index] + steps[index + 1 :]
        try:
            play(seed, fewer, make_store)
        except AssertionError as error:
            steps, story, index = fewer, str(error), len(fewer)
    return steps, story


# --- steps ------------------------------------------------------------------------------------------------------------


def _pass_time(world: FileWorld, rng: random.Random) -> None:
    world.clock.advance(rng.choice((0, 1e-9, 1e-6, 1e-3, 0.02, 0.5, 2, 5, 60, 5 * HOUR_S)))


def _draw(world: FileWorld, rng: random.Random) -> None:
    process = world.some_process(rng)
    for _ in range(rng.choice((1, 1, 2, 5))):
        if process.disk.alive:
            world.draw(process)
            world.clock.advance(rng.choice((0, 0, 1e-6, 0.3)))


def _draw_and_reserve(world: FileWorld, rng: random.Random) -> None:
    process = world.some_process(rng)
    world.draw(process)
    if process.disk.alive:
        world.reserve(process)


def _reserve(world: FileWorld, rng: random.Random) -> None:
    world.reserve(world.some_process(rng))


def _turn(world: FileWorld, rng: random.Random) -> None:
    process = world.some_process(rng)
    world.turn(process)
    if process.disk.alive and process.has_turn and rng.random() < 0.7:
        world.draw(process)
        if process.disk.alive and rng.random() < 0.7:
            world.turn(process)


def _raise_floor(world: FileWorld, rng: random.Random) -> None:
    ahead_ns = rng.choice((-(10**12), 0, 10**6, 60 * 10**9, 600 * 10**9, 10 * 24 * HOUR_S * 10**9))
    if not world.frail:
        floor = max(world.judge.last, rng.choice((0, world.now()))) + ahead_ns // world.unit_ns
        world.raise_floor(world.some_process(rng), floor)


def _in_the_midst(happens: Callable[[FileWorld, random.Random, SimProcess], None]) -> Act:
    """A verb, and at some disk call of it something else."""

    def act(world: FileWorld, rng: random.Random) -> None:
        process = world.some_process(rng)
        process.disk.trip(rng.randint(1, MIDST_CALLS), lambda: happens(world, rng, process))
        rng.choice((world.draw, world.draw, world.draw, world.reserve, world.turn))(process)
        process.disk.disarm()

    return act


def _another(world: FileWorld, rng: random.Random, process: SimProcess) -> None:
    others = [other for other in world.alive() if other is not process]
    if not others:
        return
    world.nested = True
    try:
        rng.choice((world.draw, world.draw, world.reserve, world.turn))(rng.choice(others))
    finally:
        world.nested = False


def _kill(world: FileWorld, rng: random.Random) -> None:
    world.kill(world.some_process(rng))


def _kill_all(world: FileWorld, rng: random.Random) -> None:
    for process in tuple(world.processes):
        world.kill(process)


def _close(world: FileWorld, rng: random.Random) -> None:
    process = world.some_process(rng)
    if not process.has_turn:
        world.say(f"{process.name} closes the lane")
        process.lane.close()


def _step_clock(world: FileWorld, rng: random.Random) -> None:
    seconds = rng.choice((0.001, 1, 2.9, 60, 1800, HOUR_S * 1.5, 3 * 24 * HOUR_S, 400 * 24 * HOUR_S))
    world.step_clock(rng.choice((-1, -1, 1)) * seconds)


def _confirm(world: FileWorld, rng: random.Random) -> None:
    if not world.frail:
        world.confirm(world.some_process(rng))


def _remount(world: FileWorld, rng: random.Random) -> None:
    torn_out = rng.random() < 0.5
    world.say("the volume is torn out and mounted anew" if torn_out else "the volume is mounted anew")
    world.volume.remount(rng if torn_out else None)
    world.records = None


def _spoil(world: FileWorld, rng: random.Random) -> None:
    """The nonce file becomes something that is no number, or goes: the mark stands below."""
    if world.frail_mark:
        return
    content = world.volume.content(world.nonce_path) or b""
    spoiled = rng.choice((b"", b"\0" * 19, b"\0" * 5000, b"garbage", rng.randbytes(30), content + b"?", b"-" + content))
    world.say(f"somebody spoils the nonce file: {spoiled[:30]!r}")
    rng.choice((world.volume.overwrite, world.volume.replace))(world.nonce_path, spoiled)
    if rng.random() < 0.3:
        world.volume.remove(world.nonce_path)
    world.clock.advance(SPOTTED_S)


def _touch(world: FileWorld, rng: random.Random) -> None:
    """The nonce file keeps its number, in a form that is not the store's own."""
    content = world.volume.content(world.nonce_path)
    if content is not None and content.isdigit():
        touched = rng.choice((content + b"\n", b" " + content, b"000" + content, content + b" " * 30))
        world.say(f"somebody touches the nonce file: {touched!r}")
        rng.choice((world.volume.overwrite, world.volume.replace))(world.nonce_path, touched)
        world.clock.advance(SPOTTED_S)


def _older_copy(world: FileWorld, rng: random.Random) -> None:
    """A number that was right once, or the head of one."""
    if not world.may_harm() or not world.issued:
        return
    number = b"%d" % rng.choice(world.issued)
    content = rng.choice((number, number[: rng.randint(1, len(number))]))
    world.say(f"somebody puts an older copy back: {content!r}")
    rng.choice((world.volume.overwrite, world.volume.replace))(world.nonce_path, content)
    world.harmed(file=True)


def _harm_mark(world: FileWorld, rng: random.Random) -> None:
    if world.may_harm():
        world.say("somebody spoils the mark")
        world.volume.remove(world.mark_path)
        if rng.random() < 0.5:
            world.volume.replace(world.mark_path, rng.randbytes(9000))
        world.harmed(mark=True)


def _remove_all(world: FileWorld, rng: random.Random) -> None:
    if world.may_harm() and not any(process.has_turn for process in world.processes):
        world.say("somebody removes everything")
        for path in tuple(world.volume.names):
            world.volume.remove(path)
        world.records = None
        world.harmed(file=True, mark=True)


def _remove_turn(world: FileWorld, rng: random.Random) -> None:
    if not any(process.has_turn for process in world.processes):
        world.say("somebody removes the turn's files")
        for ending in ("turn", "next"):
            world.volume.remove(FOLDER / f"{LANE}.{ending}")
        world.records = None


def _older_file(world: FileWorld, rng: random.Random) -> None:
    ns = world.clock.wall_ns()
    content = rng.choice((b"%d" % (ns // 1000), b"%d" % (ns // 10**6), b"%d" % (ns + 10**12), b"", b"x", b"\0" * 16))
    if world.frail or (world.unit_ns > 1 and len(content) > 16):
        return  # larger than anything that a clock in this unit will catch up with
    path = FOLDER / rng.choice(("kraken_nonce.txt", "kraken_nonce_ann.txt"))
    world.say(f"{path.name} appears, and holds {content!r}")
    world.volume.replace(path, content)
    world.in_time = False


def _trouble(world: FileWorld, rng: random.Random) -> None:
    """The disk fails for a few draws, and then does not."""
    flag = rng.choice(("sync_fails", "name_sync_fails", "full", "read_only"))
    world.say(f"the disk: {flag}")
    setattr(world.volume, flag, True)
    for _ in range(rng.randint(1, 4)):
        _draw(world, rng)
        world.clock.advance(rng.choice((0, 0.5, 4)))
        rng.choice((_draw, _reserve, _raise_floor, _close, _kill))(world, rng)
    setattr(world.volume, flag, False)
    world.say("the disk works again")


def _power_loss(world: FileWorld, rng: random.Random) -> None:
    world.power_loss(rng)


_WEIGHED: dict[str, tuple[int, Act]] = {
    "time passes": (4, _pass_time),
    "draw": (10, _draw),
    "draw and reserve": (3, _draw_and_reserve),
    "reserve": (2, _reserve),
    "turn": (4, _turn),
    "floor": (4, _raise_floor),
    "killed in the midst": (5, _in_the_midst(lambda world, rng, process: world.kill(process))),
    "power lost in the midst": (5, _in_the_midst(lambda world, rng, process: world.power_loss(rng))),
    "another in the midst": (6, _in_the_midst(_another)),
    "kill": (2, _kill),
    "kill all": (1, _kill_all),
    "power lost": (4, _power_loss),
    "close": (2, _close),
    "clock set": (6, _step_clock),
    "clock confirmed": (1, _confirm),
    "mounted anew": (2, _remount),
    "file spoiled": (3, _spoil),
    "file touched": (1, _touch),
    "older copy": (3, _older_copy),
    "mark spoiled": (1, _harm_mark),
    "all removed": (1, _remove_all),
    "turn removed": (1, _remove_turn),
    "older file": (1, _older_file),
    "disk trouble": (3, _trouble),
}
STEPS = tuple(_WEIGHED)
"""The names of all steps."""
