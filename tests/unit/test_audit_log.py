"""The audit: every line whole and private, over full disks, moved files, rotation and planted secrets."""

import base64
import errno
import json
import logging
import os
import resource
import stat
import timeit
from decimal import Decimal

import pytest

from sealane.core.secret import Secret, credentials
from sealane.errors import NotDurable
from sealane.gateway import audit as audit_module
from sealane.gateway.audit import Audit
from sealane.testing import FakeClock

SECRET = base64.b64encode(bytes(range(64))).decode()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def audit(tmp_path, clock):
    audit = Audit(tmp_path / "data" / "gateway", clock)
    yield audit
    audit.close()


def lines(path):
    text = path.read_text()
    assert not text or text.endswith("\n")
    return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]


def test_a_line_is_json_with_its_time_and_its_fields(audit, clock):
    audit.note(
        key="bot", method="AddOrder", nonce=2**63 - 1, decision="denied", reason='too "large"\nby far', pair=None
    )
    clock.advance(1.000001)
    audit.note(key="bot", volume=Decimal("0.10"), allow=frozenset({"b", "a"}))
    first, second = lines(audit.path)
    assert first == {
        "at": "2027-01-15T08:00:00.000000+00:00",
        "key": "bot",
        "method": "AddOrder",
        "nonce": 2**63 - 1,
        "decision": "denied",
        "reason": 'too "large"\nby far',
        "pair": None,
    }
    assert second == {"at": "2027-01-15T08:00:01.000001+00:00", "key": "bot", "volume": "0.10", "allow": ["a", "b"]}
    assert audit.is_well


def test_folder_and_files_are_the_owner_s_alone(audit):
    audit.note(a=1)
    assert stat.S_IMODE(audit.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(audit.path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "planted",
    [
        SECRET,
        f"API-Sign: {SECRET}, and more",
        [{"deep": SECRET}],
        Secret(SECRET.encode()),
        credentials("MASTER", "A" * 56, SECRET, named="X"),
        {SECRET: 1},
        Exception(SECRET),
        "SEALANE/" + SECRET[8:],
    ],
)
def test_a_planted_secret_is_masked(audit, planted):
    audit.note(field=planted, after="stays")
    text = audit.path.read_text()
    assert SECRET[8:40] not in text
    assert "A" * 56 not in text
    assert lines(audit.path)[0]["after"] == "stays"


def test_no_content_keeps_a_line_out(audit):
    loop = []
    loop.append(loop)
    for odd in (float("nan"), float("inf"), loop, {(1, 2): 3}, "\ud800", b"bytes", object()):
        audit.note(odd=odd)
    assert len(lines(audit.path)) == 7
    assert audit.is_well


def test_a_line_goes_out_in_one_write(audit, monkeypatch):
    audit.note(a=0)
    written = []

    def write(fd, content):
        written.append(content)
        return os_write(fd, content)

    os_write = os.write
    monkeypatch.setattr(os, "write", write)
    audit.note(a=1)
    assert len(written) == 1
    assert written[0].endswith(b'"a":1}\n')


def test_a_line_that_does_not_fit_is_cut_off_again_and_it_recovers_by_itself(audit, caplog):
    """A real short write: the limit of the file's size ends in the midst of the line."""
    audit.note(text="x" * 100)
    size = audit.path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, limits[1]))
    try:
        with caplog.at_level(logging.WARNING, "sealane.gateway"):
            for _ in range(3):
                with pytest.raises(NotDurable, match="No order passes"):
                    audit.note(text="y" * 100)
                assert not audit.is_well
                assert audit.path.stat().st_size == size
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(caplog.records) == 1
    audit.note(text="z")
    assert audit.is_well
    assert [line["text"][0] for line in lines(audit.path)] == ["x", "z"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_what_the_system_refuses_is_told(audit, monkeypatch, number):
    audit.note(a=1)

    def write(fd, content):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(NotDurable, match=os.strerror(number)):
        audit.note(a=2)
    assert not audit.is_well
    monkeypatch.undo()
    audit.note(a=3)
    assert audit.is_well
    assert [line["a"] for line in lines(audit.path)] == [1, 3]


def test_a_part_that_could_not_be_cut_off_is_cut_at_the_next_line(audit, monkeypatch):
    audit.note(a=1)
    os_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, content: os_write(fd, content[:5]))
    monkeypatch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(NotDurable):
        audit.note(a=2)
    monkeypatch.undo()
    assert not audit.path.read_text().endswith("\n")
    audit.note(a=3)
    assert [line["a"] for line in lines(audit.path)] == [1, 3]


