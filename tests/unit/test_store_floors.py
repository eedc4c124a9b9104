"""Where a lane starts: rows N3, N5 and N6."""

import logging
from pathlib import Path

import pytest

from sealane.store.file import FileLane, FileStore
from sealane.testing import FakeClock

GLOBAL = "kraken_global_nonce"
NOW = 1_800_000_000 * 10**9
HOUR = 3600 * 10**9


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(wall_ns=NOW)


def opened(folder: Path, name: str = GLOBAL, *, unit_ns: int = 1, env_floor: int = 0) -> FileLane:
    return FileStore(folder, env_floor=env_floor).lane(name, unit_ns)


def first(lane: FileLane, clock: FakeClock) -> int:
    nonce = lane.draw(clock.wall_ns(), clock.boot_ns())
    lane.close()
    return nonce


def put(folder: Path, name: str, content: object) -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else str(content).encode())


# --- N3: file, else variable, else clock ------------------------------------------------------------------------------


def test_with_nothing_the_clock_decides(tmp_path: Path, clock: FakeClock) -> None:
    lane = opened(tmp_path)
    assert first(lane, clock) == NOW
    assert lane.loaded_from == "clock"


@pytest.mark.parametrize(("stored", "expected"), [(NOW - HOUR, NOW), (NOW + HOUR, NOW + HOUR + 1)])
def test_a_good_file_wins_over_a_larger_variable(tmp_path: Path, clock: FakeClock, stored: int, expected: int) -> None:
    put(tmp_path, f"{GLOBAL}.txt", stored)
    lane = opened(tmp_path, env_floor=NOW + 2 * HOUR)
    assert first(lane, clock) == expected
    assert lane.loaded_from == "file"


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"\0" * 19])
def test_the_variable_counts_without_a_good_file(tmp_path: Path, clock: FakeClock, content: bytes | None) -> None:
    if content is not None:
        put(tmp_path, f"{GLOBAL}.txt", content)
    lane = opened(tmp_path, env_floor=NOW + HOUR)
    assert first(lane, clock) == NOW + HOUR + 1
    assert lane.loaded_from == "KRAKEN_LAST_NONCE"


def test_a_variable_of_the_past_changes_nothing(tmp_path: Path, clock: FakeClock) -> None:
    assert first(opened(tmp_path, env_floor=NOW - HOUR), clock) == NOW


# --- N5: a file that is no good ---------------------------------------------------------------------------------------

SPOILED = [b"", b"\0" * 19, b"\0" * 100_000, b"garbage", b"-5", b"1e18", b"9" * 30, b"9" * 100_000, b"\xff\xfe1\x00"]


@pytest.mark.parametrize("content", SPOILED, ids=repr)
def test_a_bad_file_without_anything_else_is_told_and_the_clock_decides(
    tmp_path: Path, clock: FakeClock, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, f"{GLOBAL}.txt", content)
    with caplog.at_level(logging.WARNING, "sealane"):
        assert first(opened(tmp_path), clock) == NOW
    assert "Could not load persisted nonce" in caplog.text
    assert f"{GLOBAL}.txt" in caplog.text
    assert (tmp_path / f"{GLOBAL}.txt").read_bytes() == str(NOW).encode()


