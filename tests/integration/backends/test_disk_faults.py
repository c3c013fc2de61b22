"""Syncs and writes that fail: an error, no nonce above the durable mark, and work continues afterwards."""

import errno
import os
import resource
from pathlib import Path

import pytest

from krakenonce.backends import FileStore
from krakenonce.backends.file import mark_file
from krakenonce.backends.file.filesystem import sync
from krakenonce.backends.file.open_files import OpenFiles
from krakenonce.errors import NonceStoreError
from krakenonce.rule import MARK_STEP
from krakenonce.testing.clock import ManualClock
from tests.integration.backends.helpers import finish, mark_path, read_slots, rising, start_python, take, text_path
from tests.integration.key.helpers import open_files


class FailingSync:
    """A disk whose syncs fail on request, once each."""

    def __init__(self) -> None:
        self.passing = 0  # how many go well before those that fail
        self.failing = 0
        self.seen: list[int] = []

    def __call__(self, fd: int) -> None:
        """Sync *fd*, or fail."""
        self.seen.append(fd)
        if self.passing:
            self.passing -= 1
        elif self.failing:
            self.failing -= 1
            raise OSError(errno.EIO, "Input/output error")
        sync(fd)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FailingSync:
    """Syncs that can be made to fail; a real disk does not fail on demand."""
    failing = FailingSync()
    monkeypatch.setattr(mark_file, "sync", failing)
    return failing


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failed_sync_is_an_error_and_issues_nothing(
    state: Path, clock: ManualClock, disk: FailingSync, failing: int
) -> None:
    """Whichever slot's sync fails: an error that names the file, and no nonce above the old mark (invariant 6)."""
    store = FileStore(state, clock=clock)
    first = store.advance("global")
    covered = store.stats("global").mark
    clock.pass_time(3600)
    syncs = len(disk.seen)
    disk.failing = failing
    for _ in range(failing):
        with pytest.raises(NonceStoreError, match=r"make durable .*mark.*Input/output error"):
            store.advance("global")
    assert len(disk.seen) == syncs + failing
    assert text_path(state).read_text() == str(first)
    clock.step(-3600)
    assert covered is not None
    assert first < store.advance("global") <= covered


@pytest.mark.parametrize("extensions", [1, 2])
def test_after_a_failed_sync_of_one_slot_the_other_is_not_touched(
    state: Path, clock: ManualClock, disk: FailingSync, extensions: int
) -> None:
    """It is the only one of which anybody knows what is on the disk; and the mark is as it was."""
    for _ in range(extensions):
        clock.pass_time(3600)
        take(state, clock)
    before = read_slots(state)
    clock.pass_time(3600)
    for _ in range(5):
        disk.failing = 1
        with pytest.raises(NonceStoreError):
            take(state, clock)
        assert read_slots(state) == before
    assert take(state, clock) == [clock.now_ns()]


def test_a_mark_file_cut_short_is_as_short_after_a_failed_sync(
    state: Path, clock: ManualClock, disk: FailingSync
) -> None:
    """What could not be put on the disk is taken back whole, also where nothing was before."""
    take(state, clock)
    mark_path(state).write_bytes(b"krakenonce")
    disk.failing = 1
    with pytest.raises(NonceStoreError, match=r"make durable .*mark.*Input/output error"):
        take(state, clock)
    assert mark_path(state).read_bytes() == b"krakenonce"
    assert take(state, clock)[0] > clock.now_ns()


def test_tries_that_fail_half_way_do_not_climb(state: Path, clock: ManualClock, disk: FailingSync) -> None:
    """One slot is on the disk, the other is not, again and again: the mark is where the first try has put it."""
    last = take(state, clock)[0]
    clock.pass_time(3600)
    for _ in range(5):
        disk.passing, disk.failing = 1, 1
        with pytest.raises(NonceStoreError):
            take(state, clock)
        assert max(slot.mark for slot in read_slots(state) if slot) == clock.now_ns() + MARK_STEP
        assert text_path(state).read_text() == str(last)
    assert take(state, clock) == [clock.now_ns()]


