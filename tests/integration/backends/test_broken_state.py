"""Damaged, stale, changed and missing files: a stated recovery or a clear error, and never a smaller nonce."""

import errno
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from krakenonce.backends import FileStore
from krakenonce.backends.file import mark_file
from krakenonce.backends.file.open_files import OpenFiles
from krakenonce.errors import NonceStoreError
from krakenonce.rule import MARK_STEP
from krakenonce.testing.clock import ManualClock
from tests.integration.backends.helpers import SECOND, mark_path, read_slots, rising, take, text_path, write_slot

BROKEN_TEXTS = {
    "empty": b"",
    "garbage": b"hello, world",
    "negative": b"-1737159471234567890",
    "2^64": str(2**64).encode(),
    "binary": bytes(range(256)),
    "too small": b"1737159471234567890",
    "too large": b"9223372036854775806",
    "spaces": b"   \n",
    "hexadecimal": b"0x18f3a5b2c3d4e5f601",
    "nineteen letters": b"see backup of today",
    "nineteen digits and more": b"1800000000000000000 and more",
}


@pytest.fixture
def used(state: Path, clock: ManualClock) -> int:
    """A state directory with nonces in it; the last of them."""
    return take(state, clock, 3)[-1]


@pytest.mark.parametrize("name", BROKEN_TEXTS)
def test_a_broken_nonce_file_is_passed_by_going_above_the_mark(
    state: Path, clock: ManualClock, used: int, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it contains, nonces continue above the mark; the log names the file, which is then valid again."""
    mark = max(slot.mark for slot in read_slots(state) if slot)
    text_path(state).write_bytes(BROKEN_TEXTS[name])
    with caplog.at_level(logging.WARNING, "krakenonce"):
        nonces = take(state, clock, 2)
    assert nonces == [mark + 1, mark + 2]
    assert mark + 1 > used
    assert str(text_path(state)) in caplog.text
    assert text_path(state).read_bytes() == str(nonces[-1]).encode()


@pytest.mark.parametrize("name", BROKEN_TEXTS)
def test_a_nonce_file_broken_under_a_running_process_is_noticed_at_once(
    state: Path, clock: ManualClock, name: str
) -> None:
    """A running process does not continue from a damaged nonce file either."""
    store = FileStore(state, clock=clock)
    nonces = [store.advance("global") for _ in range(3)]
    text_path(state).write_bytes(BROKEN_TEXTS[name])
    nonces += [store.advance("global") for _ in range(3)]
    assert rising(nonces)
    assert nonces[3] <= nonces[2] + 2 * MARK_STEP
    assert store.stats("global").recovered == 1


def test_a_nonce_file_with_a_line_break_is_valid(state: Path, clock: ManualClock, used: int) -> None:
    """`echo 1800000000000000002 > file` writes the same nonce with a line break; it is read and rewritten."""
    text_path(state).write_text(f"{used}\n")
    assert take(state, clock) == [used + 1]
    assert text_path(state).read_text() == str(used + 1)


def test_a_nonce_file_restored_from_a_backup_is_noticed(state: Path, clock: ManualClock) -> None:
    """If an old copy of the nonce file is put back under a running process, no nonce is issued again."""
    store = FileStore(state, clock=clock)
    first = store.advance("global")
    clock.pass_time(1)
    second = store.advance("global")
    text_path(state).write_text(str(first))
    clock.step(-100)
    assert store.advance("global") > second


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("damage", [b"", b"\xff" * 512, b"krakenonce mark\0" + b"\x01" * 40])
def test_one_torn_slot_costs_nothing(state: Path, clock: ManualClock, used: int, slot: int, damage: bytes) -> None:
    """The other slot holds the same mark, so even a reboot with the clock an hour back is safe."""
    write_slot(state, slot, damage or b"\0" * 512)
    clock.reboot()
    clock.step(-3600)
    assert take(state, clock)[0] > used + MARK_STEP - 10
    assert all(read_slots(state))


def test_a_slot_that_is_one_step_behind_is_enough(state: Path, clock: ManualClock) -> None:
    """Killed between the two slots' writes: the newer mark covered no nonce yet, the older one covers all."""
    old = take(state, clock)[0]
    before = mark_path(state).read_bytes()
    clock.pass_time(3600)
    new = take(state, clock)[0]
    after = mark_path(state).read_bytes()
    mark_path(state).write_bytes(after[:4096] + before[4096:])  # the second slot was not yet written
    text_path(state).write_text(str(old))  # and so the nonce was not yet issued
    assert take(state, clock)[0] >= min(new, old + 1)
    mark_path(state).write_bytes(b"\0" * 4096 + before[4096:])  # and now the first one is torn as well
    text_path(state).write_text(str(old))
    assert take(state, clock)[0] > old


@pytest.mark.parametrize("damage", ["torn", "zeros", "truncated", "one byte"])
def test_both_slots_broken_is_the_clock_and_a_warning(
    state: Path, clock: ManualClock, used: int, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With no mark at all, nonces continue above the nonce file and the clock, and the log names the file."""
    data = mark_path(state).read_bytes()
    broken = {"torn": data[:300] + data[700:], "zeros": b"\0" * len(data), "truncated": b"", "one byte": b"k"}[damage]
    mark_path(state).write_bytes(broken)
    clock.step(-3600)
    with caplog.at_level(logging.WARNING, "krakenonce"):
        nonces = take(state, clock, 2)
    assert nonces[0] > used
    assert rising(nonces)
    assert str(state) in caplog.text
    assert all(read_slots(state))


def test_with_both_slots_broken_and_no_nonce_file_the_clock_counts(state: Path, clock: ManualClock, used: int) -> None:
    """Nothing left to go by but the time."""
    mark_path(state).write_bytes(b"broken")
    text_path(state).unlink()
    clock.pass_time(1)
    assert take(state, clock) == [clock.now_ns()]
    assert clock.now_ns() > used


def test_a_mark_of_another_version_is_refused(state: Path, clock: ManualClock, used: int) -> None:
    """What a later krakenonce wrote is not guessed at, and not overwritten."""
    import zlib

    data = bytearray(mark_path(state).read_bytes())
    for start in (0, 4096):
        data[start + 16] = 2
        data[start + 508 : start + 512] = zlib.crc32(data[start : start + 508]).to_bytes(4, "little")
    mark_path(state).write_bytes(data)
    said = (
        f"^{mark_path(state)} has format version 2, which this krakenonce does not know: use the version that wrote it"
    )
    with pytest.raises(NonceStoreError, match=said):
        take(state, clock)
    with pytest.raises(NonceStoreError, match=said):
        FileStore(state, clock=clock).peek("global")
    assert mark_path(state).read_bytes() == data


@pytest.mark.parametrize("which", [text_path, mark_path])
@pytest.mark.parametrize("what", ["a directory", "a symbolic link", "a dangling link", "a pipe"])
def test_something_else_in_the_file_s_place_is_refused(
    state: Path, clock: ManualClock, tmp_path: Path, which: object, what: str
) -> None:
    """A directory, a link or a pipe is a clear error that names it, and is left as it is."""
    path = which(state)  # type: ignore[operator]
    state.mkdir()
    target = tmp_path / "elsewhere"
    if what == "a directory":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    else:
        if what == "a symbolic link":
            target.write_text("1800000000000000000")
        path.symlink_to(target)
    with pytest.raises(NonceStoreError, match=str(path)):
        take(state, clock)
    assert not target.exists() or target.read_text() == "1800000000000000000"


@pytest.mark.parametrize("victims", [("text",), ("mark",), ("text", "mark")])
def test_files_deleted_under_a_running_process_are_made_again(
    state: Path, clock: ManualClock, victims: tuple[str, ...]
) -> None:
    """The next nonce is in a new file, is larger, and a second process continues from there."""
    store = FileStore(state, clock=clock)
    nonces = [store.advance("global") for _ in range(3)]
    for victim in victims:
        (text_path(state) if victim == "text" else mark_path(state)).unlink()
    clock.step(-3600)
    nonces += [store.advance("global") for _ in range(3)]
    assert text_path(state).read_text() == str(nonces[-1])
    nonces += take(state, clock, 2)
    nonces += [store.advance("global")]
    assert rising(nonces)


@pytest.mark.parametrize("victims", [("mark",), ("text", "mark")])
def test_a_new_file_has_a_mark_of_its_own(state: Path, clock: ManualClock, victims: tuple[str, ...]) -> None:
    """Also where a new file gets the inode of the deleted one: no nonce without a mark in it (invariant 1)."""
    store = FileStore(state, clock=clock)
    store.advance("global")
    for victim in victims:
        (text_path(state) if victim == "text" else mark_path(state)).unlink()
    nonce = store.advance("global")
    assert all(slot is not None and slot.mark >= nonce for slot in read_slots(state))


def test_a_copy_in_the_mark_file_s_place_is_not_trusted(state: Path, clock: ManualClock) -> None:
    """It has the same content, but was not synced: before the next nonce is issued, the mark is written again."""
    store = FileStore(state, clock=clock)
    store.advance("global")
    copy = state / "copy"
    copy.write_bytes(mark_path(state).read_bytes())
    copy.replace(mark_path(state))
    before = read_slots(state)
    store.advance("global")
    assert all(new and old and new.sequence > old.sequence for new, old in zip(read_slots(state), before, strict=True))


def test_a_new_mark_file_is_not_taken_for_the_deleted_one(state: Path, clock: ManualClock) -> None:
    """Not by a process that had closed its files either, and that finds a higher mark in the place of its own."""
    store, other = FileStore(state, clock=clock), FileStore(state, clock=clock)
    first = store.advance("global")
    store.close()
    mark_path(state).unlink()
    other.raise_floor("global", first + 5 * SECOND)
    own = store._states["global"].own
    own.file = (mark_path(state).stat().st_ino, own.file[1])  # it may get the inode of the old one
    before = read_slots(state)
    assert store.advance("global") == first + 5 * SECOND + 1
    assert all(new and old and new.sequence > old.sequence for new, old in zip(read_slots(state), before, strict=True))
    assert store.stats("global").issued == 2


def test_a_process_with_a_deleted_mark_writes_no_nonce_that_it_does_not_issue(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others continue with the nonce file and a new mark; it sees that before it writes, and not only after."""
    stale, other = FileStore(state, clock=clock), FileStore(state, clock=clock)
    for store in (stale, other):
        store.advance("global")
    mark_path(state).unlink()
    others = [other.advance("global") for _ in range(3)]
    written: list[bytes] = []
    real = os.pwrite

    def spy(fd: int, data: bytes, offset: int) -> int:
        written.append(data)
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", spy)
    nonce = stale.advance("global")
    assert nonce > others[-1]
    assert {data for data in written if len(data) == 19} == {b"%d" % nonce}


def test_a_directory_deleted_under_a_running_process_is_made_again(state: Path, clock: ManualClock) -> None:
    """`rm -r` of the whole state directory causes no nonce to be issued again."""
    store = FileStore(state, clock=clock)
    first = store.advance("global")
    for path in (text_path(state), mark_path(state)):
        path.unlink()
    state.rmdir()
    clock.step(-3600)
    second = store.advance("global")
    assert second > first
    assert text_path(state).read_text() == str(second)


def test_a_nonce_file_renamed_away_under_a_running_process_is_noticed(state: Path, clock: ManualClock) -> None:
    """A moved or replaced nonce file is not written to any more: another process would not see it."""
    store = FileStore(state, clock=clock)
    first = store.advance("global")
    text_path(state).rename(state / "backup.txt")
    other = take(state, clock)[0]
    assert other > first
    assert store.advance("global") > other
    assert (state / "backup.txt").read_text() != text_path(state).read_text()


def test_a_floor_set_after_the_nonce_file_was_deleted_holds_for_others(state: Path, clock: ManualClock) -> None:
    """A process that has the deleted nonce file open puts the floor into the new one, where other processes look."""
    first, second = FileStore(state, clock=clock), FileStore(state, clock=clock)
    second.raise_floor("global", clock.now_ns())
    text_path(state).unlink()
    floor = first.advance("global") + 1
    second.raise_floor("global", floor)
    assert first.advance("global") > floor


def test_a_floor_below_the_mark_holds_when_the_files_are_deleted(state: Path, clock: ManualClock) -> None:
    """The process that has set it remembers it, also where the mark had covered it already."""
    store = FileStore(state, clock=clock)
    floor = take(state, clock)[0] + 5
    text_path(state).unlink()
    store.raise_floor("global", floor)
    mark_path(state).unlink()
    text_path(state).unlink()
    assert store.advance("global") > floor


def test_a_directory_renamed_under_a_running_process_is_noticed(state: Path, clock: ManualClock) -> None:
    """`mv data data.old`: the next nonce is in a new directory, where other processes look for it."""
    store = FileStore(state, clock=clock)
    first = store.advance("global")
    second = first
    while time.time_ns() - state.stat().st_ctime_ns < 50_000_000:  # until the directory's time stamp is trusted
        second = store.advance("global")
    state.rename(state.with_name("old"))
    third = store.advance("global")
    assert first < second < third
    assert text_path(state).read_text() == str(third)
    assert text_path(state.with_name("old")).read_text() != str(third)


def test_garbage_without_a_mark_is_the_clock_and_a_warning(
    state: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """If the nonce file contains no nonce and there is no mark, nonces continue at the clock, with a warning."""
    state.mkdir()
    text_path(state).write_text("see backup")
    assert take(state, clock) == [clock.now_ns()]
    assert "the nonce file does not contain a nonce" in caplog.text


@pytest.mark.parametrize("more", [1, 0, -5])
@pytest.mark.parametrize("victims", [("text",), ("mark",), ("text", "mark")])
def test_a_floor_is_raised_in_the_files_that_are_in_place(
    state: Path, clock: ManualClock, victims: tuple[str, ...], more: int
) -> None:
    """Files deleted meanwhile are made again, and another process continues above the floor, also above a known one."""
    store = FileStore(state, clock=clock)
    floor = clock.now_ns() + 3600 * SECOND
    store.raise_floor("global", floor)
    for victim in victims:
        (text_path(state) if victim == "text" else mark_path(state)).unlink()
    store.raise_floor("global", floor + more)
    assert take(state, clock)[0] > floor + more


def test_files_that_vanish_as_fast_as_they_are_made_are_reported(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a nonce nor a floor is waited for without end."""
    monkeypatch.setattr(OpenFiles, "are_in_place", lambda _: False)
    store = FileStore(state, clock=clock)
    said = (
        f"^the files in {state} were deleted again and again while a nonce was taken; no nonce was issued; "
        "stop the program that deletes them$"
    )
    with pytest.raises(NonceStoreError, match=said):
        store.advance("global")
    with pytest.raises(NonceStoreError, match=said):
        store.raise_floor("global", clock.now_ns() + SECOND)


def test_the_state_directory_is_a_file(state: Path, clock: ManualClock) -> None:
    """A file in the directory's place is a clear error."""
    state.write_text("")
    store = FileStore(state, clock=clock)
    advice = "Not a directory; a state directory must be a directory, not a file$"
    with pytest.raises(NonceStoreError, match=f"^cannot make the state directory {state}: {advice}"):
        store.advance("global")
    with pytest.raises(NonceStoreError, match=f"^cannot read the state directory {state}: {advice}"):
        store.scopes()
    with pytest.raises(NonceStoreError, match=f"^cannot read {text_path(state)}: {advice}"):
        store.peek("global")
    assert repr(store) == f"FileStore({str(state)!r})"


def test_a_missing_directory_is_made_with_its_parents_for_this_user_only(tmp_path: Path, clock: ManualClock) -> None:
    """Directory 0700, files 0600, whatever the umask."""
    state = tmp_path / "a" / "b" / "state"
    before = os.umask(0)
    try:
        take(state, clock)
    finally:
        os.umask(before)
    assert state.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in state.iterdir()} == {0o600}


def test_a_huge_clock_lead_is_kept(state: Path, clock: ManualClock) -> None:
    """A counter raised far ahead of the clock stays there over restarts and reboots."""
    FileStore(state, clock=clock).raise_floor("global", clock.now_ns() + 10**17)
    first = take(state, clock)[0]
    clock.reboot()
    clock.pass_time(100 * SECOND / 10**9)
    assert take(state, clock)[0] > first > clock.now_ns()


def test_a_process_with_a_deleted_mark_lowers_no_nonce_file(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes nothing into the nonce file that others use by now, also when its disk fails right afterwards."""
    stale, other = FileStore(state, clock=clock), FileStore(state, clock=clock)
    stale.advance("global")
    mark_path(state).unlink()
    clock.step(-3600)
    other.advance("global")
    other.raise_floor("global", clock.now_ns() + 7200 * SECOND)
    highest = other.advance("global")

    def failing(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(mark_file, "sync", failing)
        with pytest.raises(NonceStoreError):
            stale.advance("global")
    assert text_path(state).read_text() == str(highest)
    assert stale.advance("global") == highest + 1


@pytest.mark.parametrize("path", [text_path, mark_path], ids=["text", "mark"])
def test_a_scope_that_has_lost_a_file_is_still_listed(
    state: Path, clock: ManualClock, path: Callable[[Path], Path]
) -> None:
    """The other one is there, and its nonces continue."""
    take(state, clock)
    path(state).unlink()
    assert FileStore(state, clock=clock).scopes() == ["global"]
