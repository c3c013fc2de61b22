"""The name of a clock: two processes that have the same one may compare their times since boot."""

import pytest

from krakenonce.clock import SystemClock, clock_name

BOOT = b"11111111-2222-3333-4444-555555555555\n"
OFFSETS = b"monotonic           0         0\nboottime     %8d %9d\n"


@pytest.mark.parametrize("offsets", [b"", OFFSETS % (0, 0), b"monotonic 5 0\nboottime 0 0\n"])
def test_where_no_namespace_shifts_the_time_the_boot_is_its_name(offsets: bytes) -> None:
    """Also on a kernel that has no time namespaces."""
    assert clock_name(BOOT, offsets) == BOOT.decode().strip()


def test_a_shifted_time_has_another_name() -> None:
    """Another one for each shift, as this kernel and the first ones with time namespaces tell it."""
    shifts = [(0, 0), (1, 0), (-1, 0), (0, 1), (1, 1), (-1_000_000_000, 999_999_999)]
    names = [clock_name(BOOT, OFFSETS % shift) for shift in shifts]
    assert len(set(names)) == len(shifts)
    assert max(map(len, names)) <= 64
    assert clock_name(BOOT, b"1 0 0\n7 -1 0\n") == names[2]


def test_an_unknown_boot_has_no_name() -> None:
    """However its time is shifted."""
    assert clock_name(b"", OFFSETS % (1, 0)) == ""


def test_this_machine_s_clock_has_a_short_name() -> None:
    """The mark file has room for it."""
    assert len(SystemClock.boot_id().encode()) <= 64