def test_a_first_nonce_that_cannot_be_synced_is_not_issued(state: Path, clock: ManualClock, disk: FailingSync) -> None:
    """Not even the very first one."""
    disk.failing = 1
    with pytest.raises(NonceStoreError, match="Input/output error"):
        take(state, clock)
    assert text_path(state).read_bytes() == b""
    assert take(state, clock) == [clock.now_ns()]


TOO_LARGE = """
import resource, sys
from krakenonce import NonceManager
from krakenonce.errors import NonceStoreError
state, before, room = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
manager = NonceManager(state)
nonces = [manager.next() for _ in range(before)]
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
try:
    print("handed out", manager.next())
except NonceStoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
nonces.append(manager.next())
print(nonces == sorted(set(nonces)), manager.store.stats("global").recovered)
"""


@pytest.mark.parametrize(
    ("before", "room", "said"),
    [(1, 10, "write {text}"), (0, 4096, "make durable {mark}"), (1, 0, "write {text}"), (0, 0, "make durable {mark}")],
    ids=["part of a nonce", "one slot of two", "nothing of a nonce", "nothing at all"],
)
def test_what_can_only_be_written_in_part_is_refused_and_leaves_nothing_behind(
    state: Path, before: int, room: int, said: str
) -> None:
    """A limit on the size of files: an error that says so, and nonces continue once the kernel takes all of it."""
    what = said.format(text=text_path(state), mark=mark_path(state))
    refusal = f"cannot {what}: File too large; this process may write no larger files; raise `ulimit -f`"
    assert finish(start_python(TOO_LARGE, state, before, room)).splitlines() == [refusal, "True 0"]


