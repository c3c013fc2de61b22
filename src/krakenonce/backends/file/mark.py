"""The mark file's bytes: two slots, 4 KiB apart, each with one small checked record, and the last nonce. No I/O.

Both slots hold the same mark before a nonce is issued below it. So whichever one survives a torn write or a bad
sector, it is enough, and a slot that is older than the other belongs to a raise of the mark that was not completed.

After the slots, the last process that used the counter notes the last nonce when it ends. The note belongs to one raise
of the mark: whoever raises the mark again, which everybody does before the next nonce, has taken it back.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from krakenonce.rule import NONCE_MAX, Anchor, in_range

SLOT_DISTANCE = 4096  # two slots never share a disk sector
SLOT_SIZE = 512
FILE_SIZE = SLOT_DISTANCE + SLOT_SIZE
END_OFFSET = 2 * SLOT_DISTANCE
END_SIZE = 64
_MAGIC = b"krakenonce mark\0"
_END = struct.Struct("<16sQQQ")  # magic, file, sequence, last nonce
_END_MAGIC = b"krakenonce end\0\0"
_VERSION = 1
FIRST, SECOND, NOT_WRITTEN = range(3)
# magic, version, which, file, sequence, base, mark, old base, old mark, wall, boot, since, step, boot id
_BODY = struct.Struct("<16sHHQQQQQQQQQQ64s")
_CHECK = struct.Struct("<I")  # CRC-32 of everything before it, in the last four bytes of the slot, whatever the version


class OtherVersion(Exception):
    """The record is whole, but of a version that this code does not know."""


class MarkRecord(NamedTuple):
    """What one slot contains.

    Args:
        file_id: Drawn when the file was made: a new file may have all else of a deleted one, its inode too.
        sequence: Counts the raises of the mark; the larger one is the newer.
        which: FIRST; or SECOND, written when the first one was on the disk; or NOT_WRITTEN, in place of a second one
            whose sync has failed.
        base: The nonce for which it was written; a nonce file below it is old.
        mark: No nonce above it has been issued.
        old_base: The last nonce before it was written. Until both slots are written, the nonce file may still
        old_mark: contain that, or a larger one up to here.
        boot_id: The boot in which it was written.
        anchor: The clocks at that moment.
    """

    file_id: int
    sequence: int
    which: int
    base: int
    mark: int
    old_base: int
    old_mark: int
    boot_id: str
    anchor: Anchor


def pack(record: MarkRecord) -> bytes:
    """Return one slot's bytes."""
    anchor = record.anchor
    body = _BODY.pack(
        _MAGIC,
        _VERSION,
        record.which,
        record.file_id,
        record.sequence,
        record.base,
        record.mark,
        record.old_base,
        record.old_mark,
        anchor.wall_ns if in_range(anchor.wall_ns) else 0,
        anchor.boot_ns,
        anchor.step_since,
        anchor.step_ns,
        record.boot_id.encode(),  # cut to 64 bytes
    )
    return _with_check(body, SLOT_SIZE)


def pack_end(record: MarkRecord, last: int) -> bytes:
    """Return the bytes of the note that *last* was the last nonce under the mark of *record*."""
    return _with_check(_END.pack(_END_MAGIC, record.file_id, record.sequence, last), END_SIZE)


def unpack_end(data: bytes, record: MarkRecord) -> int | None:
    """Return the last nonce that is noted under the mark of *record*; None if none is, or if it was damaged."""
    body = _checked(data, END_SIZE)
    if body is None:
        return None
    magic, file_id, sequence, last = _END.unpack_from(body)
    return last if (magic, file_id, sequence) == (_END_MAGIC, record.file_id, record.sequence) else None


def slot_offset(slot: int) -> int:
    """Return where slot 0 or 1 begins, in bytes."""
    return slot * SLOT_DISTANCE


def unpack_file(data: bytes) -> tuple[MarkRecord | None, MarkRecord | None]:
    """Return both slots' records, None for a slot that is torn, missing or empty.

    Raises:
        OtherVersion: A slot is whole, but of another version.
    """
    first, second = (_unpack(data[slot_offset(slot) :][:SLOT_SIZE]) for slot in (0, 1))
    return first, second


def slots_in_writing_order(records: tuple[MarkRecord | None, MarkRecord | None]) -> tuple[int, int]:
    """Return the slots so that the one that is surely on the disk comes last: a valid mark is there at any moment.

    A slot that is newer than the other belongs to a raise that was not completed, and may not have been synced; nor
    may the second of two with the same sequence.
    """
    zero, one = (_doubt(record) for record in records)
    return (0, 1) if zero >= one else (1, 0)


def _doubt(record: MarkRecord | None) -> tuple[bool, int, int]:
    return (True, 0, 0) if record is None else (False, record.sequence, record.which)


def _with_check(body: bytes, size: int) -> bytes:
    body = body.ljust(size - _CHECK.size, b"\0")
    return body + _CHECK.pack(zlib.crc32(body))


def _checked(data: bytes, size: int) -> bytes | None:
    """Return *data* without its checksum; None if it is not whole."""
    body, check = data[: -_CHECK.size], data[-_CHECK.size :]
    return body if len(data) == size and check == _CHECK.pack(zlib.crc32(body)) else None


def _unpack(slot: bytes) -> MarkRecord | None:
    body = _checked(slot, SLOT_SIZE)
    if body is None:
        return None
    magic, version, which, file_id, *counts, wall, boot, since, step, boot_id = _BODY.unpack_from(body)
    if magic != _MAGIC:
        return None
    if version != _VERSION:
        raise OtherVersion(version)
    sequence, base, mark, old_base, old_mark = counts
    if mark > NONCE_MAX:
        return None
    boot_name = boot_id.rstrip(b"\0").decode(errors="replace")
    anchor = Anchor(wall, boot, since, step)
    return MarkRecord(file_id, sequence, which, base, mark, old_base, old_mark, boot_name, anchor)
