"""What stands in the data folder: nonce files, marks, keys' states, orders; real files, as the doctor reads them."""

import fcntl
import json
import os
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from sealane.core.nonce import MAX_NONCE, NS_PER_S
from sealane.core.recovery import KeyState
from sealane.doctor import store_facts
from sealane.doctor.finding import Level
from sealane.doctor.key_states import judge_states
from sealane.doctor.keys import judge_error
from sealane.doctor.nonce_clients import CLIENTS, client_of, consistent_with
from sealane.doctor.nonce_files import judge_nonce_files, lasted
from sealane.doctor.store_facts import read_store
from sealane.doctor.writers import Watch, judge_writers, watch_lane
from sealane.errors import NotDurable
from sealane.runtime.clock import SYSTEM_CLOCK
from sealane.store import disk
from sealane.store.disk import OsDisk
from sealane.store.file import FileStore
from sealane.store.floors import GLOBAL_LANE
from sealane.store.lock_holders import Process, told_remedy
from sealane.store.slots import write_slots

HOUR_NS = 3600 * NS_PER_S
KEY = "0123456789abcdef"
BAD = (Level.WARNING, Level.FAULT)


@pytest.fixture
def data(tmp_path):
    """A folder in which a lane was used, by the product's own store."""
    store = FileStore(tmp_path / "data")
    lane = store.lane(GLOBAL_LANE)
    lane.draw(SYSTEM_CLOCK.wall_ns(), SYSTEM_CLOCK.boot_ns())
    lane.close()
    return tmp_path / "data"


@pytest.fixture
def nonce_file(data):
    return data / f"{GLOBAL_LANE}.txt"


def judged(folder, *, lanes="global", env_floor=0, wall_ns=None, boot_ns=None):
    wall_ns = wall_ns or SYSTEM_CLOCK.wall_ns()
    boot_ns = boot_ns or SYSTEM_CLOCK.boot_ns()
    store = read_store(folder, env_floor=env_floor, unit_ns=1, wall_ns=wall_ns)
    return list(judge_nonce_files(store, lanes=lanes, env_floor=env_floor, wall_ns=wall_ns, boot_ns=boot_ns))


def states(folder, accounts=None):
    store = read_store(folder, env_floor=0, unit_ns=1, wall_ns=SYSTEM_CLOCK.wall_ns())
    return list(judge_states(store, accounts or {}, SYSTEM_CLOCK.wall_ns()))


def bad(findings):
    return {finding.check: finding for finding in findings if finding.level in BAD}


def put(path, document, slot_bytes=4096):
    """A document of the store, whole, as its owner would have written it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    disk = OsDisk()
    fd = disk.open(path)
    try:
        write_slots(disk, fd, document, 0, slot_bytes)
    finally:
        disk.close(fd)


def put_key(folder, **state):
    put(folder / "keys" / f"{KEY}.state", replace(KeyState(), **state).stored())


def put_order(folder, **document):
    path = folder / "orders" / "intents.log"
    path.parent.mkdir(exist_ok=True)
    whole = {"id": "order-1", "fingerprint": KEY, "nonce": 1, "owner": "", "settled": False} | document
    line = json.dumps([whole["id"], whole], separators=(",", ":")).encode()
    with path.open("ab") as file:
        file.write(b"\n%08x %s\n" % (zlib.crc32(line), line))


# --- the nonce file ---


def test_a_folder_in_use_is_sound(data):
    assert bad(judged(data)) == {}
    assert bad(states(data)) == {}


def test_reading_changes_nothing(data):
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    judged(data)
    states(data)
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before


def test_an_empty_folder_has_no_nonce_yet(tmp_path):
    findings = judged(tmp_path)
    assert bad(findings) == {}
    assert "No persisted nonce found" in findings[0].message


def test_issue_4_nonce_resets_to_current_time(data, nonce_file):
    """The guide's Issue 4: the file is there and cannot be read as a number, so that nonces start from the clock."""
    nonce_file.with_suffix(".mark").unlink()
    for content in (b"", b"\0" * 19, b"not a nonce", b"9" * 70, b"1737159471234567890 1737159471234567891"):
        nonce_file.write_bytes(content)
        found = bad(judged(data))["nonce-file"]
        assert found.level is Level.FAULT, content
        assert "Could not load persisted nonce" in found.message
        assert "starts from the clock" in found.message
        assert "sealane nonce raise" in found.remedy


