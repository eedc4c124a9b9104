"""Thousands of histories of leased lanes: skewed and stepping clocks, machines and processes that stop, die, boot anew
or are cloned, and an engine that is away, late, forgetful or elsewhere in time. See ``lease_judge`` for the promises.

SEALANE_SEED=n plays one history alone; SEALANE_SOAK=1 plays twenty thousand. The broken products
below are there to show that the judge would find one that is broken.
"""

import logging
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from lease_faults import KINDS, play
from lease_judge import Broken
from lease_machines import Box

from sealane.core import hold, lease
from sealane.store import lessee
from sealane.store.hosted import HostedLane
from sealane.store.lessee import Lessee

HISTORIES = 20_000 if os.environ.get("SEALANE_SOAK") else 1_500
ONE_SEED = os.environ.get("SEALANE_SEED")
CHECKED = 300
"""Histories in which a broken product has to be found."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def one_processor() -> Iterator[None]:
    """Only one thread runs at a time, and takes over from the last one faster where that one ran."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {random.choice(sorted(allowed))})
    yield
    os.sched_setaffinity(0, allowed)


def find_failure(seeds: range, among: Sequence[str] = KINDS) -> str | None:
    """The story of the first history that goes wrong."""
    for seed in seeds:
        try:
            play(seed, among)
        except Broken as error:
            return "\n".join([*error.story, f"SEALANE_SEED={seed} tells it again"])
    return None


def test_no_history_breaks_a_promise() -> None:
    first = int(ONE_SEED) if ONE_SEED else random.randrange(10**9)
    story = find_failure(range(first, first + (1 if ONE_SEED else HISTORIES)))
    assert story is None, story


def test_a_seed_tells_the_same_story_twice() -> None:
    for seed in range(10):
        assert play(seed).judge.log == play(seed).judge.log


def test_the_histories_are_worth_judging() -> None:
    """Lanes change hands, cleanly and not, are refused what comes late, and are fenced."""
    judges = [play(seed).judge for seed in range(150)]
    assert sum(judge.handed_over for judge in judges) > 500
    assert sum(judge.unclean for judge in judges) > 100
    assert sum(len(judge.executed) for judge in judges) > 1_000
    assert sum(judge.refused for judge in judges) > 5


# --- broken products --------------------------------------------------------------------------------------------------

CALM = ("pauses", "deaths", "hints lost", "unreachable")


def without_margin(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hold, "MARGIN_PART", 10**12)


def ceiling_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lease, "_granted", _with(lease._granted, floor=lambda record: record.floor))


def _with(step: Callable, **changes: Callable) -> Callable:
    def broken(record, *arguments):
        return replace(step(record, *arguments), **{name: made(record) for name, made in changes.items()})

    return broken


def always_clean(patch: pytest.MonkeyPatch) -> None:
    settled = lease._settled

    def broken(record, engine):
        found = settled(record, engine)
        return found if record is None else replace(found, clean=record.clean)

    patch.setattr(lease, "_settled", broken)


def never_quiet(patch: pytest.MonkeyPatch) -> None:
    settled = lease._settled
    patch.setattr(lease, "_settled", lambda *given: replace(settled(*given), quiet_until_ms=0))


def epochs_do_not_matter(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lessee, "check", lambda lane: None)


def fences_do_not_travel(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lessee, "FENCE", "forgotten")


def clones_are_one_host(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Box, "host", property(lambda box: "the host"))


def a_boot_changes_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Box, "host", property(lambda box: box.name))


def an_old_epoch_is_used_again(patch: pytest.MonkeyPatch) -> None:
    ask = Lessee._ask

    def broken(lane, at_least):
        lane._file.write(replace(lane._file.read(), let_go=0))
        return ask(lane, at_least)

    patch.setattr(Lessee, "_ask", broken)


def a_clock_back_is_waited_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lease, "min", lambda first, second: first, raising=False)


def let_go_in_the_midst(patch: pytest.MonkeyPatch) -> None:
    tend = HostedLane.tend

    def at_any_time(lane, now_ns):
        if not lane.wanted:
            return tend(lane, now_ns)
        read_turn, lane._files.read_turn = lane._files.read_turn, dict
        try:
            return lane._lessee.release()
        finally:
            lane._files.read_turn = read_turn

    patch.setattr(HostedLane, "tend", at_any_time)


@pytest.mark.parametrize(
    ("broken", "among"),
    [
        (without_margin, CALM),
        (ceiling_ignored, (*CALM, "wall steps")),
        (always_clean, CALM),
        (never_quiet, ("engine empty", "hints lost")),
        (epochs_do_not_matter, ("pauses",)),
        (fences_do_not_travel, CALM),
        (clones_are_one_host, ("clones",)),
        (a_boot_changes_nothing, ("reboots",)),
        (let_go_in_the_midst, ("pauses",)),
        (an_old_epoch_is_used_again, ("late requests",)),
        (a_clock_back_is_waited_out, ("engine back",)),
    ],
    ids=lambda value: value.__name__ if isinstance(value, Callable) else "",
)
def test_the_judge_finds_a_product_with(
    broken: Callable[[pytest.MonkeyPatch], None], among: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch)
    assert find_failure(range(CHECKED), among) is not None
