"""Clocks that are wrong: back, forward, impossible, over restarts."""

import errno
import logging
import os
from pathlib import Path

import pytest

from krakenonce.backends import FileStore
from krakenonce.backends.file import scope_files
from krakenonce.backends.file.mark_file import MarkFile
from krakenonce.backends.file.recovery import Records
from krakenonce.errors import ClockError, NonceStoreError
from krakenonce.rule import MARK_STEP
from krakenonce.testing.clock import ManualClock
from tests.integration.backends.helpers import SECOND, mark_path, rising, take, text_path

YEAR_2500_NS = 16_725_225_600 * SECOND

_pwrite = os.pwrite


class FullAfter:
    """A disk that takes some writes, and no more."""

    def __init__(self, writes: int) -> None:
        self.left = writes

    def __call__(self, fd: int, data: bytes, offset: int) -> int:
        """Write, or fail."""
        self.left -= 1
        if not self.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return _pwrite(fd, data, offset)


def test_an_hour_back_is_gone_on_from_at_once_and_counted(
    state: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A step back costs nothing: no waiting, no gap, one warning."""
    store = FileStore(state, clock=clock)
    first = store.advance("global")
    clock.step(-3600)
    with caplog.at_level(logging.WARNING, "krakenonce"):
        nonces = [store.advance("global") for _ in range(3)]
    assert nonces == [first + 1, first + 2, first + 3]
    assert store.stats("global").clock_back == 1
    assert caplog.text.count("stepped back") == 1


def test_an_hour_forward_is_not_written_down_until_it_lasts(state: Path, clock: ManualClock) -> None:
    """A jump forward is clamped to the time that has really passed, and accepted after a minute."""
    store = FileStore(state, clock=clock)
    first = store.advance("global")
    clock.step(3600)
    clock.pass_time(20)
    clamped = store.advance("global")
    assert clamped == first + 20 * SECOND
    assert store.stats("global").clock_forward == 1
    clock.pass_time(61)
    assert store.advance("global") == clock.now_ns()


def test_a_jump_that_is_taken_back_leaves_no_trace(state: Path, clock: ManualClock) -> None:
    """An hour forward and an hour back again: nonces are where they would have been."""
    store = FileStore(state, clock=clock)
    store.advance("global")
    clock.step(3600)
    for _ in range(30):
        clock.pass_time(1)
        store.advance("global")
    clock.step(-3600)
    clock.pass_time(1)
    assert store.advance("global") == clock.now_ns()


def test_after_a_step_back_a_jump_is_measured_from_the_clock_then(state: Path, clock: ManualClock) -> None:
    """Time is projected from the clock that was trusted last, not from the one that was ahead before."""
    store = FileStore(state, clock=clock)
    first = store.advance("global")
    clock.step(-288)
    assert store.advance("global") == first + 1
    clock.pass_time(300)
    clock.step(3600)
    assert store.advance("global") == first + 12 * SECOND


def test_a_step_back_after_a_nonce_that_failed_is_noticed(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock was read and trusted for a nonce that could not be written."""
    store, first = FileStore(state, clock=clock), clock.now_ns()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", FullAfter(4))  # both slots and the nonce file are written, the nonce is not
        with pytest.raises(NonceStoreError):
            store.advance("global")
    assert store.stats("global").mark == first + MARK_STEP
    clock.step(-288)
    store.advance("global")
    clock.pass_time(300)
    clock.step(3600)
    assert store.advance("global") == first + 12 * SECOND


def test_a_jump_is_measured_from_the_clock_at_which_a_floor_was_set(state: Path, clock: ManualClock) -> None:
    """Raising the mark reads the clock; an earlier reading, which was impossible, is forgotten."""
    store, right = FileStore(state, clock=clock), clock.now_ns()
    clock.set_wall(0)
    with pytest.raises(ClockError):
        store.advance("global")
    clock.set_wall(right)
    store.raise_floor("global", right + SECOND)
    clock.step(3600)
    assert store.advance("global") == right + SECOND + 1


def test_a_wait_for_the_lock_is_no_step_of_the_clock(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that waits long for the lock gets the nonce of the moment at which the wait ended."""
    stores = [FileStore(state, clock=clock), FileStore(state, clock=clock)]
    for store, seconds in ((stores[0], 100), (stores[0], 5), (stores[1], 100)):
        with monkeypatch.context() as patch:
            patch.setattr(scope_files, "_lock", lambda _fd, seconds=seconds: clock.pass_time(seconds))
            assert store.advance("global") == clock.now_ns()
        assert stores[0].advance("global") == clock.now_ns() + 1
    assert [each.stats("global")[6:8] for each in stores] == [(0, 0)] * 2


@pytest.mark.parametrize("seconds", [30, 7000])
def test_a_disk_that_hangs_in_the_step_is_no_step_of_the_clock(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """Both clocks are read at one moment, after the mark was."""
    store, read = FileStore(state, clock=clock), MarkFile.read
    store.advance("global")

    def hang(file: MarkFile) -> Records:
        clock.pass_time(seconds)
        return read(file)

    with monkeypatch.context() as patch:
        patch.setattr(MarkFile, "read", hang)
        for _ in range(2):
            clock.pass_time(11)
            assert store.advance("global") == clock.now_ns()
    assert store.stats("global")[6:8] == (0, 0)


def test_a_step_while_the_lock_is_waited_for_has_not_lasted_since(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a minute old a minute later, however long ago the clock was looked at before."""
    store = FileStore(state, clock=clock)
    store.advance("global")
    clock.pass_time(900)

    def wait(_fd: int) -> None:
        clock.pass_time(1)
        clock.step(600)

    with monkeypatch.context() as patch:
        patch.setattr(scope_files, "_lock", wait)
        nonces = [store.advance("global")]
    assert nonces == [clock.now_ns() - 600 * SECOND]
    for _ in range(5):
        clock.pass_time(11)
        nonces.append(store.advance("global"))
    assert rising(nonces)
    assert nonces[-1] == clock.now_ns() - 600 * SECOND
    clock.pass_time(11)
    assert store.advance("global") == clock.now_ns()


def test_a_step_back_to_1970_leaves_the_guard_against_jumps(state: Path, clock: ManualClock) -> None:
    """The time is not projected from an impossible clock."""
    store = FileStore(state, clock=clock)
    first = store.advance("global")
    clock.set_wall(0)
    store.advance("global")
    clock.pass_time(20)
    clock.set_wall(first + 3600 * SECOND)
    assert store.advance("global") == first + 20 * SECOND


def test_a_jump_that_comes_and_goes_has_not_lasted(state: Path, clock: ManualClock) -> None:
    """The clock is an hour ahead for a moment every eight seconds: it is right in between, so it is never trusted."""
    store = FileStore(state, clock=clock)
    store.advance("global")
    for _ in range(15):
        clock.pass_time(7)
        clock.step(3600)
        nonce = store.advance("global")
        clock.step(-3600)
        assert nonce <= clock.now_ns()
        clock.pass_time(1)
        assert store.advance("global") == clock.now_ns()


def test_a_jump_between_two_short_processes_is_noticed_too(state: Path, clock: ManualClock) -> None:
    """A process per nonce, as from cron: the mark file remembers the clocks within one boot."""
    first = take(state, clock)[0]
    clock.step(3600)
    clock.pass_time(5)
    second = take(state, clock)[0]
    assert first < second <= first + 5 * SECOND + MARK_STEP
    clock.pass_time(61)
    assert take(state, clock) == [clock.now_ns()]


def test_a_flood_of_calls_during_a_jump_logs_once(
    state: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning does not come with every nonce."""
    store = FileStore(state, clock=clock)
    store.advance("global")
    clock.step(3600)
    with caplog.at_level(logging.WARNING, "krakenonce"):
        nonces = [store.advance("global") for _ in range(200)]
    assert rising(nonces)
    assert caplog.text.count("ignored until it has lasted for a minute") == 1


@pytest.mark.parametrize("wall", [0, 10 * SECOND, -5, YEAR_2500_NS, 2**63, 2**64 + 5])
def test_an_impossible_clock_is_ignored(state: Path, clock: ManualClock, wall: int) -> None:
    """In 1970 or 2500 nonces continue from the last one, also after a restart, and no such time is stored."""
    store = FileStore(state, clock=clock)
    nonces = [store.advance("global")]
    right = clock.now_ns()
    clock.set_wall(wall)
    nonces += [store.advance("global") for _ in range(3)]
    nonces += take(state, clock, 3)
    clock.reboot()
    nonces += take(state, clock, 3)
    assert rising(nonces)
    assert nonces[-1] < nonces[0] + 3 * MARK_STEP
    clock.set_wall(right + 100 * SECOND)
    assert take(state, clock) == [clock.now_ns()]


@pytest.mark.parametrize("wall", [0, YEAR_2500_NS])
def test_an_impossible_clock_without_an_earlier_nonce_is_an_error(state: Path, clock: ManualClock, wall: int) -> None:
    """The first nonce ever needs a possible clock; nothing is written, and it works once the clock is set."""
    right = clock.now_ns()
    clock.set_wall(wall)
    with pytest.raises(ClockError, match="set the clock"):
        take(state, clock)
    assert not mark_path(state).read_bytes()
    assert not text_path(state).read_bytes()
    clock.set_wall(right)
    assert take(state, clock) == [right]


def test_a_strobing_clock_never_lowers_a_nonce_nor_runs_away(state: Path, clock: ManualClock) -> None:
    """Bumps of up to 288 s both ways, with every nonce, over restarts."""
    nonces: list[int] = []
    start = clock.now_ns()
    for i in range(300):
        step = (-1) ** i * (i * 37 % 288)
        clock.step(step)
        clock.pass_time(0.5)
        nonces += take(state, clock) if i % 7 == 0 else []
        store = FileStore(state, clock=clock)
        nonces.append(store.advance("global"))
        store.close()
        clock.step(-step)
    assert rising(nonces)
    assert nonces[-1] < start + 150 * SECOND + 300 * SECOND
