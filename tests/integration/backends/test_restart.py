"""Restarts, reboots and power cuts: no nonce after them is smaller than one before."""

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from krakenonce.backends import FileStore
from krakenonce.backends.file import mark_file
from krakenonce.backends.file.filesystem import sync
from krakenonce.backends.file.mark import unpack_file
from krakenonce.backends.file.scope_files import ScopeFiles
from krakenonce.rule import MARK_STEP
from krakenonce.testing.clock import ManualClock
from tests.integration.backends.helpers import SECOND, mark_path, read_slots, rising, take, text_path

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def durable(monkeypatch: pytest.MonkeyPatch) -> dict[int, bytes]:
    """What a power cut would leave: the contents of each file (by inode) at its last sync."""
    kept: dict[int, bytes] = {}

    def sync_and_keep(fd: int) -> None:
        sync(fd)
        kept[os.fstat(fd).st_ino] = os.pread(fd, 10_000, 0)

    monkeypatch.setattr(mark_file, "sync", sync_and_keep)
    return kept


def cut_power(state: Path, clock: ManualClock, durable: dict[int, bytes], *, text: bytes | None) -> None:
    """Bring the directory into the state that a power cut may leave, and boot again."""
    mark_path(state).write_bytes(durable[mark_path(state).stat().st_ino])
    if text is None:
        text_path(state).unlink()
    else:
        text_path(state).write_bytes(text)
    clock.reboot()


def test_the_nonce_is_in_the_file_before_it_is_returned(state: Path, clock: ManualClock) -> None:
    """The nonce file contains each nonce, 19 digits, when the caller gets it."""
    store = FileStore(state, clock=clock)
    for _ in range(50):
        nonce = store.advance("global")
        assert text_path(state).read_bytes() == str(nonce).encode()
        clock.pass_time(0.7)


def test_a_restart_on_the_same_boot_goes_on_exactly(state: Path, clock: ManualClock) -> None:
    """Within one boot nothing is skipped: the nonce file is exact."""
    last = take(state, clock, 5)[-1]
    clock.step(-3600)
    assert take(state, clock) == [last + 1]


def test_a_reboot_starts_above_the_mark(state: Path, clock: ManualClock) -> None:
    """After another boot the nonce file may be stale, so the mark counts."""
    first = take(state, clock)[0]
    clock.reboot()
    assert take(state, clock) == [first + MARK_STEP + 1]


def test_after_an_exit_a_start_in_another_boot_skips_nothing(state: Path, clock: ManualClock) -> None:
    """Twenty containers in turn, each with a boot id of its own: nonces are not ahead of the clock afterwards."""
    last = 0
    for number in range(20):
        clock.reboot(f"boot {number}")
        store = FileStore(state, clock=clock)
        assert store.peek("global") == (last or None)
        assert store.advance("global") == max(last + 1, clock.now_ns())
        last = store.advance("global")
        store.close()
        clock.pass_time(1)
    assert last < clock.now_ns()


@pytest.mark.parametrize("ends", ["in turn", "killed"])
def test_no_end_is_noted_while_another_process_has_the_counter_open(state: Path, clock: ManualClock, ends: str) -> None:
    """The other one goes on without a new mark, so only its own end may be noted."""
    store, other = FileStore(state, clock=clock), FileStore(state, clock=clock)
    other.advance("global")
    store.advance("global")
    store.close()
    noted = text_path(state).read_bytes()
    last = [other.advance("global") for _ in range(5)][-1]
    if ends == "in turn":
        other.close()
    else:
        other._after_fork()
        text_path(state).write_bytes(noted)  # the power is cut, too
    clock.reboot()
    clock.step(-3600)
    (after,) = take(state, clock)
    assert after == last + 1 if ends == "in turn" else after > last + MARK_STEP - 10


def test_the_note_of_an_end_is_taken_back_before_the_next_nonce(
    state: Path, clock: ManualClock, durable: dict[int, bytes]
) -> None:
    """A process that is started afterwards raises the mark first, so after its power cut the note counts no more."""
    store = FileStore(state, clock=clock)
    store.advance("global")
    store.close()
    last = take(state, clock, 3)[-1]
    cut_power(state, clock, durable, text=None)
    clock.step(-3600)
    assert take(state, clock)[0] > last


def test_a_backend_that_was_closed_takes_its_note_back(state: Path, clock: ManualClock) -> None:
    """It knows its own mark, and raises it all the same: the note was for the mark before."""
    store = FileStore(state, clock=clock)
    noted = store.advance("global")
    store.close()
    last = [store.advance("global") for _ in range(3)][-1]
    store._after_fork()
    text_path(state).write_bytes(b"%d" % noted)  # the power is cut
    clock.reboot()
    clock.step(-3600)
    assert take(state, clock)[0] > last