def test_a_floor_that_was_written_in_part_is_refused(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loud, with the lock free for others, and good for a second try."""
    store = FileStore(state, clock=clock)
    first = store.advance("global")
    said = f"^cannot write {text_path(state)}: No space left on device; free some space on this disk$"
    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", lambda *_: 0)
        with pytest.raises(NonceStoreError, match=said):
            store.raise_floor("global", first + 5)
    other = FileStore(state, clock=clock)
    assert other.advance("global") == first + 1
    store.raise_floor("global", first + 5)
    assert other.advance("global") == first + 6


def test_without_a_free_descriptor_the_message_says_so(state: Path, clock: ManualClock) -> None:
    """Of whatever else the process has open too much."""
    store = FileStore(state, clock=clock)
    first = store.advance("global")
    store.close()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        said = f"^cannot open {mark_path(state)}: Too many open files; this process has too many open files; raise"
        with pytest.raises(NonceStoreError, match=said):
            store.advance("global")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert store.advance("global") == first + 1


@pytest.mark.parametrize("passing", [0, 1])
def test_a_failed_raise_of_the_mark_after_a_power_cut_does_not_make_an_old_nonce_file_exact(
    state: Path, clock: ManualClock, disk: FailingSync, passing: int
) -> None:
    """It lacks the last nonces, also with a mark of the new boot beside it (invariant 1)."""
    first, second = take(state, clock, 2)
    text_path(state).write_bytes(str(first).encode())  # what the disk had of it
    clock.reboot()
    disk.passing, disk.failing = passing, 1
    with pytest.raises(NonceStoreError):
        take(state, clock)
    assert take(state, clock)[0] > second


def test_a_process_that_could_write_no_nonce_yet_does_not_take_a_missing_nonce_file_for_a_new_counter(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mark is on the disk, its first nonce is not; then the nonce file is deleted: it continues above the mark."""
    other, store = FileStore(state, clock=clock), FileStore(state, clock=clock)
    issued = [other.advance("global") for _ in range(3)]

    written: list[bytes] = []
    real = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        written.append(data)
        return real(fd, data, offset) if len(written) < 4 else 0  # nonce file, slot, slot, and then the nonce

    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        with pytest.raises(NonceStoreError):
            store.advance("global")
    text_path(state).unlink()
    assert store.advance("global") > max(issued)


def test_a_floor_that_failed_raises_no_nonce(state: Path, clock: ManualClock, disk: FailingSync) -> None:
    """Half of it may be on the disk: the mark stays that high, and the nonces continue from the last one."""
    store = FileStore(state, clock=clock)
    first = store.advance("global")
    disk.passing, disk.failing = 1, 1  # one slot has it
    with pytest.raises(NonceStoreError):
        store.raise_floor("global", first + 10**15)
    nonces = []
    for _ in range(4):
        clock.pass_time(11)
        nonces += [store.advance("global"), *take(state, clock)]
        assert store.peek("global") == nonces[-1]
    assert rising(nonces)
    assert nonces[-1] <= clock.now_ns() + 1


def test_a_floor_that_failed_leaves_the_guard_against_jumps(state: Path, clock: ManualClock, disk: FailingSync) -> None:
    """The mark is far above the nonces, but no nonce jumps there with the clock."""
    store = FileStore(state, clock=clock)
    first = store.advance("global")
    disk.passing, disk.failing = 1, 1
    with pytest.raises(NonceStoreError):
        store.raise_floor("global", first + 10**15)
    for _ in range(2):
        clock.pass_time(11)
        store.advance("global")
    right = clock.now_ns()
    clock.step(7 * 86400)
    assert store.advance("global") == right + 1
    clock.step(-7 * 86400)
    assert store.advance("global") == right + 2
    assert store.stats("global").clock_forward == 1


def test_a_directory_whose_sync_fails_moves_no_mark_up(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each try would raise the mark by another ten seconds."""
    first = take(state, clock)[0]

    def failing(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(OpenFiles, "sync_names", failing)
        store = FileStore(state, clock=clock)
        for _ in range(5):
            with pytest.raises(NonceStoreError, match="Input/output error"):
                store.advance("global")
    assert take(state, clock) == [first + 1]


def test_after_a_failed_sync_no_thread_syncs_what_was_open_before(
    state: Path, clock: ManualClock, disk: FailingSync
) -> None:
    """One that was waiting for the lock meanwhile has to open the files again."""
    store = FileStore(state, clock=clock)
    for _ in range(2):
        store.advance("global")
        waiting = store._free[-1]["global"]
        store._free.rotate()
        clock.pass_time(11)
        disk.failing = 1
        with pytest.raises(NonceStoreError):
            store.advance("global")
        assert waiting.step() is None
        assert waiting.step(1) is None


def test_a_nonce_file_that_can_be_restored_only_in_part_is_not_trusted(
    state: Path, clock: ManualClock, disk: FailingSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first half of the old nonce and the second of the new one could be below the last, and fit the mark."""
    store = FileStore(state, clock=clock)
    store.advance("global")
    clock.pass_time(9.999999991)
    last = store.advance("global")
    clock.pass_time(0.5)
    disk.passing, disk.failing = 1, 1
    real, texts = os.pwrite, list[bytes]()

    def in_part(fd: int, data: bytes, offset: int) -> int:
        texts.extend([data] if len(data) == 19 else [])
        return real(fd, data[:10] if data == b"%d" % last else data, offset)

    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", in_part)
        with pytest.raises(NonceStoreError, match="Input/output error"):
            store.advance("global")
    assert texts[-1] == b"%d" % last
    clock.step(-3600)
    assert take(state, clock)[0] > last


def test_a_backend_whose_disk_failed_has_no_file_open(state: Path, clock: ManualClock, disk: FailingSync) -> None:
    """A disk that has failed can be unmounted while its processes go on."""
    store = FileStore(state, clock=clock)
    for ask in (
        lambda: store.advance("global"),
        lambda: store.raise_floor("global", clock.now_ns() + 1),
    ):
        ask()
        clock.pass_time(11)
        disk.failing = 1
        with pytest.raises(NonceStoreError):
            ask()
    assert open_files(state) == []