@pytest.mark.parametrize("left", ['{"at":"2027', '{"a":1}\n{"at', "\n\n{", "x" * 100])
def test_what_power_loss_left_of_a_line_is_cut_off(audit, left):
    audit.path.parent.mkdir(parents=True)
    audit.path.write_text(left)
    audit.note(a=2)
    kept = [line for line in audit.path.read_text().splitlines() if line]
    assert json.loads(kept[-1])["a"] == 2
    assert all(json.loads(line) for line in kept)


def test_another_gateway_s_line_under_way_is_not_cut(audit, tmp_path, clock):
    audit.note(a=1)
    with audit.path.open("ab") as under_way:
        under_way.write(b'{"a":')
        under_way.flush()
        second = Audit(audit.path.parent, clock)
        second._current()
        second.close()
        under_way.write(b"2}\n")
    audit.note(a=3)
    assert [line["a"] for line in lines(audit.path)] == [1, 2, 3]


def test_nor_is_it_once_a_third_one_ended(audit, clock):
    audit.note(a=1)
    second, third = (Audit(audit.path.parent, clock) for _ in range(2))
    second.note(a=2)
    audit.close()
    with audit.path.open("ab") as under_way:
        under_way.write(b'{"a":')
        under_way.flush()
        third._current()
        third.close()
        under_way.write(b"3}\n")
    second.close()
    assert [line["a"] for line in lines(audit.path)] == [1, 2, 3]


def test_a_file_that_another_took_the_place_of_is_let_go(audit):
    audit.note(a=1)
    audit.path.rename(audit.path.with_suffix(".old"))
    audit.path.write_text('{"a":"new"}\n')
    audit.note(a=2)
    assert [line["a"] for line in lines(audit.path)] == ["new", 2]


def test_a_file_that_was_moved_away_or_removed_is_made_anew(audit):
    audit.note(a=1)
    audit.path.rename(audit.path.with_suffix(".old"))
    audit.note(a=2)
    audit.path.unlink()
    audit.note(a=3)
    assert [line["a"] for line in lines(audit.path.with_suffix(".old"))] == [1]
    assert [line["a"] for line in lines(audit.path)] == [3]


def test_a_folder_that_is_gone_is_made_anew_or_told(audit):
    folder = audit.path.parent
    audit.note(a=1)
    folder.rename(folder.with_name("aside"))
    audit.note(a=2)
    assert [line["a"] for line in lines(audit.path)] == [2]
    folder.rename(folder.with_name("aside2"))
    folder.write_text("a file")
    with pytest.raises(NotDurable, match="Could not keep the audit"):
        audit.note(a=3)
    folder.unlink()
    audit.note(a=4)
    assert audit.is_well


