import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenonce.backends.file.mark import (
    FILE_SIZE,
    FIRST,
    NOT_WRITTEN,
    SECOND,
    MarkRecord,
    OtherVersion,
    pack,
    slot_offset,
    slots_in_writing_order,
    unpack_file,
)
from krakenonce.rule import EARLIEST, LATEST, NONCE_MAX, Anchor

u64 = st.integers(0, 2**63)
anchors = st.builds(Anchor, st.integers(EARLIEST, LATEST - 1), u64, u64, u64)
names = st.text("abcdef0123456789-X\u00e9", max_size=32)
records = st.builds(MarkRecord, u64, u64, st.integers(0, 2), u64, st.integers(0, NONCE_MAX), u64, u64, names, anchors)


def file_of(first: bytes, second: bytes) -> bytes:
    """A mark file with these slots."""
    return first.ljust(slot_offset(1), b"\0") + second


@given(first=records, second=records)
def test_what_is_written_is_read_back(first: MarkRecord, second: MarkRecord) -> None:
    """Both slots survive the way to the disk and back."""
    data = file_of(pack(first), pack(second))
    assert len(data) == FILE_SIZE
    assert unpack_file(data) == (first, second)


def test_the_bytes_are_those_of_version_1() -> None:
    """Little-endian numbers and the boot id, zeros, and the checksum of all that; nothing in between."""
    slot = pack(MarkRecord(11, 12, NOT_WRITTEN, 13, 14, 15, 16, "boot", Anchor(EARLIEST, 17, 18, 19)))
    assert struct.unpack("<16sHHQQQQQQQQQQ", slot[:100]) == (
        *(b"krakenonce mark\0", 1, 2),
        *(11, 12, 13, 14, 15, 16, EARLIEST, 17, 18, 19),
    )
    assert slot[100:508] == b"boot" + b"\0" * 404
    assert slot[508:] == struct.pack("<I", zlib.crc32(slot[:508]))


def test_what_does_not_fit_is_left_out() -> None:
    """A clock that cannot be right is none, and of a long boot id the beginning tells it from others."""
    for boot_id, found in (("x" * 70, "x" * 64), ("x" + "\u00e9" * 40, "x" + "\u00e9" * 31 + "\ufffd")):
        record = MarkRecord(7, 1, FIRST, 2, 2, 0, 0, boot_id, Anchor(-5, 1))
        known = record._replace(boot_id=found, anchor=Anchor(0, 1))
        assert unpack_file(file_of(pack(record), b"")) == (known, None)


@given(record=records, where=st.integers(0, 511), bit=st.integers(0, 7))
def test_one_flipped_bit_makes_a_slot_invalid(record: MarkRecord, where: int, bit: int) -> None:
    """A damaged slot is never taken for a good one."""
    slot = bytearray(pack(record))
    slot[where] ^= 1 << bit
    assert unpack_file(file_of(bytes(slot), pack(record))) == (None, record)


@given(old=records, new=records, cut=st.integers(1, 511))
def test_a_torn_write_leaves_the_old_slot_or_none(old: MarkRecord, new: MarkRecord, cut: int) -> None:
    """Half of a new record over an old one is not a record, unless it changes nothing."""
    torn = pack(new)[:cut] + pack(old)[cut:]
    found, _ = unpack_file(file_of(torn, b""))
    assert found in ((old, new) if torn in (pack(old), pack(new)) else (None,))


@given(data=st.binary(max_size=6000))
def test_arbitrary_bytes_are_no_record(data: bytes) -> None:
    """Garbage of any length is two empty slots."""
    assert unpack_file(data) == (None, None)


def test_a_whole_record_of_another_version_is_not_guessed_at() -> None:
    """A slot that is whole but of another version is an error, not damage."""
    body = bytearray(pack(MarkRecord(7, 1, FIRST, 2, 2, 0, 0, "boot", Anchor(EARLIEST, 1)))[:-4])
    body[16] = 99
    slot = bytes(body) + zlib.crc32(body).to_bytes(4, "little")
    with pytest.raises(OtherVersion):
        unpack_file(file_of(slot, b""))


@pytest.mark.parametrize(
    ("slots", "order"),
    [
        (((2, FIRST), (1, SECOND)), (0, 1)),
        (((1, SECOND), (2, FIRST)), (1, 0)),
        (((2, FIRST), (2, SECOND)), (1, 0)),
        (((2, SECOND), (2, FIRST)), (0, 1)),
        (((2, NOT_WRITTEN), (2, FIRST)), (0, 1)),
        ((None, (1, SECOND)), (0, 1)),
        (((1, FIRST), None), (1, 0)),
        ((None, None), (0, 1)),
    ],
)
def test_the_slot_that_is_surely_on_the_disk_is_written_last(
    slots: tuple[tuple[int, int] | None, ...], order: tuple[int, int]
) -> None:
    """Of two extensions that of the older, as the newer was never in force; of one the slot that was written first."""
    zero, one = (slot and MarkRecord(7, *slot, 5, 5, 0, 0, "", Anchor(EARLIEST, 1)) for slot in slots)
    assert slots_in_writing_order((zero, one)) == order
