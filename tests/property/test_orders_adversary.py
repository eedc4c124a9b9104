"""Orders against an adversary that delivers, delays, reorders, drops, lies about connections, and kills."""

import os
import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from order_world import LOST, World

SOAK = bool(os.environ.get("SEALANE_SOAK"))
KINDS = ("limit", "market", "too dear")


def see_to_the_end(world, *, crash_first):
    if crash_first:
        world.crash()
    world.finish()
    world.crash()  # whoever was left in doubt is gone on with by a restart
    world.finish()
    world.judge()


class Adversary(RuleBasedStateMachine):
    window = 0

    def __init__(self):
        super().__init__()
        self.world = World(window=self.window)
        self.world.ask("limit")  # the key's window is known from here on
        self.world.finish()

    def some(self, data, waiting=None):
        messages = [m for m in self.world.messages if waiting is None or (m.waiting is not None) == waiting]
        return data.draw(st.sampled_from(messages))

    @precondition(lambda self: len(self.world.flowing) < 4)
    @rule(kind=st.sampled_from(KINDS))
    def ask(self, kind):
        self.world.ask(kind)

    @precondition(lambda self: self.world.messages)
    @rule(data=st.data())
    def answer(self, data):
        self.world.arrive(self.some(data))

    @precondition(lambda self: self.world.messages)
    @rule(data=st.data(), garbled=st.booleans())
    def arrive_unheard(self, data, garbled):
        self.world.arrive(self.some(data), answered=garbled, garbled=garbled)

    @precondition(lambda self: any(m.waiting for m in self.world.messages))
    @rule(data=st.data())
    def give_up_waiting(self, data):
        """The sender is told that the connection was lost, and the request travels on."""
        self.world.tell(self.some(data, waiting=True), LOST)

    @precondition(lambda self: any(m.waiting for m in self.world.messages))
    @rule(data=st.data())
    def refuse(self, data):
        self.world.refuse(self.some(data, waiting=True))

    @precondition(lambda self: self.world.messages)
    @rule(data=st.data())
    def drop(self, data):
        self.world.drop(self.some(data))

    @rule(seconds=st.sampled_from([0.1, 0.5, 0.5, 1.0, 4.0, 12.0]))
    def pass_time(self, seconds):
        self.world.pass_time(seconds)

    @rule(chance=st.integers(0, 5))
    def crash(self, chance):
        if not chance:
            self.world.crash()

    @invariant()
    def nothing_is_doubled(self):
        assert all(times == 1 for times in self.world.accepted.values())

    def teardown(self):
        see_to_the_end(self.world, crash_first=len(self.world.messages) % 2)


class WithAWindow(Adversary):
    """A nonce window lets old requests in: no replay then, and only the deadline shuts them out."""

    window = 10**18


TestAdversary = Adversary.TestCase
TestAdversary.settings = settings(max_examples=3_000 if SOAK else 150, stateful_step_count=50, deadline=None)
TestWithAWindow = WithAWindow.TestCase
TestWithAWindow.settings = settings(max_examples=500 if SOAK else 50, stateful_step_count=40, deadline=None)


STORIES = 20_000 if SOAK else 1_500
STEPS = 40
MOVES = {
    "ask": 3,
    "answer": 12,
    "unheard": 3,
    "garbled": 2,
    "give up": 4,
    "refuse": 2,
    "drop": 2,
    "time": 12,
    "crash": 1,
}


def play(seed, window=0):
    """One story under a seed, with the odds on trouble with orders rather than with everything else."""
    rng = random.Random(seed)
    world = World(window=window)
    world.ask("limit")
    world.finish()
    for _ in range(rng.randrange(STEPS)):
        move = rng.choices(list(MOVES), MOVES.values())[0]
        waiting = [message for message in world.messages if message.waiting]
        if move == "ask":
            world.ask(rng.choice(KINDS))
        elif move == "time":
            world.pass_time(rng.choice([0.06, 0.5, 1.0, 3.1]))
        elif move == "crash":
            world.crash()
        elif move == "answer" and world.messages:
            world.arrive(rng.choice(world.messages))
        elif waiting:
            message = rng.choice(waiting)
            {
                "unheard": lambda m: world.arrive(m, answered=False),
                "garbled": lambda m: world.arrive(m, garbled=True),
                "give up": lambda m: world.tell(m, LOST),
                "refuse": world.refuse,
                "drop": world.drop,
            }.get(move, world.arrive)(message)
    see_to_the_end(world, crash_first=rng.random() < 0.5)
    return world


def test_no_story_doubles_or_loses_an_order():
    placed = 0
    for seed in range(STORIES):
        try:
            placed += len(play(seed).accepted)
        except AssertionError as error:
            raise AssertionError(f"story {seed}: {error}") from error
    assert placed > STORIES


def test_no_story_with_a_nonce_window_does():
    for seed in range(STORIES // 2):
        try:
            play(seed, window=10**18)
        except AssertionError as error:
            raise AssertionError(f"story {seed}: {error}") from error