def test_it_is_rotated_by_size_and_only_so_many_files_stay(tmp_path, clock):
    audit = Audit(tmp_path, clock, size_max=200, files_kept=3)
    for number in range(40):
        audit.note(number=number)
        assert audit.path.stat().st_size <= 200
    audit.close()
    names = sorted(path.name for path in tmp_path.glob("audit.*.jsonl"))
    assert len(names) == 3
    numbers = [line["number"] for name in [*names, "audit.jsonl"] for line in lines(tmp_path / name)]
    assert numbers == list(range(numbers[0], 40))
    assert all(stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600 for name in names)
    for stranger in ("audit.old.jsonl", "audit.000001.jsonl.gz"):
        (tmp_path / stranger).touch()
    again = Audit(tmp_path, clock, size_max=10, files_kept=1)
    again.note(number="a line that is longer than a file may be")
    again.note(number="and another")
    again.close()
    assert {"audit.old.jsonl", "audit.000001.jsonl.gz"} <= {path.name for path in tmp_path.iterdir()}
    assert len(list(tmp_path.glob("audit.0*.jsonl"))) == 1


@pytest.mark.parametrize("kept", [1, 2, 5, 8])
def test_as_many_files_stay_as_are_to_be_kept(tmp_path, clock, kept):
    audit = Audit(tmp_path, clock, size_max=50, files_kept=kept)
    for number in range(12):
        audit.note(number=number)
        files = sorted(tmp_path.glob("audit.*.jsonl"))
        assert [line["number"] for path in files for line in lines(path)] == list(range(max(0, number - kept), number))
    audit.close()


def test_two_gateways_that_rotate_at_once_lose_no_line(tmp_path, clock):
    both = [Audit(tmp_path, clock, size_max=300, files_kept=100) for _ in range(2)]
    for number in range(60):
        both[number % 2].note(number=number)
    for audit in both:
        audit.close()
    found = [line["number"] for path in tmp_path.glob("audit*.jsonl") for line in lines(path)]
    assert sorted(found) == list(range(60))


def test_a_rotation_that_another_process_does_is_left_to_it(tmp_path, clock, monkeypatch):
    audit = Audit(tmp_path, clock, size_max=100)
    audit.note(a="x" * 60)
    monkeypatch.setattr(audit_module.DISK, "try_lock", lambda fd: False)
    audit.note(a="y" * 60)
    audit.close()
    assert len(lines(audit.path)) == 2


def test_a_rotation_that_another_process_was_faster_with_is_not_done_again(tmp_path, clock, monkeypatch):
    audit = Audit(tmp_path, clock, size_max=200)
    audit.note(a="x" * 100)
    try_lock = audit_module.DISK.try_lock

    def faster(fd):
        if audit.path.exists() and audit.path.stat().st_size > 100:
            audit.path.rename(tmp_path / "audit.000001.jsonl")
            audit.path.write_text('{"a":"theirs"}\n')
        return try_lock(fd)

    monkeypatch.setattr(audit_module.DISK, "try_lock", faster)
    audit.note(a="y" * 100)
    audit.close()
    assert sorted(path.name for path in tmp_path.glob("audit*.jsonl")) == ["audit.000001.jsonl", "audit.jsonl"]
    assert [line["a"][0] for line in lines(audit.path)] == ["t", "y"]


def test_what_cannot_be_put_aside_grows_and_is_tried_again_later(tmp_path, clock, monkeypatch, caplog):
    audit = Audit(tmp_path, clock, size_max=200, files_kept=100)
    audit.note(number=0, text="x" * 60)
    with monkeypatch.context() as patched:
        patched.setattr(audit_module.Path, "rename", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Denied")))
        for number in range(1, 40):
            audit.note(number=number)
    assert audit.is_well
    assert 2 <= len(caplog.records) <= 14
    assert len(lines(audit.path)) == 40
    for number in range(40, 49):
        audit.note(number=number, text="x" * 60)
    audit.close()
    found = [line["number"] for path in sorted(tmp_path.glob("audit*.jsonl")) for line in lines(path)]
    assert sorted(found) == list(range(49))
    assert audit.path.stat().st_size <= 200


def test_a_line_is_cheap(audit):
    """Some 12 µs here; the limit leaves room for a busy machine."""
    took_s = min(timeit.repeat(lambda: audit.note(key="bot", method="AddOrder", nonce=1), number=200, repeat=10)) / 200
    assert took_s < 100e-6
