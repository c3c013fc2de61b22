"""Bytes of which parts are read and written, as a server keeps them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from krakenonce.backends.memory import BytesInMemory
from krakenonce.backends.redis.ranges import Ranges

PLACES = st.sampled_from([0, 1, 7, 4095, 4096, 4097, 8191, 8192, 20_000])
SIZES = st.sampled_from([0, 1, 9, 4095, 4096, 9000])
STEPS = st.lists(st.tuples(PLACES, SIZES, st.sampled_from([None, b"\0", b"x"])), max_size=12)


@given(SIZES, STEPS)
def test_what_is_read_is_what_was_written(size: int, steps: list[tuple[int, int, bytes | None]]) -> None:
    """Within a step, and by the next one after its changes were applied: as with bytes in memory."""
    plain = BytesInMemory(bytes(at % 251 for at in range(size)))
    kept = bytes(plain)
    ranges = Ranges(lambda at, count: kept[at : at + count], len(kept), kept[:4096])
    for at, count, letter in steps:
        if letter is None:
            assert ranges.read(at, count) == plain.read(at, count)
        elif count:
            ranges.write(at, letter * count)
            plain.write(at, letter * count)
    after = BytesInMemory(kept)
    for where, data in ranges.changes:
        after.write(where, data)
    assert bytes(after) == bytes(plain)


def test_zeros_where_nothing_was_written_are_not_sent() -> None:
    """A new state of 120 KB begins with them."""
    ranges = Ranges(lambda _at, _count: b"", 0, b"")
    ranges.write(0, bytes(120_000))
    ranges.write(5, b"x")
    assert sum(len(data) for _, data in ranges.changes) == 2
    assert ranges.read(0, 8) == b"\0\0\0\0\0x\0\0"
    assert not ranges.is_seen_at_once
