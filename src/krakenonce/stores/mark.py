"""The mark file's bytes: two slots, 4 KiB apart, each with one small checked record. No I/O.

Both slots hold the same mark before a number is issued under it. So whichever one survives a torn write or a bad
sector, it is enough, and a slot that is behind the other belongs to an extension that never came into force.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from ..rule import NONCE_MAX, Anchor, in_range

__all__ = [
    "FILE_SIZE",
    "MarkRecord",
    "OtherVersion",
    "pack",
    "slot_offset",
    "slots_in_writing_order",
    "unpack_file",
]

SLOT_DISTANCE = 4096  # two slots never share a disk sector
SLOT_SIZE = 512
FILE_SIZE = SLOT_DISTANCE + SLOT_SIZE
_MAGIC = b"krakenonce mark\0"
_VERSION = 1
_BODY = struct.Struct("<16sHQQQQQ64sQ")  # magic, version, sequence, mark, wall, boot, step since, boot id, step
_CHECK = struct.Struct("<I")  # CRC-32 of all before it, in the last four bytes of the slot, whatever the version


class OtherVersion(Exception):
    """The record is whole, but of a version that this code does not know."""


class MarkRecord(NamedTuple):
    """What one slot says.

    Args:
        sequence: Counts the extensions; the larger one is the newer.
        mark: No number above it has been issued.
        boot_id: The boot in which it was written.
        anchor: The clocks at that moment.
    """

    sequence: int
    mark: int
    boot_id: str
    anchor: Anchor


def pack(record: MarkRecord) -> bytes:
    """Return one slot's bytes."""
    anchor = record.anchor
    body = _BODY.pack(
        _MAGIC,
        _VERSION,
        record.sequence,
        record.mark,
        anchor.wall_ns if in_range(anchor.wall_ns) else 0,
        anchor.boot_ns,
        anchor.step_since,
        record.boot_id.encode()[:64],
        anchor.step_ns,
    ).ljust(SLOT_SIZE - _CHECK.size, b"\0")
    return body + _CHECK.pack(zlib.crc32(body))


def slot_offset(slot: int) -> int:
    """Where slot 0 or 1 begins, in bytes."""
    return slot * SLOT_DISTANCE


def unpack_file(data: bytes) -> tuple[MarkRecord | None, MarkRecord | None]:
    """Return both slots' records, None for a slot that is torn, missing or empty.

    Raises:
        OtherVersion: A slot is whole, but of another version.
    """
    first, second = (_unpack(data[slot_offset(slot) :][:SLOT_SIZE]) for slot in (0, 1))
    return first, second


def slots_in_writing_order(records: tuple[MarkRecord | None, MarkRecord | None]) -> tuple[int, int]:
    """The worse slot first, so that a good one is never overwritten while the other is in doubt."""
    first, second = (-1 if record is None else record.sequence for record in records)
    return (0, 1) if first <= second else (1, 0)


def _unpack(slot: bytes) -> MarkRecord | None:
    if len(slot) != SLOT_SIZE:
        return None
    body, check = slot[: -_CHECK.size], slot[-_CHECK.size :]
    if check != _CHECK.pack(zlib.crc32(body)):
        return None
    magic, version, sequence, mark, wall, boot, since, boot_id, step = _BODY.unpack_from(body)
    if magic != _MAGIC:
        return None
    if version != _VERSION:
        raise OtherVersion(version)
    if mark > NONCE_MAX:
        return None
    boot_name = boot_id.rstrip(b"\0").decode(errors="replace")
    return MarkRecord(sequence, mark, boot_name, Anchor(wall, boot, since, step))
