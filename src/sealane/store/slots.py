"""One small document in a file, whole after a kill or power loss at any instant.

Two slots, of one page each where nothing else is said, take turns. A slot is ``<crc32> <sequence> <json>\\n``; the
valid one with the higher sequence is the document. A torn write spoils only the slot it went to, and the other still
holds what was there before. Writers hold a lock of the caller's; readers need none.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping

from sealane.store.disk import Disk, write_all

SLOT_BYTES = 4096


def read_slots(content: bytes, slot_bytes: int = SLOT_BYTES) -> tuple[int, dict[str, object]]:
    """The sequence and the document that the content of a slot file holds; (0, {}) for none."""
    slots = _whole(content[:slot_bytes]), _whole(content[slot_bytes:])
    for sequence, text in sorted(slots, reverse=True):
        try:
            return sequence, json.loads(text)
        except ValueError:
            continue
    return 0, {}


def write_slots(disk: Disk, fd: int, document: Mapping[str, object], after: int, slot_bytes: int = SLOT_BYTES) -> int:
    """Write the document into the slot that ``after`` does not stand in; returns the new sequence."""
    sequence = after + 1
    text = b"%d %s\n" % (sequence, json.dumps(document, separators=(",", ":")).encode())
    slot = b"%08x %s" % (zlib.crc32(text), text)
    if len(slot) > slot_bytes:
        raise OSError(f"a record of {len(slot)} bytes does not fit its slot of {slot_bytes}")
    write_all(disk, fd, slot, (sequence % 2) * slot_bytes)
    return sequence


def _whole(slot: bytes) -> tuple[int, bytes]:
    """Sequence and text of a slot whose checksum is right; 0 and an empty document for any other."""
    line = slot.partition(b"\n")[0] + b"\n"
    try:
        checksum, text = line.split(b" ", 1)
        if int(checksum, 16) != zlib.crc32(text):
            return 0, b"{}"
        sequence, document = text.split(b" ", 1)
        return int(sequence), document
    except ValueError:
        return 0, b"{}"