def test_a_bad_file_beside_a_good_mark_is_a_warning_that_says_where_it_goes_on(data, nonce_file):
    nonce_file.write_bytes(b"")
    found = bad(judged(data))["nonce-file"]
    assert found.level is Level.WARNING
    assert "(mark)" in found.message


def test_a_bad_file_falls_back_to_the_variable(data, nonce_file):
    nonce_file.with_suffix(".mark").unlink()
    nonce_file.write_bytes(b"x")
    found = bad(judged(data, env_floor=4711))["nonce-file"]
    assert "4711 (KRAKEN_LAST_NONCE)" in found.message


def test_a_nonce_file_that_cannot_be_read(data, nonce_file):
    """A folder in its place: an error of the system that root meets too."""
    nonce_file.unlink()
    nonce_file.mkdir()
    assert "Could not load persisted nonce: [Errno 21]" in bad(judged(data))["nonce-file"].message


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"a-secret-in-the-wrong-file", "26 bytes that are no decimal integer"),
        (b"9" * 30, "30 digits"),
        (b"\0" * 19, "is empty"),
    ],
)
def test_a_bad_file_is_described_and_not_quoted(data, nonce_file, content, word):
    for path in (nonce_file, data / "kraken_nonce.txt"):
        path.write_bytes(content)
    found = bad(judged(data))
    for check in ("nonce-file", "older-file"):
        assert word in found[check].message
        assert "secret" not in found[check].message


@pytest.mark.parametrize("other", ["kraken_nonce.txt", f"{GLOBAL_LANE}.mark"])
def test_another_file_that_a_lane_needs_and_cannot_read(data, other):
    """The store raises NotDurable at the first nonce, whatever the lane's own file holds."""
    (data / other).unlink(missing_ok=True)
    (data / other).mkdir()
    assert "[Errno 21]" in bad(judged(data))["nonce-file"].message
    with pytest.raises(NotDurable):
        FileStore(data).lane(GLOBAL_LANE).draw(SYSTEM_CLOCK.wall_ns(), SYSTEM_CLOCK.boot_ns())


def test_what_sealane_never_writes_is_told(data, nonce_file):
    nonce_file.write_bytes(nonce_file.read_bytes() + b"\n")
    assert "something else wrote the file" in bad(judged(data))["nonce-content"].message


def test_a_spoiled_mark(data, nonce_file):
    nonce_file.with_suffix(".mark").write_bytes(b"garbage")
    assert bad(judged(data))["nonce-mark"].level is Level.WARNING


# --- rewound ---


def test_issue_1_invalid_nonce_after_restart(data, nonce_file):
    """The guide's Issue 1: the folder forgot, and what it does still know is above the next nonce."""
    ahead = SYSTEM_CLOCK.wall_ns() + HOUR_NS
    put_key(data, known_nonce=ahead, known_ns=1)
    nonce_file.with_suffix(".mark").unlink()
    for forget in (nonce_file.write_bytes, lambda _: nonce_file.unlink()):
        forget(b"1737159471234567890")
        found = bad(judged(data))["nonce-rewound"]
        assert found.level is Level.FAULT
        assert "EAPI:Invalid nonce" in found.message
        assert f"sealane nonce raise --to {ahead}" in found.remedy


def test_rewound_below_its_mark_is_harmless_since_the_lane_goes_on_above_that(data, nonce_file):
    nonce_file.write_bytes(b"1737159471234567890")
    found = bad(judged(data))["nonce-rewound"]
    assert found.level is Level.WARNING
    assert "high-water mark" in found.message
    assert "Harmless so far" in found.message