def test_a_nonce_file_above_the_note_shows_that_the_note_is_old(state: Path, clock: ManualClock) -> None:
    """The mark file alone came from a backup: the note counts no more."""
    store = FileStore(state, clock=clock)
    store.advance("global")
    store.close()
    backup = mark_path(state).read_bytes()
    last = take(state, clock, 9)[-1]
    mark_path(state).write_bytes(backup)
    clock.reboot()
    clock.step(-3600)
    assert take(state, clock)[0] > last


def test_a_process_killed_in_its_first_nonce_after_a_reboot_makes_no_old_nonce_file_exact(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves a mark of the new boot beside a nonce file that lacks the last nonces (invariant 1)."""
    first, second = take(state, clock, 2)
    text_path(state).write_bytes(b"%d" % first)
    clock.reboot()

    class Killed(BaseException):
        """No code may catch it."""

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as kill:
        kill.setattr(ScopeFiles, "_write_text", killed)
        with pytest.raises(Killed):
            take(state, clock)
    clock.step(-3600)
    assert take(state, clock)[0] > second


def test_an_unknown_boot_counts_as_another_one_but_only_at_the_start(state: Path, clock: ManualClock) -> None:
    """Without a boot id each process starts above the mark once, and does not skip ten seconds per nonce."""
    clock.reboot("")
    first, second = FileStore(state, clock=clock), FileStore(state, clock=clock)
    nonces = [store.advance("global") for _ in range(10) for store in (first, second)]
    assert rising(nonces)
    assert nonces[-1] - nonces[0] < 3 * MARK_STEP


@pytest.mark.parametrize("text", [None, b"", b"17", b"1799999999000000000"])
def test_no_nonce_is_issued_again_after_a_power_cut(
    state: Path, clock: ManualClock, durable: dict[int, bytes], text: bytes | None
) -> None:
    """Whatever older nonce file the disk has, with only the synced mark, nonces continue above all that were issued."""
    issued = []
    store = FileStore(state, clock=clock)
    for _ in range(100):
        issued.append(store.advance("global"))
        clock.pass_time(0.7)
    store.close()
    cut_power(state, clock, durable, text=text)
    clock.step(-3600)
    assert take(state, clock)[0] > max(issued)


def test_each_nonce_is_below_a_mark_that_was_synced_before(
    state: Path, clock: ManualClock, durable: dict[int, bytes]
) -> None:
    """Durable before visible: the disk's mark covers the nonce at the moment it is returned (invariant 1)."""
    store = FileStore(state, clock=clock)
    for _ in range(60):
        nonce = store.advance("global")
        slots = unpack_file(durable[mark_path(state).stat().st_ino])
        assert all(slot is not None and slot.mark >= nonce for slot in slots)
        clock.pass_time(0.9)


def test_a_mark_that_was_only_read_is_not_trusted(state: Path, clock: ManualClock, durable: dict[int, bytes]) -> None:
    """A process killed between write and sync leaves a mark in memory only; who opens next writes its own."""
    first = take(state, clock)[0]
    on_disk = durable[mark_path(state).stat().st_ino]
    durable.clear()  # from here on only what the next process syncs itself survives
    second = take(state, clock)[0]
    assert durable, "the new process has synced nothing of its own"
    assert second > first
    assert durable[mark_path(state).stat().st_ino] != on_disk
    cut_power(state, clock, durable, text=str(first).encode())
    assert take(state, clock)[0] > second


def test_one_slot_after_the_other_is_written_and_synced_the_sure_one_last(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two processes killed between a write and its sync could leave both slots to be torn by a power cut."""
    take(state, clock)
    done: list[str] = []
    real = os.pwrite

    def spy(fd: int, data: bytes, offset: int) -> int:
        done.extend([f"{len(data)} at {offset}"] if len(data) > 19 else [])
        return real(fd, data, offset)

    monkeypatch.setattr(mark_file, "sync", lambda _: done.append("sync"))
    monkeypatch.setattr(os, "pwrite", spy)
    store = FileStore(state, clock=clock)
    for first, second in ((4096, 0), (0, 4096), (4096, 0)):
        store.advance("global")
        clock.pass_time(11)
        assert done == [f"512 at {first}", "sync", f"512 at {second}", "sync"]
        done.clear()


def test_the_mark_is_synced_once_in_ten_seconds_and_not_per_nonce(state: Path, clock: ManualClock) -> None:
    """For a thousand nonces in ten seconds the mark is raised once, in a hundred seconds about ten times."""
    store = FileStore(state, clock=clock)
    for _ in range(1000):
        store.advance("global")
        clock.pass_time(0.0099)
    assert store.stats("global").extended == 1
    for _ in range(1000):
        store.advance("global")
        clock.pass_time(0.1)
    assert store.stats("global").extended in (10, 11)


def test_the_time_that_raising_the_mark_takes_is_counted(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each adds at least what its two syncs took, and all together no more than has passed."""
    start = time.monotonic_ns()
    spent: list[int] = []

    def timed(fd: int) -> None:
        began = time.monotonic_ns()
        sync(fd)
        spent.append(time.monotonic_ns() - began)

    monkeypatch.setattr(mark_file, "sync", timed)
    store = FileStore(state, clock=clock)
    for count in (1, 2, 3):
        store.advance("global")
        assert store.stats("global").extended == count
        assert time.monotonic_ns() - start >= store.stats("global").extending_ns >= sum(spent) > 0
        clock.pass_time(11)


def test_the_mark_never_goes_down(state: Path, clock: ManualClock) -> None:
    """Through clock steps, floors and restarts, the mark on disk only rises (invariant 2)."""
    marks = []
    moves: list[Callable[[], None]] = [
        lambda: clock.step(-7200),
        lambda: clock.pass_time(11),
        lambda: FileStore(state, clock=clock).raise_floor("global", clock.now_ns() + 5000 * SECOND),
        lambda: clock.step(-3600),
        lambda: clock.reboot("boot 3"),
        lambda: clock.pass_time(9000),
    ]
    for move in moves:
        take(state, clock, 3)
        slots = read_slots(state)
        marks.append(max(slot.mark for slot in slots if slot))
        move()
    take(state, clock)
    assert marks == sorted(marks)


def test_a_half_raised_mark_stays(state: Path, clock: ManualClock) -> None:
    """Killed between the slots an hour ahead, and the clock then back: the higher mark is kept all the same."""
    take(state, clock)
    before, text = mark_path(state).read_bytes(), text_path(state).read_bytes()
    clock.pass_time(3600)
    take(state, clock)
    after = mark_path(state).read_bytes()
    highest = max(slot.mark for slot in read_slots(state) if slot)
    mark_path(state).write_bytes(before[:4096] + after[4096:])
    text_path(state).write_bytes(text)
    clock.step(-3600)
    take(state, clock)
    assert [slot.mark for slot in read_slots(state) if slot] == [highest, highest]


def test_the_names_are_made_durable_before_the_first_nonce(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process syncs the directory itself, those it made above it, and what a killed one may have made there."""
    synced: list[int] = []
    real = os.fsync

    def spy(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr(os, "fsync", spy)
    store = FileStore(state / "a" / "b", clock=clock)
    store.advance("global")
    places = [state.parent.parent, state.parent, state, state / "a", state / "a" / "b"]
    assert synced == [place.stat().st_ino for place in places]
    synced.clear()
    take(state / "a" / "b", clock, 10)
    assert synced == [place.stat().st_ino for place in places[-2:]]
    synced.clear()
    shutil.rmtree(state / "a" / "b")
    (state / "a" / "b").mkdir()  # by a process that may have been killed before a sync
    store.advance("global")
    assert synced == [place.stat().st_ino for place in places[-2:]]


def test_a_floor_survives_a_power_cut(state: Path, clock: ManualClock, durable: dict[int, bytes]) -> None:
    """raise_floor returns when the floor is on the disk."""
    take(state, clock)
    floor = clock.now_ns() + 10**15
    FileStore(state, clock=clock).raise_floor("global", floor)
    cut_power(state, clock, durable, text=None)
    assert take(state, clock)[0] > floor


def test_a_floor_that_was_only_read_is_not_trusted(state: Path, clock: ManualClock, durable: dict[int, bytes]) -> None:
    """A process killed before its sync leaves a floor in memory only; who sets it again, or a lower one, syncs it."""
    floor = clock.now_ns() + 10**15
    FileStore(state, clock=clock).raise_floor("global", floor)
    durable.clear()  # as if it had not come to the sync
    FileStore(state, clock=clock).raise_floor("global", floor)
    cut_power(state, clock, durable, text=None)
    assert take(state, clock)[0] > floor


def test_a_nonce_file_without_a_mark_is_adopted(state: Path, clock: ManualClock) -> None:
    """Nonces continue from the nonce file of a manager that keeps no mark."""
    state.mkdir()
    ahead = clock.now_ns() + 3600 * SECOND
    text_path(state).write_text(str(ahead))
    assert take(state, clock) == [ahead + 1]
