"""What every backend promises of the sent calls: bytes that a gateway reads and writes parts of."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from krakenonce.backends import Backend
from krakenonce.backends.protocol import Bytes
from krakenonce.clock import Clock
from krakenonce.errors import NonceStoreError
from tests.integration.key.helpers import in_thread, join

LARGE = 2 * 1024 * 1024


def test_sent_calls_are_bytes_that_stay(store: Backend) -> None:
    """None at first. Those that were never written are zeros, and at the end there are fewer."""
    assert not store.sent_calls.exist("key")
    assert store.sent_calls.peek("key", 0, 10) is None
    store.sent_calls.step("key", lambda kept: kept.write(5000, b"some"))
    assert store.sent_calls.exist("key")
    assert not store.sent_calls.exist("other")
    for place, found in (((4998, 9), b"\0\0some"), ((0, 3), bytes(3)), ((5004, 9), b"")):

        def read(kept: Bytes, place: tuple[int, int] = place) -> bytes:
            return kept.read(*place)

        assert store.sent_calls.step("key", read) == found
        assert store.sent_calls.peek("key", *place) == found


def test_a_large_record_is_written_and_read_in_parts(store: Backend) -> None:
    """Around the ends of pages, over zeros that were written and zeros that were not."""
    calls = store.sent_calls
    calls.step("key", lambda kept: kept.write(0, b"head" + bytes(LARGE - 4)))
    expected = bytearray(b"head" + bytes(LARGE - 4))
    for offset, data in (
        (1020, b"x" * 10),
        (8190, b"y" * 5000),
        (1024, bytes(3)),
        (LARGE - 1, b"z"),
        (8192, bytes(4096)),
    ):

        def change(kept: Bytes, offset: int = offset, data: bytes = data) -> None:
            kept.write(offset, data)
            assert kept.read(offset - 2, len(data) + 4)[2:][: len(data)] == data

        calls.step("key", change)
        expected[offset : offset + len(data)] = data
        assert calls.step("key", lambda kept: kept.read(0, LARGE + 1)) == expected
    assert calls.peek("key", 8000, 6000) == bytes(expected[8000:14000])
    assert calls.step("key", lambda kept: kept.read(1, LARGE)) == expected[1:]


def test_a_step_sees_what_it_has_written(store: Backend) -> None:
    """Also where it has read before."""

    def step(kept: Bytes) -> list[bytes]:
        seen = [kept.read(0, 4)]
        kept.write(0, b"one")
        seen.append(kept.read(0, 4))
        kept.write(2, b"two")
        return [*seen, kept.read(0, 9)]

    assert store.sent_calls.step("key", step) == [b"", b"one", b"ontwo"]


def test_what_a_step_has_written_is_there_for_another_backend(
    store: Backend, opener: Callable[[Path, Clock], Backend], state: Path, clock: Clock
) -> None:
    """Without a sync, and for a look without the lock, too. The memory of a process is its own."""
    other = store if store.shared == "process" else opener(state, clock)
    store.sent_calls.step("key", lambda kept: kept.write(0, b"one"))
    assert other.sent_calls.exist("key")
    assert other.sent_calls.step("key", lambda kept: kept.read(0, 9)) == b"one"
    store.sent_calls.step("key", lambda kept: kept.write(0, b"two"))
    assert other.sent_calls.peek("key", 0, 9) == b"two"
    store.sent_calls.sync("key")
    store.sent_calls.sync("key")
    other.close()


def test_a_step_of_sent_calls_that_fails_does_not_stop_the_next_one(store: Backend) -> None:
    """Nor does a signal handler that takes one within another: it is refused, or it would wait for its own thread."""
    with pytest.raises(ZeroDivisionError):
        store.sent_calls.step("key", lambda _: 1 // 0)
    with pytest.raises(NonceStoreError, match="signal handler"):
        store.sent_calls.step("key", lambda _: store.sent_calls.step("key", lambda _: None))
    store.sent_calls.step("key", lambda kept: kept.write(0, b"some"))
    assert store.sent_calls.step("key", lambda kept: kept.read(0, 9)) == b"some"


def test_closing_gives_back_what_sent_calls_have_opened(store: Backend) -> None:
    """And a later step opens it again."""
    store.sent_calls.step("key", lambda kept: kept.write(0, b"some"))
    store.close()
    before = len(os.listdir("/dev/fd"))
    assert store.sent_calls.step("key", lambda kept: kept.read(0, 9)) == b"some"
    store.close()
    assert len(os.listdir("/dev/fd")) == before


def add_one_at_2000(kept: Bytes) -> None:
    """Add one to a number."""
    kept.write(2000, b"%08d" % (int(kept.read(2000, 8) or 0) + 1))


def test_no_step_of_sent_calls_is_lost_among_threads(store: Backend) -> None:
    """One at a time reads and writes."""

    def run() -> None:
        for _ in range(20):
            store.sent_calls.step("key", add_one_at_2000)

    join([in_thread(run) for _ in range(4)])
    assert store.sent_calls.peek("key", 2000, 9) == b"00000080"
