"""Two slots take turns: whatever happens to a write, a whole document is left."""

from pathlib import Path

import pytest

from sealane.store.slots import SLOT_BYTES, read_slots, write_slots
from sealane.testing import SimDisk, SimVolume

FILE = Path("/data/record")
DOCUMENTS = [{"n": 1}, {"text": "long " * 300, "n": 2}, {}, {"n": 4, "deep": [{"a": None}]}, {"text": "żółć\n\x00"}]


def written(documents: list[dict[str, object]]) -> list[bytes]:
    """The file's content after each write."""
    disk = SimDisk(SimVolume())
    fd, sequence, contents = disk.open(FILE), 0, [b""]
    for document in documents:
        sequence = write_slots(disk, fd, document, sequence)
        contents.append(disk.read(fd, 2 * SLOT_BYTES))
    return contents


def test_what_was_written_last_is_read() -> None:
    contents = written(DOCUMENTS)
    assert read_slots(contents[0]) == (0, {})
    for count, (content, document) in enumerate(zip(contents[1:], DOCUMENTS, strict=True), start=1):
        assert read_slots(content) == (count, document)


@pytest.mark.parametrize("write", range(1, len(DOCUMENTS)))
def test_every_prefix_of_a_write_leaves_a_whole_document(write: int) -> None:
    before, after = written(DOCUMENTS)[write : write + 2]
    before = before.ljust(len(after), b"\0")
    changed = [at for at in range(len(after)) if before[at] != after[at]]
    for torn_at in (*changed, len(after)):
        torn = after[:torn_at] + before[torn_at:]
        found = read_slots(torn)
        assert found in ((write, DOCUMENTS[write - 1]), (write + 1, DOCUMENTS[write])), f"torn at {torn_at}"
    assert read_slots(after[: changed[-1]] + before[changed[-1] :])[0] == write, "no tear was made at all"


def test_every_suffix_of_a_write_leaves_a_whole_document() -> None:
    before, after = written(DOCUMENTS)[3:5]
    before = before.ljust(len(after), b"\0")
    for torn_at in range(len(after) + 1):
        assert read_slots(before[:torn_at] + after[torn_at:]) in ((3, DOCUMENTS[2]), (4, DOCUMENTS[3]))


@pytest.mark.parametrize("spoil", [b"\0", b"\xff", b"9", b" ", b"\n"])
def test_a_byte_gone_wrong_in_the_newer_slot_leaves_the_older(spoil: bytes) -> None:
    content = written(DOCUMENTS)[4]
    newer = slice(0, content.index(b"\n") + 1)
    for at in range(newer.start, newer.stop):
        spoiled = content[:at] + spoil + content[at + 1 :]
        if spoiled != content:
            assert read_slots(spoiled) in ((3, DOCUMENTS[2]), (4, DOCUMENTS[3]))
    assert read_slots(b"\0" * SLOT_BYTES + content[SLOT_BYTES:]) == (3, DOCUMENTS[2])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 2 * SLOT_BYTES,
        b"\n" * 2 * SLOT_BYTES,
        b"00000000 1 {}\n",
        b"zz 1 {}\n",
        b"1 " * 4000,
        b"{}",
        bytes(range(256)) * 32,
        b"9" * 8192,
    ],
)
def test_what_is_no_document_is_none(content: bytes) -> None:
    assert read_slots(content) == (0, {})


def test_a_document_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    disk = SimDisk(SimVolume())
    fd = disk.open(FILE)
    sequence = write_slots(disk, fd, {"n": 1}, 0)
    with pytest.raises(OSError, match="does not fit its slot of 4096"):
        write_slots(disk, fd, {"text": "x" * SLOT_BYTES}, sequence)
    assert read_slots(disk.read(fd, 2 * SLOT_BYTES)) == (1, {"n": 1})