def test_rewound_below_an_orders_nonce(data, nonce_file):
    put_order(data, nonce=SYSTEM_CLOCK.wall_ns() + HOUR_NS)
    found = bad(judged(data))["nonce-rewound"]
    assert found.level is Level.FAULT
    assert "the record of an order" in found.message


@pytest.mark.parametrize("reader", ["_orders", "_state"])
def test_a_program_that_goes_on_meanwhile_does_not_look_rewound(data, monkeypatch, reader):
    """Each time the doctor is about to read what tells of nonces, another process draws one and tells of it."""
    lane = FileStore(data).lane(GLOBAL_LANE)
    read = getattr(store_facts, reader)
    wall_ns = SYSTEM_CLOCK.wall_ns() + HOUR_NS // 2

    def meanwhile(disk, path, *more):
        if reader == "_orders" or path.parent.name == "keys":
            nonce = lane.draw(wall_ns, SYSTEM_CLOCK.boot_ns())
            put_order(data, nonce=nonce, settled=True)
            put_key(data, known_nonce=nonce, known_ns=1)
        return read(disk, path, *more)

    put_key(data)
    monkeypatch.setattr(store_facts, reader, meanwhile)
    assert "nonce-rewound" not in bad(judged(data))
    assert lane.last() >= wall_ns
    lane.close()


def test_a_mark_of_another_boot_is_no_rewind(data, nonce_file):
    """After power loss the file may be older than its mark: the lane starts above the mark, and all is well."""
    now = SYSTEM_CLOCK.wall_ns()
    put(nonce_file.with_suffix(".mark"), {"mark": now + 10 * NS_PER_S, "boot": "another", "mount": "1", "offset_ns": 1})
    assert "nonce-rewound" not in bad(judged(data))


def test_a_key_of_its_own_lane_says_nothing_of_the_global_one(data):
    (data / f"kraken_key_{KEY}.txt").write_text("5")
    put_key(data, known_nonce=SYSTEM_CLOCK.wall_ns() + HOUR_NS, known_ns=1)
    findings = [finding for finding in judged(data, lanes="per-key") if finding.check == "nonce-rewound"]
    levels = {Path(finding.subject).stem: finding.level for finding in findings}
    assert levels[GLOBAL_LANE] is Level.OK
    assert levels[f"kraken_key_{KEY}"] is Level.FAULT


# --- ahead, units, others ---


@pytest.mark.parametrize("ahead_ns", [2 * HOUR_NS, 24 * 365 * HOUR_NS])
def test_nonces_jumping_too_far_ahead(data, nonce_file, ahead_ns):
    """The guide's "Nonces jumping too far ahead?": it says to remove the file, which must not be done."""
    nonce_file.write_bytes(b"%d" % (SYSTEM_CLOCK.wall_ns() + ahead_ns))
    found = bad(judged(data))["nonce-ahead"]
    assert found.level is Level.WARNING
    assert "ahead of the clock" in found.message
    assert "do not remove the file" in found.remedy


def test_a_lane_that_is_nearly_used_up(data, nonce_file):
    nonce_file.write_bytes(b"%d" % (MAX_NONCE - 5))
    assert bad(judged(data))["nonce-ahead"].level is Level.FAULT


def test_a_minute_ahead_is_nothing(data, nonce_file):
    nonce_file.write_bytes(b"%d" % (SYSTEM_CLOCK.wall_ns() + 60 * NS_PER_S))
    assert "nonce-ahead" not in bad(judged(data))