@pytest.mark.parametrize("content", [*SPOILED, None], ids=repr)
def test_a_bad_file_of_a_used_lane_never_starts_lower(
    tmp_path: Path, clock: FakeClock, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    nonce = first(opened(tmp_path), clock)
    (tmp_path / f"{GLOBAL}.txt").unlink()
    if content is not None:
        put(tmp_path, f"{GLOBAL}.txt", content)
    clock.step(-3600)
    lane = opened(tmp_path)
    with caplog.at_level(logging.WARNING, "sealane"):
        assert first(lane, clock) > nonce
    assert lane.loaded_from == "mark"
    assert "Could not load persisted nonce" in caplog.text


def test_a_new_folder_warns_of_nothing(tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    first(opened(tmp_path / "new"), clock)
    first(opened(tmp_path / "new"), clock)
    assert caplog.records == []


def test_a_file_with_space_around_its_number_is_good(tmp_path: Path, clock: FakeClock) -> None:
    put(tmp_path, f"{GLOBAL}.txt", f"  {NOW + HOUR}\r\n{' ' * 30}")
    assert first(opened(tmp_path), clock) == NOW + HOUR + 1
    assert (tmp_path / f"{GLOBAL}.txt").read_bytes() == str(NOW + HOUR + 1).encode()


# --- N6: what older programs left -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kraken_nonce.txt", "kraken_nonce_ann.txt", "kraken_nonce_my_user_2.txt"])
@pytest.mark.parametrize("own", [None, NOW - HOUR])
def test_an_older_file_is_a_floor(tmp_path: Path, clock: FakeClock, name: str, own: int | None) -> None:
    put(tmp_path, name, NOW + HOUR)
    if own is not None:
        put(tmp_path, f"{GLOBAL}.txt", own)
    lane = opened(tmp_path)
    assert first(lane, clock) == NOW + HOUR + 1
    assert lane.loaded_from == "older file"
    assert (tmp_path / name).read_text() == str(NOW + HOUR), "it is the older program's"


@pytest.mark.parametrize("unit_ns", [1_000, 1_000_000], ids=["us", "ms"])
def test_an_older_file_in_a_coarser_unit_is_below_the_clock(tmp_path: Path, clock: FakeClock, unit_ns: int) -> None:
    put(tmp_path, "kraken_nonce.txt", (NOW + HOUR) // unit_ns)
    assert first(opened(tmp_path), clock) == NOW


@pytest.mark.parametrize("unit_ns", [1_000, 1_000_000], ids=["us", "ms"])
def test_an_older_file_is_a_floor_of_a_lane_in_its_own_unit(tmp_path: Path, clock: FakeClock, unit_ns: int) -> None:
    put(tmp_path, "kraken_nonce.txt", (NOW + HOUR) // unit_ns)
    lane = opened(tmp_path, "kraken_key_0a", unit_ns=unit_ns)
    assert first(lane, clock) == (NOW + HOUR) // unit_ns + 1


def test_the_highest_of_several_counts(tmp_path: Path, clock: FakeClock) -> None:
    put(tmp_path, "kraken_nonce.txt", NOW + 1 * HOUR)
    put(tmp_path, "kraken_nonce_ann.txt", NOW + 3 * HOUR)
    put(tmp_path, "kraken_nonce_bob.txt", NOW + 2 * HOUR)
    put(tmp_path, "kraken_nonce_bad.txt", b"?")
    put(tmp_path, "kraken_nonce_empty.txt", b"")
    put(tmp_path, f"{GLOBAL}.txt", NOW + 2 * HOUR)
    assert first(opened(tmp_path), clock) == NOW + 3 * HOUR + 1


def test_a_bad_older_file_is_told_and_passed_over(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "kraken_nonce.txt", b"\0\0\0")
    assert first(opened(tmp_path), clock) == NOW
    assert "kraken_nonce.txt" in caplog.text


@pytest.mark.parametrize("name", ["kraken_nonce.txt.bak", "my_kraken_nonce.txt", "kraken_noncex.txt", "nonce.txt"])
def test_other_files_are_none_of_ours(tmp_path: Path, clock: FakeClock, name: str) -> None:
    put(tmp_path, name, NOW + HOUR)
    assert first(opened(tmp_path), clock) == NOW


# --- lanes among themselves -------------------------------------------------------------------------------------------


def test_the_global_lane_starts_above_every_key_and_a_key_above_the_global_lane(
    tmp_path: Path, clock: FakeClock
) -> None:
    put(tmp_path, "kraken_key_0a.txt", NOW + HOUR)
    assert first(opened(tmp_path), clock) == NOW + HOUR + 1
    put(tmp_path, f"{GLOBAL}.txt", NOW + 2 * HOUR)
    assert first(opened(tmp_path, "kraken_key_0a"), clock) == NOW + 2 * HOUR + 1
    put(tmp_path, "kraken_key_0b.txt", NOW + 3 * HOUR)
    assert first(opened(tmp_path, "kraken_key_0a"), clock) == NOW + 2 * HOUR + 2, "an old key has its own number"
    assert first(opened(tmp_path, "kraken_key_0c"), clock) == NOW + 3 * HOUR + 1, "a new key takes the highest"


@pytest.mark.parametrize(("unit_ns", "finer"), [(1_000, (1,)), (1_000_000, (1, 1_000))], ids=["us", "ms"])
def test_a_coarse_lane_is_not_lifted_by_finer_ones(
    tmp_path: Path, clock: FakeClock, unit_ns: int, finer: tuple[int, ...]
) -> None:
    put(tmp_path, f"{GLOBAL}.txt", NOW + HOUR)
    for number, other in enumerate(finer):
        put(tmp_path, f"kraken_key_0{number}.txt", (NOW + HOUR) // other)
    assert first(opened(tmp_path, "kraken_key_0a", unit_ns=unit_ns), clock) == NOW // unit_ns
    assert first(opened(tmp_path, "kraken_key_0a", unit_ns=unit_ns), clock) == NOW // unit_ns + 1


def test_a_coarse_lane_is_lifted_by_its_like(tmp_path: Path, clock: FakeClock) -> None:
    put(tmp_path, "kraken_key_0b.txt", (NOW + HOUR) // 1_000_000)
    lane = opened(tmp_path, "kraken_key_0a", unit_ns=1_000_000)
    assert first(lane, clock) == (NOW + HOUR) // 1_000_000 + 1
    assert lane.loaded_from == "another lane"
