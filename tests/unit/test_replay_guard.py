"""A bot's nonces: each taken once, whatever its unit, over kills, full disks and damaged files."""

import os
import random
import stat
import struct
import timeit

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from sealane.errors import NotDurable
from sealane.gateway.keys.replay_guard import OPEN_MAX, WINDOW, ReplayGuard, ReplayGuards

SIZE = 8 * WINDOW
MOST = 2**63 - 1
SHORT_LIVED = "/dev/shm" if os.path.isdir("/dev/shm") else None


@pytest.fixture
def path(tmp_path):
    return tmp_path / "nonces" / "key.nonces"


@pytest.fixture
def guard(path):
    guard = ReplayGuard(path)
    yield guard
    guard.close()


def reopened(guard):
    """What another process makes of the file, after this one was killed."""
    guard.close()
    return ReplayGuard(guard.path)


def test_a_nonce_is_taken_once_also_after_a_kill(guard):
    assert guard.accept(5)
    assert not guard.accept(5)
    other = reopened(guard)
    assert not other.accept(5)
    assert other.accept(6)
    other.close()


@pytest.mark.parametrize(
    "unit", [1, 1_800_000_000, 1_800_000_000_000, 1_800_000_000 * 10**9], ids=["1", "s", "ms", "ns"]
)
def test_any_unit_will_do_and_parallel_requests_may_overtake_each_other(guard, unit):
    nonces = [unit + number for number in range(4 * WINDOW)]
    shuffled = random.Random(7)
    for at in range(0, len(nonces), WINDOW // 4):
        batch = nonces[at : at + WINDOW // 4]
        shuffled.shuffle(batch)
        assert all(guard.accept(nonce) for nonce in batch)
    assert not any(guard.accept(nonce) for nonce in nonces)


def test_below_the_window_all_is_old(guard):
    assert all(guard.accept(nonce) for nonce in range(1_000, 1_000 + 2 * WINDOW, 2))
    assert not guard.accept(999)
    assert guard.accept(1_001)
    assert not guard.accept(1_000)


def test_one_odd_number_far_ahead_shuts_nobody_out(guard):
    assert guard.accept(MOST)
    assert all(guard.accept(nonce) for nonce in range(1, 4 * WINDOW))
    assert not guard.accept(MOST)


@pytest.mark.parametrize("nonce", [0, -1, 2**63, 2**64, 2**200])
def test_a_number_that_kraken_has_not_is_refused_and_touches_nothing(guard, path, nonce):
    assert not guard.accept(nonce)
    assert not path.exists()


def test_the_file_is_private_and_keeps_its_size(guard, path):
    for nonce in range(1, 3 * WINDOW):
        assert guard.accept(nonce)
    assert path.stat().st_size == SIZE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(struct.unpack(f"<{WINDOW}Q", path.read_bytes())) == list(range(2 * WINDOW, 3 * WINDOW))


def test_what_could_not_be_written_was_not_taken(path):
    failing = []

    def write(fd, content, offset):
        if failing:
            raise OSError(28, "No space left on device")
        return os.pwrite(fd, content, offset)

    guard = ReplayGuard(path, write=write)
    assert guard.accept(1)
    failing.append(True)
    with pytest.raises(NotDurable, match="No space left"):
        guard.accept(2)
    failing.clear()
    assert not guard.is_open  # the next nonce opens it anew, where a volume came back as another
    assert not guard.accept(1)
    assert guard.accept(2)
    guard.close()


def test_a_part_of_a_number_that_was_written_is_damage_and_not_a_beginning(path):
    guard = ReplayGuard(path, write=lambda fd, content, offset: os.pwrite(fd, content[:3], offset))
    with pytest.raises(NotDurable, match="part"):
        guard.accept(2**50)
    guard.close()


def written(*numbers):
    return struct.pack(f"<{WINDOW}Q", *numbers, *[0] * (WINDOW - len(numbers)))


DAMAGE = {
    "short": b"x",
    "shorter": bytes(SIZE - 1),
    "longer": bytes(SIZE + 1),
    "ones": b"\xff" * SIZE,
    "twice": written(5, 5),
    "hole": written(5, 0, 6),
    "large": written(2**63),
    "junk": b"junk" * (SIZE // 4),
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_fails_closed_and_names_the_remedy(guard, path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(NotDurable, match="keys rotate"):
            guard.accept(10**18)
    assert path.read_bytes() == content


def test_a_death_before_the_file_had_its_size_leaves_a_new_one(guard, path):
    path.parent.mkdir()
    path.touch(0o600)
    assert guard.accept(1)
    assert path.stat().st_size == SIZE


def test_two_gateways_cannot_take_one_nonce(guard, path):
    other = ReplayGuard(path)
    assert guard.accept(1)
    with pytest.raises(NotDurable, match="another gateway"):
        other.accept(1)
    guard.close()
    assert not other.accept(1)
    with pytest.raises(NotDurable, match="another gateway"):
        guard.accept(2)
    other.close()


def test_a_hundred_keys_and_more_within_a_bound_of_open_files(tmp_path):
    guards = ReplayGuards(tmp_path / "nonces", open_max=5)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    for nonce in (1, 2):
        for number in range(40):
            assert guards.accept(f"key{number}", nonce)
            assert not guards.accept(f"key{number}", nonce)
            if before is not None:
                assert len(os.listdir("/proc/self/fd")) <= before + 5
    guards.close()
    assert OPEN_MAX >= 100
    assert not ReplayGuard(tmp_path / "nonces" / "key7.nonces").accept(2)


def test_a_nonce_is_cheap(guard):
    """Some 2 µs here, a write of 8 bytes among it; the limit leaves room for a busy machine."""
    nonces = iter(range(10**18, 10**18 + 10_000))
    took_s = min(timeit.repeat(lambda: guard.accept(next(nonces)), number=200, repeat=20)) / 200
    assert took_s < 50e-6


class Model:
    """The rule, told the long way round."""

    def __init__(self):
        self.last = []

    def accept(self, nonce):
        if nonce in self.last or not 0 < nonce <= MOST:
            return False
        if len(self.last) == WINDOW:
            if nonce < min(self.last):
                return False
            self.last.remove(min(self.last))
        self.last.append(nonce)
        return True


class Killed(BaseException):
    pass


class GuardMachine(RuleBasedStateMachine):
    """Accepts, kills between memory and disk on either side, failed writes, and reopening, against the model."""

    @initialize(folder=st.uuids(), filled=st.sampled_from([0, 1, WINDOW - 2, WINDOW]))
    def begin(self, folder, filled):
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory(prefix="guard-", dir=SHORT_LIVED)
        self.mishap = None
        self.model = Model()
        self.path = Path(self.folder.name) / "key.nonces"
        self.guard = ReplayGuard(self.path, write=self.write)
        for nonce in range(100, 100 + filled):
            assert self.guard.accept(nonce) == self.model.accept(nonce)

    def write(self, fd, content, offset):
        mishap, self.mishap = self.mishap, None
        if mishap == "killed before":
            raise Killed
        if mishap == "failed":
            raise OSError(5, "Input/output error")
        done = os.pwrite(fd, content, offset)
        if mishap == "killed after":
            raise Killed
        return done

    @rule(nonce=st.integers(-1, 500) | st.integers(MOST - 3, MOST + 3))
    def accept(self, nonce):
        assert self.guard.accept(nonce) == self.model.accept(nonce)

    @rule(nonce=st.integers(90, 500), mishap=st.sampled_from(["killed before", "killed after", "failed"]))
    def trouble(self, nonce, mishap):
        self.mishap = mishap
        try:
            taken = self.guard.accept(nonce)
        except Killed:
            self.guard.close()  # as the kernel does for the dead
            self.guard = ReplayGuard(self.path, write=self.write)
            if mishap == "killed after":
                assert self.model.accept(nonce)
        except NotDurable:
            pass
        else:
            self.mishap = None
            assert not taken
            assert not self.model.accept(nonce)

    @rule()
    def reopen(self):
        self.guard.close()
        self.guard = ReplayGuard(self.path, write=self.write)

    @precondition(lambda self: self.model.last)
    @rule(data=st.data())
    def replay(self, data):
        assert not self.guard.accept(data.draw(st.sampled_from(self.model.last)))

    def teardown(self):
        self.guard.close()
        self.folder.cleanup()


GuardMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestGuardAgainstItsModel = GuardMachine.TestCase