def test_a_number_of_another_unit(data, nonce_file):
    nonce_file.with_suffix(".mark").unlink()
    nonce_file.write_bytes(b"%d" % (SYSTEM_CLOCK.wall_ns() // 1_000_000))
    assert "counts in ms (ccxt" in bad(judged(data))["nonce-unit"].message


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.unit)
def test_a_nonce_tells_its_unit_by_its_size(client):
    now = SYSTEM_CLOCK.wall_ns()
    assert client_of(client.value(now), now) is client
    assert client_of(client.value(now) - 86_400 * NS_PER_S // client.ns, now) is client
    assert client.clients in consistent_with(client.value(now), now)


def test_a_nonce_of_no_known_size():
    assert client_of(3, 1_790_000_000 * NS_PER_S) is None
    assert "no client" in consistent_with(3, 1_790_000_000 * NS_PER_S)


def test_older_programs_files_are_honoured_and_a_live_one_is_a_second_writer(data):
    older = data / "kraken_nonce.txt"
    older.write_text("1768670854079120")
    found = bad(judged(data))["older-file"]
    assert found.level is Level.WARNING
    assert "counts in µs" in found.message
    os.utime(older, (1, 1))
    findings = judged(data)
    assert bad(findings) == {}
    assert "1768670854079120" in next(f.message for f in findings if f.check == "older-file")
    older.write_text("rubbish")
    assert "passed over" in bad(judged(data))["older-file"].message


@pytest.mark.parametrize(("lanes", "used"), [("per-key", GLOBAL_LANE), ("global", f"kraken_key_{KEY}")])
def test_programs_with_other_lanes_on_one_folder(tmp_path, lanes, used):
    store = FileStore(tmp_path)
    lane = store.lane(used)
    lane.draw(SYSTEM_CLOCK.wall_ns(), SYSTEM_CLOCK.boot_ns())
    lane.close()
    assert "SEALANE_LANES" in bad(judged(tmp_path, lanes=lanes))["lanes-mixed"].message
    os.utime(tmp_path / f"{used}.txt", (1, 1))
    assert "lanes-mixed" not in bad(judged(tmp_path, lanes=lanes))


@pytest.mark.parametrize(("shift", "word"), [(-1, "below"), (1, "above")])
def test_the_variable_beside_a_good_file(data, nonce_file, shift, word):
    found = bad(judged(data, env_floor=int(nonce_file.read_text()) + shift))["last-nonce"]
    assert found.level is Level.WARNING
    assert word in found.message


def test_the_variable_without_a_file(tmp_path):
    findings = judged(tmp_path, env_floor=5)
    assert bad(findings) == {}
    assert any(finding.check == "last-nonce" for finding in findings)


def test_a_clock_that_leaped(data):
    wall_ns = SYSTEM_CLOCK.wall_ns() + 30 * 24 * HOUR_NS
    found = bad(judged(data, wall_ns=wall_ns))["clock-leap"]
    assert "30 d" in found.message
    assert "clock-leap" not in bad(judged(data, wall_ns=SYSTEM_CLOCK.wall_ns() + NS_PER_S))


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (300, "5 min"), (7200, "2 h"), (10**6, "12 d"), (10**9, "32 y")]
)
def test_spans_for_people(seconds, text):
    assert lasted(seconds) == text


# --- writers ---


def lane_of(folder):
    return next(iter(read_store(folder, env_floor=0, unit_ns=1, wall_ns=SYSTEM_CLOCK.wall_ns()).lanes))


def test_a_number_that_falls_while_watched_is_another_program(data, nonce_file):
    watch = watch_lane(lane_of(data), lambda _: nonce_file.write_bytes(b"1737159471234567890") and None)
    found = bad(judge_writers(lane_of(data), watch))["other-writer"]
    assert found.level is Level.FAULT
    assert "something that is not Sealane" in found.message


def test_a_number_that_rises_with_nobody_at_the_file(data, nonce_file):
    rising = b"%d" % (int(nonce_file.read_text()) + 1)
    watch = watch_lane(lane_of(data), lambda _: nonce_file.write_bytes(rising) and None)
    assert bad(judge_writers(lane_of(data), watch))["other-writer"].level is Level.WARNING


def test_a_process_that_has_the_file_open_is_named(data, nonce_file):
    code = (
        "import fcntl, sys; a = open(sys.argv[1], 'r+'); b = open(sys.argv[2], 'a+');"
        "fcntl.flock(b, fcntl.LOCK_EX); print('ready', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(nonce_file), str(nonce_file.with_suffix(".turn"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout.readline() == "ready\n"
        watch = watch_lane(lane_of(data), lambda _: None)
        child.stdin.close()
        child.wait(timeout=30)
    assert [process.pid for process in watch.openers] == [child.pid]
    assert watch.openers[0].name.startswith("python")
    findings = list(judge_writers(lane_of(data), watch))
    assert bad(findings) == {}
    assert str(child.pid) in findings[0].message


def proc_where_4711_locks(proc, path):
    """What /proc/locks says, in its own form: pid, then device and inode of the file."""
    facts = path.stat()
    place = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    (proc / "4711").mkdir(parents=True)
    (proc / "4711" / "comm").write_text("trader\n")
    (proc / "locks").write_text(
        f"1: FLOCK  ADVISORY  WRITE 4711 {place} 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 9 {place} 0 EOF\n2: FLOCK "
        "ADVISORY WRITE 8 00:00:1 0 EOF\n"
    )
    return proc


def test_a_process_that_keeps_the_lock_of_a_draw_is_named(data, nonce_file, tmp_path):
    proc = proc_where_4711_locks(tmp_path / "proc", nonce_file)
    watch = watch_lane(lane_of(data), lambda _: None, proc)
    found = bad(judge_writers(lane_of(data), watch))["other-writer"]
    assert found.level is Level.FAULT
    assert "4711 (trader) keeps the lock" in found.message
    assert "kill -CONT 4711" in found.remedy
    rising = b"%d" % (int(nonce_file.read_text()) + 1)
    busy = watch_lane(lane_of(data), lambda _: nonce_file.write_bytes(rising) and None, proc)
    assert busy.stuck == (), "one that draws meanwhile is not stuck"
    gone = watch_lane(lane_of(data), lambda _: (proc / "locks").write_text("") and None, proc)
    assert gone.stuck == ()


def test_the_store_names_who_keeps_its_lock_and_not_the_folder(data, nonce_file, tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "LOCK_WAIT_S", 0.001)
    lane = FileStore(data).lane(GLOBAL_LANE)
    with nonce_file.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(NotDurable, match="has held its lock") as caught:
            lane.draw(SYSTEM_CLOCK.wall_ns(), SYSTEM_CLOCK.boot_ns())
    lane.close()
    assert "kill -CONT" in str(caught.value)
    assert "free space" not in str(caught.value)
    found = judge_error("MASTER", caught.value)
    assert "other-writer" in found.remedy
    assert "kill -KILL 4711" in told_remedy(nonce_file, proc_where_4711_locks(tmp_path / "proc", nonce_file))
    assert "Find the process" in told_remedy(nonce_file, tmp_path / "none")


def test_a_lock_is_told_with_its_holder(data, tmp_path):
    turn = data / f"{GLOBAL_LANE}.turn"
    turn.touch()
    proc = proc_where_4711_locks(tmp_path / "proc", turn)
    watch = watch_lane(lane_of(data), lambda _: None, proc)
    assert watch.holders == (Process(4711, "trader"),)
    assert "4711 (trader)" in next(judge_writers(lane_of(data), watch)).message


def test_a_real_lock_is_seen(data):
    turn = data / f"{GLOBAL_LANE}.turn"
    with turn.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        watch = watch_lane(lane_of(data), lambda _: None)
    listed = Path("/proc/locks").exists()
    assert [process.pid for process in watch.holders] in ([os.getpid()], []) if listed else not watch.holders


def test_a_write_under_way_is_told(data):
    put(data / f"{GLOBAL_LANE}.turn", {"method": "AddOrder", "nonce": 4711, "key": KEY})
    (found,) = judge_writers(lane_of(data), Watch(1, 1))
    assert found.level is Level.OK
    assert "AddOrder (nonce 4711)" in found.message


def test_a_number_above_its_mark_was_not_issued_here(data, nonce_file):
    nonce_file.write_bytes(b"%d" % (SYSTEM_CLOCK.wall_ns() + HOUR_NS))
    found = bad(judge_writers(lane_of(data), Watch(1, 1)))["nonce-above-mark"]
    assert found.level is Level.WARNING
    assert "consistent with" in found.message


# --- keys, counters, orders ---


def test_still_getting_invalid_nonce(data):
    """The guide's "Still getting Invalid nonce errors?": the key was stopped, and why."""
    put_key(
        data, quarantined_ns=SYSTEM_CLOCK.wall_ns(), diagnosis="consistent with another program", jumps_ns=(1, 2, 3)
    )
    found = bad(states(data, {KEY: "daivon"}))["key-state"]
    assert found.level is Level.FAULT
    assert "still getting invalid nonce" in found.message
    assert "consistent with another program" in found.message
    assert "sealane nonce raise --account daivon" in found.remedy


def test_jumps_of_late_are_told(data):
    now = SYSTEM_CLOCK.wall_ns()
    put_key(data, jumps_ns=(now - HOUR_NS, now - NS_PER_S), refused_in_a_row=1)
    assert "jumped forward once" in bad(states(data))["key-jumps"].message


def test_a_lockout_is_told_while_it_lasts(data):
    put_key(data, locked_until_ns=SYSTEM_CLOCK.wall_ns() + 100 * NS_PER_S)
    assert "Temporary lockout" in bad(states(data))["key-state"].message
    put_key(data, locked_until_ns=1)
    assert bad(states(data)) == {}


def test_a_fence_that_is_due_is_no_trouble(data):
    put_key(data, fence_due=True)
    findings = states(data, {KEY: "MASTER"})
    assert bad(findings) == {}
    assert "harmless call" in findings[0].message


@pytest.mark.parametrize("content", [b"garbage", b'{"known_nonce": 1}'])
def test_a_keys_state_that_cannot_be_read(data, content):
    path = data / "keys" / f"{KEY}.state"
    path.parent.mkdir()
    path.write_bytes(content)
    assert bad(states(data))["key-state"].subject == str(path)


def test_a_keys_state_of_wrong_types(data):
    put(data / "keys" / f"{KEY}.state", {"known_nonce": "a lot"})
    assert "cannot be read" in bad(states(data))["key-state"].message
    assert "nonce-rewound" not in bad(judged(data))


def test_counters_that_cannot_be_read(data):
    (data / "rates").mkdir()
    (data / "rates" / "MASTER.state").write_bytes(b"garbage")
    assert bad(states(data))["rates-file"].level is Level.WARNING


def test_orders_in_doubt_are_named(data):
    for number in range(5):
        put_order(data, id=f"order-{number}")
    put_order(data, id="order-9", settled=True)
    found = bad(states(data, {KEY: "daivon"}))["orders-in-doubt"]
    assert found.level is Level.WARNING
    assert "and 2 more" in found.message
    assert "order-0" in found.message
    assert "of daivon" in found.message
    assert "orders --resolve" in found.remedy


def test_an_order_of_a_living_process_is_under_way(data):
    store = FileStore(data)
    owner = store.intents().owner()
    put_order(data, owner=owner)
    findings = states(data)
    assert "orders-in-doubt" not in bad(findings)
    assert "1 under way" in next(f.message for f in findings if f.check == "orders-in-doubt")


def test_torn_records_of_orders_are_counted(data):
    put_order(data, settled=True)
    with (data / "orders" / "intents.log").open("ab") as file:
        file.write(b"\nhalf a line")
    assert bad(states(data))["orders-file"].message.startswith("1 lines")


def test_a_log_that_is_no_file(data):
    (data / "orders" / "intents.log").mkdir(parents=True)
    assert bad(states(data))["orders-file"].level is Level.FAULT
